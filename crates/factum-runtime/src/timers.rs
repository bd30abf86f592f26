//! Durable timers: a command that waits for its time, kept in a cell.

use std::collections::{BTreeMap, BTreeSet};

use factum_core::{
    cell::{Cell, CellKey, CellKind},
    envelope::{Message, binary},
    error::StoreError,
    id::Name,
    upcast::Upcasters,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// [`StoreError::Permanent`] if the command cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut message = Vec::new();
        binary::encode(&self.command, &mut message).map_err(|error| StoreError::Permanent(error.to_string()))?;
        let envelope = &self.command.envelope;
        let stored = Stored {
            second: self.due.as_second(),
            nanosecond: self.due.subsec_nanosecond(),
            type_name: &envelope.type_name,
            source: &envelope.source,
            message: &message,
        };
        postcard::to_allocvec(&stored).map_err(|error| StoreError::Permanent(error.to_string()))
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let corrupt = |error: String| StoreError::Corrupt(format!("a timer cannot be read: {error}"));
        let stored: Stored<'_> = postcard::from_bytes(bytes).map_err(|error| corrupt(error.to_string()))?;
        let due = Timestamp::new(stored.second, stored.nanosecond).map_err(|error| corrupt(error.to_string()))?;
        let shared = |text: &str| Name::Shared(text.into());
        let command = binary::decode(shared(stored.type_name), shared(stored.source), stored.message);
        Ok(Self { due, command: command.map_err(|error| corrupt(error.to_string()))? })
    }
}

/// All timers of a unit, in the order in which they fire: by time, then by name.
#[derive(Debug, Default)]
pub struct Timers {
    by_name: BTreeMap<String, Timer>,
    order: BTreeSet<(Timestamp, String)>,
}

impl Timers {
    /// Reads timers from their cells.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if one cannot be read.
    pub fn load(cells: Vec<Cell>, upcasters: &Upcasters) -> Result<Self, StoreError> {
        let mut timers = Self::default();
        for cell in cells {
            let mut timer = Timer::decode(&cell.value)?;
            upcasters.raise(&mut timer.command);
            timers.set(cell.key.name, timer);
        }
        Ok(timers)
    }

    /// The cell of a timer.
    pub fn cell(name: &str) -> CellKey {
        CellKey::new(CellKind::Timer, name)
    }

    /// Sets or moves a timer.
    pub fn set(&mut self, name: String, timer: Timer) {
        self.remove(&name);
        self.order.insert((timer.due, name.clone()));
        self.by_name.insert(name, timer);
    }

    /// Removes a timer; answers whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(timer) = self.by_name.remove(name) else { return false };
        // One that is parked is not in the order.
        self.order.remove(&(timer.due, name.to_owned()));
        true
    }

    /// Whether this is what the timer of that name still is: it may have been moved or cancelled since it was taken.
    pub fn stands(&self, name: &str, timer: &Timer) -> bool {
        let same = |known: &Timer| known.due == timer.due && known.command.envelope.id == timer.command.envelope.id;
        self.by_name.get(name).is_some_and(same)
    }

    /// Lets a timer wait for the next start, because nobody can take its command now.
    pub fn park(&mut self, name: &str) {
        if let Some(timer) = self.by_name.get(name) {
            self.order.remove(&(timer.due, name.to_owned()));
        }
    }

    /// The timers due at `mark`, in order, at most `most`.
    pub fn due(&self, mark: Timestamp, most: usize) -> Vec<(String, Timer)> {
        let due = self.order.iter().take_while(|(due, _)| *due <= mark).take(most);
        due.filter_map(|(_, name)| Some((name.clone(), self.by_name.get(name)?.clone()))).collect()
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
}
