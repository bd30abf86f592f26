//! Commands on small aggregates: load, decide, append, sync, answer; by one caller, by 64 and by 1,024.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use factum::{
    App, Archive,
    envelope::{Envelope, Kind},
    error::StoreError,
    prelude::*,
};

use crate::{
    figure::Figure,
    machine::{Flushes, Times, bare_disk},
};

/// How many callers there are.
const CALLERS: [usize; 3] = [1, 64, 1_024];
/// Commands to one stream.
const STREAM: usize = 10;
/// A text that makes an event as large as a small real one.
const NOTE: &str = "a counter counts what happens to it, and keeps a note of every time beside the number; this note is \
                    as long as the data of a small event of a shop is, which is about two hundred bytes with the rest";

/// Something was counted.
#[derive(Event, Clone, Debug)]
#[event("counter.added")]
struct CounterAdded {
    /// The counter.
    counter_id: String,
    /// How much.
    by: u64,
    /// A word about it.
    note: String,
}

/// Asks to count.
#[derive(Command, Clone, Debug)]
#[command("counter.add")]
struct AddToCounter {
    /// The counter.
    counter_id: String,
    /// How much.
    by: u64,
    /// A word about it.
    note: String,
}

/// What was counted so far.
#[derive(Default)]
struct Counter {
    sum: u64,
}

impl Decider for Counter {
    const CATEGORY: &'static str = "counter";
    type Id = String;
    type Command = AddToCounter;
    type Event = CounterAdded;
    type Rejection = Never;

    fn address(command: &AddToCounter, _: &Envelope) -> String {
        command.counter_id.clone()
    }

    fn decide(&self, _: &String, command: AddToCounter, _: &Context) -> Result<Vec<CounterAdded>, Never> {
        let AddToCounter { counter_id, by, note } = command;
        Ok(vec![CounterAdded { counter_id, by, note }])
    }

    fn evolve(&mut self, event: &CounterAdded) {
        self.sum = self.sum.wrapping_add(event.by);
    }
}

/// Runs each number of callers for this long, in fresh directories below `dir`.
///
/// # Errors
/// If the engine fails.
pub async fn run(dir: &Path, each: Duration) -> anyhow::Result<()> {
    for callers in CALLERS {
        let below = dir.join(format!("commands-{callers}"));
        let app = App::open(&below)?.with(Service::new("counting").decider::<Counter>()).start().await?;
        let outcome = measure(&app, &below, callers, each).await;
        app.stop().await;
        outcome?;
        drop(app);
        std::fs::remove_dir_all(&below)?;
    }
    Ok(())
}

async fn measure(app: &App, dir: &Path, callers: usize, each: Duration) -> anyhow::Result<()> {
    // A second of warming up: files, caches, connections of the processor.
    calls(app, "warm", callers, each.min(Duration::from_secs(1))).await?;
    let (before, flushes, start) = (app.position(), Flushes::since_now(dir), Instant::now());
    let times = calls(app, "counter", callers, each).await?;
    let (took, flushed) = (start.elapsed().as_secs_f64(), flushes.count());
    let commands = times.len() as f64;
    let (times, data) = (Times::of(times), event_bytes(app, before)?);
    let batch = flushed.map(|flushed| commands / flushed.max(1) as f64);
    // What the log adds to an event's data: header, texts, frame, the engine's cursor.
    let written = (data + 256.0) * batch.unwrap_or(1.0).max(1.0);
    let bare = bare_disk(dir, written as usize)?;
    let name = format!("commands, {callers} {}", if callers == 1 { "caller" } else { "callers" });
    let mut figure = Figure::new(name, commands / took, "commands/s")
        .synced(data, batch, bare, flushed.map(|flushed| flushed as f64 / commands))
        .with("p50_us", times.us(0.5))
        .with("p99_us", times.us(0.99));
    if callers == 1 {
        figure = figure.with("p50OfBareDisk", times.us(0.5) / bare.p50_us);
    }
    figure.print()
}

/// Every caller sends one command after the other, each ten to a stream of its own.
async fn calls(app: &App, prefix: &str, callers: usize, each: Duration) -> anyhow::Result<Vec<Duration>> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (app, prefix) = (app.clone(), prefix.to_owned());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < each {
                    let stream = times.len() / STREAM;
                    let command = AddToCounter {
                        counter_id: format!("{prefix}-{caller}-{stream}"),
                        by: times.len() as u64,
                        note: NOTE.to_owned(),
                    };
                    let sent = Instant::now();
                    app.execute(command).await?;
                    times.push(sent.elapsed());
                }
                anyhow::Ok(times)
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

fn event_bytes(app: &App, after: factum::stream::Position) -> anyhow::Result<f64> {
    let (mut events, mut bytes) = (0_u64, 0);
    Archive::of(app.reader()).each::<StoreError>(None, |stored| {
        if stored.position > after && stored.envelope().kind == Kind::Event {
            (events, bytes) = (events + 1, bytes + stored.message.data.len());
        }
        Ok(())
    })?;
    Ok(bytes as f64 / events.max(1) as f64)
}
