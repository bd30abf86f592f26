//! The bare machine: what its disk and memory do in the same run, and how often the disk was flushed.

use std::{
    fs::{self, File, OpenOptions},
    hint::black_box,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::figure::{BareDisk, rounded};

/// Writes of one measurement of the disk.
const WRITES: usize = 1_500;
/// The file that is written over: as a log's preallocated segment.
const FILE_BYTES: usize = 64 << 20;
/// More than a processor's cache holds.
const COPY_BYTES: usize = 256 << 20;
/// The column of `/proc/diskstats` that counts flush requests.
const FLUSHES: usize = 18;

/// Times writes of so many bytes with an `fdatasync` each, in a file of zeroes that is written over.
///
/// # Errors
/// If the file cannot be made.
pub fn bare_disk(dir: &Path, bytes: usize) -> anyhow::Result<BareDisk> {
    let path = dir.join("bare-disk");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    let zeroes = vec![0; 1 << 20];
    for at in (0..FILE_BYTES).step_by(zeroes.len()) {
        file.write_all_at(&zeroes, at as u64)?;
    }
    file.sync_all()?;
    let bytes = bytes.clamp(1, FILE_BYTES / 4);
    let data = vec![1; bytes];
    let mut times: Vec<Duration> = Vec::with_capacity(WRITES);
    let mut at = 0;
    for _ in 0..WRITES {
        let start = Instant::now();
        write(&file, black_box(&data), at)?;
        times.push(start.elapsed());
        at = if at + 2 * bytes > FILE_BYTES { 0 } else { at + bytes };
    }
    drop(file);
    fs::remove_file(path)?;
    let times = Times::of(times);
    Ok(BareDisk { p50_us: times.us(0.5), p99_us: times.us(0.99), bytes })
}

fn write(file: &File, data: &[u8], at: usize) -> anyhow::Result<()> {
    file.write_all_at(data, at as u64)?;
    Ok(file.sync_data()?)
}

/// How many gigabytes a second one core copies; the best of three.
pub fn memcpy_gb_per_s() -> f64 {
    let (from, mut to) = (vec![1_u8; COPY_BYTES], vec![2_u8; COPY_BYTES]);
    let mut best = f64::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        black_box(&mut to).copy_from_slice(black_box(&from));
        best = best.min(start.elapsed().as_secs_f64());
    }
    COPY_BYTES as f64 / best / 1e9
}

/// Counts the flush requests of the device that holds a directory; other programs' flushes count too.
pub struct Flushes {
    /// `<major>:<minor>`; `None` if the system does not show the device.
    device: Option<String>,
    before: Option<u64>,
}

impl Flushes {
    /// Counts from here.
    pub fn since_now(dir: &Path) -> Self {
        let device = device(dir);
        let before = device.as_deref().and_then(flushes);
        Self { device, before }
    }

    /// How many there were.
    pub fn count(&self) -> Option<u64> {
        Some(flushes(self.device.as_deref()?)?.saturating_sub(self.before?))
    }
}

fn device(dir: &Path) -> Option<String> {
    let dev = fs::metadata(dir).ok()?.dev();
    // The layout that the C library gives `dev_t` on Linux.
    let (major, minor) = (((dev >> 8) & 0xfff) | ((dev >> 32) & !0xfff), (dev & 0xff) | ((dev >> 12) & !0xff));
    let place = fs::canonicalize(PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))).ok()?;
    // Flushes are counted for whole disks only.
    let disk = if place.join("partition").exists() { place.parent()? } else { &place };
    Some(fs::read_to_string(disk.join("dev")).ok()?.trim().to_owned())
}

fn flushes(device: &str) -> Option<u64> {
    let stats = fs::read_to_string("/proc/diskstats").ok()?;
    let line = stats.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = line.into_iter().find(
        |columns| matches!(columns.as_slice(), [major, minor, ..] if device.split_once(':') == Some((major, minor))),
    )?;
    found.get(FLUSHES)?.parse().ok()
}

/// What this process has used of processors, in seconds.
pub fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Durations in order.
pub struct Times(Vec<Duration>);

impl Times {
    /// Sorts them.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The duration that this share took at most, in microseconds.
    pub fn us(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let at = (self.0.len() as f64 * share) as usize;
        self.0.get(at.min(last)).map_or(f64::NAN, |time| rounded(time.as_nanos() as f64 / 1e3))
    }

    /// The same in milliseconds.
    pub fn ms(&self, share: f64) -> f64 {
        rounded(self.us(share) / 1e3)
    }
}
