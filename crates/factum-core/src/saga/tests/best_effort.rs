//! Steps that a process does not hang on, and what is kept and told of those that fail.

use super::*;

/// A hotel that need not be, a car, and a seat as the word for what went wrong.
fn walk() -> Saga<Facts> {
    Saga::new("journey", 1)
        .key("tripId")
        .start::<Planned>(|e| Facts { trip: e.trip_id.clone(), ..Facts::default() })
        .noting(|facts, failure| {
            facts.seat = failure.error.as_ref().map_or("unnamed", |error| error.as_str()).to_owned()
        })
        .step("hotel", |step| {
            step.send(make!(BookRoom))
                .done::<RoomBooked>()
                .refused::<RoomRefused>(|e| e.word.clone())
                .undo::<CancelRoom, RoomCancelled>(make!(CancelRoom))
                .best_effort()
        })
        .step("car", |step| {
            step.send(make!(BookCar))
                .done::<CarBooked>()
                .undo::<CancelCar, CarCancelled>(make!(CancelCar))
                .fails_as("no_car")
        })
        .step("flight", |step| {
            step.send(make!(BookSeat)).done::<SeatBooked>().undo::<CancelSeat, SeatCancelled>(make!(CancelSeat))
        })
}

fn shown(walk: &Instance) -> Shown {
    Shown::of(&walk.stream).unwrap().unwrap()
}

#[test]
fn one_that_is_refused_is_passed_over_and_has_nothing_to_undo() {
    let mut walk = Instance::of(walk());
    walk.event("trip.planned", "");
    walk.event("hotel.refused", "full");
    assert_eq!(walk.news, ["step_done hotel +car", "> car.book"]);
    assert_eq!((walk.step("hotel"), walk.limit("hotel")), (StepState::Skipped, None));
    let hotel = &shown(&walk).steps[0];
    assert_eq!((hotel.status, hotel.error.as_deref(), hotel.completed_at), ("skipped", Some("full"), None));
    walk.event("hotel.booked", "");
    assert!(walk.news.is_empty(), "first appended wins");
    walk.rejection("car.book");
    assert_eq!(walk.news, ["step_failed car", "compensated"], "nothing of the hotel is undone");
    assert_eq!(shown(&walk).error.as_deref(), Some("no_car"));
}

#[test]
fn one_that_is_silent_is_passed_over_and_undone_with_the_rest() {
    let mut walk = Instance::of(walk());
    walk.event("trip.planned", "");
    walk.expire("hotel");
    assert_eq!(walk.news, ["step_done hotel +car", "> car.book"]);
    walk.event("car.booked", "");
    walk.rejection("flight.book");
    assert_eq!(walk.news, ["step_failed flight", "undo_sent car", "> car.cancel"]);
    assert_eq!(shown(&walk).error, None, "the flight has no word for it");
    walk.event("car.cancelled", "");
    assert_eq!(walk.news, ["step_undone car", "undo_sent hotel", "> hotel.cancel"]);
    let undo: serde_json::Value = serde_json::from_slice(&walk.stream.last().unwrap().message.data).unwrap();
    assert_eq!(undo["word"], "unnamed", "what was noted of the failure stands in the undo");
}

#[test]
fn the_way_forward_ends_in_completed_without_it() {
    let mut walk = Instance::of(walk());
    walk.event("trip.planned", "");
    walk.rejection("hotel.book");
    walk.event("car.booked", "");
    walk.event("flight.booked", "1A");
    assert_eq!((walk.status(), shown(&walk).status), (Status::Completed, "completed"));
}

#[test]
fn the_pivot_cannot_be_best_effort() {
    let table =
        walk().pivot("pay", |step| step.own(make!(Confirm)).send(make!(Charge)).done::<Charged>().best_effort());
    let problem = table.check().unwrap_err().to_string();
    assert!(problem.contains("the pivot `pay` is best effort"), "{problem}");
}
