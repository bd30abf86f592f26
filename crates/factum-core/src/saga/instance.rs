//! One instance of a saga: the state folded from its stream.

use std::any::Any;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{FailureKind, Saga, Status, StepState, transition::Run};
use crate::{
    envelope::{Draft, Kind, Stored},
    error::HandlerError,
    id::Name,
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
    pub(super) started: Option<Status>,
    pub(super) facts: F,
    facts_bytes: usize,
    pub(super) steps: Vec<StepState>,
    pub(super) undo_attempts: u32,
}

/// Every event of an instance's own stream.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) step: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) sent: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) kind: Option<FailureKind>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) facts: Option<Box<serde_json::value::RawValue>>,
}

pub(super) const EMPTY: Record =
    Record { version: None, step: None, sent: Vec::new(), kind: None, reason: None, attempt: None, facts: None };

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Expire {
    pub(super) step: String,
    pub(super) undo: bool,
}

pub(super) const STARTED: &str = "started";
pub(super) const STEP_DONE: &str = "step_done";
pub(super) const STEP_HELD: &str = "step_held";
pub(super) const STEP_FAILED: &str = "step_failed";
pub(super) const UNDO_SENT: &str = "undo_sent";
pub(super) const STEP_UNDONE: &str = "step_undone";
pub(super) const COMPLETED: &str = "completed";
pub(super) const COMPENSATED: &str = "compensated";
pub(super) const ATTENTION_NEEDED: &str = "attention_needed";

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
        let (records, mut out) = Run::new(self, instance, own).take(input)?;
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
    pub(super) fn index(&self, name: &str) -> Result<usize, HandlerError> {
        self.steps.iter().position(|step| step.name == name).ok_or_else(|| {
            let version = self.version;
            HandlerError::Failed(format!("saga {} version {version} has no step `{name}`", self.name))
        })
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

fn downcast<F: 'static>(state: &mut dyn Any) -> Result<&mut Instance<F>, HandlerError> {
    state.downcast_mut().ok_or_else(|| HandlerError::failed("two sagas share one name; give each its own"))
}
