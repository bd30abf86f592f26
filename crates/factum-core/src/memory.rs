//! The store in memory: the model that every other backend is tested against. Nothing survives the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use crate::{
    cell::{Cell, CellKey, CellKind, Revision},
    commit::{Found, Plan, Wanted},
    envelope::Stored,
    error::StoreError,
    ports::{Backend, Judge, Reader, Scan, Scanned, Written},
    stream::{Lineage, Position, StreamId, StreamVersion},
};

/// A store in memory. Clones share it, so that a test can "restart" over the same data.
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<RwLock<State>>,
    lineage: Lineage,
    far: bool,
}

#[derive(Default)]
struct State {
    messages: Vec<Stored>,
    streams: BTreeMap<StreamId, Vec<usize>>,
    cells: BTreeMap<CellKey, (Revision, Vec<u8>)>,
    writes: u64,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that calls itself far away, so that what works over a line is tried without one.
    #[must_use]
    pub fn far(self) -> Self {
        Self { far: true, ..self }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // A writer that panicked cannot leave half a plan behind that matters to a test's model.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Memory {
    fn transact(&mut self, wanted: &Wanted, judge: &mut Judge<'_>) -> Result<Option<Written>, StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let plans = judge(state.find(wanted));
        Ok(match plans.is_empty() {
            true => None,
            false => Some(Written { last: state.write(&plans), plans }),
        })
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(self.clone())
    }

    fn durability(&self) -> &'static str {
        "memory"
    }
}

impl State {
    fn find(&self, wanted: &Wanted) -> Found {
        let mut found = Found::default();
        for stream in &wanted.streams {
            if let Some(places) = self.streams.get(stream) {
                found.streams.insert(stream.clone(), StreamVersion(places.len() as u64));
            }
        }
        for key in &wanted.cells {
            if let Some((revision, _)) = self.cells.get(key) {
                found.cells.insert(key.clone(), *revision);
            }
        }
        found
    }

    fn write(&mut self, plans: &[Plan]) -> Position {
        for plan in plans {
            self.writes += 1;
            for append in &plan.appends {
                for (index, message) in append.messages.iter().enumerate() {
                    let place = self.messages.len();
                    self.messages.push(Stored {
                        position: Position(place as u64 + 1),
                        stream: append.stream.clone(),
                        version: StreamVersion(append.first.0 + index as u64),
                        message: message.clone(),
                    });
                    self.streams.entry(append.stream.clone()).or_default().push(place);
                }
            }
            for change in &plan.cells {
                match &change.value {
                    Some(value) => self.cells.insert(change.key.clone(), (Revision(self.writes), value.clone())),
                    None => self.cells.remove(&change.key),
                };
            }
        }
        Position(self.messages.len() as u64)
    }
}

impl Reader for Memory {
    fn lineage(&self) -> Lineage {
        self.lineage
    }

    fn head(&self) -> Position {
        Position(self.read().messages.len() as u64)
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, StoreError> {
        let state = self.read();
        let mut scanned = Scanned { messages: Vec::new(), through: scan.after };
        let mut bytes = 0;
        for stored in state.messages.iter().skip(scan.after.0 as usize) {
            if stored.position > scan.until || bytes >= scan.bytes {
                break;
            }
            scanned.through = stored.position;
            if scan.types.is_none_or(|wanted| wanted(stored.type_name())) {
                bytes += stored.message.bytes();
                scanned.messages.push(stored.clone());
            }
        }
        Ok(scanned)
    }

    fn stream(&self, stream: &StreamId, after: StreamVersion) -> Result<Vec<Stored>, StoreError> {
        let state = self.read();
        let Some(places) = state.streams.get(stream) else { return Ok(Vec::new()) };
        Ok(places.iter().skip(after.0 as usize).map(|place| state.messages[*place].clone()).collect())
    }

    fn cells(&self, kind: CellKind) -> Result<Vec<Cell>, StoreError> {
        let state = self.read();
        let of_kind = state.cells.iter().filter(|(key, _)| key.kind == kind);
        Ok(of_kind
            .map(|(key, (revision, value))| Cell { key: key.clone(), revision: *revision, value: value.clone() })
            .collect())
    }

    fn is_far(&self) -> bool {
        self.far
    }

    fn cell(&self, key: &CellKey) -> Result<Option<Cell>, StoreError> {
        let cell = |(revision, value): &(Revision, Vec<u8>)| Cell {
            key: key.clone(),
            revision: *revision,
            value: value.clone(),
        };
        Ok(self.read().cells.get(key).map(cell))
    }
}
