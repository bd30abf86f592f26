//! One attempt at a call, and what it leads to: its answer goes to the engine, a vain one is noted durably.

use std::{panic::AssertUnwindSafe, time::Duration};

use factum_core::{
    call::{Answer, AnyCall, Attempt},
    envelope::Draft,
    error::{HandlerError, panic_text},
    letter::{MAX_REASON_BYTES, short},
};
use futures_util::FutureExt;

use super::{breaker::Went, open::OpenCall, queue::Work};
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

/// Makes one attempt; the answer, or that there was none, is with the engine when this ends.
pub(super) async fn make(call: AnyCall, inbox: Sender, mut work: Work) -> Ended {
    let (reason, unknown, asked) = match once(&call, &work).await {
        Answer::Done(command) | Answer::Refused(command) => {
            answer(&inbox, work, command).await;
            return Ended { went: Went::Well, reason: None, then: Then::Over };
        }
        Answer::Unknown(reason) => (reason, true, None),
        Answer::Again(reason, wait) => (reason, false, wait),
    };
    let went = if asked.is_some() { Went::Later } else { Went::Badly };
    work.open.attempts += 1;
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
    let then = match work.open.attempts < call.policy.retry.attempts {
        true => {
            let jittered = call.policy.retry.bound(work.open.attempts + 1).mul_f64(fastrand::f64());
            let wait = jittered.max(asked.unwrap_or_default());
            if let Ok(value) = work.open.encode() {
                // If the engine has stopped, the attempt is not counted: one more is made.
                let _ = inbox.send(Input::Attempted { call: work.cell, value }).await;
            }
            Then::Again(Box::new(work.open), wait)
        }
        false => {
            last_word(&call, &inbox, work).await;
            Then::Over
        }
    };
    Ended { went, reason: Some(reason), then }
}

/// All attempts are used up: the decider hears of it, or a person.
pub(super) async fn last_word(call: &AnyCall, inbox: &Sender, mut work: Work) {
    let reason = work.open.reason.clone().unwrap_or_default();
    tracing::warn!(
        call = work.stored.type_name(),
        stream = %work.stored.stream,
        key = work.cell.name,
        attempts = work.open.attempts,
        reason,
        "call given up"
    );
    let error = match guard(|| (call.gave_up)(&work.stored, &reason)) {
        Ok(command) => return answer(inbox, work, command).await,
        Err(error) => error,
    };
    tracing::error!(call = work.stored.type_name(), key = work.cell.name, %error, "the call has no last answer");
    work.open.given_up = true;
    work.open.reason = Some(short(&error.to_string(), MAX_REASON_BYTES));
    if let Ok(value) = work.open.encode() {
        // If the engine has stopped, the last answer is asked for again at the next start.
        let _ = inbox.send(Input::GivenUp(Box::new(GivenUp { call: work.cell, value, stored: work.stored }))).await;
    }
}

/// Gives the engine an answer.
pub(super) async fn answer(inbox: &Sender, work: Work, command: Draft) {
    // If the engine has stopped, the call stays open in the store and is made again, by the same key, at the next start.
    let _ = inbox.send(Input::Answer(Answered { call: work.cell, command, cause: work.stored })).await;
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
