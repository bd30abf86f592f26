//! Every flipped bit and every length of every file of a small log: right data or a loud refusal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use factum_log::{LogError, open_read_only};
use factum_testing::sim::disk::SimDisk;
use fastrand::Rng;

use crate::model::{Model, State, batch, matches, read};
use crate::run::{dir, open};
use crate::scale::{grouped, is_full, seed};
use crate::workload::{self, Workload};

/// How a sample ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Marked,
    /// With a batch that nothing behind it proves.
    Unproven,
}

/// A log, what was in it after each batch, and where that ended: the last segment and its length.
struct Sample {
    disk: SimDisk,
    workload: Workload,
    end: End,
    history: Vec<(State, PathBuf, u64)>,
}

#[derive(Debug, Default)]
struct Tally {
    flips: u64,
    cuts: u64,
    removals: u64,
    refused: u64,
    harmless: u64,
    /// Less than there was, in silence: only at the end of the last segment, where nothing is left that proves it.
    unproven: u64,
}

/// What opening gave.
enum Outcome {
    Refused,
    /// Everything up to this batch.
    Given(usize),
}

fn sample(end: End) -> Sample {
    let workload = Workload { name: "damage", seed: seed(), segment_bytes: 1200, steps: Vec::new() };
    let disk = SimDisk::new(seed());
    let (mut log, _) = open(&disk, &workload.options()).unwrap();
    let (mut model, mut rng, mut history) = (Model::default(), Rng::with_seed(seed()), Vec::new());
    history.push((State::default(), last_segment(&disk), 64));
    // So long that several segments are full, and the last one has some batches.
    while history.len() < 11 || history[history.len() - 3].1 != last_segment(&disk) {
        let parts = workload::parts(&mut rng, 200, history.len() % 3 == 0);
        model.begin(&parts);
        model.acknowledge(log.append(&batch(&parts)).unwrap().frame);
        if history.len() % 4 == 3 {
            log.idle().unwrap();
        }
        let path = last_segment(&disk);
        let length = disk.bytes(&path).unwrap().len() as u64;
        history.push((model.certain.clone(), path, length));
    }
    match end {
        End::Closed => log.close().unwrap(),
        End::Marked => log.idle().unwrap(),
        End::Unproven => {
            let mut last = workload::parts(&mut rng, 200, false);
            last.extend(workload::parts(&mut rng, 50, true));
            model.begin(&last);
            model.acknowledge(log.append(&batch(&last)).unwrap().frame);
            let path = last_segment(&disk);
            let length = disk.bytes(&path).unwrap().len() as u64;
            history.push((model.certain.clone(), path, length));
        }
    }
    Sample { disk, workload, end, history }
}

fn last_segment(disk: &SimDisk) -> PathBuf {
    disk.paths().into_iter().rfind(|path| path.extension().is_some_and(|it| it == "segment")).unwrap()
}

impl Sample {
    /// Opens the damaged log in both ways.
    fn outcome(&self, disk: &SimDisk, note: &dyn Fn() -> String) -> Outcome {
        let beside = open_read_only(dir(), Arc::new(disk.clone())).and_then(|reader| read(&reader));
        let opened = open(disk, &self.workload.options()).and_then(|(log, _)| read(&log.reader()));
        let replay = || format!("(replay: FACTUM_SEED={}, log {:?}, {})", seed(), self.end, note());
        let judged = |found: Result<_, LogError>| match found {
            Err(LogError::Damaged { .. } | LogError::UnknownFormat { .. } | LogError::NotALog { .. }) => None,
            Err(error) => panic!("I15: {error} {}", replay()),
            Ok(found) => {
                let batch = self.history.iter().rposition(|(state, ..)| matches(state, &found).is_ok());
                Some(batch.unwrap_or_else(|| panic!("I15: something else than at any moment {}", replay())))
            }
        };
        match (judged(beside), judged(opened)) {
            (None, None) => Outcome::Refused,
            (Some(one), Some(other)) if one == other => Outcome::Given(one),
            (one, other) => panic!("I15: a reader beside gets {one:?}, the owner {other:?} {}", replay()),
        }
    }

    /// Counts the outcome. Less than everything may be given only up to the batch `proven`.
    fn count(&self, disk: &SimDisk, proven: usize, tally: &mut Tally, note: &dyn Fn() -> String) {
        match self.outcome(disk, note) {
            Outcome::Refused => tally.refused += 1,
            Outcome::Given(batch) if batch + 1 == self.history.len() => tally.harmless += 1,
            Outcome::Given(batch) if batch == proven => tally.unproven += 1,
            Outcome::Given(batch) => panic!(
                "I15: silently less: {batch} batches of {} (replay: FACTUM_SEED={}, log {:?}, {})",
                self.history.len() - 1,
                seed(),
                self.end,
                note()
            ),
        }
    }

    fn all(&self) -> usize {
        self.history.len() - 1
    }

    fn flips(&self, path: &Path, tally: &mut Tally) {
        let length = self.disk.bytes(path).unwrap().len() as u64;
        let mut rng = Rng::with_seed(seed());
        for bit in (0..length * 8).filter(|_| is_full() || rng.u8(..20) == 0) {
            let disk = self.disk.restart();
            assert!(disk.flip(path, bit));
            // The bytes of a batch that nothing proves look like those of an append that was cut off.
            let ((_, before, start), (_, last, _)) = (&self.history[self.all() - 1], &self.history[self.all()]);
            let start = if before == last { *start } else { 64 };
            let unproven = self.end == End::Unproven && last == path && bit / 8 >= start;
            let proven = if unproven { self.all() - 1 } else { self.all() };
            tally.flips += 1;
            self.count(&disk, proven, tally, &|| format!("bit {bit} of {}", path.display()));
        }
    }

    fn cuts(&self, path: &Path, tally: &mut Tally) {
        let length = self.disk.bytes(path).unwrap().len() as u64;
        let mut rng = Rng::with_seed(seed());
        for length in (0..length).filter(|_| is_full() || rng.u8(..20) == 0) {
            let disk = self.disk.restart();
            assert!(disk.cut(path, length));
            tally.cuts += 1;
            self.count(&disk, self.proven(path, length), tally, &|| format!("cut {} at {length}", path.display()));
        }
        let disk = self.disk.restart();
        assert!(disk.lose(path));
        tally.removals += 1;
        self.count(&disk, self.proven(path, 0), tally, &|| format!("without {}", path.display()));
    }

    /// The last batch that something proves when this file ends at this length.
    fn proven(&self, path: &Path, length: u64) -> usize {
        if *path != last_segment(&self.disk) {
            return self.all();
        }
        let whole = |(_, segment, end): &(State, PathBuf, u64)| segment < &path.to_owned() || *end <= length;
        self.history.iter().rposition(whole).unwrap_or(0)
    }
}

#[test]
fn every_flipped_bit_and_every_cut_gives_right_data_or_a_refusal() {
    let mut tally = Tally::default();
    for end in [End::Closed, End::Marked, End::Unproven] {
        let sample = sample(end);
        let paths = sample.disk.paths();
        assert!(paths.iter().filter(|path| path.extension().is_some_and(|it| it == "segment")).count() > 2);
        for path in paths.iter().filter(|path| sample.disk.bytes(path).is_some_and(|bytes| !bytes.is_empty())) {
            sample.flips(path, &mut tally);
            sample.cuts(path, &mut tally);
        }
    }
    let Tally { flips, cuts, removals, refused, harmless, unproven } = tally;
    println!(
        "torture damage: {} flips, {} cuts, {removals} removals: {} refused, {} harmless, {} cut off batches that \
         nothing proved, 0 silent losses of others",
        grouped(flips),
        grouped(cuts),
        grouped(refused),
        grouped(harmless),
        grouped(unproven)
    );
    assert!(refused > 0 && harmless > 0 && unproven > 0);
}
