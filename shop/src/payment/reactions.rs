//! What the payment service does when something happens: it asks the provider, and gives money back for returns.

use factum::prelude::*;

use super::gateway::{self, ProviderRequest};
use crate::contracts::{
    order::{OrderCredited, OrderReturned},
    payment::{CaptureOpened, PaymentAct, PaymentOpened, RefundOpened, RefundPayment, VoidOpened},
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

#[cfg(test)]
mod tests;
