//! The reading side: entries of the log become messages, filtered by type before they are decoded.

use std::sync::{Mutex, PoisonError};

use factum_core::{
    cell::{Cell, CellKey, CellKind, Revision},
    envelope::{Stored, binary},
    error::StoreError,
    ports::{Reader, Scan, Scanned},
    stream::{Lineage, Position, StreamId, StreamVersion},
};
use factum_log::EntryRef;

use super::{lineage, names::Names, store_error};

/// Sets of names kept for the next read; more threads than this at once make their own.
const KEPT: usize = 8;
/// What the log keeps about an entry besides its texts and body, about.
const ENTRY_BYTES: usize = 48;
/// The least to ask of the log at once, in bytes: a scan for rare types would pay for the asking.
const LEAST_BYTES: usize = 256 << 10;

/// A reader of the log in the words of the port.
pub(super) struct Entries {
    log: factum_log::Reader,
    names: Mutex<Vec<Names>>,
}

impl Entries {
    pub(super) fn new(log: factum_log::Reader) -> Self {
        Self { log, names: Mutex::default() }
    }

    /// Lends a set of names, so that readers on several threads do not wait for each other at every message.
    fn with_names<T>(&self, work: impl FnOnce(&mut Names) -> T) -> T {
        let kept = || self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = kept().pop();
        let mut names = taken.unwrap_or_else(Names::new);
        let done = work(&mut names);
        let mut kept = kept();
        if kept.len() < KEPT {
            kept.push(names);
        }
        done
    }
}

/// A scan under way.
struct Taking<'a, 's> {
    scan: &'a Scan<'s>,
    names: &'a mut Names,
    scanned: Scanned,
    bytes: usize,
    /// Whether the next message would be too much.
    full: bool,
    error: Option<StoreError>,
}

impl Taking<'_, '_> {
    fn entry(&mut self, entry: &EntryRef<'_>) {
        // The log answers whole frames; what is too much of the last one is left to the next scan.
        self.full |= entry.position > self.scan.until.0 || self.bytes >= self.scan.bytes;
        if self.full || self.error.is_some() {
            return;
        }
        if self.scan.types.is_none_or(|wanted| wanted(entry.kind)) {
            let last = self.scanned.messages.last().map(|stored| &stored.stream);
            let stream = match last.filter(|last| last.as_str() == entry.stream) {
                Some(last) => Ok(last.clone()),
                None => stream_id(entry),
            };
            match stream.and_then(|stream| stored(entry, stream, self.names)) {
                Ok(stored) => self.scanned.messages.push(stored),
                Err(error) => return self.error = Some(error),
            }
            self.bytes += entry.body.len() + entry.stream.len() + ENTRY_BYTES;
        }
        self.scanned.through = Position(entry.position);
    }
}

impl Reader for Entries {
    fn lineage(&self) -> Lineage {
        lineage(self.log.lineage())
    }

    fn head(&self) -> Position {
        Position(self.log.head())
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, StoreError> {
        let scanned = Scanned { messages: Vec::new(), through: scan.after };
        if scan.until <= scan.after {
            return Ok(scanned);
        }
        // At least one message is answered, however small the bound.
        let scan = &Scan { bytes: scan.bytes.max(1), ..*scan };
        self.with_names(|names| {
            let mut taking = Taking { scan, names, scanned, bytes: 0, full: false, error: None };
            loop {
                let before = taking.scanned.through;
                let wanted = match scan.types {
                    None => scan.bytes,
                    Some(_) => (scan.bytes - taking.bytes).max(LEAST_BYTES),
                };
                self.log.scan(before.0, wanted, &mut |entry| taking.entry(&entry)).map_err(store_error)?;
                if let Some(error) = taking.error {
                    return Err(error);
                }
                // Without a filter the log has answered what there was room for; to ask again for the little that is
                // left would read a frame of which most would be thrown away.
                let through = taking.scanned.through;
                let ended = through == before || through >= scan.until;
                if ended || taking.full || scan.types.is_none() || taking.bytes >= scan.bytes {
                    return Ok(taking.scanned);
                }
            }
        })
    }

    fn stream(&self, stream: &StreamId, after: StreamVersion) -> Result<Vec<Stored>, StoreError> {
        self.with_names(|names| {
            let mut messages = Ok(Vec::new());
            let mut take = |entry: EntryRef<'_>| {
                if let Ok(list) = &mut messages {
                    match stored(&entry, stream.clone(), names) {
                        Ok(stored) => list.push(stored),
                        Err(error) => messages = Err(error),
                    }
                }
            };
            self.log.stream(stream.as_str(), after.0, &mut take).map_err(store_error)?;
            messages
        })
    }

    fn cells(&self, kind: CellKind) -> Result<Vec<Cell>, StoreError> {
        let cells = self.log.cells(format!("{}/", kind.as_str()).as_bytes());
        let known = |(key, cell): (Vec<u8>, factum_log::Cell)| {
            let text = String::from_utf8_lossy(&key);
            let key = CellKey::from_text(&text)
                .ok_or_else(|| StoreError::Corrupt(format!("`{text}` is no key of a cell: restore from a backup")))?;
            Ok(Cell { key, revision: Revision(cell.revision), value: cell.value.to_vec() })
        };
        cells.into_iter().map(known).collect()
    }

    fn cell(&self, key: &CellKey) -> Result<Option<Cell>, StoreError> {
        let cell = self.log.cell(key.to_text().as_bytes());
        Ok(cell.map(|cell| Cell { key: key.clone(), revision: Revision(cell.revision), value: cell.value.to_vec() }))
    }
}

fn stream_id(entry: &EntryRef<'_>) -> Result<StreamId, StoreError> {
    StreamId::parse(entry.stream).map_err(|error| corrupt(entry, &error))
}

fn stored(entry: &EntryRef<'_>, stream: StreamId, names: &mut Names) -> Result<Stored, StoreError> {
    let message = binary::decode(names.get(entry.kind), names.get(entry.source), entry.body);
    let message = message.map_err(|error| corrupt(entry, &error))?;
    Ok(Stored { position: Position(entry.position), stream, version: StreamVersion(entry.version), message })
}

fn corrupt(entry: &EntryRef<'_>, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("position {}: {error}", entry.position))
}
