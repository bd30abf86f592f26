//! Planted bugs of the commit: an answer before it, effects apart from the cursor.

use factum_core::{
    error::{CommitError, StoreError},
    stream::Position,
};

use super::{Engine, Pending, stage::Stage};
use crate::sabotage;

impl Engine {
    /// Does to a batch what the chosen bug would do.
    pub(super) fn sabotaged(
        &mut self,
        mut stage: Stage,
        pending: Vec<Pending>,
    ) -> Result<(Stage, Vec<Pending>), StoreError> {
        if sabotage::is("cursor-outside-its-commit") && !stage.is_empty() {
            match self.committer.commit(std::mem::take(&mut stage).into_commit()) {
                Err(CommitError::Store(error)) => return Err(error),
                Err(CommitError::Refused(_)) | Ok(_) => {}
            }
        }
        if !sabotage::is("answer-before-the-commit") {
            return Ok((stage, pending));
        }
        let head = Position(self.tail.head().0 + 1);
        for Pending { reply, outcome } in pending {
            let placed = outcome.map(|receipts| receipts.into_iter().map(|it| self.placed(it, head, None)).collect());
            let _ = reply.send(placed);
        }
        Ok((stage, Vec::new()))
    }
}
