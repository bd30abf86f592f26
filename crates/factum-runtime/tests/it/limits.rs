//! Limits of steps count the time that the unit runs, and stand still while their instance does.

use std::time::Duration;

use factum_core::{
    Timestamp,
    ports::Clock,
    saga::Shown,
    service::{Durations, Service},
};
use factum_runtime::{acts::What, sagas};

use super::{
    bank::*,
    bench::*,
    versions::{both, say, services, shown, steps, transfer, v1},
};

fn live() -> How {
    How { live: true, ..How::default() }
}

/// The unit runs for so many seconds, and does what its loop does.
fn runs(bench: &mut Bench, seconds: u64) {
    for _ in 0..seconds {
        off(bench, Duration::from_secs(1));
        bench.run();
        bench.engine.save_cursor().unwrap();
    }
}

/// The clock goes on, and the unit does not.
fn off(bench: &Bench, time: Duration) {
    bench.clock.advance(bench.clock.mark() + time);
}

fn limit(bench: &Bench) -> Option<Timestamp> {
    shown(bench, "a").steps[0].limit
}

fn is_under_way(bench: &Bench) -> bool {
    steps(bench, "a") == ["first started"]
}

#[test]
fn time_in_which_the_program_did_not_run_uses_up_no_limit() {
    for stop in [false, true] {
        let mut bench = Bench::with(v1(), live());
        bench.ask("p", pay("a", 5)).unwrap();
        runs(&mut bench, 12);
        if stop {
            bench.engine.save_at_stop().unwrap();
            bench.engine.end();
        }
        off(&bench, 1.hours());
        let mut bench = bench.restart(v1());
        runs(&mut bench, 1);
        // A kill takes back what was not written: less than an eighth of what was left.
        let left = limit(&bench).unwrap().duration_since(bench.clock.mark()).as_secs();
        let most = if stop { 17 } else { 20 };
        assert!((17..=most).contains(&left), "I7: {left} seconds are left of 30, of which 13 have passed");
        runs(&mut bench, 16);
        assert!(is_under_way(&bench), "I7: its time was not over");
        runs(&mut bench, 5);
        assert_eq!(steps(&bench, "a"), ["first undoing"]);
        bench.check_versions();
    }
}

#[test]
fn running_time_is_written_while_nothing_happens_but_not_every_second() {
    let mut bench = Bench::with(v1(), live());
    bench.ask("p", pay("a", 5)).unwrap();
    let before = bench.faults.writes();
    runs(&mut bench, 29);
    let writes = bench.faults.writes() - before;
    assert!((5..=20).contains(&writes), "{writes} commits in 29 seconds");
    let mut bench = bench.restart(v1());
    runs(&mut bench, 4);
    assert_eq!(steps(&bench, "a"), ["first undoing"], "29 seconds had passed");
    say(&mut bench, "a", "undone");
    runs(&mut bench, 1);
    let ended = bench.faults.writes();
    runs(&mut bench, 60);
    assert_eq!(bench.faults.writes(), ended, "with nothing under way an idle unit writes nothing");
}

#[test]
fn a_standstill_of_the_process_uses_up_no_limit() {
    let mut bench = Bench::with(v1(), live());
    bench.engine.watch_standstill();
    bench.ask("p", pay("a", 5)).unwrap();
    runs(&mut bench, 20);
    off(&bench, 1.minutes());
    bench.run();
    assert!(is_under_way(&bench), "I7: a stopped process uses up nothing");
    runs(&mut bench, 9);
    assert!(is_under_way(&bench));
    runs(&mut bench, 2);
    assert_eq!(steps(&bench, "a"), ["first undoing"]);
}

/// What the store has is read anew after it has failed; the process still knows how long it stood still.
#[test]
fn a_failed_commit_takes_no_running_time_back_and_gives_none() {
    let mut bench = Bench::with(v1(), live());
    bench.engine.watch_standstill();
    bench.ask("p", pay("a", 5)).unwrap();
    off(&bench, 1.minutes());
    bench.faults.at(bench.faults.writes() + 1, Fault::Transient);
    let _answer = bench.post_as("q", pay("b", 1));
    assert!(bench.engine.step().is_err());
    bench.run();
    runs(&mut bench, 29);
    assert!(is_under_way(&bench));
    runs(&mut bench, 2);
    assert_eq!(steps(&bench, "a"), ["first undoing"]);
}

/// A note of one cent is more than this saga can take.
fn picky() -> Vec<Service> {
    let saga = transfer(1).abort::<Noted>(|noted| match noted.cents {
        1 => panic!("broken"),
        _ => "noted".to_owned(),
    });
    let mut services = services(vec![saga]);
    services.push(Service::new("books").decider::<Book>());
    services
}

#[test]
fn while_an_instance_is_held_its_limits_stand_still() {
    let mut bench = Bench::with(picky(), live());
    bench.ask("p", pay("a", 5)).unwrap();
    runs(&mut bench, 10);
    bench.ask("n", Note { id: "a".to_owned(), cents: 1 }).unwrap();
    assert_eq!((bench.letters().len(), bench.held().len()), (1, 1));
    runs(&mut bench, 100);
    assert!(is_under_way(&bench), "I7: held");
    let (instance, limit) = (shown(&bench, "a"), limit(&bench));
    assert_eq!(limit, None);
    assert!(instance.stuck.is_some_and(|why| why.contains("it is held, and its limits stand still")));
    let mut bench = bench.restart(picky());
    runs(&mut bench, 100);
    assert!(is_under_way(&bench), "I7: also in another process");
    let letter = bench.letter();
    bench.act(What::Discard(letter)).unwrap();
    bench.run();
    assert_eq!(bench.held().len(), 0);
    runs(&mut bench, 18);
    assert!(is_under_way(&bench), "I7: it had 20 seconds left");
    runs(&mut bench, 3);
    assert_eq!(steps(&bench, "a"), ["first undoing"]);
    bench.check_versions();
}

#[test]
fn while_a_program_lacks_its_version_the_limits_of_an_instance_stand_still() {
    for live in [false, true] {
        let mut bench = Bench::with(both(), How { live, ..How::default() });
        bench.ask("p", pay("a", 5)).unwrap();
        let mut bench = bench.restart(v1());
        runs(&mut bench, 100);
        assert_eq!((bench.held().len(), bench.letters().len()), (0, 0), "nothing has come for it");
        let query = sagas::Query { stuck: true, ..sagas::Query::default() };
        let reader = bench.committer.reader();
        let page = sagas::list(&*reader, &query, bench.clock.mark(), Some(&bench.registry)).unwrap();
        let Shown { stuck, status, .. } = &page.sagas[0];
        assert!(stuck.as_ref().is_some_and(|why| why.contains("no version 2 of transfer")), "{stuck:?}");
        assert_eq!(*status, "started");
        let mut bench = bench.restart(both());
        runs(&mut bench, 25);
        assert!(is_under_way(&bench), "I7: its time was not over");
        runs(&mut bench, 6);
        assert_eq!(steps(&bench, "a"), ["first undoing"]);
        say(&mut bench, "a", "undone");
        assert_eq!(shown(&bench, "a").status, "compensated");
    }
}
