//! Digests of commands from outside, under the log's key; and since when it is that key.
//!
//! The key is kept beside the log and may be lost, as in a restored backup, and a log from before there were keys has
//! plain digests. So one cell names the key in use, and the position behind which digests are under it. It is written
//! with the first commit under a key, hence before any digest. What stands at or before that position cannot be compared
//! with what is sent again: there the sender's key alone tells what was carried out. Keys of what commands are about
//! ([`Decider::repeat_key`](factum_core::decider::Decider::repeat_key)) are only compared with each other: behind a new
//! one the last 64 are counted anew, so that more is remembered and not less.

use factum_core::{
    cell::{CellKey, CellKind},
    digest_key::DigestKey,
    error::StoreError,
    id::MessageId,
    ports::Reader,
    stream::{Position, StreamId},
};
use serde::{Deserialize, Serialize};

use crate::sabotage;

/// The value of the cell.
#[derive(Serialize, Deserialize)]
struct InUse {
    /// [`DigestKey::name`] in hexadecimal digits.
    key: String,
    since: Position,
}

/// See the module.
pub(crate) struct Digests {
    key: DigestKey,
    since: Position,
    /// The cell as it must be before anything is stored under the key, if the log has another one or none.
    pub(crate) cell: Option<(CellKey, Vec<u8>)>,
}

impl Digests {
    /// Digests under this key.
    pub(crate) fn open(key: DigestKey, reader: &dyn Reader) -> Result<Self, StoreError> {
        let cell = CellKey::new(CellKind::Digests, "key");
        let stored = reader.cell(&cell)?.map(|cell| serde_json::from_slice::<InUse>(&cell.value)).transpose();
        let stored = stored.map_err(|error| {
            StoreError::Corrupt(format!("what names the key of digests cannot be read: {error}: restore from a backup"))
        })?;
        let name = format!("{:016x}", key.name());
        let is_another = stored.is_some();
        if let Some(InUse { since, .. }) = stored.filter(|stored| stored.key == name) {
            return Ok(Self { key, since, cell: None });
        }
        let since = reader.head();
        match since {
            Position::START => {}
            since if is_another => tracing::warn!(
                %since,
                "the log was written under another key of digests: a command that was carried out before and is sent again \
                 is told by its sender's key alone, whatever its body. If you have the former key, stop the program and put \
                 it back"
            ),
            since => tracing::info!(%since, "digests of commands are stored under a key from here on"),
        }
        let value = serde_json::to_vec(&InUse { key: name, since });
        let value = value.map_err(|error| StoreError::Unfit(error.to_string()))?;
        Ok(Self { key, since, cell: Some((cell, value)) })
    }

    /// What is stored of a request.
    pub(crate) fn request(&self, id: &MessageId, plain: u64) -> u64 {
        if sabotage::is("digest-without-its-key") { plain } else { self.key.request(id, plain) }
    }

    /// What is stored of what a request is about.
    pub(crate) fn about(&self, stream: &StreamId, plain: u64) -> u64 {
        if sabotage::is("digest-without-its-key") { plain } else { self.key.about(stream, plain) }
    }

    /// Whether what was stored at a position is under this key. At [`Position::START`] stands what is not stored yet.
    pub(crate) fn compare(&self, position: Position) -> bool {
        position == Position::START || position > self.since || sabotage::is("digests-of-two-keys-compared")
    }
}
