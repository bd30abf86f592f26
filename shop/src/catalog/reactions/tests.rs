//! Products are judged as they were at the order's time.

use std::time::Duration;

use factum_testing::{
    folding::{Folded, folding},
    scenario::{NOW, happened},
};

use super::*;
use crate::{
    contracts::{
        catalog::{ProductChanged, ProductRegistered},
        ids::OrderId,
        shapes::Quantity,
    },
    money::price,
};

fn at(minutes: u64) -> Timestamp {
    NOW + Duration::from_secs(60 * minutes)
}

fn registered(sku: &str, active: bool) -> ProductEvent {
    let (sku, name, price) = (Sku::from(sku), "Lamp".to_owned(), price("1").unwrap());
    ProductEvent::Registered(ProductRegistered { sku, name, price, active })
}

fn switched(sku: &str, active: Option<bool>) -> ProductEvent {
    let (sku, fields, name, price) = (Sku::from(sku), Vec::new(), Some("Torch".to_owned()), None);
    ProductEvent::Changed(ProductChanged { sku, fields, name, price, active })
}

/// The problems that an order of these products has.
fn problems(products: &Folded, skus: &[&str]) -> Vec<(String, String)> {
    let items = skus.iter().map(|sku| Quantity { sku: Sku::from(*sku), quantity: 1 }).collect();
    let answer = products.when(ValidateProducts { order_id: OrderId::from("1"), items }).unwrap();
    let (stream, completed) = answer.emitted::<ValidationCompleted>().remove(0);
    assert_eq!((stream.as_str(), answer.effects.len()), ("validation-1", 1));
    assert_eq!(completed.is_valid, completed.invalid_items.is_empty());
    completed.invalid_items.into_iter().map(|item| (item.sku.to_string(), item.reason)).collect()
}

fn problem(sku: &str, reason: &str) -> (String, String) {
    (sku.to_owned(), reason.to_owned())
}

#[test]
fn products_are_known_and_active() {
    let products = folding(validation(Process::Orchestrated))
        .given(happened(registered("A", true)).at(at(0)))
        .given(happened(registered("B", false)).at(at(0)))
        .at(at(5));
    assert_eq!(problems(&products, &["A", "a"]), []);
    assert_eq!(problems(&products, &[]), []);
    let expected = [problem("B", "not_for_sale"), problem("D", "unknown_product")];
    assert_eq!(problems(&products, &["A", "B", "D", "B", "D"]), expected, "each once, in the order's order");
}

#[test]
fn what_counts_is_how_it_was_at_the_orders_time() {
    let mut products = folding(validation(Process::Orchestrated))
        .given(happened(registered("A", true)).at(at(0)))
        .given(happened(switched("A", Some(false))).at(at(10)))
        .given(happened(switched("A", None)).at(at(15)))
        .given(happened(switched("A", Some(true))).at(at(20)));
    for (minute, expected) in [(0, None), (9, None), (10, Some("not_for_sale")), (16, Some("not_for_sale")), (20, None)]
    {
        products = products.at(at(minute));
        let expected: Vec<_> = expected.map(|reason| problem("A", reason)).into_iter().collect();
        assert_eq!(problems(&products, &["A"]), expected, "minute {minute}");
    }
}

/// CLOSING 21: the clock was ahead when they were registered, and switched.
#[test]
fn what_the_log_has_registered_is_for_sale_whatever_the_clock_said() {
    let products = folding(validation(Process::Orchestrated))
        .given(happened(registered("A", true)).at(at(90)))
        .given(happened(registered("B", false)).at(at(90)))
        .given(happened(registered("C", true)).at(at(90)))
        .given(happened(switched("C", Some(false))).at(at(95)))
        .at(at(5));
    assert_eq!(problems(&products, &["A", "B", "C"]), [problem("B", "not_for_sale")]);
    assert_eq!(problems(&products.at(at(99)), &["A", "C"]), [problem("C", "not_for_sale")]);
}

#[test]
fn news_that_comes_late_is_put_where_it_belongs() {
    let products = folding(validation(Process::Orchestrated))
        .given(happened(registered("A", true)).at(at(0)))
        .given(happened(switched("A", Some(false))).at(at(10)))
        .given(happened(switched("A", Some(true))).at(at(5)))
        .at(at(12));
    assert_eq!(problems(&products, &["A"]), [problem("A", "not_for_sale")]);
}
