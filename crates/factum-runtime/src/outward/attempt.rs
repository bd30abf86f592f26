//! One attempt at a call, and what it leads to: its answer goes to the engine, a vain one is noted durably.

use std::{panic::AssertUnwindSafe, time::Duration};

use factum_core::{
    call::{Answer, AnyCall, Attempt},
    envelope::Draft,
    error::{HandlerError, panic_text},
    id::Name,
    letter::{MAX_REASON_BYTES, short},
    payload::PayloadError,
    saga::{CallAnswer, How},
};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{
    breaker::{Turn, Went},
    open::OpenCall,
    queue::Work,
};
use crate::{
    engine::guard,
    inbox::{Answered, GivenUp, Input, Sender},
    sabotage,
};

/// How an attempt ended.
pub(super) struct Ended {
    pub(super) went: Went,
    pub(super) reason: Option<String>,
    pub(super) then: Then,
}

/// What follows.
pub(super) enum Then {
    /// The engine has the answer, or the last word.
    Over,
    /// Once more, not before so long.
    Again(Box<OpenCall>, Duration),
}

/// Tells the engine what became of a call.
pub(super) struct Teller {
    pub(super) call: AnyCall,
    pub(super) inbox: Sender,
    /// The command that tells the instance of a saga, if one has made the call.
    pub(super) saga: Option<String>,
}

impl Teller {
    /// Gives the engine an answer.
    pub(super) async fn tell(&self, work: Work, how: How, answer: Draft) {
        let data = serde_json::from_slice::<Box<RawValue>>(&answer.data).ok();
        match self.to_saga(how, data, None) {
            None => self.answer(work, answer).await,
            Some(Ok(command)) => self.answer(work, command).await,
            Some(Err(error)) => {
                tracing::error!(call = work.stored.type_name(), key = work.cell.name, %error, "an answer has no form");
            }
        }
    }

    fn to_saga(
        &self,
        how: How,
        data: Option<Box<RawValue>>,
        reason: Option<String>,
    ) -> Option<Result<Draft, PayloadError>> {
        let type_name = Name::Shared(self.saga.as_deref()?.into());
        Some(Draft::named(type_name, &CallAnswer { call: self.call.name.to_owned(), how, data, reason }))
    }

    async fn answer(&self, work: Work, command: Draft) {
        // If the engine has stopped, the call stays open in the store and is made again, by the same key, at the next start.
        let _ = self.inbox.send(Input::Answer(Answered { call: work.cell, command, cause: work.stored })).await;
    }

    /// All attempts are used up: the decider or the saga hears of it, or a person.
    pub(super) async fn last_word(&self, mut work: Work) {
        let reason = work.open.reason.clone().unwrap_or_default();
        tracing::warn!(
            call = work.stored.type_name(),
            stream = %work.stored.stream,
            key = work.cell.name,
            attempts = work.open.attempts,
            reason,
            correlation = %work.stored.envelope().correlation_id,
            "call given up"
        );
        let last = match (self.to_saga(How::GaveUp, None, Some(reason.clone())), &self.call.gave_up) {
            // Nothing else would ever end it: a person must.
            _ if work.open.patient => Err(HandlerError::failed("it was asked for a week")),
            (Some(told), _) => told.map_err(HandlerError::from),
            (None, Some(gave_up)) => guard(|| gave_up(&work.stored, &reason)),
            (None, None) => Err(HandlerError::failed("it answers the steps of sagas only")),
        };
        let error = match last {
            Ok(command) => return self.answer(work, command).await,
            Err(error) => error,
        };
        tracing::error!(
            call = work.stored.type_name(),
            stream = %work.stored.stream,
            key = work.cell.name,
            %error,
            correlation = %work.stored.envelope().correlation_id,
            "the call has no last answer"
        );
        work.open.given_up = true;
        let reason = if reason.is_empty() { error.to_string() } else { format!("{error}: {reason}") };
        work.open.reason = Some(short(&reason, MAX_REASON_BYTES));
        if let Ok(value) = work.open.encode() {
            // If the engine has stopped, the last answer is asked for again at the next start.
            let given_up = GivenUp { call: work.cell, value, stored: work.stored };
            let _ = self.inbox.send(Input::GivenUp(Box::new(given_up))).await;
        }
    }
}

/// Makes one attempt; the answer, or that there was none, is with the engine when this ends. A patient call is given the
/// time; a probe that fails is not counted.
pub(super) async fn make(teller: Teller, mut work: Work, patience: Option<Timestamp>, turn: Turn) -> Ended {
    let call = &teller.call;
    let (reason, unknown, asked) = match once(call, &work).await {
        Answer::Done(answer) => {
            teller.tell(work, How::Done, answer).await;
            return Ended { went: Went::Well, reason: None, then: Then::Over };
        }
        Answer::Refused(answer) => {
            teller.tell(work, How::Refused, answer).await;
            return Ended { went: Went::Well, reason: None, then: Then::Over };
        }
        Answer::Unknown(reason) => (reason, true, None),
        Answer::Again(reason, wait) => (reason, false, wait),
    };
    let went = if asked.is_some() { Went::Later } else { Went::Badly };
    work.open.attempts += u32::from(turn != Turn::Probe || went != Went::Badly);
    work.open.unknown = unknown;
    work.open.reason = Some(short(&reason, MAX_REASON_BYTES));
    tracing::warn!(
        call = work.stored.type_name(),
        stream = %work.stored.stream,
        key = work.cell.name,
        attempt = work.open.attempts,
        unknown,
        reason,
        correlation = %work.stored.envelope().correlation_id,
        "call failed"
    );
    let mark = patience.unwrap_or(work.stored.envelope().timestamp);
    let then = match work.is_used_up(&call.policy.retry, mark) {
        false => {
            let jittered = call.policy.retry.bound(work.open.attempts + 1).mul_f64(fastrand::f64());
            let wait = jittered.max(asked.unwrap_or_default());
            if let Ok(value) = work.open.encode() {
                // If the engine has stopped, the attempt is not counted: one more is made.
                let _ = teller.inbox.send(Input::Attempted { call: work.cell, value }).await;
            }
            Then::Again(Box::new(work.open), wait)
        }
        true => {
            teller.last_word(work).await;
            Then::Over
        }
    };
    Ended { went, reason: Some(reason), then }
}

/// One attempt; if the one before is in the dark, its fate is looked up first.
async fn once(call: &AnyCall, work: &Work) -> Answer<Draft> {
    let attempt = work.open.attempts + 1;
    let key = match sabotage::is("call-without-its-key") {
        true => format!("{}-{attempt}", work.cell.name),
        false => work.open.key.clone().unwrap_or_else(|| work.cell.name.clone()),
    };
    if work.open.unknown
        && let Some(query) = &call.query
    {
        match bounded(call, guard(|| query(&work.stored, key.clone(), attempt))).await {
            Answer::Again(..) => {}
            found => return found,
        }
    }
    bounded(call, guard(|| (call.ask)(&work.stored, key, attempt))).await
}

async fn bounded(call: &AnyCall, attempt: Result<Attempt, HandlerError>) -> Answer<Draft> {
    let panicked = |panic: &str| Answer::Unknown(format!("the call's handler panicked: {panic}"));
    let attempt = match attempt {
        Ok(attempt) => AssertUnwindSafe(attempt).catch_unwind(),
        Err(HandlerError::Panicked(panic)) => return panicked(&panic),
        Err(error) => return Answer::Again(error.to_string(), None),
    };
    match tokio::time::timeout(call.policy.timeout, attempt).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => panicked(&panic_text(&*panic)),
        Err(_) => Answer::Unknown(format!("no answer within {:?}", call.policy.timeout)),
    }
}

/// The declared answer while nobody is asked. One that fails is none: the call waits.
pub(super) fn fallback(call: &AnyCall, work: &Work) -> Option<Draft> {
    let fallback = call.fallback.as_ref()?;
    guard(|| fallback(&work.stored)).unwrap_or_else(|error| {
        tracing::error!(call = work.stored.type_name(), key = work.cell.name, %error, "a call's fallback failed");
        None
    })
}
