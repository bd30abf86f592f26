//! Steps that ask the outside: the call in place of a command, its answer in place of events.
//!
//! ```text
//!  step ──► call ──► done ─────────────────────────► the next step
//!             │  ├─► refused ──────────────────────► undone: nothing of it has happened
//!             │  └─► given up, or the step's limit ─► undone with it: it may have happened, the call is withdrawn
//!             └── at the pivot, behind it and in undos nothing is given up by time; after 7 days a letter
//! ```
//!
//! An undo's call is made when no attempt of its instance's other calls is under way any more: what it undoes must not come
//! behind it.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{FailureKind, Status, Step, StepState, step::Make, transition::Run};
use crate::{
    call::{CallTo, Shape},
    envelope::{Draft, Stored},
    error::HandlerError,
    id::{MessageId, Name},
    payload::{Command, Event},
};

type Keep<F> = Arc<dyn Fn(&mut F, &RawValue) -> Result<(), HandlerError> + Send + Sync>;
type Says = Arc<dyn Fn(&RawValue) -> Result<String, HandlerError> + Send + Sync>;

/// What a step asks.
pub(super) struct StepCall<F> {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) make: Make<F>,
    done: Option<Keep<F>>,
    refused: Option<Says>,
}

impl<F> StepCall<F> {
    fn new<R: Serialize, A>(to: CallTo<R, A>, request: impl Fn(&F) -> R + Send + Sync + 'static) -> Self {
        let name = to.name();
        let make = Arc::new(move |facts: &F| Ok(Draft::named(Name::Static(name), &request(facts))?));
        Self { name, shape: CallTo::<R, A>::shape(), make, done: None, refused: None }
    }
}

/// A call that an instance wants made.
#[derive(Clone, Debug)]
pub struct Asks {
    /// Its name within the saga's service.
    pub name: &'static str,
    /// What it is asked.
    pub request: Draft,
    /// It is not given up by the number of its attempts.
    pub patient: bool,
    /// It undoes a step: it is not made while another call of its instance is.
    pub undoes: bool,
    /// Under which key, if it was asked before and its outcome is not known.
    pub key: Option<MessageId>,
}

/// A call that an instance has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// What the other side knows it by: the id of the first one.
    key: MessageId,
    /// The message that is open, or was.
    open: MessageId,
}

/// What becomes of a call that an instance has made, as the command that tells it.
#[derive(Debug, Serialize, Deserialize)]
pub struct CallAnswer {
    /// The call's name within the service.
    pub call: String,
    /// How it ended.
    pub how: How,
    /// The answer; of one that was given up there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a call of an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It was done.
    Done,
    /// It was refused, for good.
    Refused,
    /// All attempts are used up: it may have happened.
    GaveUp,
}

/// A step that makes a call; it becomes a [`Step`] by itself.
pub struct CallStep<F, A> {
    step: Step<F>,
    marker: PhantomData<fn(A)>,
}

impl<F, A> From<CallStep<F, A>> for Step<F> {
    fn from(call: CallStep<F, A>) -> Self {
        call.step
    }
}

impl<F: 'static> Step<F> {
    /// The call that the step makes, instead of sending a command: it needs no decider and no events of its own. Its service
    /// declares the call ([`CallSpec::of_steps`](crate::call::CallSpec::of_steps)).
    ///
    /// Before the pivot the step's limit (2 minutes if it does not say) or the last attempt ends it, and what may have
    /// happened is undone. At the pivot, behind it and in undos it is asked for up to 7 days; the limit (24 h) calls a person.
    #[must_use]
    pub fn call<R, A>(mut self, to: CallTo<R, A>, request: impl Fn(&F) -> R + Send + Sync + 'static) -> CallStep<F, A>
    where
        R: Serialize + 'static,
        A: DeserializeOwned + 'static,
    {
        self.call = Some(StepCall::new(to, request));
        CallStep { step: self, marker: PhantomData }
    }
}

impl<F: 'static, A: DeserializeOwned + 'static> CallStep<F, A> {
    /// What later steps need of the answer is kept in the facts.
    #[must_use]
    pub fn done(mut self, keep: impl Fn(&mut F, &A) + Send + Sync + 'static) -> Self {
        if let Some(call) = &mut self.step.call {
            call.done = Some(Arc::new(move |facts, data| {
                keep(facts, &read(data)?);
                Ok(())
            }));
        }
        self
    }

    /// The reason that a refusal gives.
    #[must_use]
    pub fn refused(mut self, reason: impl Fn(&A) -> String + Send + Sync + 'static) -> Self {
        if let Some(call) = &mut self.step.call {
            call.refused = Some(Arc::new(move |data| Ok(reason(&read(data)?))));
        }
        self
    }

    /// The call that undoes the step.
    #[must_use]
    pub fn undo_call<R: Serialize + 'static, B: 'static>(
        mut self,
        to: CallTo<R, B>,
        request: impl Fn(&F) -> R + Send + Sync + 'static,
    ) -> Self {
        self.step.undo_call = Some(StepCall::new(to, request));
        self
    }

    /// The reason that a refusal of the undo's call gives, for the person who is needed then.
    #[must_use]
    pub fn undo_refused<B: DeserializeOwned + 'static>(
        mut self,
        reason: impl Fn(&B) -> String + Send + Sync + 'static,
    ) -> Self {
        if let Some(call) = &mut self.step.undo_call {
            call.refused = Some(Arc::new(move |data| Ok(reason(&read(data)?))));
        }
        self
    }

    /// The command that undoes the step, and the event that confirms it. It is sent at once, also while an attempt at the
    /// call is under way: where the other side minds the order, undo by a call.
    #[must_use]
    pub fn undo<C: Command, E: Event>(self, command: impl Fn(&F) -> C + Send + Sync + 'static) -> Self {
        Self { step: self.step.undo::<C, E>(command), ..self }
    }

    /// The step leaves nothing behind that would have to be undone.
    #[must_use]
    pub fn nothing_to_undo(self) -> Self {
        Self { step: self.step.nothing_to_undo(), ..self }
    }

    /// Decides on the service's own aggregate when the step begins: see [`Step::own`].
    #[must_use]
    pub fn own<C: Command>(self, command: impl Fn(&F) -> C + Send + Sync + 'static) -> Self {
        Self { step: self.step.own(command), ..self }
    }

    /// The longest time to wait for the answer: see [`Step::within`]. 2 minutes before the pivot if it does not say.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { step: self.step.within(limit), ..self }
    }
}

impl<F: Serialize + DeserializeOwned + Default + Clone + Send + 'static> Run<'_, F> {
    /// Asks what a step, or its undo, asks.
    pub(super) fn ask(&mut self, index: usize, undo: bool) -> Result<(), HandlerError> {
        let saga = self.saga;
        let step = &saga.steps[index];
        let Some(call) = (if undo { &step.undo_call } else { &step.call }) else { return Ok(()) };
        let request = (call.make)(&self.instance.facts)?;
        self.withdraw(call.name);
        let key = self.instance.asked.get(call.name).map(|asked| asked.key.clone());
        let patient = undo || saga.is_behind_pivot(index);
        self.out.asks.push(Asks { name: call.name, request, patient, undoes: undo, key });
        Ok(())
    }

    /// Nobody waits any more for the calls of steps that wait.
    pub(super) fn withdraw_waiting(&mut self) {
        let saga = self.saga;
        for (step, state) in saga.steps.iter().zip(self.instance.steps.clone()) {
            if let Some(call) = step.call.as_ref().filter(|_| state == StepState::Sent) {
                self.withdraw(call.name);
            }
        }
    }

    /// Nobody waits any more for what a step has asked.
    pub(super) fn withdraw_of(&mut self, index: usize) {
        let saga = self.saga;
        let step = &saga.steps[index];
        step.call.iter().chain(&step.undo_call).for_each(|call| self.withdraw(call.name));
    }

    fn withdraw(&mut self, name: &str) {
        self.out.withdrawn.extend(self.instance.asked.get(name).map(|asked| asked.open.clone()));
    }

    /// Takes the answer of a call.
    pub(super) fn told(&mut self, stored: &Stored) -> Result<(), HandlerError> {
        let answer: CallAnswer = serde_json::from_slice(&stored.message.data)
            .map_err(|error| HandlerError::Payload(format!("{}: {error}", stored.type_name())))?;
        let saga = self.saga;
        let named = |call: &Option<StepCall<F>>| call.as_ref().is_some_and(|call| call.name == answer.call);
        let running = self.instance.started == Some(Status::Running);
        if let Some(index) = saga.steps.iter().position(|step| named(&step.call)) {
            if running && self.instance.steps[index] == StepState::Sent {
                return self.call_answered(index, &answer);
            }
        } else if let Some(index) = saga.steps.iter().position(|step| named(&step.undo_call))
            && self.undoing() == Some(index)
        {
            return match answer.how {
                How::Done => self.step_undone(index),
                How::Refused | How::GaveUp => {
                    let kind = (answer.how == How::Refused).then_some(FailureKind::Refused);
                    let reason = said(saga.steps[index].undo_call.as_ref(), &answer)?;
                    self.undo_failed(index, kind, &reason)
                }
            };
        }
        Ok(())
    }

    fn call_answered(&mut self, index: usize, answer: &CallAnswer) -> Result<(), HandlerError> {
        let saga = self.saga;
        let Some(call) = &saga.steps[index].call else { return Ok(()) };
        match (answer.how, &answer.data) {
            (How::Done, data) => {
                let mut facts = None;
                if let (Some(keep), Some(data)) = (&call.done, data) {
                    let mut changed = self.instance.facts.clone();
                    keep(&mut changed, data)?;
                    facts = Some(self.keep(changed)?);
                }
                self.done(index, facts)
            }
            (How::Refused, _) => {
                let reason = said(Some(call), answer)?;
                self.fail(Some(index), FailureKind::Refused, reason, None)
            }
            (How::GaveUp, _) => {
                let reason = answer.reason.clone().unwrap_or_else(|| "given up".to_owned());
                self.fail(Some(index), FailureKind::Expired, reason, None)
            }
        }
    }
}

/// What a refusal, or whoever gave up, has said.
fn said<F>(call: Option<&StepCall<F>>, answer: &CallAnswer) -> Result<String, HandlerError> {
    let says = call.and_then(|call| call.refused.as_ref());
    match (says, &answer.data, &answer.reason) {
        (Some(says), Some(data), _) => says(data),
        (_, _, Some(reason)) => Ok(reason.clone()),
        (_, Some(_), None) => Ok("refused".to_owned()),
        (_, None, None) => Ok("given up".to_owned()),
    }
}

fn read<A: DeserializeOwned>(data: &RawValue) -> Result<A, HandlerError> {
    serde_json::from_str(data.get()).map_err(|error| HandlerError::Payload(format!("the answer of a call: {error}")))
}

/// Notes a call that was made: from its message, or from the stream.
pub(super) fn note(asked: &mut std::collections::BTreeMap<String, Asked>, name: &str, id: &MessageId) {
    let known = asked.get(name).map_or_else(|| id.clone(), |asked| asked.key.clone());
    asked.insert(name.to_owned(), Asked { key: known, open: id.clone() });
}
