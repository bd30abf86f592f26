//! What a person does about an instance: tries its step again, treats it as done, has everything undone.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Failure, FailureKind, Status, StepState,
    record::{EMPTY, Record, STEP_RESOLVED, STEP_RETRIED, UNDO_ORDERED},
    transition::Run,
};
use crate::error::HandlerError;

/// An act, with who does it and why: both stand in the instance's own event about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// What.
    pub what: What,
    /// Who; at most 128 bytes.
    pub by: String,
    /// Why; at most 1 KiB.
    pub why: String,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The step that waits, or its undo, is sent again, with all its time. Of several that wait the one that needs a person,
    /// else the one that is named.
    Retry(Option<String>),
    /// The step that waits, or its undo, counts as done: somebody has seen to it.
    Resolve(Option<String>),
    /// Everything that was sent is undone, as if a step had failed. Not behind the pivot.
    Undo,
    /// The table of this version runs it from now on.
    Move(u32),
}

impl<F: Serialize + DeserializeOwned + Default + Clone + Send + 'static> Run<'_, F> {
    pub(super) fn act(&mut self, act: &Act) -> Result<(), HandlerError> {
        let undoing = self.instance.started == Some(Status::Undoing);
        let record = |step: Option<usize>, run: &Self| Record {
            step: step.map(|step| run.saga.steps[step].name.to_owned()),
            by: Some(act.by.clone()),
            why: (!act.why.is_empty()).then(|| act.why.clone()),
            ..EMPTY
        };
        match &act.what {
            What::Retry(step) if undoing => {
                let step = self.acted_on(step.as_deref(), StepState::Undoing)?;
                self.cancel_limit(step);
                self.record(STEP_RETRIED, record(Some(step), self))?;
                self.undo_next(1)
            }
            What::Retry(step) => {
                let step = self.acted_on(step.as_deref(), StepState::Sent)?;
                self.cancel_limit(step);
                self.record(STEP_RETRIED, record(Some(step), self))?;
                self.send(step)
            }
            What::Resolve(step) => {
                let wanted = if undoing { StepState::Undoing } else { StepState::Sent };
                let step = self.acted_on(step.as_deref(), wanted)?;
                self.cancel_limit(step);
                self.withdraw_of(step);
                self.record(STEP_RESOLVED, record(Some(step), self))?;
                if undoing { self.undo_next(1) } else { self.go_on(step) }
            }
            What::Undo => self.undo_ordered(act, record),
            What::Move(_) => Err(HandlerError::failed("an instance is moved by all versions together")),
        }
    }

    fn undo_ordered(&mut self, act: &Act, record: impl Fn(Option<usize>, &Self) -> Record) -> Result<(), HandlerError> {
        if self.instance.started != Some(Status::Running) {
            return Err(HandlerError::failed("it is being undone already"));
        }
        if let Some(pivot) = self.saga.steps.iter().find(|step| step.pivot).filter(|_| self.past_pivot()) {
            let name = pivot.name;
            return Err(HandlerError::Failed(format!(
                "its pivot `{name}` is done or may be: there is no way back; try its step again, or treat it as done"
            )));
        }
        for at in 0..self.saga.steps.len() {
            if self.instance.steps[at] == StepState::Sent {
                self.cancel_limit(at);
            }
        }
        self.withdraw_waiting();
        let failure = Failure { step: String::new(), kind: FailureKind::Ordered, reason: act.why.clone(), error: None };
        let facts = self.noted(&failure)?;
        self.record(UNDO_ORDERED, Record { facts, ..record(None, self) })?;
        self.tell_own(&failure)?;
        self.undo_next(1)
    }

    /// The step that an act is about.
    fn acted_on(&self, name: Option<&str>, wanted: StepState) -> Result<usize, HandlerError> {
        let steps = &self.instance.steps;
        let waiting = || (0..steps.len()).filter(|at| steps[*at] == wanted);
        if let Some(name) = name {
            let found = waiting().find(|at| self.saga.steps[*at].name == name);
            return found.ok_or_else(|| HandlerError::Failed(format!("step `{name}` does not wait for an answer")));
        }
        let flagged = self.instance.attention.as_ref().and_then(|attention| attention.step);
        if let Some(step) = flagged.filter(|step| steps[*step] == wanted) {
            return Ok(step);
        }
        let names: Vec<&str> = waiting().map(|at| self.saga.steps[at].name).collect();
        match (waiting().next(), names.len()) {
            (Some(step), 1) => Ok(step),
            (None, _) => Err(HandlerError::failed("none of its steps waits for an answer")),
            _ => Err(HandlerError::Failed(format!("several of its steps wait: name one of {}", names.join(", ")))),
        }
    }
}
