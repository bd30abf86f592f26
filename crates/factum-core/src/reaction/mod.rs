//! Reactions: an event in, effects out. A reaction may fold a state of its own.
//!
//! [`Effects`] cannot await, cannot read and cannot write: a reaction says what should follow, and the engine commits it
//! together with the cursor that says that the event was handled. The calls, events and timers that it makes are declared
//! with it ([`Reaction::calls`], [`Reaction::emits`], [`Reaction::sets`]), so that a start can tell what does not fit; of
//! commands that it sends nothing is declared.

mod effects;
mod folding;
mod makes;

pub use effects::{Effect, Effects};
pub use folding::{AnyFolding, Folding};
pub use makes::Makes;

use crate::{
    call::CallTo,
    envelope::{Message, Recorded, Stored},
    error::HandlerError,
    payload::{Command, Event, TypeInfo},
    stream::{Position, StreamId, StreamVersion},
    timer::TimerTo,
};

/// What a handler may return: nothing, or that it failed.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "neither `()` nor `Result<(), HandlerError>`",
    note = "end the handler without a value, or with `Ok(())` if it may fail: `HandlerError::failed` makes an error of any text"
)]
pub trait Outcome {
    /// As a result.
    ///
    /// # Errors
    /// The handler's own.
    fn outcome(self) -> Result<(), HandlerError>;
}

impl Outcome for () {
    fn outcome(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl Outcome for Result<(), HandlerError> {
    fn outcome(self) -> Result<(), HandlerError> {
        self
    }
}

/// What becomes of a key whose message has failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDead {
    /// Later messages of the key wait until a person has ended the letter.
    #[default]
    Hold,
    /// They go on at once; the letter waits alone.
    Release,
}

type React = Box<dyn Fn(&Stored, &mut Effects) -> Result<(), HandlerError> + Send + Sync>;

/// A reaction without state, as the engine holds it.
pub struct Reaction {
    /// Its name within the service.
    pub name: &'static str,
    /// Types it reads.
    pub types: Vec<TypeInfo>,
    /// Whether a new deployment starts at the beginning of the log instead of now.
    pub from_start: bool,
    /// The field that it orders by; the partition key if it names none.
    pub by: Option<&'static str>,
    /// What becomes of a key whose message has failed.
    pub on_dead: OnDead,
    /// What it declares to make.
    pub makes: Makes,
    run: React,
}

impl Reaction {
    /// A reaction to the types of `E`.
    pub fn new<E: Event, O: Outcome>(
        name: &'static str,
        handler: impl Fn(&Recorded<'_, E>, &mut Effects) -> O + Send + Sync + 'static,
    ) -> Self {
        let run: React = Box::new(move |stored, fx| handler(&Recorded::<E>::read(stored)?, fx).outcome());
        Self {
            name,
            types: E::types(),
            from_start: false,
            by: None,
            on_dead: OnDead::Hold,
            makes: Makes::default(),
            run,
        }
    }

    /// A new deployment starts at the beginning of the log instead of now.
    #[must_use]
    pub fn from_start(self) -> Self {
        Self { from_start: true, ..self }
    }

    /// Orders by a text field that all its events carry, instead of by the partition key: a message that fails holds back
    /// those with the same value, and timers are named within it.
    #[must_use]
    pub fn by(self, field: &'static str) -> Self {
        Self { by: Some(field), ..self }
    }

    /// What becomes of a key whose message has failed; by default it is held.
    #[must_use]
    pub fn on_dead(self, on_dead: OnDead) -> Self {
        Self { on_dead, ..self }
    }

    /// Declares a call that it makes (`fx.call`): its service has it, and answers it with a command that is answered.
    #[must_use]
    pub fn calls<R, C: Command>(mut self, to: CallTo<R, C>) -> Self {
        self.makes.calls(to);
        self
    }

    /// Declares the events that it emits (`fx.emit`) to streams of a category: one that its service owns, by a decider or by
    /// [`Service::owns`](crate::service::Service::owns).
    #[must_use]
    pub fn emits<E: Event>(mut self, category: &'static str) -> Self {
        self.makes.emits::<E>(category);
        self
    }

    /// Declares a timer that it sets (`fx.after`, `fx.at`) and cancels: its command is answered.
    #[must_use]
    pub fn sets<C: Command>(mut self, timer: TimerTo<C>) -> Self {
        self.makes.sets(timer);
        self
    }

    /// Runs it: what follows, if all of it is declared that must be.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit, the handler failed, or made what it does not declare.
    pub fn run(&self, stored: &Stored) -> Result<Vec<Effect>, HandlerError> {
        let mut fx = Effects::default();
        (self.run)(stored, &mut fx)?;
        self.makes.allow(self.name, fx.finish()?)
    }
}

/// A command from outside the log in the form that handlers read.
pub fn unplaced(stream: StreamId, message: Message) -> Stored {
    Stored { position: Position::START, stream, version: StreamVersion(0), message }
}
