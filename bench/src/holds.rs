//! Held keys: what a hundred of them cost the others, and how a hundred thousand messages behind one are released.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::ensure;
use factum::{
    App, By,
    envelope::Envelope,
    letters::Query,
    ports::Scan,
    prelude::*,
    stream::{Position, StreamId, StreamVersion},
};

use crate::{
    figure::Figure,
    machine::{bare_disk, cpu_seconds, peak_rss_mib},
};

/// Keys that commands go to.
const KEYS: usize = 1_000;
/// Of these, how many are held.
const HELD: usize = 100;
/// Commands under way.
const CALLERS: usize = 256;
/// Messages behind the one key.
const BEHIND: u64 = 100_000;
/// A commit of this work, about.
const WRITTEN: usize = 16 << 10;

/// Whether the first message of a key that is to be held fails.
static FAILS: AtomicBool = AtomicBool::new(false);

/// Something was added to a key.
#[derive(Event, Clone, Debug)]
#[event("item.added")]
struct ItemAdded {
    key: String,
    number: u64,
}

/// Adds something to a key.
#[derive(Command, Clone, Debug)]
#[command("item.add")]
struct AddItem {
    key: String,
    number: u64,
}

/// It was noted.
#[derive(Event, Clone, Debug)]
#[event("item.noted")]
struct ItemNoted {
    key: String,
    number: u64,
}

/// Notes it.
#[derive(Command, Clone, Debug)]
#[command("item.note")]
struct NoteItem {
    key: String,
    number: u64,
}

#[derive(Default)]
struct Items;

impl Decider for Items {
    const CATEGORY: &'static str = "items";
    type Id = String;
    type Command = AddItem;
    type Event = ItemAdded;
    type Rejection = Never;

    fn address(command: &AddItem, _: &Envelope) -> String {
        command.key.clone()
    }

    fn decide(&self, _: &String, AddItem { key, number }: AddItem, _: &Context) -> Result<Vec<ItemAdded>, Never> {
        Ok(vec![ItemAdded { key, number }])
    }

    fn evolve(&mut self, _: &ItemAdded) {}
}

#[derive(Default)]
struct Notes;

impl Decider for Notes {
    const CATEGORY: &'static str = "notes";
    type Id = String;
    type Command = NoteItem;
    type Event = ItemNoted;
    type Rejection = Never;

    fn address(command: &NoteItem, _: &Envelope) -> String {
        command.key.clone()
    }

    fn decide(&self, _: &String, NoteItem { key, number }: NoteItem, _: &Context) -> Result<Vec<ItemNoted>, Never> {
        Ok(vec![ItemNoted { key, number }])
    }

    fn evolve(&mut self, _: &ItemNoted) {}
}

fn note(event: &Recorded<'_, ItemAdded>, fx: &mut Effects) -> Result<(), HandlerError> {
    let ItemAdded { key, number } = event.data.clone();
    if number == 0 && FAILS.load(Ordering::Relaxed) {
        return Err(HandlerError::failed("poison"));
    }
    fx.send(NoteItem { key, number });
    Ok(())
}

async fn open(dir: &Path) -> anyhow::Result<App> {
    let items = Service::new("items").decider::<Items>();
    let notes = Service::new("notes").decider::<Notes>().react("note", note);
    Ok(App::open(dir)?.with(items).with(notes).start().await?)
}

/// Both figures, in fresh directories below `dir`.
///
/// # Errors
/// If the engine fails, or what was held does not follow in order.
pub async fn run(dir: &Path, each: Duration) -> anyhow::Result<()> {
    beside(dir, each).await?;
    behind_one(&dir.join("one")).await
}

/// Commands and what follows from them, with held keys and without, in turns.
async fn beside(dir: &Path, each: Duration) -> anyhow::Result<()> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..6 {
        let held = round % 2 == 1;
        let below = dir.join(format!("beside-{round}"));
        let app = open(&below).await?;
        FAILS.store(held, Ordering::Relaxed);
        for key in 0..HELD {
            app.execute(AddItem { key: format!("k{key}"), number: 0 }).await?;
        }
        app.rest().await?;
        let letters = app.letters().list(Query::default()).await?.total;
        ensure!(letters == if held { HELD } else { 0 }, "{letters} letters");
        let (cpu, started) = (cpu_seconds(), Instant::now());
        let done = others(&app, each).await?;
        app.rest().await?;
        let (took, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        if held { &mut with } else { &mut without }.push((done as f64 / took, 1e6 * cpu / done as f64));
        app.stop().await;
        drop(app);
        std::fs::remove_dir_all(&below)?;
    }
    let (without, with) = (median(without), median(with));
    let bare = bare_disk(dir, WRITTEN)?;
    Figure::new(format!("messages of other keys beside {HELD} held ones"), with.0, "per second")
        .synced(60.0, None, bare, None)
        .with("without_held_keys", without.0)
        .with("ratio", with.0 / without.0)
        .with("cpu_us_each", with.1)
        .with("cpu_us_each_without", without.1)
        .print()
}

/// Commands to keys that are not held, each followed by its note.
async fn others(app: &App, each: Duration) -> anyhow::Result<u64> {
    let until = Instant::now() + each;
    let callers = (0..CALLERS).map(|caller| {
        let app = app.clone();
        tokio::spawn(async move {
            let mut done = 0_u64;
            while Instant::now() < until {
                let key = format!("k{}", HELD + (caller * 7 + done as usize * 13) % (KEYS - HELD));
                app.execute(AddItem { key, number: done + 1 }).await?;
                done += 1;
            }
            anyhow::Ok(done)
        })
    });
    let mut done = 0;
    for caller in callers.collect::<Vec<_>>() {
        done += caller.await??;
    }
    Ok(done)
}

/// The middle one by its first value.
fn median(mut values: Vec<(f64, f64)>) -> (f64, f64) {
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    values[values.len() / 2]
}

async fn behind_one(dir: &Path) -> anyhow::Result<()> {
    let app = open(dir).await?;
    FAILS.store(true, Ordering::Relaxed);
    let rss = peak_rss_mib()?;
    let at = jiff::Timestamp::now();
    // In order, many in a commit: one caller, as an import is.
    let numbers: Vec<u64> = (0..=BEHIND).collect();
    for some in numbers.chunks(500) {
        let mut together = app.together();
        for number in some {
            together = together.add(&AddItem { key: "k".to_owned(), number: *number }, at);
        }
        together.execute().await?;
    }
    app.rest().await?;
    let held = app.health().engine.held;
    ensure!(held == BEHIND, "{held} wait");
    let grown = peak_rss_mib()? - rss;
    FAILS.store(false, Ordering::Relaxed);
    let id = app.letters().list(Query::default()).await?.letters.remove(0).id;
    let started = Instant::now();
    app.letters().redrive(&id, &By::new("bench", "mended")).await?;
    app.rest().await?;
    let took = started.elapsed().as_secs_f64();
    ensure!(app.health().engine.held == 0, "some still wait");
    let noted = app.reader().stream(&StreamId::new("notes", "k")?, StreamVersion(0))?;
    let in_order =
        noted.iter().enumerate().all(|(at, it)| it.decode::<ItemNoted>().is_ok_and(|it| it.number == at as u64));
    ensure!(noted.len() as u64 == BEHIND + 1 && in_order, "{} notes, in order: {in_order}", noted.len());
    let through = app.reader().scan(&Scan { after: Position::START, until: Position(1), bytes: 1, types: None })?;
    let bytes = through.messages.first().map_or(0, |first| first.message.bytes());
    app.stop().await;
    Figure::new(format!("release of {BEHIND} messages behind one key"), BEHIND as f64 / took, "per second")
        .synced(bytes as f64, None, bare_disk(dir, WRITTEN)?, None)
        .with("seconds", took)
        .with("grown_mib_while_held", grown)
        .print()
}
