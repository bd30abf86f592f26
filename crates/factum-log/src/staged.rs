//! What a batch changes, until it is synced: collected while the batch is laid out as a frame.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use crate::batch::{Batch, Part};
use crate::frame;
use crate::heads::{AsIs, Head, Key, Shared};

/// See the module.
#[derive(Default)]
pub(crate) struct Staged {
    pub heads: HashMap<Key, Head, BuildHasherDefault<AsIs>>,
    /// Names that the segment has not got yet.
    pub names: Vec<Arc<str>>,
    /// Number in the segment of each name of the batch.
    numbers: Vec<u16>,
}

impl Staged {
    /// Lays out a batch as the frame at log offset `start`, all but the frame's header. `head` is the log's last position,
    /// `names` are those of the segment, to which new ones are added.
    pub fn encode(
        &mut self,
        batch: &Batch,
        shared: &Shared,
        start: u64,
        head: u64,
        names: &mut HashMap<Arc<str>, u16>,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        out.resize(frame::HEADER, 0);
        self.heads.clear();
        self.names.clear();
        self.numbers.clear();
        let view = shared.view();
        // Counted in the segment: a name that stands there twice has two numbers.
        let before = view.segments.last().map_or(0, |segment| segment.names.len());
        for name in batch.names() {
            let next = before + self.names.len();
            let number = *names.entry((&**name).into()).or_insert_with_key(|name| {
                frame::write_name(out, next as u32, name);
                self.names.push(Arc::clone(name));
                next as u16
            });
            self.numbers.push(number);
        }
        let mut position = head;
        for part in batch.parts() {
            match part {
                Part::Entry { stream, body, kind, source } => {
                    position += 1;
                    let offset = start + out.len() as u64;
                    let key = shared.key(stream);
                    let known = || view.heads.get(key).unwrap_or(Head { version: 0, offset: 0 });
                    let head = self.heads.entry(key).or_insert_with(known);
                    let previous = std::mem::replace(&mut head.offset, offset);
                    head.version += 1;
                    let entry = frame::Entry {
                        stream: "",
                        kind: self.numbers[kind],
                        source: self.numbers[source],
                        position,
                        version: head.version,
                        previous,
                        body: &[],
                    };
                    frame::write_entry(out, stream, body, &entry);
                }
                Part::Put { key, value } => frame::write_put(out, key, value),
                Part::Delete { key } => frame::write_delete(out, key),
            }
        }
        out.resize(out.len().next_multiple_of(frame::ALIGN), 0);
    }
}
