//! What may happen to a cart, rule by rule.

use std::time::Duration;

use factum_testing::scenario::{Given, NOW, given, given_nothing};

use super::*;
use crate::money::price;

fn id() -> CartId {
    CartId::from("b")
}

fn create(id: &str) -> CartCommand {
    CartCommand::Create(CreateCart { cart_id: id.into(), customer_id: Some("c".into()) })
}

fn created() -> CartEvent {
    CartEvent::Created(CartCreated { cart_id: id(), customer_id: Some("c".into()) })
}

fn add(sku: &str, quantity: i64, unit: &str) -> CartCommand {
    let offer = Offer { name: sku.to_lowercase(), unit_price: price(unit).unwrap(), active: true };
    CartCommand::AddItem(AddItem { cart_id: id(), sku: sku.into(), quantity, offer: Some(offer) })
}

fn line(number: u32, sku: &str, quantity: i64, unit: &str) -> Line {
    Line::goods(number, sku.into(), &sku.to_lowercase(), quantity, price(unit).unwrap()).unwrap()
}

fn added(number: u32, sku: &str, quantity: i64, unit: &str) -> CartEvent {
    CartEvent::ItemAdded(CartItemAdded { cart_id: id(), item: line(number, sku, quantity, unit) })
}

fn remove(sku: &str, quantity: Option<i64>) -> CartCommand {
    CartCommand::RemoveItem(RemoveItem { cart_id: id(), sku: sku.into(), quantity })
}

fn removed(sku: &str, quantity: Option<i64>) -> CartEvent {
    CartEvent::ItemRemoved(CartItemRemoved { cart_id: id(), sku: sku.into(), quantity })
}

fn check_out(now: &[(&str, &str)], agreed: Option<i64>) -> CartCommand {
    let priced = |(sku, unit): &(&str, &str)| PriceNow {
        sku: (*sku).into(),
        name: sku.to_lowercase(),
        unit_price: price(unit).unwrap(),
    };
    CartCommand::CheckOut(CheckOutCart {
        cart_id: id(),
        customer_id: Some("somebody else".into()),
        prices: now.iter().map(priced).collect(),
        total: agreed.map(pence),
        shipping_address: None,
        payment_method: Some("card".into()),
    })
}

fn checked_out(items: Vec<Line>, sum: i64) -> CartEvent {
    CartEvent::CheckedOut(CartCheckedOut {
        cart_id: id(),
        customer_id: Some("c".into()),
        items,
        subtotal: pence(sum),
        discount: None,
        tax: None,
        total: pence(sum),
        shipping_address: None,
        payment_method: Some("card".into()),
    })
}

fn abandon(unchanged_since: Option<Timestamp>) -> CartCommand {
    CartCommand::Abandon(AbandonCart { cart_id: id(), reason: "r".to_owned(), unchanged_since })
}

fn abandoned(items: Vec<Line>) -> CartEvent {
    CartEvent::Abandoned(CartAbandoned { cart_id: id(), customer_id: Some("c".into()), reason: "r".to_owned(), items })
}

/// Two teas and a cup.
fn cart() -> Given<Cart> {
    given([created(), added(1, "TEA", 2, "2.55"), added(2, "CUP", 1, "0.135")])
}

#[test]
fn a_cart_is_opened_once() {
    given_nothing::<Cart>().when(create("b")).then([created()]).when(create("b")).then_rejected("cart_exists");
    // Its order's id and those that follow from it must be ids too.
    given_nothing::<Cart>().when(create(&"x".repeat(116))).then_rejected("bad_id");
    for command in [add("TEA", 1, "1"), remove("TEA", None), check_out(&[], None), abandon(None)] {
        given_nothing::<Cart>().when(command).then_rejected("unknown_cart");
    }
}

#[test]
fn what_goes_in_twice_is_one_line_at_the_newest_price() {
    cart()
        .when(add("TEA", 3, "3.00"))
        .then([added(1, "TEA", 3, "3.00")])
        .when(check_out(&[], None))
        .then([checked_out(vec![line(1, "TEA", 5, "3.00"), line(2, "CUP", 1, "0.135")], 1514)]);
    cart().when(add("MUG", 1, "4")).then([added(3, "MUG", 1, "4")]);
}

#[test]
fn a_cart_holds_what_an_order_can_take() {
    for (quantity, sku) in
        [(0, "TEA"), (-1, "TEA"), (MAX_QUANTITY, "TEA"), (MAX_QUANTITY + 1, "MUG"), (i64::MAX, "TEA")]
    {
        cart().when(add(sku, quantity, "1")).then_rejected("bad_quantity");
    }
    cart().when(add("", 1, "1")).then_rejected("bad_id");
    cart().when(add("GOLD", MAX_QUANTITY, "90000000000000")).then_rejected("no_price");
    let full = (1..=MAX_LINES as u32).map(|number| added(number, &format!("S{number}"), 1, "1"));
    let full = || given::<Cart>(std::iter::once(created()).chain(full.clone()).collect::<Vec<_>>());
    full().when(add("MORE", 1, "1")).then_rejected("too_many_lines");
    full().when(add("S7", 1, "1")).then([added(7, "S7", 1, "1")]);
}

#[test]
fn what_is_not_there_cannot_go_out() {
    cart().when(remove("TEA", Some(1))).then([removed("TEA", Some(1))]);
    cart()
        .when(remove("TEA", None))
        .then([removed("TEA", None)])
        .when(remove("TEA", None))
        .then_rejected("not_in_the_cart");
    cart().when(remove("TEA", Some(3))).then_rejected("not_that_many");
    cart().when(remove("TEA", Some(0))).then_rejected("bad_quantity");
    cart()
        .when(remove("TEA", Some(2)))
        .then([removed("TEA", Some(2))])
        .when(check_out(&[], None))
        .then([checked_out(vec![line(1, "CUP", 1, "0.135")], 14)]);
}

#[test]
fn a_cart_is_checked_out_once_at_the_prices_of_now_and_the_sum_that_was_agreed() {
    let items = vec![line(1, "TEA", 2, "2.55"), line(2, "CUP", 1, "0.135")];
    let same = [("TEA", "2.55"), ("CUP", "0.135"), ("MUG", "9")];
    cart().when(check_out(&same, None)).then([checked_out(items, 524)]).again_changes_nothing();
    let dearer = [("TEA", "3.00")];
    let said = cart().when(check_out(&dearer, None)).then_rejected("total_changed");
    assert!(said.message.contains("comes to 6.14 GBP, not to 5.24 GBP"), "{}", said.message);
    cart().when(check_out(&dearer, Some(524))).then_rejected("total_changed");
    let items = vec![line(1, "TEA", 2, "3.00"), line(2, "CUP", 1, "0.135")];
    cart().when(check_out(&dearer, Some(614))).then([checked_out(items, 614)]);
    given::<Cart>([created()]).when(check_out(&[], None)).then_rejected("empty_cart");
}

#[test]
fn a_cart_that_has_ended_takes_nothing() {
    let ends = [checked_out(vec![line(1, "TEA", 2, "2.55")], 510), abandoned(Vec::new())];
    for (end, state) in ends.into_iter().zip(["checked out", "abandoned"]) {
        for command in [add("TEA", 1, "1"), remove("TEA", None)] {
            let refused = given::<Cart>([created(), end.clone()]).when(command).then_rejected("cart_ended");
            assert!(refused.message.contains(state), "{}", refused.message);
        }
    }
    given::<Cart>([created(), abandoned(Vec::new())]).when(check_out(&[], None)).then_rejected("cart_ended");
    let gone = || given::<Cart>([created(), checked_out(vec![line(1, "TEA", 2, "2.55")], 510)]);
    gone().when(abandon(None)).then_rejected("cart_ended");
    gone().when(abandon(Some(NOW))).then_nothing();
}

#[test]
fn a_cart_that_has_changed_since_is_not_given_up() {
    let items = vec![line(1, "TEA", 2, "2.55"), line(2, "CUP", 1, "0.135")];
    let before = NOW - Duration::from_secs(1);
    cart().when(abandon(Some(before))).then_nothing();
    cart().when(abandon(Some(NOW))).then([abandoned(items.clone())]).again_changes_nothing();
    cart().when(abandon(None)).then([abandoned(items)]);
}
