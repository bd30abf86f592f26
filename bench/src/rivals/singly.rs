//! PostgreSQL as most write it by hand: each command selects its stream and inserts its event by itself, on one of a
//! pool of connections. The unique index is the version check, concurrent commits share syncs, and positions come from
//! an identity column, so that a reader that polls by position can miss events; who wants none missed folds the writes.

use std::{
    path::Path,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use factum_core::{envelope::binary, id::Name};

use super::postgres::{Cluster, version};
use crate::{
    figure::Figure,
    folded::{Added, Call, Queue, WARM, added},
    machine::{Flushes, Times, bare_disk},
    work::encoded,
};

/// What its figures are called.
pub const NAME: &str = "PostgreSQL singly";
/// The most connections.
const CONNECTIONS: usize = 64;
const SCHEMA: &str = "
    CREATE TABLE event (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream text NOT NULL, version bigint NOT NULL,
        kind text NOT NULL, source text NOT NULL, body bytea NOT NULL
    );
    CREATE UNIQUE INDEX event_stream ON event (stream, version);";
const SELECT: &str = "SELECT body FROM event WHERE stream = $1 ORDER BY version";
const INSERT: &str = "INSERT INTO event (stream, version, kind, source, body) VALUES ($1, $2, $3, $4, $5)";

/// Runs so many callers for this long, in an empty directory.
///
/// # Errors
/// If there is no PostgreSQL, or it fails.
pub fn run(name: &str, place: &Path, callers: usize, note: &str, each: Duration) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(place)?;
    cluster.wait(place)?.batch_execute(SCHEMA)?;
    let calls = Queue::new();
    calls.push((0..callers).map(|caller| Call { caller, number: 0, sent: Instant::now() }));
    let (cluster, calls, times) = (&cluster, &calls, &Mutex::new(Vec::new()));
    let (took, flushed) = thread::scope(|scope| {
        let work = move || {
            let outcome = serve(cluster, calls, times, note);
            calls.close();
            outcome
        };
        let threads: Vec<_> = (0..callers.min(CONNECTIONS)).map(|_| scope.spawn(work)).collect();
        let taken = || times.lock().map(|mut times| std::mem::take(&mut *times)).unwrap_or_default();
        thread::sleep(WARM.min(each));
        let (start, flushes, _) = (Instant::now(), Flushes::since_now(place), taken());
        thread::sleep(each);
        let (all, took, flushed) = (taken(), start.elapsed(), flushes.count());
        calls.close();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a caller panicked"))??;
        }
        *times.lock().map_err(|_| anyhow!("a caller panicked"))? = all;
        anyhow::Ok((took, flushed))
    })?;
    let times = times.lock().map(|mut times| std::mem::take(&mut *times)).unwrap_or_default();
    let commands = times.len() as f64;
    let times = Times::of(times);
    let batch = flushed.map(|flushed| commands / flushed.max(1) as f64);
    let bytes = encoded(&added(0, 0, note)?.1)?.len() as f64;
    let bare = bare_disk(place, ((bytes + 56.0) * batch.unwrap_or(1.0)) as usize)?;
    let figure = Figure::new(name, commands / took.as_secs_f64(), "commands/s")
        .of(NAME, version().as_deref())
        .synced(bytes, batch, bare, flushed.map(|flushed| flushed as f64 / commands))
        .with("p50_us", times.us(0.5))
        .with("p99_us", times.us(0.99));
    Figure { callers: Some(callers), ..figure }.print()
}

/// One connection: one command after the other, until the queue is closed.
fn serve(cluster: &Cluster, calls: &Queue<Call>, times: &Mutex<Vec<Duration>>, note: &str) -> anyhow::Result<()> {
    let mut client = cluster.connect()?;
    let (select, insert) = (client.prepare(SELECT)?, client.prepare(INSERT)?);
    let source = Name::Static("order-service");
    while let Some(call) = calls.one() {
        let (stream, message) = added(call.caller, call.number, note)?;
        let (mut version, mut sum) = (0_i64, 0_u64);
        for row in client.query(&select, &[&stream.as_str()])? {
            let found = binary::decode(Name::Static("counter.added"), source.clone(), row.get(0))?;
            sum = sum.wrapping_add(serde_json::from_slice::<Added>(&found.data)?.by);
            version += 1;
        }
        std::hint::black_box(sum);
        let (kind, from): (&str, &str) = (&message.envelope.type_name, &message.envelope.source);
        client.execute(&insert, &[&stream.as_str(), &(version + 1), &kind, &from, &encoded(&message)?])?;
        let now = Instant::now();
        times.lock().map_err(|_| anyhow!("a caller panicked"))?.push(now.saturating_duration_since(call.sent));
        calls.push([Call { number: call.number + 1, sent: now, ..call }]);
    }
    Ok(())
}
