//! Commands on small aggregates: load, decide, append, sync, answer; by one caller, by 64 and by 1,024, and the same
//! through the rivals.

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
use tokio::runtime::Runtime;

#[cfg(feature = "rivals")]
use crate::rivals::singly;
use crate::{
    figure::Figure,
    home::Home,
    machine::{Bare, Flushes, Times, bare_disk},
    ours,
    subject::Choice,
};

/// How many callers there are, unless it is said.
pub const CALLERS: [usize; 3] = [1, 64, 1_024];
/// Commands to one stream.
const STREAM: usize = 10;
/// Bytes that the log writes for one event of this size: its data and 256 bytes of header, texts, frame and cursor.
const WRITTEN: usize = 512;
/// A text that makes an event as large as a small real one.
const NOTE: &str = "a counter counts what happens to it, and keeps a note of every time beside the number; this note is \
                    as long as the data of a small event of a shop is, which is about two hundred bytes with the rest";

/// Something was counted.
#[derive(Event, Clone, Debug)]
#[event("counter.added")]
pub struct CounterAdded {
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
pub struct AddToCounter {
    /// The counter.
    counter_id: String,
    /// How much.
    by: u64,
    /// A word about it.
    note: String,
}

/// What was counted so far.
#[derive(Default)]
pub struct Counter {
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

/// Runs each number of callers for this long, in fresh directories below `dir`; then rivals, where there are many
/// callers.
///
/// # Errors
/// If the engine fails.
pub fn run(dir: &Path, runtime: &Runtime, callers: &[usize], each: Duration, choice: &Choice) -> anyhow::Result<()> {
    if choice.has(ours::NAME) {
        runtime.block_on(engine(Home::below(dir), callers, each))?;
    }
    #[cfg(feature = "rivals")]
    rivals(dir, callers, each, choice)?;
    Ok(())
}

/// The same work by rivals, where there are many callers.
///
/// # Errors
/// If a line cannot be printed.
#[cfg(feature = "rivals")]
pub fn rivals(dir: &Path, callers: &[usize], each: Duration, choice: &Choice) -> anyhow::Result<()> {
    for callers in callers.iter().copied().filter(|callers| *callers > 1) {
        let name = format!("commands, {callers} callers");
        for rival in choice.rivals() {
            rival.run(dir, &[&name], |store, place| {
                crate::folded::run(&name, &rival, &mut **store, place, callers, NOTE, each)
            })?;
        }
        if choice.has("PostgreSQL") {
            crate::subject::in_a_place(dir, singly::NAME, &[&name], |place| {
                singly::run(&name, place, callers, NOTE, each)
            })?;
        }
    }
    Ok(())
}

/// Runs each number of callers for this long, each in a place of its own.
///
/// # Errors
/// If the engine fails.
pub async fn engine(home: Home<'_>, callers: &[usize], each: Duration) -> anyhow::Result<()> {
    for &callers in callers {
        let place = home.place(&format!("commands-{callers}"));
        let app = App::open(place.clone())?.with(Service::new("counting").decider::<Counter>()).start().await?;
        // A second of warming up: files, caches, the processor's clock.
        calls(&app, "warm", callers, each.min(Duration::from_secs(1))).await?;
        let outcome = match callers {
            1 => alone(&app, home, each).await,
            _ => together(&app, home, callers, each).await,
        };
        app.stop().await;
        outcome?;
        drop(app);
        if let Some(below) = place.directory() {
            std::fs::remove_dir_all(below)?;
        }
    }
    Ok(())
}

/// One caller; after every command the bare disk writes once, so that both have the same machine.
async fn alone(app: &App, home: Home<'_>, each: Duration) -> anyhow::Result<()> {
    let mut bare = Bare::new(home.dir, WRITTEN)?;
    let (before, flushes, start) = (app.position(), Flushes::since_now(home.dir), Instant::now());
    let mut times = Vec::new();
    while start.elapsed() < each {
        times.push(call(app, "counter", 0, times.len()).await?);
        bare.write()?;
    }
    let flushed = flushes.count().map(|flushed| flushed.saturating_sub(bare.writes() as u64) as f64);
    let commands = times.len() as f64;
    let took: Duration = times.iter().sum();
    let (times, data, bare) = (Times::of(times), event_bytes(app, before)?, bare.figure());
    let figure = Figure::new(home.named("commands, 1 caller"), commands / took.as_secs_f64(), "commands/s")
        .synced(data, Some(1.0), bare, flushed.map(|flushed| flushed / commands))
        .with("p50_us", times.us(0.5))
        .with("p99_us", times.us(0.99))
        .with("p50OfBareDisk", times.us(0.5) / bare.p50_us);
    Figure { callers: Some(1), ..figure }.print()
}

async fn together(app: &App, home: Home<'_>, callers: usize, each: Duration) -> anyhow::Result<()> {
    let (before, flushes, start) = (app.position(), Flushes::since_now(home.dir), Instant::now());
    let times = calls(app, "counter", callers, each).await?;
    let (took, flushed) = (start.elapsed().as_secs_f64(), flushes.count());
    let commands = times.len() as f64;
    let (times, data) = (Times::of(times), event_bytes(app, before)?);
    let batch = flushed.map(|flushed| commands / flushed.max(1) as f64);
    let bare = bare_disk(home.dir, (WRITTEN as f64 * batch.unwrap_or(1.0)) as usize)?;
    let figure = Figure::new(home.named(&format!("commands, {callers} callers")), commands / took, "commands/s")
        .synced(data, batch, bare, flushed.map(|flushed| flushed as f64 / commands))
        .with("p50_us", times.us(0.5))
        .with("p99_us", times.us(0.99));
    Figure { callers: Some(callers), ..figure }.print()
}

/// Every caller sends one command after the other, each ten to a stream of its own.
pub async fn calls(app: &App, prefix: &str, callers: usize, each: Duration) -> anyhow::Result<Vec<Duration>> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (app, prefix) = (app.clone(), prefix.to_owned());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < each {
                    times.push(call(&app, &prefix, caller, times.len()).await?);
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

/// The caller's command of this number; ten go to one stream.
pub async fn call(app: &App, prefix: &str, caller: usize, number: usize) -> anyhow::Result<Duration> {
    let counter_id = format!("{prefix}-{caller}-{}", number / STREAM);
    let command = AddToCounter { counter_id, by: number as u64, note: NOTE.to_owned() };
    let sent = Instant::now();
    app.execute(command).await?;
    Ok(sent.elapsed())
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
