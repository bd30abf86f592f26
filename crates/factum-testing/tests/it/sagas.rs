//! Scenarios of sagas: that they pass what is right, and say what is wrong.

use std::panic::{UnwindSafe, catch_unwind};

use factum_core::{
    call::CallTo,
    saga::{Failure, FailureKind, Saga, Status, StepState, Wanted},
    service::Durations,
};
use factum_macros::{Command, Event};
use factum_testing::scenario::{Instance, saga};
use serde::{Deserialize, Serialize};

#[derive(Event)]
#[event("trip.planned")]
struct Planned {
    trip_id: String,
}
#[derive(Event)]
#[event("trip.abandoned")]
struct Abandoned {
    trip_id: String,
}
#[derive(Command)]
#[command("trip.confirm")]
struct Confirm {
    trip_id: String,
}
#[derive(Command)]
#[command("trip.fail")]
struct Fail {
    trip_id: String,
    why: String,
}
#[derive(Command)]
#[command("hotel.book")]
struct BookRoom {
    trip_id: String,
}
#[derive(Command)]
#[command("hotel.cancel")]
struct CancelRoom {
    trip_id: String,
    room: u32,
}
#[derive(Event)]
#[event("hotel.booked")]
struct RoomBooked {
    trip_id: String,
    room: u32,
}
#[derive(Event)]
#[event("hotel.cancelled")]
struct RoomCancelled {
    trip_id: String,
}
#[derive(Command)]
#[command("post.send")]
struct SendLetter {
    trip_id: String,
}
#[derive(Event)]
#[event("post.sent")]
struct LetterSent {
    trip_id: String,
}

#[derive(Serialize, Deserialize)]
struct Charge {
    trip: String,
}
#[derive(Serialize, Deserialize)]
struct Charged {
    word: String,
}
const CHARGE: CallTo<Charge, Charged> = CallTo::new("charge");
const REFUND: CallTo<Charge, Charged> = CallTo::new("refund");

#[derive(Clone, Default, Serialize, Deserialize)]
struct Facts {
    trip: String,
    room: u32,
}

fn trip() -> String {
    "t1".to_owned()
}

fn table() -> Saga<Facts> {
    Saga::new("journey", 1)
        .key("tripId")
        .start::<Planned>(|e| Facts { trip: e.trip_id.clone(), ..Facts::default() })
        .step("hotel", |step| {
            step.send(|f: &Facts| BookRoom { trip_id: f.trip.clone() })
                .done_keeping::<RoomBooked>(|f, e| f.room = e.room)
                .undo::<CancelRoom, RoomCancelled>(|f| CancelRoom { trip_id: f.trip.clone(), room: f.room })
        })
        .step("charge", |step| {
            let charge = |f: &Facts| Charge { trip: f.trip.clone() };
            step.call(CHARGE, charge).refused(|told| told.word.clone()).undo_call(REFUND, charge)
        })
        .pivot("letter", |step| {
            step.own(|f: &Facts| Confirm { trip_id: f.trip.clone() })
                .send(|f| SendLetter { trip_id: f.trip.clone() })
                .done::<LetterSent>()
        })
        .abort::<Abandoned>(|_| "abandoned".to_owned())
        .failed(|f, failure: &Failure| {
            let kind = match failure.kind {
                FailureKind::Refused => "refused",
                FailureKind::Expired => "late",
                _ => "other",
            };
            Some(Fail { trip_id: f.trip.clone(), why: format!("{} {kind}: {}", failure.step, failure.reason) })
        })
}

fn planned() -> Instance {
    saga(table()).given([Planned { trip_id: trip() }])
}

fn booked() -> Instance {
    planned().given([RoomBooked { trip_id: trip(), room: 7 }])
}

fn charged() -> Instance {
    booked().when_done(CHARGE, &Charged { word: String::new() })
}

/// What a scenario says when it fails.
fn said(scenario: impl FnOnce() -> Instance + UnwindSafe) -> String {
    let panic = catch_unwind(|| drop(scenario())).expect_err("the scenario is wrong and says so");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_process_goes_forward_by_replies_calls_and_decisions() {
    saga(table())
        .when(Planned { trip_id: trip() })
        .then([BookRoom { trip_id: trip() }])
        .waits("hotel", 30.secs())
        .when(RoomBooked { trip_id: trip(), room: 7 })
        .then(())
        .asks(CHARGE, &Charge { trip: trip() })
        .waits("charge", 2.minutes())
        .again_changes_nothing()
        .when_done(CHARGE, &Charged { word: "yes".to_owned() })
        .then([SendLetter { trip_id: trip() }])
        .decides([Confirm { trip_id: trip() }])
        .waits("letter", 24.hours())
        .is(Status::Running)
        .when(LetterSent { trip_id: trip() })
        .then(())
        .waits_for_nothing()
        .needs_person(false)
        .is(Status::Completed);
}

#[test]
fn what_fails_before_the_pivot_is_undone_in_reverse() {
    booked()
        .when_refused(CHARGE, &Charged { word: "no money".to_owned() })
        .decides([Fail { trip_id: trip(), why: "charge refused: no money".to_owned() }])
        .then([CancelRoom { trip_id: trip(), room: 7 }])
        .step("charge", StepState::Refused)
        .waits("hotel", 30.secs())
        .when_late("hotel")
        .then([CancelRoom { trip_id: trip(), room: 7 }])
        .waits("hotel", 1.minutes())
        .when(RoomCancelled { trip_id: trip() })
        .waits_for_nothing()
        .is(Status::Compensated);
    booked()
        .when_given_up(CHARGE, "away")
        .then(())
        .asks(REFUND, &Charge { trip: trip() })
        .when_done(REFUND, &Charged { word: String::new() })
        .then([CancelRoom { trip_id: trip(), room: 7 }]);
    booked().when_late("charge").withdraws(CHARGE).asks(REFUND, &Charge { trip: trip() }).is(Status::Undoing);
    planned().when_rejected::<BookRoom>("full").waits_for_nothing().is(Status::Compensated);
    booked().when(Abandoned { trip_id: trip() }).decides(()).withdraws(CHARGE).is(Status::Undoing);
}

#[test]
fn an_own_rejection_stops_the_pivot_and_a_person_is_called_behind_it() {
    booked()
        .refusing::<Confirm>("too_late")
        .when_done(CHARGE, &Charged { word: String::new() })
        .decides((Confirm { trip_id: trip() }, Fail { trip_id: trip(), why: "letter other: too_late".to_owned() }))
        .then(())
        .asks(REFUND, &Charge { trip: trip() })
        .is(Status::Undoing);
    charged()
        .when_late("letter")
        .needs_person(true)
        .when_person(Wanted::Retry(None))
        .then([SendLetter { trip_id: trip() }])
        .needs_person(false)
        .when(LetterSent { trip_id: trip() })
        .is(Status::Completed)
        .when(Abandoned { trip_id: trip() })
        .then_nothing();
}

#[test]
fn what_differs_is_said() {
    for (scenario, parts) in [
        (
            said(|| planned().then([CancelRoom { trip_id: trip(), room: 1 }])),
            ["trip.planned was not followed by the expected commands", "- expected hotel.cancel"],
        ),
        (said(|| planned().then_nothing()), ["expected nothing to follow trip.planned", "hotel.book"]),
        (said(|| planned().decides([Confirm { trip_id: trip() }])), ["the expected decisions", "trip.confirm"]),
        (said(|| planned().asks(CHARGE, &Charge { trip: trip() })), ["the call `charge`", "calls that are made: none"]),
        (
            said(|| booked().asks(CHARGE, &Charge { trip: "t2".to_owned() })),
            [".trip: expected \"t2\", actual \"t1\"", "hotel.booked does not ask"],
        ),
        (said(|| planned().withdraws(CHARGE)), ["to withdraw the call `charge`", "does not"]),
        (said(|| planned().waits("hotel", 1.secs())), ["has 30s to answer", "not 1s"]),
        (said(|| planned().waits("charge", 1.secs())), ["`charge` has no limit", "`hotel`"]),
        (said(|| booked().waits_for_nothing()), ["nothing is waited for", "`charge`"]),
        (said(|| planned().is(Status::Completed)), ["it is Running, not Completed", "hotel"]),
        (said(|| saga(table()).is(Status::Running)), ["it has not started", "Running"]),
        (said(|| planned().step("hotel", StepState::Done)), ["`hotel` is Sent, not Done", "charge"]),
        (said(|| planned().step("ferry", StepState::Done)), ["no step `ferry`", "charge"]),
        (said(|| planned().needs_person(true)), ["a person is needed: false", "expected true"]),
    ] {
        assert!(parts.iter().all(|part| scenario.contains(part)), "{parts:?} do not stand in:\n{scenario}");
    }
}

#[test]
fn what_cannot_happen_is_refused() {
    for (scenario, parts) in [
        (said(|| saga(table().key(""))), ["saga journey", "it has no key field"]),
        (
            said(|| planned().when(RoomBooked { trip_id: "t2".to_owned(), room: 1 })),
            ["hotel.booked is about journey-t2", "this scenario is about journey-t1"],
        ),
        (said(|| planned().when_late("letter")), ["no limit of step `letter` runs", "`hotel`"]),
        (
            said(|| planned().when_done(CHARGE, &Charged { word: String::new() })),
            ["the call `charge` is not open", "open calls: none"],
        ),
        (said(|| charged().when_person(Wanted::Undo)), ["saga journey failed on", "no way back"]),
        (said(|| saga(table()).when_late("hotel")), ["no limit of step `hotel`", "none"]),
    ] {
        assert!(parts.iter().all(|part| scenario.contains(part)), "{parts:?} do not stand in:\n{scenario}");
    }
    #[derive(Event)]
    #[event("trip.renamed")]
    struct Renamed {
        trip_id: String,
    }
    let text = said(|| planned().when(Renamed { trip_id: trip() }));
    assert!(text.contains("saga journey does not read trip.renamed"), "{text}");
}

/// The facts go through their JSON form before a step sees them, so that what is lost there is lost in the scenario too.
#[test]
fn facts_that_do_not_survive_a_store_are_seen_as_they_will_be() {
    #[derive(Clone, Default, Serialize, Deserialize)]
    struct Forgetful {
        trip: String,
        #[serde(skip)]
        room: u32,
    }
    let table = Saga::new("forgetful", 1)
        .key("tripId")
        .start::<Planned>(|e| Forgetful { trip: e.trip_id.clone(), room: 3 })
        .step("hotel", |step| {
            step.send(|f: &Forgetful| BookRoom { trip_id: format!("{} {}", f.trip, f.room) })
                .done::<RoomBooked>()
                .nothing_to_undo()
        });
    saga(table).when(Planned { trip_id: trip() }).then([BookRoom { trip_id: "t1 0".to_owned() }]);
}
