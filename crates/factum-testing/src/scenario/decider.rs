//! Deciders: events that have happened, a command, the events that follow or the rejection.
#![allow(clippy::panic, reason = "an assertion library: a panic is how a test says what it found")]

use factum_core::{
    Timestamp,
    decider::{Context, Decider},
    envelope::{Draft, Kind},
    id::{MessageId, Name},
    payload::Payload,
    rejection::{Refused, Rejection},
    snapshot::Codec,
    stream::StreamId,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{IntoEvents, NOW, again, draft, message};
use crate::difference::{difference, line};

/// An aggregate to which these events have happened.
pub fn given<D: Decider>(events: impl IntoEvents<D::Event>) -> Given<D> {
    let mut state = D::default();
    for event in events.into_events() {
        state.evolve_at(&again(&event), NOW);
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

impl<D: Decider + Clone + Serialize + DeserializeOwned> Given<D> {
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
    /// The time at which the command is decided, and the state takes in what follows.
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
    events.iter().for_each(|event| state.evolve_at(event, now));
    Ok(events)
}

fn sentence(refused: &Refused) -> String {
    format!("`{}`, \"{}\"", refused.code, refused.message)
}
