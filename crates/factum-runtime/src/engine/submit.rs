//! Submitting and settling: one commit for all that a batch changes; when it is durable, and only then, callers hear.

use std::sync::Arc;

use factum_core::{
    cell::CellKey,
    error::{CommitError, Refusal, StoreError},
    stream::Position,
};
use tokio::sync::oneshot;

use super::{Work, stage::Stage, take::Intake};
use crate::{
    acts::{ActError, Outcome},
    committer::Committer,
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
    pub(super) committer: Arc<Committer>,
    /// The cursor as the store has it.
    pub(super) saved: Position,
    /// Cells that must be there before anything else is written, and so go with the first commit.
    pub(super) first: Vec<(CellKey, Vec<u8>)>,
}

impl Submit {
    /// Writes what is on the stage and answers those who wait. If the store could not, they are told so, or, where they
    /// would not send it again, their inputs are put back.
    pub(super) fn submit(
        &mut self,
        registry: &Registry,
        work: &mut Work,
        intake: &mut Intake,
        mut stage: Stage,
        pending: Vec<Pending>,
        force: bool,
    ) -> Result<Submitted, StoreError> {
        #[cfg(feature = "sabotage")]
        let pending = super::planted::before_the_commit(self, work, intake, &mut stage, pending)?;
        let changed = work.holds.has_changed()
            || work.groups.has_changed()
            || work.consumers.is_urgent()
            || !work.paced.is_empty();
        let mut behind = Vec::new();
        for receipt in pending.iter().flat_map(receipts) {
            behind.push(stage.behind(&receipt.stream, receipt.version));
        }
        let mut last = intake.tail.head();
        if !stage.is_empty() || changed || force {
            work.pace_limits(registry, &mut stage)?;
            let groups = work.groups.write(registry, &work.holds, &mut stage)?;
            work.holds.write(registry, &mut stage)?;
            work.instances.write(&mut stage)?;
            work.note_ran();
            work.consumers.write(registry, &mut stage)?;
            for (key, value) in &self.first {
                stage.cell(key.clone(), Some(value.clone()));
            }
            match self.committer.commit(stage.into_commit()) {
                Ok(position) => {
                    last = position;
                    self.saved = work.consumers.cursor;
                    self.first.clear();
                    work.forget_lost();
                    work.tell_groups(groups);
                }
                Err(error) => return failed(intake, pending, error),
            }
        }
        settle(work, last, pending, behind);
        Ok(Submitted::Settled)
    }
}

/// Everything that the batch was is durable: those who wait hear.
fn settle(work: &mut Work, last: Position, pending: Vec<Pending>, behind: Vec<Option<u64>>) {
    let mut behind = behind.into_iter();
    for pending in pending {
        // Whoever asked may have gone; what was decided stands.
        match pending {
            Pending::Sent { reply, outcome, .. } => {
                let placed = outcome.map(|receipts| {
                    let placed = receipts.into_iter().zip(&mut behind);
                    placed.map(|(receipt, behind)| place(work, receipt, last, behind)).collect()
                });
                _ = reply.send(placed);
            }
            Pending::Act { reply, outcome } => _ = reply.send(outcome),
            Pending::Kept(Input::Letter(_, reply) | Input::Rebuilt(_, reply) | Input::Settle(_, reply)) => {
                _ = reply.send(())
            }
            Pending::Kept(_) => {}
        }
    }
}

fn receipts(pending: &Pending) -> impl Iterator<Item = &Receipt> {
    let outcome = match pending {
        Pending::Sent { outcome, .. } => outcome.as_ref().ok(),
        _ => None,
    };
    outcome.into_iter().flatten()
}

/// A receipt with its position: that of the last event that followed, or that of the commit's last message if none did.
pub(super) fn place(work: &mut Work, receipt: Receipt, last: Position, behind: Option<u64>) -> Receipt {
    if receipt.position != Position::START {
        return receipt;
    }
    let position = Position(last.0 - behind.unwrap_or_default());
    if behind.is_some() {
        work.states.place(&receipt.stream, receipt.version, position);
    }
    Receipt { position, ..receipt }
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
        // Who acts looks again.
        Pending::Act { reply, outcome } => {
            let again = || ActError::NotNow("the store was busy with something else: try again".to_owned());
            _ = reply.send(outcome.and(Err(again())));
            None
        }
    }
}

/// Nothing of the batch was stored, or nobody knows: that is what callers hear, and nothing that was decided on it. What
/// nobody would send again is put back.
fn give_up(intake: &mut Intake, pending: Vec<Pending>, error: &StoreError) {
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
