//! The stage: everything that one batch changes, collected delivery by delivery.

use std::{collections::BTreeMap, sync::Arc};

use factum_core::{
    cell::{CellChange, CellKey, ExpectedRevision},
    commit::{Append, Commit, cell_bytes},
    stream::{ExpectedVersion, StreamId, StreamVersion},
};

use super::{flight::Touched, states::ByStream};
use crate::timers::Timer;

/// What one delivery changes. It joins the stage only when its handler is through.
#[derive(Default)]
pub(super) struct Local {
    pub(super) appends: Vec<Append>,
    pub(super) timers: Vec<(Arc<str>, Option<Timer>)>,
    pub(super) cells: Vec<(CellKey, Option<Vec<u8>>)>,
    /// States that were changed and must be dropped if the delivery comes to nothing.
    pub(super) touched: Vec<StreamId>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Stage {
    appends: Vec<Append>,
    /// Messages up to the end of each append.
    ends: Vec<u64>,
    by_stream: ByStream<Vec<usize>>,
    cells: BTreeMap<CellKey, Option<Vec<u8>>>,
    bytes: usize,
}

impl Stage {
    pub(super) fn append(&mut self, append: Append) {
        self.bytes += append.bytes();
        self.by_stream.entry(append.stream.clone()).or_default().push(self.appends.len());
        self.ends.push(self.messages() + append.messages.len() as u64);
        self.appends.push(append);
    }

    pub(super) fn cell(&mut self, key: CellKey, value: Option<Vec<u8>>) {
        self.bytes += cell_bytes(&key, value.as_deref());
        self.cells.insert(key, value);
    }

    /// Room for cells that are put onto the stage only when the batch is through.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// What the batch makes of a cell; nothing if it does not touch it.
    pub(super) fn staged_cell(&self, key: &CellKey) -> Option<&Option<Vec<u8>>> {
        self.cells.get(key)
    }

    /// What the batch appends to a stream so far.
    pub(super) fn of_stream(&self, stream: &StreamId) -> impl Iterator<Item = &Append> {
        self.by_stream.get(stream).into_iter().flatten().map(|index| &self.appends[*index])
    }

    /// How many messages of the batch stand behind the one that gave a stream this version; `None` if none gave it.
    pub(super) fn behind(&self, stream: &StreamId, version: StreamVersion) -> Option<u64> {
        let gave = |append: &Append| match append.expected {
            ExpectedVersion::Exact(before) => before.0 + append.messages.len() as u64 == version.0,
            _ => false,
        };
        let index = self.by_stream.get(stream)?.iter().find(|index| gave(&self.appends[**index]))?;
        Some(self.messages() - self.ends[*index])
    }

    fn messages(&self) -> u64 {
        self.ends.last().copied().unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.cells.is_empty()
    }

    /// The commit, and what it touches, if that is asked for.
    pub(super) fn into_commit(self, tells: bool) -> (Commit, Touched) {
        let touched = match tells {
            true => Touched { streams: self.by_stream, cells: self.cells.keys().cloned().collect() },
            false => Touched::default(),
        };
        let cells = self.cells.into_iter();
        let commit = Commit {
            appends: self.appends,
            cells: cells.map(|(key, value)| CellChange { key, expected: ExpectedRevision::Any, value }).collect(),
        };
        (commit, touched)
    }
}
