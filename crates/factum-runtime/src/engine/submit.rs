//! Launching and landing: one commit for all that a batch changes; when it is durable, and only then, callers hear.

use std::panic::resume_unwind;

use factum_core::{
    cell::CellKey,
    error::{CommitError, Refusal, StoreError},
    stream::Position,
};
use tokio::sync::oneshot;

use super::{
    Engine, Work,
    flight::{Flown, Landed, Launched},
    groups::Changes,
    stage::Stage,
    take::Intake,
};
use crate::{
    acts::{ActError, Outcome},
    import::Import,
    inbox::{ExecuteError, Input, Receipt, Reply, Request},
    registry::Registry,
    sabotage,
};

/// What one input waits for.
pub(super) enum Pending {
    /// Commands or events from outside; they are kept until their commit is settled, should they have to be run again.
    Sent { sent: Sent, reply: Reply, outcome: Result<Vec<Receipt>, ExecuteError> },
    /// An act.
    Act { reply: oneshot::Sender<Result<Outcome, ActError>>, outcome: Result<Outcome, ActError> },
    /// An answer, an attempt, a letter: whoever sent it does not send it again. A view goes on when it is durable.
    Kept(Input),
}

/// What was sent from outside.
pub(super) enum Sent {
    Commands(Vec<Request>),
    Import(Vec<Import>),
}

impl Sent {
    fn again(self, reply: Reply) -> Input {
        match self {
            Self::Commands(requests) => Input::Commands(requests, reply),
            Self::Import(imports) => Input::Import(imports, reply),
        }
    }
}

/// How a commit ended.
pub(super) enum Submitted {
    /// It is durable.
    Settled,
    /// Its own content stands in the way, for ever.
    Unfit(String),
    /// Another writer was faster.
    Overtaken,
}

/// Writes batches.
pub(super) struct Submit {
    /// The cursor as the store has it.
    pub(super) saved: Position,
    /// Everything up to here is handled, and what came of it is durable.
    pub(super) stands: Position,
    /// Cells that must be there before anything else is written, and so go with the first commit.
    pub(super) first: Vec<(CellKey, Vec<u8>)>,
}

/// What a batch has come to, to be written.
pub(super) struct Decided {
    pub(super) stage: Stage,
    pub(super) pending: Vec<Pending>,
    /// The cursor is written also if nothing else is.
    pub(super) force: bool,
    /// It was decided on what was in flight.
    pub(super) follows: bool,
    /// Deliveries that were run.
    pub(super) deliveries: usize,
    /// The last one's name, if they are taken one by one.
    pub(super) last: Option<String>,
}

/// What became of a batch that was to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Launch {
    /// It is in flight, or has landed.
    Aloft,
    /// There was nothing to write: those who wait have heard.
    Nothing,
}

impl Submit {
    /// Launches what a batch has come to, when nothing else is in flight. If there is nothing to write, those who wait hear at
    /// once: what it was decided on is durable. If the store cannot be read, the inputs are put back.
    pub(super) fn launch(
        &mut self,
        registry: &Registry,
        work: &mut Work,
        intake: &mut Intake,
        mut decided: Decided,
        is_left: bool,
    ) -> Result<Launch, StoreError> {
        #[cfg(feature = "sabotage")]
        super::planted::before_the_commit(work, intake, &mut decided, is_left)?;
        let changed = work.holds.has_changed()
            || work.groups.has_changed()
            || work.consumers.is_urgent()
            || !work.paced.is_empty();
        let mut behind = Vec::new();
        for receipt in decided.pending.iter_mut().flat_map(receipts) {
            let stands = decided.stage.behind(&receipt.stream, receipt.version);
            if receipt.repeated && receipt.position == Position::START && stands.is_none() {
                // What it repeats was in flight when it was decided.
                let landed = work.flights.position_of(&receipt.stream, receipt.version);
                receipt.position = landed.unwrap_or(receipt.position);
            }
            behind.push(stands);
        }
        if decided.stage.is_empty() && !changed && !decided.force {
            self.stands = work.consumers.cursor;
            answer(intake.tail.head(), decided.pending, behind);
            return Ok(Launch::Nothing);
        }
        let groups = match self.write(registry, work, &mut decided.stage) {
            Ok(groups) => groups,
            Err(error) => {
                give_back(intake, decided.pending);
                return Err(error);
            }
        };
        let Decided { stage, pending, deliveries, last, .. } = decided;
        let placed = pending.iter().flat_map(receipts_of).zip(&behind);
        let placed = placed.filter(|(receipt, _)| receipt.position == Position::START);
        let receipts = placed
            .filter_map(|(receipt, behind)| Some((receipt.stream.clone(), receipt.version, (*behind)?)))
            .collect();
        // Where the engine does not go on meanwhile it reads nothing.
        let (commit, written) = stage.into_commit(is_left);
        let (cursor, is_timeless) = (work.consumers.cursor, !work.timers.has_limits());
        let flown = Flown { cursor, receipts, is_timeless, is_built_on: false, deliveries, last, written };
        work.flights.launch(Launched { commit, pending, behind, groups, is_left }, flown);
        Ok(Launch::Aloft)
    }

    /// Puts onto the stage what is written with every batch.
    fn write(&self, registry: &Registry, work: &mut Work, stage: &mut Stage) -> Result<Changes, StoreError> {
        work.pace_limits(registry, stage)?;
        let groups = work.write_groups(registry, stage)?;
        work.holds.write(registry, stage)?;
        work.instances.write(stage)?;
        work.note_ran();
        work.consumers.write(registry, stage)?;
        for (key, value) in &self.first {
            stage.cell(key.clone(), Some(value.clone()));
        }
        Ok(groups)
    }

    /// Takes note of a commit that has landed: what is in memory is brought up to date, or its inputs are put back.
    pub(super) fn landed(
        &mut self,
        work: &mut Work,
        intake: &mut Intake,
        flown: &mut Flown,
        landed: Landed,
    ) -> Result<Submitted, StoreError> {
        let last = match landed.outcome {
            Ok(Ok(last)) => last,
            Ok(Err(error)) => return failed(intake, landed.pending, error),
            Err(panic) => resume_unwind(panic),
        };
        (self.saved, self.stands) = (flown.cursor, flown.cursor);
        self.first.clear();
        if flown.is_timeless {
            work.forget_lost();
        }
        for (stream, version, behind) in &flown.receipts {
            work.states.place(stream, *version, Position(last.0 - behind));
        }
        work.flights.place(last, std::mem::take(&mut flown.receipts));
        Ok(Submitted::Settled)
    }
}

/// Everything that a batch was is durable, up to this position: those who wait hear.
pub(super) fn answer(last: Position, pending: Vec<Pending>, behind: Vec<Option<u64>>) {
    let mut behind = behind.into_iter();
    for pending in pending {
        // Whoever asked may have gone; what was decided stands.
        match pending {
            Pending::Sent { reply, outcome, .. } => {
                let placed = outcome.map(|receipts| {
                    receipts
                        .into_iter()
                        .zip(&mut behind)
                        .map(|(receipt, behind)| place(receipt, last, behind))
                        .collect()
                });
                _ = reply.send(placed);
            }
            Pending::Act { reply, outcome } => _ = reply.send(outcome),
            Pending::Kept(
                Input::Letter(_, reply) | Input::Rebuilt(_, reply) | Input::Settle(_, reply) | Input::Between(_, reply),
            ) => _ = reply.send(()),
            Pending::Kept(_) => {}
        }
    }
}

fn receipts_of(pending: &Pending) -> impl Iterator<Item = &Receipt> {
    let outcome = match pending {
        Pending::Sent { outcome, .. } => outcome.as_ref().ok(),
        _ => None,
    };
    outcome.into_iter().flatten()
}

fn receipts(pending: &mut Pending) -> impl Iterator<Item = &mut Receipt> {
    let outcome = match pending {
        Pending::Sent { outcome, .. } => outcome.as_mut().ok(),
        _ => None,
    };
    outcome.into_iter().flatten()
}

/// A receipt with its position: that of the last event that followed, or that of the commit's last message if none did.
pub(super) fn place(receipt: Receipt, last: Position, behind: Option<u64>) -> Receipt {
    if receipt.position != Position::START {
        return receipt;
    }
    Receipt { position: Position(last.0 - behind.unwrap_or_default()), ..receipt }
}

fn failed(intake: &mut Intake, pending: Vec<Pending>, error: CommitError) -> Result<Submitted, StoreError> {
    match error {
        CommitError::Refused(refusal) => {
            let ended = match &refusal {
                Refusal::Conflict { .. } | Refusal::CellConflict { .. } => Submitted::Overtaken,
                content => Submitted::Unfit(content.to_string()),
            };
            give_back(intake, pending);
            Ok(ended)
        }
        CommitError::Store(StoreError::Conflict(_)) => {
            give_back(intake, pending);
            Ok(Submitted::Overtaken)
        }
        CommitError::Store(error @ StoreError::Unfit(_)) => {
            give_back(intake, pending);
            Ok(Submitted::Unfit(error.to_string()))
        }
        CommitError::Store(error) => {
            give_up(intake, pending, &error);
            Err(error)
        }
    }
}

/// The batch is run again: everybody goes on waiting.
pub(super) fn give_back(intake: &mut Intake, pending: Vec<Pending>) {
    let inputs: Vec<Input> = pending.into_iter().filter_map(input).collect();
    intake.put_back(inputs.into_iter());
}

fn input(pending: Pending) -> Option<Input> {
    match pending {
        Pending::Sent { sent, reply, .. } => Some(sent.again(reply)),
        Pending::Kept(input) => Some(input),
        // Who acts looks again, also who was refused: that was decided on what is not so.
        Pending::Act { reply, .. } => {
            let again = ActError::NotNow("the store was busy with something else: try again".to_owned());
            _ = reply.send(Err(again));
            None
        }
    }
}

/// What was decided on a commit that came to nothing, and was never launched: it is run again, if the store may be well again.
/// Else those who wait hear what has become of that commit, and nothing that was decided.
pub(super) fn fall(intake: &mut Intake, pending: Vec<Pending>, error: &CommitError) {
    #[cfg(feature = "sabotage")]
    let pending = super::planted::told_though_fallen(pending);
    match error {
        CommitError::Store(error) if !Engine::may_recover(error) => give_up(intake, pending, error),
        _ => give_back(intake, pending),
    }
}

/// Nothing of the batch was stored, or nobody knows: that is what callers hear, and nothing that was decided on it. What
/// nobody would send again is put back.
pub(super) fn give_up(intake: &mut Intake, pending: Vec<Pending>, error: &StoreError) {
    let mut kept = Vec::new();
    for pending in pending {
        match pending {
            Pending::Sent { reply, outcome, .. } => {
                let told = match outcome {
                    Err(ExecuteError::NoHandler(name)) => ExecuteError::NoHandler(name),
                    Err(told) if sabotage::is("refusal-told-as-final") => told,
                    _ => CommitError::Store(error.clone()).into(),
                };
                _ = reply.send(Err(told));
            }
            Pending::Act { reply, .. } => _ = reply.send(Err(ActError::Store(error.clone()))),
            other => kept.extend(input(other)),
        }
    }
    intake.put_back(kept.into_iter());
}
