//! What may happen to a payment. The provider is asked in between: what is `opened` waits for `payment.record`.
//!
//! ```text
//!  – ─► opened ─► authorized ─► capturing ─► captured ─► (refunds)
//!  │      ├─► failed   │            └─► failed
//!  │      └────────────┴─► voiding ─► voided
//!  └─► voided (before it was authorised: the late authorisation is refused)
//! ```

use std::collections::BTreeMap;

use factum::prelude::*;

use crate::{
    contracts::{
        ids::{CreditId, OrderId, PaymentId, PaymentMethod, RefundId},
        payment::*,
    },
    money::pence,
};

/// A payment.
#[derive(Default)]
pub struct Payment {
    state: State,
    order: Option<OrderId>,
    amount: Option<Money>,
    method: Option<PaymentMethod>,
    refunds: BTreeMap<RefundId, Refund>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    Opened,
    Authorized,
    Capturing,
    Captured,
    Failed,
    Voiding,
    Voided,
}

struct Refund {
    amount: Money,
    reason: String,
    credit: Option<CreditId>,
    done: bool,
}

/// Why the payment service says no.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum PaymentRejection {
    #[rejection("already_voided", "payment {payment} was voided before it was authorised")]
    AlreadyVoided { payment: PaymentId },
    #[rejection("not_authorized", "payment {payment} is not authorised, so it cannot be captured")]
    NotAuthorized { payment: PaymentId },
    #[rejection("already_captured", "payment {payment} is captured: refund it instead")]
    AlreadyCaptured { payment: PaymentId },
    #[rejection("not_captured", "payment {payment} is not captured, so nothing can be given back")]
    NotCaptured { payment: PaymentId },
    #[rejection("too_much", "{amount} cannot be given back: {left} of payment {payment} is left", invalid)]
    TooMuch { payment: PaymentId, amount: Money, left: i64 },
    #[rejection("no_such_refund", "payment {payment} has no such refund", missing)]
    NoSuchRefund { payment: PaymentId },
    #[rejection("provider_failed", "the provider did not {act} payment {payment}: {reason}")]
    ProviderFailed { payment: PaymentId, act: &'static str, reason: String },
}

impl Decider for Payment {
    const CATEGORY: &'static str = "payment";
    type Id = PaymentId;
    type Command = PaymentCommand;
    type Event = PaymentEvent;
    type Rejection = PaymentRejection;

    fn address(command: &PaymentCommand, _: &Envelope) -> PaymentId {
        use PaymentCommand as C;
        match command {
            C::Authorize(c) => PaymentId::of(&c.order_id),
            C::Process(c) => PaymentId::of(&c.order_id),
            C::Void(c) => PaymentId::of(&c.order_id),
            C::Capture(c) => c.payment_id.clone(),
            C::Record(c) => c.payment_id.clone(),
            C::Refund(c) => match (&c.order_id, &c.credit_id) {
                (Some(order), _) => PaymentId::of(order),
                (None, Some(credit)) => PaymentId::of_credit(credit),
                (None, None) => PaymentId::from(""),
            },
        }
    }

    fn decide(
        &self,
        id: &PaymentId,
        command: PaymentCommand,
        _: &Context,
    ) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        use PaymentCommand as C;
        match command {
            C::Authorize(c) => self.open(id, c.order_id, c.amount, c.method),
            C::Process(c) => self.open(id, c.order_id, c.amount, c.method),
            C::Capture(_) => self.capture(id),
            C::Void(c) => self.void(id, c.order_id),
            C::Refund(c) => self.refund(id, c),
            C::Record(c) => self.record(id, c),
        }
    }

    fn evolve(&mut self, event: &PaymentEvent) {
        use PaymentEvent as E;
        match event {
            E::Opened(e) => {
                self.order = Some(e.order_id.clone());
                self.amount = Some(e.amount);
                self.method = Some(e.method.clone());
                self.state = State::Opened;
            }
            E::Authorized(_) => self.state = State::Authorized,
            E::CaptureOpened(_) => self.state = State::Capturing,
            E::Captured(_) => self.state = State::Captured,
            E::Failed(_) => self.state = State::Failed,
            E::VoidOpened(_) => self.state = State::Voiding,
            E::Voided(_) => self.state = State::Voided,
            E::RefundOpened(e) => {
                let (amount, reason, credit) = (e.amount, e.reason.clone(), e.credit_id.clone());
                self.order.clone_from(&e.order_id);
                self.refunds.insert(e.refund_id.clone(), Refund { amount, reason, credit, done: false });
            }
            E::Refunded(e) => {
                if let Some(refund) = self.refunds.get_mut(&e.refund_id) {
                    refund.done = true;
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + 256 + 128 * self.refunds.len()
    }
}

impl Payment {
    fn open(
        &self,
        id: &PaymentId,
        order_id: OrderId,
        amount: Money,
        method: PaymentMethod,
    ) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        match self.state {
            State::None => {
                let payment_id = id.clone();
                Ok(vec![PaymentEvent::Opened(PaymentOpened { payment_id, order_id, amount, method })])
            }
            State::Voided => Err(PaymentRejection::AlreadyVoided { payment: id.clone() }),
            _ => Ok(vec![]),
        }
    }

    fn capture(&self, id: &PaymentId) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        match (self.state, &self.order) {
            (State::Authorized, Some(order)) => Ok(vec![PaymentEvent::CaptureOpened(CaptureOpened {
                payment_id: id.clone(),
                order_id: order.clone(),
                amount: self.amount(),
            })]),
            (State::Capturing | State::Captured, _) => Ok(vec![]),
            _ => Err(PaymentRejection::NotAuthorized { payment: id.clone() }),
        }
    }

    fn void(&self, id: &PaymentId, order_id: OrderId) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        let payment_id = id.clone();
        match self.state {
            // Undone before it was done, or refused by the provider: nothing is held.
            State::None | State::Failed => {
                let amount = pence(0);
                Ok(vec![PaymentEvent::Voided(PaymentVoided { payment_id, order_id, amount })])
            }
            // The provider is asked by the same reference, so that this covers an authorisation still on its way.
            State::Opened | State::Authorized => {
                let amount = self.amount();
                Ok(vec![PaymentEvent::VoidOpened(VoidOpened { payment_id, order_id, amount })])
            }
            State::Voiding | State::Voided => Ok(vec![]),
            State::Capturing | State::Captured => Err(PaymentRejection::AlreadyCaptured { payment: payment_id }),
        }
    }

    fn refund(&self, id: &PaymentId, refund: RefundPayment) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        let known = |credit: &CreditId| self.refunds.values().any(|refund| refund.credit.as_ref() == Some(credit));
        if refund.credit_id.as_ref().is_some_and(known) {
            return Ok(vec![]);
        }
        let amount = match refund.order_id {
            None => refund.amount.unwrap_or_else(|| pence(0)),
            Some(_) => {
                if self.state != State::Captured {
                    return Err(PaymentRejection::NotCaptured { payment: id.clone() });
                }
                let given: i64 = self.refunds.values().map(|refund| refund.amount.amount).sum();
                let left = self.amount().amount - given;
                let amount = refund.amount.unwrap_or_else(|| pence(left));
                if amount.amount < 0 || amount.amount > left || amount.currency != self.amount().currency {
                    return Err(PaymentRejection::TooMuch { payment: id.clone(), amount, left });
                }
                amount
            }
        };
        let refund_id = RefundId::from(format!("{id}/{}", self.refunds.len() + 1));
        Ok(vec![PaymentEvent::RefundOpened(RefundOpened {
            payment_id: id.clone(),
            order_id: refund.order_id,
            credit_id: refund.credit_id,
            refund_id,
            amount,
            reason: refund.reason,
        })])
    }

    fn record(&self, id: &PaymentId, record: RecordPayment) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        use PaymentAct as A;
        use PaymentOutcome as O;
        let payment_id = id.clone();
        let order_id = self.order.clone().unwrap_or_else(|| OrderId::from(""));
        let (amount, method) = (self.amount(), self.method());
        let event = match (record.act, self.state, record.outcome) {
            (A::Authorize, State::Opened, O::Authorized { .. }) => {
                PaymentEvent::Authorized(PaymentAuthorized { payment_id, order_id, amount, method })
            }
            (A::Authorize, State::Opened, O::Failed { reason }) => failed(payment_id, order_id, amount, reason),
            (A::Authorize, State::Opened, O::Unknown { .. }) => {
                failed(payment_id, order_id, amount, "provider_unavailable".to_owned())
            }
            (A::Capture, State::Capturing, O::Captured { transaction_id }) => PaymentEvent::Captured(PaymentCaptured {
                payment_id,
                order_id,
                amount,
                method,
                transaction_id,
                status: CaptureStatus::Approved,
            }),
            (A::Capture, State::Capturing, O::Failed { reason }) => failed(payment_id, order_id, amount, reason),
            (A::Void, State::Voiding, O::Voided) => {
                PaymentEvent::Voided(PaymentVoided { payment_id, order_id, amount })
            }
            (A::Refund, _, O::Refunded { refund_id }) => return self.refunded(id, refund_id),
            (act, _, O::Failed { reason } | O::Unknown { reason }) if act != A::Authorize => {
                let act = verb(act);
                return Err(PaymentRejection::ProviderFailed { payment: payment_id, act, reason });
            }
            // An answer to what is settled already.
            _ => return Ok(vec![]),
        };
        Ok(vec![event])
    }

    fn refunded(&self, id: &PaymentId, refund_id: RefundId) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        let Some(refund) = self.refunds.get(&refund_id) else {
            return Err(PaymentRejection::NoSuchRefund { payment: id.clone() });
        };
        if refund.done {
            return Ok(vec![]);
        }
        Ok(vec![PaymentEvent::Refunded(PaymentRefunded {
            payment_id: Some(id.clone()),
            order_id: self.order.clone(),
            credit_id: refund.credit.clone(),
            refund_id,
            amount: refund.amount,
            reason: refund.reason.clone(),
        })])
    }

    fn amount(&self) -> Money {
        self.amount.unwrap_or_else(|| pence(0))
    }

    fn method(&self) -> PaymentMethod {
        self.method.clone().unwrap_or_else(|| PaymentMethod::from("card"))
    }
}

fn failed(payment: PaymentId, order_id: OrderId, amount: Money, reason: String) -> PaymentEvent {
    PaymentEvent::Failed(PaymentFailed { payment_id: Some(payment), order_id, amount: Some(amount), reason })
}

fn verb(act: PaymentAct) -> &'static str {
    match act {
        PaymentAct::Authorize => "authorise",
        PaymentAct::Capture => "capture",
        PaymentAct::Void => "void",
        PaymentAct::Refund => "refund",
    }
}

#[cfg(test)]
mod tests;
