//! A full disk under the bare log: a small file system, filled by a ballast and by the log itself.

use std::{fs, path::PathBuf};

use factum_log::{Batch, Log, LogError};
use factum_testing::chaos::{Ballast, Volume};
use fastrand::Rng;

use crate::{
    Outcome, count, entries,
    history::{Counts, History},
    log_check,
    report::Report,
    seed,
};

/// The size of the file system.
pub const MIB: u64 = 64;
/// Appends that are tried while the disk is full.
const WHILE_FULL: u64 = 40;
/// What is left to the log when it is to fill the disk itself, in bytes.
const LEFT: u64 = 8 << 20;

/// A log on a volume that fills up, and the next number that its batches may use.
struct Filling {
    dir: PathBuf,
    log: Option<Log>,
    history: History,
    next: u64,
}

impl Filling {
    fn open(dir: PathBuf) -> Self {
        let mut filling = Self { dir, log: None, history: History::default(), next: 0 };
        filling.reopen();
        filling
    }

    /// Ends the log, in order or not, and opens it again.
    fn reopen(&mut self) {
        drop(self.log.take());
        let (log, opened) = Log::open(&self.dir, entries::options()).unwrap();
        assert_eq!(opened.cut, None, "I1: something stayed of an append that was refused");
        self.log = Some(log);
        self.read();
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn read(&mut self) {
        let Self { log: Some(log), history, .. } = self else { return };
        log_check::read(&log.reader(), history);
    }

    /// Appends a batch; says whether there was room for it.
    fn append(&mut self) -> bool {
        let (first, count) = (self.next, entries::size(self.next));
        self.next += count;
        let batch: Batch = entries::batch(first, count);
        let told = match self.log().append(&batch) {
            Ok(appended) => Report::Done { first, count, position: appended.first },
            Err(error @ LogError::Full) => Report::Refused { first, why: error.to_string() },
            Err(error) => panic!("a full disk is refused as one, not with: {error} ({:?})", self.log().failure()),
        };
        let there_was = matches!(told, Report::Done { .. });
        self.history.hear(&[Report::Try { first, count }, told]);
        there_was
    }

    /// Fills the disk until an append is refused, then tries on.
    fn fill(&mut self) -> u64 {
        while self.append() {}
        let refused = (0..WHILE_FULL).filter(|_| !self.append()).count() as u64;
        // A checkpoint has no room either, or has; the log goes on in both cases.
        if let Err(error) = self.log().checkpoint() {
            assert!(!matches!(error, LogError::Failed), "a checkpoint without room has failed the log");
        }
        self.read();
        refused + 1
    }
}

/// The cycles.
pub fn run() -> Outcome {
    let cycles = count("FACTUM_CYCLES", 2);
    let volume = match Volume::new(MIB) {
        Ok(volume) => volume,
        Err(why) => {
            println!("kernel: skipped: {cycles} full disks: {why}");
            return Outcome::Skipped(why);
        }
    };
    let mut rng = Rng::with_seed(seed("full disks"));
    let (mut counts, mut refused, mut in_order) = (Counts::default(), 0, 0);
    for cycle in 0..cycles {
        refused += one(&volume, cycle, &mut rng, &mut counts, &mut in_order);
    }
    println!(
        "kernel: {cycles} full disks of {MIB} MiB under the log: {refused} appends refused as full, {cycles} restarts \
         while full ({in_order} after a close in order), {cycles} times gone on; {counts}"
    );
    Outcome::Passed
}

fn one(volume: &Volume, cycle: usize, rng: &mut Rng, counts: &mut Counts, in_order: &mut u64) -> u64 {
    let dir = volume.path().join("data");
    let mut filling = Filling::open(dir.clone());
    // Either the log fills the disk, or something else does, anywhere in a segment.
    let by_the_log = cycle % 2 == 1;
    (0..rng.u32(20..300)).for_each(|_| assert!(filling.append(), "the disk was full too early"));
    let ballast = Ballast::take(&volume.path(), if by_the_log { LEFT } else { 0 }).unwrap();
    let mut refused = filling.fill();
    if rng.bool() {
        // The mark of an orderly end may find no room, which is no damage.
        match filling.log.take().map(Log::close) {
            Some(Ok(())) => *in_order += 1,
            Some(Err(error)) => assert!(matches!(error, LogError::Full), "closing while full: {error}"),
            None => {}
        }
    }
    filling.reopen();
    refused += filling.fill();
    ballast.free().unwrap();
    (0..200).for_each(|_| assert!(filling.append(), "I6: there is room again, and the log does not go on"));
    filling.log().checkpoint().unwrap();
    filling.reopen();
    filling.log.take().unwrap().close().unwrap();
    let whole = log_check::whole(&dir);
    assert!(whole.checkpoints > 0 && whole.segments > 1, "the run was too short to roll and to write checkpoints");
    counts.add(filling.history.counts);
    fs::remove_dir_all(&dir).unwrap();
    refused
}
