//! Notes in memory: the model that other implementations are tested against. Clones share them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::ports::{Note, Notes};

/// Notes in memory, so that a test can "restart" over the same ones.
#[derive(Clone, Debug, Default)]
pub struct MemoryNotes(Arc<Mutex<BTreeMap<String, Note>>>);

impl MemoryNotes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Notes for MemoryNotes {
    fn get(&self, name: &str) -> Option<Note> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn put(&self, name: &str, note: &Note) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), note.clone());
    }
}
