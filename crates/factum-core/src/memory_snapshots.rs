//! Snapshots in memory: the model that every other store of snapshots is tested against. Nothing survives the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    ports::{SnapshotError, Snapshots},
    snapshot::Snapshot,
    stream::{Lineage, Position},
};

/// Snapshots in memory. Clones share them, so that a test can "restart" over the same data.
#[derive(Clone, Default)]
pub struct MemorySnapshots {
    by_name: Arc<Mutex<BTreeMap<String, Snapshot>>>,
}

impl MemorySnapshots {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Snapshot>> {
        // Nothing in here panics between two changes that belong together.
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshots for MemorySnapshots {
    fn get(&self, name: &str) -> Result<Option<Snapshot>, SnapshotError> {
        Ok(self.lock().get(name).cloned())
    }

    fn put(&self, name: &str, snapshot: Snapshot) -> Result<(), SnapshotError> {
        SnapshotError::check(&snapshot)?;
        self.lock().insert(name.to_owned(), snapshot);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), SnapshotError> {
        self.lock().remove(name);
        Ok(())
    }

    fn retain(&self, lineage: Lineage, head: Position) -> Result<(), SnapshotError> {
        self.lock().retain(|_, snapshot| snapshot.at.lineage == lineage && snapshot.at.position <= head);
        Ok(())
    }
}
