//! What may happen to a product, rule by rule.

use factum_testing::scenario::{given, given_nothing};

use super::*;
use crate::{contracts::catalog::RegisterProduct, money::price};

fn register(sku: &str, name: &str, pounds: &str, active: bool) -> ProductCommand {
    let (sku, name, price) = (Sku::from(sku), name.to_owned(), price(pounds).unwrap());
    ProductCommand::Register(RegisterProduct { sku, name, price, active })
}

fn registered() -> ProductEvent {
    let (sku, name, price, active) = (Sku::from("A"), "Lamp".to_owned(), price("2.55").unwrap(), true);
    ProductEvent::Registered(ProductRegistered { sku, name, price, active })
}

#[test]
fn a_product_is_registered_and_again_is_nothing() {
    given_nothing::<Product>().when(register("a", "Lamp", "2.55", true)).then([registered()]).again_changes_nothing();
}

#[test]
fn registering_again_changes_what_differs() {
    let changed = |fields: &[&str], name: Option<&str>, pounds: Option<&str>, active| {
        ProductEvent::Changed(ProductChanged {
            sku: Sku::from("A"),
            fields: fields.iter().map(ToString::to_string).collect(),
            name: name.map(str::to_owned),
            price: pounds.map(|pounds| price(pounds).unwrap()),
            active,
        })
    };
    given::<Product>([registered()])
        .when(register("A", "Lamp", "2.75", true))
        .then([changed(&["price"], None, Some("2.75"), None)])
        .again_changes_nothing()
        .when(register("A", "Torch", "2.75", false))
        .then([changed(&["name", "active"], Some("Torch"), None, Some(false))])
        .again_changes_nothing();
}

#[test]
fn a_bad_number_and_a_negative_price_are_rejected() {
    // What cannot name a stream at all does not come here.
    given_nothing::<Product>().when(register(&"x".repeat(121), "Lamp", "1", true)).then_rejected("bad_sku");
    given_nothing::<Product>().when(register("A", "Lamp", "-0.01", true)).then_rejected("negative_price");
}
