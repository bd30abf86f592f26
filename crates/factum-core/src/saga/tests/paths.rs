//! Every way through a saga.

use super::*;

/// Answers up to each step.
const TO_CHECK: [&str; 2] = ["hotel.booked", "car.booked"];
const TO_FLIGHT: [&str; 3] = ["hotel.booked", "car.booked", "check.answered"];
const TO_PIVOT: [&str; 4] = ["hotel.booked", "car.booked", "check.answered", "flight.booked"];

#[test]
fn all_steps_done_is_completed() {
    let mut trip = Instance::new();
    trip.event("trip.planned", "");
    assert_eq!(trip.news, ["started +hotel +car", "> hotel.book", "> car.book"]);
    assert_eq!((trip.limit("hotel"), trip.limit("car")), (Some(30.secs()), Some(10.secs())));
    trip.event("car.booked", "");
    assert_eq!(trip.news, ["step_done car"], "what follows waits for both");
    assert_eq!(trip.limit("car"), None);
    trip.event("hotel.booked", "");
    assert_eq!(trip.news, ["step_done hotel +check", "> check.ask"]);
    trip.event("check.answered", "good");
    assert_eq!(trip.news, ["step_done check +flight", "> flight.book"]);
    trip.event("flight.booked", "12A");
    assert_eq!(trip.news, ["step_done flight +pay", "> bank.charge"]);
    assert_eq!(trip.own, ["trip.confirm 12A"], "what the flight said is known to the later steps");
    trip.event("bank.charged", "");
    trip.event("post.sent", "");
    assert_eq!(trip.news, ["step_done letter +close", "step_done close", "completed"]);
    assert_eq!(trip.own, ["trip.confirm 12A", "trip.close 12A"]);
    assert!(trip.timers.is_empty());
    assert_eq!(trip.status(), Status::Completed);
}

#[test]
fn a_refusal_before_the_pivot_undoes_in_reverse_each_confirmed_before_the_next() {
    let mut trip = Instance::after(&TO_CHECK);
    trip.event("check.answered", "bad");
    assert_eq!(trip.news, ["step_failed check", "undo_sent car", "> car.cancel"]);
    assert_eq!(trip.own, ["trip.fail check Refused bad"]);
    assert_eq!(trip.step("check"), StepState::Refused);
    trip.event("hotel.cancelled", "");
    assert!(trip.news.is_empty(), "its turn has not come");
    trip.event("car.cancelled", "");
    assert_eq!(trip.news, ["step_undone car", "undo_sent hotel", "> hotel.cancel"]);
    trip.event("hotel.cancelled", "");
    assert_eq!(trip.news, ["step_undone hotel", "compensated"]);
    assert_eq!((trip.status(), trip.timers.len()), (Status::Compensated, 0));
}

#[test]
fn a_rejected_command_counts_as_refused_and_is_not_undone() {
    let mut trip = Instance::after(&TO_FLIGHT);
    trip.rejection("flight.book");
    assert_eq!(trip.news, ["step_failed flight", "undo_sent car", "> car.cancel"]);
    assert_eq!(trip.own, ["trip.fail flight Refused no"]);
    trip.rejection("hotel.book");
    assert!(trip.news.is_empty(), "a rejection of what is done changes nothing");
}

#[test]
fn a_step_beside_a_refused_one_is_unknown_and_undone() {
    let mut trip = Instance::after(&[]);
    trip.event("hotel.refused", "full");
    assert_eq!(trip.news, ["step_failed hotel", "undo_sent car", "> car.cancel"]);
    trip.event("car.booked", "");
    assert!(trip.news.is_empty(), "the late yes is covered by the undo");
    trip.event("car.cancelled", "");
    assert_eq!(trip.news, ["step_undone car", "compensated"]);
}

#[test]
fn a_step_without_answer_is_unknown_and_undone_itself() {
    let mut trip = Instance::after(&TO_FLIGHT);
    trip.expire("flight");
    assert_eq!(trip.news, ["step_failed flight", "undo_sent flight", "> flight.cancel"]);
    assert_eq!(trip.own, ["trip.fail flight Expired no answer within the limit"]);
    trip.event("flight.booked", "12A");
    assert!(trip.news.is_empty(), "first appended wins");
    for answer in ["flight.cancelled", "car.cancelled", "hotel.cancelled"] {
        trip.event(answer, "");
    }
    assert_eq!(trip.status(), Status::Compensated);
    for late in ["flight.booked", "hotel.booked", "trip.abandoned", "trip.planned", "flight.cancelled"] {
        trip.event(late, "");
        assert!(trip.news.is_empty(), "{late} comes after the end");
    }
}

#[test]
fn an_abort_event_undoes_what_is_under_way_and_does_not_tell_the_aggregate() {
    let mut trip = Instance::after(&TO_FLIGHT);
    trip.event("trip.abandoned", "changed my mind");
    assert_eq!(trip.news, ["step_failed", "undo_sent flight", "> flight.cancel"]);
    assert!(trip.own.is_empty());
    let mut trip = Instance::after(&TO_PIVOT);
    trip.event("trip.abandoned", "changed my mind");
    assert!(trip.news.is_empty(), "there is no way back any more");
    let mut trip = Instance::new();
    trip.event("trip.abandoned", "before it began");
    assert!(trip.news.is_empty());
}

#[test]
fn the_own_aggregates_no_at_the_pivot_aborts() {
    let mut trip = Instance::after(&TO_FLIGHT);
    trip.refuses = vec!["trip.confirm"];
    trip.event("flight.booked", "12A");
    assert_eq!(trip.news, ["step_done flight", "step_failed pay", "undo_sent flight", "> flight.cancel"]);
    assert_eq!(trip.own, ["trip.fail pay OwnRefused trip.confirm is refused"]);
    for answer in ["flight.cancelled", "car.cancelled", "hotel.cancelled"] {
        trip.event(answer, "");
    }
    assert_eq!(trip.status(), Status::Compensated);
}

#[test]
fn the_aggregates_no_to_a_failure_changes_nothing_about_the_undo() {
    let mut trip = Instance::after(&TO_CHECK);
    trip.refuses = vec!["trip.fail"];
    trip.event("check.answered", "bad");
    assert_eq!(trip.news, ["step_failed check", "undo_sent car", "> car.cancel"]);
}

#[test]
fn at_the_pivot_silence_calls_a_person_and_a_late_answer_still_completes() {
    let mut trip = Instance::after(&TO_PIVOT);
    trip.expire("pay");
    assert_eq!(trip.news, ["attention_needed pay"]);
    assert_eq!(trip.status(), Status::Running);
    assert!(trip.timers.is_empty(), "nobody is called twice");
    trip.event("bank.charged", "");
    assert_eq!(trip.news, ["step_done pay +letter", "> post.send"]);
    trip.expire("letter");
    assert_eq!(trip.news, ["attention_needed letter"]);
    trip.event("post.sent", "");
    assert_eq!(trip.status(), Status::Completed);
}

/// It was refused, so it was not done: there is a way back, also when a person was called already.
#[test]
fn a_refused_pivot_is_undone_as_before_it() {
    for how in ["event", "rejection", "late"] {
        let mut trip = Instance::after(&TO_PIVOT);
        match how {
            "rejection" => trip.rejection("bank.charge"),
            "late" => {
                trip.expire("pay");
                trip.event("bank.declined", "no money");
            }
            _ => trip.event("bank.declined", "no money"),
        }
        assert_eq!(trip.news, ["step_failed pay", "undo_sent flight", "> flight.cancel"], "{how}");
        assert_eq!((trip.status(), trip.step("pay")), (Status::Undoing, StepState::Refused));
        trip.event("bank.charged", "");
        assert!(trip.news.is_empty(), "a refusal is final");
        for answer in ["flight.cancelled", "car.cancelled", "hotel.cancelled"] {
            trip.event(answer, "");
        }
        assert_eq!(trip.status(), Status::Compensated);
    }
}

#[test]
fn the_aggregates_no_after_the_pivot_calls_a_person() {
    let mut trip = Instance::after(&TO_PIVOT);
    trip.event("bank.charged", "");
    trip.refuses = vec!["trip.close"];
    trip.event("post.sent", "");
    assert_eq!(trip.news, ["step_done letter", "attention_needed close"]);
    assert_eq!(trip.status(), Status::Running);
}

#[test]
fn a_hold_extends_the_limit_and_its_release_goes_on() {
    let mut trip = Instance::after(&TO_CHECK);
    assert_eq!(trip.limit("check"), Some(30.secs()));
    trip.event("check.answered", "odd");
    assert_eq!(
        (trip.news.as_slice(), trip.limit("check")),
        (["step_held check".to_owned()].as_slice(), Some(24.hours()))
    );
    assert_eq!(trip.own, ["trip.hold"]);
    trip.event("check.cleared", "");
    assert_eq!(trip.news, ["step_done check +flight", "> flight.book"]);
    assert_eq!(trip.limit("check"), None);
}

#[test]
fn a_hold_that_nobody_releases_fails_and_so_does_one_that_the_aggregate_refuses() {
    let mut trip = Instance::after(&TO_CHECK);
    trip.event("check.answered", "odd");
    trip.expire("check");
    assert_eq!(trip.news, ["step_failed check", "undo_sent car", "> car.cancel"]);
    assert_eq!(trip.own, ["trip.hold", "trip.fail check Expired no answer within the limit"]);
    let mut trip = Instance::after(&TO_CHECK);
    trip.refuses = vec!["trip.hold"];
    trip.event("check.answered", "odd");
    assert_eq!(trip.news, ["step_failed check", "undo_sent car", "> car.cancel"]);
}

#[test]
fn a_reply_that_says_nothing_leaves_no_trace_in_the_facts() {
    // The check's test counts how often it looked; only a kept answer may count. `check_fold` compares the facts.
    let mut trip = Instance::after(&TO_CHECK);
    trip.event("check.answered", "neither");
    assert!(trip.news.is_empty());
    trip.event("check.answered", "good");
    assert_eq!(trip.step("check"), StepState::Done);
}

#[test]
fn an_undo_is_sent_five_times_with_growing_limits_and_then_a_person_is_called() {
    let mut trip = Instance::after(&[]);
    trip.expire("hotel");
    assert_eq!(trip.news, ["step_failed hotel", "undo_sent car", "> car.cancel"]);
    for limit in [10, 20, 40, 80] {
        assert_eq!(trip.limit("car"), Some(limit.secs()));
        trip.expire("car");
        assert_eq!(trip.news, ["undo_sent car", "> car.cancel"]);
    }
    assert_eq!(trip.limit("car"), Some(160.secs()));
    trip.expire("car");
    assert_eq!(trip.news, ["attention_needed car"]);
    assert_eq!((trip.status(), trip.timers.len()), (Status::Undoing, 0));
    trip.event("car.cancelled", "");
    assert_eq!(trip.news, ["step_undone car", "undo_sent hotel", "> hotel.cancel"], "a late confirmation goes on");
    assert_eq!(trip.limit("hotel"), Some(30.secs()), "each undo counts for itself");
}

#[test]
fn a_rejected_undo_is_tried_again_too() {
    let mut trip = Instance::after(&["hotel.booked"]);
    trip.expire("car");
    for _ in 0..4 {
        trip.rejection("car.cancel");
        assert_eq!(trip.news, ["undo_sent car", "> car.cancel"]);
    }
    trip.rejection("car.cancel");
    assert_eq!(trip.news, ["attention_needed car"]);
    assert!(trip.timers.is_empty(), "nobody is called twice");
}

#[test]
fn an_instance_of_another_version_is_refused() {
    let trip_of_1 = Instance::after(&TO_CHECK);
    let mut saga = trip();
    saga.version = 2;
    let mut state = saga.blank();
    let refused = saga.evolve(&mut *state, &trip_of_1.stream[0]).unwrap_err().to_string();
    assert!(refused.contains("version 1, not 2"), "{refused}");
}

#[test]
fn an_event_without_the_key_field_names_what_is_missing() {
    let saga = trip();
    let draft = Draft::named(Name::Static("hotel.booked"), &serde_json::json!({ "tripId": null, "word": "" })).unwrap();
    let missing = saga.instance_of(&stored("hotel-1", Kind::Event, draft)).unwrap_err().to_string();
    assert_eq!(missing, "saga journey reads hotel.booked, which carries no tripId");
}
