//! Foldings that fail: to react, to fold, or to read what they fold.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use factum_core::{
    envelope::Recorded,
    letter::Standing,
    reaction::{Effects, Folding},
    service::Service,
};
use factum_runtime::acts::{ActError, What};

use super::bank::*;
use super::bench::*;

/// Counts payments, and tells the count; fails to react to, or to fold, what it is told.
fn counting(react_fails: i64, fold_fails: i64) -> Vec<Service> {
    let folding = Folding::<i64>::new("count", 1)
        .fold(move |count: &mut i64, event: &Recorded<'_, Paid>| {
            *count += 1;
            assert!(event.cents != fold_fails, "the fold, as asked");
        })
        .react(move |count: &i64, event: &Recorded<'_, Paid>, fx: &mut Effects| {
            assert!(event.cents != react_fails, "the reaction, as asked");
            fx.emit("tally", &event.id, Told { id: event.id.clone(), cents: event.cents, sum: *count });
        })
        .emits::<Told>("tally");
    vec![accounts(), Service::new("tallies").owns("tally").folding(folding)]
}

fn tallies(bench: &Bench) -> Vec<(i64, i64)> {
    bench.events::<Told>().iter().map(|noted| (noted.cents, noted.sum)).collect()
}

#[test]
fn a_folding_that_fails_to_react_keeps_its_state_and_goes_on_folding() {
    let mut bench = Bench::new(counting(2, 0));
    for (id, key, cents) in [("p1", "a", 1), ("p2", "a", 2), ("p3", "a", 3), ("p4", "b", 4)] {
        bench.ask(id, pay(key, cents)).unwrap();
    }
    assert_eq!(tallies(&bench), [(1, 1), (4, 4)], "`b` knows of what waits of `a`");
    let mut bench = bench.restart(counting(0, 0));
    bench.run();
    bench.act(What::Redrive(bench.letter())).unwrap();
    assert_eq!(tallies(&bench)[2..], [(2, 4), (3, 4)], "on today's state");
}

#[test]
fn a_fold_that_fails_stops_its_consumer_alone_and_tries_again_without_a_restart() {
    let fails = Arc::new(AtomicI64::new(2));
    let told = fails.clone();
    let folding = Folding::<i64>::new("count", 1)
        .fold(move |count: &mut i64, event: &Recorded<'_, Paid>| {
            *count += 1;
            assert!(event.cents != told.load(Ordering::Relaxed), "the fold, as asked");
        })
        .react(|count: &i64, event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.emit("tally", &event.id, Told { id: event.id.clone(), cents: event.cents, sum: *count });
        })
        .emits::<Told>("tally");
    let mut bench = Bench::new(vec![accounts(), books(), Service::new("tallies").owns("tally").folding(folding)]);
    for number in 1..=4 {
        bench.ask(&format!("p{number}"), pay("a", number)).unwrap();
    }
    let tally = |bench: &Bench| -> Vec<(i64, i64)> {
        let stream = bench.stream("tally-a").into_iter();
        stream.map(|it| figures(&it)).map(|noted| (noted.cents, noted.sum)).collect()
    };
    assert_eq!((tally(&bench), bench.letters().len()), (vec![(1, 1)], 0));
    assert_eq!(bench.health().stopped[0].consumer, "tallies.count");
    assert_eq!(bench.stream("book-a").len(), 4, "others go on");
    bench.act(What::TryAgain("tallies.count".to_owned())).unwrap();
    assert_eq!(bench.health().stopped.len(), 1, "it has failed again");
    fails.store(0, Ordering::Relaxed);
    bench.act(What::TryAgain("tallies.count".to_owned())).unwrap();
    assert_eq!(tally(&bench), [(1, 1), (2, 2), (3, 3), (4, 4)]);
    assert!(bench.health().stopped.is_empty());
    let Err(ActError::NotNow(problem)) = bench.act(What::TryAgain("tallies.count".to_owned())) else {
        panic!("it has not stopped")
    };
    assert!(problem.contains("has not stopped"));
}

#[test]
fn an_event_that_cannot_be_decoded_never_reaches_the_fold_and_comes_in_when_it_can() {
    let odd = |bad: bool| {
        let mut services = counting(0, 0);
        if bad {
            let spoil = |mut data: serde_json::Value| {
                if data["cents"] == 2 {
                    data["cents"] = "two".into();
                }
                data
            };
            services.push(Service::new("odd").upcast("account.paid", "1.0.0", "1.1.0", spoil));
        }
        services
    };
    let mut bench = Bench::new(vec![old_accounts()]);
    for number in 1..=3 {
        bench.ask(&format!("p{number}"), pay("a", number)).unwrap();
    }
    // The folding is new: it folds from the beginning, and one of the old events is unreadable.
    let mut bench = bench.restart(odd(true));
    bench.run();
    bench.ask("p4", pay("b", 4)).unwrap();
    let letter = bench.letters().remove(0);
    assert!(letter.unfolded && bench.held().is_empty(), "it is old news: nothing waits behind it");
    let last = *tallies(&bench).last().unwrap();
    assert_eq!(last, (4, 3), "one of four is not in the state");
    // It is left out again after a restart, without another letter.
    let mut bench = bench.restart(odd(true));
    bench.run();
    assert_eq!(bench.letters().len(), 1);
    // And when it can be read, the state is made anew with it.
    let mut bench = bench.restart(odd(false));
    bench.run();
    bench.act(What::Redrive(bench.letter())).unwrap();
    bench.ask("p5", pay("b", 5)).unwrap();
    assert_eq!(*tallies(&bench).last().unwrap(), (5, 5));
    assert!(bench.letters().is_empty());
}

#[test]
fn an_unreadable_event_that_is_discarded_stays_left_out_and_is_no_letter() {
    let odd = || {
        let spoil = |_| serde_json::json!({});
        let mut services = counting(0, 0);
        services.push(Service::new("odd").upcast("account.paid", "1.0.0", "1.1.0", spoil));
        services
    };
    let mut bench = Bench::new(vec![old_accounts()]);
    bench.ask("p1", pay("a", 1)).unwrap();
    let mut bench = bench.restart_as(odd(), How { hold_unknown: true, ..How::default() });
    bench.run();
    bench.act(What::Discard(bench.letter())).unwrap();
    assert_eq!((bench.letters()[0].standing, bench.health().letters), (Standing::LeftOut, 0));
    let mut bench = bench.restart_as(odd(), How { hold_unknown: true, ..How::default() });
    bench.run();
    assert_eq!((bench.letters().len(), bench.health().letters), (1, 0));
    assert!(matches!(bench.act(What::Redrive(bench.letter())), Err(ActError::NoLetter(_))));
}
