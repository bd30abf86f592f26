//! Making one call: attempt, time-out, query, backoff, until there is an answer. This is where a retry happens.

use std::{panic::AssertUnwindSafe, time::Duration};

use factum_core::{
    call::{Answer, AnyCall, Attempt},
    envelope::Draft,
    error::HandlerError,
    letter::{MAX_REASON_BYTES, short},
};
use futures_util::FutureExt;

use super::Work;
use crate::{
    engine::guard,
    inbox::{Answered, GivenUp, Input, Sender},
    sabotage,
};

/// Makes a call until it is answered, and hands the answer to the engine.
pub(super) async fn until_answered(call: AnyCall, inbox: Sender, mut work: Work) {
    let command = loop {
        if work.open.attempts >= call.policy.retry.attempts {
            let reason = work.open.reason.clone().unwrap_or_default();
            tracing::warn!(
                call = work.stored.type_name(),
                key = work.cell.name,
                attempts = work.open.attempts,
                reason,
                "call given up"
            );
            match guard(|| (call.gave_up)(&work.stored, &reason)) {
                Ok(command) => break command,
                Err(error) => return give_up(&inbox, work, &error).await,
            }
        }
        match once(&call, &work).await {
            Answer::Done(command) | Answer::Refused(command) => break command,
            Answer::Unknown(reason) => failed(&call, &inbox, &mut work, reason, true, None).await,
            Answer::Again(reason, wait) => failed(&call, &inbox, &mut work, reason, false, wait).await,
        }
    };
    // If the engine has stopped, the call stays open in the store and is made again, by the same key, at the next start.
    let _ = inbox.send(Input::Answer(Answered { call: work.cell, command, cause: work.stored })).await;
}

/// There is no answer, and not even a last word: a letter waits for a person.
async fn give_up(inbox: &Sender, mut work: Work, error: &HandlerError) {
    tracing::error!(call = work.stored.type_name(), key = work.cell.name, %error, "the call has no last answer");
    work.open.given_up = true;
    work.open.reason = Some(short(&error.to_string(), MAX_REASON_BYTES));
    if let Ok(value) = work.open.encode() {
        // If the engine has stopped, the last answer is asked for again at the next start.
        let _ = inbox.send(Input::GivenUp(Box::new(GivenUp { call: work.cell, value, stored: work.stored }))).await;
    }
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
    let attempt = match attempt {
        Ok(attempt) => AssertUnwindSafe(attempt).catch_unwind(),
        Err(HandlerError::Panicked(panic)) => {
            return Answer::Unknown(format!("the call's handler panicked: {panic}"));
        }
        Err(error) => return Answer::Again(error.to_string(), None),
    };
    match tokio::time::timeout(call.policy.timeout, attempt).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Answer::Unknown("the call's handler panicked".to_owned()),
        Err(_) => Answer::Unknown(format!("no answer within {:?}", call.policy.timeout)),
    }
}

/// Notes a vain attempt durably and waits before the next.
async fn failed(
    call: &AnyCall,
    inbox: &Sender,
    work: &mut Work,
    reason: String,
    unknown: bool,
    asked_to_wait: Option<Duration>,
) {
    work.open.attempts += 1;
    work.open.unknown = unknown;
    tracing::warn!(
        call = work.stored.type_name(),
        key = work.cell.name,
        attempt = work.open.attempts,
        unknown,
        reason,
        correlation = %work.stored.envelope().correlation_id,
        "call failed"
    );
    work.open.reason = Some(short(&reason, MAX_REASON_BYTES));
    if let Ok(value) = work.open.encode() {
        let _ = inbox.send(Input::Attempted { call: work.cell.clone(), value }).await;
    }
    if work.open.attempts < call.policy.retry.attempts {
        let bound = call.policy.retry.bound(work.open.attempts + 1);
        let jittered = bound.mul_f64(fastrand::f64());
        tokio::time::sleep(jittered.max(asked_to_wait.unwrap_or_default())).await;
    }
}
