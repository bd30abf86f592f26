//! Figures of the adapters, one JSON line each: `cargo run --release --example figures [directory]`. Nothing is asserted.
//!
//! The directory decides what disk is measured; a temporary one is made in it (or in the system's place for such).

use std::{
    error::Error, fs, io::Write, os::unix::fs::FileExt, path::Path, process::ExitCode, sync::Arc, time::Instant,
};

use factum_adapters::{
    embedded::{self, Durability, Options},
    sqlite,
};
use factum_core::{
    Timestamp,
    commit::{Append, Commit, Owners, Plan, Wanted, check},
    envelope::{Envelope, Kind, Message, binary},
    id::{MessageId, Name},
    ports::{Backend, Query, Reader, RowChange, RowReader, RowStore, Scan, TableBatch, TableSpec},
    row::IndexValue,
    stream::{Cursor, ExpectedVersion, Lineage, Position, StreamId},
};
use serde_json::json;

type Filter<'a> = Option<&'a dyn Fn(&str) -> bool>;
type Asked<'a> = &'a dyn Fn(usize) -> Query;
type Outcome = Result<(), Box<dyn Error>>;

const BATCH: usize = 1_024;
const TYPES: [&str; 8] = [
    "order.created",
    "order.paid",
    "order.sent",
    "order.closed",
    "stock.reserved",
    "stock.released",
    "mail.sent",
    "mail.failed",
];

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Outcome {
    let parent = std::env::args().nth(1);
    let dir = match &parent {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    bare(dir.path())?;
    log(dir.path())?;
    rows(dir.path())
}

fn print(figure: &str, count: usize, since: Instant, more: serde_json::Value) {
    let seconds = since.elapsed().as_secs_f64();
    let rate = (count as f64 / seconds).round();
    let mut line = json!({ "figure": figure, "per_second": rate, "count": count, "seconds": seconds });
    if let (Some(line), serde_json::Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
    // A closed pipe ends the reader's interest, not the run.
    _ = writeln!(std::io::stdout(), "{line}");
}

/// What the disk itself does: the same bytes, written and synced, without anything around them.
fn bare(dir: &Path) -> Outcome {
    for (name, size, rounds) in
        [("bare 512 B write+fdatasync", 512, 4_000), ("bare batch write+fdatasync", 456 << 10, 300)]
    {
        let file = fs::OpenOptions::new().create(true).truncate(true).write(true).open(dir.join("bare"))?;
        file.write_all_at(&vec![0; size * rounds.min(1_000)], 0)?;
        file.sync_all()?;
        let bytes = vec![7; size];
        let start = Instant::now();
        for round in 0..rounds {
            file.write_all_at(&bytes, ((round % 1_000) * size) as u64)?;
            file.sync_data()?;
        }
        print(name, rounds, start, json!({ "bytes": size }));
    }
    fs::remove_file(dir.join("bare"))?;
    Ok(())
}

/// A message of about 400 bytes in all.
fn message(number: usize) -> Message {
    let data = format!(
        r#"{{"orderId":"{number:010}","sku":"85123A","quantity":6,"unitPrice":"2.55","text":"{}"}}"#,
        "x".repeat(238)
    );
    let id = |part: &str| MessageId::derived(&[part, &number.to_string()]);
    let envelope = Envelope {
        id: id("message"),
        kind: Kind::Event,
        type_name: Name::Static(TYPES[number % TYPES.len()]),
        source: Name::Static("order-service"),
        data_version: Name::Static("1.0.0"),
        timestamp: Timestamp::UNIX_EPOCH,
        correlation_id: id("correlation"),
        causation_id: Some(id("cause")),
        partition_key: Arc::from(format!("{:08}", number / 10)),
        user_id: None,
        tenant: None,
        traceparent: None,
        metadata: None,
        depth: 1,
        digest: None,
        repeat_key: None,
    };
    Message { envelope, data: Arc::from(data.into_bytes()) }
}

/// Streams of the log; what is written goes to one of them after the other, in no order.
const STREAMS: usize = 60_000;

fn stream_of(number: usize) -> Result<StreamId, Box<dyn Error>> {
    Ok(StreamId::new("order", &format!("{:08}", (number * 7_919) % STREAMS))?)
}

fn commit(number: usize, messages: usize) -> Result<Commit, Box<dyn Error>> {
    let stream = stream_of(number / messages)?;
    let messages = (number..number + messages).map(message).collect();
    let append = Append { stream, expected: ExpectedVersion::Any, writer: Name::Static("order"), messages };
    Ok(Commit { appends: vec![append], cells: Vec::new() })
}

/// Finds, checks and writes, as the committer does.
fn write(backend: &mut dyn Backend, commits: Vec<Commit>) -> Outcome {
    let mut wanted = Wanted::default();
    for commit in &commits {
        wanted.streams.extend(commit.wanted().streams);
    }
    let (mut commits, mut refused) = (commits, Ok(()));
    backend.transact(&wanted, &mut |mut found| {
        let mut plans: Vec<Plan> = Vec::with_capacity(commits.len());
        for commit in commits.drain(..) {
            match check(&Owners::default(), &found, commit) {
                Ok(plan) => {
                    found.apply(&plan);
                    plans.push(plan);
                }
                Err(refusal) => refused = Err(refusal),
            }
        }
        plans
    })?;
    Ok(refused?)
}

fn log(dir: &Path) -> Outcome {
    for (durability, per_commit) in [(Durability::Sync, 8), (Durability::Sync, 1), (Durability::Os, 1)] {
        let path = dir.join("log");
        let (mut backend, _) = embedded::open_with(&path, Options { durability, ..Options::default() })?;
        let batches = 600;
        // Built before the clock starts, in parts, so that it measures the store and not the making of messages.
        let mut spent = std::time::Duration::ZERO;
        for batch in 0..batches {
            let at = batch * BATCH;
            let commits =
                (0..BATCH).step_by(per_commit).map(|n| commit(at + n, per_commit)).collect::<Result<Vec<_>, _>>()?;
            let start = Instant::now();
            write(&mut backend, commits)?;
            spent += start.elapsed();
        }
        let start = Instant::now().checked_sub(spent).ok_or("the clock began too late")?;
        let more = json!({ "durability": backend.durability(), "batch": BATCH, "per_commit": per_commit });
        print("embedded write, batches of 1,024 messages of 400 B", batches * BATCH, start, more);
        let stored = backend.reader().stream(&stream_of(0)?, Default::default())?;
        let size = stored.first().map(|stored| {
            let mut bytes = Vec::new();
            _ = binary::encode(&stored.message, &mut bytes);
            bytes.len()
        });
        let singles = if durability == Durability::Sync { 5_000 } else { 100_000 };
        let commits = (0..singles).map(|n| commit(10_000_000 + n, 1)).collect::<Result<Vec<_>, _>>()?;
        let start = Instant::now();
        for commit in commits {
            write(&mut backend, vec![commit])?;
        }
        print(
            "embedded write, one message",
            singles,
            start,
            json!({ "durability": backend.durability(), "body": size }),
        );
        if durability == Durability::Sync {
            reads(&*backend.reader())?;
        }
        backend.close()?;
        let start = Instant::now();
        let (backend, opened) = embedded::open(&path)?;
        print("embedded open (messages recovered)", opened.entries as usize, start, json!({}));
        drop(backend);
        fs::remove_dir_all(path)?;
    }
    Ok(())
}

fn reads(reader: &dyn Reader) -> Outcome {
    let wanted_one = |name: &str| name == "mail.sent";
    let filters: [(&str, Filter<'_>); 2] =
        [("embedded scan, all types decoded", None), ("embedded scan, one type of eight", Some(&wanted_one))];
    for (name, types) in filters {
        let start = Instant::now();
        let (mut looked_at, mut answered) = (0, 0);
        for _ in 0..3 {
            let mut after = Position::START;
            loop {
                let found = reader.scan(&Scan { after, until: Position(u64::MAX), bytes: 1 << 20, types })?;
                answered += found.messages.len();
                looked_at += (found.through.0 - after.0) as usize;
                if found.through == after {
                    break;
                }
                after = found.through;
            }
        }
        print(name, looked_at, start, json!({ "answered": answered }));
    }
    let start = Instant::now();
    let mut found = 0;
    let rounds = 50_000;
    for round in 0..rounds {
        found += reader.stream(&stream_of(round)?, Default::default())?.len();
    }
    print("embedded stream of about 10, random", rounds, start, json!({ "messages": found }));
    Ok(())
}

const ORDERS: TableSpec = TableSpec { name: "orders", version: 1, indexes: &["customer", "status", "total"] };

fn row(number: usize, round: usize) -> RowChange {
    let (customer, total) = (format!("C{:05}", number % 5_000), (number * 7_919 + round) as i64 % 100_000);
    let status = ["open", "paid", "sent", "closed"][(number + round) % 4];
    let body = format!(
        r#"{{"id":"{number:08}","customer":"{customer}","status":"{status}","total":{total},"text":"{}"}}"#,
        "x".repeat(220)
    );
    let values = vec![IndexValue::Text(customer), IndexValue::Text(status.into()), IndexValue::Integer(total)];
    RowChange { key: format!("{number:08}"), row: Some((body.into_bytes(), values)) }
}

fn rows(dir: &Path) -> Outcome {
    let mut store = sqlite::open(dir)?;
    store.open(&ORDERS)?;
    let size = 100_000;
    let batch = |changes: Vec<RowChange>, position: usize| {
        let lineage = Lineage { log_id: [1; 16], epoch: 1 };
        [TableBatch { table: ORDERS, changes, cursor: Cursor { lineage, position: Position(position as u64) } }]
    };
    let start = Instant::now();
    for first in (0..size).step_by(BATCH) {
        store.write(&batch((first..(first + BATCH).min(size)).map(|n| row(n, 0)).collect(), first))?;
    }
    print("sqlite inserts in the order of keys", size, start, json!({ "batch": BATCH, "indexes": 3 }));
    let start = Instant::now();
    let rounds = 60;
    for round in 1..=rounds {
        // Coalesced: a batch has each row once, in the order of keys, spread over the whole table.
        let step = size / BATCH;
        let keys = (0..BATCH).map(|n| n * step + (round * 31) % step);
        store.write(&batch(keys.map(|n| row(n, round)).collect(), size + round))?;
    }
    print("sqlite upserts, coalesced", rounds * BATCH, start, json!({ "batch": BATCH, "rows": size, "indexes": 3 }));
    let start = Instant::now();
    for n in 0..100_000 {
        store.get(&ORDERS, &format!("{:08}", (n * 7_919) % size))?;
    }
    print("sqlite get by the view loop", 100_000, start, json!({}));
    queries(&*store.reader(), size)
}

fn queries(reader: &dyn RowReader, size: usize) -> Outcome {
    let rounds = 20_000;
    let start = Instant::now();
    for n in 0..rounds {
        reader.get("orders", &format!("{:08}", (n * 7_919) % size))?;
    }
    print("sqlite get by a reader", rounds, start, json!({}));
    let of_customer = |n: usize| Query {
        equal: vec![("customer".into(), IndexValue::Text(format!("C{:05}", n % 5_000)))],
        limit: 50,
        ..Query::default()
    };
    let open_by_total = |n: usize| Query {
        range: Some((
            "total".into(),
            Some(IndexValue::Integer(n as i64 * 10)),
            Some(IndexValue::Integer(n as i64 * 10 + 500)),
        )),
        order_by: Some("total".into()),
        descending: true,
        limit: 20,
        ..Query::default()
    };
    let newest = |_: usize| Query { descending: true, limit: 20, ..Query::default() };
    let kinds: [(&str, Asked<'_>, usize); 3] = [
        ("sqlite page of one customer (20 rows of 20)", &of_customer, 10_000),
        ("sqlite page of a range (20 rows of 500)", &open_by_total, 5_000),
        ("sqlite page of everything (20 rows of 100,000)", &newest, 200),
    ];
    for (name, query, rounds) in kinds {
        let (start, mut rows, mut total) = (Instant::now(), 0, 0);
        for n in 0..rounds {
            let page = reader.page("orders", &query(n))?;
            rows += page.rows.len();
            total += page.total;
        }
        print(name, rounds, start, json!({ "rows": rows, "totals": total }));
    }
    Ok(())
}
