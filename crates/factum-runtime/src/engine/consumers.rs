//! Where consumers stand: with the engine at its cursor, or apart with a cursor of their own.
//!
//! ```text
//!  joined ──── a fold fails, too many letters ────► stopped ──── tried again, program starts again ────► behind
//!  new with `from_start` ─────────────────────────────────────────────────────────────────────────────► behind
//!  behind ──── reads its share of each step, and meets the engine ────► joined
//! ```
//!
//! A batch may be cut between the consumers of one message: then the engine's cell names those that had it already.

use std::collections::{BTreeMap, BTreeSet};

use factum_core::{
    Timestamp,
    cell::{Cell, CellKey, CellKind},
    error::StoreError,
    letter::{MAX_REASON_BYTES, short},
    ports::Reader,
    stream::Position,
};
use serde::{Deserialize, Serialize};

use super::stage::Stage;
use crate::{
    registry::{ConsumerId, Handler, Registry},
    sabotage,
};

const ENGINE: &str = "engine";
const KNOWN: &str = "known";
/// Cursors that are no consumer's.
pub(crate) const OWN_CURSORS: [&str; 2] = [ENGINE, KNOWN];

/// A consumer that is not at the engine's cursor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Apart {
    /// The last message it has handled.
    pub(super) cursor: Position,
    /// Why it does not go on.
    pub(super) stopped: Option<String>,
    /// It has reacted to everything up to here: a state that is made anew only folds as far.
    #[serde(default, skip_serializing_if = "is_start")]
    pub(super) acted: Position,
}

fn is_start(position: &Position) -> bool {
    *position == Position::START
}

/// The engine's cell: a bare number, or more if there is more to say.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum EngineCell {
    Bare(Position),
    More {
        position: Position,
        had: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ran: Option<Ran>,
    },
}

impl EngineCell {
    fn parts(self) -> (Position, Vec<String>, Option<Ran>) {
        match self {
            Self::Bare(position) => (position, Vec::new(), None),
            Self::More { position, had, ran } => (position, had, ran),
        }
    }
}

/// How long the unit has run, as long as anything goes by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// It ran at this time.
    pub at: Timestamp,
    /// Until then it did not run for so many microseconds in all.
    pub lost: i64,
}

/// Where the engine stands, and how long its unit has run, as the store says.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn stands(reader: &dyn Reader) -> Result<(Position, Option<Ran>), StoreError> {
    let cell = reader.cell(&CellKey::new(CellKind::Cursor, ENGINE))?;
    let parts = cell.map(|cell| read::<EngineCell>(&cell)).transpose()?.map(EngineCell::parts);
    Ok(parts.map_or((Position::START, None), |(position, _, ran)| (position, ran)))
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    /// Every joined consumer has handled everything up to here.
    pub(super) cursor: Position,
    /// These had the message behind the cursor too.
    pub(super) had: Vec<ConsumerId>,
    apart: BTreeMap<ConsumerId, Apart>,
    /// How long the unit has run, as it was written last.
    pub(super) ran: Option<Ran>,
    /// Those whose cells must be written with the next commit.
    changed: BTreeSet<ConsumerId>,
    /// That commit must not wait: more than a cursor has changed.
    urgent: bool,
    known: Vec<String>,
    /// Cursors whose consumers no service has any more.
    pub(super) orphans: Vec<String>,
}

impl Consumers {
    /// Reads the cursors. What stopped before is tried again from where it stood; what is new starts now, or at the
    /// beginning if it says so.
    pub(super) fn load(registry: &Registry, cells: Vec<Cell>) -> Result<Self, StoreError> {
        let mut consumers = Self::default();
        let mut had: Vec<String> = Vec::new();
        let mut by_name: BTreeMap<String, Apart> = BTreeMap::new();
        for cell in cells {
            match cell.key.name.as_str() {
                ENGINE => (consumers.cursor, had, consumers.ran) = read::<EngineCell>(&cell)?.parts(),
                KNOWN => consumers.known = read(&cell)?,
                _ => _ = by_name.insert(cell.key.name.clone(), read(&cell)?),
            }
        }
        if sabotage::is("reaction-acts-on-replay") {
            consumers.cursor = Position::START;
        }
        for (index, consumer) in registry.consumers.iter().enumerate() {
            let id = ConsumerId(index);
            if had.contains(&consumer.name) {
                consumers.had.push(id);
            }
            if let Some(apart) = by_name.remove(&consumer.name) {
                consumers.apart.insert(id, Apart { stopped: None, ..apart });
            } else if !consumers.known.contains(&consumer.name)
                && consumers.cursor > Position::START
                && from_start(registry, id)
            {
                consumers.set(id, Apart { cursor: Position::START, stopped: None, acted: Position::START });
            }
        }
        let is_orphan = |name: &&String| !registry.consumers.iter().any(|consumer| consumer.name == **name);
        consumers.orphans = by_name.keys().filter(is_orphan).cloned().collect();
        Ok(consumers)
    }

    /// Whether a consumer takes part in the engine's own reading.
    pub(super) fn is_joined(&self, consumer: ConsumerId) -> bool {
        !self.apart.contains_key(&consumer)
    }

    pub(super) fn is_stopped(&self, consumer: ConsumerId) -> bool {
        self.apart.get(&consumer).is_some_and(|apart| apart.stopped.is_some())
    }

    /// Whether a consumer's state is being made anew, so that it must not act yet.
    pub(super) fn is_renewed(&self, consumer: ConsumerId) -> bool {
        self.apart.get(&consumer).is_some_and(|apart| apart.cursor < apart.acted)
    }

    /// A consumer that is not at the engine's cursor.
    pub(super) fn apart(&self, consumer: ConsumerId) -> Option<&Apart> {
        self.apart.get(&consumer)
    }

    /// All of them.
    pub(super) fn all_apart(&self) -> impl Iterator<Item = (ConsumerId, &Apart)> {
        self.apart.iter().map(|(id, apart)| (*id, apart))
    }

    /// Whether a consumer reads by itself.
    pub(super) fn anybody_is_behind(&self) -> bool {
        self.apart.values().any(|apart| apart.stopped.is_none())
    }

    /// Up to where a consumer has handled everything, between two batches: it may have had the message behind the
    /// engine's cursor too.
    pub(super) fn reached(&self, consumer: ConsumerId) -> Position {
        let had = u64::from(self.had.contains(&consumer));
        self.apart.get(&consumer).map_or(Position(self.cursor.0 + had), |apart| apart.cursor)
    }

    /// How many have stopped.
    pub(super) fn stopped(&self) -> usize {
        self.apart.values().filter(|apart| apart.stopped.is_some()).count()
    }

    /// How many are not at the engine's cursor.
    pub(super) fn parted(&self) -> usize {
        self.apart.len()
    }

    /// Moves the engine's cursor to where a batch was cut. Who has parted meanwhile reads on from a place of its own.
    pub(super) fn cut_at(&mut self, cursor: Position, mut had: Vec<ConsumerId>) {
        had.retain(|consumer| self.is_joined(*consumer));
        (self.cursor, self.had) = (cursor, had);
    }

    /// Stops a consumer behind `cursor`, which it must not handle again.
    pub(super) fn stop(&mut self, consumer: ConsumerId, cursor: Position, reason: &str) {
        let acted = self.apart.get(&consumer).map_or(Position::START, |apart| apart.acted);
        self.set(consumer, Apart { cursor, stopped: Some(short(reason, MAX_REASON_BYTES)), acted });
    }

    /// Lets a consumer go on from a position of its own; up to `acted` it only folds.
    pub(super) fn go_on(&mut self, consumer: ConsumerId, cursor: Position, acted: Position) {
        self.set(consumer, Apart { cursor, stopped: None, acted });
    }

    /// Moves a consumer that reads apart; it joins when it meets the engine's cursor.
    pub(super) fn move_to(&mut self, registry: &Registry, consumer: ConsumerId, cursor: Position, engine: Position) {
        let Some(apart) = self.apart.get_mut(&consumer) else { return };
        if apart.stopped.is_none() && cursor >= engine {
            self.apart.remove(&consumer);
            self.urgent = true;
            tracing::info!(consumer = registry.consumer(consumer).name, "consumer has caught up");
        } else {
            apart.cursor = cursor;
        }
        self.changed.insert(consumer);
    }

    /// Puts the cells onto the stage that have changed.
    pub(super) fn write(&mut self, registry: &Registry, stage: &mut Stage) -> Result<(), StoreError> {
        self.urgent = false;
        for consumer in std::mem::take(&mut self.changed) {
            let key = CellKey::new(CellKind::Cursor, registry.consumer(consumer).name.clone());
            stage.cell(key, self.apart.get(&consumer).map(write).transpose()?);
        }
        let had: Vec<String> = self.had.iter().map(|id| registry.consumer(*id).name.clone()).collect();
        let cell = match had.is_empty() && self.ran.is_none() {
            true => EngineCell::Bare(self.cursor),
            false => EngineCell::More { position: self.cursor, had, ran: self.ran },
        };
        stage.cell(CellKey::new(CellKind::Cursor, ENGINE), Some(write(&cell)?));
        // One that is gone stays known: if it comes back, it must not start at the beginning once more.
        let new = registry.consumers.iter().filter(|consumer| !self.known.contains(&consumer.name));
        let new: Vec<String> = new.map(|consumer| consumer.name.clone()).collect();
        if !new.is_empty() {
            self.known.extend(new);
            stage.cell(CellKey::new(CellKind::Cursor, KNOWN), Some(write(&self.known)?));
        }
        Ok(())
    }

    /// Whether a cell besides the engine's is to be written.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Whether that is worth a commit: a cursor alone is not.
    pub(super) fn is_urgent(&self) -> bool {
        self.urgent
    }

    fn set(&mut self, consumer: ConsumerId, apart: Apart) {
        self.apart.insert(consumer, apart);
        self.changed.insert(consumer);
        self.urgent = true;
    }
}

fn from_start(registry: &Registry, id: ConsumerId) -> bool {
    match registry.consumer(id).handler {
        Handler::Reaction(index) => registry.service(id).reactions[index].from_start,
        Handler::Folding(index) => registry.service(id).foldings[index].starts_at_beginning(),
        Handler::Decider(_) | Handler::Saga(_) | Handler::Group(_) => false,
    }
}

fn read<T: for<'de> Deserialize<'de>>(cell: &Cell) -> Result<T, StoreError> {
    serde_json::from_slice(&cell.value)
        .map_err(|error| StoreError::Corrupt(format!("cell {} cannot be read: {error}", cell.key)))
}

fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Permanent(error.to_string()))
}
