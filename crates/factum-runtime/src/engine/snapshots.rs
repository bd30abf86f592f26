//! Snapshots of the engine's states: when one is taken, and when one is used instead of the log.
//!
//! One is taken only between batches, when every event in the states is durable; a folding's only when the stored cursor
//! has come as far as the state, because what lies between them would be folded twice after a kill. They are taken
//! one at a time at rest, and behind so many commits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use factum_core::{
    envelope::Stored,
    error::{HandlerError, StoreError},
    ports::{Reader, SnapshotError, Snapshots},
    snapshot::{Codec, Snapshot, Unwritten},
    stream::{Cursor, Position, StreamId, StreamVersion},
};

use super::{
    failure::guard,
    folds::Folds,
    states::{Entry, Model},
    work::Work,
};
use crate::{
    registry::{ConsumerId, Registry},
    sabotage,
};

/// Commits without a rest after which a snapshot may be taken.
const COMMITS: u32 = 64;
/// So many bytes of the last snapshot count as one message more to wait for: reading a message from the log takes about
/// as long as writing so many bytes, so that large states are not written all the time.
const BYTES_A_MESSAGE: u64 = 256;

/// The size of a state that has no form that can be kept: no snapshot of it is due any more.
const NO_FORM: usize = usize::MAX;

/// How old a state's last snapshot is.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// The stream's version, or the log's position, that it stands for; 0 if there is none.
    pub(super) at: u64,
    /// None if there is none.
    written: Option<Arc<Written>>,
}

/// What is known of a state's snapshots where they are written: elsewhere, and later.
#[derive(Debug, Default)]
struct Written {
    /// The size of the last one, once there is one.
    bytes: AtomicUsize,
    /// How many wait to be written.
    waiting: AtomicUsize,
}

impl Kept {
    pub(super) fn new(at: u64, bytes: usize) -> Self {
        Self { at, written: Some(Arc::new(Written { bytes: bytes.into(), waiting: 0.into() })) }
    }

    fn bytes(&self) -> usize {
        self.written.as_ref().map_or(0, |written| written.bytes.load(Ordering::Relaxed))
    }

    fn waits(&self) -> bool {
        self.written.as_ref().is_some_and(|written| written.waiting.load(Ordering::Relaxed) > 0)
    }

    /// Whether a state that has come as far as `now` is worth another one.
    pub(super) fn due(&self, now: u64, after: u64) -> bool {
        now.saturating_sub(self.at) >= after.saturating_add(self.bytes() as u64 / BYTES_A_MESSAGE) && !self.waits()
    }

    /// Whether there is anything in a state that has come as far as `now` that is not in it.
    pub(super) fn is_behind(&self, now: u64) -> bool {
        self.at < now && self.bytes() != NO_FORM
    }
}

/// The engine's way to its snapshots. Nothing that goes wrong with them is more than a warning.
pub(super) struct Shelf {
    store: Arc<dyn Snapshots>,
    reader: Arc<dyn Reader>,
    commits: u32,
}

impl Shelf {
    /// Whatever is not of this log is removed.
    pub(super) fn open(store: Arc<dyn Snapshots>, reader: Arc<dyn Reader>) -> Self {
        if let Err(error) = store.retain(reader.lineage(), reader.head()) {
            tracing::warn!(%error, "snapshots could not be sifted");
        }
        Self { store, reader, commits: 0 }
    }

    /// A snapshot of these folds, of a place up to `until`, and what `restore` makes of it. One that cannot be used is
    /// removed.
    pub(super) fn find<T>(
        &self,
        name: &str,
        codec: Codec,
        until: Position,
        restore: impl FnOnce(&Snapshot) -> Result<T, HandlerError>,
    ) -> Option<T> {
        let snapshot = match self.store.get(name) {
            Ok(snapshot) => snapshot?,
            Err(error) => {
                tracing::warn!(name, %error, "a snapshot could not be read");
                return None;
            }
        };
        let Cursor { lineage, position } = snapshot.at;
        let used = if snapshot.model != codec.model {
            tracing::info!(name, "a snapshot is of another version: folding from the log");
            None
        } else if lineage != self.reader.lineage() || position > until {
            tracing::warn!(name, "a snapshot is of another log, or ahead of this one: folding from the log");
            None
        } else {
            let restored = guard(|| restore(&snapshot));
            restored
                .inspect_err(|error| tracing::warn!(name, %error, "a snapshot cannot be used: folding from the log"))
                .ok()
        };
        if used.is_none() {
            self.remove(name);
        }
        used
    }

    /// Removes a snapshot that must not be used.
    pub(super) fn remove(&self, name: &str) {
        if let Err(error) = self.store.remove(name) {
            tracing::warn!(name, %error, "a snapshot could not be removed");
        }
    }

    /// Puts a copy of a state on the shelf, to be written: as far as `at`, which is of the state's own count.
    fn put(
        &self,
        name: &str,
        codec: Codec,
        (position, at, before): (Position, u64, &Kept),
        copy: impl FnOnce() -> Result<Write, HandlerError>,
    ) -> Result<Kept, Busy> {
        let write = match guard(copy) {
            Ok(write) => write,
            Err(error) => {
                tracing::warn!(name, %error, "a state cannot be copied: no snapshot of it before the next start");
                return Ok(Kept::new(at, NO_FORM));
            }
        };
        let written = before.written.clone().unwrap_or_default();
        let (about, told) = (before.bytes(), written.clone());
        let done = move |bytes: Option<usize>| {
            told.bytes.store(bytes.unwrap_or(NO_FORM), Ordering::Relaxed);
            told.waiting.fetch_sub(1, Ordering::Relaxed);
        };
        let place = Cursor { lineage: self.reader.lineage(), position };
        // It is user code that writes.
        let snapshot = Unwritten { model: codec.model, at: place, about, write: Box::new(|| guard(write)) };
        written.waiting.fetch_add(1, Ordering::Relaxed);
        match self.store.put_unwritten(name, snapshot, Box::new(done)) {
            Ok(()) => {}
            Err(SnapshotError::Busy) => {
                written.waiting.fetch_sub(1, Ordering::Relaxed);
                return Err(Busy);
            }
            Err(error) => tracing::warn!(name, %error, "no snapshot could be taken"),
        }
        Ok(Kept { at, written: Some(written) })
    }
}

/// Writes a copy of a state.
pub(super) type Write = Box<dyn FnOnce() -> Result<Vec<u8>, HandlerError> + Send>;

/// Too much waits to be written.
struct Busy;

impl Work {
    /// Whether snapshots are due behind the next commit: nothing may be decided on it before they are taken.
    pub(super) fn snapshots_are_due(&self) -> bool {
        let may_be = self.shelf.commits + 1 >= COMMITS && !sabotage::is("snapshot-of-what-is-not-durable");
        may_be && (self.states.has_due() || self.due_fold().is_some())
    }

    /// Counts a commit; behind so many, snapshots may be taken without waiting for a rest: one of a stream, and one of a
    /// folding, whose stored cursor is where the state is right behind a commit and seldom at rest. Not where something was
    /// run on it already: that is not durable.
    pub(super) fn committed(&mut self, registry: &Registry, saved: Position, is_built_on: bool) {
        self.shelf.commits += 1;
        let durable = !is_built_on || sabotage::is("snapshot-of-what-is-not-durable");
        if self.shelf.commits >= COMMITS && saved == self.consumers.cursor && durable {
            self.shelf.commits = 0;
            self.take_due_stream();
            self.take_due_fold(registry, saved);
        }
    }

    /// At rest: takes the snapshot of one state that is worth it; says whether there was one.
    pub(super) fn take_snapshot(&mut self, registry: &Registry, saved: Position) -> bool {
        self.take_due_stream() || self.take_due_fold(registry, saved)
    }

    fn take_due_stream(&mut self) -> bool {
        self.states.take_due().is_some_and(|stream| self.take_stream(&stream).is_ok())
    }

    fn take_due_fold(&mut self, registry: &Registry, saved: Position) -> bool {
        let next = self.due_fold().filter(|_| saved == self.consumers.cursor);
        next.is_some_and(|id| self.take_fold(registry, id).is_ok())
    }

    /// A folding whose state is worth a snapshot.
    fn due_fold(&self) -> Option<ConsumerId> {
        let (cursor, after) = (self.consumers.cursor, self.limits.snapshot_positions);
        let due = |(id, kept): &(&ConsumerId, &Kept)| kept.due(cursor.0, after) && self.consumers.is_joined(**id);
        self.folds.kept.iter().find(due).map(|(id, _)| *id)
    }

    /// Takes snapshots of all foldings, and of all large aggregates in the cache that have changed since their last: for a
    /// stop in order, when the cursor is stored. Ends where too much waits to be written.
    pub(super) fn take_snapshots(&mut self, registry: &Registry, saved: Position) {
        let cursor = self.consumers.cursor;
        if saved == cursor {
            let behind = |(id, kept): (&_, &Kept)| kept.is_behind(cursor.0).then_some(*id);
            let folds: Vec<_> = self.folds.kept.iter().filter_map(behind).collect();
            let joined = folds.into_iter().filter(|id| self.consumers.is_joined(*id)).collect::<Vec<_>>();
            if joined.into_iter().try_for_each(|id| self.take_fold(registry, id)).is_err() {
                return;
            }
        }
        let streams = self.states.changed();
        let _ = streams.iter().try_for_each(|stream| self.take_stream(stream));
    }

    fn take_fold(&mut self, registry: &Registry, id: ConsumerId) -> Result<(), Busy> {
        let Some((codec, state)) = Folds::codec(registry, id).zip(self.folds.states.get(&id)) else {
            return Ok(());
        };
        let position = self.consumers.reached(id);
        let name = fold_name(&registry.consumer(id).name);
        let before = self.folds.kept.get(&id).cloned().unwrap_or_default();
        let kept = self.shelf.put(&name, codec, (position, position.0, &before), || {
            let copy = codec.copy(&**state)?;
            Ok(Box::new(move || codec.encode(&*copy)))
        })?;
        self.folds.kept.insert(id, kept);
        Ok(())
    }

    fn take_stream(&mut self, stream: &StreamId) -> Result<(), Busy> {
        let Some(entry) = self.states.get_mut(stream) else { return Ok(()) };
        let Some(codec) = entry.codec else { return Ok(()) };
        // Everything in the entry is durable, so that it stands at or before the head.
        let place = (self.reader.head(), entry.version.0, &entry.kept);
        entry.kept = self.shelf.put(&stream_name(stream), codec, place, || entry.copy(codec))?;
        Ok(())
    }

    /// A stream's state as its last snapshot has it, if that is of this very stream, and the messages that came after it.
    pub(super) fn snapshot_of(
        &self,
        stream: &StreamId,
        model: &Model<'_>,
    ) -> Result<Option<(Entry, Vec<Stored>)>, StoreError> {
        let Ok(Some(codec)) = guard(|| Ok(model.codec())) else { return Ok(None) };
        let name = stream_name(stream);
        let decode = |snapshot: &Snapshot| Entry::decode(codec, &snapshot.state);
        let Some(entry) = self.shelf.find(&name, codec, self.reader.head(), decode) else { return Ok(None) };
        // The last message that is in it is read again: it tells this stream from one that went another way.
        let before = StreamVersion(entry.version.0.saturating_sub(1));
        let mut rest = self.stored_stream(stream, before)?;
        let same = |last: &Stored| last.version == entry.version && Some(&last.envelope().id) == entry.last.as_ref();
        if !rest.first().is_some_and(same) {
            tracing::warn!(name, "a snapshot ends in another message than its stream: folding from the log");
            self.shelf.remove(&name);
            return Ok(None);
        }
        rest.remove(0);
        Ok(Some((entry, rest)))
    }
}

/// The name of a folding's snapshot.
pub(super) fn fold_name(consumer: &str) -> String {
    format!("fold/{consumer}")
}

fn stream_name(stream: &StreamId) -> String {
    format!("stream/{stream}")
}
