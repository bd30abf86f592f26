//! The port of a unit's store: a log of messages in streams, with live cells.

use std::{sync::Arc, time::Duration};

use crate::{
    cell::{Cell, CellKey, CellKind},
    commit::{Found, Owners, Plan, Wanted},
    envelope::Stored,
    error::StoreError,
    moving::Marks,
    stream::{Lineage, Position, StreamId, StreamVersion},
};

/// The writing side. One owner at a time; driven by the committer.
///
/// An implementation keeps these promises:
///
/// - `transact` is one transaction: what was found holds until what was judged by it is written. It is durable on return, and
///   whole: after any failure either all plans are there or none.
/// - Positions are gapless over messages, in the order of the plans; versions are those of the plans. Where others write to the
///   store, too, positions are given in the order of the transactions.
/// - The judge is asked once; if the writer supposes something ([`Wanted::supposed`]) perhaps by that, and then once more by what
///   was found, should it not be so: the last answer counts. If that lets nothing through nothing is written, and whatever was
///   locked is free again.
/// - Nothing is visible to a [`Reader`] before it is durable.
/// - A write whose outcome is unknown answers [`StoreError::OutcomeUnknown`], and no later write succeeds.
/// - A cell's revision changes with every write of it and is never 0 while the cell exists.
/// - Whatever [`crate::commit::check`] allows can be stored: names, cells, messages and whole commits up to the limits
///   in [`crate::commit`]. Should it be refused all the same, the answer is [`StoreError::Unfit`], nothing was written,
///   and the next write is taken.
pub trait Backend: Send {
    /// Looks up heads and cells, lets the judge say by [`crate::commit::check`] what may be written, and writes that.
    /// `None` if the judge let nothing through.
    ///
    /// # Errors
    /// [`StoreError`]; see the promises.
    fn transact(&mut self, wanted: &Wanted, judge: &mut Judge<'_>) -> Result<Option<Written>, StoreError>;

    /// Whether it pays to say what is supposed: then it can be looked up where it is written.
    fn supposes(&self) -> bool {
        false
    }

    /// Looks up heads and cells, and writes nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn find(&mut self, wanted: &Wanted) -> Result<Found, StoreError> {
        let mut seen = Found::default();
        self.transact(wanted, &mut |found| {
            seen = found;
            Vec::new()
        })?;
        Ok(seen)
    }

    /// The owner has had nothing to write for a moment.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written.
    fn idle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Looks whether what is written can still be found where it was opened; called about once a second while nothing is
    /// written.
    ///
    /// # Errors
    /// [`StoreError::Transient`] if somebody has taken it away: it may be put back.
    fn look(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// By what several processes agree which one of them writes; `None` if there can be only one.
    fn lease(&self) -> Option<Arc<dyn Lease>> {
        None
    }

    /// Which categories the services of the unit own: others that write to the store beside it leave them alone. Said once,
    /// before the unit starts; a store to which nobody else writes has no use for it.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be noted.
    fn owns(&mut self, _owners: &Owners) -> Result<(), StoreError> {
        Ok(())
    }

    /// What is noted of a move that the store is a part of.
    fn marks(&self) -> Marks {
        Marks::default()
    }

    /// Notes it instead of what was noted, durably on return. What is marked as moved takes nothing more, from anybody; what is
    /// marked at all is opened by nothing but the move. Marking what is so marked already changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if `head` is not the last position: others have written meanwhile, and nothing is noted;
    /// [`StoreError::Permanent`] if this store cannot move; else as `transact`.
    fn mark(&mut self, _marks: &Marks, _head: Position) -> Result<(), StoreError> {
        Err(StoreError::Permanent(format!("a store of the durability `{}` does not move", self.durability())))
    }

    /// How far others have written to the store; `None` if nobody else can.
    fn others(&self) -> Option<Box<dyn Others>> {
        None
    }

    /// The reading side; usable from any thread, also while this side writes.
    fn reader(&self) -> Arc<dyn Reader>;

    /// What an acknowledged write survives, as a word for people: `sync`, `os`, `memory`.
    fn durability(&self) -> &'static str;
}

/// Where several processes could write one store: this one does as long as it gives signs of life.
///
/// Whoever takes over writes under another term, which keeps this one from writing. What is done outside the store has no such
/// lock: it is begun only while the lease outlasts it.
pub trait Lease: Send + Sync {
    /// Whether nobody else can lead within so long.
    fn lasts(&self, long: Duration) -> bool;

    /// How long it lasts from a sign of life on: nothing that it must outlast may take longer.
    fn length(&self) -> Duration;
}

/// Where others write to the store beside this process: tells when they have.
pub trait Others: Send {
    /// Waits until others may have written, or for so long, and answers the last durable position: then the [`Reader`]'s head
    /// is not before it. What it is woken by may be lost, so it must not wait for that alone.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be asked. It may be asked again.
    fn wait(&mut self, long: Duration) -> Result<Position, StoreError>;
}

/// Says by what was found what may be written.
pub type Judge<'a> = dyn FnMut(Found) -> Vec<Plan> + 'a;

/// What a transaction has written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The position of its last message; if it had none, of the last message of the log.
    pub last: Position,
    /// The plans, as the judge made them.
    pub plans: Vec<Plan>,
}

/// What to read of the log.
#[derive(Clone, Copy)]
pub struct Scan<'a> {
    /// Start behind this position.
    pub after: Position,
    /// Stop at this position.
    pub until: Position,
    /// About how many bytes of messages to answer at most; at least one message is answered if there is one.
    pub bytes: usize,
    /// Only these types; all if `None`.
    pub types: Option<&'a dyn Fn(&str) -> bool>,
}

/// What was read of the log.
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    /// In order of position.
    pub messages: Vec<Stored>,
    /// Everything up to here was looked at.
    pub through: Position,
}

/// The reading side of a store. Only durable data is ever visible.
pub trait Reader: Send + Sync {
    /// Which log this is.
    fn lineage(&self) -> Lineage;

    /// The last durable position.
    fn head(&self) -> Position;

    /// Messages behind a position. An empty answer with `through` at the end means that there are no more.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, StoreError>;

    /// The messages of a stream behind a version, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn stream(&self, stream: &StreamId, after: StreamVersion) -> Result<Vec<Stored>, StoreError>;

    /// Several streams at once, each whole. A backend that pays per query does this in one.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn streams(&self, streams: &[StreamId]) -> Result<Vec<Vec<Stored>>, StoreError> {
        streams.iter().map(|stream| self.stream(stream, StreamVersion(0))).collect()
    }

    /// Whether a call costs so much more than what it reads that it pays to find out first what a batch needs, and to ask for it
    /// together.
    fn is_far(&self) -> bool {
        false
    }

    /// All cells of a kind, by name.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn cells(&self, kind: CellKind) -> Result<Vec<Cell>, StoreError>;

    /// One cell; `None` if there is none of that key.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn cell(&self, key: &CellKey) -> Result<Option<Cell>, StoreError>;
}
