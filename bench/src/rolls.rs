//! How long an acknowledgement takes from the moment that its event was due, at a steady rate, across the rolls of
//! segments; between two halves of the same on the bare disk: the same bytes at the same rate. Not in turns with it:
//! the log would fill its next segment while it is the disk's turn.

use std::{
    fs,
    ops::Range,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use factum_log::{Batch, Log, Options};
use hdrhistogram::Histogram;

use crate::{
    figure::{Figure, rounded},
    machine::{Bare, Flushes},
};

/// Bytes of an entry's body.
const BODY: usize = 400;
/// The most entries of one append; what is due beyond that waits.
const MOST: usize = 8_192;
/// Streams that entries go to.
const STREAMS: usize = 10_000;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Events a second.
    pub rate: usize,
    /// How many times a new segment begins.
    pub rolls: usize,
    /// Length of a segment, in MiB.
    pub segment_mib: u64,
}

/// Due times at a steady rate, and how much later each was done.
struct Pace {
    rate: f64,
    late: Histogram<u64>,
}

impl Pace {
    fn new(rate: usize) -> anyhow::Result<Self> {
        // From a microsecond to ten minutes, in nanoseconds.
        Ok(Self { rate: rate as f64, late: Histogram::new_with_bounds(1_000, 600_000_000_000, 3)? })
    }

    /// Does so many from now on, as they become due; `act` does all that are.
    fn run(&mut self, count: usize, mut act: impl FnMut(usize) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let (start, mut done) = (Instant::now(), 0);
        while done < count {
            let now = (start.elapsed().as_secs_f64() * self.rate) as usize + 1;
            let ready = now.min(count).saturating_sub(done).min(MOST);
            if ready == 0 {
                thread::yield_now();
                continue;
            }
            act(ready)?;
            self.record(done..done + ready, start.elapsed());
            done += ready;
        }
        Ok(())
    }

    /// These were done at this time after the start.
    fn record(&mut self, numbers: Range<usize>, finished: Duration) {
        for number in numbers {
            let due = Duration::from_secs_f64(number as f64 / self.rate);
            let late = finished.saturating_sub(due);
            self.late.saturating_record(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    fn us(&self, share: f64) -> f64 {
        rounded(self.late.value_at_quantile(share) as f64 / 1e3)
    }
}

/// Runs until enough segments have begun, in a fresh directory below `dir`.
///
/// # Errors
/// If the log fails, or does not roll.
pub fn run(dir: &Path, settings: Settings) -> anyhow::Result<()> {
    let place = dir.join("rolls");
    let options = Options { segment_bytes: settings.segment_mib << 20, ..Options::default() };
    let (mut log, _) = Log::open(&place, options.clone())?;
    let (mut batch, body, mut entries) = (Batch::new(), vec![b'x'; BODY], 0);
    fill(&mut batch, &mut entries, 2, &body);
    let two = batch.bytes();
    fill(&mut batch, &mut entries, 1, &body);
    // What one more entry takes, and what comes with each group.
    let (entry, frame) = (two - batch.bytes(), 2 * batch.bytes() - two);
    let mut bare = Bare::new(dir, frame + MOST * entry)?;
    let (mut ours, mut disk) = (Pace::new(settings.rate)?, Pace::new(settings.rate)?);
    let mut bytes = 0;
    // A warm-up of half a second.
    Pace::new(settings.rate)?.run(settings.rate.div_ceil(2), |count| {
        fill(&mut batch, &mut entries, count, &body);
        log.append(&batch)?;
        bare.write_some(batch.bytes())
    })?;
    let a_segment = (options.segment_bytes as usize / entry).max(1);
    disk.run((settings.rolls + 1) * a_segment / 2, |count| bare.write_some(frame + count * entry))?;
    let (flushes, start, first, mut appends) = (Flushes::since_now(dir), Instant::now(), segments(&place)?, 0);
    // One more than is asked for, so that the last one begins wherever the first one was when this started.
    let count = (settings.rolls + 1) * a_segment;
    ours.run(count, |count| {
        fill(&mut batch, &mut entries, count, &body);
        (appends, bytes) = (appends + 1, bytes + batch.bytes());
        log.append(&batch)?;
        Ok(())
    })?;
    let (seconds, rolled, flushed) = (start.elapsed().as_secs_f64(), segments(&place)? - first, flushes.count());
    disk.run(count.div_ceil(2), |count| bare.write_some(frame + count * entry))?;
    ensure!(rolled >= settings.rolls, "only {rolled} segments began, not {}", settings.rolls);
    log.close()?;
    fs::remove_dir_all(&place)?;
    let events = count as f64;
    Figure::new("rolls, due until acknowledged, p99.9", ours.us(0.999), "µs")
        .synced(BODY as f64, Some(events / f64::from(appends)), bare.figure(), flushed.map(|n| n as f64 / events))
        .with("rate", settings.rate as f64)
        .with("rolls", rolled as f64)
        .with("events", events)
        .with("megabytes", bytes as f64 / 1e6)
        .with("seconds", seconds)
        .with("p50_us", ours.us(0.5))
        .with("p99_us", ours.us(0.99))
        .with("max_us", ours.us(1.0))
        .with("bareP50_us", disk.us(0.5))
        .with("bareP99_us", disk.us(0.99))
        .with("bareP999_us", disk.us(0.999))
        .with("bareMax_us", disk.us(1.0))
        .print()
}

fn fill(batch: &mut Batch, entries: &mut usize, count: usize, body: &[u8]) {
    batch.clear();
    for _ in 0..count {
        batch.entry(&format!("order-{:08}", *entries % STREAMS), "order.created", "shop", body);
        *entries += 1;
    }
}

/// Segments in a log's directory; one that is only prepared counts too, at the beginning and at the end.
fn segments(dir: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        count += usize::from(entry?.path().extension().is_some_and(|extension| extension == "segment"));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_slow_one_counts_from_the_moment_it_was_due() {
        let mut pace = Pace::new(1_000).unwrap();
        // The first takes fifty milliseconds; the others became due meanwhile and are done together, at once.
        pace.record(0..1, Duration::from_millis(50));
        pace.record(1..50, Duration::from_millis(50));
        assert_eq!(pace.late.len(), 50);
        for (share, ms) in [(1.0, 50.0), (0.5, 25.0), (0.02, 1.0)] {
            let late = pace.us(share) / 1e3;
            assert!((late - ms).abs() <= 0.1, "{late} ms of {ms} ms at {share}");
        }
    }
}
