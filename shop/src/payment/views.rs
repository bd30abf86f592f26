//! What can be asked about payments.

use std::collections::BTreeMap;

use factum::prelude::*;
use schemars::JsonSchema;
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
    /// Since when.
    pub open_since: Option<Timestamp>,
    /// How much of it.
    pub open_amount: Option<Money>,
    /// Why that needs a person: the provider has refused it.
    #[index]
    pub refused: Option<String>,
    /// Refunds that are decided and not done yet.
    pub open_refunds: BTreeMap<RefundId, OpenRefund>,
}

/// A refund that is decided and not done yet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct OpenRefund {
    pub amount: Money,
    /// The provider's reason, if it has refused it.
    pub refused: Option<String>,
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
    if let Some(payment) = of(&event.data)
        && let Some(row) = PaymentRow::after(rows.get(payment), &event.data, event.at())
    {
        rows.put(row);
    }
}

/// Which payment an event is about.
pub fn of(event: &PaymentEvent) -> Option<&PaymentId> {
    use PaymentEvent as E;
    match event {
        E::Opened(e) => Some(&e.payment_id),
        E::Authorized(e) => Some(&e.payment_id),
        E::CaptureOpened(e) => Some(&e.payment_id),
        E::Captured(e) => Some(&e.payment_id),
        E::Failed(e) => e.payment_id.as_ref(),
        E::VoidOpened(e) => Some(&e.payment_id),
        E::VoidRefused(e) => Some(&e.payment_id),
        E::Voided(e) => Some(&e.payment_id),
        E::RefundWanted(e) => Some(&e.payment_id),
        E::RefundOpened(e) => Some(&e.payment_id),
        E::RefundRefused(e) => Some(&e.payment_id),
        E::Refunded(e) => e.payment_id.as_ref(),
    }
}

impl PaymentRow {
    fn blank(payment: &PaymentId, order: Option<&OrderId>, status: PaymentStatus) -> Self {
        Self {
            payment_id: payment.clone(),
            order_id: order.cloned(),
            amount: pence(0),
            method: None,
            status,
            refunded: pence(0),
            transaction_id: None,
            reason: None,
            open: None,
            open_since: None,
            open_amount: None,
            refused: None,
            open_refunds: BTreeMap::new(),
        }
    }

    /// A payment as it is after an event; none if the event begins none.
    pub fn after(row: Option<Self>, event: &PaymentEvent, at: Timestamp) -> Option<Self> {
        let was_open = row.as_ref().and_then(|row| row.open_since);
        let mut row = match (row, event) {
            (Some(row), _) => row,
            (None, event) => Self::begun(event)?,
        };
        row.take(event);
        row.open_since = row.open.map(|_| was_open.unwrap_or(at));
        let of_refunds = || row.open_refunds.values().map(|refund| refund.amount.amount);
        row.open_amount = row.open.map(|act| match act {
            PaymentAct::Refund => pence(of_refunds().fold(0, i64::saturating_add)),
            PaymentAct::Authorize | PaymentAct::Capture | PaymentAct::Void => row.amount,
        });
        Some(row)
    }

    fn begun(event: &PaymentEvent) -> Option<Self> {
        use PaymentEvent as E;
        use PaymentStatus as S;
        let of = |payment, order, status, amount, method: &PaymentMethod| {
            let method = Some(method.clone());
            Self { amount, method, ..Self::blank(payment, Some(order), status) }
        };
        Some(match event {
            E::Opened(e) => of(&e.payment_id, &e.order_id, S::Opened, e.amount, &e.method),
            E::Authorized(e) => of(&e.payment_id, &e.order_id, S::Authorized, e.amount, &e.method),
            E::Voided(e) => Self::blank(&e.payment_id, Some(&e.order_id), S::Voided),
            E::RefundOpened(e) => Self::blank(&e.payment_id, e.order_id.as_ref(), S::Credit),
            _ => return None,
        })
    }

    fn take(&mut self, event: &PaymentEvent) {
        use PaymentEvent as E;
        use PaymentStatus as S;
        match event {
            E::Opened(_) => self.is_open(PaymentAct::Authorize),
            E::Authorized(_) => self.is_done(S::Authorized),
            E::CaptureOpened(_) => self.is_open(PaymentAct::Capture),
            E::Captured(e) => {
                self.is_done(S::Captured);
                self.transaction_id = Some(e.transaction_id.clone());
            }
            E::Failed(e) => {
                self.is_done(S::Failed);
                self.reason = Some(e.reason.clone());
            }
            E::VoidOpened(_) => self.is_open(PaymentAct::Void),
            E::VoidRefused(e) => self.refused = Some(e.reason.clone()),
            E::Voided(_) => self.is_done(S::Voided),
            // It shows once the money is here.
            E::RefundWanted(_) => {}
            E::RefundOpened(e) => self.refund(&e.refund_id, Some(OpenRefund { amount: e.amount, refused: None })),
            E::RefundRefused(e) => {
                if let Some(refund) = self.open_refunds.get(&e.refund_id) {
                    let amount = refund.amount;
                    self.refund(&e.refund_id, Some(OpenRefund { amount, refused: Some(e.reason.clone()) }));
                }
            }
            E::Refunded(e) => {
                self.refunded = pence(self.refunded.amount.saturating_add(e.amount.amount));
                self.refund(&e.refund_id, None);
            }
        }
    }

    fn is_open(&mut self, act: PaymentAct) {
        (self.open, self.refused) = (Some(act), None);
    }

    fn is_done(&mut self, status: PaymentStatus) {
        (self.status, self.open, self.refused) = (status, None, None);
    }

    /// A refund is open, or refused, or done.
    fn refund(&mut self, id: &RefundId, open: Option<OpenRefund>) {
        match open {
            Some(open) => _ = self.open_refunds.insert(id.clone(), open),
            None => _ = self.open_refunds.remove(id),
        }
        self.open = (!self.open_refunds.is_empty()).then_some(PaymentAct::Refund);
        self.refused = self.open_refunds.values().find_map(|refund| refund.refused.clone());
    }
}
