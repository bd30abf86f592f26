//! The bare machine: what its disk and memory do in the same run, and how often the disk was flushed.

use std::{
    fs::{self, File, OpenOptions},
    hint::black_box,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::figure::{BareDisk, rounded};

/// Writes of one measurement of the disk.
const WRITES: usize = 1_500;
/// Bytes of one measurement of the disk.
const WRITTEN_BYTES: usize = 256 << 20;
/// The file that is written over: as a log's preallocated segment.
const FILE_BYTES: usize = 64 << 20;
/// More than a processor's cache holds.
const COPY_BYTES: usize = 256 << 20;
/// The column of `/proc/diskstats` that counts flush requests.
const FLUSHES: usize = 18;

/// A file of zeroes that is written over, each write with an `fdatasync`; it goes when this goes.
pub struct Bare {
    path: PathBuf,
    file: File,
    data: Vec<u8>,
    at: usize,
    times: Vec<Duration>,
}

impl Bare {
    /// Makes the file, for writes of so many bytes.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn new(dir: &Path, bytes: usize) -> anyhow::Result<Self> {
        let path = dir.join("bare-disk");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        let zeroes = vec![0; 1 << 20];
        for at in (0..FILE_BYTES).step_by(zeroes.len()) {
            file.write_all_at(&zeroes, at as u64)?;
        }
        file.sync_all()?;
        let data = vec![1; bytes.clamp(1, FILE_BYTES / 4)];
        Ok(Self { path, file, data, at: 0, times: Vec::new() })
    }

    /// Writes once.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write(&mut self) -> anyhow::Result<()> {
        self.write_some(self.data.len())
    }

    /// Writes once, and at most so many bytes.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write_some(&mut self, bytes: usize) -> anyhow::Result<()> {
        let bytes = bytes.min(self.data.len());
        if self.at + bytes > FILE_BYTES {
            self.at = 0;
        }
        let start = Instant::now();
        self.file.write_all_at(black_box(&self.data[..bytes]), self.at as u64)?;
        self.file.sync_data()?;
        self.times.push(start.elapsed());
        self.at += bytes;
        Ok(())
    }

    /// How many times it wrote.
    pub fn writes(&self) -> usize {
        self.times.len()
    }

    /// How long the writes took.
    pub fn figure(&self) -> BareDisk {
        let times = Times::of(self.times.clone());
        BareDisk { p50_us: times.us(0.5), p99_us: times.us(0.99), bytes: self.data.len() }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Its directory is a temporary one and goes anyway.
        let _ = fs::remove_file(&self.path);
    }
}

/// Times writes of so many bytes, one after the other.
///
/// # Errors
/// If the disk does not take them.
pub fn bare_disk(dir: &Path, bytes: usize) -> anyhow::Result<BareDisk> {
    let mut bare = Bare::new(dir, bytes)?;
    // Of large writes fewer: what they wear out is the patience of who waits.
    for _ in 0..WRITES.min(WRITTEN_BYTES / bytes.max(1)) {
        bare.write()?;
    }
    Ok(bare.figure())
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

/// The same, measured once in a run.
pub fn memcpy_of_this_run() -> f64 {
    static MEASURED: OnceLock<f64> = OnceLock::new();
    *MEASURED.get_or_init(memcpy_gb_per_s)
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

/// What this thread has used of a processor.
pub fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The most memory that this process had at any time, in MiB.
///
/// # Errors
/// If the system does not say.
pub fn peak_rss_mib() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the system shows no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Bytes that are free on the disk of a directory.
///
/// # Errors
/// If the directory is missing.
pub fn free_bytes(dir: &Path) -> anyhow::Result<u64> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// Bytes of the files in a directory.
///
/// # Errors
/// If it cannot be read.
pub fn size_of(dir: &Path) -> anyhow::Result<u64> {
    let files = fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata()?.len()));
    files.sum::<anyhow::Result<u64>>()
}

/// Takes a directory's files out of the system's memory, so that they are read from the disk.
///
/// # Errors
/// If they cannot be opened.
pub fn forget(dir: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
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
