//! What can be asked about payments.

use std::collections::BTreeMap;

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    contracts::{
        ids::{OrderId, PaymentId, PaymentMethod, RefundId},
        payment::{PaymentAct, PaymentEvent},
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
    /// What is decided and not done yet: `authorize`, `capture`, `void` or `refund`.
    #[index]
    pub open: Option<PaymentAct>,
    /// Why that needs a person: the provider has refused it.
    pub refused: Option<String>,
    /// Refunds that are decided and not done yet, with the provider's reason if it has refused one.
    pub open_refunds: BTreeMap<RefundId, Option<String>>,
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
        open: None,
        refused: None,
        open_refunds: BTreeMap::new(),
    };
    match &event.data {
        E::Opened(e) => rows.put(PaymentRow {
            amount: e.amount,
            method: Some(e.method.clone()),
            open: Some(PaymentAct::Authorize),
            ..blank(&e.payment_id, Some(&e.order_id), S::Opened)
        }),
        E::Authorized(e) => {
            let new = || PaymentRow {
                amount: e.amount,
                method: Some(e.method.clone()),
                ..blank(&e.payment_id, Some(&e.order_id), S::Authorized)
            };
            rows.upsert(&e.payment_id, new, |row| (row.status, row.open) = (S::Authorized, None));
        }
        E::CaptureOpened(e) => is_open(rows, &e.payment_id, PaymentAct::Capture),
        E::Captured(e) => {
            _ = rows.update(&e.payment_id, |row| {
                (row.status, row.open) = (S::Captured, None);
                row.transaction_id = Some(e.transaction_id.clone());
            })
        }
        E::Failed(e) => {
            if let Some(payment) = &e.payment_id {
                rows.update(payment, |row| {
                    (row.status, row.open) = (S::Failed, None);
                    row.reason = Some(e.reason.clone());
                });
            }
        }
        E::VoidOpened(e) => is_open(rows, &e.payment_id, PaymentAct::Void),
        E::VoidRefused(e) => _ = rows.update(&e.payment_id, |row| row.refused = Some(e.reason.clone())),
        E::Voided(e) => {
            rows.upsert(
                &e.payment_id,
                || blank(&e.payment_id, Some(&e.order_id), S::Voided),
                |row| (row.status, row.open, row.refused) = (S::Voided, None, None),
            );
        }
        E::RefundOpened(e) => {
            rows.upsert(&e.payment_id, || blank(&e.payment_id, e.order_id.as_ref(), S::Credit), |_| {});
            rows.update(&e.payment_id, |row| row.refund(&e.refund_id, Some(None)));
        }
        E::RefundRefused(e) => {
            rows.update(&e.payment_id, |row| row.refund(&e.refund_id, Some(Some(e.reason.clone()))));
        }
        E::Refunded(e) => {
            if let Some(payment) = &e.payment_id {
                rows.update(payment, |row| {
                    row.refunded = pence(row.refunded.amount.saturating_add(e.amount.amount));
                    row.refund(&e.refund_id, None);
                });
            }
        }
    }
}

impl PaymentRow {
    /// A refund is open, or refused, or done.
    fn refund(&mut self, id: &RefundId, open: Option<Option<String>>) {
        match open {
            Some(refused) => _ = self.open_refunds.insert(id.clone(), refused),
            None => _ = self.open_refunds.remove(id),
        }
        self.open = (!self.open_refunds.is_empty()).then_some(PaymentAct::Refund);
        self.refused = self.open_refunds.values().flatten().next().cloned();
    }
}

fn is_open(rows: &mut Rows<PaymentRow>, payment: &PaymentId, act: PaymentAct) {
    rows.update(payment, |row| (row.open, row.refused) = (Some(act), None));
}
