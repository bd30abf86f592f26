//! Durable timers: a command that waits for its time, kept in a cell. In memory are only names and times.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use factum_core::{
    cell::{Cell, CellKey, CellKind},
    envelope::{Message, binary},
    error::StoreError,
    id::Name,
    stream::StreamId,
};
use jiff::Timestamp;
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

/// A timer: when, and what then.
#[derive(Clone, Debug)]
pub struct Timer {
    /// When it is due.
    pub due: Timestamp,
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
        let stored = Stored {
            second: self.due.as_second(),
            nanosecond: self.due.subsec_nanosecond(),
            type_name: &envelope.type_name,
            source: &envelope.source,
            message: &message,
        };
        postcard::to_allocvec(&stored).map_err(|error| StoreError::Unfit(error.to_string()))
    }

    /// Reads a cell's value.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (due, stored) = head(bytes)?;
        let shared = |text: &str| Name::Shared(text.into());
        let command = binary::decode(shared(stored.type_name), shared(stored.source), stored.message);
        Ok(Self { due, command: command.map_err(|error| corrupt(&error.to_string()))? })
    }
}

fn head(bytes: &[u8]) -> Result<(Timestamp, Stored<'_>), StoreError> {
    let stored: Stored<'_> = postcard::from_bytes(bytes).map_err(|error| corrupt(&error.to_string()))?;
    let due = Timestamp::new(stored.second, stored.nanosecond).map_err(|error| corrupt(&error.to_string()))?;
    Ok((due, stored))
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

/// All timers of a unit, in the order in which they fire: by time, then by name.
#[derive(Debug, Default)]
pub struct Timers {
    by_name: HashMap<Arc<str>, Entry>,
    order: BTreeSet<(Timestamp, Arc<str>)>,
    /// Those whose commands nobody can take now.
    parked: HashSet<Arc<str>>,
    sets: u64,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: Timestamp,
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
            let due = head(&cell.value)?.0;
            timers.set(cell.key.name.into(), due);
        }
        Ok(timers)
    }

    /// The cell of a timer.
    pub fn cell(name: &str) -> CellKey {
        CellKey::new(CellKind::Timer, name)
    }

    /// Sets or moves a timer.
    pub fn set(&mut self, name: Arc<str>, due: Timestamp) {
        self.remove(&name);
        self.sets += 1;
        self.bytes += name.len() + ENTRY_BYTES;
        self.order.insert((due, name.clone()));
        self.by_name.insert(name, Entry { due, set: self.sets });
    }

    /// Removes a timer; answers whether there was one.
    pub fn remove(&mut self, name: &Arc<str>) -> bool {
        let Some(entry) = self.by_name.remove(name) else { return false };
        self.bytes -= name.len() + ENTRY_BYTES;
        // One that is parked is not in the order.
        self.order.remove(&(entry.due, name.clone()));
        self.parked.remove(name);
        true
    }

    /// Whether this is what the timer of that name still is: it may have been moved or cancelled since it was taken.
    pub fn stands(&self, due: &Due) -> bool {
        self.by_name.get(&due.name).is_some_and(|entry| entry.set == due.set)
    }

    /// Lets a timer wait until [`Timers::unpark`], because nobody can take its command now.
    pub fn park(&mut self, name: &Arc<str>) {
        if let Some(entry) = self.by_name.get(name) {
            self.order.remove(&(entry.due, name.clone()));
            self.parked.insert(name.clone());
        }
    }

    /// Something has changed: all parked timers are due again.
    pub fn unpark(&mut self) {
        for name in self.parked.drain() {
            if let Some(entry) = self.by_name.get(&name) {
                self.order.insert((entry.due, name));
            }
        }
    }

    /// The timers due at `mark`, in order, at most `most`.
    pub fn due(&self, mark: Timestamp, most: usize) -> Vec<Due> {
        let due = self.order.iter().take_while(|(due, _)| *due <= mark).take(most);
        due.filter_map(|(at, name)| Some(Due { name: name.clone(), at: *at, set: self.by_name.get(name)?.set }))
            .collect()
    }

    /// When the next timer is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(due, _)| *due)
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
