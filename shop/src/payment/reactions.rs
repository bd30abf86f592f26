//! What the payment service does when something happens: it asks the provider, and gives money back for returns.

use std::collections::BTreeMap;

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use super::gateway::{self, ProviderRequest};
use crate::contracts::{
    ids::{OrderId, PaymentMethod},
    order::{OrderCancelled, OrderCreated, OrderCredited, OrderRejected, OrderReturned, OrderShipped, OrderValidated},
    payment::{
        CaptureOpened, PaymentAct, PaymentCaptured, PaymentFailed, PaymentOpened, PaymentRefunded, PaymentVoided,
        ProcessPayment, RefundOpened, RefundPayment, VoidOpened,
    },
};

/// What the provider must be asked about.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum Opened {
    Payment(PaymentOpened),
    Capture(CaptureOpened),
    Void(VoidOpened),
    Refund(RefundOpened),
}

/// Asks the provider.
pub fn asking() -> Reaction {
    Reaction::new("ask-provider", ask_provider).calls(gateway::PROVIDER)
}

fn ask_provider(event: &Recorded<Opened>, fx: &mut Effects) {
    let (act, payment, amount, refund) = match &event.data {
        Opened::Payment(e) => (PaymentAct::Authorize, &e.payment_id, e.amount, None),
        Opened::Capture(e) => (PaymentAct::Capture, &e.payment_id, e.amount, None),
        Opened::Void(e) => (PaymentAct::Void, &e.payment_id, e.amount, None),
        Opened::Refund(e) => (PaymentAct::Refund, &e.payment_id, e.amount, Some(e.refund_id.clone())),
    };
    let request = ProviderRequest { act, payment_id: payment.clone(), amount, refund_id: refund };
    fx.call(gateway::PROVIDER, request);
}

/// What money is given back for.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum Owed {
    Returned(OrderReturned),
    Credited(OrderCredited),
}

/// Returned goods and credits are paid back.
pub fn give_back(event: &Recorded<Owed>, fx: &mut Effects) {
    fx.send(match &event.data {
        Owed::Returned(e) => RefundPayment {
            order_id: Some(e.order_id.clone()),
            credit_id: e.credit_id.clone(),
            amount: Some(e.amount),
            reason: e.reason.clone(),
        },
        Owed::Credited(e) => RefundPayment {
            order_id: None,
            credit_id: Some(e.credit_id.clone()),
            amount: Some(e.amount),
            reason: e.reason.clone(),
        },
    });
}

/// Orders that are to be paid, where no saga asks for it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Bills {
    orders: BTreeMap<OrderId, Bill>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Bill {
    amount: Money,
    method: PaymentMethod,
    /// The provider was asked.
    asked: bool,
    /// The order was given up since; what comes of it goes back.
    cancelled: bool,
}

/// What an order says, and what becomes of its payment.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
pub enum Billed {
    Created(OrderCreated),
    Validated(OrderValidated),
    Rejected(OrderRejected),
    Cancelled(OrderCancelled),
    Shipped(OrderShipped),
    Captured(PaymentCaptured),
    Failed(PaymentFailed),
    Voided(PaymentVoided),
}

/// Takes the money of an order that is valid, and gives it back when the order is cancelled.
pub fn paying() -> Folding<Bills> {
    Folding::new("pay-orders", 1).by("orderId").fold(note_bill).fold(close_bill).react(pay).snapshots()
}

fn note_bill(bills: &mut Bills, event: &Recorded<Billed>) {
    let orders = &mut bills.orders;
    match &event.data {
        Billed::Created(e) => {
            let method = e.payment_method.clone().unwrap_or_else(|| PaymentMethod::from("card"));
            let bill = Bill { amount: e.total, method, asked: false, cancelled: false };
            orders.insert(e.order_id.clone(), bill);
        }
        Billed::Validated(e) => {
            if let Some(bill) = orders.get_mut(&e.order_id) {
                bill.asked = true;
            }
        }
        Billed::Cancelled(e) => {
            if let Some(bill) = orders.get_mut(&e.order_id) {
                bill.cancelled = true;
            }
            if orders.get(&e.order_id).is_some_and(|bill| !bill.asked) {
                orders.remove(&e.order_id);
            }
        }
        Billed::Rejected(OrderRejected { order_id, .. })
        | Billed::Shipped(OrderShipped { order_id, .. })
        | Billed::Failed(PaymentFailed { order_id, .. })
        | Billed::Voided(PaymentVoided { order_id, .. }) => _ = orders.remove(order_id),
        Billed::Captured(_) => {}
    }
}

/// What was taken for a cancelled order has gone back; other refunds come when there is no bill any more.
fn close_bill(bills: &mut Bills, event: &Recorded<PaymentRefunded>) {
    if let Some(order) = &event.order_id {
        bills.orders.remove(order);
    }
}

fn pay(bills: &Bills, event: &Recorded<Billed>, fx: &mut Effects) {
    let bill = |order: &OrderId| bills.orders.get(order);
    match &event.data {
        Billed::Validated(e) => {
            if let Some(Bill { amount, method, .. }) = bill(&e.order_id) {
                let (order_id, amount, method) = (e.order_id.clone(), *amount, method.clone());
                fx.send(ProcessPayment { order_id, amount, method });
            }
        }
        // Nothing said how much: all of it, and what is only held is let go.
        Billed::Cancelled(OrderCancelled { order_id, .. }) | Billed::Captured(PaymentCaptured { order_id, .. })
            if bill(order_id).is_some_and(|bill| bill.cancelled) =>
        {
            let reason = "cancelled".to_owned();
            fx.send(RefundPayment { order_id: Some(order_id.clone()), credit_id: None, amount: None, reason });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
