//! A saga in the engine: its commands, its limits, its undo, through restarts and in shuffled batches.

use factum_core::{
    envelope::Kind,
    saga::Saga,
    service::{Durations, Service},
};
use factum_macros::{Command, Event};
use serde::{Deserialize, Serialize};

use super::bank::*;
use super::bench::*;

#[derive(Command, Clone, Debug, PartialEq)]
#[command("transfer.take_back")]
struct TakeBack {
    id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("transfer.taken_back")]
struct TakenBack {
    id: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Facts {
    id: String,
    cents: i64,
}

/// A payment with the note `transfer` is noted in the book, which refuses what is negative; then the account itself
/// gets a cent, which it refuses when it is full.
fn services(answers: bool) -> Vec<Service> {
    let saga = Saga::new("transfer", 1)
        .key("id")
        .start::<Paid>(|e| Facts { id: e.id.clone(), cents: if e.note == "bad" { -1 } else { e.cents } })
        .step("note", |step| {
            let step = step.send(|f: &Facts| Note { id: f.id.clone(), cents: f.cents });
            let step = if answers { step.done::<Noted>() } else { step.done::<TakenBack>() };
            step.undo::<TakeBack, TakenBack>(|f| TakeBack { id: f.id.clone() })
        })
        .pivot("thank", |step| step.own(|f: &Facts| pay_with(&f.id, 1, "thanks")));
    let undo = factum_core::reaction::Folding::<()>::new("undo", 1).answer(
        |(): &(), back: &TakeBack, _: &factum_core::decider::Context, fx: &mut factum_core::reaction::Effects| {
            fx.emit("undone", &back.id, TakenBack { id: back.id.clone() });
            Ok::<(), factum_core::rejection::Never>(())
        },
    );
    let undo = undo.emits::<TakenBack>("undone");
    vec![
        Service::new("accounts").decider::<Account>().saga(saga),
        Service::new("books").decider::<Book>().owns("undone").folding(undo),
    ]
}

fn story(bench: &Bench, id: &str) -> Vec<String> {
    let stream = bench.stream(&format!("transfer-{id}"));
    stream.iter().map(|stored| stored.type_name().trim_start_matches("transfer.").to_owned()).collect()
}

#[test]
fn a_saga_runs_to_its_end_also_through_a_restart_at_every_step() {
    let expected = ["started", "book.note", "step_done", "step_done", "completed"];
    for seed in [None, Some(1), Some(2)] {
        let mut bench = Bench::with(services(true), How { seed, ..How::default() });
        bench.ask("p1", pay("a/b", 5)).unwrap();
        assert_eq!(story(&bench, "a/b"), expected);
        assert_eq!(bench.events::<Paid>().len(), 2);
        bench.check_versions();
    }
    let mut bench = Bench::new(services(true));
    bench.send("p1", pay("a/b", 5));
    // After an end that was not in order, messages are taken one by one.
    for _ in 0..40 {
        bench.engine.step().unwrap();
        bench = bench.restart(services(true));
    }
    assert_eq!(story(&bench, "a/b"), expected);
    assert_eq!(bench.cells(factum_core::cell::CellKind::Timer), 0);
    bench.check_versions();
}

#[test]
fn a_rejection_from_the_log_reaches_the_saga_as_a_refusal() {
    let mut bench = Bench::new(services(true));
    bench.ask("p1", pay_with("a", 5, "bad")).unwrap();
    assert_eq!(story(&bench, "a"), ["started", "book.note", "step_failed", "compensated"]);
}

#[test]
fn the_own_aggregates_no_at_the_pivot_undoes_the_steps() {
    let mut bench = Bench::new(services(true));
    bench.ask("p1", pay("a", MOST)).unwrap();
    let expected = ["started", "book.note", "step_done", "step_failed", "undo_sent", "take_back"];
    assert_eq!(story(&bench, "a")[..6], expected);
    assert_eq!(story(&bench, "a")[6..], ["step_undone", "compensated"]);
    assert_eq!(bench.events::<Paid>().len(), 1);
    bench.check_versions();
}

#[test]
fn a_limit_passes_and_finds_its_instance_whatever_its_key() {
    let mut bench = Bench::new(services(false));
    bench.ask("p1", pay("x/y-z", 5)).unwrap();
    assert_eq!(story(&bench, "x/y-z"), ["started", "book.note"]);
    let mut bench = bench.restart(services(false));
    bench.advance(NOW + 30.secs());
    let story = story(&bench, "x/y-z");
    assert_eq!(story[2..], ["step_failed", "undo_sent", "take_back", "step_undone", "compensated"]);
    let failed = &bench.stream("transfer-x/y-z")[2];
    assert_eq!(failed.envelope().timestamp, NOW + 30.secs());
    assert_eq!(bench.of_kind::<TakeBack>(Kind::Command).len(), 1);
}
