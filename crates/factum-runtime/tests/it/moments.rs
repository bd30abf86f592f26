//! What happens between two consumers of one message, or between two messages of one batch: a snapshot, a release, an act.
//! Each is tried at every step, and every message counts once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use factum_core::{
    envelope::Recorded,
    letter::Retry,
    reaction::{Effects, Folding, Reaction},
    service::Service,
    stream::Position,
};
use factum_runtime::acts::What;

use super::bank::*;
use super::bench::*;

/// A commit for each delivery: every cut that there can be.
fn cut() -> How {
    How::limits(|limits| (limits.staged_bytes, limits.snapshot_positions) = (1, 1))
}

/// Counts payments and tells the count, in front of the books; of what an older program stored it cannot
/// read what it is told to.
fn counting(unreadable: i64) -> Vec<Service> {
    let folding = Folding::<i64>::new("count", 1)
        .fold(|count: &mut i64, _: &Recorded<'_, Paid>| *count += 1)
        .react(|count: &i64, event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.emit("tally", &event.id, Told { id: event.id.clone(), cents: event.cents, sum: *count });
        })
        .emits::<Told>("tally")
        .snapshots();
    let spoil = move |mut data: serde_json::Value| {
        if data["cents"] == unreadable {
            data["cents"] = "odd".into();
        }
        data
    };
    let odd = Service::new("odd").upcast("account.paid", "1.0.0", "1.1.0", spoil);
    vec![accounts(), Service::new("tallies").owns("tally").folding(folding), books(), odd]
}

fn tallies(bench: &Bench) -> Vec<(i64, i64)> {
    let stream = bench.stream("tally-a").into_iter();
    stream.map(|it| figures(&it)).map(|noted| (noted.cents, noted.sum)).collect()
}

fn send(bench: &Bench, cents: impl IntoIterator<Item = i64>) {
    cents.into_iter().for_each(|cents| bench.send(&format!("p{cents}"), pay("a", cents)));
}

fn step(bench: &mut Bench, times: usize) {
    for _ in 0..times {
        bench.engine.step().unwrap();
    }
}

#[test]
fn a_snapshot_counts_each_message_once() {
    for steps in 0..24 {
        let mut bench = Bench::with(counting(0), cut());
        send(&bench, 1..=3);
        step(&mut bench, steps);
        bench.engine.take_snapshots();
        let mut bench = bench.restart(counting(0));
        bench.ask("p4", pay("a", 4)).unwrap();
        let counts: Vec<i64> = tallies(&bench).into_iter().map(|(_, count)| count).collect();
        let all: Vec<i64> = (1..=counts.len() as i64).collect();
        assert_eq!(counts, all, "after {steps} steps");
    }
}

/// A state is made anew because a letter has ended, by a person or at its time: it acts on nothing again, and misses none.
#[test]
fn a_state_is_made_anew_amid_new_messages() {
    for (how, by_itself) in [(How::default(), false), (cut(), false), (How::default(), true), (cut(), true)] {
        for seed in [None, Some(1), Some(2)] {
            for steps in 0..16 {
                let mut bench = Bench::new(old_bank());
                bench.ask("p1", pay("z", 1)).unwrap();
                let mut bench = bench.restart_as(counting(1), How { hold_unknown: true, ..how });
                bench.ask("p2", pay("a", 2)).unwrap();
                assert_eq!(tallies(&bench), [(2, 1)], "the first cannot be read");
                let letter = bench.letter();
                if by_itself {
                    let at = NOW + std::time::Duration::from_secs(60);
                    bench.act(What::Plan(letter.clone(), Some(Retry::At(at)))).unwrap();
                }
                let mut bench = bench.restart_as(counting(0), How { seed, ..how });
                step(&mut bench, 3);
                send(&bench, 3..=8);
                step(&mut bench, steps);
                match by_itself {
                    true => bench.clock.advance(NOW + std::time::Duration::from_secs(90)),
                    false => drop(bench.begin(What::Redrive(letter.clone()))),
                }
                bench.run();
                if !bench.letters().is_empty() {
                    // Whoever acts while a batch is run again is told so, and acts again.
                    bench.act(What::Redrive(letter)).unwrap();
                }
                bench.ask("p9", pay("a", 9)).unwrap();
                let told = tallies(&bench);
                let cents: Vec<i64> = told.iter().map(|(cents, _)| *cents).collect();
                let which = format!(
                    "cut at {} bytes, by itself: {by_itself}, seed {seed:?}, after {steps} steps: {told:?}",
                    how.limits.staged_bytes
                );
                let mut sorted = cents.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (2..=9).collect::<Vec<_>>(), "each once: {which}");
                assert_eq!(told.last(), Some(&(9, 9)), "all are in the state: {which}");
            }
        }
    }
}

/// Books whose reaction fails on the poison, and a mirror behind them.
fn poisoned(poison: &Arc<AtomicI64>) -> Vec<Service> {
    let poison = poison.clone();
    let note = move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        assert!(event.cents != poison.load(Ordering::Relaxed), "as asked");
        note(event, fx);
    };
    let copy = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.emit("mirror", &event.id, Copied { id: event.id.clone(), cents: event.cents, sum: 0 });
    };
    let mirror = Service::new("mirror").owns("mirror").reaction(Reaction::new("copy", copy).emits::<Copied>("mirror"));
    vec![accounts(), Service::new("books").decider::<Book>().react("note", note), mirror]
}

/// The positions of the payments of `a` in the order in which they were noted.
fn noted(bench: &Bench) -> Vec<Position> {
    let log = bench.log();
    let by_id: HashMap<_, _> = log.iter().map(|stored| (stored.envelope().id.clone(), stored.position)).collect();
    let notes = bench.stream("books.note-a").into_iter();
    notes.map(|note| by_id[note.envelope().causation_id.as_ref().unwrap()]).collect()
}

/// At the moment when a list is full, what waits behind it is found in the log: neither twice nor not at all.
#[test]
fn a_list_that_is_just_full_is_released_amid_new_messages() {
    // A list of that length fills a batch of a thousand bytes, what a mirror emits does not: the cut is between the two.
    let cut = How::limits(|limits| limits.staged_bytes = 1_000);
    for waiting in 1_022..=1_024 {
        for steps in 0..12 {
            let poison = Arc::new(AtomicI64::new(7));
            let mut bench = Bench::new(poisoned(&poison));
            bench.send("first", pay("a", 7));
            for number in 0..waiting {
                bench.send(&format!("p{number}"), pay("a", if number % 2 == 0 { 1 } else { -1 }));
            }
            bench.run();
            bench.how = cut;
            let mut bench = bench.stop_and_start(poisoned(&poison));
            (0..4).for_each(|number| bench.send(&format!("late{number}"), pay("a", 1)));
            step(&mut bench, steps);
            poison.store(0, Ordering::Relaxed);
            drop(bench.begin(What::Redrive(bench.letter())));
            bench.run();
            let noted = noted(&bench);
            let which = format!("{waiting} waiting, after {steps} steps");
            assert_eq!(noted.len(), waiting + 5, "{which}");
            assert!(noted.windows(2).all(|pair| pair[0] < pair[1]), "in order: {which}");
            assert_eq!((bench.held().len(), bench.health().held), (0, 0), "{which}");
        }
    }
}

/// What is released fails, and that is one letter too many: the consumer stops where it stands, not behind the batch.
#[test]
fn a_consumer_that_stops_on_release_misses_nothing_of_its_batch() {
    for steps in 0..8 {
        let poison = Arc::new(AtomicI64::new(7));
        let mut bench = Bench::with(poisoned(&poison), How::limits(|limits| limits.letters = 2));
        for (id, cents) in [("p1", 7), ("p2", 7), ("p3", 7), ("p4", 1)] {
            bench.ask(id, pay("a", cents)).unwrap();
        }
        drop(bench.begin(What::Release(bench.letter())));
        (0..3).for_each(|number| bench.send(&format!("late{number}"), pay("b", 1)));
        step(&mut bench, steps);
        (3..5).for_each(|number| bench.send(&format!("late{number}"), pay("b", 1)));
        bench.run();
        assert_eq!(bench.health().stopped.len(), 1, "two letters are the limit");
        poison.store(0, Ordering::Relaxed);
        bench.act(What::TryAgain("books.note".to_owned())).unwrap();
        for letter in bench.letters() {
            bench.act(What::Redrive(letter.id)).unwrap();
        }
        assert_eq!(bench.stream("books.note-b").len(), 5, "after {steps} steps");
        assert_eq!(noted(&bench).len(), 4, "after {steps} steps");
        assert!(bench.health().stopped.is_empty() && bench.held().is_empty());
    }
}
