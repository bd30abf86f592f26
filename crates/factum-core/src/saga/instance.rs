//! One instance of a saga: the state folded from its stream.

use std::{any::Any, collections::BTreeMap};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Act, Asks, AttentionNeeded, Carried, FailureKind, Saga, Standing, Status, StepState, Use,
    calls::{self, Asked},
    record::{
        ATTENTION_NEEDED, COMPENSATED, COMPLETED, EVENTS, MOVED, Record, STARTED, STEP_DONE, STEP_FAILED,
        STEP_RESOLVED, STEP_RETRIED, STEP_UNDONE, UNDO_ORDERED, UNDO_SENT, read,
    },
    request::Request,
    transition::Run,
};
use crate::{
    call::Shape,
    envelope::{Draft, Kind, Stored},
    error::HandlerError,
    id::{MessageId, Name},
    payload::{TypeInfo, field},
    reaction::Effect,
    rejection::Refused,
    stream::StreamId,
};

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
    /// What became of a call.
    Told(&'a Stored),
    /// What a person wants.
    Act(&'a Act),
}

/// What follows from an input: events of the instance, commands, timers.
#[derive(Debug, Default)]
pub struct Transition {
    /// Events for the instance's own stream.
    pub events: Vec<Draft>,
    /// Commands and timers.
    pub effects: Vec<Effect>,
    /// It does not go on without a person from now on.
    pub attention: Option<AttentionNeeded>,
    /// Calls to make, behind the events.
    pub asks: Vec<Asks>,
    /// Calls that nobody waits for any more.
    pub withdrawn: Vec<MessageId>,
}

/// A saga without its types, as the engine holds it.
pub trait AnySaga: Send + Sync {
    /// Its name, which is its streams' category.
    fn name(&self) -> &'static str;
    /// Its definition's version.
    fn version(&self) -> u32;
    /// The field that names an instance.
    fn key(&self) -> &'static str;
    /// Event types that it reads: start, replies, aborts.
    fn types(&self) -> Vec<&'static str>;
    /// How `saga.start` starts an instance, if it does.
    fn request(&self) -> Option<&Request>;
    /// The types of others that it names, and what for.
    fn uses(&self) -> &[Use];
    /// Event types that it makes itself.
    fn own_types(&self) -> Vec<String>;
    /// The command type by which a limit comes back.
    fn expire_type(&self) -> String;
    /// The command type by which the answer of a call comes back.
    fn answer_type(&self) -> String;
    /// The calls that its steps make, with what they are asked and answer.
    fn calls(&self) -> Vec<(&'static str, Shape)>;
    /// Notes the message of a call that was made.
    ///
    /// # Errors
    /// [`HandlerError`] if the state is of another saga.
    fn asked(&self, state: &mut dyn Any, name: &str, id: &MessageId) -> Result<(), HandlerError>;
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
    /// The same in short.
    fn standing(&self, state: &dyn Any) -> Option<Standing>;
    /// How long each step may take.
    fn limits(&self) -> Vec<(&'static str, std::time::Duration)>;
    /// The versions that instances can be moved from, with the steps of those that are named.
    fn moves(&self) -> Vec<(u32, Vec<&'static str>)>;
    /// What another version of the table would need to take an instance over.
    ///
    /// # Errors
    /// [`HandlerError`] if the facts have no JSON form.
    fn carried(&self, state: &dyn Any) -> Result<Option<Carried>, HandlerError>;
    /// Takes an instance over from another version: its state here, and what follows.
    ///
    /// # Errors
    /// Every reason why it cannot be: sentences.
    fn receive(&self, carried: &Carried, by: &Act) -> Result<(Box<dyn Any + Send>, Transition), Vec<String>>;
}

pub(super) struct Instance<F> {
    pub(super) started: Option<Status>,
    pub(super) facts: F,
    facts_bytes: usize,
    pub(super) steps: Vec<StepState>,
    pub(super) undo_attempts: u32,
    /// Why it does not go on without a person.
    pub(super) attention: Option<Attention>,
    /// The calls that it has made, by name, as long as their outcome may be unknown.
    pub(super) asked: BTreeMap<String, Asked>,
}

/// Why an instance does not go on without a person.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub(super) step: Option<usize>,
}

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

    fn key(&self) -> &'static str {
        self.key
    }

    fn types(&self) -> Vec<&'static str> {
        let start = self.start.iter().flat_map(|(types, _)| types.iter().map(|info: &TypeInfo| info.name));
        let replies = self.steps.iter().flat_map(|step| step.replies.iter().map(|reply| reply.type_name));
        let mut types: Vec<&str> = start.chain(replies).chain(self.aborts.iter().map(|(name, _)| *name)).collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    fn uses(&self) -> &[Use] {
        &self.uses
    }

    fn own_types(&self) -> Vec<String> {
        EVENTS.iter().map(|event| format!("{}.{event}", self.name)).collect()
    }

    fn expire_type(&self) -> String {
        format!("{}.expire", self.name)
    }

    fn answer_type(&self) -> String {
        format!("{}.answer", self.name)
    }

    fn calls(&self) -> Vec<(&'static str, Shape)> {
        let calls = self.steps.iter().flat_map(|step| step.call.iter().chain(&step.undo_call));
        calls.map(|call| (call.name, call.shape)).collect()
    }

    fn asked(&self, state: &mut dyn Any, name: &str, id: &MessageId) -> Result<(), HandlerError> {
        calls::note(&mut downcast::<F>(state)?.asked, name, id);
        Ok(())
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
            attention: None,
            asked: BTreeMap::new(),
        })
    }

    fn evolve(&self, state: &mut dyn Any, stored: &Stored) -> Result<(), HandlerError> {
        let Some((event, record)) = read(self.name, stored)? else {
            // A call's type is its service and its name.
            return match (stored.envelope().kind, stored.type_name().rsplit_once('.')) {
                (Kind::Call, Some((_, name))) => self.asked(state, name, &stored.envelope().id),
                _ => Ok(()),
            };
        };
        self.apply(downcast(state)?, &event, &record)
    }

    fn run(&self, state: &mut dyn Any, input: Input<'_>, own: Own<'_>) -> Result<Transition, HandlerError> {
        let instance: &mut Instance<F> = downcast(state)?;
        let (records, out) = Run::new(self, instance, own).take(input)?;
        self.told(records, out)
    }

    fn bytes(&self, state: &dyn Any) -> usize {
        state.downcast_ref::<Instance<F>>().map_or(0, |instance| 256 + 2 * instance.facts_bytes)
    }

    fn status(&self, state: &dyn Any) -> Option<(Status, Vec<(&'static str, StepState)>)> {
        let instance = state.downcast_ref::<Instance<F>>()?;
        let steps = self.steps.iter().map(|step| step.name).zip(instance.steps.iter().copied()).collect();
        Some((instance.started?, steps))
    }

    fn standing(&self, state: &dyn Any) -> Option<Standing> {
        let instance = state.downcast_ref::<Instance<F>>()?;
        let needs_person = instance.attention.is_some();
        Some(Standing { version: self.version, status: instance.started?, needs_person })
    }

    fn limits(&self) -> Vec<(&'static str, std::time::Duration)> {
        let limit = |(index, step): (usize, &super::Step<F>)| (step.name, step.limit(self.is_behind_pivot(index)));
        self.steps.iter().enumerate().map(limit).collect()
    }

    fn moves(&self) -> Vec<(u32, Vec<&'static str>)> {
        self.moves.iter().map(|moves| (moves.from, moves.old_names())).collect()
    }

    fn carried(&self, state: &dyn Any) -> Result<Option<Carried>, HandlerError> {
        let Some(instance) = state.downcast_ref::<Instance<F>>() else { return Ok(None) };
        self.carry(instance)
    }

    fn receive(&self, carried: &Carried, by: &Act) -> Result<(Box<dyn Any + Send>, Transition), Vec<String>> {
        let mut state = self.blank();
        let taken = downcast(&mut *state).map_err(|error| vec![error.to_string()]);
        let (records, out) = self.take_over(taken?, carried, by)?;
        let out = self.told(records, out).map_err(|error| vec![error.to_string()])?;
        Ok((state, out))
    }
}

impl<F: Serialize + DeserializeOwned + Default + Clone + Send + 'static> Saga<F> {
    /// The records as events.
    fn told(&self, records: Vec<(&'static str, Record)>, mut out: Transition) -> Result<Transition, HandlerError> {
        for (event, record) in records {
            let type_name = Name::Shared(format!("{}.{event}", self.name).into());
            out.events.push(Draft::named(type_name, &record)?);
        }
        Ok(out)
    }

    pub(super) fn index(&self, name: &str) -> Result<usize, HandlerError> {
        self.steps.iter().position(|step| step.name == name).ok_or_else(|| {
            let version = self.version;
            HandlerError::Failed(format!("saga {} version {version} has no step `{name}`", self.name))
        })
    }

    /// A step's call, or that of its undo, was refused, so that it is known not to have happened: another one is another one.
    fn answered_no(&self, instance: &mut Instance<F>, step: Option<usize>) {
        let Some(step) = step.map(|step| (&self.steps[step], instance.steps[step])) else { return };
        let call = match step {
            (step, StepState::Undoing) => &step.undo_call,
            (step, _) => &step.call,
        };
        if let Some(call) = call {
            instance.asked.remove(call.name);
        }
    }

    /// How an instance of another version stands in this one, as its move has said.
    fn placed(&self, instance: &mut Instance<F>, record: &Record) -> Result<(), HandlerError> {
        if record.version != Some(self.version) {
            return Ok(());
        }
        instance.started = record.status;
        instance.undo_attempts = record.attempt.unwrap_or(0);
        instance.attention = None;
        instance.asked.clone_from(&record.asked);
        for (name, state) in &record.steps {
            let index = self.index(name)?;
            instance.steps[index] = *state;
        }
        Ok(())
    }

    /// What each own event means for the state; the only place that changes it.
    pub(super) fn apply(&self, instance: &mut Instance<F>, event: &str, record: &Record) -> Result<(), HandlerError> {
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
        if event == MOVED {
            return self.placed(instance, record);
        }
        let step = record.step.as_deref().map(|name| self.index(name)).transpose()?;
        if event == ATTENTION_NEEDED {
            if record.kind == Some(FailureKind::Refused) {
                self.answered_no(instance, step);
            }
            instance.attention = Some(Attention { step });
            return Ok(());
        }
        let about_it = instance.attention.as_ref().is_some_and(|attention| attention.step == step);
        if about_it || matches!(event, STEP_FAILED | UNDO_ORDERED | COMPLETED | COMPENSATED) {
            instance.attention = None;
        }
        for sent in &record.sent {
            let index = self.index(sent)?;
            instance.steps[index] = StepState::Sent;
        }
        match (event, step) {
            (STARTED, _) => instance.started = Some(Status::Running),
            // Passed over: what was refused was not done.
            (STEP_DONE, Some(step)) if record.kind == Some(FailureKind::Refused) => {
                instance.steps[step] = StepState::Skipped;
                self.answered_no(instance, Some(step));
            }
            (STEP_DONE, Some(step)) => instance.steps[step] = StepState::Done,
            (STEP_FAILED, step) => {
                instance.started = Some(Status::Undoing);
                if let (Some(step), Some(FailureKind::Refused | FailureKind::OwnRefused)) = (step, record.kind) {
                    instance.steps[step] = StepState::Refused;
                    self.answered_no(instance, Some(step));
                }
            }
            (UNDO_SENT, Some(step)) => {
                instance.steps[step] = StepState::Undoing;
                instance.undo_attempts = record.attempt.unwrap_or(1);
            }
            (STEP_UNDONE, Some(step)) => instance.steps[step] = StepState::Undone,
            (STEP_RETRIED, Some(_)) => {}
            (STEP_RESOLVED, Some(step)) => {
                let undoing = instance.started == Some(Status::Undoing);
                instance.steps[step] = if undoing { StepState::Undone } else { StepState::Done };
            }
            (UNDO_ORDERED, step) => {
                instance.started = Some(Status::Undoing);
                // Only what was refused is named: there is nothing of it to undo.
                if let Some(step) = step {
                    instance.steps[step] = StepState::Refused;
                }
            }
            (COMPLETED, _) => instance.started = Some(Status::Completed),
            (COMPENSATED, _) => instance.started = Some(Status::Compensated),
            _ => {}
        }
        Ok(())
    }
}

pub(super) fn downcast<F: 'static>(state: &mut dyn Any) -> Result<&mut Instance<F>, HandlerError> {
    state.downcast_mut().ok_or_else(|| HandlerError::failed("two sagas share one name; give each its own"))
}
