//! Reactions: an event in, effects out. A reaction may fold a state of its own.
//!
//! [`Effects`] cannot await, cannot read and cannot write: a reaction says what should follow, and the engine commits it
//! together with the cursor that says that the event was handled.

use std::{any::Any, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    decider::Context,
    envelope::{Draft, Message, Recorded, Stored},
    error::HandlerError,
    id::{Name, check_id},
    payload::{Command, Event, TypeInfo},
    rejection::Refused,
    snapshot::Codec,
    stream::{Position, StreamId, StreamVersion},
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
        /// Unique within the reaction and the key that it orders by; at most 128 bytes.
        name: String,
        /// From the message's time.
        delay: Duration,
        /// What to send then.
        command: Draft,
    },
    /// The timer of that name is not wanted any more.
    Cancel(String),
    /// A request to the outside, handled by the service's call of that name.
    Call {
        /// The call's name.
        name: &'static str,
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

    /// Records an event of this service on the stream `<category>-<key>`, which this service must own.
    pub fn emit<E: Event>(&mut self, category: &str, key: impl std::fmt::Display, event: E) {
        let stream = StreamId::new(category, &key.to_string()).map_err(HandlerError::from);
        let effect = stream.and_then(|stream| Ok(Effect::Emit(stream, Draft::of(&event)?)));
        self.add(effect);
    }

    /// Sends a command after a while, counted from the message's time. A timer belongs to this reaction and to the key
    /// that it orders by: the event's partition key, or the field that the reaction declared with `by`. Within these the
    /// same name moves it. A name has 1 to 128 bytes of printable text.
    pub fn after<C: Command>(&mut self, name: impl Into<String>, delay: Duration, command: C) {
        let name = name.into();
        let draft = check_id("name of a timer", &name).map_err(HandlerError::from);
        let draft = draft.and_then(|()| Ok(Draft::of(&command)?));
        self.add(draft.map(|command| Effect::After { name, delay, command }));
    }

    /// Cancels the timer of that name, set by this reaction on an event of the same key (see [`Effects::after`]); nothing
    /// happens if there is none.
    pub fn cancel(&mut self, name: impl Into<String>) {
        let name = name.into();
        let checked = check_id("name of a timer", &name).map_err(HandlerError::from);
        self.add(checked.map(|()| Effect::Cancel(name)));
    }

    /// Asks the outside through the service's call of that name. The answer comes back as a command.
    pub fn call<R: Serialize>(&mut self, name: &'static str, request: R) {
        let draft = Draft::named(Name::Static(name), &request).map_err(HandlerError::from);
        self.add(draft.map(|request| Effect::Call { name, request }));
    }

    /// Adds an effect that is already encoded.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
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
    run: React,
}

impl Reaction {
    /// A reaction to the types of `E`.
    pub fn new<E: Event, O: Outcome>(
        name: &'static str,
        handler: impl Fn(&Recorded<'_, E>, &mut Effects) -> O + Send + Sync + 'static,
    ) -> Self {
        let run: React = Box::new(move |stored, fx| handler(&Recorded::<E>::read(stored)?, fx).outcome());
        Self { name, types: E::types(), from_start: false, by: None, on_dead: OnDead::Hold, run }
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

    /// Runs it.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit or the handler failed.
    pub fn run(&self, stored: &Stored, fx: &mut Effects) -> Result<(), HandlerError> {
        (self.run)(stored, fx)
    }
}

type Fold<S> = Box<dyn Fn(&mut S, &Stored, &mut bool) -> Result<(), HandlerError> + Send + Sync>;
type FoldReact<S> = Box<dyn Fn(&S, &Stored, &mut Effects) -> Result<(), HandlerError> + Send + Sync>;
type FoldAnswer<S> =
    Box<dyn Fn(&S, &Stored, &Context, &mut Effects) -> Result<Result<(), Refused>, HandlerError> + Send + Sync>;

/// A reaction with a state of its own: the fold runs first, also on replay; reacting and answering run only live, on the
/// state with the event in it.
///
/// The state is derived: it is rebuilt from the log when the program starts or the version changes. With
/// [`Folding::snapshots`] a start folds only what came since the last snapshot.
pub struct Folding<S> {
    name: &'static str,
    version: u32,
    folds: Vec<(Vec<TypeInfo>, Fold<S>)>,
    reacts: Vec<(Vec<TypeInfo>, FoldReact<S>)>,
    answers: Vec<(Vec<TypeInfo>, FoldAnswer<S>)>,
    by: Option<&'static str>,
    on_dead: OnDead,
    codec: Option<fn(u32, &[TypeInfo]) -> Codec>,
}

impl<S: Default + Send + 'static> Folding<S> {
    /// A folding reaction; raise the version when the folds change their meaning.
    pub fn new(name: &'static str, version: u32) -> Self {
        Self {
            name,
            version,
            folds: Vec::new(),
            reacts: Vec::new(),
            answers: Vec::new(),
            by: None,
            on_dead: OnDead::Hold,
            codec: None,
        }
    }

    /// Reacts in the order of a text field that all events carry that it reacts to, instead of by the partition key.
    #[must_use]
    pub fn by(self, field: &'static str) -> Self {
        Self { by: Some(field), ..self }
    }

    /// What becomes of a key whose message has failed; by default it is held.
    #[must_use]
    pub fn on_dead(self, on_dead: OnDead) -> Self {
        Self { on_dead, ..self }
    }

    /// Takes events into the state.
    #[must_use]
    pub fn fold<E: Event>(mut self, fold: impl Fn(&mut S, &Recorded<'_, E>) + Send + Sync + 'static) -> Self {
        let run: Fold<S> = Box::new(move |state, stored, touched| {
            let event = Recorded::<E>::read(stored)?;
            *touched = true;
            fold(state, &event);
            Ok(())
        });
        self.folds.push((E::types(), run));
        self
    }

    /// Reacts to events, knowing the state.
    #[must_use]
    pub fn react<E: Event, O: Outcome>(
        mut self,
        handler: impl Fn(&S, &Recorded<'_, E>, &mut Effects) -> O + Send + Sync + 'static,
    ) -> Self {
        let run: FoldReact<S> =
            Box::new(move |state, stored, fx| handler(state, &Recorded::<E>::read(stored)?, fx).outcome());
        self.reacts.push((E::types(), run));
        self
    }

    /// Answers commands, knowing the state: by events it emits, or by a rejection.
    #[must_use]
    pub fn answer<C: Command, R: crate::rejection::Rejection>(
        mut self,
        handler: impl Fn(&S, &C, &Context, &mut Effects) -> Result<(), R> + Send + Sync + 'static,
    ) -> Self {
        let run: FoldAnswer<S> = Box::new(move |state, stored, context, fx| {
            Ok(handler(state, &stored.decode::<C>()?, context, fx).map_err(Refused::from))
        });
        self.answers.push((C::types(), run));
        self
    }
}

impl<S: Serialize + DeserializeOwned + Send + 'static> Folding<S> {
    /// Keeps the state in snapshots, for states that take long to fold from all events. Raise the version of the folding
    /// whenever the folds change their meaning; what is noticed without it says [`Codec`].
    #[must_use]
    pub fn snapshots(self) -> Self {
        Self { codec: Some(Codec::of::<S>), ..self }
    }
}

/// A folding reaction without its types, as the engine holds it.
pub trait AnyFolding: Send + Sync {
    /// Its name within the service.
    fn name(&self) -> &'static str;
    /// Of the folds' meaning.
    fn version(&self) -> u32;
    /// Events that it takes into its state.
    fn folded(&self) -> Vec<TypeInfo>;
    /// Events that it reacts to.
    fn reacted(&self) -> Vec<TypeInfo>;
    /// Commands that it answers.
    fn answered(&self) -> Vec<TypeInfo>;
    /// The field that it orders by; the partition key if it names none.
    fn by(&self) -> Option<&'static str>;
    /// What becomes of a key whose message has failed.
    fn on_dead(&self) -> OnDead;
    /// Whether it reacts to a type.
    fn reacts_to(&self, type_name: &str) -> bool;
    /// How its state is kept in snapshots, if it is.
    fn snapshots(&self) -> Option<Codec>;
    /// The state before all events.
    fn blank(&self) -> Box<dyn Any + Send>;
    /// Takes an event in. As soon as the state may have changed, `touched` is set: if it is not, an error has left the
    /// state as it was.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit.
    fn fold(&self, state: &mut dyn Any, stored: &Stored, touched: &mut bool) -> Result<(), HandlerError>;
    /// Reacts to an event that is already in the state.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit or the handler failed.
    fn react(&self, state: &dyn Any, stored: &Stored, fx: &mut Effects) -> Result<(), HandlerError>;
    /// Answers a command.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit.
    fn answer(
        &self,
        state: &dyn Any,
        command: &Stored,
        context: &Context,
        fx: &mut Effects,
    ) -> Result<Result<(), Refused>, HandlerError>;
}

impl<S: Default + Send + 'static> AnyFolding for Folding<S> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn folded(&self) -> Vec<TypeInfo> {
        self.folds.iter().flat_map(|(types, _)| types.clone()).collect()
    }
    fn reacted(&self) -> Vec<TypeInfo> {
        self.reacts.iter().flat_map(|(types, _)| types.clone()).collect()
    }
    fn answered(&self) -> Vec<TypeInfo> {
        self.answers.iter().flat_map(|(types, _)| types.clone()).collect()
    }
    fn snapshots(&self) -> Option<Codec> {
        self.codec.map(|codec| codec(self.version, &self.folded()))
    }
    fn blank(&self) -> Box<dyn Any + Send> {
        Box::new(S::default())
    }

    fn by(&self) -> Option<&'static str> {
        self.by
    }
    fn on_dead(&self) -> OnDead {
        self.on_dead
    }
    fn reacts_to(&self, type_name: &str) -> bool {
        self.reacts.iter().any(|(types, _)| types.iter().any(|info| info.name == type_name))
    }

    fn fold(&self, state: &mut dyn Any, stored: &Stored, touched: &mut bool) -> Result<(), HandlerError> {
        let state = state.downcast_mut::<S>().ok_or_else(mixed_up)?;
        for (types, fold) in &self.folds {
            if has(types, stored) {
                fold(state, stored, touched)?;
            }
        }
        Ok(())
    }

    fn react(&self, state: &dyn Any, stored: &Stored, fx: &mut Effects) -> Result<(), HandlerError> {
        let state = state.downcast_ref::<S>().ok_or_else(mixed_up)?;
        for (types, react) in &self.reacts {
            if has(types, stored) {
                react(state, stored, fx)?;
            }
        }
        Ok(())
    }

    fn answer(
        &self,
        state: &dyn Any,
        command: &Stored,
        context: &Context,
        fx: &mut Effects,
    ) -> Result<Result<(), Refused>, HandlerError> {
        let state = state.downcast_ref::<S>().ok_or_else(mixed_up)?;
        match self.answers.iter().find(|(types, _)| has(types, command)) {
            Some((_, answer)) => answer(state, command, context, fx),
            None => Ok(Ok(())),
        }
    }
}

fn has(types: &[TypeInfo], stored: &Stored) -> bool {
    types.iter().any(|info| info.name == stored.type_name())
}

fn mixed_up() -> HandlerError {
    HandlerError::failed("a folding reaction was given the state of another one")
}

/// A command from outside the log in the form that handlers read.
pub fn unplaced(stream: StreamId, message: Message) -> Stored {
    Stored { position: Position::START, stream, version: StreamVersion(0), message }
}
