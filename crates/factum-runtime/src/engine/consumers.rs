//! Where consumers stand: with the engine at its cursor, or apart with a cursor of their own.
//!
//! ```text
//!  joined ──── handler fails ────► stopped ──── program starts again ────► behind ──── meets the engine ────► joined
//!  new with `from_start` ────────────────────────────────────────────────► behind
//! ```

use std::collections::BTreeMap;

use factum_core::{
    cell::{Cell, CellKey, CellKind},
    error::StoreError,
    stream::Position,
};
use serde::{Deserialize, Serialize};

use crate::{
    registry::{ConsumerId, Handler, Registry},
    sabotage,
};

const ENGINE: &str = "engine";
const KNOWN: &str = "known";

/// A cell and its new value.
pub(super) type CellWrite = (CellKey, Option<Vec<u8>>);

/// A consumer that is not at the engine's cursor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Apart {
    /// The last message it has handled.
    pub(super) cursor: Position,
    /// Why it does not go on.
    pub(super) stopped: Option<String>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    pub(super) cursor: Position,
    pub(super) apart: BTreeMap<ConsumerId, Apart>,
    known: Vec<String>,
    pub(super) orphans: Vec<String>,
}

impl Consumers {
    /// Reads the cursors. What stopped before is tried again from where it stood; what is new starts now, or at the
    /// beginning if it says so.
    pub(super) fn load(registry: &Registry, cells: Vec<Cell>) -> Result<Self, StoreError> {
        let mut consumers = Self::default();
        let mut by_name: BTreeMap<String, Apart> = BTreeMap::new();
        for cell in cells {
            match cell.key.name.as_str() {
                ENGINE => consumers.cursor = read(&cell)?,
                KNOWN => consumers.known = read(&cell)?,
                _ => _ = by_name.insert(cell.key.name.clone(), read(&cell)?),
            }
        }
        if sabotage::is("reaction-acts-on-replay") {
            consumers.cursor = Position::START;
        }
        for (index, consumer) in registry.consumers.iter().enumerate() {
            let id = ConsumerId(index);
            if let Some(apart) = by_name.remove(&consumer.name) {
                consumers.apart.insert(id, Apart { stopped: None, ..apart });
            } else if !consumers.known.contains(&consumer.name)
                && consumers.cursor > Position::START
                && from_start(registry, id)
            {
                consumers.apart.insert(id, Apart { cursor: Position::START, stopped: None });
            }
        }
        let is_orphan = |name: &&String| !registry.consumers.iter().any(|consumer| consumer.name == **name);
        consumers.orphans = by_name.keys().filter(is_orphan).cloned().collect();
        Ok(consumers)
    }

    /// Whether a consumer takes part in the engine's own reading at this position.
    pub(super) fn takes(&self, consumer: ConsumerId, position: Position) -> bool {
        match self.apart.get(&consumer) {
            None => true,
            // One that stops in the middle of a batch still takes what stands before.
            Some(apart) => apart.cursor >= position && apart.stopped.is_some(),
        }
    }

    /// Whether a consumer waits for the next start.
    pub(super) fn is_stopped(&self, consumer: ConsumerId) -> bool {
        self.apart.get(&consumer).is_some_and(|apart| apart.stopped.is_some())
    }

    /// How many consumers wait for the next start.
    pub(super) fn stopped(&self) -> usize {
        self.apart.values().filter(|apart| apart.stopped.is_some()).count()
    }

    /// Stops a consumer where it stands: it has handled everything up to there, and must not handle it again.
    pub(super) fn stop_here(&mut self, consumer: ConsumerId, reason: String) {
        let cursor = self.apart.get(&consumer).map_or(self.cursor, |apart| apart.cursor);
        self.apart.insert(consumer, Apart { cursor, stopped: Some(reason) });
    }

    /// Stops a consumer in front of a message.
    pub(super) fn stop(&mut self, consumer: ConsumerId, at: Position, reason: String) {
        let cursor = Position(at.0.saturating_sub(1));
        self.apart.insert(consumer, Apart { cursor, stopped: Some(reason) });
    }

    /// The next consumer that has something to catch up with.
    pub(super) fn behind(&self) -> Option<(ConsumerId, Position)> {
        let mut running = self.apart.iter().filter(|(_, apart)| apart.stopped.is_none());
        running.next().map(|(consumer, apart)| (*consumer, apart.cursor))
    }

    /// The cell of the engine's cursor.
    pub(super) fn engine_cell(&self) -> Result<CellWrite, StoreError> {
        Ok((CellKey::new(CellKind::Cursor, ENGINE), Some(write(&self.cursor)?)))
    }

    /// The cell of a consumer's own cursor; it goes when the consumer has joined.
    pub(super) fn cell(&self, registry: &Registry, consumer: ConsumerId) -> Result<CellWrite, StoreError> {
        let key = CellKey::new(CellKind::Cursor, registry.consumer(consumer).name.clone());
        Ok((key, self.apart.get(&consumer).map(write).transpose()?))
    }

    /// The cell that lists the known consumers, if it must be written.
    pub(super) fn known_cell(&mut self, registry: &Registry) -> Result<Option<CellWrite>, StoreError> {
        let names: Vec<String> = registry.consumers.iter().map(|consumer| consumer.name.clone()).collect();
        if names.iter().all(|name| self.known.contains(name)) {
            return Ok(None);
        }
        // One that is gone stays known: if it comes back, it must not start at the beginning once more.
        let new: Vec<String> = names.into_iter().filter(|name| !self.known.contains(name)).collect();
        self.known.extend(new);
        Ok(Some((CellKey::new(CellKind::Cursor, KNOWN), Some(write(&self.known)?))))
    }
}

fn from_start(registry: &Registry, id: ConsumerId) -> bool {
    match registry.consumer(id).handler {
        Handler::Reaction(index) => registry.service(id).reactions[index].from_start,
        Handler::Decider(_) | Handler::Folding(_) | Handler::Saga(_) => false,
    }
}

fn read<T: for<'de> Deserialize<'de>>(cell: &Cell) -> Result<T, StoreError> {
    serde_json::from_slice(&cell.value)
        .map_err(|error| StoreError::Corrupt(format!("cell {} cannot be read: {error}", cell.key)))
}

fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Permanent(error.to_string()))
}
