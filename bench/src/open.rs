//! Opening a large log: after a kill, after its owner went away without closing it, and after an orderly end. Each part
//! runs in a process of its own, so that its peak of memory is its own.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand, ValueEnum};
use factum_log::{Batch, Log, Options};
use serde_json::{Value, json};

use crate::{
    figure::Figure,
    machine::{bare_disk, forget, free_bytes, peak_rss_mib, size_of},
    work::Draw,
};

/// Entries in one append.
const GROUP: usize = 1_024;
/// Streams that are read at random after opening.
const READS: usize = 50_000;
/// What an entry takes beside its body, about: forty bytes, its stream's name, its share of a frame.
const BESIDE: u64 = 60;
/// Left free on the disk.
const SPARE: u64 = 2 << 30;
const KINDS: [&str; 4] = ["order.created", "order.paid", "order.sent", "order.closed"];

/// How large the log is.
#[derive(Args, Clone, Copy, Debug)]
pub struct Size {
    /// Events.
    #[arg(long)]
    pub events: Option<usize>,
    /// Streams; events go to one after the other, so that each stream stands all over the log.
    #[arg(long)]
    pub streams: Option<usize>,
    /// Bytes of an event.
    #[arg(long, default_value_t = 100)]
    pub bytes: usize,
}

/// What a process of its own does; not for people.
#[derive(Subcommand, Clone, Debug)]
pub enum Part {
    /// Writes a log, says so, and goes on writing until it is killed.
    Fill {
        /// The log's directory.
        place: PathBuf,
        /// Its size.
        #[command(flatten)]
        size: Size,
    },
    /// Opens a log, reads streams, and ends it.
    Open {
        /// The log's directory.
        place: PathBuf,
        /// How many streams it has.
        streams: usize,
        /// How to end.
        end: End,
    },
}

/// How a process leaves a log.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Without a word.
    Drop,
    /// In order.
    Close,
}

/// Writes and opens a log below `dir`; figures are called `name`.
///
/// # Errors
/// If the disk is too small, or the log fails.
pub fn run(dir: &Path, name: &str, events: usize, streams: usize, bytes: usize) -> anyhow::Result<()> {
    let (needed, free) = (events as u64 * (bytes as u64 + BESIDE) + SPARE, free_bytes(dir)?);
    ensure!(
        needed <= free,
        "{events} events of {bytes} bytes need {} GiB of disk and {} are free: name another --dir, or fewer --events",
        (needed >> 30) + 1,
        free >> 30
    );
    let place = dir.join(name);
    let size = Size { events: Some(events), streams: Some(streams), bytes };
    let filled = fill_and_kill(&place, size)?;
    let disk = size_of(&place)? as f64 / (1 << 20) as f64;
    let bare = bare_disk(dir, GROUP * (bytes + BESIDE as usize))?;
    Figure::new(format!("{name}, written"), number(&filled, "perSecond")?, "events/s")
        .synced(bytes as f64, Some(GROUP as f64), bare, None)
        .with("events", events as f64)
        .with("streams", streams as f64)
        .with("peakRssMib", number(&filled, "peakRssMib")?)
        .with("diskMib", disk)
        .print()?;
    let mut at_least = events as f64;
    for (how, cold, end) in [
        ("killed", false, End::Drop),
        ("dropped", false, End::Drop),
        ("dropped, not in memory", true, End::Close),
        ("closed", false, End::Close),
    ] {
        if cold {
            forget(&place)?;
        }
        let opened = open_in_a_process(&place, streams, end)?;
        let entries = number(&opened, "entries")?;
        ensure!(entries >= at_least, "{entries} events were there after `{how}`, of {at_least}");
        at_least = entries;
        let unclean = opened["unclean"] == true;
        ensure!(unclean == (how != "closed"), "a log that was {how} says that it was unclean: {unclean}");
        let figure = Figure::new(format!("{name}, {how}"), number(&opened, "seconds")?, "s")
            .with("events", entries)
            .with("streams", streams as f64)
            .with("segments", number(&opened, "segments")?)
            .with("peakRssMib", number(&opened, "peakRssMib")?)
            .with("peakRssMibAtOpen", number(&opened, "peakRssMibAtOpen")?)
            .with("streamReadsPerSecond", number(&opened, "streamReadsPerSecond")?)
            .with("seed", Draw::SEED as f64)
            .with("diskMib", disk);
        Figure { event_bytes: Some(bytes as f64), ..figure }.print()?;
    }
    fs::remove_dir_all(&place)?;
    Ok(())
}

/// A process that is killed when this goes, whatever happened.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn part(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("part").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

fn fill_and_kill(place: &Path, size: Size) -> anyhow::Result<Value> {
    let numbers =
        [size.events.unwrap_or_default(), size.streams.unwrap_or_default(), size.bytes].map(|n| n.to_string());
    let [events, streams, bytes] = &numbers;
    let arguments = ["fill", "--events", events, "--streams", streams, "--bytes", bytes];
    let mut writer = Killed(part(&arguments)?.arg(place).spawn()?);
    let mut lines = BufReader::new(writer.0.stdout.take().context("the writer has no output")?);
    let said = line(&mut lines)?;
    // It writes on, so that it is killed in the midst of an append.
    line(&mut lines)?;
    drop(writer);
    Ok(said)
}

fn open_in_a_process(place: &Path, streams: usize, end: End) -> anyhow::Result<Value> {
    let end = if end == End::Drop { "drop" } else { "close" };
    let mut reader = Killed(part(&["open"])?.arg(place).arg(streams.to_string()).arg(end).spawn()?);
    let said = line(&mut BufReader::new(reader.0.stdout.take().context("the reader has no output")?))?;
    ensure!(reader.0.wait()?.success(), "the reader failed");
    Ok(said)
}

fn line(lines: &mut impl BufRead) -> anyhow::Result<Value> {
    let mut line = String::new();
    ensure!(lines.read_line(&mut line)? > 0, "a process of this run ended before it said anything");
    Ok(serde_json::from_str(&line)?)
}

fn number(said: &Value, name: &str) -> anyhow::Result<f64> {
    said[name].as_f64().with_context(|| format!("a process of this run did not say {name}"))
}

/// Prints at once, for the process that waits.
fn say(value: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

/// What a process of its own does.
///
/// # Errors
/// If the log fails.
pub fn act(part: &Part) -> anyhow::Result<()> {
    match part {
        Part::Fill { place, size } => fill(place, *size),
        Part::Open { place, streams, end } => open(place, *streams, *end),
    }
}

fn name(number: usize) -> String {
    format!("order-{number:08}")
}

fn fill(place: &Path, size: Size) -> anyhow::Result<()> {
    let (events, streams) = (size.events.unwrap_or_default(), size.streams.unwrap_or(1).max(1));
    let (mut log, _) = Log::open(place, Options::default())?;
    let (mut batch, body, mut written) = (Batch::new(), vec![b'x'; size.bytes], 0);
    let mut append = |count: usize| -> anyhow::Result<()> {
        batch.clear();
        for number in written..written + count {
            // A prime that no count of streams is a multiple of, in practice: all streams, in no order.
            batch.entry(&name(number * 7_919 % streams), KINDS[number % KINDS.len()], "shop", &body);
        }
        written += count;
        log.append(&batch)?;
        Ok(())
    };
    let (start, mut left) = (Instant::now(), events);
    while left > 0 {
        append(left.min(GROUP))?;
        left -= left.min(GROUP);
    }
    let per_second = events as f64 / start.elapsed().as_secs_f64();
    say(&json!({ "perSecond": per_second, "peakRssMib": peak_rss_mib()? }))?;
    for more in 0_u64.. {
        append(1)?;
        if more == 100 {
            say(&json!({ "more": more }))?;
        }
    }
    Ok(())
}

fn open(place: &Path, streams: usize, end: End) -> anyhow::Result<()> {
    let start = Instant::now();
    let (log, opened) = Log::open(place, Options::default())?;
    let (seconds, at_open) = (start.elapsed().as_secs_f64(), peak_rss_mib()?);
    let (reader, mut draw, mut found) = (log.reader(), Draw::new(), 0);
    let start = Instant::now();
    for _ in 0..READS {
        let stream = name(draw.below(streams));
        let before = found;
        reader.stream(&stream, 0, &mut |_| found += 1)?;
        ensure!(found > before, "{stream} has no events");
    }
    let reads = READS as f64 / start.elapsed().as_secs_f64();
    say(&json!({
        "seconds": seconds, "entries": opened.entries, "segments": opened.segments, "unclean": opened.unclean,
        "peakRssMibAtOpen": at_open, "peakRssMib": peak_rss_mib()?, "streamReadsPerSecond": reads,
    }))?;
    match end {
        End::Close => log.close()?,
        // As a process that ends by an error: no closing mark.
        End::Drop => drop(log),
    }
    Ok(())
}
