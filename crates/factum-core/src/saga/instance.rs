//! One instance of a saga: the state folded from its stream, and what follows from each input.

use std::{any::Any, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Failure, FailureKind, Saga, Status, StepState,
    table::{Meaning, Step},
};
use crate::{
    envelope::{Draft, Kind, Stored},
    error::HandlerError,
    id::Name,
    payload::{TypeInfo, field},
    reaction::Effect,
    rejection::Refused,
    stream::StreamId,
};

/// How often an undo is sent before a person is asked.
const UNDO_ATTEMPTS: u32 = 5;

/// Decides on the service's own aggregate, in the same commit.
pub type Own<'a> = &'a mut dyn FnMut(Draft) -> Result<Result<(), Refused>, HandlerError>;

/// What an instance can be given.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A start event, a reply or an abort event.
    Event(&'a Stored),
    /// A participant's no to one of the instance's commands.
    Rejection {
        /// The command's type.
        command: &'a str,
        /// The no.
        refused: &'a Refused,
    },
    /// A step's limit has passed.
    Expired(&'a Stored),
}

/// What follows from an input: events of the instance, commands, timers.
#[derive(Debug, Default)]
pub struct Transition {
    /// Events for the instance's own stream.
    pub events: Vec<Draft>,
    /// Commands and timers.
    pub effects: Vec<Effect>,
}

/// A saga without its types, as the engine holds it.
pub trait AnySaga: Send + Sync {
    /// Its name, which is its streams' category.
    fn name(&self) -> &'static str;
    /// Its definition's version.
    fn version(&self) -> u32;
    /// Event types that it reads: start, replies, aborts.
    fn types(&self) -> Vec<&'static str>;
    /// Event types that it makes itself.
    fn own_types(&self) -> Vec<String>;
    /// The command type by which a limit comes back.
    fn expire_type(&self) -> String;
    /// Checks the table.
    ///
    /// # Errors
    /// A sentence.
    fn check(&self) -> Result<(), super::SagaProblem>;
    /// The table as YAML.
    fn yaml(&self) -> String;
    /// The instance that an event belongs to.
    ///
    /// # Errors
    /// [`HandlerError`] if the event does not carry the key field.
    fn instance_of(&self, stored: &Stored) -> Result<StreamId, HandlerError>;
    /// The state of an instance that has not started.
    fn blank(&self) -> Box<dyn Any + Send>;
    /// Takes one of the instance's own events in; its commands and others change nothing.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit or another version started it.
    fn evolve(&self, state: &mut dyn Any, stored: &Stored) -> Result<(), HandlerError>;
    /// Takes an input; the state has the transition's events in it afterwards.
    ///
    /// # Errors
    /// [`HandlerError`]; the state must be dropped then.
    fn run(&self, state: &mut dyn Any, input: Input<'_>, own: Own<'_>) -> Result<Transition, HandlerError>;
    /// About how many bytes the state takes.
    fn bytes(&self, state: &dyn Any) -> usize;
    /// Where an instance stands; `None` if it has not started.
    fn status(&self, state: &dyn Any) -> Option<(Status, Vec<(&'static str, StepState)>)>;
}

pub(super) struct Instance<F> {
    started: Option<Status>,
    pub(super) facts: F,
    facts_bytes: usize,
    steps: Vec<StepState>,
    pub(super) undo_attempts: u32,
}

/// Every event of an instance's own stream.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    step: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    sent: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    kind: Option<FailureKind>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    facts: Option<Box<serde_json::value::RawValue>>,
}

const EMPTY: Record =
    Record { version: None, step: None, sent: Vec::new(), kind: None, reason: None, attempt: None, facts: None };

#[derive(Debug, Serialize, Deserialize)]
struct Expire {
    step: String,
    undo: bool,
}

const STARTED: &str = "started";
const STEP_DONE: &str = "step_done";
const STEP_HELD: &str = "step_held";
const STEP_FAILED: &str = "step_failed";
const UNDO_SENT: &str = "undo_sent";
const STEP_UNDONE: &str = "step_undone";
const COMPLETED: &str = "completed";
const COMPENSATED: &str = "compensated";
const ATTENTION_NEEDED: &str = "attention_needed";

impl<F> AnySaga for Saga<F>
where
    F: Serialize + DeserializeOwned + Default + Clone + Send + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn types(&self) -> Vec<&'static str> {
        let start = self.start.iter().flat_map(|(types, _)| types.iter().map(|info: &TypeInfo| info.name));
        let replies = self.steps.iter().flat_map(|step| step.replies.iter().map(|reply| reply.type_name));
        let mut types: Vec<&str> = start.chain(replies).chain(self.aborts.iter().map(|(name, _)| *name)).collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    fn own_types(&self) -> Vec<String> {
        let events = [
            STARTED,
            STEP_DONE,
            STEP_HELD,
            STEP_FAILED,
            UNDO_SENT,
            STEP_UNDONE,
            COMPLETED,
            COMPENSATED,
            ATTENTION_NEEDED,
        ];
        events.iter().map(|event| format!("{}.{event}", self.name)).collect()
    }

    fn expire_type(&self) -> String {
        format!("{}.expire", self.name)
    }

    fn check(&self) -> Result<(), super::SagaProblem> {
        Saga::check(self)
    }

    fn yaml(&self) -> String {
        self.to_string()
    }

    fn instance_of(&self, stored: &Stored) -> Result<StreamId, HandlerError> {
        let key = field(&stored.message.data, self.key)
            .map_err(|error| HandlerError::Payload(format!("{} is no JSON object: {error}", stored.type_name())))?;
        let Some(key) = key else {
            let problem = format!("saga {} reads {}, which carries no {}", self.name, stored.type_name(), self.key);
            return Err(HandlerError::Failed(problem));
        };
        Ok(StreamId::new(self.name, &key)?)
    }

    fn blank(&self) -> Box<dyn Any + Send> {
        Box::new(Instance::<F> {
            started: None,
            facts: F::default(),
            facts_bytes: 0,
            steps: vec![StepState::Waiting; self.steps.len()],
            undo_attempts: 0,
        })
    }

    fn evolve(&self, state: &mut dyn Any, stored: &Stored) -> Result<(), HandlerError> {
        let own = stored.type_name().strip_prefix(self.name).and_then(|rest| rest.strip_prefix('.'));
        let Some(event) = own.filter(|_| stored.envelope().kind == Kind::Event) else { return Ok(()) };
        let record: Record = serde_json::from_slice(&stored.message.data)
            .map_err(|error| HandlerError::Payload(format!("{}: {error}", stored.type_name())))?;
        self.apply(downcast(state)?, event, &record)
    }

    fn run(&self, state: &mut dyn Any, input: Input<'_>, own: Own<'_>) -> Result<Transition, HandlerError> {
        let instance: &mut Instance<F> = downcast(state)?;
        let mut run = Run { saga: self, instance, own, records: Vec::new(), out: Transition::default() };
        run.take(input)?;
        let Run { records, mut out, .. } = run;
        for (event, record) in records {
            let type_name = Name::Shared(format!("{}.{event}", self.name).into());
            out.events.push(Draft::named(type_name, &record)?);
        }
        Ok(out)
    }

    fn bytes(&self, state: &dyn Any) -> usize {
        state.downcast_ref::<Instance<F>>().map_or(0, |instance| 256 + 2 * instance.facts_bytes)
    }

    fn status(&self, state: &dyn Any) -> Option<(Status, Vec<(&'static str, StepState)>)> {
        let instance = state.downcast_ref::<Instance<F>>()?;
        let steps = self.steps.iter().map(|step| step.name).zip(instance.steps.iter().copied()).collect();
        Some((instance.started?, steps))
    }
}

impl<F: Serialize + DeserializeOwned + Default + Clone + Send + 'static> Saga<F> {
    fn index(&self, name: &str) -> Result<usize, HandlerError> {
        self.steps.iter().position(|step| step.name == name).ok_or_else(|| {
            let version = self.version;
            HandlerError::Failed(format!("saga {} version {version} has no step `{name}`", self.name))
        })
    }

    /// What each own event means for the state; the only place that changes it.
    fn apply(&self, instance: &mut Instance<F>, event: &str, record: &Record) -> Result<(), HandlerError> {
        if let Some(facts) = &record.facts {
            instance.facts = serde_json::from_str(facts.get())
                .map_err(|error| HandlerError::Payload(format!("facts of saga {}: {error}", self.name)))?;
            instance.facts_bytes = facts.get().len();
        }
        if event == STARTED && record.version != Some(self.version) {
            let (name, ours, theirs) = (self.name, self.version, record.version.unwrap_or_default());
            let remedy = "finish it with the program that started it";
            return Err(HandlerError::Failed(format!(
                "an instance of saga {name} has version {theirs}, not {ours}: {remedy}"
            )));
        }
        let step = record.step.as_deref().map(|name| self.index(name)).transpose()?;
        for sent in &record.sent {
            let index = self.index(sent)?;
            instance.steps[index] = StepState::Sent;
        }
        match (event, step) {
            (STARTED, _) => instance.started = Some(Status::Running),
            (STEP_DONE, Some(step)) => instance.steps[step] = StepState::Done,
            (STEP_FAILED, step) => {
                instance.started = Some(Status::Undoing);
                if let (Some(step), Some(FailureKind::Refused | FailureKind::OwnRefused)) = (step, record.kind) {
                    instance.steps[step] = StepState::Refused;
                }
            }
            (UNDO_SENT, Some(step)) => {
                instance.steps[step] = StepState::Undoing;
                instance.undo_attempts = record.attempt.unwrap_or(1);
            }
            (STEP_UNDONE, Some(step)) => instance.steps[step] = StepState::Undone,
            (COMPLETED, _) => instance.started = Some(Status::Completed),
            (COMPENSATED, _) => instance.started = Some(Status::Compensated),
            _ => {}
        }
        Ok(())
    }
}

/// One input on its way through an instance.
struct Run<'a, F> {
    saga: &'a Saga<F>,
    instance: &'a mut Instance<F>,
    own: Own<'a>,
    records: Vec<(&'static str, Record)>,
    out: Transition,
}

impl<F: Serialize + DeserializeOwned + Default + Clone + Send + 'static> Run<'_, F> {
    fn take(&mut self, input: Input<'_>) -> Result<(), HandlerError> {
        match (self.instance.started, input) {
            (None, Input::Event(stored)) => self.start(stored),
            (Some(Status::Running), Input::Event(stored)) => self.answered(stored),
            (Some(Status::Undoing), Input::Event(stored)) => self.undone(stored),
            (Some(Status::Running | Status::Undoing), Input::Rejection { command, refused }) => {
                self.rejected(command, refused)
            }
            (Some(Status::Running | Status::Undoing), Input::Expired(stored)) => self.expired(stored),
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

    fn done(&mut self, index: usize, facts: Option<Box<serde_json::value::RawValue>>) -> Result<(), HandlerError> {
        let name = self.saga.steps[index].name;
        self.cancel_limit(index);
        self.record(STEP_DONE, Record { step: Some(name.to_owned()), facts, ..EMPTY })?;
        let group = self.group(index);
        if self.instance.steps[group.clone()].iter().all(|state| *state == StepState::Done) {
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
                if let Some((_, make)) = &step.send {
                    let command = make(&self.instance.facts)?;
                    self.out.effects.push(Effect::Send(command));
                }
                if step.waits() {
                    self.set_limit(at, step.within, false)?;
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

    fn fail(
        &mut self,
        index: Option<usize>,
        kind: FailureKind,
        reason: String,
        facts: Option<Box<serde_json::value::RawValue>>,
    ) -> Result<(), HandlerError> {
        let name = index.map(|index| self.saga.steps[index].name.to_owned());
        // The pivot's own decision may still be refused: only a pivot that was sent has no way back.
        if self.past_pivot() {
            if let Some(index) = index {
                self.cancel_limit(index);
            }
            return self
                .record(ATTENTION_NEEDED, Record { step: name, kind: Some(kind), reason: Some(reason), ..EMPTY });
        }
        for at in 0..self.saga.steps.len() {
            if self.instance.steps[at] == StepState::Sent {
                self.cancel_limit(at);
            }
        }
        let record = Record { step: name.clone(), kind: Some(kind), reason: Some(reason.clone()), facts, ..EMPTY };
        self.record(STEP_FAILED, record)?;
        if kind != FailureKind::Aborted
            && let Some(failed) = &self.saga.failed
        {
            let failure = Failure { step: name.unwrap_or_default(), kind, reason };
            if let Some(command) = failed(&self.instance.facts, &failure)? {
                // The aggregate may have ended already; its no changes nothing about the undo.
                let _ = (self.own)(command)?;
            }
        }
        self.undo_next(1)
    }

    /// Sends the undo of the last step that still needs one, or ends the instance.
    fn undo_next(&mut self, attempt: u32) -> Result<(), HandlerError> {
        for index in (0..self.saga.steps.len()).rev() {
            let step = &self.saga.steps[index];
            let needs = matches!(self.instance.steps[index], StepState::Sent | StepState::Done | StepState::Undoing);
            let (true, Some((_, make))) = (needs, &step.undo) else { continue };
            let command = make(&self.instance.facts)?;
            self.out.effects.push(Effect::Send(command));
            let wait = step.within.saturating_mul(1 << (attempt - 1).min(8));
            self.set_limit(index, wait, true)?;
            let record = Record { step: Some(step.name.to_owned()), attempt: Some(attempt), ..EMPTY };
            return self.record(UNDO_SENT, record);
        }
        self.record(COMPENSATED, EMPTY)
    }

    fn undone(&mut self, stored: &Stored) -> Result<(), HandlerError> {
        let Some(index) = self.undoing() else { return Ok(()) };
        let step = &self.saga.steps[index];
        let confirms =
            |reply: &&super::table::Reply<F>| reply.meaning == Meaning::Undone && reply.type_name == stored.type_name();
        if !step.replies.iter().any(|reply| confirms(&reply)) {
            return Ok(());
        }
        self.cancel_limit(index);
        self.record(STEP_UNDONE, Record { step: Some(step.name.to_owned()), ..EMPTY })?;
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
            return self.undo_failed(index, &refused.message);
        }
        Ok(())
    }

    fn expired(&mut self, stored: &Stored) -> Result<(), HandlerError> {
        let expire: Expire = serde_json::from_slice(&stored.message.data)
            .map_err(|error| HandlerError::Payload(format!("{}: {error}", stored.type_name())))?;
        let index = self.saga.index(&expire.step)?;
        if expire.undo {
            return match self.undoing() {
                Some(undoing) if undoing == index => self.undo_failed(index, "no answer within the limit"),
                _ => Ok(()),
            };
        }
        if self.instance.steps[index] == StepState::Sent && self.instance.started == Some(Status::Running) {
            return self.fail(Some(index), FailureKind::Expired, "no answer within the limit".to_owned(), None);
        }
        Ok(())
    }

    fn undo_failed(&mut self, index: usize, reason: &str) -> Result<(), HandlerError> {
        let attempt = self.instance.undo_attempts;
        if attempt < UNDO_ATTEMPTS {
            self.cancel_limit(index);
            return self.undo_next(attempt + 1);
        }
        self.cancel_limit(index);
        let step = Some(self.saga.steps[index].name.to_owned());
        self.record(ATTENTION_NEEDED, Record { step, reason: Some(reason.to_owned()), ..EMPTY })
    }

    fn undoing(&self) -> Option<usize> {
        self.instance.steps.iter().position(|state| *state == StepState::Undoing)
    }

    /// Whether the pivot's command is on its way, so that there is no way back.
    fn past_pivot(&self) -> bool {
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

    fn cancel_limit(&mut self, index: usize) {
        self.out.effects.push(Effect::Cancel(self.saga.steps[index].name.to_owned()));
    }

    fn record(&mut self, event: &'static str, record: Record) -> Result<(), HandlerError> {
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

    fn keep(&mut self, facts: F) -> Result<Box<serde_json::value::RawValue>, HandlerError> {
        self.instance.facts = facts;
        self.facts()
    }

    fn facts(&self) -> Result<Box<serde_json::value::RawValue>, HandlerError> {
        serde_json::value::to_raw_value(&self.instance.facts).map_err(HandlerError::failed)
    }
}

fn downcast<F: 'static>(state: &mut dyn Any) -> Result<&mut Instance<F>, HandlerError> {
    state.downcast_mut().ok_or_else(|| HandlerError::failed("two sagas share one name; give each its own"))
}
