//! Bounds of the engine: what a step may take, stage and keep.

use factum_core::commit::MAX_COMMIT_BYTES;

use crate::shapes::MAX_SHAPES_BYTES;

/// Room in a commit for the cells of cursors, and for the list of what may be stored.
const BESIDE_BYTES: usize = (256 << 10) + MAX_SHAPES_BYTES;

/// Bounds of one step, and of what is kept between steps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages of the log in a batch.
    pub messages: usize,
    /// Bytes of messages of the log in a batch, and of inputs in another: one message more may be taken.
    pub batch_bytes: usize,
    /// Timers, and inputs from outside, in a batch.
    pub inputs: usize,
    /// Messages that consumers behind the engine, and keys that are released, get in a batch, each.
    pub share: usize,
    /// Bytes that a batch may stage before it is cut; below the commit's limit by the largest delivery.
    pub staged_bytes: usize,
    /// Unread messages above which nothing is taken from outside.
    pub backlog: u64,
    /// Steps along the chain of causes above which something is taken for a loop.
    pub depth: u16,
    /// Letters of one consumer at which it stops.
    pub letters: usize,
    /// Bytes of cached states.
    pub state_bytes: usize,
    /// Messages of a stream after which its state is worth a snapshot, and another one.
    pub snapshot_messages: u64,
    /// Positions of the log after which a folding's state is.
    pub snapshot_positions: u64,
}

impl Limits {
    /// Bytes that one delivery may add to a batch that is almost full, so that its commit is still allowed.
    pub(super) fn delivery_bytes(&self) -> usize {
        (MAX_COMMIT_BYTES - BESIDE_BYTES).saturating_sub(self.staged_bytes)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages: 1024,
            batch_bytes: 16 << 20,
            inputs: 256,
            share: 256,
            staged_bytes: 4 << 20,
            backlog: 16_384,
            depth: 64,
            letters: 100_000,
            state_bytes: 256 << 20,
            snapshot_messages: 1_000,
            snapshot_positions: 16_384,
        }
    }
}
