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
    schedule::{RunSchedule, Schedule},
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

async fn compare(app: &App) -> ReconciliationRow {
    compared(app, "basket.sides").await
}

/// Compares, and waits until that has ended.
async fn compared(app: &App, name: &str) -> ReconciliationRow {
    let began = Instant::now();
    app.execute(Compare { reconciliation: name.to_owned() }).await.unwrap();
    loop {
        let row = app.rows::<ReconciliationRow>().after(app.position()).get(name).await.unwrap();
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
async fn of_thousands_a_thousand_are_open_at_once_and_all_that_are_mended_are_gone_also_while_something_moves() {
    let sources = Sources::default();
    let app = app(&Memory::new(), &sources).await;
    let mut before = 0;
    // How many are told, and how many that they are gone, while each night mends what was open.
    for (night, (found, gone)) in [(1_000, 0), (1_000, 1_000), (500, 1_000), (0, 500)].into_iter().enumerate() {
        let rest: Values = (night * 1_000..2_500).map(|number| (format!("k{number:04}"), 5)).collect();
        let with = |moving: i64| rest.clone().into_iter().chain([("moves".to_owned(), moving)]).collect();
        sources.say(&[with(5), with(9)], &[values(&[])]);
        let row = compare(&app).await;
        assert_eq!((row.mismatches, row.unsettled), (rest.len() as u64, 1), "night {night}");
        let told = told(&app);
        let is_gone = |told: &&String| told.ends_with(" gone");
        let now = told[before..].iter().filter(|told| told.starts_with('k'));
        assert_eq!((now.clone().filter(|it| !is_gone(it)).count(), now.filter(is_gone).count()), (found, gone));
        before = told.len();
    }
    assert_eq!(app.rows::<MismatchRow>().page().await.unwrap().total, 0);
    // What is not mended stays open, and stands in the way of what is found later.
    let all: Values = (0..1_500).map(|number| (format!("k{number:04}"), 5)).collect();
    sources.say(std::slice::from_ref(&all), &[values(&[])]);
    for _ in 0..2 {
        assert_eq!(compare(&app).await.mismatches, 1_500);
    }
    assert_eq!(app.rows::<MismatchRow>().page().await.unwrap().total, 1_000);
    app.stop().await;
}

/// What the comparison found, in bytes of JSON.
fn bytes_found(app: &App, run: u64) -> usize {
    let fold = |(at, bytes): &mut (u64, usize), event: &Recorded<'_, ReconciliationEvent>| match &event.data {
        ReconciliationEvent::Begun(begun) => *at = begun.run,
        ReconciliationEvent::MismatchFound(found) if *at == run => {
            *bytes += serde_json::to_vec(&found.mismatch).unwrap().len();
        }
        _ => {}
    };
    Archive::of(app.reader()).fold::<ReconciliationEvent, (u64, usize)>((0, 0), fold).unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn long_keys_and_values_fit_and_each_long_key_is_its_own() {
    const BOUND: usize = 512 << 10;
    let agree = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let says = agree.clone();
    // They begin alike, and are of one length.
    let key = |number: usize| format!("{}{number:05}", "k".repeat(900));
    let source = move |value: &str| -> BTreeMap<String, String> {
        (0..1_500).map(|number| (key(number), value.repeat(5_000))).collect()
    };
    let reconciliation = Reconciliation::new(Schedule::every("long", 1.hours()))
        .expected("quotes", move |_| async move { Ok(source("\"")) })
        .found("letters", move |_| {
            let agrees = says.load(std::sync::atomic::Ordering::Acquire);
            async move { Ok(source(if agrees { "\"" } else { "ö" })) }
        })
        .settle(Duration::ZERO);
    let service = Service::new("basket").decider::<Basket>().reconcile(reconciliation);
    let app = App::in_memory().with(service).start().await.unwrap();
    let mut open = 0;
    for run in 1..=2 {
        assert_eq!(compared(&app, "basket.long").await.mismatches, 1_500);
        let bytes = bytes_found(&app, run);
        assert!((BOUND - 16_384..=BOUND).contains(&bytes), "{bytes}");
        let rows = app.rows::<MismatchRow>().slice(0, 10_000).page().await.unwrap();
        assert!(rows.total > open && rows.total < 1_000, "each comparison finds more: {}", rows.total);
        open = rows.total;
        let told = &rows.rows[0].mismatch;
        assert!(told.key.starts_with(&"k".repeat(512)) && told.key.contains("… (905 bytes)"), "{}", told.key);
    }
    agree.store(true, std::sync::atomic::Ordering::Release);
    assert_eq!(compared(&app, "basket.long").await.needs_person, None);
    assert_eq!(app.rows::<MismatchRow>().page().await.unwrap().total, 0);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_ends_a_comparison_that_does_not_end() {
    let (gate, asked) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (waits, tells) = (gate.clone(), asked.clone());
    let reconciliation = Reconciliation::new(Schedule::every("slow", 1.hours()))
        .expected("a side that does not answer", move |_| {
            let (waits, tells) = (waits.clone(), tells.clone());
            async move {
                tells.notify_one();
                waits.acquire().await.map_err(|error| error.to_string())?.forget();
                Ok(values(&[]))
            }
        })
        .found("the other side", |_| async { Ok(values(&[])) })
        .settle(Duration::ZERO);
    let service = Service::new("basket").decider::<Basket>().reconcile(reconciliation);
    let app = App::in_memory().with(service).start().await.unwrap();
    let path = "/factum/v1/reconciliations/basket.slow/end";
    let end = json!({ "by": "mara", "why": "the bank is gone" });
    assert_eq!(told_to(&app, path, &end).await.0, 404, "it has never run");
    let run = RunSchedule { schedule: "basket.slow".to_owned(), by: "mara".to_owned(), why: String::new() };
    app.execute(run).await.unwrap();
    asked.notified().await;
    let (status, answer) = told_to(&app, path, &end).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = told_to(&app, path, &end).await;
    assert_eq!((status, &answer["code"]), (409, &json!("no_comparison_under_way")));
    assert_eq!(told(&app), ["ended by mara: the bank is gone"]);
    // Its schedule does not wait for it any more, and another one may be made.
    let began = Instant::now();
    loop {
        let (_, shown) = asked_of(&app, "GET", "/factum/v1/schedules/basket.slow").await;
        if shown["underWay"] == json!([]) && shown["counts"]["byHand"] == 1 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{shown}");
        tokio::time::sleep(1.ms()).await;
    }
    gate.add_permits(100);
    assert_eq!(compared(&app, "basket.slow").await.needs_person, None);
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

async fn asked_of(app: &App, method: &str, path: &str) -> (u16, Value) {
    answered(app, Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
}

async fn told_to(app: &App, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder().method("POST").uri(path).header("content-type", "application/json");
    answered(app, request.body(Body::from(body.to_string())).unwrap()).await
}

async fn answered(app: &App, request: Request<Body>) -> (u16, Value) {
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
    let (status, list) = asked_of(&app, "GET", "/factum/v1/reconciliations").await;
    assert_eq!((status, &list["reconciliations"][0]["name"]), (200, &json!("basket.sides")));
    assert_eq!(list["reconciliations"][0]["runs"], 0);
    let (status, refused) = asked_of(&app, "POST", "/factum/v1/reconciliations/basket.other/run").await;
    assert_eq!((status, &refused["code"]), (404, &json!("no_reconciliation")));
    assert_eq!(asked_of(&app, "POST", "/factum/v1/reconciliations/basket.sides/run").await.0, 202);
    let began = Instant::now();
    let shown = loop {
        let (_, shown) = asked_of(&app, "GET", "/factum/v1/reconciliations/basket.sides").await;
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
