//! What the order room does where no saga runs it.

use factum_testing::{
    folding::{Folded, folding},
    scenario::happened,
};

use super::*;
use crate::{
    contracts::{
        ids::{PaymentId, Sku},
        shapes::{InvalidItem, Line},
    },
    money::{pence, price},
};

fn id() -> OrderId {
    OrderId::from("1")
}

fn placed() -> Said {
    Said::Created(OrderCreated {
        channel: Default::default(),
        order_id: id(),
        customer_id: None,
        cart_id: None,
        items: vec![Line::goods(1, Sku::from("A"), "", 1, price("2").unwrap()).unwrap()],
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(200),
        shipping_address: None,
        payment_method: None,
        status: OrderStatus::PendingValidation,
    })
}

fn validation(is_valid: bool) -> Said {
    let invalid_items =
        if is_valid { vec![] } else { vec![InvalidItem { sku: Sku::from("A"), reason: "x".to_owned() }] };
    Said::Validation(ValidationCompleted { order_id: id(), is_valid, invalid_items })
}

fn checked(verdict: Verdict) -> Said {
    Said::Checked(TransactionChecked { order_id: id(), verdict, score: 0, reasons: vec![] })
}

fn not_paid() -> Said {
    let (payment_id, reason) = (Some(PaymentId::of(&id())), "card_declined".to_owned());
    Said::NotPaid(PaymentFailed { payment_id, order_id: id(), amount: None, reason })
}

fn progress(said: impl IntoIterator<Item = Said>) -> Folded {
    said.into_iter().fold(folding(choreography()), |folded, said| folded.given(happened(said)))
}

#[test]
fn an_order_goes_on_when_it_is_valid_and_cleared_whichever_comes_last() {
    let goes_on = [MarkValidated { order_id: id() }];
    let mut known = progress([placed(), validation(true)]);
    assert_eq!(known.happens(happened(checked(Verdict::Cleared))).sent::<MarkValidated>(), goes_on);
    let mut known = progress([placed(), checked(Verdict::Cleared)]);
    assert_eq!(known.happens(happened(validation(true))).sent::<MarkValidated>(), goes_on);
    assert!(progress([placed()]).happens(happened(validation(true))).sent::<MarkValidated>().is_empty());
}

#[test]
fn what_is_invalid_is_rejected_and_what_looks_like_fraud_waits_for_a_person() {
    let known = || progress([placed()]);
    assert_eq!(known().happens(happened(validation(false))).sent::<RejectOrder>().len(), 1);
    let held = known().happens(happened(checked(Verdict::Flagged)));
    assert_eq!((held.sent::<HoldOrder>().len(), held.effects.len()), (1, 2), "and a day to look at it");
}

#[test]
fn of_an_order_that_has_ended_nothing_follows() {
    let cancelled = Said::Cancelled(OrderCancelled { order_id: id(), reason: "customer".to_owned() });
    let given_up = [FailOrder { order_id: id(), reason: "payment_failed".to_owned() }];
    assert_eq!(progress([placed()]).happens(happened(not_paid())).sent::<FailOrder>(), given_up);
    assert!(progress([placed(), cancelled]).happens(happened(not_paid())).effects.is_empty());
    assert!(progress([]).happens(happened(not_paid())).effects.is_empty(), "nor of one that nobody has placed");
}
