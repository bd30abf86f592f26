//! Events of other systems: what is taken, once, into which stream, and what is not.

use std::collections::BTreeMap;

use factum_core::{
    cell::CellKind,
    envelope::{Defaults, Kind, NoId, Recorded, Spellings, read},
    id::Name,
    reaction::{Effects, Folding},
    service::Service,
    stream::Position,
};
use factum_macros::Event;
use factum_runtime::{
    import::{Door, Import, NotTaken},
    inbox::{ExecuteError, Input, Receipt},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::bank::*;
use super::bench::*;

/// What another bank tells.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("transfer.sent", version = "1.1.0")]
struct Sent {
    id: String,
    cents: i64,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Sums(BTreeMap<String, i64>);

fn sum(sums: &mut Sums, event: &Recorded<'_, Sent>) {
    *sums.0.entry(event.id.clone()).or_default() += event.cents;
}

/// A transfer that makes it ten or more is noted.
fn told(sums: &Sums, event: &Recorded<'_, Sent>, fx: &mut Effects) {
    if sums.0[&event.id] >= 10 {
        fx.send(Note { id: event.id.clone(), cents: event.cents });
    }
}

fn services() -> Vec<Service> {
    let transfers = Folding::<Sums>::new("sums", 1).fold(sum).react(told).snapshots();
    vec![accounts(), books(), Service::new("transfers").folding(transfers)]
}

fn admit(bench: &Bench, json: &str) -> Result<Import, NotTaken> {
    let spellings = Spellings::new();
    let defaults = Defaults {
        spellings: &spellings,
        kind: Kind::Event,
        source: Name::Static("other-bank"),
        timestamp: NOW,
        id: NoId::Refused,
        type_name: None,
        correlation_id: None,
    };
    let incoming = read(json.as_bytes(), &defaults).unwrap();
    Door::of(&bench.registry, 64).admit(&bench.registry, incoming)
}

fn sent(id: &str, key: &str, cents: i64) -> String {
    let data = serde_json::json!({ "id": key, "cents": cents });
    format!(r#"{{"id": "{id}", "type": "transfer.sent", "aggregateId": "{key}", "data": {data}}}"#)
}

type Answer = oneshot::Receiver<Result<Vec<Receipt>, ExecuteError>>;

fn post(bench: &Bench, events: &[String]) -> Answer {
    let imports = events.iter().map(|json| admit(bench, json).unwrap()).collect();
    let (reply, answer) = oneshot::channel();
    bench.inbox.try_send(Input::Import(imports, reply)).unwrap();
    answer
}

fn take(bench: &mut Bench, events: &[String]) -> Vec<(String, u64, u64, bool)> {
    let mut answer = post(bench, events);
    bench.run();
    let receipts = answer.try_recv().unwrap().unwrap();
    let told = |it: Receipt| (it.stream.to_string(), it.version.0, it.position.0, it.repeated);
    receipts.into_iter().map(told).collect()
}

#[test]
fn an_event_of_others_is_kept_as_they_made_it_and_read_like_any_other() {
    let mut bench = Bench::new(services());
    let event = r#"{"id": "t-1", "type": "transfer.sent", "dataVersion": "1.0.0", "source": "other-bank",
        "timestamp": "2010-12-01T08:26:00Z", "correlationId": "c-1", "causationId": "cmd-9", "userId": "mara",
        "tenant": "acme", "metadata": {"a": 1}, "subject": "wire-7", "data": {"id": "a", "cents": 12}}"#;
    assert_eq!(take(&mut bench, &[event.to_owned()]), [("wire-7".to_owned(), 1, 1, false)]);
    let stored = &bench.stream("wire-7")[0];
    let json = serde_json::to_value(stored).unwrap();
    for (field, value) in [
        ("id", "t-1"),
        ("source", "other-bank"),
        ("timestamp", "2010-12-01T08:26:00Z"),
        ("correlationId", "c-1"),
        ("causationId", "cmd-9"),
        ("userId", "mara"),
        ("tenant", "acme"),
        ("partitionKey", "7"),
        ("dataVersion", "1.0.0"),
    ] {
        assert_eq!(json[field], value, "{field}");
    }
    assert_eq!(json["metadata"]["a"], 1);
    // What follows from it belongs to the same transaction, for the same tenant.
    assert_eq!(bench.events::<Noted>(), [Noted { id: "a".to_owned(), cents: 12, sum: 12 }]);
    let noted = bench.stream("book-a")[0].message.envelope.clone();
    assert_eq!((noted.correlation_id.to_string().as_str(), noted.tenant.as_deref()), ("c-1", Some("acme")));
    assert!(bench.health().uncorrelated.is_empty());
    // A start reads it again as it was.
    let mut bench = bench.restart(services());
    assert_eq!(take(&mut bench, &[sent("t-2", "a", 3)]), [("transfer-a".to_owned(), 1, 4, false)]);
    assert_eq!(bench.events::<Noted>().last().unwrap().sum, 15, "the state was rebuilt with what was imported");
    assert_eq!(bench.health().uncorrelated, BTreeMap::from([("other-bank".to_owned(), 1)]));
}

#[test]
fn an_event_that_comes_again_gets_its_first_place_also_after_a_start() {
    let mut bench = Bench::new(services());
    let both = [sent("t-1", "a", 1), sent("t-2", "a", 2)];
    let first = take(&mut bench, &both);
    assert_eq!(first, [("transfer-a".to_owned(), 1, 1, false), ("transfer-a".to_owned(), 2, 2, false)]);
    let again = |first: &[(String, u64, u64, bool)]| {
        let again = first.iter().map(|(stream, version, position, _)| (stream.clone(), *version, *position, true));
        again.collect::<Vec<_>>()
    };
    assert_eq!(take(&mut bench, &both), again(&first));
    // Twice in one batch, and twice in one request, before either is durable.
    let mut answers = [post(&bench, &[sent("t-3", "a", 3)]), post(&bench, &[sent("t-3", "a", 3), sent("t-3", "a", 3)])];
    bench.run();
    let places: Vec<u64> =
        answers.iter_mut().flat_map(|answer| answer.try_recv().unwrap().unwrap()).map(|it| it.position.0).collect();
    assert_eq!(places, [3, 3, 3]);
    // Another source may use the same id.
    let other = sent("t-1", "a", 1).replace(r#""id": "t-1""#, r#""id": "t-1", "source": "third-bank""#);
    assert_eq!(take(&mut bench, &[other])[0].2, 4);
    let mut bench = bench.restart(services());
    assert_eq!(take(&mut bench, &both), again(&first));
    assert_eq!(bench.stream("transfer-a").len(), 4);
    bench.check_versions();
}

/// The window is the last 1,024 of a stream, also where the stream is read from a snapshot.
#[test]
fn the_last_1024_of_a_stream_are_remembered() {
    let how = How::limits(|limits| limits.snapshot_messages = 100);
    let mut bench = Bench::with(services(), how);
    for round in 0..11 {
        let events: Vec<String> = (0..100).map(|number| sent(&format!("t-{round}-{number}"), "a", 0)).collect();
        take(&mut bench, &events);
    }
    for start in 0..2 {
        assert!(take(&mut bench, &[sent("t-10-99", "a", 0)])[0].3, "start {start}");
        assert!(take(&mut bench, &[sent("t-1-0", "a", 0)])[0].3, "start {start}: the 1,000th from the end");
        bench = bench.stop_and_start(services());
    }
    assert!(!take(&mut bench, &[sent("t-0-0", "a", 0)])[0].3, "it is forgotten, and taken again");
}

#[test]
fn what_a_service_of_this_program_makes_itself_is_refused_with_a_sentence() {
    let bench = Bench::new(services());
    let refused = |json: &str| admit(&bench, json).unwrap_err().to_string();
    let event = |more: &str| format!(r#"{{"id": "1", "data": {{"id": "a", "cents": 1}}, {more}}}"#);
    for (json, problem) in [
        (event(r#""type": "account.paid""#), "`account.paid` is of the service accounts of this program"),
        (event(r#""type": "account.invented""#), "send accounts the command that leads to it instead"),
        (event(r#""type": "x.y", "subject": "account-7""#), "streams of `account` are of the service accounts"),
        (event(r#""type": "x.y", "subject": "transfers.sums-7""#), "streams of `transfers.sums` are of the service"),
        (event(r#""type": "letter.redriven", "subject": "x-1""#), "of the service factum"),
        (event(r#""type": "x.y", "subject": "letter-7""#), "streams of `letter` are of the service factum"),
        (event(r#""type": "x.y", "source": "accounts""#), "its source `accounts` is a service of this program"),
        (event(r#""type": "x.y", "source": "factum""#), "its source `factum` is a service of this program"),
        (event(r#""type": "x.y", "kind": "command""#), "it is a command, and only events are taken"),
        (event(r#""type": "x.y", "kind": "receipt""#), "it is a receipt"),
        (event(r#""type": "x.y", "depth": 65"#), "looks like a loop"),
        (event(r#""type": "transfer.sent", "dataVersion": "2.0.0""#), "2.0.0 is of another major version than 1.1.0"),
        (event(r#""type": "transfer.sent""#).replace("1}", "true}"), "`data.cents` must be a whole number"),
        (event(r#""type": "transfer.sent""#).replace(r#""id": "a", "#, ""), "`data.id` is missing: send it"),
    ] {
        let told = refused(&json);
        assert!(told.contains(problem), "{json}: {told}");
    }
    // Newer minors are read as they are, and types that nobody reads are kept for those who will.
    assert!(admit(&bench, &event(r#""type": "transfer.sent", "dataVersion": "1.7.0""#)).is_ok());
    let unknown = admit(&bench, &event(r#""type": "weather.changed""#)).unwrap();
    assert_eq!(unknown.stream().as_str(), "weather-1");
}

/// Also if the names of the services change: the store itself refuses a foreign writer, and the engine goes on.
#[test]
fn an_import_that_another_program_admitted_is_refused_by_the_commits_own_check() {
    let elsewhere = Bench::new(vec![]);
    let import = admit(&elsewhere, r#"{"id": "1", "type": "account.paid", "data": {}}"#).unwrap();
    let mut bench = Bench::new(services());
    let (reply, mut answer) = oneshot::channel();
    bench.inbox.try_send(Input::Import(vec![import], reply)).unwrap();
    bench.run();
    let error = answer.try_recv().unwrap().unwrap_err().to_string();
    assert!(error.contains("belongs to accounts"), "{error}");
    assert_eq!((bench.log().len(), bench.engine.refusals()), (0, 0));
    bench.ask("p1", pay("a", 1)).unwrap();
}

#[test]
fn an_import_is_whole_whatever_the_store_does() {
    let mut bench = Bench::new(services());
    bench.faults.at(1, Fault::Transient);
    let mut answer = post(&bench, &[sent("t-1", "a", 1), sent("t-2", "b", 2)]);
    assert!(bench.engine.step().is_err());
    assert!(matches!(answer.try_recv().unwrap(), Err(ExecuteError::Commit(_))));
    assert_eq!((bench.log().len(), bench.cells(CellKind::Letter)), (0, 0));
    let places = take(&mut bench, &[sent("t-1", "a", 1), sent("t-2", "b", 2)]);
    assert_eq!(places.iter().map(|place| place.2).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(bench.log().last().unwrap().position, Position(2));
}

/// Deliveries in any order that the contract allows: each event once, states the same.
#[test]
fn imports_among_commands_in_any_order_come_to_the_same_end() {
    let mut ends = BTreeMap::new();
    for seed in 0..20 {
        let mut bench = Bench::with(services(), How::shuffled(seed));
        let mut answers = Vec::new();
        for number in 0..30 {
            let key = ["a", "b", "c"][number % 3];
            answers.push(post(
                &bench,
                &[sent(&format!("t-{number}"), key, 1), sent(&format!("t-{}", number / 2), "z", 1)],
            ));
            bench.send(&format!("p-{number}"), pay(key, 1));
        }
        bench.run();
        assert!(answers.iter_mut().all(|answer| answer.try_recv().unwrap().is_ok()));
        bench.check_versions();
        let contents = bench.contents();
        assert_eq!((contents["transfer-a"].len(), contents["transfer-z"].len()), (10, 15), "seed {seed}");
        ends.entry(bench.events::<Noted>().len()).or_insert(seed);
    }
    assert_eq!(ends.len(), 1, "{ends:?}");
}
