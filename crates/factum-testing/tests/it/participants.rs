//! The rules of a participant, on one that refuses by a rejection and not by an event.

use std::collections::BTreeMap;

use factum_core::{
    decider::{Context, Decider},
    envelope::Envelope,
};
use factum_macros::{Command, Event, Rejection};
use factum_testing::conformance::participant::{self, Subject};

#[derive(Command)]
#[command("seat.take")]
struct Take {
    flight: String,
    trip: String,
}

#[derive(Command)]
#[command("seat.leave")]
struct Leave {
    flight: String,
    trip: String,
}

#[derive(Command)]
enum SeatCommand {
    Take(Take),
    Leave(Leave),
}

#[derive(Event, PartialEq, Debug)]
#[event("seat.taken")]
struct Taken {
    trip: String,
}

#[derive(Event, PartialEq, Debug)]
#[event("seat.left")]
struct Left {
    trip: String,
}

#[derive(Event, PartialEq, Debug)]
enum SeatEvent {
    Taken(Taken),
    Left(Left),
}

#[derive(Debug, Rejection)]
enum SeatRejection {
    #[rejection("full", "the flight is full: take another")]
    Full,
    #[rejection("left", "the seat was given back before it was taken")]
    Left,
}

/// A flight with one seat. With `TOMBSTONES` the undo of what was never done is noted.
#[derive(Default)]
struct Flight<const TOMBSTONES: bool> {
    trips: BTreeMap<String, bool>,
}

impl<const TOMBSTONES: bool> Decider for Flight<TOMBSTONES> {
    const CATEGORY: &'static str = "flight";
    type Id = String;
    type Command = SeatCommand;
    type Event = SeatEvent;
    type Rejection = SeatRejection;

    fn address(command: &SeatCommand, _: &Envelope) -> String {
        match command {
            SeatCommand::Take(take) => take.flight.clone(),
            SeatCommand::Leave(leave) => leave.flight.clone(),
        }
    }

    fn decide(&self, _: &String, command: SeatCommand, _: &Context) -> Result<Vec<SeatEvent>, SeatRejection> {
        let is_full = self.trips.values().any(|is_there| *is_there);
        match command {
            SeatCommand::Take(Take { trip, .. }) => match self.trips.get(&trip) {
                Some(true) => Ok(vec![]),
                Some(false) => Err(SeatRejection::Left),
                None if is_full => Err(SeatRejection::Full),
                None => Ok(vec![SeatEvent::Taken(Taken { trip })]),
            },
            SeatCommand::Leave(Leave { trip, .. }) => match self.trips.get(&trip) {
                Some(false) => Ok(vec![]),
                None if !TOMBSTONES => Ok(vec![]),
                _ => Ok(vec![SeatEvent::Left(Left { trip })]),
            },
        }
    }

    fn evolve(&mut self, event: &SeatEvent) {
        match event {
            SeatEvent::Taken(taken) => self.trips.insert(taken.trip.clone(), true),
            SeatEvent::Left(left) => self.trips.insert(left.trip.clone(), false),
        };
    }
}

/// The step that takes the seat.
struct Taking<const TOMBSTONES: bool>;

fn take(trip: &str) -> SeatCommand {
    SeatCommand::Take(Take { flight: "f".to_owned(), trip: trip.to_owned() })
}

impl<const TOMBSTONES: bool> Subject for Taking<TOMBSTONES> {
    type Aggregate = Flight<TOMBSTONES>;

    fn act(&self) -> SeatCommand {
        take("t")
    }
    fn undo(&self) -> SeatCommand {
        SeatCommand::Leave(Leave { flight: "f".to_owned(), trip: "t".to_owned() })
    }
    fn refusal(&self) -> (Vec<SeatEvent>, SeatCommand, Option<SeatCommand>) {
        (vec![SeatEvent::Taken(Taken { trip: "another".to_owned() })], take("t"), None)
    }
    fn confirms(&self, event: &SeatEvent) -> bool {
        matches!(event, SeatEvent::Left(_))
    }
    fn holds(&self, events: &[SeatEvent]) -> bool {
        matches!(events.last(), Some(SeatEvent::Taken(_)))
    }
    fn too_late(&self) -> &'static str {
        "left"
    }
}

#[test]
fn a_participant_may_refuse_by_a_rejection() {
    participant::run(&Taking::<true>);
}

#[test]
#[should_panic(expected = "the undo of a refused step does nothing")]
fn one_that_does_not_confirm_the_undo_of_what_it_rejected_is_found() {
    participant::run(&Taking::<false>);
}
