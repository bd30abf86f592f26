//! Prints the log's figures as JSON lines, each beside what the bare disk or memory does in the same run.
//!
//! `cargo run --release -p factum-log --example figures [directory]`; without a directory in a temporary one.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use factum_log::{Batch, Log, Options};

const GROUP: usize = 1024;
const BODY: usize = 400;
const GROUPS: usize = 1000;
const STREAMS: usize = GROUP * GROUPS / 10;
const BARE: usize = 768 << 20;
const SINGLES: usize = 4000;
const KINDS: [&str; 4] = ["order.created", "order.paid", "order.sent", "order.closed"];

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let root = std::env::args().nth(1).map_or(temporary.path().to_owned(), Into::into);
    let dir = root.join("figures-log");
    let (mut log, _) = Log::open(&dir, Options::default())?;
    let bare = Bare::new(&root.join("figures-bare"), BARE)?;
    groups(&mut log, &bare)?;
    singles(&mut log, &bare)?;
    scan(&log)?;
    streams(&log, &bare)?;
    log.close()?;
    let start = Instant::now();
    let (log, opened) = Log::open(&dir, Options::default())?;
    let took = start.elapsed();
    let entries = opened.entries as f64;
    let (segments, each) = (opened.segments as f64, entries / took.as_secs_f64());
    let ms = took.as_secs_f64() * 1e3;
    print("open", &[("entries", entries), ("segments", segments), ("ms", ms), ("entries_per_s", each)]);
    log.close()?;
    fs::remove_dir_all(&dir)?;
    fs::remove_file(root.join("figures-bare"))?;
    Ok(())
}

/// A file of zeroes, written over: what the disk does without a log.
struct Bare(File);

impl Bare {
    fn new(path: &Path, size: usize) -> Result<Self, Box<dyn Error>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let zeroes = vec![0; 1 << 20];
        for at in (0..size).step_by(zeroes.len()) {
            file.write_all_at(&zeroes, at as u64)?;
        }
        file.sync_all()?;
        Ok(Self(file))
    }

    fn write(&self, bytes: &[u8], at: &mut u64) -> Result<(), Box<dyn Error>> {
        self.0.write_all_at(bytes, *at)?;
        self.0.sync_data()?;
        *at += bytes.len() as u64;
        Ok(())
    }
}

/// What this thread has used of a processor.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

#[derive(Default)]
struct Meter {
    wall: Duration,
    cpu: Duration,
    slowest: Duration,
}

impl Meter {
    fn time(&mut self, step: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
        let (start, busy) = (Instant::now(), cpu());
        step()?;
        let took = start.elapsed();
        self.cpu += cpu() - busy;
        self.wall += took;
        self.slowest = self.slowest.max(took);
        Ok(())
    }
}

fn fill(batch: &mut Batch, entries: &mut usize, count: usize, body: &mut [u8]) {
    batch.clear();
    for _ in 0..count {
        body[..8].copy_from_slice(&entries.to_le_bytes());
        let stream = format!("order-{:08}", *entries % STREAMS);
        batch.entry(&stream, KINDS[*entries % KINDS.len()], "shop", body);
        *entries += 1;
    }
}

fn groups(log: &mut Log, bare: &Bare) -> Result<(), Box<dyn Error>> {
    let (mut batch, mut body, mut entries, mut at) = (Batch::new(), vec![b'x'; BODY], 0, 0);
    let (mut build, mut append, mut disk) = (Meter::default(), Meter::default(), Meter::default());
    // As long as the frame: an entry has 40 bytes and its stream's name beside its body.
    let same = vec![1; GROUP * (BODY + 40 + "order-00000000".len()) + 56];
    for _ in 0..GROUPS {
        build.time(|| {
            fill(&mut batch, &mut entries, GROUP, &mut body);
            Ok(())
        })?;
        append.time(|| Ok(log.append(black_box(&batch)).map(drop)?))?;
        disk.time(|| bare.write(black_box(&same), &mut at))?;
    }
    let each = |time: Duration| time.as_nanos() as f64 / (GROUP * GROUPS) as f64;
    print(
        "append groups, every one synced",
        &[
            ("entries", GROUP as f64),
            ("body_bytes", BODY as f64),
            ("entries_per_s", 1e9 / each(append.wall)),
            ("bare_per_s", 1e9 / each(disk.wall)),
            ("slowest_ms", append.slowest.as_secs_f64() * 1e3),
            ("bare_slowest_ms", disk.slowest.as_secs_f64() * 1e3),
            ("cpu_ns", each(append.cpu)),
            ("bare_cpu_ns", each(disk.cpu)),
            ("above_bare_cpu_ns", each(append.cpu) - each(disk.cpu)),
            ("build_cpu_ns", each(build.cpu)),
        ],
    );
    Ok(())
}

fn singles(log: &mut Log, bare: &Bare) -> Result<(), Box<dyn Error>> {
    let (mut batch, body, mut at, same) = (Batch::new(), vec![b'x'; BODY], 512 << 20, vec![1; 512]);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..SINGLES {
        let start = Instant::now();
        batch.clear();
        batch.entry("single", "order.created", "shop", &body);
        log.append(&batch)?;
        times[0].push(start.elapsed());
        let start = Instant::now();
        bare.write(&same, &mut at)?;
        times[1].push(start.elapsed());
    }
    times.iter_mut().for_each(|times| times.sort());
    let at = |index: usize, share: f64| times[index][(SINGLES as f64 * share) as usize].as_nanos() as f64 / 1e3;
    print(
        "append one, every one synced",
        &[
            ("body_bytes", BODY as f64),
            ("p50_us", at(0, 0.5)),
            ("p99_us", at(0, 0.99)),
            ("bare_p50_us", at(1, 0.5)),
            ("bare_p99_us", at(1, 0.99)),
            ("ratio_p50", at(0, 0.5) / at(1, 0.5)),
        ],
    );
    Ok(())
}

fn scan(log: &Log) -> Result<(), Box<dyn Error>> {
    let reader = log.reader();
    let (mut best, mut bytes) = (f64::MAX, 0);
    for _ in 0..3 {
        let (mut after, mut sum) = (0, 0);
        let start = Instant::now();
        while after < reader.head() {
            after = reader.scan(after, 8 << 20, &mut |entry| sum += entry.body.len() + entry.kind.len())?;
        }
        bytes = black_box(sum);
        best = best.min(start.elapsed().as_secs_f64());
    }
    let (from, mut to) = (vec![1_u8; 256 << 20], vec![2_u8; 256 << 20]);
    let mut copied = f64::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        black_box(&mut to).copy_from_slice(black_box(&from));
        copied = copied.min(start.elapsed().as_secs_f64());
    }
    let (rate, memcpy) = (bytes as f64 / best / 1e9, from.len() as f64 / copied / 1e9);
    print(
        "scan",
        &[
            ("entries", reader.head() as f64),
            ("entries_per_s", reader.head() as f64 / best),
            ("gb_per_s", rate),
            ("memcpy_gb_per_s", memcpy),
            ("of_memcpy", rate / memcpy),
        ],
    );
    Ok(())
}

fn streams(log: &Log, bare: &Bare) -> Result<(), Box<dyn Error>> {
    let reader = log.reader();
    let (mut seed, mut seen) = (7_u64, 0);
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let reads = 50_000;
    let start = Instant::now();
    for _ in 0..reads {
        let stream = format!("order-{:08}", random(STREAMS));
        reader.stream(&stream, 0, &mut |entry| seen += usize::from(entry.body.len() == BODY))?;
    }
    let took = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let mut bytes = [0; 512];
    for _ in 0..reads * 10 {
        bare.0.read_exact_at(&mut bytes, random(BARE - 512) as u64)?;
    }
    let reads = f64::from(reads);
    let bare = reads / start.elapsed().as_secs_f64();
    print("stream", &[("entries", seen as f64 / reads), ("reads_per_s", reads / took), ("bare_10_preads_per_s", bare)]);
    Ok(())
}

fn print(figure: &str, values: &[(&str, f64)]) {
    let values: Vec<_> = values.iter().map(|(name, value)| format!(r#""{name}":{:.2}"#, value)).collect();
    println!(r#"{{"figure":"{figure}",{}}}"#, values.join(","));
}
