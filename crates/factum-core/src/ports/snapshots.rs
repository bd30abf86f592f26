//! The port of snapshots: folded states by name, so that a start need not fold everything again.

use crate::{
    snapshot::{Snapshot, Unwritten},
    stream::{Lineage, Position},
};

/// Most bytes of a state; larger ones are folded from the log at every start.
pub const MAX_STATE_BYTES: usize = 256 << 20;

/// Keeps snapshots; used from several threads.
///
/// Whoever uses it has the log, so that losing any of them, or all, at any time costs time and nothing else. An
/// implementation keeps these promises:
///
/// - `get` answers what was put last under that name, or an earlier one, or nothing; never a part of one, never what was
///   put under another name. What has become unreadable is nothing.
/// - `put` replaces. It may be done later, or not at all; it need not be durable when it returns.
/// - After `remove` and [`Snapshots::retain`] what they removed is not answered any more, unless it is put again.
/// - A state of more than [`MAX_STATE_BYTES`] is refused by `put`.
/// - Names are any text of 1 to 512 bytes, and each is a name of its own.
pub trait Snapshots: Send + Sync {
    /// The snapshot of that name.
    ///
    /// # Errors
    /// [`SnapshotError`] if the store cannot be read.
    fn get(&self, name: &str) -> Result<Option<Snapshot>, SnapshotError>;

    /// Puts a snapshot under a name.
    ///
    /// # Errors
    /// [`SnapshotError`]; what was there before may be gone.
    fn put(&self, name: &str, snapshot: Snapshot) -> Result<(), SnapshotError>;

    /// Puts a snapshot whose state is to be written by the store, at once or in the background. Then `done` is told how
    /// many bytes the state had, or nothing if it has no form that can be kept.
    ///
    /// # Errors
    /// [`SnapshotError`], as of `put`; `done` may have been called or not.
    fn put_unwritten(
        &self,
        name: &str,
        snapshot: Unwritten,
        done: Box<dyn FnOnce(Option<usize>) + Send>,
    ) -> Result<(), SnapshotError> {
        let snapshot = snapshot.write().map_err(|error| SnapshotError::NoForm(error.to_string()));
        done(snapshot.as_ref().ok().map(|snapshot| snapshot.state.len()));
        self.put(name, snapshot?)
    }

    /// Removes the snapshot of that name; nothing happens if there is none.
    ///
    /// # Errors
    /// [`SnapshotError`] if the store cannot be written.
    fn remove(&self, name: &str) -> Result<(), SnapshotError>;

    /// Removes every snapshot that is not of this log, or that is of a place behind `head`: one that is ahead of its log
    /// would look valid as soon as the log has grown past it. To be called before the log is written.
    ///
    /// # Errors
    /// [`SnapshotError`] if the store cannot be read or written.
    fn retain(&self, lineage: Lineage, head: Position) -> Result<(), SnapshotError>;
}

/// Snapshots that cannot be kept or read now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Too much waits to be written: try again later.
    #[error("too many snapshots wait to be written")]
    Busy,
    /// This state is not kept: it is folded from the log at every start.
    #[error("a state of {bytes} bytes is not kept; {MAX_STATE_BYTES} are allowed: fold less into it")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// This state has no form that can be kept.
    #[error("a state cannot be written, and is folded from the log at every start: {0}")]
    NoForm(String),
    /// The store failed.
    #[error("the snapshots cannot be used, and states are folded from the log instead: {0}")]
    Store(String),
}

impl SnapshotError {
    /// Refuses a state that is too large; for implementations.
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`].
    pub fn check(snapshot: &Snapshot) -> Result<(), Self> {
        let bytes = snapshot.state.len();
        if bytes > MAX_STATE_BYTES { Err(Self::TooLarge { bytes }) } else { Ok(()) }
    }
}
