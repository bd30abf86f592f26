//! The log alone: groups of entries, each group one append, in turns with the bare disk writing as many bytes.

use std::{
    fs,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use factum_log::{Batch, Log, Options};

use crate::{
    figure::Figure,
    machine::{Bare, Flushes, Times, cpu_seconds, thread_cpu},
};

/// Bytes of an entry's body.
const BODIES: [usize; 3] = [256, 400, 4_096];
/// Entries in a group.
const GROUPS: [usize; 3] = [1, 64, 1_024];
/// Not measured at the beginning.
const WARM: Duration = Duration::from_millis(300);
const STREAMS: usize = 100_000;
const KINDS: [&str; 4] = ["order.created", "order.paid", "order.sent", "order.closed"];

/// Runs each pair for this long, in fresh directories below `dir`.
///
/// # Errors
/// If the log fails.
pub fn run(dir: &Path, each: Duration) -> anyhow::Result<()> {
    for body in BODIES {
        for group in GROUPS {
            one(dir, body, group, each)?;
        }
    }
    Ok(())
}

/// What something took.
#[derive(Default)]
struct Meter {
    times: Vec<Duration>,
    cpu: Duration,
}

impl Meter {
    fn time<T>(&mut self, step: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<()> {
        let (start, busy) = (Instant::now(), thread_cpu());
        black_box(step()?);
        self.cpu += thread_cpu().saturating_sub(busy);
        self.times.push(start.elapsed());
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.times.iter().sum::<Duration>().as_secs_f64()
    }
}

fn one(dir: &Path, body: usize, group: usize, each: Duration) -> anyhow::Result<()> {
    let place = dir.join("log");
    let (mut log, _) = Log::open(&place, Options::default())?;
    let (mut batch, bytes, mut entries) = (Batch::new(), vec![b'x'; body], 0);
    fill(&mut batch, &mut entries, group, &bytes);
    // As long as the frame.
    let frame = batch.bytes();
    let mut bare = Bare::new(dir, frame)?;
    let start = Instant::now();
    while start.elapsed() < WARM {
        log.append(&batch)?;
        bare.write()?;
    }
    let (mut append, mut disk, mut build) = (Meter::default(), Meter::default(), Meter::default());
    let (start, all, own, before) = (Instant::now(), cpu_seconds(), thread_cpu(), bare.writes());
    let flushes = Flushes::since_now(dir);
    while start.elapsed() < each {
        build.time(|| {
            fill(&mut batch, &mut entries, group, &bytes);
            Ok(())
        })?;
        append.time(|| Ok(log.append(black_box(&batch))?))?;
        disk.time(|| bare.write())?;
    }
    let flushed = flushes.count().map(|flushed| flushed.saturating_sub((bare.writes() - before) as u64));
    let other = (cpu_seconds() - all - thread_cpu().saturating_sub(own).as_secs_f64()).max(0.0);
    log.close()?;
    fs::remove_dir_all(&place)?;
    let events = (append.times.len() * group) as f64;
    let ns = |seconds: f64| seconds * 1e9 / events;
    let megabytes = |meter: &Meter| (meter.times.len() * frame) as f64 / meter.seconds() / 1e6;
    let (rate, of_bare) = (events / append.seconds(), disk.seconds() / append.seconds());
    let (written, bare_written) = (megabytes(&append), megabytes(&disk));
    let (cpu, bare_cpu) = (ns(append.cpu.as_secs_f64()), ns(disk.cpu.as_secs_f64()));
    let times = Times::of(append.times);
    Figure::new(format!("log, groups of {group} x {body} B"), rate, "events/s")
        .synced(body as f64, Some(group as f64), bare.figure(), flushed.map(|flushed| flushed as f64 / events))
        .with("aboveBareCpuNs", cpu - bare_cpu)
        .with("cpuNs", cpu)
        .with("bareCpuNs", bare_cpu)
        .with("buildCpuNs", ns(build.cpu.as_secs_f64()))
        .with("otherThreadsCpuNs", ns(other))
        .with("ofBareDisk", of_bare)
        .with("mbPerSecond", written)
        .with("bareMbPerSecond", bare_written)
        .with("p50_us", times.us(0.5))
        .with("p99_us", times.us(0.99))
        .print()
}

fn fill(batch: &mut Batch, entries: &mut usize, count: usize, body: &[u8]) {
    batch.clear();
    for _ in 0..count {
        let stream = format!("order-{:08}", *entries % STREAMS);
        batch.entry(&stream, KINDS[*entries % KINDS.len()], "shop", body);
        *entries += 1;
    }
}
