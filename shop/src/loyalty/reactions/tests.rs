//! What orders bring and lose in points, event by event.

use factum_testing::{
    folding::{Folded, folding},
    scenario::{Happened, Reacted, happened},
};

use super::*;
use crate::{
    contracts::{
        ids::{PaymentId, Sku},
        loyalty::LoyaltyCommand,
        shapes::{Line, ReturnItem},
    },
    money::{pence, price},
};

fn goods(line: u32, quantity: i64, unit: &str) -> Line {
    Line::goods(line, Sku::from("TEA"), "", quantity, price(unit).unwrap()).unwrap()
}

fn other(kind: LineKind, line: u32, amount: i64) -> Line {
    let (sku, name) = (Sku::from("POST"), String::new());
    Line { line, kind, sku, name, quantity: 1, unit_price: None, amount: pence(amount) }
}

fn created(customer: Option<&str>, items: &[Line]) -> Happened {
    happened(OrderCreated {
        channel: Default::default(),
        order_id: OrderId::from("1"),
        customer_id: customer.map(CustomerId::from),
        cart_id: None,
        items: items.to_vec(),
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(items.iter().map(|line| line.amount.amount).sum()),
        shipping_address: None,
        payment_method: None,
        status: OrderStatus::PendingValidation,
    })
}

/// Three pieces at 1.50: 4 points.
fn of_c() -> Happened {
    created(Some("c"), &[goods(1, 3, "1.50")])
}

fn paid() -> Happened {
    let (order_id, payment_id) = (OrderId::from("1"), PaymentId::from("p"));
    happened(OrderPaid { order_id, payment_id, amount: pence(450), payment_method: None })
}

fn delivered() -> Happened {
    happened(OrderDelivered { order_id: OrderId::from("1"), delivered_at: Timestamp::default() })
}

fn returned(quantity: i64, amount: i64, reason: &str) -> Happened {
    happened(OrderReturned {
        order_id: OrderId::from("1"),
        credit_id: None,
        items: vec![ReturnItem { sku: Sku::from("TEA"), quantity, line: None }],
        amount: pence(amount),
        not_due: None,
        reason: reason.to_owned(),
    })
}

fn cancelled() -> Happened {
    happened(OrderCancelled { order_id: OrderId::from("1"), reason: "out_of_stock".to_owned() })
}

fn has_awarded() -> Happened {
    let (customer_id, order_id) = (CustomerId::from("c"), OrderId::from("1"));
    happened(PointsAwarded { customer_id, order_id, points: 4, balance: 4 })
}

fn award(points: i64) -> AwardPoints {
    AwardPoints { customer_id: CustomerId::from("c"), order_id: OrderId::from("1"), points }
}

fn gone(gone: i64) -> RevokePoints {
    RevokePoints { customer_id: CustomerId::from("c"), order_id: OrderId::from("1"), gone }
}

fn by(policy: Policy) -> Folded {
    folding(points(policy))
}

/// It awards so many points, once, and does nothing else.
#[track_caller]
fn awards(reacted: &Reacted, points: i64) {
    assert_eq!(reacted.sent::<LoyaltyCommand>(), [LoyaltyCommand::Award(award(points))]);
}

#[test]
fn a_delivered_order_brings_a_point_for_each_whole_pound_of_goods() {
    let cases = [
        (vec![goods(1, 3, "1.50")], Some(4)),
        (vec![goods(1, 1, "0.99")], None),
        (vec![goods(1, 1, "0.50"), goods(2, 1, "0.50")], Some(1)),
        (vec![goods(1, 1, "5.00"), other(LineKind::Carriage, 2, 10_000)], Some(5)),
        (vec![goods(1, 1, "5.00"), other(LineKind::Manual, 2, -101)], Some(3)),
        (vec![goods(1, 1, "5.00"), other(LineKind::Manual, 2, 300)], Some(5)),
        (vec![other(LineKind::Carriage, 1, 10_000)], None),
    ];
    for (items, points) in cases {
        let mut of = by(Policy::Delivered).given(created(Some("c"), &items)).given(paid());
        let reacted = of.happens(delivered());
        match points {
            Some(points) => awards(&reacted, points),
            None => reacted.nothing(),
        }
    }
}

#[test]
fn the_policy_says_when_and_a_delivery_makes_up_for_what_was_paid_before_it_changed() {
    let mut late = by(Policy::Delivered).given(of_c());
    late.happens(paid()).nothing();
    awards(&late.happens(delivered()), 4);
    let mut early = by(Policy::Paid).given(of_c());
    awards(&early.happens(paid()), 4);
    let mut early = early.given(has_awarded());
    early.happens(delivered()).nothing();
    awards(&by(Policy::Paid).given(of_c()).given(paid()).happens(delivered()), 4);
    by(Policy::Delivered).given(of_c()).given(paid()).given(has_awarded()).happens(delivered()).nothing();
}

#[test]
fn guests_get_none() {
    let mut guest = by(Policy::Paid).given(created(None, &[goods(1, 3, "1.50")]));
    for happened in [paid(), delivered(), returned(3, 450, "customer"), cancelled()] {
        guest.happens(happened).nothing();
    }
}

#[test]
fn a_delivery_waits_until_its_orders_customer_is_known() {
    let mut early = by(Policy::Delivered);
    early.happens(delivered()).nothing();
    awards(&early.happens(of_c()), 4);
    // What came back meanwhile is taken off, and nothing is awarded if that is all.
    let mut early = by(Policy::Delivered);
    early.happens(delivered()).nothing();
    early.happens(returned(1, 150, "customer")).nothing();
    let sent = early.happens(of_c()).sent::<LoyaltyCommand>();
    assert_eq!(sent, [LoyaltyCommand::Award(award(4)), LoyaltyCommand::Revoke(gone(1))]);
    let mut all = by(Policy::Delivered).given(delivered()).given(returned(3, 450, "customer"));
    all.happens(of_c()).nothing();
}

#[test]
fn pieces_one_by_one_or_at_once_take_the_same_and_all_of_them_take_all() {
    let has = || by(Policy::Delivered).given(of_c()).given(delivered()).given(has_awarded());
    // 4 points of 4.50; what is left is worth 3.00, then 1.50, then nothing.
    let mut one_by_one = has();
    for so_far in [1, 3, 4] {
        assert_eq!(one_by_one.happens(returned(1, 150, "customer")).sent::<RevokePoints>(), [gone(so_far)]);
    }
    assert_eq!(has().happens(returned(2, 300, "customer")).sent::<RevokePoints>(), [gone(3)]);
    assert_eq!(has().happens(returned(3, 450, "customer")).sent::<RevokePoints>(), [gone(4)]);
    // Nothing is left with the customer, however little of it was given back.
    assert_eq!(has().happens(returned(3, 0, "customer")).sent::<RevokePoints>(), [gone(4)]);
    // More than it cost takes no more than it brought.
    assert_eq!(has().happens(returned(1, 100_000, "customer")).sent::<RevokePoints>(), [gone(4)]);
    has().happens(returned(1, 0, "customer")).nothing();
}

#[test]
fn a_lost_parcel_brings_nothing_and_takes_what_was_awarded_when_it_was_paid() {
    let lost = || returned(3, 450, LOST);
    by(Policy::Delivered).given(of_c()).given(paid()).happens(lost()).nothing();
    let mut paid_for = by(Policy::Paid).given(of_c());
    awards(&paid_for.happens(paid()), 4);
    assert_eq!(paid_for.happens(lost()).sent::<LoyaltyCommand>(), [LoyaltyCommand::Revoke(gone(4))]);
}

#[test]
fn a_cancelled_order_loses_what_it_brought_and_brings_nothing_later() {
    by(Policy::Delivered).given(of_c()).happens(cancelled()).nothing();
    let mut paid_for = by(Policy::Paid).given(of_c()).given(paid());
    assert_eq!(paid_for.happens(cancelled()).sent::<LoyaltyCommand>(), [LoyaltyCommand::Revoke(gone(4))]);
    let mut before = by(Policy::Paid).given(of_c()).given(cancelled());
    before.happens(paid()).nothing();
    // Also if the shop awards at delivery by now.
    let mut earlier = by(Policy::Delivered).given(of_c()).given(paid()).given(has_awarded());
    assert_eq!(earlier.happens(cancelled()).sent::<LoyaltyCommand>(), [LoyaltyCommand::Revoke(gone(4))]);
}
