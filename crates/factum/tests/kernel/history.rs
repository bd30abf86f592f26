//! What the recorder knows of one directory: what stands at each position, and what writers were told and saw.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::report::Report;

/// The digest of one entry or message, the same in the writer and in the recorder.
pub fn digest(position: u64, stream: &str, version: u64, kind: &str, body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (position, stream, version, kind, body).hash(&mut hasher);
    hasher.finish()
}

/// A directory's history, over all writers on it.
#[derive(Default)]
pub struct History {
    /// Sums of the digests up to each position, of the longest reading so far.
    sums: Vec<u64>,
    /// What was acknowledged and not yet found: first number, to count and position.
    pub done: BTreeMap<u64, (u64, u64)>,
    /// What may be there or not.
    pub tried: HashMap<u64, u64>,
    /// What must never be there.
    pub refused: HashSet<u64>,
    /// What readers in writers saw and is not yet compared.
    seen: Vec<(u64, u64, u64)>,
    /// What was seen of rows: the highest count.
    pub rows: HashMap<String, u64>,
    pub counts: Counts,
}

/// What happened, for the report of a run.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub acknowledged: u64,
    pub refused: u64,
    pub unknown: u64,
    pub unknown_kept: u64,
    pub readings: u64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.unknown_kept += other.unknown_kept;
        self.readings += other.readings;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { acknowledged, refused, unknown, unknown_kept, readings } = self;
        write!(
            f,
            "{acknowledged} acknowledged, 0 lost; {unknown} without an answer, {unknown_kept} of them kept; {refused} \
             refused, 0 kept; {readings} readings of what is still there"
        )
    }
}

impl History {
    /// Takes in what a writer told.
    pub fn hear(&mut self, reports: &[Report]) {
        for report in reports {
            match report {
                Report::Try { first, count } => _ = self.tried.insert(*first, *count),
                Report::Done { first, count, position } => {
                    assert_eq!(self.tried.remove(first), Some(*count), "I1: {first} was acknowledged, and not tried");
                    self.done.insert(*first, (*count, *position));
                    self.counts.acknowledged += count;
                }
                Report::Refused { first, .. } => {
                    assert!(self.tried.remove(first).is_some(), "I1: {first} was refused, and not tried");
                    self.refused.insert(*first);
                    self.counts.refused += 1;
                }
                Report::Seen { after, through, digest } => self.seen.push((*after, *through, *digest)),
                Report::Row { key, count } => {
                    let most = self.rows.entry(key.clone()).or_default();
                    *most = (*most).max(*count);
                }
                _ => {}
            }
        }
    }

    /// How far a reading has come that was read before.
    pub fn read_before(&self) -> u64 {
        self.sums.len() as u64
    }

    /// Begins a reading from the first position on.
    pub fn reading(&mut self) -> Reading<'_> {
        Reading { history: self, versions: HashMap::new(), head: 0, sum: 0 }
    }

    /// Notes that a tried number was found (or not) for good: it is in the log, or can never be.
    pub fn settle(&mut self, found: impl Fn(u64) -> bool) {
        self.counts.unknown += self.tried.len() as u64;
        self.counts.unknown_kept += self.tried.keys().filter(|first| found(**first)).count() as u64;
        let lost: Vec<u64> = self.tried.drain().map(|(first, _)| first).filter(|first| !found(*first)).collect();
        self.refused.extend(lost);
    }
}

/// A reading of everything, in order of position.
pub struct Reading<'h> {
    history: &'h mut History,
    versions: HashMap<String, u64>,
    head: u64,
    sum: u64,
}

impl Reading<'_> {
    /// Takes the next entry or message.
    pub fn take(&mut self, position: u64, stream: &str, version: u64, digest: u64) {
        assert_eq!(position, self.head + 1, "I3: a position is missing or comes again");
        self.head = position;
        let last = match self.versions.get_mut(stream) {
            Some(last) => last,
            None => self.versions.entry(stream.to_owned()).or_default(),
        };
        assert_eq!(version, *last + 1, "I2: a version of {stream} is missing or comes again, at position {position}");
        *last = version;
        self.sum = self.sum.wrapping_add(digest);
        match self.history.sums.get(position as usize - 1) {
            Some(before) => assert_eq!(*before, self.sum, "I3: position {position} has changed its content"),
            None => self.history.sums.push(self.sum),
        }
    }

    /// Ends the reading; answers the last version of each stream.
    pub fn end(self, head: u64) -> HashMap<String, u64> {
        let Self { history, versions, head: last, .. } = self;
        assert_eq!(last, head, "I3: the entries end before the log's head");
        let read = history.read_before();
        assert_eq!(last, read, "I3: positions that were read before are gone");
        for (after, through, digest) in history.seen.drain(..) {
            assert!(through <= last, "I4: a reader saw position {through}, the log ends at {last}");
            let sum = |position: u64| position.checked_sub(1).map_or(0, |index| history.sums[index as usize]);
            let now = sum(through).wrapping_sub(sum(after));
            assert_eq!(now, digest, "I4: a reader saw other contents of {after} to {through} than are there now");
            history.counts.readings += 1;
        }
        versions
    }
}
