//! Reconciliation: what differs is found, each once, with its command; what only moves is not.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{body::Body, http::Request};
use factum::{
    Archive, ExecuteError,
    memory::Memory,
    prelude::*,
    reconciliation::{
        Compare, ComparisonFailed, ComparisonFinished, Mismatch, MismatchFound, MismatchGone, MismatchRow, Reconciled,
        Reconciliation, ReconciliationEvent, ReconciliationRow,
    },
    schedule::Schedule,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Basket, Fill, fill};

type Values = BTreeMap<String, i64>;

/// The two sources, as the test changes them; each reading takes the next of what was prepared, and then stays.
#[derive(Clone, Default)]
struct Sources(Arc<Mutex<[Vec<Read>; 2]>>);

type Read = Result<Values, String>;

impl Sources {
    fn say(&self, expected: &[Values], found: &[Values]) {
        let say = |values: &[Values]| values.iter().cloned().map(Ok).collect();
        *self.0.lock().unwrap() = [say(expected), say(found)];
    }

    fn fail(&self, reason: &str) {
        self.0.lock().unwrap()[0] = vec![Err(reason.to_owned())];
    }

    fn read(&self, which: usize) -> Read {
        let prepared = &mut self.0.lock().unwrap()[which];
        if prepared.len() > 1 { prepared.remove(0) } else { prepared[0].clone() }
    }

    /// A service that compares them, lets them differ by one, and puts the key of a mismatch into a basket.
    fn service(&self) -> Service {
        let (expected, found) = (self.clone(), self.clone());
        let reconciliation = Reconciliation::new(Schedule::every("sides", 1.hours()))
            .expected("the one side", move |_| {
                let read = expected.read(0);
                async move { read }
            })
            .found("the other side", move |_| {
                let read = found.read(1);
                async move { read }
            })
            .tolerance(|expected, found| (expected - found).abs() <= 1)
            .settle(Duration::ZERO)
            .sends(|mismatch: &Mismatch| fill(&mismatch.key, "difference", 1));
        Service::new("basket").decider::<Basket>().reconcile(reconciliation)
    }
}

fn values(values: &[(&str, i64)]) -> Values {
    values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
}

async fn app(log: &Memory, sources: &Sources) -> App {
    App::over(log.clone()).with(sources.service()).start().await.unwrap()
}

/// Compares, and waits until that has ended.
async fn compare(app: &App) -> ReconciliationRow {
    let began = Instant::now();
    app.execute(Compare { reconciliation: "basket.sides".to_owned() }).await.unwrap();
    loop {
        let row = app.rows::<ReconciliationRow>().after(app.position()).get("basket.sides").await.unwrap();
        match row.filter(|row| row.under_way_since.is_none()) {
            Some(row) => return row,
            None => assert!(began.elapsed() < Duration::from_secs(60), "it does not end"),
        }
        tokio::time::sleep(1.ms()).await;
    }
}

/// What was told, in order.
fn told(app: &App) -> Vec<String> {
    let archive = Archive::of(app.reader());
    archive
        .fold::<ReconciliationEvent, Vec<String>>(Vec::new(), |told, event| {
            told.extend(match &event.data {
                ReconciliationEvent::Begun(_) => None,
                ReconciliationEvent::MismatchFound(MismatchFound { mismatch: it, .. }) => {
                    let side = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
                    Some(format!("{} {} {}", it.key, side(&it.expected), side(&it.found)))
                }
                ReconciliationEvent::MismatchGone(MismatchGone { key, .. }) => Some(format!("{key} gone")),
                ReconciliationEvent::Finished(ComparisonFinished { compared, mismatches, unsettled, .. }) => {
                    Some(format!("{compared}: {mismatches}, {unsettled}"))
                }
                ReconciliationEvent::Failed(ComparisonFailed { reason, .. }) => Some(reason.clone()),
            });
        })
        .unwrap()
}

/// Commands that mismatches have sent, by key.
async fn sent(app: &App) -> BTreeMap<String, usize> {
    app.rest().await.unwrap();
    let archive = Archive::of(app.reader());
    let mut sent = BTreeMap::new();
    let is_fill = |name: &str| name == "basket.fill";
    let each = |stored: &factum::envelope::Stored| -> Result<(), factum::error::StoreError> {
        *sent.entry(stored.decode::<Fill>().unwrap().basket).or_default() += 1;
        Ok(())
    };
    archive.each(Some(&is_fill), each).unwrap();
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_told_once_with_its_command_and_that_it_is_gone_too() {
    let sources = Sources::default();
    sources.say(
        &[values(&[("a", 5), ("b", 5), ("c", 5), ("d", 5)])],
        &[values(&[("a", 5), ("b", 6), ("c", 7), ("e", 1)])],
    );
    let log = Memory::new();
    let first = app(&log, &sources).await;
    assert_eq!(compare(&first).await.mismatches, 3, "one more or less is tolerated");
    assert_eq!(told(&first), ["c 5 7", "d 5 -", "e - 1", "5: 3, 0"]);
    let health = first.health();
    assert!(!health.is_well() && health.is_ready());
    assert!(health.reasons.iter().any(|reason| reason.contains("basket.sides")), "{:?}", health.reasons);
    assert_eq!(sent(&first).await, BTreeMap::from(["c", "d", "e"].map(|key| (key.to_owned(), 1))));
    first.stop().await;

    let app = app(&log, &sources).await;
    compare(&app).await;
    assert_eq!(told(&app)[4..], ["5: 3, 0"], "nothing is told twice, also after a second start");
    sources.say(&[values(&[("c", 5), ("d", 5)])], &[values(&[("c", 5), ("d", 9)])]);
    compare(&app).await;
    assert_eq!(told(&app)[5..], ["c gone", "e gone", "d 5 9", "2: 1, 0"], "other values are told");
    assert_eq!(sent(&app).await["d"], 2);
    let open = app.rows::<MismatchRow>().equal("reconciliation", "basket.sides").page().await.unwrap().rows;
    assert_eq!(open.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["basket.sides/d"]);
    sources.say(&[values(&[("d", 5)])], &[values(&[("d", 5)])]);
    assert_eq!(compare(&app).await.needs_person, None);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_between_two_readings_is_no_mismatch() {
    let sources = Sources::default();
    // The other side follows: at the first reading it is behind, at the second it has caught up with `a`, and is behind with `b`.
    let ahead = [values(&[("a", 9), ("b", 1), ("c", 3)]), values(&[("a", 9), ("b", 9), ("c", 3)])];
    let behind = [values(&[("a", 1), ("b", 1), ("c", 8)]), values(&[("a", 9), ("b", 1), ("c", 9)])];
    sources.say(&ahead, &behind);
    let app = app(&Memory::new(), &sources).await;
    assert_eq!(compare(&app).await.needs_person, None);
    assert_eq!(told(&app), ["3: 0, 1"], "`c` has moved and differs: it is looked at the next time");
    assert_eq!(sent(&app).await, BTreeMap::new());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_mismatches_are_all_found_each_once_and_where_none_is_none_is() {
    let sources = Sources::default();
    let all: Values = (0..20_000).map(|number| (format!("k{number:05}"), number)).collect();
    sources.say(std::slice::from_ref(&all), std::slice::from_ref(&all));
    let app = app(&Memory::new(), &sources).await;
    assert_eq!(compare(&app).await.mismatches, 0);
    assert_eq!(told(&app), ["20000: 0, 0"]);
    let mut wrong = all.clone();
    let mut planted = Vec::new();
    for number in (0..200).map(|number| number * 97 + 13) {
        let key = format!("k{number:05}");
        match number % 3 {
            0 => _ = wrong.remove(&key),
            1 => _ = wrong.insert(key.clone(), number + 2),
            _ => _ = wrong.insert(key.clone(), -7),
        }
        planted.push(key);
    }
    sources.say(&[all], &[wrong]);
    for _ in 0..2 {
        assert_eq!(compare(&app).await.mismatches, 200);
    }
    let found: Vec<String> =
        told(&app).into_iter().filter_map(|told| Some(told.split_once(' ')?.0.to_owned())).collect();
    let found: Vec<String> = found.into_iter().filter(|word| word.starts_with('k')).collect();
    assert_eq!(found, planted);
    let sent = sent(&app).await;
    assert!(sent.values().all(|times| *times == 1) && sent.keys().eq(&planted));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_more_than_a_thousand_all_are_counted_and_none_is_taken_for_gone() {
    let sources = Sources::default();
    let many: Values = (0..1_500).map(|number| (format!("k{number:04}"), 5)).collect();
    sources.say(std::slice::from_ref(&many), &[values(&[])]);
    let app = app(&Memory::new(), &sources).await;
    assert_eq!(compare(&app).await.mismatches, 1_500);
    let rest: Values = many.clone().into_iter().skip(100).collect();
    sources.say(&[rest], &[values(&[])]);
    assert_eq!(compare(&app).await.mismatches, 1_400);
    let told = told(&app);
    assert!(!told.iter().any(|told| told.ends_with("gone")));
    assert_eq!(told.iter().filter(|told| told.starts_with('k')).count(), 1_100);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_read_fails_the_comparison_in_a_sentence_and_one_runs_at_a_time() {
    let sources = Sources::default();
    sources.say(&[values(&[("a", 1)])], &[values(&[("a", 1)])]);
    sources.fail("the bank is shut");
    let app = App::in_memory().on_data_time().with(sources.service()).start().await.unwrap();
    app.advance("2026-01-01T00:00:00Z".parse().unwrap());
    let compare = || app.execute(Compare { reconciliation: "basket.sides".to_owned() });
    compare().await.unwrap();
    let under_way = compare().await.unwrap_err();
    assert!(matches!(&under_way, ExecuteError::Rejected(_)), "{under_way}");
    app.rest_at("2026-01-02T00:00:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(told(&app), ["the one side: the bank is shut"]);
    sources.say(&[values(&[("a", 1)])], &[values(&[("a", 1)])]);
    compare().await.unwrap();
    app.rest().await.unwrap();
    assert_eq!(told(&app)[1..], ["1: 0, 0"]);
    app.stop().await;
}

async fn asked(app: &App, method: &str, path: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let answer = app.router().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_listed_shown_and_run_over_http() {
    let sources = Sources::default();
    sources.say(&[values(&[("a", 5)])], &[values(&[("a", 9)])]);
    let app = app(&Memory::new(), &sources).await;
    let (status, list) = asked(&app, "GET", "/factum/v1/reconciliations").await;
    assert_eq!((status, &list["reconciliations"][0]["name"]), (200, &json!("basket.sides")));
    assert_eq!(list["reconciliations"][0]["runs"], 0);
    let (status, refused) = asked(&app, "POST", "/factum/v1/reconciliations/basket.other/run").await;
    assert_eq!((status, &refused["code"]), (404, &json!("no_reconciliation")));
    assert_eq!(asked(&app, "POST", "/factum/v1/reconciliations/basket.sides/run").await.0, 202);
    let began = Instant::now();
    let shown = loop {
        let (_, shown) = asked(&app, "GET", "/factum/v1/reconciliations/basket.sides").await;
        if !shown["endedAt"].is_null() {
            break shown;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{shown}");
        tokio::time::sleep(1.ms()).await;
    };
    assert_eq!((&shown["mismatches"], &shown["compared"], &shown["openInAll"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(shown["open"][0]["mismatch"], json!({ "key": "a", "expected": 5, "found": 9 }));
    app.stop().await;
}
