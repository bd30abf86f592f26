//! Planted bugs of the commit: an answer before it, effects apart from the cursor, what outlives a commit that failed.

use factum_core::{
    envelope::Stored,
    error::{CommitError, StoreError},
    stream::Position,
};

use super::{
    Engine, Work,
    flight::Landed,
    submit::{Decided, Pending, give_up, place},
    take::Intake,
};
use crate::{
    inbox::{ExecuteError, Input},
    sabotage,
};

/// Does to a batch what the chosen bug would do.
pub(super) fn before_the_commit(
    work: &Work,
    intake: &Intake,
    decided: &mut Decided,
    is_left: bool,
) -> Result<(), StoreError> {
    if sabotage::is("cursor-outside-its-commit") && !decided.stage.is_empty() {
        match work.flights.committer().commit(std::mem::take(&mut decided.stage).into_commit(false).0) {
            Err(CommitError::Store(error)) => return Err(error),
            Err(CommitError::Refused(_)) | Ok(_) => {}
        }
    }
    decided.pending = settled_too_early(std::mem::take(&mut decided.pending));
    let head = intake.tail.head();
    if sabotage::is("answer-before-the-commit") {
        decided.pending = told(std::mem::take(&mut decided.pending), Position(head.0 + 1));
    }
    // As if they were in the commit that has just landed.
    if sabotage::is("answer-before-its-own-sync") && is_left {
        decided.pending = told(std::mem::take(&mut decided.pending), head);
    }
    Ok(())
}

/// Those who have sent commands hear that all is durable up to here.
fn told(pending: Vec<Pending>, last: Position) -> Vec<Pending> {
    let mut rest = Vec::new();
    for pending in pending {
        match pending {
            Pending::Sent { reply, outcome, .. } => {
                let placed = outcome.map(|receipts| receipts.into_iter().map(|it| place(it, last, None)).collect());
                _ = reply.send(placed);
            }
            other => rest.push(other),
        }
    }
    rest
}

/// What was decided on a commit outlives its failure. Answers what is to be dealt with as usual.
pub(super) fn survives(landed: Landed, is_next_decided: bool, intake: &mut Intake) -> Option<Landed> {
    match landed.outcome {
        Ok(Err(CommitError::Store(error)))
            if is_next_decided && Engine::may_recover(&error) && sabotage::is("next-survives-a-failed-commit") =>
        {
            give_up(intake, landed.pending, &error);
            None
        }
        outcome => Some(Landed { outcome, pending: landed.pending }),
    }
}

/// Whoever was refused on what has fallen hears it as if it stood.
pub(super) fn told_though_fallen(pending: Vec<Pending>) -> Vec<Pending> {
    let mut rest = Vec::new();
    for pending in pending {
        match pending {
            Pending::Sent { reply, outcome: Err(refused @ ExecuteError::Rejected(_)), .. }
                if sabotage::is("rejection-of-a-fallen-batch") =>
            {
                _ = reply.send(Err(refused));
            }
            other => rest.push(other),
        }
    }
    rest
}

/// Workers hear that what they have settled is durable, and it is not.
fn settled_too_early(pending: Vec<Pending>) -> Vec<Pending> {
    let told = |pending: Pending| match pending {
        Pending::Kept(Input::Settle(_, reply)) if sabotage::is("ack-before-durable") => {
            _ = reply.send(());
            None
        }
        other => Some(other),
    };
    pending.into_iter().filter_map(told).collect()
}

/// An instance says that the newest version has started it, whichever it was.
pub(super) fn of_another_version(saga: &factum_core::saga::Versions, stored: &Stored) -> Stored {
    let mut stored = stored.clone();
    if sabotage::is("instance-run-by-another-version")
        && stored.type_name().ends_with(".started")
        && let Ok(mut data) = serde_json::from_slice::<serde_json::Value>(&stored.message.data)
    {
        data["version"] = saga.newest().version().into();
        stored.message.data = data.to_string().into_bytes().into();
    }
    stored
}
