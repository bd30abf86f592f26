//! Given past events, when a command, then new events: deciders and reactions tested in the words of the field.
//!
//! Everything that goes in is written as JSON and read back first, so that each scenario also proves that its events and
//! commands survive a store. Time stands still at [`NOW`] unless [`Given::at`] says otherwise.
#![allow(clippy::panic, reason = "an assertion library: a panic is how a test says what it found")]

use factum_core::{
    Timestamp,
    call::CallTo,
    decider::{Context, Decider},
    envelope::{Draft, Envelope, Kind, Message, Recorded, Stored},
    error::HandlerError,
    id::{MessageId, Name},
    payload::{Event, Payload},
    reaction::{Effect, Effects, Outcome, Reaction},
    rejection::{Refused, Rejection},
    snapshot::Codec,
    stream::{Position, StreamId, StreamVersion},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::difference::{difference, line};

/// The time of everything that has none of its own: 2026-01-02T03:04:05Z.
pub const NOW: Timestamp = Timestamp::constant(1_767_323_045, 0);

/// Events of one decider: `()`, an array, a `Vec` or a tuple of up to eight, of anything that becomes one.
pub trait IntoEvents<E> {
    /// As a list.
    fn into_events(self) -> Vec<E>;
}

impl<E> IntoEvents<E> for () {
    fn into_events(self) -> Vec<E> {
        Vec::new()
    }
}

impl<E, T: Into<E>, const N: usize> IntoEvents<E> for [T; N] {
    fn into_events(self) -> Vec<E> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<E, T: Into<E>> IntoEvents<E> for Vec<T> {
    fn into_events(self) -> Vec<E> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<E, $($name: Into<E>),+> IntoEvents<E> for ($($name,)+) {
            #[allow(non_snake_case, reason = "the type's letter also names the value")]
            fn into_events(self) -> Vec<E> {
                let ($($name,)+) = self;
                vec![$($name.into()),+]
            }
        }
    };
}
tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D F);
tuples!(A B C D F G);
tuples!(A B C D F G H);
tuples!(A B C D F G H I);

/// An aggregate to which these events have happened.
pub fn given<D: Decider>(events: impl IntoEvents<D::Event>) -> Given<D> {
    let mut state = D::default();
    for event in events.into_events() {
        state.evolve(&again(&event));
    }
    Given { state, now: NOW }
}

/// An aggregate to which nothing has happened yet.
pub fn given_nothing<D: Decider>() -> Given<D> {
    given(())
}

/// See [`given`].
#[must_use = "say when() and then()"]
pub struct Given<D> {
    state: D,
    now: Timestamp,
}

impl<D: Decider + Serialize + DeserializeOwned> Given<D> {
    /// The program has started again since, and read the state from a snapshot.
    ///
    /// # Panics
    /// If the state does not come back as it was.
    #[track_caller]
    pub fn through_a_snapshot(self) -> Self {
        let codec = Codec::of::<D>(1, &[]);
        let state = codec.encode(&self.state).and_then(|bytes| codec.decode(&bytes));
        match state.map(|state| state.downcast::<D>()) {
            Ok(Ok(state)) => Self { state: *state, ..self },
            Ok(Err(_)) => panic!("the state came back as another type"),
            Err(error) => panic!("the state does not come back from a snapshot: {error}"),
        }
    }
}

impl<D: Decider> Given<D> {
    /// The time at which the command is decided.
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// The command arrives.
    ///
    /// # Panics
    /// If the command does not survive its JSON form, or addresses something that is no stream.
    pub fn when(self, command: impl Into<D::Command>) -> When<D> {
        let Self { mut state, now } = self;
        let command = draft(&command.into());
        let outcome = decide(&mut state, &command, now, 1);
        When { state, now, command, outcome }
    }
}

/// What the aggregate answered.
#[must_use = "say then()"]
pub struct When<D: Decider> {
    state: D,
    now: Timestamp,
    command: Draft,
    outcome: Result<Vec<D::Event>, Refused>,
}

impl<D: Decider> When<D> {
    /// These events follow, and no others, in this order.
    ///
    /// # Panics
    /// With the difference, if it is not so.
    #[track_caller]
    pub fn then(self, events: impl IntoEvents<D::Event>) -> Then<D> {
        let expected: Vec<Draft> = events.into_events().iter().map(draft).collect();
        match &self.outcome {
            Err(refused) => {
                panic!("expected {} events, but {} was rejected: {}", expected.len(), self.name(), sentence(refused))
            }
            Ok(events) => {
                let actual: Vec<Draft> = events.iter().map(draft).collect();
                if let Some(difference) = difference(&expected, &actual) {
                    panic!("{} was not answered by the expected events:\n{difference}", self.name());
                }
            }
        }
        Then(self)
    }

    /// It is accepted, and nothing follows.
    ///
    /// # Panics
    /// If it is not so.
    #[track_caller]
    pub fn then_nothing(self) -> Then<D> {
        self.then(())
    }

    /// It is rejected with this code. Answers the rejection, for a look at its sentence.
    ///
    /// # Panics
    /// If it is not so.
    #[track_caller]
    pub fn then_rejected(self, code: &str) -> Refused {
        let name = self.name().to_owned();
        match self.outcome {
            Err(refused) if refused.code == code => refused,
            Err(refused) => panic!("expected `{code}`, but {name} was rejected as {}", sentence(&refused)),
            Ok(events) => {
                let events: Vec<Draft> = events.iter().map(draft).collect();
                let list: String = events.iter().map(|event| format!("\n  {}", line(event))).collect();
                panic!("expected the rejection `{code}`, but {name} was accepted with {} events{list}", events.len())
            }
        }
    }

    /// The same command once more (with an id of its own) is accepted and changes nothing: twice is once.
    ///
    /// # Panics
    /// If it is not so.
    #[track_caller]
    pub fn again_changes_nothing(self) -> Then<D> {
        let Self { mut state, now, command, .. } = self;
        let outcome = decide(&mut state, &command, now, 2);
        match &outcome {
            Ok(events) if events.is_empty() => {}
            Ok(events) => {
                let list: String = events.iter().map(|event| format!("\n  {}", line(&draft(event)))).collect();
                panic!("{} done twice is not the same as done once; the second time brought{list}", command.type_name)
            }
            Err(refused) => panic!(
                "{} done twice is not the same as done once; the second time was rejected: {} (a rejection is an answer \
                 too: its sender would take what was done for refused)",
                command.type_name,
                sentence(refused)
            ),
        }
        Then(When { state, now, command, outcome })
    }

    fn name(&self) -> &str {
        &self.command.type_name
    }
}

/// A scenario that went as expected. It may end here or go on.
pub struct Then<D: Decider>(When<D>);

impl<D: Decider> Then<D> {
    /// Another command arrives, after what the first one brought.
    pub fn when(self, command: impl Into<D::Command>) -> When<D> {
        Given { state: self.0.state, now: self.0.now }.when(command)
    }

    /// As [`When::again_changes_nothing`].
    ///
    /// # Panics
    /// If it is not so.
    #[track_caller]
    pub fn again_changes_nothing(self) -> Then<D> {
        self.0.again_changes_nothing()
    }
}

pub(crate) fn decide<D: Decider>(
    state: &mut D,
    command: &Draft,
    now: Timestamp,
    time: u32,
) -> Result<Vec<D::Event>, Refused> {
    let id = MessageId::derived(&["scenario", &time.to_string()]);
    let mut message = message(command.clone(), Kind::Command, now);
    message.envelope.id = id.clone();
    let read = D::Command::decode(&command.type_name, &command.data).unwrap_or_else(|error| panic!("{error}"));
    let address = D::address(&read, &message.envelope);
    if let Err(error) = StreamId::new(D::CATEGORY, &address.to_string()) {
        panic!("{} addresses `{}-{address}`, which is no stream: {error}", command.type_name, D::CATEGORY);
    }
    let correlation_id = message.envelope.correlation_id;
    let context = Context { now, message_id: id, correlation_id, service: Name::Static("scenario") };
    let decided = state.decide(&address, read, &context);
    let events = decided.map_err(|rejection: D::Rejection| Refused {
        code: rejection.code().to_owned(),
        kind: rejection.kind(),
        message: rejection.message(),
    })?;
    let events: Vec<D::Event> = events.iter().map(again).collect();
    events.iter().for_each(|event| state.evolve(event));
    Ok(events)
}

/// Writes a payload and reads it back.
pub(crate) fn again<P: Payload>(payload: &P) -> P {
    let written = draft(payload);
    let read = P::decode(&written.type_name, &written.data);
    let read = read.unwrap_or_else(|error| panic!("what was written as JSON cannot be read back: {error}"));
    let rewritten = draft(&read);
    if let Some(difference) = difference(&[written], &[rewritten]) {
        panic!("the value changes when it is written as JSON and read back:\n{difference}");
    }
    read
}

pub(crate) fn draft<P: Payload>(payload: &P) -> Draft {
    Draft::of(payload).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn message(draft: Draft, kind: Kind, at: Timestamp) -> Message {
    let id = MessageId::derived(&["scenario", &draft.type_name]);
    let envelope = Envelope {
        correlation_id: id.clone(),
        id,
        kind,
        type_name: draft.type_name,
        source: Name::Static("scenario"),
        data_version: draft.version,
        timestamp: at,
        causation_id: None,
        partition_key: "scenario".into(),
        user_id: None,
        traceparent: None,
        metadata: None,
        depth: 0,
        digest: None,
        repeat_key: None,
    };
    Message { envelope, data: draft.data }
}

fn sentence(refused: &Refused) -> String {
    format!("`{}`, \"{}\"", refused.code, refused.message)
}

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

    /// The commands that it sends later, of the types of `C`, with their timers' names and delays.
    pub fn timers<C: Payload>(&self) -> Vec<(String, std::time::Duration, C)> {
        let timers = self.effects.iter().filter_map(|effect| match effect {
            Effect::After { name, delay, command } => Some((name.clone(), *delay, read(command)?)),
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
