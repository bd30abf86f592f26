//! Shuffled mode: order is kept per consumer, key and source, which is all that is promised, and it is enough.

use std::collections::BTreeMap;

use factum_core::{envelope::Recorded, reaction::Effects, service::Service};

use super::bank::*;
use super::bench::*;

fn run(how: How) -> Bench {
    let mut bench = Bench::with(bank(), how);
    for number in 0..80_i64 {
        let id = ["a", "b", "c", "d"][number as usize % 4];
        bench.send(&format!("p{number}"), pay(id, number % 7));
        if number % 16 == 0 {
            bench.engine.step().unwrap();
        }
    }
    bench.run();
    bench
}

#[test]
fn fifty_seeds_come_to_the_same_state() {
    let taken = run(How::default());
    let mut orders = BTreeMap::new();
    for seed in 0..50 {
        let shuffled = run(How::shuffled(seed));
        assert_eq!(shuffled.contents(), taken.contents(), "seed {seed}");
        shuffled.check_versions();
        let order: Vec<String> = shuffled.log().iter().map(|stored| stored.stream.to_string()).collect();
        *orders.entry(order).or_insert(0) += 1;
    }
    assert!(orders.len() > 40, "the seeds really differ: {} orders", orders.len());
}

#[test]
fn a_consumer_that_stops_in_a_shuffled_batch_handles_everything_exactly_once() {
    let fragile = |poison: bool| {
        let note = move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
            assert!(!(poison && event.note == "poison"), "as asked");
            note(event, fx);
        };
        vec![accounts(), Service::new("books").decider::<Book>().react("note", note)]
    };
    let run = |how: How| {
        let mut bench = Bench::with(fragile(true), how);
        for number in 0..40_i64 {
            let id = ["a", "b", "c", "d"][number as usize % 4];
            bench.send(&format!("p{number}"), pay_with(id, 1 + number, if number == 13 { "poison" } else { "" }));
        }
        bench.run();
        assert_eq!(bench.health().stopped.len(), 1);
        let mut bench = bench.restart(fragile(false));
        bench.run();
        bench
    };
    let taken = run(How::default());
    assert_eq!(taken.events::<Noted>().len(), 40);
    for seed in 0..30 {
        assert_eq!(run(How::shuffled(seed)).contents(), taken.contents(), "seed {seed}");
    }
}
