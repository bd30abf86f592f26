//! Tables that cannot be built say so in a sentence.

use super::*;

fn blank() -> Saga<Facts> {
    Saga::new("journey", 1).key("tripId").start::<Planned>(|_| Facts::default())
}

fn hotel(step: Step<Facts>) -> Step<Facts> {
    step.send(make!(BookRoom)).done::<RoomBooked>().undo::<CancelRoom, RoomCancelled>(make!(CancelRoom))
}

#[test]
fn the_trip_is_complete_and_prints_itself() {
    trip().check().unwrap();
    let yaml = trip().to_string();
    for line in [
        "saga: journey",
        "start: trip.planned",
        "abort: [trip.abandoned]",
        "  - name: car\n    beside: true\n    send: car.book\n    done: [car.booked]\n    undo: car.cancel\n    within: 10s",
        "    held: [check.answered]",
        "  - name: pay\n    pivot: true\n    send: bank.charge",
    ] {
        assert!(yaml.contains(line), "{line}\nis not in\n{yaml}");
    }
}

#[test]
fn every_problem_of_a_table_has_its_sentence() {
    let done = |step: Step<Facts>| step.own(make!(Close));
    let cases: [(&str, Saga<Facts>); 13] = [
        ("saga", Saga::new("Bad Name", 1)),
        ("write `_` instead of `-`", Saga::new("a-b", 1)),
        ("it has no start event: add `.start::<Event>(…)`", Saga::new("journey", 1).key("tripId")),
        ("it has no key field", Saga::new("journey", 1).start::<Planned>(|_| Facts::default())),
        ("it has no steps", blank()),
        ("two pivots", blank().pivot("a", done).pivot("b", |step| step.own(make!(Confirm)))),
        ("two steps are called `a`", blank().step("a", done).step("a", hotel)),
        ("two steps send `hotel.book`", blank().step("a", hotel).step("b", hotel)),
        ("sends a command but knows no reply", blank().step("a", |step| step.send(make!(BookRoom)).nothing_to_undo())),
        (
            "step `a` stands before the pivot and has no undo",
            blank().step("a", |step| step.send(make!(BookRoom)).done::<RoomBooked>()),
        ),
        ("decides nothing on the service's own aggregate", blank().pivot("a", hotel)),
        ("has a limit of zero", blank().step("a", |step| hotel(step).within(Duration::ZERO))),
        ("its first step stands beside nothing", blank().beside("a", hotel)),
    ];
    for (sentence, saga) in cases {
        let problem = saga.check().unwrap_err().to_string();
        assert!(problem.contains(sentence), "`{sentence}` is not in `{problem}`");
    }
}

#[test]
fn a_step_behind_the_pivot_needs_no_undo() {
    let saga = blank().pivot("a", |step| step.own(make!(Confirm)));
    saga.step("b", |step| step.send(make!(BookRoom)).done::<RoomBooked>()).check().unwrap();
}

#[test]
fn it_reads_its_start_its_replies_and_its_aborts_once_each() {
    let types = trip().types();
    let mut sorted = types.clone();
    sorted.dedup();
    assert_eq!(types, sorted);
    assert!(types.contains(&"trip.planned") && types.contains(&"trip.abandoned") && types.contains(&"car.cancelled"));
    assert_eq!(trip().expire_type(), "journey.expire");
}
