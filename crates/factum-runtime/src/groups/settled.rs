//! What of a group's messages is settled, as it stands in the group's cell; and what its workers settle, as it goes to the engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use factum_core::{
    cell::{CellKey, CellKind},
    error::StoreError,
    stream::Position,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::registry::ConsumerId;

/// Messages that go to the engine together.
const PART: usize = 64;

/// See the module. Its size is bounded by what may be read ahead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Everything up to here is settled, a letter, or passed over behind a held key.
    pub cursor: Position,
    /// What is settled, or a letter, behind the cursor.
    pub beyond: BTreeSet<Position>,
    /// What has failed and is to be tried again.
    pub failed: BTreeMap<Position, Tries>,
}

/// How often a message has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// So often.
    pub attempts: u32,
    /// It is not offered before.
    pub until: Timestamp,
}

/// The cell's value.
#[derive(Serialize, Deserialize)]
struct Stored {
    cursor: u64,
    /// As distances from the cursor: small numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    beyond: Vec<u64>,
    /// Position, attempts, and until when, in milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    failed: Vec<(u64, u32, i64)>,
}

impl Settled {
    /// The cell of a group.
    pub fn cell(group: &str) -> CellKey {
        CellKey::new(CellKind::Group, group)
    }

    /// Whether a message is settled, or was passed over.
    pub fn has(&self, position: Position) -> bool {
        position <= self.cursor || self.beyond.contains(&position)
    }

    /// A message is settled. One that the cursor has passed stands in a letter or behind a held key, and is settled there.
    pub fn settle(&mut self, position: Position) {
        self.failed.remove(&position);
        if position > self.cursor {
            self.beyond.insert(position);
        }
    }

    /// Moves the cursor over what is settled.
    pub fn move_to(&mut self, cursor: Position) {
        if cursor > self.cursor {
            self.cursor = cursor;
            self.beyond = self.beyond.split_off(&Position(cursor.0.saturating_add(1)));
        }
    }

    /// The cell's value.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] if it has no stored form.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let failed = self.failed.iter().map(|(position, Tries { attempts, until })| {
            // Rounded up: it must not be offered before.
            (position.0, *attempts, until.as_millisecond().saturating_add(1))
        });
        let stored = Stored {
            cursor: self.cursor.0,
            beyond: self.beyond.iter().map(|position| position.0 - self.cursor.0).collect(),
            failed: failed.collect(),
        };
        serde_json::to_vec(&stored).map_err(|error| StoreError::Unfit(error.to_string()))
    }

    /// Reads a cell's value.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("a group's cell: {error}"));
        let Stored { cursor, beyond, failed } = serde_json::from_slice(bytes).map_err(|error| corrupt(&error))?;
        let place = |distance: u64| cursor.checked_add(distance).map(Position).ok_or_else(|| corrupt(&"too far"));
        let tries = |(position, attempts, until): (u64, u32, i64)| {
            let until = Timestamp::from_millisecond(until).map_err(|error| corrupt(&error))?;
            Ok::<_, StoreError>((Position(position), Tries { attempts, until }))
        };
        Ok(Self {
            cursor: Position(cursor),
            beyond: beyond.into_iter().map(place).collect::<Result<_, _>>()?,
            failed: failed.into_iter().map(tries).collect::<Result<_, _>>()?,
        })
    }
}

/// What workers have settled, on its way to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The group.
    pub group: ConsumerId,
    /// Messages that are done, with their keys.
    pub done: Vec<(Position, Arc<str>)>,
    /// Messages that have failed.
    pub failed: Vec<Failure>,
    /// How far the cursor may move, as whoever gives out messages sees it.
    pub passing: Option<Passing>,
}

/// A message that has failed once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub position: Position,
    /// Its key.
    pub key: Arc<str>,
    /// What the worker says.
    pub reason: String,
    /// It is not offered before.
    pub until: Timestamp,
}

/// A stretch of the log behind the cursor that may be passed. The engine goes as far as it knows each message to be settled, or
/// its key to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passing {
    /// The messages of the group on it that were not known to be settled, in order, with their keys.
    pub messages: Vec<(Position, Arc<str>)>,
    /// Its end.
    pub to: Position,
}

impl Settle {
    /// Nothing yet.
    pub fn of(group: ConsumerId) -> Self {
        Self { group, done: Vec::new(), failed: Vec::new(), passing: None }
    }

    /// In parts, each of which fits into a commit whatever it makes: letters, and lists of held keys. The cursor moves with the last.
    pub fn parts(self) -> Vec<Self> {
        let Self { group, done, failed, passing } = self;
        let mut parts: Vec<Self> = Vec::new();
        parts.extend(done.chunks(PART).map(|done| Self { done: done.to_vec(), ..Self::of(group) }));
        parts.extend(failed.chunks(PART).map(|failed| Self { failed: failed.to_vec(), ..Self::of(group) }));
        match (parts.last_mut(), passing) {
            (Some(last), passing) => last.passing = passing,
            (None, passing) => parts.push(Self { passing, ..Self::of(group) }),
        }
        parts
    }

    /// Bytes that it takes while it waits, about.
    pub fn bytes(&self) -> usize {
        let keys = |keys: &[(Position, Arc<str>)]| keys.iter().map(|(_, key)| 32 + key.len()).sum::<usize>();
        let failed: usize = self.failed.iter().map(|it| 64 + it.key.len() + it.reason.len()).sum();
        keys(&self.done) + failed + self.passing.as_ref().map_or(0, |passing| keys(&passing.messages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_reads_back_and_a_delay_is_never_shorter() {
        let until: Timestamp = "2026-01-02T03:04:05.123456Z".parse().unwrap();
        let mut settled = Settled { cursor: Position(7), ..Settled::default() };
        settled.settle(Position(9));
        settled.settle(Position(3));
        settled.failed.insert(Position(5), Tries { attempts: 2, until });
        let read = Settled::decode(&settled.encode().unwrap()).unwrap();
        assert_eq!((read.cursor, &read.beyond), (settled.cursor, &settled.beyond));
        assert_eq!(read.failed[&Position(5)].attempts, 2);
        assert!(read.failed[&Position(5)].until >= until);
        assert!(read.has(Position(3)) && !read.has(Position(8)) && read.has(Position(9)));
    }

    #[test]
    fn a_cursor_that_moves_forgets_what_it_has_passed_and_never_goes_back() {
        let mut settled = Settled::default();
        [2, 3, 9].into_iter().for_each(|at| settled.settle(Position(at)));
        settled.move_to(Position(3));
        settled.move_to(Position(1));
        assert_eq!((settled.cursor, settled.beyond), (Position(3), BTreeSet::from([Position(9)])));
        for bad in
            ["", "{}", "{\"cursor\":18446744073709551615,\"beyond\":[1]}", "{\"cursor\":1,\"failed\":[[1,1,9e30]]}"]
        {
            assert!(Settled::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
