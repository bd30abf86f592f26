//! What the log keeps in memory: where each stream ends, the live cells, and what readers may see of it.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::frame::{Kind, u64_at};
use crate::options::Lineage;
use crate::segment::Segment;

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

/// A stream's name, hashed to 96 bits, with a seed that differs from log to log, so that two names of one hash in one
/// log have not got it in another. Ten million streams share one with a probability of 10⁻¹⁵. A reader compares the
/// names themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key([u8; 12]);

impl Key {
    /// The hash of a stream's name.
    pub fn of(stream: &[u8], seed: u64) -> Self {
        let mut key = [0; 12];
        key.copy_from_slice(&xxh3_128_with_seed(stream, seed).to_le_bytes()[..12]);
        Self(key)
    }

    fn shard(self) -> usize {
        usize::from(self.0[11])
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64_at(&self.0, 0));
    }
}

/// A head in 12 bytes: version and offset have 48 bits each.
#[derive(Clone, Copy, Debug)]
struct Packed([u8; 12]);

impl Packed {
    fn of(head: Head) -> Self {
        let mut packed = [0; 12];
        packed[..6].copy_from_slice(&head.version.to_le_bytes()[..6]);
        packed[6..].copy_from_slice(&head.offset.to_le_bytes()[..6]);
        Self(packed)
    }

    fn head(self) -> Head {
        let half = |at| {
            let mut word = [0; 8];
            word[..6].copy_from_slice(&self.0[at..at + 6]);
            u64::from_le_bytes(word)
        };
        Head { version: half(0), offset: half(6) }
    }
}

type Shard = HashMap<Key, Packed, BuildHasherDefault<AsIs>>;

/// Ends of streams by hashed name, 25 bytes a place. In shards, so that none takes long to grow or to be copied.
#[derive(Clone, Debug)]
pub(crate) struct Heads(Box<[Shard]>);

impl Default for Heads {
    fn default() -> Self {
        Self((0..Self::SHARDS).map(|_| Shard::default()).collect())
    }
}

impl Heads {
    /// How many shards there are.
    pub const SHARDS: usize = 256;
    /// Length of a head as [`Heads::write`] writes it.
    pub const WRITTEN: usize = 24;

    pub fn get(&self, key: Key) -> Option<Head> {
        self.0[key.shard()].get(&key).map(|packed| packed.head())
    }

    pub fn insert(&mut self, key: Key, head: Head) -> Option<Head> {
        self.0[key.shard()].insert(key, Packed::of(head)).map(Packed::head)
    }

    /// Count of streams.
    pub fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).sum()
    }

    /// Makes room for so many streams in all.
    pub fn reserve(&mut self, streams: usize) {
        for shard in &mut self.0 {
            shard.reserve(streams / Self::SHARDS);
        }
    }

    /// Appends the heads of a shard.
    pub fn write(&self, shard: usize, out: &mut Vec<u8>) {
        out.reserve(self.0[shard].len() * Self::WRITTEN);
        for (key, packed) in &self.0[shard] {
            out.extend_from_slice(&key.0);
            out.extend_from_slice(&packed.0);
        }
    }

    /// Takes in a head as it was written.
    pub fn read(&mut self, written: &[u8; Self::WRITTEN]) {
        let (mut key, mut packed) = (Key([0; 12]), Packed([0; 12]));
        key.0.copy_from_slice(&written[..12]);
        packed.0.copy_from_slice(&written[12..]);
        self.0[key.shard()].insert(key, packed);
    }

    /// Whether all heads are the same as others.
    pub fn same_as(&self, other: &Self) -> bool {
        let same = |key: &Key, packed: &Packed| other.get(*key) == Some(packed.head());
        self.len() == other.len() && self.0.iter().flatten().all(|(key, packed)| same(key, packed))
    }
}

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

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The cells whose key begins with `prefix`, in key order.
pub(crate) fn with_prefix<'a>(cells: &'a Cells, prefix: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a Cell)> {
    let range = cells.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
    range.map(|(key, cell)| (&**key, cell)).take_while(move |(key, _)| key.starts_with(prefix))
}

/// What readers see: changed only after the sync that makes it durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub segments: Arc<Vec<Segment>>,
    /// Log offset up to which there are frames to be read.
    pub end: u64,
    /// Log offset up to which all is synced.
    pub synced: u64,
    /// Last position.
    pub head: u64,
    /// Number of the next frame: they count from 1.
    pub next_frame: u64,
    /// The last frame's kind.
    pub last: Option<Kind>,
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
        Key::of(stream, self.seed)
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
    u64_at(log_id, 0)
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
