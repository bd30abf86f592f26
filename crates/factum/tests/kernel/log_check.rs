//! Checks of the bare log from outside: everything in it against what writers were told and what they saw.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use factum_log::{EntryRef, Log, Observer, Opened, Reader, RealDisk, verify};

use crate::{
    entries,
    history::{History, digest},
    report::Report,
};

/// How the check looks at the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Without the lock, so that the next writer finds the log as the fault left it.
    Beside,
    /// Opens it, looks, appends and closes.
    Reopen,
}

/// What a check came upon.
#[derive(Default)]
pub struct Found {
    pub opened: Option<Opened>,
    /// Whether the remains of an append stood at the end.
    pub unfinished: bool,
    pub checkpoints: usize,
    pub segments: usize,
}

/// Checks everything; `first` is a number that nobody has used, for the appends of a check that reopens.
pub fn check(dir: &Path, look: Look, history: &mut History, first: u64) -> Found {
    let mut found = whole(dir);
    if look == Look::Beside {
        let observer = Observer::open(dir, Arc::new(RealDisk)).unwrap();
        read(&observer.reader(), history);
        return found;
    }
    let (mut log, opened) = Log::open(dir, entries::options()).unwrap();
    found.opened = Some(opened);
    read(&log.reader(), history);
    go_on(&mut log, history, first, 3);
    log.close().unwrap();
    let after = whole(dir);
    assert!(!after.unfinished, "I15: a closed log has the remains of an append at its end");
    found
}

/// Appends batches and reads everything again.
pub fn go_on(log: &mut Log, history: &mut History, mut first: u64, batches: u64) {
    for _ in 0..batches {
        let count = entries::size(first);
        let appended = log.append(&entries::batch(first, count)).unwrap();
        history.hear(&[Report::Try { first, count }, Report::Done { first, count, position: appended.first }]);
        first += count;
    }
    read(&log.reader(), history);
}

/// Looks every checksum and link up.
pub fn whole(dir: &Path) -> Found {
    let report = verify(dir, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    assert_eq!(report.damage, [], "I15: the log is damaged");
    assert_eq!(report.unusable, [], "I15: a checkpoint is not true");
    Found {
        opened: None,
        unfinished: report.unfinished.is_some(),
        checkpoints: report.checkpoints,
        segments: report.segments,
    }
}

/// What stands in the log, as far as it is read.
#[derive(Default)]
struct Contents {
    /// First numbers of the batches, in order, with their first position and count.
    batches: Vec<(u64, u64, u64)>,
    /// The batch being read: first number, count, and how many of it were read.
    open: Option<(u64, u64, u64)>,
    cells: BTreeMap<Vec<u8>, Vec<u8>>,
    streams: HashMap<String, Vec<u64>>,
}

impl Contents {
    fn take(&mut self, entry: &EntryRef<'_>) {
        let Some([number, first, count]) = entries::numbers(entry.body) else {
            panic!("I1: the entry at {} was never written: its body is too short", entry.position);
        };
        let (first_open, count_open, read) = self.open.unwrap_or_else(|| {
            self.batches.push((first, entry.position, count));
            (first, count, 0)
        });
        let expected = (first_open + read, first_open, count_open);
        assert_eq!((number, first, count), expected, "I1: a batch is not whole, at position {}", entry.position);
        let content = entries::content(number, first, count);
        let same = (entry.stream, entry.kind, entry.source, entry.body)
            == (content.stream.as_str(), content.kind, "writer", &content.body[..]);
        assert!(same, "I1: the entry at {} is not as it was written", entry.position);
        self.streams.entry(content.stream).or_default().push(number);
        self.open = (read + 1 < count).then_some((first, count, read + 1));
        if self.open.is_none() {
            let (key, value) = entries::cell(first);
            match value {
                Some(value) => _ = self.cells.insert(key, value),
                None => _ = self.cells.remove(&key),
            }
            self.cells.insert(entries::CURSOR.to_vec(), first.to_le_bytes().to_vec());
        }
    }
}

/// Reads everything and compares.
pub fn read(reader: &Reader, history: &mut History) {
    let mut contents = Contents::default();
    let (head, mut after) = (reader.head(), 0);
    let mut reading = history.reading();
    while after < head {
        let mut visit = |entry: EntryRef<'_>| {
            let digest = digest(entry.position, entry.stream, entry.version, entry.kind, entry.body);
            reading.take(entry.position, entry.stream, entry.version, digest);
            contents.take(&entry);
        };
        after = reader.scan(after, 4 << 20, &mut visit).unwrap();
    }
    let versions = reading.end(head);
    assert_eq!(contents.open, None, "I1: the last batch is not whole");
    compare(history, &contents);
    let cells: BTreeMap<_, _> = reader.cells(b"").into_iter().map(|(key, cell)| (key, cell.value.to_vec())).collect();
    assert_eq!(cells, contents.cells, "I1: cells are not those of the last batches");
    // Every stream's version, and a few whole streams by their links.
    for (place, (stream, numbers)) in contents.streams.iter().enumerate() {
        assert_eq!(reader.version(stream), numbers.len() as u64, "I2: the version of {stream}");
        assert_eq!(versions.get(stream), Some(&(numbers.len() as u64)));
        if place % 16 == 0 {
            let mut linked = Vec::new();
            let mut visit =
                |entry: EntryRef<'_>| linked.extend(entries::numbers(entry.body).map(|[number, ..]| number));
            reader.stream(stream, 0, &mut visit).unwrap();
            assert_eq!(&linked, numbers, "I2: {stream} along its links is not {stream} by position");
        }
    }
}

/// What was acknowledged is there once, what was refused is not, and nothing that nobody tried is.
fn compare(history: &mut History, contents: &Contents) {
    let mut firsts = HashSet::new();
    for (first, position, count) in &contents.batches {
        assert!(firsts.insert(*first), "I1: the batch {first} is there twice, again at {position}");
        assert!(!history.refused.contains(first), "I1: the batch {first} was refused and is there, at {position}");
        let known = match history.done.get(first) {
            Some(done) => *done == (*count, *position),
            None => history.tried.get(first) == Some(count),
        };
        assert!(known, "I1: the batch {first} at {position} is not where or what it was said to be");
    }
    for (first, (count, position)) in &history.done {
        let there = firsts.contains(first);
        assert!(there, "I1: the batch {first} ({count} entries at {position}) was acknowledged, and is gone");
    }
    let kept: Vec<_> = contents.batches.iter().filter(|(first, ..)| history.tried.contains_key(first)).collect();
    for (first, position, count) in kept {
        history.done.insert(*first, (*count, *position));
    }
    history.settle(|first| firsts.contains(&first));
}
