//! What can be asked about payments.

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    contracts::{
        ids::{OrderId, PaymentId, PaymentMethod},
        payment::PaymentEvent,
    },
    money::pence,
};

/// A payment.
#[derive(Clone, Debug, Row)]
#[row("payments")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct PaymentRow {
    #[key]
    pub payment_id: PaymentId,
    #[index]
    pub order_id: Option<OrderId>,
    pub amount: Money,
    pub method: Option<PaymentMethod>,
    #[index]
    pub status: PaymentStatus,
    pub refunded: Money,
    pub transaction_id: Option<String>,
    pub reason: Option<String>,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the variants say what they are")]
pub enum PaymentStatus {
    Opened,
    Authorized,
    Captured,
    Failed,
    Voided,
    /// Money that is only given back: a credit without an order.
    Credit,
}

/// Follows the payments.
pub fn payments(rows: &mut Rows<PaymentRow>, event: &Recorded<PaymentEvent>) {
    use PaymentEvent as E;
    use PaymentStatus as S;
    let blank = |payment: &PaymentId, order: Option<&OrderId>, status| PaymentRow {
        payment_id: payment.clone(),
        order_id: order.cloned(),
        amount: pence(0),
        method: None,
        status,
        refunded: pence(0),
        transaction_id: None,
        reason: None,
    };
    match &event.data {
        E::Opened(e) => rows.put(PaymentRow {
            amount: e.amount,
            method: Some(e.method.clone()),
            ..blank(&e.payment_id, Some(&e.order_id), S::Opened)
        }),
        E::Authorized(e) => to(rows, &e.payment_id, S::Authorized),
        E::Captured(e) => {
            _ = rows.update(&e.payment_id, |row| {
                row.status = S::Captured;
                row.transaction_id = Some(e.transaction_id.clone());
            })
        }
        E::Failed(e) => {
            if let Some(payment) = &e.payment_id {
                rows.update(payment, |row| {
                    row.status = S::Failed;
                    row.reason = Some(e.reason.clone());
                });
            }
        }
        E::Voided(e) => {
            rows.upsert(
                &e.payment_id,
                || blank(&e.payment_id, Some(&e.order_id), S::Voided),
                |row| row.status = S::Voided,
            );
        }
        E::RefundOpened(e) => {
            rows.upsert(&e.payment_id, || blank(&e.payment_id, e.order_id.as_ref(), S::Credit), |_| {});
        }
        E::Refunded(e) => {
            if let Some(payment) = &e.payment_id {
                rows.update(payment, |row| row.refunded = pence(row.refunded.amount + e.amount.amount));
            }
        }
        E::CaptureOpened(_) | E::VoidOpened(_) => {}
    }
}

fn to(rows: &mut Rows<PaymentRow>, payment: &PaymentId, status: PaymentStatus) {
    rows.update(payment, |row| row.status = status);
}
