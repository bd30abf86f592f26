//! The order's part where no saga runs it: it hears what the other rooms say, and takes its next step.

use std::{collections::BTreeMap, time::Duration};

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    catalog::ValidationCompleted,
    fraud::TransactionChecked,
    ids::OrderId,
    inventory::{InventoryReserved, ReservationFailed},
    order::*,
    payment::{PaymentCaptured, PaymentFailed},
    shapes::{LineKind, Verdict},
    shipping::{ShippingCreated, ShippingDelivered, ShippingDispatched, ShippingFailed},
};

/// A held order is given up when nobody has looked at it for so long.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// When that is.
const HELD: TimerTo<CancelOrder> = TimerTo::new("held");

/// The orders under way.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Progress {
    orders: BTreeMap<OrderId, Known>,
}

/// What the others have said of one.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Known {
    /// It holds goods that had no price when it was placed.
    unpriced: bool,
    valid: bool,
    cleared: bool,
    dispatched: bool,
    label: Option<Label>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Label {
    tracking_number: String,
    carrier: String,
    estimated_delivery: Timestamp,
}

/// What others say of an order.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
pub enum Said {
    Created(OrderCreated),
    HoldReleased(OrderHoldReleased),
    Delivered(OrderDelivered),
    Returned(OrderReturned),
    Cancelled(OrderCancelled),
    Rejected(OrderRejected),
    Validation(ValidationCompleted),
    Checked(TransactionChecked),
    Captured(PaymentCaptured),
    NotPaid(PaymentFailed),
    Reserved(InventoryReserved),
    NotReserved(ReservationFailed),
    Labelled(ShippingCreated),
    Dispatched(ShippingDispatched),
    Arrived(ShippingDelivered),
    NotShipped(ShippingFailed),
}

/// Takes the order's steps.
pub fn choreography() -> Folding<Progress> {
    Folding::new("choreography", 1).by("orderId").fold(follow).react(go_on).sets(HELD).snapshots()
}

fn follow(progress: &mut Progress, event: &Recorded<Said>) {
    let orders = &mut progress.orders;
    let mut of = |order: &OrderId, change: &dyn Fn(&mut Known)| {
        if let Some(known) = orders.get_mut(order) {
            change(known);
        }
    };
    match &event.data {
        Said::Created(e) => {
            let goods = e.items.iter().filter(|line| line.kind == LineKind::Goods);
            let unpriced = goods.filter(|line| line.unit_price.is_none() && line.amount.amount == 0).count() > 0;
            orders.insert(e.order_id.clone(), Known { unpriced, ..Known::default() });
        }
        Said::Validation(e) => of(&e.order_id, &|known| known.valid = e.is_valid),
        Said::Checked(e) => of(&e.order_id, &|known| known.cleared = e.verdict == Verdict::Cleared),
        Said::HoldReleased(e) => of(&e.order_id, &|known| known.cleared = true),
        Said::Labelled(e) => of(&e.order_id, &|known| {
            let (tracking_number, carrier) = (e.tracking_number.clone(), e.carrier.clone());
            known.label = Some(Label { tracking_number, carrier, estimated_delivery: e.estimated_delivery });
        }),
        Said::Dispatched(e) => of(&e.order_id, &|known| known.dispatched = true),
        Said::Delivered(OrderDelivered { order_id, .. })
        | Said::Returned(OrderReturned { order_id, .. })
        | Said::Cancelled(OrderCancelled { order_id, .. })
        | Said::Rejected(OrderRejected { order_id, .. }) => _ = orders.remove(order_id),
        Said::Captured(_) | Said::NotPaid(_) | Said::Reserved(_) | Said::NotReserved(_) => {}
        Said::Arrived(_) | Said::NotShipped(_) => {}
    }
}

fn go_on(progress: &Progress, event: &Recorded<Said>, fx: &mut Effects) {
    let under_way = |order: &OrderId| progress.orders.get(order);
    match &event.data {
        Said::Validation(e) if under_way(&e.order_id).is_some() && !e.is_valid => {
            let (order_id, reason) = (e.order_id.clone(), "invalid_products".to_owned());
            fx.send(RejectOrder { order_id, reason, invalid_items: e.invalid_items.clone() });
        }
        Said::Checked(e) if under_way(&e.order_id).is_some() && e.verdict == Verdict::Flagged => {
            let (order_id, reason) = (e.order_id.clone(), "fraud".to_owned());
            let give_up = CancelOrder { order_id: order_id.clone(), reason: reason.clone() };
            fx.send(HoldOrder { order_id, reason });
            fx.after(HELD, LOOKED_AT_WITHIN, give_up);
        }
        Said::Validation(ValidationCompleted { order_id, .. }) | Said::Checked(TransactionChecked { order_id, .. }) => {
            validated(under_way(order_id), order_id, fx);
        }
        Said::HoldReleased(e) => {
            fx.cancel(HELD);
            validated(under_way(&e.order_id), &e.order_id, fx);
        }
        Said::Rejected(_) | Said::Cancelled(_) => fx.cancel(HELD),
        Said::Captured(e) if under_way(&e.order_id).is_some() => fx.send(MarkPaid {
            order_id: e.order_id.clone(),
            payment_id: e.payment_id.clone(),
            amount: e.amount,
            payment_method: Some(e.method.clone()),
        }),
        Said::NotPaid(e) => given_up(under_way(&e.order_id), &e.order_id, "payment_failed", fx),
        Said::Reserved(e) if under_way(&e.order_id).is_some() => {
            fx.send(MarkReserved { order_id: e.order_id.clone(), items: e.items.clone() });
        }
        Said::NotReserved(e) => given_up(under_way(&e.order_id), &e.order_id, "out_of_stock", fx),
        Said::Dispatched(e) => {
            if let Some(label) = under_way(&e.order_id).and_then(|known| known.label.clone()) {
                fx.send(MarkShipped {
                    order_id: e.order_id.clone(),
                    shipment_id: e.shipment_id.clone(),
                    tracking_number: label.tracking_number,
                    carrier: label.carrier,
                    estimated_delivery: Some(label.estimated_delivery),
                });
            }
        }
        Said::Arrived(e) if under_way(&e.order_id).is_some() => {
            fx.send(MarkDelivered { order_id: e.order_id.clone(), delivered_at: e.delivered_at });
        }
        // What fails behind the dispatch is lost: the customer gets the money back.
        Said::NotShipped(e) if under_way(&e.order_id).is_some_and(|known| known.dispatched) => {
            fx.send(LoseOrder { order_id: e.order_id.clone() });
        }
        Said::NotShipped(e) => given_up(under_way(&e.order_id), &e.order_id, "undeliverable", fx),
        Said::Created(_) | Said::Delivered(_) | Said::Returned(_) | Said::Labelled(_) => {}
        Said::Captured(_) | Said::Reserved(_) | Said::Arrived(_) => {}
    }
}

/// Valid and cleared, whichever came last.
fn validated(known: Option<&Known>, order: &OrderId, fx: &mut Effects) {
    match known {
        Some(Known { valid: true, cleared: true, unpriced: true, .. }) => given_up(known, order, "out_of_stock", fx),
        Some(Known { valid: true, cleared: true, .. }) => fx.send(MarkValidated { order_id: order.clone() }),
        _ => {}
    }
}

fn given_up(known: Option<&Known>, order: &OrderId, reason: &str, fx: &mut Effects) {
    if known.is_some() {
        fx.send(FailOrder { order_id: order.clone(), reason: reason.to_owned() });
    }
}

#[cfg(test)]
mod tests;
