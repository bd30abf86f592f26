//! Writes that fail: nothing is acknowledged that is not there, and everything runs exactly once.

use std::collections::BTreeMap;

use factum_core::{
    cell::CellKind,
    envelope::Recorded,
    error::StoreError,
    reaction::{Effects, Reaction},
    service::{Durations, Service},
    timer::TimerTo,
};
use factum_runtime::engine::Step;

use super::bank::*;
use super::bench::*;

const REMIND: TimerTo<Note> = TimerTo::new("remind");

/// Payments lead to a note at once, and to one a minute later.
fn services() -> Vec<Service> {
    let remind = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.after(REMIND.of(event.cents), 1.minutes(), Note { id: event.id.clone(), cents: 1_000 });
    };
    let mut services = bank();
    services.push(Service::new("reminders").reaction(Reaction::new("remind", remind).sets(REMIND)));
    services
}

/// Runs the same payments through whatever fails, as clients that send again what was not acknowledged.
fn run(faults: &[(usize, Fault)], seed: Option<u64>) -> Bench {
    let mut bench = Bench::with(services(), How { seed, ..How::default() });
    faults.iter().for_each(|(at, fault)| bench.faults.at(*at, *fault));
    for number in 0..6_i64 {
        let id = format!("p{number}");
        let mut tries = 0;
        loop {
            let mut answer = bench.post_as(&id, pay(["a", "b"][number as usize % 2], number + 1));
            bench = run_on(bench);
            if answer.try_recv().is_ok_and(|answer| answer.is_ok()) {
                break;
            }
            tries += 1;
            assert!(tries < 5, "a client does not try for ever");
        }
    }
    bench.clock.advance(NOW + std::time::Duration::from_secs(60));
    run_on(bench)
}

fn run_on(mut bench: Bench) -> Bench {
    for _ in 0..10_000 {
        match bench.engine.step() {
            Ok(Step::Rest) => return bench,
            Ok(Step::Worked | Step::InFlight) => {}
            Err(StoreError::Transient(_)) => bench.engine.reload().unwrap(),
            Err(StoreError::OutcomeUnknown(_)) => bench = bench.restart(services()),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the engine does not come to rest");
}

/// The contents of streams, each in any order: a late timer may overtake.
fn bags(bench: &Bench) -> BTreeMap<String, Vec<String>> {
    let mut contents = bench.contents();
    contents.values_mut().for_each(|lines| lines.sort());
    contents
}

#[test]
fn any_write_may_fail_in_any_way_and_everything_runs_exactly_once() {
    let calm = run(&[], None);
    let writes = calm.faults.writes();
    assert!(writes > 10);
    assert_eq!(calm.events::<Noted>().len(), 12);
    for fault in [Fault::Transient, Fault::UnknownLost, Fault::UnknownWritten] {
        for at in 1..=writes {
            let bench = run(&[(at, fault)], None);
            assert_eq!(bags(&bench), bags(&calm), "write {at}: {fault:?}");
            assert_eq!(bench.cells(CellKind::Timer), 0);
            bench.check_versions();
        }
    }
}

#[test]
fn several_writes_may_fail_also_when_shuffled() {
    let calm = run(&[], None);
    for seed in 0..20 {
        let faults =
            [(2, Fault::Transient), (3, Fault::UnknownWritten), (5, Fault::UnknownLost), (8, Fault::Transient)];
        let bench = run(&faults, Some(seed));
        let count = |bench: &Bench| (bench.events::<Paid>().len(), bench.events::<Noted>().len());
        assert_eq!(count(&bench), count(&calm), "seed {seed}");
        bench.check_versions();
    }
}

#[test]
fn nothing_is_acknowledged_when_the_write_fails() {
    let mut bench = Bench::new(services());
    bench.faults.at(1, Fault::Transient);
    let mut answer = bench.post_as("p1", pay("a", 1));
    assert!(bench.engine.step().is_err());
    assert!(answer.try_recv().unwrap().is_err());
    assert!(bench.log().is_empty());
    bench.engine.reload().unwrap();
    bench.run();
    assert!(bench.log().is_empty(), "it is the client who sends it again");
}
