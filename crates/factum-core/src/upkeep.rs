//! What people who look after a store are told of it: what it consists of, whether it is sound, what was copied or moved.
//!
//! Each store that can be looked after answers in these words, whatever it is made of.

use std::{path::PathBuf, sync::Arc};

use serde::{Serialize, Serializer};

use crate::{
    error::StoreError,
    ports::Reader,
    stream::{Lineage, Position},
};

/// Hears how far a work is: done, and in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// What a store consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// Where it is.
    pub dir: PathBuf,
    /// Its identity.
    #[serde(serialize_with = "as_text")]
    pub lineage: Lineage,
    /// The last position.
    pub head: Position,
    /// Streams.
    pub streams: u64,
    /// Live cells: cursors, timers, open calls.
    pub cells: u64,
    /// Bytes of all segments, uncompressed.
    pub bytes: u64,
    /// Whether its last owner stopped in order, and nobody has opened it since.
    pub is_closed: bool,
    /// Bytes that the next start has to read.
    pub tail_bytes: u64,
    /// Where sealed segments are moved to, if anywhere.
    pub archive: Option<PathBuf>,
    /// Its segments, in order.
    pub segments: Vec<Segment>,
    /// Its checkpoints, the newest first.
    pub checkpoints: Vec<StoredFile>,
    /// Remains of unfinished writes that were cut off, and kept.
    pub cuts: Vec<StoredFile>,
}

/// A piece of the log in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// Its file.
    pub file: PathBuf,
    /// Its first position.
    pub first: Position,
    /// The epoch in which it was begun.
    pub epoch: u32,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// Length of its file in bytes.
    pub stored_bytes: u64,
    /// Whether it was moved to the archive.
    pub is_archived: bool,
}

/// A file with its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredFile {
    /// The file.
    pub file: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What reading all of a store found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Where it is.
    pub dir: PathBuf,
    /// Its identity.
    #[serde(serialize_with = "as_text")]
    pub lineage: Lineage,
    /// The last position.
    pub head: Position,
    /// Streams that were seen.
    pub streams: u64,
    /// Live cells that were seen.
    pub cells: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// The remains of an unfinished write at the end, which the next start cuts off; beside a running process, the write
    /// under way.
    pub unfinished: Option<Place>,
    /// Checkpoints that are true.
    pub checkpoints: u64,
    /// Checkpoints that are not: they cost time at a start, and nothing else.
    pub unusable: Vec<Place>,
    /// What is damaged; empty if nothing is.
    pub damage: Vec<Place>,
}

/// A place that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Where in the file; for a compressed one, in what it holds.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What a backup or a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Copied {
    /// Where the copy is.
    pub dir: PathBuf,
    /// The copy's identity; a restored log has an epoch of its own.
    #[serde(serialize_with = "as_text")]
    pub lineage: Lineage,
    /// The identity of what was copied.
    #[serde(serialize_with = "as_text")]
    pub original: Lineage,
    /// The last position in it.
    pub head: Position,
    /// Segments in it.
    pub segments: u64,
    /// Segments that were there from an earlier backup.
    pub kept: u64,
    /// Segments that are links to the original.
    pub linked: u64,
    /// Bytes copied.
    pub copied_bytes: u64,
}

/// What was moved to an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// The archive.
    pub archive: PathBuf,
    /// Segments moved.
    pub segments: u64,
    /// Their bytes before.
    pub from_bytes: u64,
    /// Their bytes in the archive.
    pub to_bytes: u64,
}

/// A store that another process writes, followed.
pub trait Follow: Send {
    /// A reader of what was there at the last look.
    fn reader(&self) -> Arc<dyn Reader>;

    /// Looks for what was written meanwhile, which readers then see; answers the last position.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read; then it has to be opened anew.
    fn look(&mut self) -> Result<Position, StoreError>;
}

fn as_text<S: Serializer>(lineage: &Lineage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(lineage)
}
