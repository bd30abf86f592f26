//! A batch: what one append writes, collected by the caller and laid out by the writer.

use std::collections::HashMap;

use crate::error::LogError;
use crate::frame;

/// Entries and changes of cells that are to become durable together. The log gives entries their positions and
/// versions; whoever fills the batch has checked what it expects of them.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// All texts and bodies, one behind the other.
    arena: Vec<u8>,
    ops: Vec<Op>,
    /// The names of types and sources, each once.
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, usize>,
    size: usize,
    entries: usize,
    /// The first thing that is too long for the format, and its length.
    excess: Option<(&'static str, usize)>,
}

/// Lengths in the arena, and numbers of names.
#[derive(Clone, Copy, Debug)]
enum Op {
    Entry { stream: usize, body: usize, kind: usize, source: usize },
    Put { key: usize, value: usize },
    Delete { key: usize },
}

/// A part of a batch; `kind` and `source` are numbers of the batch's names.
pub(crate) enum Part<'a> {
    Entry { stream: &'a [u8], body: &'a [u8], kind: usize, source: usize },
    Put { key: &'a [u8], value: &'a [u8] },
    Delete { key: &'a [u8] },
}

/// Names are looked for one by one up to this many, then by hash.
const FEW: usize = 12;

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry at the end of a stream. `kind` is the name of its type and `source` that of its origin: a segment
    /// stores such names once, so they are to be few.
    pub fn entry(&mut self, stream: &str, kind: &str, source: &str, body: &[u8]) {
        self.check("the name of a stream", stream.len());
        let (kind, source) = (self.number(kind), self.number(source));
        self.arena.extend_from_slice(stream.as_bytes());
        self.arena.extend_from_slice(body);
        self.ops.push(Op::Entry { stream: stream.len(), body: body.len(), kind, source });
        self.size += frame::ENTRY + stream.len() + body.len();
        self.entries += 1;
    }

    /// Gives a cell a value.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.check("the key of a cell", key.len());
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        self.ops.push(Op::Put { key: key.len(), value: value.len() });
        self.size += frame::SMALL + key.len() + value.len();
    }

    /// Ends a cell; it need not exist.
    pub fn delete(&mut self, key: &[u8]) {
        self.check("the key of a cell", key.len());
        self.arena.extend_from_slice(key);
        self.ops.push(Op::Delete { key: key.len() });
        self.size += frame::SMALL + key.len();
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The most that this batch can take in the log, in bytes. An append takes at most 16 MiB.
    pub fn bytes(&self) -> usize {
        (frame::HEADER + self.size).next_multiple_of(frame::ALIGN)
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.ops.clear();
        self.names.clear();
        self.numbers.clear();
        (self.size, self.entries, self.excess) = (0, 0, None);
    }

    /// Refuses what the format cannot hold.
    pub(crate) fn check_limits(&self, most_names: usize) -> Result<(), LogError> {
        let long = u64::from(u16::MAX);
        if let Some((what, size)) = self.excess {
            return Err(LogError::TooLarge { what, size: size as u64, limit: long });
        }
        if self.names.len() > most_names {
            let (what, size) = ("the count of names of types and sources in a batch", self.names.len() as u64);
            return Err(LogError::TooLarge { what, size, limit: most_names as u64 });
        }
        if self.bytes() > frame::MAX {
            let (what, size) = ("a batch", self.bytes() as u64);
            return Err(LogError::TooLarge { what, size, limit: frame::MAX as u64 });
        }
        Ok(())
    }

    /// Two batches of one half of the parts each.
    #[cfg(feature = "sabotage")]
    pub(crate) fn halves(&self) -> [Batch; 2] {
        let mut halves = [Batch::new(), Batch::new()];
        let middle = self.ops.len() / 2;
        for (index, part) in self.parts().enumerate() {
            let half = &mut halves[usize::from(index >= middle)];
            match part {
                Part::Entry { stream, body, kind, source } => {
                    let (kind, source) = (&self.names[kind], &self.names[source]);
                    half.entry(&String::from_utf8_lossy(stream), kind, source, body);
                }
                Part::Put { key, value } => half.put(key, value),
                Part::Delete { key } => half.delete(key),
            }
        }
        halves
    }

    /// The names of types and sources, by number.
    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// How many entries it has.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// All parts, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut rest = &self.arena[..];
        let mut next = move |length| {
            let (taken, left) = rest.split_at(length);
            rest = left;
            taken
        };
        self.ops.iter().map(move |op| match *op {
            Op::Entry { stream, body, kind, source } => {
                let stream = next(stream);
                Part::Entry { stream, body: next(body), kind, source }
            }
            Op::Put { key, value } => {
                let key = next(key);
                Part::Put { key, value: next(value) }
            }
            Op::Delete { key } => Part::Delete { key: next(key) },
        })
    }

    fn check(&mut self, what: &'static str, length: usize) {
        if length > usize::from(u16::MAX) && self.excess.is_none() {
            self.excess = Some((what, length));
        }
    }

    fn number(&mut self, name: &str) -> usize {
        let few = self.names.len() <= FEW;
        let known = match few {
            true => self.names.iter().position(|known| **known == *name),
            false => self.numbers.get(name).copied(),
        };
        if let Some(number) = known {
            return number;
        }
        self.check("the name of a type or source", name.len());
        self.size += frame::SMALL + name.len();
        self.names.push(name.into());
        self.numbers.insert(name.into(), self.names.len() - 1);
        self.names.len() - 1
    }
}
