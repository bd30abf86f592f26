//! Reactions: an event that has happened, and what follows from it.
#![allow(clippy::panic, reason = "an assertion library: a panic is how a test says what it found")]

use factum_core::{
    Timestamp,
    call::CallTo,
    envelope::{Draft, Kind, Recorded, Stored},
    error::HandlerError,
    payload::{Event, Payload},
    reaction::{Effect, Effects, Outcome, Reaction},
    stream::{Position, StreamId, StreamVersion},
};
use serde::de::DeserializeOwned;

use super::{NOW, again, draft, message};

/// A message that a reaction is to be run on.
pub fn happened<E: Event>(event: E) -> Happened {
    let draft = draft(&again(&event));
    Happened {
        stored: Stored {
            position: Position(1),
            stream: StreamId::new("scenario", "1").unwrap_or_else(|error| panic!("{error}")),
            version: StreamVersion(1),
            message: message(draft, Kind::Event, NOW),
        },
    }
}

/// See [`happened`].
#[must_use = "say react()"]
pub struct Happened {
    stored: Stored,
}

impl Happened {
    pub(crate) fn into_stored(self) -> Stored {
        self.stored
    }

    /// When it happened.
    pub fn at(mut self, at: Timestamp) -> Self {
        self.stored.message.envelope.timestamp = at;
        self
    }

    /// The stream that it stands in, such as `order-1`.
    ///
    /// # Panics
    /// If that is no stream's name.
    pub fn on(mut self, stream: &str) -> Self {
        self.stored.stream = StreamId::parse(stream).unwrap_or_else(|error| panic!("{error}"));
        self.stored.message.envelope.partition_key = self.stored.stream.key().into();
        self
    }

    /// Who asked for it.
    pub fn by(mut self, user_id: &str) -> Self {
        self.stored.message.envelope.user_id = Some(user_id.into());
        self
    }

    /// Gives it to a reaction, with all that the service declares of it: what it makes is compared with that.
    ///
    /// # Panics
    /// If the reaction does not read this type, fails, or makes what it does not declare.
    #[track_caller]
    pub fn given_to(self, reaction: &Reaction) -> Reacted {
        match reaction.run(&self.stored) {
            Ok(effects) => Reacted { effects },
            Err(error) => panic!("the reaction failed: {error}"),
        }
    }

    /// Runs the function of a reaction that only sends commands; one that makes calls, emits events or sets timers
    /// declares them, and [`Happened::given_to`] sees that.
    ///
    /// # Panics
    /// If the reaction does not read this type, or fails.
    #[track_caller]
    pub fn react<E: Event, O: Outcome>(self, handler: impl Fn(&Recorded<'_, E>, &mut Effects) -> O) -> Reacted {
        match self.try_react(handler) {
            Ok(reacted) => reacted,
            Err(error) => panic!("the reaction failed: {error}"),
        }
    }

    /// Runs a reaction that may fail.
    ///
    /// # Errors
    /// The reaction's own, or that it does not read this type.
    pub fn try_react<E: Event, O: Outcome>(
        self,
        handler: impl Fn(&Recorded<'_, E>, &mut Effects) -> O,
    ) -> Result<Reacted, HandlerError> {
        let mut fx = Effects::default();
        handler(&Recorded::<E>::read(&self.stored)?, &mut fx).outcome()?;
        fx.finish().map(|effects| Reacted { effects })
    }
}

/// Runs `handler` on fresh effects and answers what it collected: for the parts of a reaction.
///
/// # Panics
/// If an effect cannot be written as JSON.
#[track_caller]
pub fn react(handler: impl FnOnce(&mut Effects)) -> Reacted {
    let mut fx = Effects::default();
    handler(&mut fx);
    Reacted { effects: fx.finish().unwrap_or_else(|error| panic!("{error}")) }
}

/// What follows from a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reacted {
    /// All effects, in order.
    pub effects: Vec<Effect>,
}

impl Reacted {
    /// The commands that it sends, of the types of `C`, in order. Timers are not among them.
    pub fn sent<C: Payload>(&self) -> Vec<C> {
        let sent = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send(draft) => Some(draft),
            _ => None,
        });
        sent.filter_map(read).collect()
    }

    /// The events that it emits, of the types of `E`, with their streams.
    pub fn emitted<E: Payload>(&self) -> Vec<(StreamId, E)> {
        let emitted = self.effects.iter().filter_map(|effect| match effect {
            Effect::Emit(stream, draft) => Some((stream.clone(), read(draft)?)),
            _ => None,
        });
        emitted.collect()
    }

    /// The commands that it sends after a while, of the types of `C`, with their timers' names and delays.
    pub fn timers<C: Payload>(&self) -> Vec<(String, std::time::Duration, C)> {
        let timers = self.effects.iter().filter_map(|effect| match effect {
            Effect::After { name, delay, command } => Some((name.clone(), *delay, read(command)?)),
            _ => None,
        });
        timers.collect()
    }

    /// The commands that it sends at a point in time, of the types of `C`, with their timers' names and due times.
    pub fn timers_at<C: Payload>(&self) -> Vec<(String, Timestamp, C)> {
        let timers = self.effects.iter().filter_map(|effect| match effect {
            Effect::At { name, at, command } => Some((name.clone(), *at, read(command)?)),
            _ => None,
        });
        timers.collect()
    }

    /// Names of the timers that it cancels.
    pub fn cancelled(&self) -> Vec<&str> {
        let cancelled = self.effects.iter().filter_map(|effect| match effect {
            Effect::Cancel(name) => Some(name.as_str()),
            _ => None,
        });
        cancelled.collect()
    }

    /// The requests that it makes of a call.
    ///
    /// # Panics
    /// If a request is not an `R`.
    pub fn called<R: DeserializeOwned, A>(&self, call: CallTo<R, A>) -> Vec<R> {
        let requests = self.effects.iter().filter_map(|effect| match effect {
            Effect::Call { name, request, .. } if *name == call.name() => Some(request),
            _ => None,
        });
        let read = |request: &Draft| match serde_json::from_slice(&request.data) {
            Ok(read) => read,
            Err(error) => panic!("the request of `{}` is of another type: {error}", call.name()),
        };
        requests.map(read).collect()
    }

    /// Nothing follows.
    ///
    /// # Panics
    /// With what does, if it is not so.
    #[track_caller]
    pub fn nothing(&self) {
        assert!(
            self.effects.is_empty(),
            "expected nothing to follow, but {} effects do: {self:#?}",
            self.effects.len()
        );
    }
}

/// The payload, if it is of one of the types of `P`.
fn read<P: Payload>(draft: &Draft) -> Option<P> {
    if !P::types().iter().any(|info| draft.type_name == info.name) {
        return None;
    }
    Some(P::decode(&draft.type_name, &draft.data).unwrap_or_else(|error| panic!("{error}")))
}
