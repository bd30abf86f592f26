//! Durable timers: a command that waits for its time, kept in a cell. In memory are only names and times.
//!
//! Two clocks: that on the wall, and the unit's running time, which stands still while the unit does. The limits of a saga's
//! steps go by the second, so that neither an hour off nor a stopped process uses them up, and stand still by themselves
//! while their instance is held.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use factum_core::{
    cell::{Cell, CellKey, CellKind},
    envelope::{Message, binary},
    error::StoreError,
    id::Name,
    schedule::LOOKS_BY,
    stream::StreamId,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What a timer takes in memory beside its name, about.
const ENTRY_BYTES: usize = 160;

/// A timer as its cell holds it.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    second: i64,
    nanosecond: i32,
    #[serde(borrow)]
    type_name: &'a str,
    source: &'a str,
    message: &'a [u8],
}

/// The bytes behind a stored timer that say which clock it goes by; none is the wall's.
const RUNNING: &[u8] = &[1];
const PAUSED: &[u8] = &[2];

/// When a timer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At this time.
    At(Timestamp),
    /// When the unit has run until then: this time, later by as long as the unit did not run.
    Running(Timestamp),
    /// Not before its instance is free again; then so much is left of it.
    Paused(SignedDuration),
}

impl When {
    /// When that is, if the unit did not run for so long; nothing if it stands still.
    pub fn due(self, lost: SignedDuration) -> Option<Timestamp> {
        match self {
            Self::At(due) => Some(due),
            Self::Running(due) => Some(due.saturating_add(lost).unwrap_or(Timestamp::MAX)),
            Self::Paused(_) => None,
        }
    }
}

/// A timer: when, and what then.
#[derive(Clone, Debug)]
pub struct Timer {
    /// When it is due.
    pub when: When,
    /// The command; its envelope tells the cause.
    pub command: Message,
}

impl Timer {
    /// The cell's value.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] if the command cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut message = Vec::new();
        binary::encode(&self.command, &mut message).map_err(|error| StoreError::Unfit(error.to_string()))?;
        let envelope = &self.command.envelope;
        let (second, nanosecond, clock) = match self.when {
            When::At(due) => (due.as_second(), due.subsec_nanosecond(), [].as_slice()),
            When::Running(due) => (due.as_second(), due.subsec_nanosecond(), RUNNING),
            When::Paused(left) => (left.as_secs(), left.subsec_nanos(), PAUSED),
        };
        let stored =
            Stored { second, nanosecond, type_name: &envelope.type_name, source: &envelope.source, message: &message };
        let mut bytes = postcard::to_allocvec(&stored).map_err(|error| StoreError::Unfit(error.to_string()))?;
        bytes.extend_from_slice(clock);
        Ok(bytes)
    }

    /// Reads a cell's value.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (when, stored) = head(bytes)?;
        let shared = |text: &str| Name::Shared(text.into());
        let command = binary::decode(shared(stored.type_name), shared(stored.source), stored.message);
        Ok(Self { when, command: command.map_err(|error| corrupt(&error.to_string()))? })
    }
}

fn head(bytes: &[u8]) -> Result<(When, Stored<'_>), StoreError> {
    let (stored, clock): (Stored<'_>, _) =
        postcard::take_from_bytes(bytes).map_err(|error| corrupt(&error.to_string()))?;
    let time = || Timestamp::new(stored.second, stored.nanosecond).map_err(|error| corrupt(&error.to_string()));
    let when = match clock {
        [] => When::At(time()?),
        RUNNING => When::Running(time()?),
        PAUSED => {
            let whole = SignedDuration::from_secs(stored.second);
            let left = whole.checked_add(SignedDuration::from_nanos(stored.nanosecond.into()));
            When::Paused(left.ok_or_else(|| corrupt("what is left of it is no time"))?)
        }
        _ => return Err(corrupt("it goes by a clock that this program does not know")),
    };
    Ok((when, stored))
}

fn corrupt(error: &str) -> StoreError {
    StoreError::Corrupt(format!("a timer cannot be read: {error}"))
}

/// The full name of a timer: of the stream that set it, and its name there. A slash of the stream is escaped, so that no
/// two timers share a name.
pub fn full_name(stream: &StreamId, name: &str) -> Arc<str> {
    let stream = stream.as_str();
    if stream.contains(['/', '%']) {
        return format!("{}/{name}", stream.replace('%', "%25").replace('/', "%2F")).into();
    }
    format!("{stream}/{name}").into()
}

/// The stream of a timer, as it stands in its full name.
pub fn stream_of(name: &str) -> &str {
    name.split_once('/').map_or(name, |(stream, _)| stream)
}

/// Whether a timer, or the stream that set it, is one that looks at a schedule.
pub(crate) fn is_look(name: &str) -> bool {
    name.strip_prefix(LOOKS_BY).is_some_and(|rest| rest.starts_with('-'))
}

/// All timers of a unit, in the order in which they fire: by time, then by name.
#[derive(Debug, Default)]
pub struct Timers {
    by_name: HashMap<Arc<str>, Entry>,
    order: BTreeSet<(Timestamp, Arc<str>)>,
    /// Those that go by the unit's running time, by that.
    limits: BTreeSet<(Timestamp, Arc<str>)>,
    /// Those whose commands nobody can take now.
    parked: HashSet<Arc<str>>,
    /// How long the unit did not run, since it first had such timers.
    lost: SignedDuration,
    /// How many such timers there are, parked ones among them.
    running: usize,
    /// How many stand still.
    paused: usize,
    sets: u64,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    when: When,
    /// Changes whenever the timer is set.
    set: u64,
}

/// A timer that was due when it was taken.
#[derive(Clone, Debug)]
pub struct Due {
    /// Its full name.
    pub name: Arc<str>,
    /// When it was due.
    pub at: Timestamp,
    set: u64,
}

impl Timers {
    /// Reads timers from their cells.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if one cannot be read.
    pub fn load(cells: Vec<Cell>) -> Result<Self, StoreError> {
        let mut timers = Self::default();
        for cell in cells {
            let when = head(&cell.value)?.0;
            timers.set(cell.key.name.into(), when);
        }
        Ok(timers)
    }

    /// The cell of a timer.
    pub fn cell(name: &str) -> CellKey {
        CellKey::new(CellKind::Timer, name)
    }

    /// Sets or moves a timer.
    pub fn set(&mut self, name: Arc<str>, when: When) {
        self.remove(&name);
        self.sets += 1;
        self.bytes += name.len() + ENTRY_BYTES;
        self.running += usize::from(matches!(when, When::Running(_)));
        self.paused += usize::from(matches!(when, When::Paused(_)));
        self.line_up(name.clone(), when);
        self.by_name.insert(name, Entry { when, set: self.sets });
    }

    fn line_up(&mut self, name: Arc<str>, when: When) {
        _ = match when {
            When::At(due) => self.order.insert((due, name)),
            When::Running(due) => self.limits.insert((due, name)),
            When::Paused(_) => false,
        };
    }

    fn stand_out(&mut self, name: &Arc<str>, when: When) {
        _ = match when {
            When::At(due) => self.order.remove(&(due, name.clone())),
            When::Running(due) => self.limits.remove(&(due, name.clone())),
            When::Paused(_) => false,
        };
    }

    /// Removes a timer; answers whether there was one.
    pub fn remove(&mut self, name: &Arc<str>) -> bool {
        let Some(entry) = self.by_name.remove(name) else { return false };
        self.bytes -= name.len() + ENTRY_BYTES;
        self.running -= usize::from(matches!(entry.when, When::Running(_)));
        self.paused -= usize::from(matches!(entry.when, When::Paused(_)));
        // One that is parked is not in the order.
        self.stand_out(name, entry.when);
        self.parked.remove(name);
        true
    }

    /// Whether this is what the timer of that name still is: it may have been moved or cancelled since it was taken.
    pub fn stands(&self, due: &Due) -> bool {
        self.by_name.get(&due.name).is_some_and(|entry| entry.set == due.set)
    }

    /// Lets a timer wait until [`Timers::unpark`], because nobody can take its command now.
    pub fn park(&mut self, name: &Arc<str>) {
        if let Some(entry) = self.by_name.get(name).copied() {
            self.stand_out(name, entry.when);
            self.parked.insert(name.clone());
        }
    }

    /// Something has changed: all parked timers are due again.
    pub fn unpark(&mut self) {
        for name in std::mem::take(&mut self.parked) {
            if let Some(entry) = self.by_name.get(&name).copied() {
                self.line_up(name, entry.when);
            }
        }
    }

    /// The timers due at `mark`, in order, at most `most`.
    pub fn due(&self, mark: Timestamp, most: usize) -> Vec<Due> {
        let running = self.running(mark);
        let passed = |order: &BTreeSet<(Timestamp, Arc<str>)>, mark: Timestamp, later: SignedDuration| {
            let due = order.iter().take_while(|(due, _)| *due <= mark).take(most);
            let due = due.filter_map(|(at, name)| {
                let at = at.saturating_add(later).unwrap_or(Timestamp::MAX);
                Some(Due { name: name.clone(), at, set: self.by_name.get(name)?.set })
            });
            due.collect::<Vec<Due>>()
        };
        let mut all = passed(&self.order, mark, SignedDuration::ZERO);
        let limits = passed(&self.limits, running, self.lost);
        if !limits.is_empty() {
            all.extend(limits);
            all.sort_by(|one, other| (one.at, &one.name).cmp(&(other.at, &other.name)));
            all.truncate(most);
        }
        all
    }

    /// When the next timer is due.
    pub fn next(&self) -> Option<Timestamp> {
        let at = self.order.first().map(|(due, _)| *due);
        let limit = self.limits.first().and_then(|(due, _)| due.saturating_add(self.lost).ok());
        at.into_iter().chain(limit).min()
    }

    /// The same without those that look at schedules, which are never over.
    pub fn next_of_work(&self) -> Option<Timestamp> {
        let at = self.order.iter().find(|(_, name)| !is_look(name)).map(|(due, _)| *due);
        let limit = self.limits.first().and_then(|(due, _)| due.saturating_add(self.lost).ok());
        at.into_iter().chain(limit).min()
    }

    /// When a timer is due, as things stand; nothing if it stands still.
    pub fn due_of(&self, when: When) -> Option<Timestamp> {
        when.due(self.lost)
    }

    /// When the next one of those is due that go by the unit's running time, by that.
    pub fn next_limit(&self) -> Option<Timestamp> {
        self.limits.first().map(|(due, _)| *due)
    }

    /// The unit's running time at this mark.
    pub fn running(&self, mark: Timestamp) -> Timestamp {
        mark.saturating_sub(self.lost).unwrap_or(Timestamp::MIN)
    }

    /// How long the unit did not run, since it first had timers that go by its running time.
    pub fn lost(&self) -> SignedDuration {
        self.lost
    }

    /// The unit has not run for so long in all.
    pub fn set_lost(&mut self, lost: SignedDuration) {
        self.lost = lost;
    }

    /// When a timer is due.
    pub fn when(&self, name: &str) -> Option<When> {
        self.by_name.get(name).map(|entry| entry.when)
    }

    /// Whether any stands still.
    pub fn has_paused(&self) -> bool {
        self.paused > 0
    }

    /// Whether any goes by the unit's running time.
    pub fn has_limits(&self) -> bool {
        self.running > 0
    }

    /// The timers that go by the unit's running time and do not stand as they should, and how they should at `mark`: still,
    /// where `wanted` says so of their stream. It looks at all timers, so that nothing is kept for what is rare.
    pub fn to_pause(&self, wanted: &HashMap<Arc<str>, bool>, mark: Timestamp) -> Vec<(Arc<str>, When)> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let running = self.running(mark);
        let changed = self.by_name.iter().filter_map(|(name, entry)| {
            let when = match (entry.when, wanted.get(stream_of(name))?) {
                (When::Running(due), true) => When::Paused(due.duration_since(running).max(SignedDuration::ZERO)),
                (When::Paused(left), false) => When::Running(running.saturating_add(left).unwrap_or(Timestamp::MAX)),
                _ => return None,
            };
            Some((name.clone(), when))
        });
        let mut changed: Vec<(Arc<str>, When)> = changed.collect();
        changed.sort_by(|(one, _), (other, _)| one.cmp(other));
        changed
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Bytes that they take in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
