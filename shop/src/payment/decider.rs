//! What may happen to a payment. The provider is asked in between: what is `opened` waits for `payment.record`.
//!
//! ```text
//!  – ─► opened ─► authorized ─► capturing ─► captured ─► (refunds)
//!  │      ├─► failed   │            └─► uncaptured (refused: the money is still held)
//!  │      │ nobody     │            ┌────────┘
//!  │      └─ knows ────┴─► voiding ─┴─► voided
//!  │                         └─► void refused (a person has it asked again)
//!  └─► voided (before it was authorised: the late authorisation is refused)
//! ```
//!
//! What is not known to be refused may be held: it is voided at the provider. Nothing is asked about nothing: an order of 0 is
//! authorised, captured and voided without a provider.

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
    /// It is taken as soon as it is held.
    take: bool,
    /// Why it is to go back as soon as it is taken.
    wanted_back: Option<String>,
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
    Uncaptured,
    Voiding,
    VoidRefused,
    Voided,
}

struct Refund {
    opened: RefundOpened,
    refused: bool,
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
    #[rejection("nothing_to_retry", "nothing of payment {payment} was refused that could be asked again")]
    NothingToRetry { payment: PaymentId },
    #[rejection("bad_amount", "{amount} cannot be paid: an amount is 0 or more", invalid)]
    BadAmount { amount: Money },
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
            C::Retry(c) => c.payment_id.clone(),
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
            C::Authorize(c) => self.open(id, c.order_id, c.amount, c.method, false),
            C::Process(c) => self.open(id, c.order_id, c.amount, c.method, true),
            C::Capture(_) => self.capture(id),
            C::Void(c) => self.void(id, c.order_id),
            C::Refund(c) => self.refund(id, c),
            C::Record(c) => self.record(id, c),
            C::Retry(c) => self.retry(id, &c),
        }
    }

    fn evolve(&mut self, event: &PaymentEvent) {
        use PaymentEvent as E;
        match event {
            E::Opened(e) => {
                self.is_of(&e.order_id, e.amount, &e.method);
                self.take = e.take;
                self.state = State::Opened;
            }
            E::Authorized(e) => {
                self.is_of(&e.order_id, e.amount, &e.method);
                self.state = State::Authorized;
            }
            E::CaptureOpened(_) => self.state = State::Capturing,
            E::Captured(_) => self.state = State::Captured,
            E::Failed(_) => {
                let held = self.state == State::Capturing;
                self.state = if held { State::Uncaptured } else { State::Failed };
            }
            E::VoidOpened(_) => self.state = State::Voiding,
            E::VoidRefused(_) => self.state = State::VoidRefused,
            E::Voided(_) => self.state = State::Voided,
            E::RefundWanted(e) => self.wanted_back = Some(e.reason.clone()),
            E::RefundOpened(e) => {
                self.order.clone_from(&e.order_id);
                self.refunds.insert(e.refund_id.clone(), Refund { opened: e.clone(), refused: false, done: false });
            }
            E::RefundRefused(e) => self.of_refund(&e.refund_id, |refund| refund.refused = true),
            E::Refunded(e) => self.of_refund(&e.refund_id, |refund| refund.done = true),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + 256 + 256 * self.refunds.len()
    }
}

impl Payment {
    fn is_of(&mut self, order: &OrderId, amount: Money, method: &PaymentMethod) {
        (self.order, self.amount, self.method) = (Some(order.clone()), Some(amount), Some(method.clone()));
    }

    fn of_refund(&mut self, id: &RefundId, change: impl FnMut(&mut Refund)) {
        self.refunds.get_mut(id).into_iter().for_each(change);
    }

    fn open(
        &self,
        id: &PaymentId,
        order_id: OrderId,
        amount: Money,
        method: PaymentMethod,
        take: bool,
    ) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        let payment_id = id.clone();
        match self.state {
            State::None if amount.amount < 0 => Err(PaymentRejection::BadAmount { amount }),
            State::None if amount.amount == 0 => {
                let authorized = PaymentAuthorized { payment_id, order_id: order_id.clone(), amount, method };
                let taken = take.then(|| captured(&authorized, "none".to_owned()));
                Ok(std::iter::once(PaymentEvent::Authorized(authorized)).chain(taken).collect())
            }
            State::None => Ok(vec![PaymentEvent::Opened(PaymentOpened { payment_id, order_id, amount, method, take })]),
            State::Voided => Err(PaymentRejection::AlreadyVoided { payment: payment_id }),
            _ => Ok(vec![]),
        }
    }

    fn capture(&self, id: &PaymentId) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        match (self.state, &self.order) {
            (State::Authorized, Some(order)) if self.amount().amount == 0 => {
                Ok(vec![captured(&self.authorized(id, order), "none".to_owned())])
            }
            (State::Authorized, Some(order)) => Ok(vec![self.capture_opened(id, order)]),
            (State::Capturing | State::Captured, _) => Ok(vec![]),
            _ => Err(PaymentRejection::NotAuthorized { payment: id.clone() }),
        }
    }

    fn capture_opened(&self, id: &PaymentId, order: &OrderId) -> PaymentEvent {
        let (payment_id, order_id, amount) = (id.clone(), order.clone(), self.amount());
        PaymentEvent::CaptureOpened(CaptureOpened { payment_id, order_id, amount })
    }

    fn void(&self, id: &PaymentId, order_id: OrderId) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        let payment_id = id.clone();
        match self.state {
            // Undone before it was done, or refused by the provider: nothing is held.
            State::None | State::Failed => {
                let amount = pence(0);
                Ok(vec![PaymentEvent::Voided(PaymentVoided { payment_id, order_id, amount })])
            }
            State::Authorized if self.amount().amount == 0 => {
                let amount = self.amount();
                Ok(vec![PaymentEvent::Voided(PaymentVoided { payment_id, order_id, amount })])
            }
            // The provider is asked by the same reference, so that this covers an authorisation still on its way.
            State::Opened | State::Authorized | State::Uncaptured => Ok(vec![self.void_opened(id)]),
            State::Voiding | State::VoidRefused | State::Voided => Ok(vec![]),
            State::Capturing | State::Captured => Err(PaymentRejection::AlreadyCaptured { payment: payment_id }),
        }
    }

    fn void_opened(&self, id: &PaymentId) -> PaymentEvent {
        let (payment_id, order_id, amount) = (id.clone(), self.order(), self.amount());
        PaymentEvent::VoidOpened(VoidOpened { payment_id, order_id, amount })
    }

    fn refund(&self, id: &PaymentId, refund: RefundPayment) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        let is_known = |credit: &CreditId| self.refunds.values().any(|it| it.opened.credit_id.as_ref() == Some(credit));
        if refund.credit_id.as_ref().is_some_and(is_known) {
            return Ok(vec![]);
        }
        // What is undone, not what is credited.
        let all = refund.credit_id.is_none() && refund.amount.is_none_or(|amount| self.amount == Some(amount));
        let amount = match &refund.order_id {
            None => refund.amount.unwrap_or_else(|| pence(0)),
            Some(order) => match self.state {
                State::Captured => self.left(id, refund.amount)?,
                // What is only held is let go.
                State::Opened | State::Authorized | State::Uncaptured | State::Voiding | State::Voided
                    if all || refund.amount.is_none() =>
                {
                    return self.void(id, order.clone());
                }
                // Undone before it was done, or refused by the provider: nothing is held.
                State::None | State::Failed if all => return self.void(id, order.clone()),
                State::Capturing if all => return Ok(self.want_back(id, refund.reason)),
                _ => return Err(PaymentRejection::NotCaptured { payment: id.clone() }),
            },
        };
        if amount.amount < 0 {
            return Err(PaymentRejection::BadAmount { amount });
        }
        if amount.amount == 0 {
            return Ok(vec![]);
        }
        let RefundPayment { order_id, credit_id, reason, .. } = refund;
        Ok(vec![self.refund_opened(id, order_id, credit_id, amount, reason)])
    }

    fn refund_opened(
        &self,
        id: &PaymentId,
        order_id: Option<OrderId>,
        credit_id: Option<CreditId>,
        amount: Money,
        reason: String,
    ) -> PaymentEvent {
        let refund_id = RefundId::from(format!("{id}/{}", self.refunds.len() + 1));
        let payment_id = id.clone();
        PaymentEvent::RefundOpened(RefundOpened { payment_id, order_id, credit_id, refund_id, amount, reason })
    }

    /// The provider is asked for the money at this moment: it goes back when it is here.
    fn want_back(&self, id: &PaymentId, reason: String) -> Vec<PaymentEvent> {
        let wanted = RefundWanted { payment_id: id.clone(), order_id: self.order(), reason };
        self.wanted_back.is_none().then_some(PaymentEvent::RefundWanted(wanted)).into_iter().collect()
    }

    /// What is to be given back: never more than was taken and not given back yet.
    fn left(&self, id: &PaymentId, wanted: Option<Money>) -> Result<Money, PaymentRejection> {
        let given: i128 = self.refunds.values().map(|refund| i128::from(refund.opened.amount.amount)).sum();
        let left = i64::try_from(i128::from(self.amount().amount) - given).unwrap_or(0);
        let amount = wanted.unwrap_or_else(|| pence(left));
        if amount.amount < 0 || amount.amount > left || amount.currency != self.amount().currency {
            return Err(PaymentRejection::TooMuch { payment: id.clone(), amount, left });
        }
        Ok(amount)
    }

    fn record(&self, id: &PaymentId, record: RecordPayment) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        use PaymentAct as A;
        use PaymentEvent as E;
        use PaymentOutcome as O;
        let (payment_id, order_id, amount) = (id.clone(), self.order(), self.amount());
        let failed = |reason: String| {
            let (payment_id, amount) = (Some(id.clone()), Some(amount));
            E::Failed(PaymentFailed { payment_id, order_id: order_id.clone(), amount, reason })
        };
        Ok(match (record.act, self.state, record.outcome) {
            (A::Authorize, State::Opened, O::Authorized { .. }) => {
                let authorized = E::Authorized(self.authorized(id, &order_id));
                let capture = self.take.then(|| self.capture_opened(id, &order_id));
                std::iter::once(authorized).chain(capture).collect()
            }
            (A::Authorize, State::Opened, O::Failed { reason }) => vec![failed(reason)],
            // It may be held: whoever wanted it hears no, and it is let go.
            (A::Authorize, State::Opened, O::Unknown { .. }) => {
                vec![failed("provider_unavailable".to_owned()), self.void_opened(id)]
            }
            (A::Capture, State::Capturing, O::Captured { transaction_id }) => {
                let captured = captured(&self.authorized(id, &order_id), transaction_id);
                let back =
                    |reason: &String| self.refund_opened(id, Some(order_id.clone()), None, amount, reason.clone());
                std::iter::once(captured).chain(self.wanted_back.as_ref().map(back)).collect()
            }
            (A::Capture, State::Capturing, O::Failed { reason }) => {
                let void = (self.take || self.wanted_back.is_some()).then(|| self.void_opened(id));
                std::iter::once(failed(reason)).chain(void).collect()
            }
            (A::Void, State::Voiding, O::Voided) => {
                vec![E::Voided(PaymentVoided { payment_id, order_id, amount })]
            }
            (A::Void, State::Voiding, O::Failed { reason }) => {
                vec![E::VoidRefused(VoidRefused { payment_id, order_id, amount, reason })]
            }
            (A::Refund, _, O::Refunded { refund_id }) => self.refunded(id, refund_id)?,
            (A::Refund, _, O::Failed { reason }) => self.refund_refused(id, record.refund_id, reason)?,
            // An answer to what is settled already.
            _ => vec![],
        })
    }

    fn refunded(&self, id: &PaymentId, refund_id: RefundId) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        let Some(Refund { opened, done, .. }) = self.refunds.get(&refund_id) else {
            return Err(PaymentRejection::NoSuchRefund { payment: id.clone() });
        };
        if *done {
            return Ok(vec![]);
        }
        Ok(vec![PaymentEvent::Refunded(PaymentRefunded {
            payment_id: Some(id.clone()),
            order_id: self.order.clone(),
            credit_id: opened.credit_id.clone(),
            refund_id,
            amount: opened.amount,
            reason: opened.reason.clone(),
        })])
    }

    fn refund_refused(
        &self,
        id: &PaymentId,
        refund_id: Option<RefundId>,
        reason: String,
    ) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        let refund = refund_id.as_ref().and_then(|refund| self.refunds.get(refund));
        let Some(Refund { opened, refused, done }) = refund else {
            return Err(PaymentRejection::NoSuchRefund { payment: id.clone() });
        };
        if *done || *refused {
            return Ok(vec![]);
        }
        let RefundOpened { payment_id, order_id, credit_id, refund_id, amount, .. } = opened.clone();
        let refused = RefundRefused { payment_id, order_id, credit_id, refund_id, amount, reason };
        Ok(vec![PaymentEvent::RefundRefused(refused)])
    }

    fn retry(&self, id: &PaymentId, retry: &RetryPayment) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        let nothing = || PaymentRejection::NothingToRetry { payment: id.clone() };
        match &retry.refund_id {
            None if self.state == State::VoidRefused => Ok(vec![self.void_opened(id)]),
            None => {
                let refused = self.refunds.values().filter(|refund| refund.refused && !refund.done);
                let again: Vec<_> = refused.map(|refund| PaymentEvent::RefundOpened(refund.opened.clone())).collect();
                if again.is_empty() { Err(nothing()) } else { Ok(again) }
            }
            Some(refund) => {
                let refund = self.refunds.get(refund).filter(|refund| refund.refused && !refund.done);
                Ok(vec![PaymentEvent::RefundOpened(refund.ok_or_else(nothing)?.opened.clone())])
            }
        }
    }

    fn authorized(&self, id: &PaymentId, order: &OrderId) -> PaymentAuthorized {
        let (payment_id, order_id, amount, method) = (id.clone(), order.clone(), self.amount(), self.method());
        PaymentAuthorized { payment_id, order_id, amount, method }
    }

    fn order(&self) -> OrderId {
        self.order.clone().unwrap_or_else(|| OrderId::from(""))
    }

    fn amount(&self) -> Money {
        self.amount.unwrap_or_else(|| pence(0))
    }

    fn method(&self) -> PaymentMethod {
        self.method.clone().unwrap_or_else(|| PaymentMethod::from("card"))
    }
}

fn captured(authorized: &PaymentAuthorized, transaction_id: String) -> PaymentEvent {
    let PaymentAuthorized { payment_id, order_id, amount, method } = authorized.clone();
    let status = CaptureStatus::Approved;
    PaymentEvent::Captured(PaymentCaptured { payment_id, order_id, amount, method, transaction_id, status })
}

#[cfg(test)]
mod tests;
