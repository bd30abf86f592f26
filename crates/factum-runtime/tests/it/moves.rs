//! Moving many instances to another version: a plan, which names what it leaves out, and goes on through restarts.

use std::time::Duration;

use factum_core::{
    cell::CellKind,
    saga::{Moves, Wanted},
};
use factum_runtime::{
    acts::{ActError, What},
    plans::{self, LeftOut, Making, Planned, Selection, Stage},
};

use super::{bank::*, bench::*, plans::*, versions::*};

fn moving(from: u32, to: u32) -> Making {
    Making { selection: Selection::Move { saga: "transfer".to_owned(), from, to }, rate: None, second_person: false }
}

/// A program with both versions, after one that had the first and started these.
fn begun(ids: &[&str]) -> Bench {
    let mut bench = Bench::new(v1());
    for id in ids {
        bench.ask(&format!("p-{id}"), pay(id, 5)).unwrap();
    }
    let mut bench = bench.stop_and_start(both());
    bench.run();
    bench
}

fn tally(bench: &Bench, planned: &Planned) -> plans::Tally {
    plans::show(&bench.store, &planned.plan.id).unwrap().unwrap().tally
}

fn stage(bench: &Bench, planned: &Planned) -> Stage {
    plans::show(&bench.store, &planned.plan.id).unwrap().unwrap().stage
}

/// How often an instance was moved.
fn moves(bench: &Bench, id: &str) -> usize {
    let stream = bench.stream(&format!("transfer-{id}"));
    stream.iter().filter(|stored| stored.type_name() == "transfer.moved").count()
}

#[test]
fn a_thousand_are_moved_through_restarts_each_once_and_signed() {
    const MANY: u64 = 1_100;
    let mut bench = Bench::new(v1());
    for number in 0..MANY {
        bench.send(&format!("p{number}"), pay(&format!("k{number:04}"), 5));
        if number % 100 == 99 {
            bench.run();
        }
    }
    let mut bench = bench.stop_and_start(both());
    bench.run();
    assert_eq!((count(&bench, 1).open, count(&bench, 2).open), (MANY, 0));
    let planned = make(&mut bench, moving(1, 2));
    assert_eq!((planned.plan.total, planned.items.len(), planned.would_fail), (MANY, plans::MAX_SHOWN, 0));
    let moved = planned.effects.iter().find(|it| it.type_name == "transfer.moved").unwrap();
    assert_eq!((moved.kind, moved.count), ("event", 1_000));
    assert_eq!(count(&bench, 2).open, 0, "nothing is done yet");

    drop(bench.begin(What::Approve(planned.plan.id.clone(), planned.plan.hash.clone())));
    for restart in 1..=2 {
        for _ in 0..2 {
            bench.engine.step().unwrap();
        }
        bench = bench.restart(both());
        let done = tally(&bench, &planned).done;
        assert!(done > 0 && done < MANY, "{done} behind restart {restart}");
        let opened = bench.cells(CellKind::Saga) as u64;
        assert_eq!(opened, MANY + 1, "they stay open");
    }
    bench.run();
    assert_eq!(stage(&bench, &planned), Stage::Finished);
    assert_eq!(tally(&bench, &planned), plans::Tally { done: MANY, ..plans::Tally::default() });
    assert_eq!((count(&bench, 1).open, count(&bench, 1).may_go, count(&bench, 2).open), (0, true, MANY));
    assert!((0..MANY).all(|number| moves(&bench, &format!("k{number:04}")) == 1));
    let told = shown(&bench, "k0042").acts.remove(0);
    assert_eq!((told.act.as_str(), told.by.as_str()), ("moved", "mara"));
    assert_eq!(told.why, Some(format!("plan {}", planned.plan.id)));
    bench.check_versions();
}

#[test]
fn what_goes_on_is_moved_what_ended_is_gone_and_what_began_later_is_none_of_it() {
    let mut bench = begun(&["on", "ended", "moved", "still"]);
    let planned = make(&mut bench, moving(1, 2));
    assert_eq!(planned.plan.total, 4);
    for (id, word) in [("on", "first"), ("ended", "first"), ("ended", "second")] {
        say(&mut bench, id, word);
    }
    act(&mut bench, "moved", Wanted::Move(2)).unwrap();
    // The program of before was started again for a while.
    let mut bench = bench.stop_and_start(v1());
    bench.ask("p-later", pay("later", 5)).unwrap();
    let mut bench = bench.stop_and_start(both());
    bench.run();
    approve(&mut bench, &planned);
    let told = tally(&bench, &planned);
    assert_eq!((told.done, told.left_out, told.gone, told.reasons), (2, 2, 2, vec![]));
    let versions = ["on", "ended", "moved", "still", "later"].map(|id| shown(&bench, id).version);
    assert_eq!(versions, [2, 1, 2, 2, 1]);
    assert_eq!(["on", "ended", "moved", "still", "later"].map(|id| moves(&bench, id)), [1, 0, 1, 1, 0]);
    let again = make(&mut bench, moving(1, 2));
    assert_eq!(again.plan.total, 1, "the next plan takes it");
    assert_ne!(again.plan.hash, planned.plan.hash);
}

#[test]
fn what_cannot_be_moved_is_named_with_its_reason_before_and_behind() {
    let mut bench = Bench::new(v1());
    for id in ["a", "b", "c"] {
        bench.ask(&format!("p-{id}"), pay(id, 5)).unwrap();
    }
    say(&mut bench, "b", "first");
    let unexplained = services(vec![transfer(1), transfer(2).moves_from(1, |moves: Moves| moves)]);
    let mut bench = bench.stop_and_start(unexplained);
    bench.run();
    let reason = "step `check` of version 2 stands before its place: say `.step(\"check\", …)` or `.skip(\"check\")`";
    let planned = make(&mut bench, moving(1, 2));
    let failures: Vec<_> = planned.items.iter().map(|it| (it.item.as_str(), it.preview.failure.as_deref())).collect();
    assert_eq!(failures, [("transfer-a", None), ("transfer-b", Some(reason)), ("transfer-c", None)]);
    assert_eq!((planned.plan.total, planned.would_fail), (3, 1));
    approve(&mut bench, &planned);
    let left = LeftOut { reason: reason.to_owned(), count: 1, who: vec!["transfer-b".to_owned()] };
    let told = tally(&bench, &planned);
    assert_eq!((told.done, told.left_out, told.gone, told.reasons), (2, 1, 0, vec![left]));
    assert_eq!((count(&bench, 1).open, count(&bench, 2).open), (1, 2));
}

#[test]
fn what_never_can_be_is_refused_when_the_plan_is_made() {
    let mut bench = begun(&["a"]);
    let other = Selection::Move { saga: "tranfser".to_owned(), from: 1, to: 2 };
    let stands = bench.log().len();
    for (making, sentence) in [
        (Making { selection: other, ..moving(1, 2) }, "this program has no saga `tranfser`"),
        (moving(1, 7), "this program has no version 7 of transfer: it has 2, 1"),
        (moving(0, 2), "this program has no version 0 of transfer: it has 2, 1"),
        (moving(2, 1), "an instance moves to a later version, and 1 is none behind 2"),
        (moving(2, 2), "an instance moves to a later version, and 2 is none behind 2"),
        (
            Making { rate: Some(0), ..moving(1, 2) },
            "a rate of 0 would never do anything: name items a second, or no rate",
        ),
    ] {
        assert_eq!(bench.make_plan(making).unwrap_err().to_string(), sentence);
    }
    let mut bench = bench.stop_and_start(services(vec![transfer(1), transfer(2)]));
    let silent = bench.make_plan(moving(1, 2)).unwrap_err().to_string();
    assert_eq!(silent, "version 2 of transfer does not say how: add `.moves_from(1, …)` to it");
    assert_eq!(bench.log().len(), stands, "nothing is stored");
}

#[test]
fn only_the_plan_that_was_shown_is_carried_out_and_only_by_the_program_that_showed_it() {
    let mut bench = begun(&["a", "b"]);
    let planned = make(&mut bench, Making { rate: Some(1), second_person: true, ..moving(1, 2) });
    let alone = bench.act(What::Approve(planned.plan.id.clone(), planned.plan.hash.clone()));
    assert!(alone.unwrap_err().to_string().contains("second person"));
    bench.act(What::CancelPlan(planned.plan.id)).unwrap();
    let planned = make(&mut bench, Making { rate: Some(1), ..moving(1, 2) });
    let wrong = bench.act(What::Approve(planned.plan.id.clone(), "0".to_owned()));
    assert!(wrong.unwrap_err().to_string().contains("not that of the plan"));
    assert_eq!(count(&bench, 2).open, 0);
    approve(&mut bench, &planned);
    assert_eq!(count(&bench, 2).open, 1, "the first one at once");
    bench.program = "another".to_owned();
    let mut bench = bench.stop_and_start(both());
    bench.advance(NOW + Duration::from_secs(5));
    assert_eq!((stage(&bench, &planned), count(&bench, 2).open), (Stage::Stopped, 1));
    let (_, last) = story(&bench, &planned);
    assert!(last["reason"].as_str().unwrap().contains("program is another one"), "{last}");
    let again = bench.act(What::Approve(planned.plan.id, planned.plan.hash));
    assert!(matches!(again, Err(ActError::NoPlan(_))));
}

/// A step looks at a share of what is open: it does not hold up everything else until it has found one.
#[test]
fn one_among_many_of_another_version_is_found_a_share_after_the_other() {
    let mut bench = begun(&["z"]);
    for number in 0..2_100 {
        bench.send(&format!("p{number}"), pay(&format!("k{number:04}"), 5));
        if number % 200 == 199 {
            bench.run();
        }
    }
    bench.run();
    let planned = make(&mut bench, moving(1, 2));
    assert_eq!((planned.plan.total, planned.items[0].item.as_str()), (1, "transfer-z"));
    drop(bench.begin(What::Approve(planned.plan.id.clone(), planned.plan.hash.clone())));
    for _ in 0..3 {
        bench.engine.step().unwrap();
    }
    assert_eq!((stage(&bench, &planned), count(&bench, 1).open), (Stage::Running, 1), "it has looked at 2,048");
    bench.run();
    assert_eq!((stage(&bench, &planned), moves(&bench, "z")), (Stage::Finished, 1));
}

/// A job goes on by itself after each start; the code of one of its moves ends the process.
#[test]
fn a_move_that_ends_the_process_is_left_out_and_the_job_goes_on() {
    let mut bench = begun(&["a", "b", "c"]);
    let planned = make(&mut bench, Making { rate: Some(1), ..moving(1, 2) });
    approve(&mut bench, &planned);
    for _ in 0..3 {
        bench = bench.restart(both());
        bench.dies_in("move/transfer-b");
    }
    let mut bench = bench.restart(both());
    bench.advance(NOW + Duration::from_secs(20));
    let told = tally(&bench, &planned);
    assert_eq!((told.done, told.left_out, told.gone), (2, 1, 0), "{told:?}");
    assert_eq!(told.reasons[0].who, ["transfer-b"]);
    assert!(told.reasons[0].reason.contains("process"), "{told:?}");
    assert_eq!((moves(&bench, "b"), shown(&bench, "b").version), (0, 1));
    assert!(bench.letters().is_empty());
    act(&mut bench, "b", Wanted::Move(2)).unwrap();
}
