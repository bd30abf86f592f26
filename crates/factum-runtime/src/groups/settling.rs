//! What workers say of what they have: done, failed, not yet.

use std::{sync::Arc, time::Duration};

use factum_core::{
    letter::{MAX_REASON_BYTES, short},
    stream::Position,
};
use tokio::sync::oneshot;

use super::{
    leases::{Ticket, later},
    polling::{GroupError, Groups, lock},
    settled::{Failure, Settle},
};
use crate::inbox::{ExecuteError, Input};

/// Tokens in one settlement at most.
pub const MAX_TOKENS: usize = 1_000;
/// The longest delay of a message that has failed: as the longest lease.
pub const MAX_DELAY: Duration = factum_core::group::MAX_LEASE;
/// The wait after a first failure, if its worker does not say; doubled each time.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest of those.
const LAST_DELAY: Duration = Duration::from_secs(60);

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done, for good.
    Done,
    /// It has failed. It is offered again after this time, or after a second, doubled with each attempt up to a minute.
    Failed {
        /// After how long.
        delay: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// It takes longer: so long from now, or a whole lease.
    Longer(Option<Duration>),
}

/// What a worker says of what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Of these, at most [`MAX_TOKENS`].
    pub tokens: Vec<String>,
    /// This.
    pub verdict: Verdict,
}

impl Groups {
    /// Takes what a worker says; what is done or failed is durable on return. Said again, done is done.
    ///
    /// # Errors
    /// [`GroupError::Stale`] names the tokens that are not the worker's any more; all others are settled. After any other error
    /// nothing is, or nobody knows: say it again.
    pub async fn settle(self: &Arc<Self>, name: &str, settlement: &Settlement) -> Result<(), GroupError> {
        let (settle, stale) = self.take(name, settlement)?;
        if let Some(settle) = settle {
            // In a task of its own: what was begun is finished, also if nobody waits for the answer any more.
            let sent = tokio::spawn(self.clone().send(settle)).await;
            sent.map_err(|ended| ExecuteError::Stopped(ended.to_string()))??;
        }
        if stale.is_empty() { Ok(()) } else { Err(GroupError::Stale(stale)) }
    }

    /// What must go to the engine, and which tokens are stale.
    ///
    /// # Errors
    /// As [`Groups::settle`].
    pub fn take(&self, name: &str, settlement: &Settlement) -> Result<(Option<Settle>, Vec<String>), GroupError> {
        let id = self.named(name)?;
        let (Some(out), Some(group)) = (self.out(id), self.registry.group(id)) else { return Ok((None, Vec::new())) };
        let tickets = settlement.tokens.iter().map(|token| self.ticket(token).map(|ticket| (token, ticket)));
        let tickets: Vec<(&String, Option<Ticket>)> = tickets.collect::<Result<_, _>>()?;
        let now = self.clock.mark();
        let (mut settle, mut stale) = (Settle::of(id), Vec::new());
        self.told.with(id, |told| {
            let mut leases = lock(&out.leases);
            leases.hears(told);
            if tickets.iter().any(|(_, ticket)| ticket.is_some_and(|ticket| leases.is_on_its_way(ticket))) {
                return Err(GroupError::UnderWay);
            }
            for (token, ticket) in tickets {
                let taken = match (ticket, &settlement.verdict) {
                    (None, _) => false,
                    (Some(ticket), Verdict::Longer(lease)) => {
                        leases.extend(ticket, later(now, lease.unwrap_or(group.lease_time())))
                    }
                    (Some(ticket), Verdict::Done) => match leases.is_done(ticket) {
                        Some(key) => {
                            settle.done.push((ticket.position, key));
                            true
                        }
                        None => leases.was_done(ticket),
                    },
                    (Some(ticket), Verdict::Failed { delay, reason }) => match leases.has_failed(ticket) {
                        Some(key) => {
                            let position = ticket.position;
                            let before = told.settled.failed.get(&position).map_or(0, |tries| tries.attempts);
                            let until = later(now, delay.unwrap_or_else(|| delay_of(before)).min(MAX_DELAY));
                            let reason = short(reason, MAX_REASON_BYTES);
                            settle.failed.push(Failure { position, key, reason, until });
                            true
                        }
                        None => false,
                    },
                };
                if !taken {
                    stale.push(token.clone());
                }
            }
            settle.passing = leases.passing(told).filter(|_| !settle.done.is_empty() || !settle.failed.is_empty());
            Ok(())
        })?;
        let nothing = settle.done.is_empty() && settle.failed.is_empty();
        Ok(((!nothing).then_some(settle), stale))
    }

    /// Gives what is settled to the engine, and waits until it is durable.
    ///
    /// # Errors
    /// [`ExecuteError`] if the engine has ended; then whoever has a lease has it still.
    pub async fn send(self: Arc<Self>, settle: Settle) -> Result<(), ExecuteError> {
        let mut sent = Vec::new();
        for part in settle.parts() {
            let (reply, durable) = oneshot::channel();
            let outcome = self.inbox.send(Input::Settle(Box::new(part.clone()), reply)).await;
            sent.push((part, outcome.map(|()| durable)));
        }
        let mut ended = Ok(());
        for (part, outcome) in sent {
            let outcome = match outcome {
                Ok(durable) => {
                    durable.await.map_err(|_| ExecuteError::Stopped("it ended before it answered".to_owned()))
                }
                Err(error) => Err(error),
            };
            self.answered(&part, outcome.is_ok());
            ended = ended.and(outcome);
        }
        ended
    }

    /// The engine has answered: what was settled is durable, or came to nothing.
    pub fn answered(&self, settle: &Settle, durable: bool) {
        let Some(out) = self.out(settle.group) else { return };
        let mut leases = lock(&out.leases);
        let failed = settle.failed.iter().map(|failure| failure.position);
        let positions: Vec<Position> = settle.done.iter().map(|(position, _)| *position).chain(failed).collect();
        leases.answered(positions, durable);
        leases.moved();
    }
}

fn delay_of(attempts: u32) -> Duration {
    FIRST_DELAY.saturating_mul(1 << attempts.min(10)).min(LAST_DELAY)
}
