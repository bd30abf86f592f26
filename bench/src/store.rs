//! The store and its rivals on the same work: batches appended with a sync each, then all events read in order, then
//! streams at random.

use std::{
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    figure::{BareDisk, Figure},
    machine::{Flushes, Times, bare_disk, cpu_seconds, memcpy_of_this_run},
    subject::{Choice, Subject},
    work::{COHORT, Draw, Reads, STREAM, Store, Work, stream},
};

/// Events in one transaction.
const BATCH: usize = 1_024;
/// Bytes of an event with its envelope.
const BYTES: usize = 400;
/// Events before the measurement: one cohort of streams.
const WARM: usize = COHORT * STREAM;
/// The best of so many scans counts.
const SCANS: usize = 3;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Events to append, in all, at least; whole cohorts of streams.
    pub events: usize,
    /// A store that is slower stops when it has a whole cohort after this time.
    pub longest: Duration,
    /// How long to read streams.
    pub reading: Duration,
}

/// Runs all subjects that were chosen, in fresh directories below `dir`.
///
/// # Errors
/// If our own store fails; of a rival that does, a line says so.
pub fn run(dir: &Path, settings: Settings, choice: &Choice) -> anyhow::Result<()> {
    let names = [&format!("store, batches of {BATCH} x {BYTES} B"), "store, full scan", "store, random streams of 10"];
    // What the log writes for a batch: about forty bytes and the stream's name beside each event.
    let bare = bare_disk(dir, BATCH * (BYTES + 56))?;
    for subject in choice.all() {
        subject.run(dir, &names, |store, place| {
            let mut work = Work::of(BYTES)?;
            write(names[0], &subject, &mut **store, &mut work, settings, bare, place)?;
            let mut reader = store.reader()?;
            scan(names[1], &subject, &mut *reader, &work)?;
            streams(names[2], &subject, &mut *reader, &work, settings.reading)
        })?;
    }
    Ok(())
}

fn write(
    name: &str,
    subject: &Subject,
    store: &mut dyn Store,
    work: &mut Work,
    settings: Settings,
    bare: BareDisk,
    place: &Path,
) -> anyhow::Result<()> {
    while work.made() < WARM {
        store.append(work.batch(BATCH)?)?;
    }
    let (mut times, mut cpu, mut spent) = (Vec::new(), 0.0, Duration::ZERO);
    let flushes = Flushes::since_now(place);
    while work.made() < settings.events && spent < settings.longest {
        for _ in 0..COHORT * STREAM / BATCH {
            // Made before the clock starts: it measures the store and not the making of messages.
            let batch = work.batch(BATCH)?;
            let (start, busy) = (Instant::now(), cpu_seconds());
            store.append(batch)?;
            let took = start.elapsed();
            cpu += cpu_seconds() - busy;
            spent += took;
            times.push(took);
        }
    }
    let flushed = flushes.count();
    let events = (times.len() * BATCH) as f64;
    let times = Times::of(times);
    Figure::new(name, events / spent.as_secs_f64(), "events/s")
        .of(subject.name, subject.version.as_deref())
        .synced(BYTES as f64, Some(BATCH as f64), bare, flushed.map(|flushed| flushed as f64 / events))
        .with("events", events)
        .with("p50_us", times.us(0.5))
        .with("p99_us", times.us(0.99))
        .with("cpuNsOfThisProcess", cpu * 1e9 / events)
        .print()
}

fn scan(name: &str, subject: &Subject, reader: &mut dyn Reads, work: &Work) -> anyhow::Result<()> {
    let (mut seconds, mut bytes) = (f64::MAX, 0);
    for _ in 0..SCANS {
        let (mut events, mut sum, mut last, mut ordered) = (0, 0, 0, true);
        let start = Instant::now();
        reader.scan(&mut |entry| {
            (events, sum) = (events + 1, sum + black_box(entry.body).len());
            ordered &= entry.position > last || entry.position == 0;
            last = entry.position;
        })?;
        seconds = seconds.min(start.elapsed().as_secs_f64());
        ensure!(ordered, "a scan showed events out of order");
        ensure!(events == work.made(), "a scan showed {events} events of {}", work.made());
        bytes = sum;
    }
    let (events, rate) = (work.made() as f64, bytes as f64 / seconds / 1e9);
    let figure = Figure::new(name, events / seconds, "events/s").of(subject.name, subject.version.as_deref());
    Figure { event_bytes: Some(BYTES as f64), ..figure }
        .with("events", events)
        .with("gbPerSecond", rate)
        .with("ofMemcpy", rate / memcpy_of_this_run())
        .print()
}

fn streams(
    name: &str,
    subject: &Subject,
    reader: &mut dyn Reads,
    work: &Work,
    reading: Duration,
) -> anyhow::Result<()> {
    let (mut draw, mut times) = (Draw::new(), Vec::new());
    let start = Instant::now();
    while start.elapsed() < reading {
        let stream = [stream(draw.below(work.streams()))?];
        let (mut events, mut bytes) = (0, 0);
        let asked = Instant::now();
        reader.streams(&stream, &mut |_, entry| {
            (events, bytes) = (events + 1, bytes + black_box(entry.body).len());
        })?;
        times.push(asked.elapsed());
        ensure!((events, bytes) == (STREAM, STREAM * BYTES), "{} has {events} events", stream[0]);
    }
    let reads = times.len() as f64;
    let seconds = times.iter().sum::<Duration>().as_secs_f64();
    let times = Times::of(times);
    let figure = Figure::new(name, reads / seconds, "streams/s").of(subject.name, subject.version.as_deref());
    Figure { event_bytes: Some(BYTES as f64), callers: Some(1), ..figure }
        .with("streams", work.streams() as f64)
        .with("seed", Draw::SEED as f64)
        .with("p50_us", times.us(0.5))
        .with("p99_us", times.us(0.99))
        .print()
}
