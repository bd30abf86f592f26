//! What the log must hold: everything acknowledged, at most what is unknown, nothing that was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use factum_log::{Batch, EntryRef, Log, LogError, Reader};

/// A part of a batch.
#[derive(Clone, Debug)]
pub enum Part {
    Entry { stream: String, kind: String, body: Vec<u8> },
    Put { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
}

/// The batch of these parts.
pub fn batch(parts: &[Part]) -> Batch {
    let mut batch = Batch::new();
    for part in parts {
        match part {
            Part::Entry { stream, kind, body } => batch.entry(stream, kind, "torture", body),
            Part::Put { key, value } => batch.put(key, value),
            Part::Delete { key } => batch.delete(key),
        }
    }
    batch
}

/// An entry: position, stream, version, type, source, body.
type Seen = (u64, String, u64, String, String, Vec<u8>);

/// Revision and value of each cell; 0 is a revision that nobody was told.
type Cells = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

/// The content of a log at one moment.
#[derive(Clone, Debug, Default)]
pub struct State {
    entries: Vec<Arc<Seen>>,
    cells: Cells,
    /// The last frame that somebody was told of.
    frame: u64,
}

impl State {
    pub fn head(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The state after a batch, whose frame is not known yet.
    fn after(&self, parts: &[Part]) -> State {
        let mut next = self.clone();
        for part in parts {
            match part {
                Part::Entry { stream, kind, body } => {
                    let version = next.entries.iter().filter(|entry| entry.1 == *stream).count() as u64 + 1;
                    let position = next.head() + 1;
                    let (kind, source) = (kind.clone(), "torture".to_owned());
                    next.entries.push(Arc::new((position, stream.clone(), version, kind, source, body.clone())));
                }
                Part::Put { key, value } => drop(next.cells.insert(key.clone(), (0, value.clone()))),
                Part::Delete { key } => drop(next.cells.remove(key)),
            }
        }
        next
    }

    /// Notes the number of the frame that wrote what nobody was told of.
    fn learn(&mut self, frame: u64) {
        self.frame = self.frame.max(frame);
        for (revision, _) in self.cells.values_mut().filter(|(revision, _)| *revision == 0) {
            *revision = frame;
        }
    }

    fn differs_in_cells(&self, cells: &Cells) -> bool {
        let other = |key: &Vec<u8>, cell: &(u64, Vec<u8>)| {
            let Some((revision, value)) = cells.get(key) else { return true };
            let same = cell.0 == *revision || (cell.0 == 0 && *revision > self.frame);
            !same || cell.1 != *value
        };
        self.cells.len() != cells.len() || self.cells.iter().any(|(key, cell)| other(key, cell))
    }
}

/// What a check found.
#[derive(Debug)]
pub enum Problem {
    /// Something that must not be: the sentence begins with the invariant.
    Wrong(String),
    /// All is there but the last batch, which no mark covered: on the disk it looks like one that was never
    /// acknowledged. Allowed only where its bytes were damaged.
    LastLost(String),
    /// The log refused to give it.
    Refused(LogError),
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        Self::Refused(error)
    }
}

/// Everything that a log holds now.
pub struct Found {
    entries: Vec<Seen>,
    cells: Cells,
}

/// Reads all entries and cells.
pub fn read(reader: &Reader) -> Result<Found, LogError> {
    let (mut entries, mut after) = (Vec::new(), 0);
    loop {
        let last = reader.scan(after, 2000, &mut |entry| entries.push(own(&entry)))?;
        if last == after {
            break;
        }
        after = last;
    }
    let cells = reader.cells(b"").into_iter().map(|(key, cell)| (key, (cell.revision, cell.value.to_vec())));
    Ok(Found { entries, cells: cells.collect() })
}

fn own(entry: &EntryRef<'_>) -> Seen {
    let [stream, kind, source] = [entry.stream, entry.kind, entry.source].map(str::to_owned);
    (entry.position, stream, entry.version, kind, source, entry.body.to_vec())
}

/// What whoever uses the log knows about it.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// What was acknowledged, and what was found again at opening.
    pub certain: State,
    /// What will hold if the append under way, or the one that failed, was done after all.
    pub unknown: Option<State>,
    /// What was certain before the last batch, as long as no mark covers that one.
    uncovered: Option<State>,
    /// The reader of the open log.
    pub reader: Option<Reader>,
    /// The last position that any reader saw.
    seen: u64,
    /// The highest revision of a cell that any reader saw.
    seen_revision: u64,
}

impl Model {
    /// For a log that holds just this.
    pub fn of(state: &State) -> Self {
        Self { certain: state.clone(), ..Self::default() }
    }

    pub fn begin(&mut self, parts: &[Part]) {
        self.unknown = Some(self.certain.after(parts));
    }

    pub fn acknowledge(&mut self, frame: u64) {
        if let Some(mut state) = self.unknown.take() {
            state.learn(frame);
            self.uncovered = Some(std::mem::replace(&mut self.certain, state));
        }
    }

    /// Notes that the log wrote a mark behind everything.
    pub fn cover(&mut self) {
        self.uncovered = None;
    }

    pub fn refuse(&mut self) {
        self.unknown = None;
    }

    /// Notes what a reader sees at this moment.
    pub fn look(&mut self) {
        let Some(reader) = &self.reader else { return };
        self.seen = self.seen.max(reader.head());
        let revision = reader.cells(b"").iter().map(|(_, cell)| cell.revision).max().unwrap_or(0);
        self.seen_revision = self.seen_revision.max(revision);
    }

    /// Holds a log that was just opened against what must be there, and notes what became of the unknown.
    pub fn check(&mut self, log: &mut Log) -> Result<(), Problem> {
        let reader = log.reader();
        let found = read(&reader)?;
        let frame = log.append(&Batch::new())?.frame;
        self.compare(&found, frame)?;
        let state = &self.certain;
        let own: BTreeMap<_, _> =
            log.cells(b"").map(|(key, cell)| (key.to_vec(), (cell.revision, cell.value.to_vec()))).collect();
        if state.differs_in_cells(&own) || log.head() != state.head() {
            return wrong(format!("I1: the writer at {} sees other cells or entries than its readers", log.head()));
        }
        check_streams(&reader, state)
    }

    /// The same for a reader alone. It says nothing of the number of frames.
    pub fn check_reader(&mut self, reader: &Reader) -> Result<(), Problem> {
        let found = read(reader)?;
        self.compare(&found, u64::MAX)?;
        check_streams(reader, &self.certain)
    }

    fn compare(&mut self, found: &Found, frame: u64) -> Result<(), Problem> {
        let head = found.entries.len() as u64;
        if head < self.seen && self.seen > self.certain.head() {
            return wrong(format!("I4: a reader saw position {}, and the log ends at {head}", self.seen));
        }
        if frame < self.seen_revision && self.seen_revision > self.certain.frame {
            return wrong(format!("I4: a reader saw frame {}, and the last is {frame}", self.seen_revision));
        }
        let Err(problem) = matches(&self.certain, found) else {
            // The unknown has not happened; it will not happen any more.
            self.unknown = None;
            return Ok(());
        };
        match self.unknown.take() {
            Some(mut state) if matches(&state, found).is_ok() => {
                state.learn(found.cells.values().map(|(revision, _)| *revision).max().unwrap_or(0));
                self.uncovered = Some(std::mem::replace(&mut self.certain, state));
                Ok(())
            }
            _ => match &self.uncovered {
                Some(before) if matches(before, found).is_ok() => Err(Problem::LastLost(problem)),
                _ => wrong(problem),
            },
        }
    }
}

/// Whether the log holds just this; if not, what is wrong.
pub fn matches(state: &State, found: &Found) -> Result<(), String> {
    for (index, (expected, seen)) in state.entries.iter().zip(&found.entries).enumerate() {
        if **expected != *seen {
            let short = |seen: &Seen| format!("{} v{} of {} bytes at {}", seen.1, seen.2, seen.5.len(), seen.0);
            return Err(format!("I3: entry {} is {} and was {}", index + 1, short(seen), short(expected)));
        }
    }
    let (head, expected) = (found.entries.len() as u64, state.head());
    match head.cmp(&expected) {
        std::cmp::Ordering::Less => return Err(format!("I1: {expected} entries were acknowledged, {head} are there")),
        std::cmp::Ordering::Greater => {
            return Err(format!("I1: {head} entries are there, {expected} can be: a refused batch, or one twice"));
        }
        std::cmp::Ordering::Equal => {}
    }
    match state.differs_in_cells(&found.cells) {
        true => {
            Err(format!("I1: cells {:?} were acknowledged, {:?} are there", state.cells.keys(), found.cells.keys()))
        }
        false => Ok(()),
    }
}

fn check_streams(reader: &Reader, state: &State) -> Result<(), Problem> {
    let streams: BTreeSet<&str> = state.entries.iter().map(|entry| entry.1.as_str()).collect();
    for stream in streams {
        let mut seen = Vec::new();
        reader.stream(stream, 0, &mut |entry| seen.push(own(&entry)))?;
        let expected = state.entries.iter().filter(|entry| entry.1 == stream);
        let count = expected.clone().count() as u64;
        if reader.version(stream) != count || seen.len() as u64 != count || !expected.zip(&seen).all(|(a, b)| **a == *b)
        {
            let (version, seen) = (reader.version(stream), seen.len());
            return wrong(format!("I3: {stream} has {count} entries; its version is {version}, its chain {seen}"));
        }
    }
    match reader.version("nobody's") {
        0 => Ok(()),
        version => wrong(format!("I3: a stream without entries has version {version}")),
    }
}

fn wrong(sentence: String) -> Result<(), Problem> {
    Err(Problem::Wrong(sentence))
}
