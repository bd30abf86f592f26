//! The writing side: plans become one batch, a batch becomes one frame.

use std::{fmt, path::PathBuf, sync::Arc};

use factum_core::{
    cell::Revision,
    commit::{Found, Plan, Wanted},
    envelope::binary,
    error::StoreError,
    moving::Marks,
    ports::{Backend, Judge, Reader, Written},
    stream::{Position, StreamVersion},
};
use factum_log::{Batch, Disk, Durability, Log, LogError};

use super::{marks, place::Place, reader::Entries, store_error};

/// A batch's memory is kept for the next one up to this size, so that one large write does not hold it for ever.
const KEPT_BYTES: usize = 4 << 20;

/// An open store; the only writer of its directory. Dropping it closes the log.
pub struct Embedded {
    /// Taken only when it is closed.
    log: Option<Log>,
    reader: Arc<Entries>,
    durability: Durability,
    place: Place,
    noted: Noted,
    batch: Batch,
    body: Vec<u8>,
}

/// The log's directory, its disk, and what is noted there of a move.
type Noted = (PathBuf, Arc<dyn Disk>, Marks);

impl Embedded {
    pub(super) fn new(log: Log, durability: Durability, place: Place, noted: Noted) -> Self {
        let reader = Arc::new(Entries::new(log.reader()));
        Self { log: Some(log), reader, durability, place, noted, batch: Batch::new(), body: Vec::new() }
    }

    /// Closes the store: marks that this was an orderly end, and frees the directory. Dropping does the same, but
    /// cannot say that it failed.
    ///
    /// # Errors
    /// [`StoreError`] if the mark cannot be written. What was written before is durable all the same.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.log.take().map_or(Ok(()), |log| log.close().map_err(store_error))
    }

    fn fill(&mut self, plans: &[Plan]) -> Result<(), StoreError> {
        if self.batch.bytes() > KEPT_BYTES {
            self.batch = Batch::new();
        }
        self.batch.clear();
        for plan in plans {
            for append in &plan.appends {
                for message in &append.messages {
                    self.body.clear();
                    binary::encode(message, &mut self.body)
                        .map_err(|error| StoreError::Permanent(format!("a message has no stored form: {error}")))?;
                    let envelope = &message.envelope;
                    self.batch.entry(append.stream.as_str(), &envelope.type_name, &envelope.source, &self.body);
                }
            }
            for change in &plan.cells {
                let key = change.key.to_text();
                match &change.value {
                    Some(value) => self.batch.put(key.as_bytes(), value),
                    None => self.batch.delete(key.as_bytes()),
                }
            }
        }
        Ok(())
    }
}

impl Backend for Embedded {
    fn transact(&mut self, wanted: &Wanted, judge: &mut Judge<'_>) -> Result<Option<Written>, StoreError> {
        let plans = judge(self.found(wanted)?);
        if plans.is_empty() {
            return Ok(None);
        }
        self.place.look_now_and_then()?;
        let (dir, _, noted) = &self.noted;
        if !noted.takes() {
            noted.check(&marks::place(dir))?;
        }
        self.fill(&plans)?;
        let log = self.log.as_mut().ok_or_else(closed)?;
        debug_assert!(follows(log, &plans), "a plan was made against another state than the log's");
        let appended = log.append(&self.batch).map_err(|error| failed(log, error))?;
        Ok(Some(Written { last: Position(appended.last), plans }))
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        let log = self.log.as_mut().ok_or_else(closed)?;
        log.idle().map_err(|error| failed(log, error))
    }

    fn look(&mut self) -> Result<(), StoreError> {
        self.place.look()
    }

    fn marks(&self) -> Marks {
        self.noted.2.clone()
    }

    fn mark(&mut self, wanted: &Marks, head: Position) -> Result<(), StoreError> {
        let log = self.log.as_ref().ok_or_else(closed)?;
        if log.head() != head.0 {
            return Err(StoreError::Conflict(format!("the log ends at {} and not at {head}", log.head())));
        }
        let (dir, disk, noted) = &mut self.noted;
        if noted != wanted {
            marks::put(dir, &**disk, wanted)?;
            *noted = wanted.clone();
        }
        Ok(())
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as Arc<dyn Reader>
    }

    fn durability(&self) -> &'static str {
        match self.durability {
            Durability::Sync => "sync",
            Durability::Os => "os",
        }
    }
}

impl Embedded {
    fn found(&self, wanted: &Wanted) -> Result<Found, StoreError> {
        let log = self.log.as_ref().ok_or_else(closed)?;
        let mut found = Found::default();
        for stream in &wanted.streams {
            match log.version(stream.as_str()) {
                0 => {}
                version => _ = found.streams.insert(stream.clone(), StreamVersion(version)),
            }
        }
        for key in &wanted.cells {
            if let Some(cell) = log.cell(key.to_text().as_bytes()) {
                found.cells.insert(key.clone(), Revision(cell.revision));
            }
        }
        Ok(found)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Nobody is left to be told of an error, and nothing is lost by it: the next open finds an unclean end.
        drop(self.log.take().map(Log::close));
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("log", &self.log).field("durability", &self.durability).finish_non_exhaustive()
    }
}

/// Whether the plans' versions are those that the log is about to give.
fn follows(log: &Log, plans: &[Plan]) -> bool {
    let mut heads = std::collections::HashMap::new();
    plans.iter().flat_map(|plan| &plan.appends).all(|append| {
        let head = heads.entry(&append.stream).or_insert_with(|| log.version(append.stream.as_str()));
        let fits = append.first.0 == *head + 1;
        *head += append.messages.len() as u64;
        fits
    })
}

/// A failed log also says what the disk said.
fn failed(log: &Log, error: LogError) -> StoreError {
    match (log.failure(), error) {
        (Some(failure), error @ LogError::Failed) => StoreError::OutcomeUnknown(format!("{error} ({failure})")),
        (_, error) => store_error(error),
    }
}

fn closed() -> StoreError {
    StoreError::Permanent("the store was closed: open it again".to_owned())
}
