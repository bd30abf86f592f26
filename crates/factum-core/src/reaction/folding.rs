//! A reaction with a state of its own.

use std::{any::Any, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{Effect, Effects, Makes, OnDead, Outcome};
use crate::{
    call::CallTo,
    decider::Context,
    envelope::{Recorded, Stored},
    error::{HandlerError, NameError},
    payload::{Command, Event, TypeInfo},
    pipeline::{Aggregate, Due, Figures, Pipes, State, Steps, Through},
    rejection::Refused,
    snapshot::Codec,
    stream::Position,
    timer::TimerTo,
};

type Fold<S> = Box<dyn Fn(&mut S, &Stored, &mut bool) -> Result<(), HandlerError> + Send + Sync>;
type FoldReact<S> = Box<dyn Fn(&S, &Stored, &mut Effects) -> Result<(), HandlerError> + Send + Sync>;
type FoldRejected<S> = Box<dyn Fn(&S, &Refused, &Stored, &mut Effects) + Send + Sync>;
type FoldAnswer<S> =
    Box<dyn Fn(&S, &Stored, &Context, &mut Effects) -> Result<Result<(), Refused>, HandlerError> + Send + Sync>;

/// A reaction with a state of its own: the fold runs first, also on replay; reacting and answering run only live, on the
/// state with the event in it.
///
/// The state is derived: it is rebuilt from the log when the program starts or the version changes. With
/// [`Folding::snapshots`] a start folds only what came since the last snapshot.
///
/// The calls, events and timers that reacting and answering make are declared: [`Folding::calls`], [`Folding::emits`],
/// [`Folding::sets`].
pub struct Folding<S> {
    name: &'static str,
    version: u32,
    folds: Vec<(Vec<TypeInfo>, Fold<S>)>,
    reacts: Vec<(Vec<TypeInfo>, FoldReact<S>)>,
    answers: Vec<(Vec<TypeInfo>, FoldAnswer<S>)>,
    rejected: Option<FoldRejected<S>>,
    from_start: bool,
    by: Option<&'static str>,
    on_dead: OnDead,
    makes: Makes,
    codec: Option<fn(u32, &[TypeInfo]) -> Codec>,
    /// What is wrong with its declaration.
    problem: Option<NameError>,
    pipeline: Option<Arc<dyn Pipes<S>>>,
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
            rejected: None,
            from_start: false,
            by: None,
            on_dead: OnDead::Hold,
            makes: Makes::default(),
            codec: None,
            problem: None,
            pipeline: None,
        }
    }

    /// A new deployment also reacts to what the log holds already, from its beginning, each time with the state of that
    /// place. Without it only the state is folded from the beginning, and reacting starts now.
    #[must_use]
    pub fn from_start(self) -> Self {
        Self { from_start: true, ..self }
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

    /// Hears of the rejections of commands that it has sent, knowing the state; the message is the rejection's, which bears
    /// the business transaction of the command.
    #[must_use]
    pub fn rejected(mut self, handler: impl Fn(&S, &Refused, &Stored, &mut Effects) + Send + Sync + 'static) -> Self {
        self.rejected = Some(Box::new(handler));
        self
    }
}

impl<S: Clone + Serialize + DeserializeOwned + Send + 'static> Folding<S> {
    /// Keeps the state in snapshots, for states that take long to fold from all events. Raise the version of the folding
    /// whenever the folds change their meaning; what is noticed without it says [`Codec`].
    #[must_use]
    pub fn snapshots(self) -> Self {
        Self { codec: Some(Codec::of::<S>), ..self }
    }
}

impl<A: Aggregate> Folding<State<A>> {
    /// What runs a pipeline. Its letters wait alone: what it tells of an event is known when that is taken in, so no event
    /// may wait behind another one. Its events' times come from the envelope, so it orders by the partition key.
    pub(crate) fn of_pipeline<T: 'static>(types: Vec<TypeInfo>, makes: Makes, steps: Steps<T, A>) -> Self {
        let steps = Arc::new(steps);
        let problem = steps.problem();
        let folds = steps.clone();
        let mut folding = Self { makes, problem, ..Self::new(steps.name, steps.version) }.on_dead(OnDead::Release);
        folding.folds.push((types.clone(), Box::new(move |state, stored, touched| folds.fold(state, stored, touched))));
        folding.pipeline = Some(steps.clone());
        folding.reacts.push((types, Box::new(move |state, stored, fx| steps.react(state, stored, fx))));
        folding.snapshots()
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
    /// Whether a new deployment reacts from the beginning of the log instead of from now.
    fn starts_at_beginning(&self) -> bool;
    /// The field that it orders by; the partition key if it names none.
    fn by(&self) -> Option<&'static str>;
    /// What becomes of a key whose message has failed.
    fn on_dead(&self) -> OnDead;
    /// What it declares to make.
    fn makes(&self) -> &Makes;
    /// Whether it reacts to a type.
    fn reacts_to(&self, type_name: &str) -> bool;
    /// Whether it hears of the rejections of commands that it has sent.
    fn hears_rejections(&self) -> bool;
    /// What is wrong with how it is declared, if anything is.
    fn problem(&self) -> Option<&NameError> {
        None
    }
    /// How a pipeline with this state stands.
    fn figures(&self, _state: &dyn Any) -> Option<Figures> {
        None
    }
    /// What a pipeline tells of windows that have closed when an event was taken in, before it reacts to that; nothing if there is
    /// nothing to tell and to keep. It does not depend on the event, and so not on what becomes of it.
    ///
    /// # Errors
    /// [`HandlerError`] if a window cannot be told: the pipeline must stop in front of the event, or the window would be lost.
    fn due(&self, _state: &dyn Any, _stored: &Stored) -> Result<Option<Due>, HandlerError> {
        Ok(None)
    }
    /// Says to a pipeline's state how far windows were told, if anything is kept of that, and up to where what it will fold was
    /// reacted to before: when it is made, and when what was due is told.
    fn stands(&self, _state: &mut dyn Any, _acted: Position, _through: Option<&Through>) {}
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
    /// Reacts to an event that is already in the state: what follows, if all of it is declared that must be.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit, the handler failed, or made what it does not declare.
    fn react(&self, state: &dyn Any, stored: &Stored) -> Result<Vec<Effect>, HandlerError>;
    /// Hears that a command of its own was rejected: what follows.
    ///
    /// # Errors
    /// As [`AnyFolding::react`].
    fn rejected(&self, state: &dyn Any, refused: &Refused, stored: &Stored) -> Result<Vec<Effect>, HandlerError>;
    /// Answers a command, by what follows or by a rejection.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit, or the handler made what it does not declare.
    fn answer(
        &self,
        state: &dyn Any,
        command: &Stored,
        context: &Context,
    ) -> Result<Result<Vec<Effect>, Refused>, HandlerError>;
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
    fn hears_rejections(&self) -> bool {
        self.rejected.is_some()
    }
    fn snapshots(&self) -> Option<Codec> {
        self.codec.map(|codec| codec(self.version, &self.folded()))
    }
    fn problem(&self) -> Option<&NameError> {
        self.problem.as_ref()
    }
    fn figures(&self, state: &dyn Any) -> Option<Figures> {
        Some(self.pipeline.as_ref()?.figures(state.downcast_ref::<S>()?))
    }
    fn due(&self, state: &dyn Any, stored: &Stored) -> Result<Option<Due>, HandlerError> {
        let Some(pipeline) = &self.pipeline else { return Ok(None) };
        let due = pipeline.due(state.downcast_ref::<S>().ok_or_else(mixed_up)?, stored)?;
        for (stream, draft, _) in due.iter().flat_map(|due| &due.results) {
            self.makes.allow_event(self.name, stream, draft)?;
        }
        Ok(due)
    }
    fn stands(&self, state: &mut dyn Any, acted: Position, through: Option<&Through>) {
        if let Some((pipeline, state)) = self.pipeline.as_ref().zip(state.downcast_mut::<S>()) {
            pipeline.stands(state, acted, through);
        }
    }
    fn blank(&self) -> Box<dyn Any + Send> {
        Box::new(S::default())
    }

    fn starts_at_beginning(&self) -> bool {
        self.from_start
    }
    fn by(&self) -> Option<&'static str> {
        self.by
    }
    fn on_dead(&self) -> OnDead {
        self.on_dead
    }
    fn makes(&self) -> &Makes {
        &self.makes
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

    fn react(&self, state: &dyn Any, stored: &Stored) -> Result<Vec<Effect>, HandlerError> {
        let state = state.downcast_ref::<S>().ok_or_else(mixed_up)?;
        let mut fx = Effects::default();
        for (types, react) in &self.reacts {
            if has(types, stored) {
                react(state, stored, &mut fx)?;
            }
        }
        self.makes.allow(self.name, fx.finish()?)
    }

    fn rejected(&self, state: &dyn Any, refused: &Refused, stored: &Stored) -> Result<Vec<Effect>, HandlerError> {
        let state = state.downcast_ref::<S>().ok_or_else(mixed_up)?;
        let mut fx = Effects::default();
        if let Some(rejected) = &self.rejected {
            rejected(state, refused, stored, &mut fx);
        }
        self.makes.allow(self.name, fx.finish()?)
    }

    fn answer(
        &self,
        state: &dyn Any,
        command: &Stored,
        context: &Context,
    ) -> Result<Result<Vec<Effect>, Refused>, HandlerError> {
        let state = state.downcast_ref::<S>().ok_or_else(mixed_up)?;
        let mut fx = Effects::default();
        let answered = match self.answers.iter().find(|(types, _)| has(types, command)) {
            Some((_, answer)) => answer(state, command, context, &mut fx)?,
            None => Ok(()),
        };
        match answered {
            Ok(()) => self.makes.allow(self.name, fx.finish()?).map(Ok),
            Err(refused) => Ok(Err(refused)),
        }
    }
}

fn has(types: &[TypeInfo], stored: &Stored) -> bool {
    types.iter().any(|info| info.name == stored.type_name())
}

fn mixed_up() -> HandlerError {
    HandlerError::failed("a folding reaction was given the state of another one")
}
