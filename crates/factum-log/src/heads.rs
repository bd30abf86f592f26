//! What the log keeps in memory: where each stream ends, the live cells, and what readers may see of it.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::segment::Segment;
use crate::writer::Lineage;

/// A cell's value and the frame that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Number of the frame that wrote the value; above 0, and it grows with every change.
    pub revision: u64,
    /// The value.
    pub value: Arc<[u8]>,
}

/// The end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub version: u64,
    /// Log offset of the stream's last entry.
    pub offset: u64,
}

/// A stream's name, hashed, with a seed that differs from log to log, so that two names of one hash in one log have not
/// got it in another. A reader compares the names themselves.
pub(crate) type Key = u128;

/// Ends of streams by hashed name.
pub(crate) type Heads = HashMap<Key, Head, BuildHasherDefault<AsIs>>;

/// The live cells, in key order.
pub(crate) type Cells = BTreeMap<Arc<[u8]>, Cell>;

/// A hasher for keys that are hashes already.
#[derive(Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// The cells whose key begins with `prefix`, in key order.
pub(crate) fn with_prefix<'a>(cells: &'a Cells, prefix: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a Cell)> {
    let range = cells.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
    range.map(|(key, cell)| (&**key, cell)).take_while(move |(key, _)| key.starts_with(prefix))
}

/// What readers see: changed only after the sync that makes it durable.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub segments: Arc<Vec<Segment>>,
    /// Log offset up to which there are frames to be read.
    pub end: u64,
    /// Last position.
    pub head: u64,
    pub heads: Heads,
    pub cells: Cells,
}

/// What the log and its readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub lineage: Lineage,
    seed: u64,
    view: RwLock<View>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// Buffers kept for the next read, and the largest one kept.
const KEPT: usize = 4;
const KEPT_BYTES: usize = 4 << 20;

impl Shared {
    pub fn new(lineage: Lineage, view: View) -> Self {
        let seed = seed(&lineage.log_id);
        Self { lineage, seed, view: RwLock::new(view), buffers: Mutex::default() }
    }

    /// The hashed name of a stream.
    pub fn key(&self, stream: &[u8]) -> Key {
        xxh3_128_with_seed(stream, self.seed)
    }

    // A panic while one of these locks is held leaves whole values behind, since nothing under them calls out: the
    // poison says nothing.

    pub fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn change(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer for reading, used before if there is one.
    pub fn buffer(&self) -> Vec<u8> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a buffer for the next read.
    pub fn keep(&self, buffer: Vec<u8>) {
        let mut kept = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT && buffer.capacity() <= KEPT_BYTES {
            kept.push(buffer);
        }
    }
}

/// The seed of a log's hashes.
pub(crate) fn seed(log_id: &[u8; 16]) -> u64 {
    crate::frame::u64_at(log_id, 0)
}

/// The hashed name of a stream, where there is no [`Shared`] yet.
pub(crate) fn key(stream: &[u8], seed: u64) -> Key {
    xxh3_128_with_seed(stream, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_takes_its_keys_and_no_others() {
        let cell = Cell { revision: 1, value: Arc::from(&b"v"[..]) };
        let cells: Cells =
            [&b"a"[..], b"ab", b"abc", b"b", b"\xff"].map(|key| (Arc::from(key), cell.clone())).into_iter().collect();
        let keys = |prefix| with_prefix(&cells, prefix).map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys(b"ab"), [&b"ab"[..], b"abc"]);
        assert_eq!(keys(b"\xff"), [b"\xff"]);
        assert_eq!(keys(b"").len(), 5);
        assert!(keys(b"c").is_empty());
    }
}
