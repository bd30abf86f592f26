//! Reading a log of orders again: raw entries against memory, whole messages, and typed events against the JSON parser.

use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

use factum::{
    Archive,
    envelope::{Kind, Recorded},
    error::StoreError,
    payload::Payload,
};
use factum_log::RealDisk;
use shop::contracts::order::OrderEvent;

use crate::{figure::Figure, machine::memcpy_gb_per_s};

/// The best of so many runs counts.
const RUNS: usize = 3;
/// Bytes of entries to read at once.
const SCAN_BYTES: usize = 8 << 20;

/// Reads the log in `dir`, which an app keeps there that has stopped.
///
/// # Errors
/// If it cannot be read.
pub fn run(dir: &Path) -> anyhow::Result<()> {
    raw(dir)?;
    let archive = Archive::open(dir, &shop::services::services(&shop::services::Options::default()))?;
    whole(&archive)?;
    typed(&archive)
}

fn raw(dir: &Path) -> anyhow::Result<()> {
    let reader = factum_log::Observer::open(&dir.join("log"), Arc::new(RealDisk))?.reader();
    let mut bytes = 0;
    let seconds = best(|| {
        let (mut after, mut sum) = (0, 0);
        while after < reader.head() {
            after = reader.scan(after, SCAN_BYTES, &mut |entry| sum += entry.body.len() + entry.kind.len())?;
        }
        bytes = black_box(sum);
        Ok(())
    })?;
    let entries = reader.head() as f64;
    let (rate, memcpy) = (bytes as f64 / seconds / 1e9, memcpy_gb_per_s());
    let figure = Figure::new("replay, raw entries", entries / seconds, "entries/s")
        .with("entries", entries)
        .with("gbPerSecond", rate)
        .with("memcpyGbPerSecond", memcpy)
        .with("ofMemcpy", rate / memcpy);
    Figure { event_bytes: Some((bytes as f64 / entries).round()), ..figure }.print()
}

fn whole(archive: &Archive) -> anyhow::Result<()> {
    let (mut messages, mut bytes) = (0, 0);
    let seconds = best(|| {
        (messages, bytes) = (0, 0);
        archive.each::<StoreError>(None, |stored| {
            (messages, bytes) = (messages + 1, bytes + stored.message.data.len());
            Ok(())
        })?;
        Ok(())
    })?;
    let figure = Figure::new("replay, stored messages", f64::from(messages) / seconds, "messages/s")
        .with("gbPerSecond", bytes as f64 / seconds / 1e9);
    Figure { event_bytes: Some((bytes as f64 / f64::from(messages)).round()), ..figure }.print()
}

fn typed(archive: &Archive) -> anyhow::Result<()> {
    let names: Vec<&str> = OrderEvent::types().iter().map(|info| info.name).collect();
    let wanted = |name: &str| names.contains(&name);
    let mut data: Vec<(String, Vec<u8>)> = Vec::new();
    archive.each::<StoreError>(Some(&wanted), |stored| {
        if stored.envelope().kind == Kind::Event {
            data.push((stored.type_name().to_owned(), stored.message.data.to_vec()));
        }
        Ok(())
    })?;
    let (events, bytes) = (data.len() as f64, data.iter().map(|(_, data)| data.len()).sum::<usize>() as f64);
    // In turns, so that both have the machine at its best and at its worst.
    let (mut seconds, mut bare) = (f64::MAX, f64::MAX);
    for _ in 0..RUNS {
        let fold = |count: &mut usize, event: &Recorded<'_, OrderEvent>| {
            black_box(&event.data);
            *count += 1;
        };
        let start = Instant::now();
        black_box(archive.fold::<OrderEvent, usize>(0, fold)?);
        seconds = seconds.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        for (name, data) in &data {
            black_box(OrderEvent::decode(name, data)?);
        }
        bare = bare.min(start.elapsed().as_secs_f64());
    }
    let figure = Figure::new("replay, typed order events", events / seconds, "events/s")
        .with("events", events)
        .with("mbPerSecond", bytes / seconds / 1e6)
        .with("bareJsonEventsPerSecond", events / bare)
        .with("ofBareJson", bare / seconds);
    Figure { event_bytes: Some((bytes / events).round()), ..figure }.print()
}

fn best(mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
