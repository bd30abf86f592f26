//! Batches that are cut at their limits, and states that do not fit into the cache: the same results.

use factum_core::{
    envelope::Recorded,
    reaction::{Effects, Reaction},
    service::Service,
};
use factum_runtime::engine::Limits;

use super::bank::*;
use super::bench::*;

/// Two consumers of each payment, so that a cut can fall between them.
fn wide() -> Vec<Service> {
    let copy = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.emit("copy", &event.id, Copied { id: event.id.clone(), cents: event.cents, sum: 0 });
    };
    let mut services = bank();
    services.push(Service::new("copies").owns("copy").reaction(Reaction::new("copy", copy).emits::<Copied>("copy")));
    services
}

fn run(how: How) -> Bench {
    let mut bench = Bench::with(wide(), how);
    for number in 0..60 {
        let id = ["a", "b", "c"][number % 3];
        bench.send(&format!("p{number}"), pay(id, number as i64 - 5));
    }
    bench.run();
    bench
}

#[test]
fn a_batch_cut_at_any_byte_limit_loses_nothing() {
    let whole = run(How::default());
    assert_eq!(whole.events::<Paid>().len(), 59, "one of them pays nothing");
    for staged_bytes in [1, 300, 1_000, 5_000, 20_000] {
        for seed in [None, Some(1), Some(2), Some(3)] {
            let limits = Limits { staged_bytes, ..Limits::default() };
            let cut = run(How { seed, limits, ..How::default() });
            assert_eq!(cut.contents(), whole.contents(), "cut at {staged_bytes}, seed {seed:?}");
            cut.check_versions();
            let writes = cut.faults.writes();
            assert!(staged_bytes > 300 || writes > 60, "it was cut: {writes} writes");
        }
    }
}

#[test]
fn small_batches_and_a_small_backlog_give_the_same_results() {
    let whole = run(How::default());
    let small = run(How::limits(|limits| (limits.messages, limits.inputs, limits.backlog) = (1, 1, 1)));
    assert_eq!(small.contents(), whole.contents());
}

#[test]
fn a_cache_of_one_byte_gives_the_same_results() {
    let whole = run(How::default());
    for seed in [None, Some(4)] {
        let limits = Limits { state_bytes: 1, staged_bytes: 2_000, ..Limits::default() };
        let small = run(How { seed, limits, ..How::default() });
        assert_eq!(small.contents(), whole.contents());
    }
}

#[test]
fn a_delivery_that_makes_too_much_becomes_a_letter_and_nobody_else_waits() {
    let flood = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        for _ in 0..9 {
            let note = "x".repeat(1_000_000);
            fx.emit("flood", &event.id, Paid { id: event.id.clone(), cents: 0, note });
        }
    };
    let flood = Reaction::new("flood", flood).emits::<Paid>("flood");
    let mut bench = Bench::new(vec![accounts().owns("flood").reaction(flood), books()]);
    bench.ask("p1", pay("a", 1)).unwrap();
    assert!(bench.letters()[0].reason().contains("are allowed"), "{}", bench.letters()[0].reason());
    assert_eq!(bench.events::<Noted>().len(), 1);
}

/// Each within its own limit; all three together are more than a commit takes.
#[test]
fn three_consumers_of_one_event_with_three_megabytes_each_are_cut_between_them() {
    let flood = |service: Service, name: &'static str| {
        let flood = move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
            // Not on what it emits itself.
            for _ in 0..if event.note.is_empty() { 3 } else { 0 } {
                fx.emit(name, &event.id, Paid { id: event.id.clone(), cents: 0, note: "x".repeat(1_000_000) });
            }
        };
        service.owns(name).reaction(Reaction::new(name, flood).emits::<Paid>(name))
    };
    let services = || vec![["one", "two", "three"].into_iter().fold(accounts(), flood), books()];
    let mut bench = Bench::new(services());
    bench.send("p1", pay("a", 1));
    for _ in 0..40 {
        bench.engine.step().unwrap();
        // Also through a restart between the consumers of one message.
        bench = bench.restart(services());
    }
    bench.ask("p2", pay("b", 1)).unwrap();
    for name in ["one", "two", "three"] {
        assert_eq!(bench.stream(&format!("{name}-a")).len(), 3, "{name}");
        assert_eq!(bench.stream(&format!("{name}-b")).len(), 3, "{name}");
    }
    assert_eq!((bench.events::<Noted>().len(), bench.letters().len()), (20, 0), "what is flooded is noted, too");
    assert_eq!(bench.engine.refusals(), 0);
}
