//! Shuffled mode: order is kept per consumer, key and source, which is all that is promised, and it is enough.

use std::collections::BTreeMap;

use factum_core::{envelope::Recorded, reaction::Effects, service::Service};

use factum_runtime::acts::What;

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
fn a_key_that_is_held_in_a_shuffled_batch_is_handled_exactly_once() {
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
        let mut bench = bench.restart(fragile(false));
        bench.run();
        assert_eq!(bench.events::<Noted>().len(), 33, "one key waits");
        bench.act(What::Redrive(bench.letter())).unwrap();
        bench
    };
    let taken = run(How::default());
    assert_eq!(taken.events::<Noted>().len(), 40);
    for seed in 0..30 {
        let shuffled = run(How::shuffled(seed));
        assert_eq!(shuffled.stream("book-b").len(), 10);
        assert_eq!(without_acts(&shuffled), without_acts(&taken), "seed {seed}");
    }
}

/// What stands in the streams, but for what people did about letters.
fn without_acts(bench: &Bench) -> std::collections::BTreeMap<String, Vec<String>> {
    let mut contents = bench.contents();
    contents.retain(|stream, _| !stream.starts_with("letter-"));
    contents
}
