//! A trip as a saga: a hotel beside a car, a check that may hold it, a flight, the charge as pivot, and a letter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test subjects and helpers are tests too")]

use std::{any::Any, collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::*;
use crate::{
    envelope::{Draft, Envelope, Kind, Message, Stored},
    id::{MessageId, Name},
    payload::{Command, Event, Payload, PayloadError, TypeInfo},
    reaction::Effect,
    rejection::{Refused, RejectionKind},
    service::Durations,
    stream::{Position, StreamId, StreamVersion},
};

/// Messages of this field all look alike: whose trip, and a word.
macro_rules! messages {
    ($($role:ident $name:ident $type_name:literal;)+) => {$(
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct $name { trip_id: String, word: String }

        impl Payload for $name {
            fn types() -> Vec<TypeInfo> {
                let schema = || schemars::json_schema!({ "type": "object" });
                vec![TypeInfo::new($type_name, "1.0.0", schema)]
            }
            fn type_info(&self) -> TypeInfo {
                Self::types()[0]
            }
            fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError> {
                serde_json::from_slice(data).map_err(|error| PayloadError::decode(name, &error))
            }
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
                serde_json::to_writer(out, self).map_err(|error| PayloadError::encode($type_name, &error))
            }
        }
        impl $role for $name {}
    )+};
}

messages! {
    Event Planned "trip.planned";
    Event Abandoned "trip.abandoned";
    Command HoldTrip "trip.hold";
    Command Confirm "trip.confirm";
    Command Close "trip.close";
    Command Fail "trip.fail";
    Command BookRoom "hotel.book";
    Command CancelRoom "hotel.cancel";
    Event RoomBooked "hotel.booked";
    Event RoomRefused "hotel.refused";
    Event RoomCancelled "hotel.cancelled";
    Command BookCar "car.book";
    Command CancelCar "car.cancel";
    Event CarBooked "car.booked";
    Event CarCancelled "car.cancelled";
    Command Check "check.ask";
    Event Checked "check.answered";
    Event Cleared "check.cleared";
    Command BookSeat "flight.book";
    Command CancelSeat "flight.cancel";
    Event SeatBooked "flight.booked";
    Event SeatCancelled "flight.cancelled";
    Command Charge "bank.charge";
    Event Charged "bank.charged";
    Event Declined "bank.declined";
    Command SendLetter "post.send";
    Event LetterSent "post.sent";
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Facts {
    trip: String,
    #[serde(default)]
    seat: String,
    #[serde(default)]
    looked_at: u32,
}

macro_rules! make {
    ($name:ident) => {
        |f: &Facts| $name { trip_id: f.trip.clone(), word: f.seat.clone() }
    };
}

mod best_effort;
mod paths;
mod random;
mod tables;

fn trip() -> Saga<Facts> {
    Saga::new("journey", 1)
        .key("tripId")
        .start::<Planned>(|e| Facts { trip: e.trip_id.clone(), ..Facts::default() })
        .step("hotel", |step| {
            step.send(make!(BookRoom))
                .done::<RoomBooked>()
                .refused::<RoomRefused>(|e| e.word.clone())
                .undo::<CancelRoom, RoomCancelled>(make!(CancelRoom))
        })
        .beside("car", |step| {
            step.send(make!(BookCar))
                .done::<CarBooked>()
                .undo::<CancelCar, CarCancelled>(make!(CancelCar))
                .within(10.secs())
        })
        .step("check", |step| {
            step.send(make!(Check))
                .refused_if::<Checked>(|f, e| {
                    f.looked_at += 1;
                    (e.word == "bad").then(|| "bad".to_owned())
                })
                .done_if::<Checked>(|e| e.word == "good")
                .held_if::<Checked, HoldTrip>(
                    |e| (e.word == "odd").then(|| "odd".to_owned()),
                    make!(HoldTrip),
                    24.hours(),
                )
                .done::<Cleared>()
                .nothing_to_undo()
        })
        .step("flight", |step| {
            step.send(make!(BookSeat))
                .done_keeping::<SeatBooked>(|f, e| f.seat.clone_from(&e.word))
                .undo::<CancelSeat, SeatCancelled>(make!(CancelSeat))
        })
        .pivot("pay", |step| {
            step.own(make!(Confirm))
                .send(make!(Charge))
                .done::<Charged>()
                .refused::<Declined>(|e| e.word.clone())
                .within(10.minutes())
        })
        .step("letter", |step| step.send(make!(SendLetter)).done::<LetterSent>())
        .step("close", |step| step.own(make!(Close)))
        .abort::<Abandoned>(|e| e.word.clone())
        .failed(|f, failure| {
            let word = format!("{} {:?} {}", failure.step, failure.kind, failure.reason);
            Some(Fail { trip_id: f.trip.clone(), word })
        })
}

/// An instance with everything around it: its stream, its timers, the aggregate that may refuse.
struct Instance {
    saga: Box<dyn AnySaga>,
    state: Box<dyn Any + Send>,
    stream: Vec<Stored>,
    timers: BTreeMap<String, (Duration, Draft)>,
    /// Commands on the own aggregate that are refused.
    refuses: Vec<&'static str>,
    /// What was decided on the own aggregate.
    own: Vec<String>,
    /// What the last input brought: events without the saga's name, and commands with a `>`.
    news: Vec<String>,
}

impl Instance {
    fn new() -> Self {
        Self::of(trip())
    }

    fn of(saga: Saga<Facts>) -> Self {
        let saga: Box<dyn AnySaga> = Box::new(saga);
        let state = saga.blank();
        let (stream, timers, refuses) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { saga, state, stream, timers, refuses, own: Vec::new(), news: Vec::new() }
    }

    /// One that is planned, and has these answers already.
    fn after(types: &[&'static str]) -> Self {
        let mut instance = Self::new();
        instance.event("trip.planned", "");
        types
            .iter()
            .for_each(|type_name| instance.event(type_name, if *type_name == "check.answered" { "good" } else { "" }));
        instance
    }

    fn event(&mut self, type_name: &'static str, word: &str) {
        let draft =
            Draft::named(Name::Static(type_name), &serde_json::json!({ "tripId": "t1", "word": word })).unwrap();
        let stored = stored("trip-t1", Kind::Event, draft);
        assert_eq!(self.saga.instance_of(&stored).unwrap().as_str(), "journey-t1");
        self.input(Input::Event(&stored));
    }

    fn rejection(&mut self, command: &str) {
        let refused =
            Refused { code: "no".to_owned(), kind: RejectionKind::Conflict, message: "it says no".to_owned() };
        self.input(Input::Rejection { command, refused: &refused });
    }

    /// The limit of that name passes.
    fn expire(&mut self, name: &str) {
        let (_, command) = self.timers.remove(name).expect("there is such a timer");
        self.input(Input::Expired(&stored("journey-t1", Kind::Command, command)));
    }

    fn input(&mut self, input: Input<'_>) {
        let (refuses, own) = (&self.refuses, &mut self.own);
        let mut decide = |draft: Draft| {
            if refuses.iter().any(|refused| draft.type_name == *refused) {
                let message = format!("{} is refused", draft.type_name);
                return Ok(Err(Refused { code: "own".to_owned(), kind: RejectionKind::Conflict, message }));
            }
            let data: serde_json::Value = serde_json::from_slice(&draft.data).unwrap();
            own.push(format!("{} {}", draft.type_name, data["word"].as_str().unwrap()).trim().to_owned());
            Ok(Ok(()))
        };
        let Transition { events, effects, .. } = self.saga.run(&mut *self.state, input, &mut decide).unwrap();
        self.news.clear();
        for draft in events {
            let data: serde_json::Value = serde_json::from_slice(&draft.data).unwrap();
            let mut text = draft.type_name.strip_prefix("journey.").unwrap().to_owned();
            text.extend(data["step"].as_str().map(|step| format!(" {step}")));
            let sent = data["sent"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
            text.extend(sent.map(|step| format!(" +{step}")));
            self.news.push(text);
            self.stream.push(stored("journey-t1", Kind::Event, draft));
        }
        for effect in effects {
            match effect {
                Effect::Send(draft) => {
                    self.news.push(format!("> {}", draft.type_name));
                    self.stream.push(stored("journey-t1", Kind::Command, draft));
                }
                Effect::After { name, delay, command } => _ = self.timers.insert(name, (delay, command)),
                Effect::Cancel(name) => _ = self.timers.remove(&name),
                effect => panic!("a saga has no such effect: {effect:?}"),
            }
        }
        self.check_fold();
    }

    /// The state folded from the stream is the state in memory.
    fn check_fold(&self) {
        let mut state = self.saga.blank();
        for stored in &self.stream {
            self.saga.evolve(&mut *state, stored).unwrap();
        }
        assert_eq!(self.saga.status(&*state), self.saga.status(&*self.state));
        let attempts = |state: &dyn Any| {
            let instance = state.downcast_ref::<super::instance::Instance<Facts>>().unwrap();
            (instance.undo_attempts, serde_json::to_string(&instance.facts).unwrap())
        };
        assert_eq!(attempts(&*state), attempts(&*self.state));
    }

    fn status(&self) -> Status {
        self.saga.status(&*self.state).unwrap().0
    }

    fn step(&self, name: &str) -> StepState {
        let (_, steps) = self.saga.status(&*self.state).unwrap();
        steps.into_iter().find(|(step, _)| *step == name).unwrap().1
    }

    /// How often an event of that kind stands in the stream.
    fn count(&self, event: &str) -> usize {
        let name = format!("journey.{event}");
        self.stream.iter().filter(|stored| stored.type_name() == name).count()
    }

    fn limit(&self, name: &str) -> Option<Duration> {
        self.timers.get(name).map(|(delay, _)| *delay)
    }
}

fn stored(stream: &str, kind: Kind, draft: Draft) -> Stored {
    let id = MessageId::derived(&[&draft.type_name]);
    let envelope = Envelope {
        correlation_id: id.clone(),
        id,
        kind,
        type_name: draft.type_name,
        source: Name::Static("test"),
        data_version: draft.version,
        timestamp: Timestamp::UNIX_EPOCH,
        causation_id: None,
        partition_key: "t1".into(),
        user_id: None,
        tenant: None,
        traceparent: None,
        metadata: None,
        depth: 0,
        digest: None,
        repeat_key: None,
    };
    let stream = StreamId::parse(stream).unwrap();
    Stored { position: Position(1), stream, version: StreamVersion(1), message: Message { envelope, data: draft.data } }
}
