//! The stage: everything that one batch changes, collected delivery by delivery.

use std::collections::{BTreeMap, HashMap};

use factum_core::{
    cell::{CellChange, CellKey, ExpectedRevision},
    commit::{Append, Commit},
    stream::StreamId,
};

use crate::timers::Timer;

/// What one delivery changes. It joins the stage only when its handler is through.
#[derive(Default)]
pub(super) struct Local {
    pub(super) appends: Vec<Append>,
    pub(super) timers: Vec<(String, Option<Timer>)>,
    pub(super) cells: Vec<(CellKey, Option<Vec<u8>>)>,
    /// States that were changed and must be dropped if the delivery comes to nothing.
    pub(super) touched: Vec<StreamId>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Stage {
    appends: Vec<Append>,
    by_stream: HashMap<StreamId, Vec<usize>>,
    cells: BTreeMap<CellKey, Option<Vec<u8>>>,
    bytes: usize,
}

impl Stage {
    pub(super) fn append(&mut self, append: Append) {
        self.bytes += append.messages.iter().map(|message| message.bytes()).sum::<usize>();
        self.by_stream.entry(append.stream.clone()).or_default().push(self.appends.len());
        self.appends.push(append);
    }

    pub(super) fn cell(&mut self, key: CellKey, value: Option<Vec<u8>>) {
        self.bytes += key.name.len() + value.as_ref().map_or(0, Vec::len);
        self.cells.insert(key, value);
    }

    /// What the batch appends to a stream so far.
    pub(super) fn of_stream(&self, stream: &StreamId) -> impl Iterator<Item = &Append> {
        self.by_stream.get(stream).into_iter().flatten().map(|index| &self.appends[*index])
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.cells.is_empty()
    }

    pub(super) fn into_commit(self) -> Commit {
        let cells = self.cells.into_iter();
        Commit {
            appends: self.appends,
            cells: cells.map(|(key, value)| CellChange { key, expected: ExpectedRevision::Any, value }).collect(),
        }
    }
}
