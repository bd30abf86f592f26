//! Planted bugs of the commit: an answer before it, effects apart from the cursor.

use factum_core::{
    envelope::Stored,
    error::{CommitError, StoreError},
    stream::Position,
};

use super::{
    Work,
    stage::Stage,
    submit::{Pending, Submit, place},
    take::Intake,
};
use crate::{inbox::Input, sabotage};

/// Does to a batch what the chosen bug would do.
pub(super) fn before_the_commit(
    submit: &Submit,
    work: &mut Work,
    intake: &Intake,
    stage: &mut Stage,
    pending: Vec<Pending>,
) -> Result<Vec<Pending>, StoreError> {
    if sabotage::is("cursor-outside-its-commit") && !stage.is_empty() {
        match submit.committer.commit(std::mem::take(stage).into_commit()) {
            Err(CommitError::Store(error)) => return Err(error),
            Err(CommitError::Refused(_)) | Ok(_) => {}
        }
    }
    let pending = settled_too_early(pending);
    if !sabotage::is("answer-before-the-commit") {
        return Ok(pending);
    }
    let head = Position(intake.tail.head().0 + 1);
    let mut rest = Vec::new();
    for pending in pending {
        match pending {
            Pending::Sent { reply, outcome, .. } => {
                let placed =
                    outcome.map(|receipts| receipts.into_iter().map(|it| place(work, it, head, None)).collect());
                _ = reply.send(placed);
            }
            other => rest.push(other),
        }
    }
    Ok(rest)
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
