//! Pipelines in the engine: their results in the log, after restarts, from snapshots, and when something fails.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use factum_core::{
    envelope::{Draft, Stored},
    error::HandlerError,
    id::Name,
    payload::TypeInfo,
    pipeline::{EventLate, Pipeline, Window, Windows},
    service::{Durations, Service},
};
use factum_macros::Event;
use factum_runtime::{
    acts::What,
    registry::{Registry, RegistryError},
};
use serde::{Deserialize, Serialize};

use super::{bank::*, bench::*, snapshots::often};

#[derive(Event, Clone, Debug, PartialEq)]
#[event("minute.summed")]
struct Summed {
    id: String,
    from: Option<jiff::Timestamp>,
    cents: i64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Cents(i64);

/// Sums by account; a payment of `fails` cannot be mapped.
fn sums(windows: Option<Windows>, fails: Arc<AtomicI64>) -> Vec<Service> {
    let keyed = Pipeline::over::<Paid>("sums", 1)
        .map(move |paid| {
            assert!(paid.cents != fails.load(Ordering::Relaxed), "as asked");
            (paid.id.clone(), paid.cents)
        })
        .by(|(id, _)| id.clone());
    let keyed = match windows {
        Some(windows) => keyed.windows(windows),
        None => keyed,
    };
    let pipeline = keyed.aggregate(|sum: &mut Cents, (_, cents)| sum.0 += cents).emits(
        "minute",
        |id, window: Option<Window>, sum: &Cents| Summed {
            id: id.to_owned(),
            from: window.map(|window| window.from),
            cents: sum.0,
        },
    );
    vec![accounts(), Service::new("sums").pipeline(pipeline)]
}

fn plain(windows: Option<Windows>) -> Vec<Service> {
    sums(windows, Arc::default())
}

fn minutes() -> Windows {
    Windows::tumbling(1.minutes()).late_by(1.minutes()).final_only()
}

/// So many seconds behind the beginning, someone is paid.
fn paid(bench: &mut Bench, number: u64, id: &str, cents: i64) {
    let mut request = request(&format!("p{number}"), pay(id, cents));
    request.at = Some(NOW + jiff::SignedDuration::from_secs(number as i64));
    bench.ask_all(vec![request]).unwrap();
}

fn told(bench: &Bench) -> Vec<(String, i64)> {
    bench.events::<Summed>().into_iter().map(|summed| (summed.id, summed.cents)).collect()
}

#[test]
fn results_are_the_same_after_restarts_and_from_snapshots() {
    let run = |restarts: bool, how: fn() -> How| {
        let mut bench = Bench::with(plain(Some(minutes())), how());
        for number in 0..120 {
            paid(&mut bench, number * 7 % 600, ["a", "b"][number as usize % 2], 1);
            if restarts && number % 10 == 9 {
                bench = bench.stop_and_start(plain(Some(minutes())));
            }
        }
        let late: Vec<EventLate> = bench.events();
        (told(&bench), late.into_iter().map(|late| (late.key, late.from, late.at)).collect::<Vec<_>>())
    };
    let straight = run(false, How::default);
    assert!(straight.0.len() > 8 && !straight.1.is_empty(), "{straight:?}");
    assert_eq!(run(true, How::default), straight);
    assert_eq!(run(true, often), straight);
}

#[test]
fn a_late_event_stands_beside_the_results_and_is_counted() {
    let mut bench = Bench::new(plain(Some(minutes())));
    for (second, id) in [(0, "a"), (200, "b"), (1, "a")] {
        paid(&mut bench, second, id, 5);
    }
    let stream = bench.stream("minute-a");
    let types: Vec<&str> = stream.iter().map(Stored::type_name).collect();
    assert_eq!(types, ["minute.summed", "pipeline.event_late"]);
    let late: EventLate = stream[1].decode().unwrap();
    assert_eq!((late.pipeline.as_str(), late.event_type.as_str()), ("sums", "account.paid"));
    assert_eq!(Some(&late.at), Some(&(NOW + jiff::SignedDuration::from_secs(1))));
    // The window of 03:04 ends at 03:05; the watermark stands at 03:07:25 less the minute.
    assert_eq!(late.late_by_ms, 85_001);
    let figures = &bench.health().pipelines["sums.sums"];
    assert_eq!((figures.taken, figures.late, figures.open_windows, figures.aggregates), (2, 1, 1, 1));
}

#[test]
fn an_event_that_cannot_be_mapped_is_a_letter_that_holds_nobody_up_and_comes_in_when_it_can() {
    let fails = Arc::new(AtomicI64::new(7));
    let mut bench = Bench::new(sums(None, fails.clone()));
    for (number, cents) in [(0, 1), (1, 7), (2, 2)] {
        paid(&mut bench, number, "a", cents);
    }
    let a = |cents| ("a".to_owned(), cents);
    assert_eq!(told(&bench), [a(1), a(3)]);
    assert_eq!((bench.letters().len(), bench.held().len()), (1, 0));
    fails.store(0, Ordering::Relaxed);
    bench.act(What::Redrive(bench.letter())).unwrap();
    bench.run();
    assert_eq!(told(&bench)[2..], [a(10)], "today's value, with it");
    paid(&mut bench, 3, "a", 1);
    assert_eq!(told(&bench)[3..], [a(11)]);
}

#[test]
fn added_to_a_log_it_makes_its_aggregates_from_all_and_tells_from_where_it_is_asked_to() {
    for (from_start, wanted) in [(false, vec![6]), (true, vec![1, 3, 6])] {
        let mut bench = Bench::new(vec![accounts()]);
        paid(&mut bench, 0, "a", 1);
        paid(&mut bench, 1, "a", 2);
        bench.engine.save_cursor().unwrap();
        let pipeline = Pipeline::over::<Paid>("sums", 1)
            .map(|paid| (paid.id.clone(), paid.cents))
            .by(|(id, _)| id.clone())
            .aggregate(|sum: &mut Cents, (_, cents)| sum.0 += cents)
            .emits("minute", |id, _, sum: &Cents| Summed { id: id.to_owned(), from: None, cents: sum.0 });
        let pipeline = if from_start { pipeline.from_start() } else { pipeline };
        let mut bench = bench.restart(vec![accounts(), Service::new("sums").pipeline(pipeline)]);
        paid(&mut bench, 2, "a", 3);
        assert_eq!(told(&bench).into_iter().map(|(_, cents)| cents).collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn two_services_may_have_pipelines_but_not_one_category() {
    let counting = |service: &'static str, category: &'static str, type_name: &'static str| {
        let pipeline = Pipeline::over::<Paid>("count", 1)
            .map(|paid| paid.id.clone())
            .by(String::clone)
            .windows(minutes())
            .aggregate(|count: &mut i64, _| *count += 1)
            .emits_draft(category, TypeInfo::new(type_name, "1.0.0", || true.into()), |_, _, _| {
                Err(HandlerError::failed("nobody asks"))
            });
        Service::new(service).pipeline(pipeline)
    };
    let one = || counting("one", "ones", "one.counted");
    assert!(Registry::new(vec![accounts(), one(), counting("two", "twos", "two.counted")]).is_ok());
    let Err(RegistryError::TwoOwners { .. }) = Registry::new(vec![one(), counting("two", "ones", "two.counted")])
    else {
        panic!("both would own it")
    };
}

#[test]
fn windows_that_cannot_be_refuse_the_start() {
    let error = Registry::new(plain(Some(Windows::tumbling(0.secs())))).err().unwrap().to_string();
    assert!(error.contains("`sums`") && error.contains("more than no time"), "{error}");
}

/// Counts payments, under this name.
fn counted(info: TypeInfo, windows: Option<Windows>) -> Vec<Service> {
    let keyed = Pipeline::over::<Paid>("count", 1).map(|paid| paid.id.clone()).by(String::clone);
    let keyed = match windows {
        Some(windows) => keyed.windows(windows),
        None => keyed,
    };
    let pipeline = keyed.aggregate(|count: &mut i64, _| *count += 1).emits_draft("counts", info, move |_, _, count| {
        Ok(Draft::named(Name::Static(info.name), &serde_json::json!({ "count": count }))?)
    });
    vec![accounts(), Service::new("counting").pipeline(pipeline)]
}

#[test]
fn results_may_get_another_name_that_says_what_they_were_called_and_windows_may_go() {
    let named = |name: &'static str| TypeInfo::new(name, "1.0.0", || true.into());
    let mut bench = Bench::new(counted(named("count.told"), Some(Windows::tumbling(1.minutes()))));
    for second in [0, 200, 1] {
        paid(&mut bench, second, "a", 1);
    }
    assert_eq!(bench.events::<EventLate>().len(), 1);
    let error = Registry::new(counted(named("count.renamed"), None)).unwrap().meets(&bench.store, false);
    let error = error.err().unwrap().to_string();
    assert!(error.contains("`was: count.told`") && !error.contains("event_late"), "{error}");
    let mut bench = bench.stop_and_start(counted(TypeInfo { was: &["count.told"], ..named("count.renamed") }, None));
    paid(&mut bench, 201, "a", 1);
    let stream = bench.stream("counts-a");
    let types: Vec<&str> = stream.iter().map(Stored::type_name).collect();
    assert_eq!(types, ["count.told", "count.told", EventLate::TYPE, "count.renamed"]);
}
