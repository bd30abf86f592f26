//! What the log's writer writes: everything about an entry follows from its number, so that the recorder can tell
//! whether what it reads is what was written.

use factum_log::{Batch, Options};
use fastrand::Rng;

/// Streams that the entries are spread over.
const STREAMS: u64 = 300;
const KINDS: [&str; 6] = ["order.made", "order.paid", "order.sent", "order.closed", "stock.moved", "stock.counted"];
const CELLS: u64 = 40;
/// Number, first number of its batch, and count of the batch: what an entry's body begins with.
const HEAD: usize = 24;

/// Small segments and frequent checkpoints, so that a short run rolls and writes many.
pub fn options() -> Options {
    Options { segment_bytes: 512 << 10, checkpoint_bytes: 512 << 10, ..Options::default() }
}

/// An entry, from its number.
pub struct Content {
    pub stream: String,
    pub kind: &'static str,
    pub body: Vec<u8>,
}

/// The entry of this number, in a batch.
pub fn content(number: u64, first: u64, count: u64) -> Content {
    let mut rng = Rng::with_seed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let stream = format!("stream-{}", rng.u64(..STREAMS));
    let kind = KINDS[rng.usize(..KINDS.len())];
    let length = match rng.u32(..1000) {
        0..5 => rng.usize(..200_000),
        5..50 => rng.usize(..20_000),
        _ => rng.usize(..600),
    };
    let mut body = vec![0; HEAD + length];
    for (place, value) in body.chunks_mut(8).zip([number, first, count]) {
        place.copy_from_slice(&value.to_le_bytes());
    }
    rng.fill(&mut body[HEAD..]);
    Content { stream, kind, body }
}

/// Number, first number and count of an entry's batch, as its body says them.
pub fn numbers(body: &[u8]) -> Option<[u64; 3]> {
    let mut words = body.get(..HEAD)?.chunks(8).map(|word| word.try_into().map(u64::from_le_bytes));
    Some([words.next()?.ok()?, words.next()?.ok()?, words.next()?.ok()?])
}

/// How many entries the batch with this first number has. A few are so large that a fault can hit the middle of their
/// write.
pub fn size(first: u64) -> u64 {
    let mut rng = Rng::with_seed(!first);
    match rng.u32(..120) {
        0 => rng.u64(500..2500),
        1..4 => rng.u64(50..200),
        _ => rng.u64(1..12),
    }
}

/// The change of a cell that goes with the batch of this first number; `None` ends the cell.
pub fn cell(first: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut rng = Rng::with_seed(first ^ 0xce11);
    let key = format!("cell-{}", rng.u64(..CELLS)).into_bytes();
    let value = (rng.u32(..4) > 0).then(|| [&first.to_le_bytes()[..], &[7; 40][..rng.usize(..40)]].concat());
    (key, value)
}

/// The key of the cell that every batch writes its first number to.
pub const CURSOR: &[u8] = b"cursor";

/// The batch of this first number.
pub fn batch(first: u64, count: u64) -> Batch {
    let mut batch = Batch::new();
    for number in first..first + count {
        let Content { stream, kind, body } = content(number, first, count);
        batch.entry(&stream, kind, "writer", &body);
    }
    let (key, value) = cell(first);
    match value {
        Some(value) => batch.put(&key, &value),
        None => batch.delete(&key),
    }
    batch.put(CURSOR, &first.to_le_bytes());
    batch
}
