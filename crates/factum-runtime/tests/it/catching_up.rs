//! Consumers that stop, come late or come back: everything is handled exactly once, in order.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use factum_core::{
    envelope::Recorded,
    reaction::{Effects, Folding},
    service::Service,
};

use super::bank::*;
use super::bench::*;

/// Books whose reaction panics on the note `poison` while the flag is up.
fn fragile(poison: &Arc<AtomicBool>) -> Vec<Service> {
    let poison = poison.clone();
    let note = move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.send(Note { id: event.id.clone(), cents: event.cents });
        assert!(!(poison.load(Ordering::Relaxed) && event.note == "poison"), "as asked");
    };
    vec![accounts(), Service::new("books").decider::<Book>().react("note", note), mirror("mirror")]
}

/// A reaction that writes down every payment.
fn mirror(name: &'static str) -> Service {
    Service::new(name).owns(name).react("copy", move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.emit(name, &event.id, Noted { id: event.id.clone(), cents: event.cents, sum: 0 });
    })
}

fn books_of(bench: &Bench) -> Vec<i64> {
    let noted = bench.log().into_iter().filter(|stored| stored.stream.category() == "book");
    noted.map(|stored| stored.decode::<Noted>().unwrap().cents).collect()
}

fn mirrored(bench: &Bench, category: &str) -> Vec<i64> {
    let copies = bench.log().into_iter().filter(|stored| stored.stream.category() == category);
    copies.map(|stored| stored.decode::<Noted>().unwrap().cents).collect()
}

#[test]
fn a_panicking_reaction_stops_its_consumer_and_no_other_and_goes_on_after_a_restart() {
    for together in [true, false] {
        let poison = Arc::new(AtomicBool::new(true));
        let mut bench = Bench::new(fragile(&poison));
        for (number, note) in ["", "poison", "", ""].into_iter().enumerate() {
            bench.send(&format!("p{number}"), pay_with("a", 1 << number, note));
            if !together {
                bench.run();
            }
        }
        bench.run();
        assert_eq!(books_of(&bench), [1], "what stands before the poison, and nothing behind");
        assert_eq!(mirrored(&bench, "mirror"), [1, 2, 4, 8]);
        let stopped = &bench.health().stopped;
        assert_eq!((stopped.len(), stopped[0].consumer.as_str()), (1, "books.note"));
        let at = bench.log().into_iter().find(|stored| stored.decode::<Paid>().is_ok_and(|paid| paid.note == "poison"));
        assert_eq!(stopped[0].position, at.unwrap().position.0);

        // Still poisoned: it stops at the same message, the second time as the first.
        let mut bench = bench.restart(fragile(&poison));
        bench.run();
        assert_eq!(books_of(&bench), [1]);
        poison.store(false, Ordering::Relaxed);
        let mut bench = bench.restart(fragile(&poison));
        bench.run();
        assert_eq!(books_of(&bench), [1, 2, 4, 8]);
        assert_eq!(mirrored(&bench, "mirror"), [1, 2, 4, 8]);
        assert!(bench.health().stopped.is_empty());
        bench.ask("p9", pay("a", 16)).unwrap();
        let bench = bench.restart(fragile(&poison));
        assert_eq!(books_of(&bench), [1, 2, 4, 8, 16]);
        bench.check_versions();
    }
}

#[test]
fn catching_up_survives_a_restart_in_the_middle() {
    let poison = Arc::new(AtomicBool::new(true));
    let mut bench = Bench::with(fragile(&poison), How::limits(|limits| limits.staged_bytes = 2_000));
    for number in 0..100 {
        let note = if number == 0 { "poison" } else { "" };
        bench.send(&format!("p{number}"), pay_with(&format!("a{}", number % 10), number + 1, note));
    }
    bench.run();
    assert!(books_of(&bench).is_empty());
    poison.store(false, Ordering::Relaxed);
    for _ in 0..3 {
        bench = bench.restart(fragile(&poison));
        bench.engine.step().unwrap();
    }
    let done = books_of(&bench).len();
    bench.run();
    assert!(done < 100, "the first steps have not done everything");
    assert_eq!(books_of(&bench), (1..=100).collect::<Vec<i64>>());
    assert_eq!(mirrored(&bench, "mirror").len(), 100);
}

#[test]
fn a_new_reaction_starts_now_unless_it_starts_at_the_beginning() {
    let late = || {
        let copy = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.emit("late", &event.id, Noted { id: event.id.clone(), cents: event.cents, sum: 0 });
        };
        Service::new("late").owns("late").react_from_start("copy", copy)
    };
    let mut bench = Bench::new(bank());
    for number in 0..5 {
        bench.ask(&format!("p{number}"), pay("a", number + 1)).unwrap();
    }
    let both = || vec![accounts(), books(), mirror("fresh"), late()];
    let mut bench = bench.restart(both());
    bench.ask("p5", pay("a", 6)).unwrap();
    assert_eq!(mirrored(&bench, "fresh"), [6]);
    assert_eq!(mirrored(&bench, "late"), [1, 2, 3, 4, 5, 6]);
    // It is not new any more: not after a restart, and not when it was away in between.
    let mut bench = bench.restart(both());
    bench.run();
    let mut bench = bench.restart(vec![accounts(), books(), mirror("another")]);
    bench.ask("p6", pay("a", 7)).unwrap();
    let mut bench = bench.restart(both());
    bench.ask("p7", pay("a", 8)).unwrap();
    assert_eq!(mirrored(&bench, "late"), [1, 2, 3, 4, 5, 6, 8]);
}

#[test]
fn a_state_that_cannot_be_rebuilt_stops_its_consumer_without_repeating_effects() {
    let counting = |broken: bool| {
        let folding = Folding::<i64>::new("count", 1)
            .fold(move |count: &mut i64, event: &Recorded<'_, Paid>| {
                assert!(!(broken && event.cents == 2), "as asked");
                *count += 1;
            })
            .react(|count: &i64, event: &Recorded<'_, Paid>, fx: &mut Effects| {
                fx.emit("tally", &event.id, Noted { id: event.id.clone(), cents: event.cents, sum: *count });
            });
        vec![accounts(), Service::new("tallies").owns("tally").folding(folding)]
    };
    let mut bench = Bench::new(counting(false));
    for number in 0..4 {
        bench.ask(&format!("p{number}"), pay("a", number + 1)).unwrap();
    }
    let mut bench = bench.restart(counting(true));
    bench.ask("p4", pay("a", 5)).unwrap();
    assert_eq!(bench.health().stopped.len(), 1);
    let mut bench = bench.restart(counting(false));
    bench.run();
    let sums: Vec<(i64, i64)> = bench.events::<Noted>().iter().map(|noted| (noted.cents, noted.sum)).collect();
    assert_eq!(sums, [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
}

#[test]
fn a_chain_of_causes_that_does_not_end_is_stopped() {
    let echo = |event: &Recorded<'_, Noted>, fx: &mut Effects| {
        fx.send(Note { id: event.id.clone(), cents: 1 });
    };
    let services = || vec![accounts(), Service::new("books").decider::<Book>().react("note", note).react("echo", echo)];
    let mut bench = Bench::new(services());
    bench.ask("p1", pay("a", 1)).unwrap();
    assert_eq!(bench.health().stopped.len(), 1);
    assert!(bench.health().stopped[0].reason.contains("loop"));
}
