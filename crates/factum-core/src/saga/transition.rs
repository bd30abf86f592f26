//! What follows from one input to an instance: its own events, commands to participants, limits.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    AnySaga, AttentionNeeded, Failure, FailureKind, Saga, Status, StepState,
    instance::{Input, Instance, Own, Transition},
    record::{
        ATTENTION_NEEDED, COMPENSATED, COMPLETED, EMPTY, Expire, Record, STARTED, STEP_DONE, STEP_FAILED, STEP_HELD,
        STEP_UNDONE, UNDO_SENT,
    },
    step::{LIMIT_BEHIND, Meaning, Reply, Step},
};
use crate::{
    envelope::{Draft, Stored},
    error::HandlerError,
    id::Name,
    reaction::Effect,
    rejection::Refused,
};

/// The instance's own events, by name.
pub(super) type Records = Vec<(&'static str, Record)>;

/// One input on its way through an instance.
pub(super) struct Run<'a, F> {
    pub(super) saga: &'a Saga<F>,
    pub(super) instance: &'a mut Instance<F>,
    own: Own<'a>,
    records: Records,
    pub(super) out: Transition,
}

impl<'a, F: Serialize + DeserializeOwned + Default + Clone + Send + 'static> Run<'a, F> {
    pub(super) fn new(saga: &'a Saga<F>, instance: &'a mut Instance<F>, own: Own<'a>) -> Self {
        Self { saga, instance, own, records: Vec::new(), out: Transition::default() }
    }

    /// Takes an input: the instance's own events, and what they lead to.
    pub(super) fn take(mut self, input: Input<'_>) -> Result<(Records, Transition), HandlerError> {
        self.dispatch(input)?;
        Ok((self.records, self.out))
    }

    fn dispatch(&mut self, input: Input<'_>) -> Result<(), HandlerError> {
        match (self.instance.started, input) {
            (None, Input::Event(stored)) => self.start(stored),
            (Some(Status::Running), Input::Event(stored)) => self.answered(stored),
            (Some(Status::Undoing), Input::Event(stored)) => self.undone(stored),
            (Some(Status::Running | Status::Undoing), Input::Rejection { command, refused }) => {
                self.rejected(command, refused)
            }
            (Some(Status::Running | Status::Undoing), Input::Expired(stored)) => self.expired(stored),
            (Some(Status::Running | Status::Undoing), Input::Told(stored)) => self.told(stored),
            (Some(Status::Running | Status::Undoing), Input::Act(act)) => self.act(act),
            (Some(Status::Completed | Status::Compensated) | None, Input::Act(_)) => {
                Err(HandlerError::failed("it has ended, or never began: there is nothing to do"))
            }
            // First appended wins: after the end, and before the start, nothing else counts.
            (Some(Status::Completed | Status::Compensated) | None, _) => Ok(()),
        }
    }

    fn start(&mut self, stored: &Stored) -> Result<(), HandlerError> {
        let Some((types, start)) = &self.saga.start else { return Ok(()) };
        if !types.iter().any(|info| info.name == stored.type_name()) {
            return Ok(());
        }
        self.instance.facts = start(stored)?;
        let facts = self.facts()?;
        self.record(STARTED, Record { version: Some(self.saga.version), facts: Some(facts), ..EMPTY })?;
        self.begin(0)
    }

    fn answered(&mut self, stored: &Stored) -> Result<(), HandlerError> {
        let saga = self.saga;
        for (index, step) in saga.steps.iter().enumerate() {
            if self.instance.steps[index] != StepState::Sent {
                continue;
            }
            for reply in step.replies.iter().filter(|reply| reply.type_name == stored.type_name()) {
                if reply.meaning == Meaning::Undone {
                    continue;
                }
                // Facts change only together with the event that keeps them.
                let mut facts = self.instance.facts.clone();
                let Some(reason) = (reply.matches)(&mut facts, stored)? else { continue };
                let facts = if reply.keeps { Some(self.keep(facts)?) } else { None };
                return match reply.meaning {
                    Meaning::Done => self.done(index, facts),
                    Meaning::Held => self.hold(index, reason),
                    Meaning::Refused | Meaning::Undone => self.fail(Some(index), FailureKind::Refused, reason, facts),
                };
            }
        }
        let abort = saga.aborts.iter().find(|(type_name, _)| *type_name == stored.type_name());
        if let Some((_, matches)) = abort
            && !self.past_pivot()
            && let Some(reason) = matches(&mut self.instance.facts, stored)?
        {
            return self.fail(None, FailureKind::Aborted, reason, None);
        }
        Ok(())
    }

    pub(super) fn done(&mut self, index: usize, facts: Option<Box<RawValue>>) -> Result<(), HandlerError> {
        let name = self.saga.steps[index].name;
        self.cancel_limit(index);
        self.record(STEP_DONE, Record { step: Some(name.to_owned()), facts, ..EMPTY })?;
        self.go_on(index)
    }

    /// A step is done: what follows begins, if the steps beside it are done too.
    pub(super) fn go_on(&mut self, index: usize) -> Result<(), HandlerError> {
        let group = self.group(index);
        let over = |state: &StepState| matches!(state, StepState::Done | StepState::Skipped);
        if self.instance.steps[group.clone()].iter().all(over) {
            return self.begin(group.end);
        }
        Ok(())
    }

    fn hold(&mut self, index: usize, reason: String) -> Result<(), HandlerError> {
        let step = &self.saga.steps[index];
        let Some(hold) = &step.hold else { return Ok(()) };
        let command = (hold.own)(&self.instance.facts)?;
        if let Err(refused) = (self.own)(command)? {
            return self.fail(Some(index), FailureKind::OwnRefused, refused.message, None);
        }
        self.set_limit(index, hold.within, false)?;
        self.record(STEP_HELD, Record { step: Some(step.name.to_owned()), reason: Some(reason), ..EMPTY })
    }

    /// Begins the group of steps at `index`; steps that wait for nothing are done at once.
    fn begin(&mut self, index: usize) -> Result<(), HandlerError> {
        let mut index = index;
        let saga = self.saga;
        while index < saga.steps.len() {
            let group = self.group(index);
            for at in group.clone() {
                let step = &saga.steps[at];
                for own in &step.own {
                    let command = own(&self.instance.facts)?;
                    if let Err(refused) = (self.own)(command)? {
                        return self.fail(Some(at), FailureKind::OwnRefused, refused.message, None);
                    }
                }
                self.sent(at);
                if step.waits() {
                    self.send(at)?;
                } else {
                    self.record(STEP_DONE, Record { step: Some(step.name.to_owned()), ..EMPTY })?;
                }
            }
            if self.instance.steps[group.clone()].contains(&StepState::Sent) {
                return Ok(());
            }
            index = group.end;
        }
        self.record(COMPLETED, EMPTY)
    }

    /// Sends what a step sends, and sets its limit.
    pub(super) fn send(&mut self, index: usize) -> Result<(), HandlerError> {
        let saga = self.saga;
        let step = &saga.steps[index];
        if let Some((_, make)) = &step.send {
            let command = make(&self.instance.facts)?;
            self.out.effects.push(Effect::Send(command));
        }
        self.ask(index, false)?;
        self.set_limit(index, step.limit(saga.is_behind_pivot(index)), false)
    }

    pub(super) fn fail(
        &mut self,
        index: Option<usize>,
        kind: FailureKind,
        reason: String,
        facts: Option<Box<RawValue>>,
    ) -> Result<(), HandlerError> {
        if let Some(at) = index.filter(|at| self.saga.steps[*at].best_effort)
            && matches!(kind, FailureKind::Refused | FailureKind::Expired)
        {
            return self.passed_over(at, kind, reason, facts);
        }
        let name = index.map(|index| self.saga.steps[index].name.to_owned());
        // The pivot's own decision may still be refused, and what it asks for: only what may have been done has no way back.
        let pivot_refused = kind == FailureKind::Refused && index.is_some_and(|index| self.saga.steps[index].pivot);
        if self.past_pivot() && !pivot_refused {
            if let Some(index) = index {
                self.cancel_limit(index);
            }
            return self.attention(index, Some(kind), reason);
        }
        for at in 0..self.saga.steps.len() {
            if self.instance.steps[at] == StepState::Sent {
                self.cancel_limit(at);
            }
        }
        self.withdraw_waiting();
        let error = index.and_then(|index| self.saga.steps[index].error.clone());
        let failure = Failure { step: name.clone().unwrap_or_default(), kind, reason: reason.clone(), error };
        let facts = self.noted(&failure)?.or(facts);
        let error = failure.error.as_ref().map(ToString::to_string);
        let record = Record { step: name, kind: Some(kind), reason: Some(reason), error, facts, ..EMPTY };
        self.record(STEP_FAILED, record)?;
        if kind != FailureKind::Aborted {
            self.tell_own(&failure)?;
        }
        self.undo_next(1)
    }

    /// A step that the process does not hang on has failed: what follows begins.
    fn passed_over(
        &mut self,
        index: usize,
        kind: FailureKind,
        reason: String,
        facts: Option<Box<RawValue>>,
    ) -> Result<(), HandlerError> {
        self.cancel_limit(index);
        self.withdraw_of(index);
        let step = Some(self.saga.steps[index].name.to_owned());
        self.record(STEP_DONE, Record { step, kind: Some(kind), reason: Some(reason), facts, ..EMPTY })?;
        self.go_on(index)
    }

    /// The facts with what undos need to know of the failure.
    pub(super) fn noted(&mut self, failure: &Failure) -> Result<Option<Box<RawValue>>, HandlerError> {
        let Some(note) = &self.saga.noting else { return Ok(None) };
        let mut facts = self.instance.facts.clone();
        note(&mut facts, failure);
        self.keep(facts).map(Some)
    }

    /// Tells the service's own aggregate that everything is undone.
    pub(super) fn tell_own(&mut self, failure: &Failure) -> Result<(), HandlerError> {
        let Some(failed) = &self.saga.failed else { return Ok(()) };
        if let Some(command) = failed(&self.instance.facts, failure)? {
            // The aggregate may have ended already; its no changes nothing about the undo.
            let _ = (self.own)(command)?;
        }
        Ok(())
    }

    /// A person is needed.
    fn attention(
        &mut self,
        index: Option<usize>,
        kind: Option<FailureKind>,
        reason: String,
    ) -> Result<(), HandlerError> {
        let step = index.map(|index| self.saga.steps[index].name.to_owned());
        self.out.attention = Some(AttentionNeeded {
            saga_id: String::new(),
            saga: self.saga.name.to_owned(),
            version: self.saga.version,
            step: step.clone(),
            kind,
            reason: reason.clone(),
        });
        self.record(ATTENTION_NEEDED, Record { step, kind, reason: Some(reason), ..EMPTY })
    }

    /// Sends the undo of the last step that still needs one, or ends the instance.
    pub(super) fn undo_next(&mut self, attempt: u32) -> Result<(), HandlerError> {
        for index in (0..self.saga.steps.len()).rev() {
            let step = &self.saga.steps[index];
            let needs = matches!(self.instance.steps[index], StepState::Sent | StepState::Done | StepState::Undoing);
            if !needs || !step.has_undo() {
                continue;
            }
            if let Some((_, make)) = &step.undo {
                let command = make(&self.instance.facts)?;
                self.out.effects.push(Effect::Send(command));
            }
            self.ask(index, true)?;
            let wait = match step.undo_call {
                // It is asked for all the time: the limit calls a person.
                Some(_) => LIMIT_BEHIND,
                None => step.limit(false).saturating_mul(1 << (attempt - 1).min(8)),
            };
            self.set_limit(index, wait, true)?;
            let record = Record { step: Some(step.name.to_owned()), attempt: Some(attempt), ..EMPTY };
            return self.record(UNDO_SENT, record);
        }
        self.record(COMPENSATED, EMPTY)
    }

    fn undone(&mut self, stored: &Stored) -> Result<(), HandlerError> {
        let Some(index) = self.undoing() else { return Ok(()) };
        let step = &self.saga.steps[index];
        let confirms = |reply: &&Reply<F>| reply.meaning == Meaning::Undone && reply.type_name == stored.type_name();
        if !step.replies.iter().any(|reply| confirms(&reply)) {
            return Ok(());
        }
        self.step_undone(index)
    }

    /// The undo of a step is confirmed.
    pub(super) fn step_undone(&mut self, index: usize) -> Result<(), HandlerError> {
        self.cancel_limit(index);
        let step = self.saga.steps[index].name.to_owned();
        self.record(STEP_UNDONE, Record { step: Some(step), ..EMPTY })?;
        self.undo_next(1)
    }

    fn rejected(&mut self, command: &str, refused: &Refused) -> Result<(), HandlerError> {
        let sends = |step: &Step<F>| step.send.as_ref().is_some_and(|(name, _)| *name == command);
        let undoes = |step: &Step<F>| step.undo.as_ref().is_some_and(|(name, _)| *name == command);
        let steps = &self.saga.steps;
        if let Some(index) = steps.iter().position(sends).filter(|at| self.instance.steps[*at] == StepState::Sent)
            && self.instance.started == Some(Status::Running)
        {
            return self.fail(Some(index), FailureKind::Refused, refused.code.clone(), None);
        }
        if let Some(index) = steps.iter().position(undoes).filter(|at| self.undoing() == Some(*at)) {
            return self.undo_failed(index, None, &refused.message);
        }
        Ok(())
    }

    fn expired(&mut self, stored: &Stored) -> Result<(), HandlerError> {
        let expire: Expire = serde_json::from_slice(&stored.message.data)
            .map_err(|error| HandlerError::Payload(format!("{}: {error}", stored.type_name())))?;
        let index = self.saga.index(&expire.step)?;
        if expire.undo {
            return match self.undoing() {
                Some(undoing) if undoing == index => self.undo_failed(index, None, "no answer within the limit"),
                _ => Ok(()),
            };
        }
        if self.instance.steps[index] == StepState::Sent && self.instance.started == Some(Status::Running) {
            return self.fail(Some(index), FailureKind::Expired, "no answer within the limit".to_owned(), None);
        }
        Ok(())
    }

    pub(super) fn undo_failed(
        &mut self,
        index: usize,
        kind: Option<FailureKind>,
        reason: &str,
    ) -> Result<(), HandlerError> {
        let attempt = self.instance.undo_attempts;
        let step = &self.saga.steps[index];
        if step.undo_call.is_none() && attempt < step.undo_attempts {
            self.cancel_limit(index);
            return self.undo_next(attempt + 1);
        }
        self.cancel_limit(index);
        self.attention(Some(index), kind, reason.to_owned())
    }

    pub(super) fn undoing(&self) -> Option<usize> {
        self.instance.steps.iter().position(|state| *state == StepState::Undoing)
    }

    /// Whether the pivot's command is on its way, so that there is no way back.
    pub(super) fn past_pivot(&self) -> bool {
        let begun = |index: usize| !matches!(self.instance.steps[index], StepState::Waiting | StepState::Refused);
        self.saga.steps.iter().position(|step| step.pivot).is_some_and(begun)
    }

    /// The steps that run beside the one at `index`.
    fn group(&self, index: usize) -> std::ops::Range<usize> {
        let steps = &self.saga.steps;
        let first = (0..=index).rev().find(|at| !steps[*at].beside).unwrap_or(0);
        let end = (index + 1..steps.len()).find(|at| !steps[*at].beside).unwrap_or(steps.len());
        first..end
    }

    fn set_limit(&mut self, index: usize, delay: Duration, undo: bool) -> Result<(), HandlerError> {
        let step = self.saga.steps[index].name;
        let type_name = Name::Shared(self.saga.expire_type().into());
        let command = Draft::named(type_name, &Expire { step: step.to_owned(), undo })?;
        self.out.effects.push(Effect::After { name: step.to_owned(), delay, command });
        Ok(())
    }

    pub(super) fn cancel_limit(&mut self, index: usize) {
        self.out.effects.push(Effect::Cancel(self.saga.steps[index].name.to_owned()));
    }

    pub(super) fn record(&mut self, event: &'static str, record: Record) -> Result<(), HandlerError> {
        self.saga.apply(self.instance, event, &record)?;
        self.records.push((event, record));
        Ok(())
    }

    /// Notes a step as sent, in the record of what made it begin: the start, or the end of the steps before.
    fn sent(&mut self, index: usize) {
        self.instance.steps[index] = StepState::Sent;
        if let Some((_, record)) = self.records.last_mut() {
            record.sent.push(self.saga.steps[index].name.to_owned());
        }
    }

    pub(super) fn keep(&mut self, facts: F) -> Result<Box<RawValue>, HandlerError> {
        self.instance.facts = facts;
        self.facts()
    }

    fn facts(&self) -> Result<Box<RawValue>, HandlerError> {
        serde_json::value::to_raw_value(&self.instance.facts).map_err(HandlerError::failed)
    }
}
