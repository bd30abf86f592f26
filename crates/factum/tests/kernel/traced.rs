//! System calls that fail, or kill, at a chosen moment: what `strace` injects into a writer.

use std::{fs, process::Command};

use fastrand::Rng;
use tempfile::TempDir;

use crate::{
    Outcome,
    child::{Ended, Level},
    count,
    history::Counts,
    kills::Subject,
    report::Report,
    seed,
};

/// What a writer may make of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Made {
    /// It was not the writer's own call, or one that costs only time.
    Nothing,
    /// The disk is full, and what comes later may succeed.
    Full,
    /// The log has failed for good; it closed nothing and took nothing more.
    Final,
    /// It did not open, with a sentence.
    NotOpened,
    Killed,
}
use Made::{Final, Full, Killed, NotOpened, Nothing};

/// The system call and what happens to it, and what may come of that. `when` counts the calls of each thread.
type Case = (Level, &'static str, &'static [Made]);

const CASES: &[Case] = &[
    (Level::Log, "fdatasync:error=EIO:when=1", &[Final, NotOpened]),
    (Level::Log, "fdatasync:error=EIO:when=2", &[Final, NotOpened]),
    (Level::Log, "fdatasync:error=EIO:when=17", &[Final, Nothing]),
    (Level::Log, "fdatasync:error=EIO:when=60", &[Final, Nothing]),
    (Level::Log, "fdatasync:error=EIO:when=131", &[Final, Nothing]),
    (Level::Log, "fdatasync:error=EIO:when=5+", &[Final]),
    (Level::Log, "fdatasync:error=ENOSPC:when=9", &[Final, Full, Nothing]),
    (Level::Log, "fdatasync:error=EDQUOT:when=40+", &[Final, Full]),
    (Level::Log, "fdatasync:signal=KILL:when=1", &[Killed]),
    (Level::Log, "fdatasync:signal=KILL:when=30", &[Killed]),
    (Level::Log, "fdatasync:signal=KILL:when=111", &[Killed]),
    (Level::Log, "fsync:error=EIO:when=1", &[NotOpened]),
    (Level::Log, "fsync:error=EIO:when=2+", &[NotOpened]),
    (Level::Log, "fsync:error=EIO:when=3+", &[Final, Nothing]),
    (Level::Log, "fsync:signal=KILL:when=1", &[Killed]),
    (Level::Log, "pwrite64:error=ENOSPC:when=1", &[Full, NotOpened]),
    (Level::Log, "pwrite64:error=ENOSPC:when=12", &[Full, Nothing]),
    (Level::Log, "pwrite64:error=ENOSPC:when=70", &[Full, Nothing]),
    (Level::Log, "pwrite64:error=ENOSPC:when=3+", &[Full]),
    (Level::Log, "pwrite64:error=ENOSPC:when=25+5", &[Full]),
    (Level::Log, "pwrite64:error=EDQUOT:when=33", &[Full, Nothing]),
    (Level::Log, "pwrite64:error=EIO:when=1", &[Final, NotOpened]),
    (Level::Log, "pwrite64:error=EIO:when=14", &[Final, Nothing]),
    (Level::Log, "pwrite64:error=EIO:when=90", &[Final, Nothing]),
    (Level::Log, "pwrite64:error=EINTR:when=3+4", &[Nothing]),
    (Level::Log, "pwrite64:signal=KILL:when=1", &[Killed]),
    (Level::Log, "pwrite64:signal=KILL:when=77", &[Killed]),
    (Level::Log, "pwrite64:error=ENOSPC:when=8+;ftruncate:error=EIO:when=1", &[Final]),
    (Level::Log, "rename:error=EIO:when=1", &[Final, Nothing]),
    (Level::Log, "rename:error=ENOSPC:when=1", &[Full, Nothing]),
    (Level::Log, "rename:signal=KILL:when=1", &[Killed]),
    (Level::Log, "rename:signal=KILL:when=2", &[Killed]),
    (Level::Log, "unlink:error=EIO:when=1+", &[Final, Nothing, NotOpened]),
    (Level::Log, "pread64:error=EIO:when=5", &[NotOpened, Nothing]),
    (Level::Log, "pread64:error=EIO:when=6", &[NotOpened, Nothing]),
    (Level::Log, "flock:error=EIO:when=1", &[NotOpened]),
    (Level::App, "fdatasync:error=EIO:when=3", &[Final]),
    (Level::App, "fdatasync:error=EIO:when=20", &[Final]),
    (Level::App, "fdatasync:signal=KILL:when=25", &[Killed]),
    (Level::App, "pwrite64:error=ENOSPC:when=30", &[Full, Nothing]),
    (Level::App, "pwrite64:error=EIO:when=30", &[Final]),
    (Level::App, "pwrite64:signal=KILL:when=50", &[Killed]),
];

/// Writes of a traced writer: some rolls and checkpoints.
const WRITES: u64 = 250;

/// The cases, all or some that are drawn.
pub fn run() -> Outcome {
    let number = count("FACTUM_CASES", 6).min(CASES.len());
    if let Err(why) = can_trace() {
        println!("kernel: skipped: {number} cases of strace: {why}");
        return Outcome::Skipped(why);
    }
    let mut cases = CASES.to_vec();
    Rng::with_seed(seed("cases of strace")).shuffle(&mut cases);
    let (mut counts, mut injected, mut made) = (Counts::default(), 0, Vec::new());
    for case in &cases[..number] {
        let (calls, ended, of_it) = one(case);
        injected += calls;
        made.push(ended);
        counts.add(of_it);
    }
    let times = |wanted| made.iter().filter(|made| **made == wanted).count();
    println!(
        "kernel: {number} cases of strace ({injected} system calls failed or killed): {} killed the writer, {} failed \
         the log for good, {} were refused as full, {} were refused at opening, {} were passed over; {counts}",
        times(Killed),
        times(Final),
        times(Full),
        times(NotOpened),
        times(Nothing),
    );
    Outcome::Passed
}

fn can_trace() -> Result<(), String> {
    let tried = Command::new("strace").args(["-f", "-qq", "-e", "trace=none", "true"]).output();
    let output = tried.map_err(|error| format!("strace: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("strace: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn one(case: &Case) -> (usize, Made, Counts) {
    let (level, fault, may) = *case;
    let temp = TempDir::new().unwrap();
    let mut subject = Subject::new(level, &temp.path().join("data"));
    let before = subject.order(40).start(&[]).end();
    subject.hear(&before);
    let trace = temp.path().join("trace");
    let mut words = ["strace", "-f", "-qq", "-o", &trace.to_string_lossy()].map(str::to_owned).to_vec();
    words.extend(fault.split(';').flat_map(|one| ["-e".to_owned(), format!("inject={one}")]));
    let ended = subject.order(WRITES).start(&words).end();
    subject.hear(&ended);
    let made = made(&ended);
    let lines = fs::read_to_string(&trace).unwrap();
    let injected = lines.lines().filter(|line| line.contains("(INJECTED)") || line.contains("+++ killed")).count();
    println!("kernel: strace {level:?} {fault}: {injected} times, {made:?}");
    assert!(injected > 0, "{fault}: never happened, so nothing was tested");
    assert!(may.contains(&made), "{fault}: the writer made {made:?} of it, {may:?} is promised: {}", last(&ended));
    subject.check_at_rest();
    let after = subject.order(20).start(&[]).end();
    assert!(!after.reports.iter().any(|report| matches!(report, Report::Closed { .. })), "{fault}: {}", last(&after));
    subject.hear(&after);
    (injected, made, subject.end())
}

fn made(ended: &Ended) -> Made {
    let says_full = |why: &str| why.contains("full");
    let each = |report: &Report| match report {
        Report::Closed { .. } => NotOpened,
        Report::Unknown { .. } => Final,
        Report::Refused { why, .. } if says_full(why) => Full,
        _ => Nothing,
    };
    match ended.status.success() {
        true => ended.reports.iter().map(each).max().unwrap_or(Nothing),
        false => Killed,
    }
}

fn last(ended: &Ended) -> String {
    let tail: Vec<_> = ended.reports.iter().rev().take(4).collect();
    format!("{tail:?} {}", ended.errors)
}
