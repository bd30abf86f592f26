//! Scores of orders, by amount and velocity.

use std::time::Duration;

use factum_testing::{
    folding::{Folded, folding},
    scenario::{Happened, NOW, happened},
};

use super::*;
use crate::{
    contracts::{
        ids::OrderId,
        order::{OrderCreated, OrderStatus},
    },
    money::pence,
};

fn at(minutes: u64) -> Timestamp {
    NOW + Duration::from_secs(60 * minutes)
}

fn ordered_by(customer: Option<&str>) -> Happened {
    happened(OrderCreated {
        channel: Default::default(),
        order_id: OrderId::from("1"),
        customer_id: customer.map(CustomerId::from),
        cart_id: None,
        items: Vec::new(),
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(0),
        shipping_address: None,
        payment_method: None,
        status: OrderStatus::PendingValidation,
    })
}

/// So many orders of customer `c`, at these minutes.
fn orders(policy: Policy, minutes: impl IntoIterator<Item = u64>) -> Folded {
    minutes.into_iter().fold(folding(velocity(policy, Process::Orchestrated)), |folded, minute| {
        folded.given(ordered_by(Some("c")).at(at(minute)))
    })
}

fn check(folded: &Folded, customer: Option<&str>, amount: i64) -> (Verdict, u32, Vec<String>) {
    let customer_id = customer.map(CustomerId::from);
    let asked = CheckTransaction { order_id: OrderId::from("1"), customer_id, amount: pence(amount) };
    let answer = folded.when(asked).unwrap();
    let (stream, checked) = answer.emitted::<TransactionChecked>().remove(0);
    assert_eq!(stream.as_str(), "check-1");
    (checked.verdict, checked.score, checked.reasons)
}

fn reasons(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn neither_a_large_amount_nor_many_orders_alone_are_flagged() {
    let few = orders(Policy::Hold, 0..5).at(at(5));
    assert_eq!(check(&few, Some("c"), LARGE), (Verdict::Cleared, 0, reasons(&[])));
    assert_eq!(check(&few, Some("c"), LARGE + 1), (Verdict::Cleared, 50, reasons(&["large_amount"])));
    assert_eq!(check(&few, None, LARGE + 1), (Verdict::Cleared, 60, reasons(&["large_amount"])));
    let many = orders(Policy::Hold, 0..6).at(at(6));
    assert_eq!(check(&many, Some("c"), 1), (Verdict::Cleared, 50, reasons(&["many_orders"])));
    assert_eq!(check(&many, Some("d"), 1), (Verdict::Cleared, 0, reasons(&[])));
}

#[test]
fn both_together_are_flagged_unless_the_policy_only_notes() {
    let both = reasons(&["large_amount", "many_orders"]);
    let flagged = check(&orders(Policy::Hold, 0..6).at(at(6)), Some("c"), LARGE + 1);
    assert_eq!(flagged, (Verdict::Flagged, 100, both.clone()));
    let noted = check(&orders(Policy::NoteOnly, 0..6).at(at(6)), Some("c"), LARGE + 1);
    assert_eq!(noted, (Verdict::Cleared, 100, both));
}

#[test]
fn only_the_last_hour_counts_and_nothing_that_lies_ahead() {
    let score = |minute: u64| check(&orders(Policy::Hold, 10..16).at(at(minute)), Some("c"), 1).1;
    assert_eq!(score(69), 50);
    assert_eq!(score(70), 0, "the first is an hour old");
    assert_eq!(score(14), 0, "the sixth has not happened yet");
    let guests =
        (0..9).fold(folding(velocity(Policy::Hold, Process::Orchestrated)), |folded, _| folded.given(ordered_by(None)));
    assert_eq!(check(&guests, None, 1).1, 10);
}

#[test]
fn a_busy_customer_costs_bounded_memory_and_stays_conspicuous() {
    let busy = orders(Policy::Hold, (0..100).map(|_| 1)).at(at(2));
    assert_eq!(check(&busy, Some("c"), 1).1, 50);
}
