//! Given folded events, when a command or an event, then effects: folding reactions tested in the words of the field.
#![allow(clippy::panic, reason = "an assertion library: a panic is how a test says what it found")]

use std::any::Any;

use factum_core::{
    Timestamp,
    decider::Context,
    envelope::{Kind, Stored},
    error::HandlerError,
    id::Name,
    payload::Command,
    pipeline::{Aggregate, Pipeline, Through},
    reaction::{AnyFolding, Effect, Folding, unplaced},
    rejection::Refused,
    stream::{Position, StreamId},
};

use crate::scenario::{Happened, NOW, Reacted, again, draft, message};

/// A folding reaction to which nothing has happened yet.
pub fn folding<S: Default + Send + 'static>(folding: Folding<S>) -> Folded {
    let folding: Box<dyn AnyFolding> = Box::new(folding);
    Folded { state: folding.blank(), folding, now: NOW, last: Position::START, told: None }
}

/// A pipeline to which nothing has happened yet.
pub fn pipeline<A: Aggregate>(pipeline: Pipeline<A>) -> Folded {
    folding(pipeline.folding)
}

/// See [`folding`].
#[must_use = "say when() or happens()"]
pub struct Folded {
    folding: Box<dyn AnyFolding>,
    state: Box<dyn Any + Send>,
    now: Timestamp,
    /// Of what has happened.
    last: Position,
    /// How far a pipeline has told its windows.
    told: Option<Through>,
}

impl Folded {
    /// This has happened: it is folded, as on replay, and nobody reacts.
    ///
    /// # Panics
    /// If the reaction does not fold this type, or its fold fails.
    #[track_caller]
    pub fn given(mut self, happened: Happened) -> Self {
        let stored = self.next(happened);
        self.through_a_snapshot(stored.position);
        let name = stored.type_name();
        assert!(self.folding.folded().iter().any(|info| info.name == name), "{} is not folded", name);
        if let Err(error) = self.folding.fold(&mut *self.state, &stored, &mut false) {
            panic!("the fold of {name} failed: {error}");
        }
        self
    }

    /// A state that is kept in snapshots goes through one before each step, so that every scenario also proves that it
    /// comes back as it was. Up to `acted` it was reacted to.
    #[track_caller]
    fn through_a_snapshot(&mut self, acted: Position) {
        let Some(codec) = self.folding.snapshots() else { return };
        match codec.encode(&*self.state).and_then(|bytes| codec.decode(&bytes)) {
            Ok(state) => {
                self.state = state;
                self.folding.stands(&mut *self.state, acted, self.told.as_ref());
            }
            Err(error) => panic!("the state of {} does not come back from a snapshot: {error}", self.folding.name()),
        }
    }

    fn next(&mut self, happened: Happened) -> Stored {
        self.last.0 += 1;
        Stored { position: self.last, ..happened.into_stored() }
    }

    /// The time at which commands are answered.
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// This happens live: it is folded first, then reacted to.
    ///
    /// # Panics
    /// If the reaction fails, or makes what it does not declare.
    #[track_caller]
    pub fn happens(&mut self, happened: Happened) -> Reacted {
        self.through_a_snapshot(self.last);
        let stored = self.next(happened);
        match self.takes(&stored) {
            Ok(effects) => Reacted { effects },
            Err(error) => panic!("the reaction failed: {error}"),
        }
    }

    /// As the engine does it: what is due of a pipeline's windows comes before the reaction.
    fn takes(&mut self, stored: &Stored) -> Result<Vec<Effect>, HandlerError> {
        self.folding.fold(&mut *self.state, stored, &mut false)?;
        let mut effects = Vec::new();
        if let Some(due) = self.folding.due(&*self.state, stored)? {
            effects.extend(due.results.into_iter().map(|(stream, result, _)| Effect::Emit(stream, result)));
            self.folding.stands(&mut *self.state, Position::START, Some(&due.through));
            self.told = Some(due.through);
        }
        effects.extend(self.folding.react(&*self.state, stored)?);
        Ok(effects)
    }

    /// A command is answered, by effects or by a rejection.
    ///
    /// # Errors
    /// The rejection.
    ///
    /// # Panics
    /// If the reaction does not answer this type, fails, or makes what it does not declare.
    #[track_caller]
    pub fn when<C: Command>(&self, command: C) -> Result<Reacted, Refused> {
        let draft = draft(&again(&command));
        let name = draft.type_name.clone();
        assert!(self.folding.answered().iter().any(|info| info.name == &*name), "{name} is not answered");
        let message = message(draft, Kind::Command, self.now);
        let (message_id, correlation_id) = (message.envelope.id.clone(), message.envelope.correlation_id.clone());
        let context = Context { now: self.now, message_id, correlation_id, service: Name::Static("scenario") };
        let stream = StreamId::new("scenario", "1").unwrap_or_else(|error| panic!("{error}"));
        match self.folding.answer(&*self.state, &unplaced(stream, message), &context) {
            Ok(Ok(effects)) => Ok(Reacted { effects }),
            Ok(Err(refused)) => Err(refused),
            Err(error) => panic!("{name} could not be answered: {error}"),
        }
    }
}
