//! Consumers that stop, come late or come back: everything is handled exactly once, in order.

use std::time::Duration;

use factum_core::{
    envelope::Recorded,
    reaction::{Effects, Folding, Reaction},
    service::Service,
    timer::TimerTo,
};

use super::bank::*;
use super::bench::*;

fn copying(name: &'static str) -> Reaction {
    let copy = move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        let Paid { id, cents, .. } = event.data.clone();
        // Each service has its own word for it.
        match name {
            "late" => fx.emit(name, id.clone(), Told { id, cents, sum: 0 }),
            _ => fx.emit(name, id.clone(), Copied { id, cents, sum: 0 }),
        }
    };
    match name {
        "late" => Reaction::new("copy", copy).emits::<Told>(name),
        _ => Reaction::new("copy", copy).emits::<Copied>(name),
    }
}

/// A reaction that writes down every payment.
fn mirror(name: &'static str) -> Service {
    Service::new(name).owns(name).reaction(copying(name))
}

/// The same, from the beginning of the log.
fn from_start(name: &'static str) -> Service {
    Service::new(name).owns(name).reaction(copying(name).from_start())
}

/// Consumers with a cursor of their own.
fn behind(bench: &Bench) -> usize {
    bench.cells(factum_core::cell::CellKind::Cursor) - 2
}

fn mirrored(bench: &Bench, category: &str) -> Vec<i64> {
    let copies = bench.log().into_iter().filter(|stored| stored.stream.category() == category);
    copies.map(|stored| figures(&stored).cents).collect()
}

#[test]
fn catching_up_survives_a_restart_in_the_middle() {
    let mut bench = Bench::new(bank());
    for number in 0..100 {
        bench.ask(&format!("p{number}"), pay(&format!("a{number}"), number + 1)).unwrap();
    }
    let both = || vec![accounts(), books(), from_start("late")];
    let few = How::limits(|limits| limits.share = 7);
    for _ in 0..3 {
        bench = bench.restart_as(both(), few);
        bench.engine.step().unwrap();
    }
    let done = mirrored(&bench, "late").len();
    assert!(done > 0 && done < 100, "the first steps have not done everything: {done}");
    bench.run();
    assert_eq!(mirrored(&bench, "late"), (1..=100).collect::<Vec<i64>>());
}

#[test]
fn while_one_consumer_is_behind_commands_timers_and_others_go_on() {
    let mut bench = Bench::new(bank());
    for number in 0..200 {
        bench.ask(&format!("p{number}"), pay("a", 1)).unwrap();
    }
    let remind = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.after(SOON, Duration::from_secs(1), Note { id: event.id.clone(), cents: 1_000 });
    };
    const SOON: TimerTo<Note> = TimerTo::new("soon");
    let timers = || Service::new("timers").reaction(Reaction::new("remind", remind).sets(SOON));
    let all = || vec![accounts(), books(), from_start("late"), timers()];
    let mut bench = bench.restart_as(all(), How::limits(|limits| limits.share = 3));
    bench.engine.step().unwrap();
    assert_eq!(behind(&bench), 1);
    let mut answer = bench.post_as("new", pay("b", 5));
    for _ in 0..4 {
        bench.engine.step().unwrap();
    }
    assert!(answer.try_recv().is_ok_and(|answer| answer.is_ok()), "I6: a command waits for a consumer that is behind");
    bench.clock.advance(NOW + Duration::from_secs(60));
    for _ in 0..3 {
        bench.engine.step().unwrap();
    }
    let noted: Vec<i64> = bench.stream("book-b").iter().map(|stored| figures(stored).cents).collect();
    assert_eq!(noted, [5, 1_000], "others react, and a timer fires");
    assert_eq!(behind(&bench), 1, "and the one is still behind");
    bench.run();
    assert_eq!(mirrored(&bench, "late").len(), 201);
    assert_eq!(behind(&bench), 0);
}

#[test]
fn a_new_reaction_starts_now_unless_it_starts_at_the_beginning() {
    let late = || from_start("late");
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

/// A running sum of all payments, noted at each.
fn summing(from_start: bool) -> Service {
    let folding = Folding::<i64>::new("sum", 1)
        .fold(|sum: &mut i64, event: &Recorded<'_, Paid>| *sum += event.cents)
        .react(|sum: &i64, event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.emit("sum", &event.id, Told { id: event.id.clone(), cents: event.cents, sum: *sum });
        })
        .emits::<Told>("sum")
        .snapshots();
    let folding = if from_start { folding.from_start() } else { folding };
    Service::new("sums").owns("sum").folding(folding)
}

fn sums(bench: &Bench) -> Vec<(i64, i64)> {
    let noted = bench.log().into_iter().filter(|stored| stored.stream.category() == "sum");
    noted.map(|stored| figures(&stored)).map(|noted| (noted.cents, noted.sum)).collect()
}

#[test]
fn a_new_folding_that_starts_at_the_beginning_reacts_to_the_past_with_the_state_of_each_place() {
    let mut bench = Bench::new(bank());
    for number in 0..50 {
        bench.ask(&format!("p{number}"), pay(&format!("a{number}"), number + 1)).unwrap();
    }
    let with = |from_start| vec![accounts(), books(), summing(from_start)];
    let few = How::limits(|limits| limits.share = 7);
    for _ in 0..3 {
        bench = bench.restart_as(with(true), few);
        bench.engine.step().unwrap();
    }
    assert!((1..50).contains(&sums(&bench).len()), "a share in each step: {:?}", sums(&bench));
    bench.ask("new", pay("b", 500)).unwrap();
    bench.run();
    let mut wanted: Vec<(i64, i64)> = (1..=50).map(|cents| (cents, cents * (cents + 1) / 2)).collect();
    wanted.push((500, 1_775));
    assert_eq!(sums(&bench), wanted);
    // It is not new any more.
    let mut bench = bench.restart(with(true));
    bench.run();
    assert_eq!(sums(&bench), wanted);
}

#[test]
fn a_new_folding_that_does_not_say_so_knows_the_past_and_reacts_from_now() {
    let mut bench = Bench::new(bank());
    bench.ask("p1", pay("a", 1)).unwrap();
    let mut bench = bench.restart(vec![accounts(), books(), summing(false)]);
    bench.ask("p2", pay("a", 2)).unwrap();
    assert_eq!(sums(&bench), [(2, 3)]);
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
                fx.emit("tally", &event.id, Told { id: event.id.clone(), cents: event.cents, sum: *count });
            })
            .emits::<Told>("tally");
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
    let sums: Vec<(i64, i64)> = bench.events::<Told>().iter().map(|noted| (noted.cents, noted.sum)).collect();
    assert_eq!(sums, [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
}

#[test]
fn a_chain_of_causes_that_does_not_end_becomes_a_letter() {
    let echo = |event: &Recorded<'_, Noted>, fx: &mut Effects| {
        fx.send(Note { id: event.id.clone(), cents: 1 });
    };
    let services = || vec![accounts(), Service::new("books").decider::<Book>().react("note", note).react("echo", echo)];
    let mut bench = Bench::with(services(), How::limits(|limits| limits.depth = 10));
    bench.ask("p1", pay("a", 1)).unwrap();
    let letters = bench.letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason().contains("11 messages long: it looks like a loop"), "{}", letters[0].reason());
}
