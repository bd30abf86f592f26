//! Any bytes as payloads of frames whose headers and checksums are right.

use std::path::Path;

use super::format::{BATCH, CLOSING, FRAME, LOG_ID, Walk, first_segment, frame, push_entry, push_frame, push_item};
use super::held::{DIR, hold};
use super::recovery::put_file;
use super::{Verdict, must};
use crate::sim::disk::SimDisk;

/// The first byte of the input says whether a good frame comes first (1), a closing mark last (2), whether entries are
/// given the places and checksums that are right (4), and, in the two bits above, how many frames the rest is cut into.
pub const AFTER_GOOD: u8 = 1;
pub const CLOSED: u8 = 2;
pub const REPAIRED: u8 = 4;

/// Takes the input for payloads of frames, writes a log of them, and holds what the log says against what a second
/// reader of the format finds.
///
/// # Errors
/// What does not hold.
pub fn frames(input: &[u8]) -> Verdict {
    let Some((flags, rest)) = input.split_first() else { return Ok(()) };
    let mut segment = first_segment();
    let mut walk = Walk::default();
    let mut truth = Ok(());
    if flags & AFTER_GOOD != 0 {
        truth = push(&mut segment, &mut walk, good_payload(), true);
    }
    let count = 1 + usize::from(flags >> 3 & 3);
    for piece in rest.chunks(rest.len().div_ceil(count).max(1)) {
        let pushed = push(&mut segment, &mut walk, piece.to_vec(), flags & REPAIRED != 0);
        truth = truth.and(pushed);
    }
    if flags & CLOSED != 0 {
        let (next, number) = (walk.next(), walk.frames + 1);
        push_frame(&mut segment, CLOSING, number, next, 0, b"");
        walk.frames += 1;
    }
    let disk = SimDisk::new(1);
    put_file(&disk, &Path::new(DIR).join("00000000000000000001.segment"), &segment)?;
    let said = hold(&disk)?;
    let read = said.map(|said| said.content).and_then(Result::ok);
    match (truth, read) {
        (Ok(()), Some(content)) => {
            must(content == walk.content, || format!("the log reads {content:?}, its frames say {:?}", walk.content))
        }
        (Ok(()), None) => Err(format!("refused, and by the format it is {:?}", walk.content)),
        (Err(why), Some(content)) => Err(format!("read as {content:?}, and by the format {why}")),
        (Err(_), None) => Ok(()),
    }
}

/// Appends a frame of this payload, and says whether it is one of the format.
fn push(segment: &mut Vec<u8>, walk: &mut Walk, mut payload: Vec<u8>, is_repaired: bool) -> Verdict {
    let start = segment.len();
    payload.resize(payload.len().next_multiple_of(8), 0);
    if is_repaired {
        walk.repair(&mut payload, start as u64);
    }
    push_frame(segment, BATCH, walk.frames + 1, walk.next(), Walk::count(&payload), &payload);
    let whole = frame(&LOG_ID, &segment[start..]).ok_or("the frame made here is none")?;
    must(whole.len() == segment.len() - start && whole.len() >= FRAME, || "the frame made here is another".into())?;
    walk.take(whole, start as u64)
}

/// Names, entries of two streams, and cells: what others can follow. Its entries are to be repaired.
pub fn good_payload() -> Vec<u8> {
    let mut payload = Vec::new();
    push_item(&mut payload, 2, b"made", b"");
    push_item(&mut payload, 2, b"shop", b"");
    push_entry(&mut payload, "a", 0, 1, b"one");
    push_entry(&mut payload, "b", 1, 0, b"");
    push_item(&mut payload, 3, b"cell", b"value");
    push_entry(&mut payload, "a", 0, 1, b"two");
    push_item(&mut payload, 4, b"gone", b"");
    payload
}
