//! What should follow from a message, as a handler says it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    call::{CallTo, Shape},
    envelope::Draft,
    error::HandlerError,
    id::{Name, check_id},
    payload::{Command, Event},
    stream::StreamId,
    timer::TimerOf,
};

/// What should follow from a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A command to the service that answers its type.
    Send(Draft),
    /// An event of this service, on a stream of this service.
    Emit(StreamId, Draft),
    /// A command at a later time. The same name replaces it.
    After {
        /// Unique within the reaction and the key that it orders by; at most 128 bytes. What stands before a slash is declared.
        name: String,
        /// From the message's time.
        delay: Duration,
        /// What to send then.
        command: Draft,
    },
    /// A command at a point in time. The same name replaces it, also one that was set by a delay.
    At {
        /// As of [`Effect::After`].
        name: String,
        /// When it is due; in the past it is due at once.
        at: Timestamp,
        /// What to send then.
        command: Draft,
    },
    /// The timer of that name is not wanted any more.
    Cancel(String),
    /// A request to the outside, handled by the service's call of that name.
    Call {
        /// The call's name.
        name: &'static str,
        /// What it is asked and answers.
        shape: Shape,
        /// The request.
        request: Draft,
    },
}

/// Collects what should follow.
#[derive(Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
    problem: Option<HandlerError>,
}

impl Effects {
    /// Sends a command to the service that answers it.
    pub fn send<C: Command>(&mut self, command: C) {
        let draft = Draft::of(&command).map_err(HandlerError::from);
        self.add(draft.map(Effect::Send));
    }

    /// Sends a command that is a draft already.
    pub(crate) fn send_draft(&mut self, command: Draft) {
        self.add(Ok(Effect::Send(command)));
    }

    /// Records an event of this service on the stream `<category>-<key>`. The reaction declares it with `emits`, and the
    /// service owns the category.
    pub fn emit<E: Event>(&mut self, category: &str, key: impl std::fmt::Display, event: E) {
        let stream = StreamId::new(category, &key.to_string()).map_err(HandlerError::from);
        let effect = stream.and_then(|stream| Ok(Effect::Emit(stream, Draft::of(&event)?)));
        self.add(effect);
    }

    /// Sends a command after a while, counted from now (on data time: from the message's time). A timer belongs to this
    /// reaction, which declares it with `sets`, and to the key that it orders by; within these the same name moves it:
    /// see [`TimerTo`](crate::timer::TimerTo).
    pub fn after<C: Command>(&mut self, timer: impl Into<TimerOf<C>>, delay: Duration, command: C) {
        let name = timer.into().into_name();
        let draft = check_id("name of a timer", &name).map_err(HandlerError::from);
        let draft = draft.and_then(|()| Ok(Draft::of(&command)?));
        self.add(draft.map(|command| Effect::After { name, delay, command }));
    }

    /// Sends a command at a point in time on the unit's clock: for what is due at a date. One in the past is due at once. In
    /// all else as [`Effects::after`]; the two set the same timers, so that one moves what the other has set.
    pub fn at<C: Command>(&mut self, timer: impl Into<TimerOf<C>>, at: Timestamp, command: C) {
        let name = timer.into().into_name();
        let draft = check_id("name of a timer", &name).map_err(HandlerError::from);
        let draft = draft.and_then(|()| Ok(Draft::of(&command)?));
        self.add(draft.map(|command| Effect::At { name, at, command }));
    }

    /// Cancels a timer that this reaction has set on an event of the same key (see [`Effects::after`]); nothing happens if
    /// there is none.
    pub fn cancel<C: Command>(&mut self, timer: impl Into<TimerOf<C>>) {
        let name = timer.into().into_name();
        let checked = check_id("name of a timer", &name).map_err(HandlerError::from);
        self.add(checked.map(|()| Effect::Cancel(name)));
    }

    /// Asks the outside through a call of the service, which the reaction declares with `calls`. The answer comes back as
    /// a command.
    pub fn call<R: Serialize, C: Command>(&mut self, to: CallTo<R, C>, request: R) {
        let (name, shape) = (to.name(), CallTo::<R, C>::shape());
        let draft = Draft::named(Name::Static(name), &request).map_err(HandlerError::from);
        self.add(draft.map(|request| Effect::Call { name, shape, request }));
    }

    /// Adds what was found out before.
    pub(crate) fn extend(&mut self, effects: impl IntoIterator<Item = Effect>) {
        self.list.extend(effects);
    }

    /// What was collected.
    ///
    /// # Errors
    /// The first effect that could not be encoded.
    pub fn finish(self) -> Result<Vec<Effect>, HandlerError> {
        match self.problem {
            None => Ok(self.list),
            Some(problem) => Err(problem),
        }
    }

    fn add(&mut self, effect: Result<Effect, HandlerError>) {
        match effect {
            Ok(effect) => self.list.push(effect),
            Err(problem) => _ = self.problem.get_or_insert(problem),
        }
    }
}
