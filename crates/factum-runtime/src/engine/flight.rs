//! The commit in flight: its one place, and what is known of it while it is on its way.
//!
//! ```text
//!         launch                  carry_out                     land
//!  free ─────────► launched ───────────────► under way ──► landed ───► free
//!   ▲                                                                   │
//!   └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The engine launches a commit and decides the next batch on what is in it, as if it were durable. Whoever comes first carries
//! it out: the committer's thread, or the engine where it cannot go on without. Those who wait for the batch hear from there, when
//! it is durable and not before; what is in the engine's memory is brought up to date when the engine takes note (`land`).
//!
//! - What is in flight is not in the store yet. Who must read from the store what it writes waits for it
//!   ([`Work::stored_cell`], [`Work::stored_stream`]); nothing else that the engine reads can be changed by it.
//! - If it fails, what was decided on it falls with it, and the engine starts again from the log.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use factum_core::{
    cell::{Cell, CellKey},
    commit::Commit,
    envelope::Stored,
    error::{CommitError, StoreError},
    stream::{Position, StreamId, StreamVersion},
};

use super::{
    groups::Changes,
    states::ByStream,
    submit::{Pending, answer},
    work::Work,
};
use crate::{committer::Committer, groups::ToldAll, signal::Signal};

/// The place for one commit. See the module.
pub struct Flight {
    committer: Arc<Committer>,
    told: Arc<ToldAll>,
    place: Mutex<Place>,
    landed: Condvar,
    signals: Option<Signals>,
}

/// Who is rung when.
struct Signals {
    launched: Arc<Signal>,
    landed: Arc<Signal>,
}

#[derive(Default)]
enum Place {
    #[default]
    Free,
    Launched(Box<Launched>),
    UnderWay {
        /// The engine waits.
        awaited: bool,
    },
    Landed(Landed),
}

/// A commit, and all that happens when it is durable.
pub(super) struct Launched {
    pub(super) commit: Commit,
    pub(super) pending: Vec<Pending>,
    /// How many messages of the commit stand behind the last one of each receipt, in the order of those who wait.
    pub(super) behind: Vec<Option<u64>>,
    pub(super) groups: Changes,
    /// The engine goes on meanwhile.
    pub(super) is_left: bool,
}

/// How a commit ended.
pub(super) struct Landed {
    /// The position of its last message; or the panic of the store.
    pub(super) outcome: Result<Result<Position, CommitError>, Box<dyn Any + Send>>,
    /// Who has not heard anything, because it came to nothing.
    pub(super) pending: Vec<Pending>,
}

impl Flight {
    fn new(committer: Arc<Committer>, told: Arc<ToldAll>, signals: Option<Signals>) -> Self {
        Self { committer, told, place: Mutex::default(), landed: Condvar::new(), signals }
    }

    /// Carries out the commit that was launched: it is judged, written and made durable, and who waits for it hears. Says
    /// whether there was one. Blocks as long as the store takes.
    pub fn carry_out(&self) -> bool {
        let Launched { commit, pending, behind, groups, is_left } = {
            let mut place = self.lock();
            match std::mem::take(&mut *place) {
                Place::Launched(launched) => {
                    *place = Place::UnderWay { awaited: false };
                    *launched
                }
                other => {
                    *place = other;
                    return false;
                }
            }
        };
        // A panic of the store is the engine's to deal with, whoever carries out.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.committer.commit(commit)));
        let Ok(Ok(last)) = outcome else {
            self.has_landed(Landed { outcome, pending }, is_left);
            return true;
        };
        groups.tell(&self.told);
        // First: the next one may be launched while these hear.
        self.has_landed(Landed { outcome: Ok(Ok(last)), pending: Vec::new() }, is_left);
        answer(last, pending, behind);
        true
    }

    /// Whether a commit was launched that nobody has begun to carry out.
    pub fn is_waiting(&self) -> bool {
        matches!(*self.lock(), Place::Launched(_))
    }

    fn has_landed(&self, landed: Landed, is_left: bool) {
        if let Place::UnderWay { awaited: true } = std::mem::replace(&mut *self.lock(), Place::Landed(landed)) {
            self.landed.notify_one();
        }
        if let Some(signals) = self.signals.as_ref().filter(|_| is_left) {
            signals.landed.ring();
        }
    }

    fn launch(&self, launched: Launched) {
        let is_left = launched.is_left;
        *self.lock() = Place::Launched(Box::new(launched));
        if let Some(signals) = self.signals.as_ref().filter(|_| is_left) {
            signals.launched.ring();
        }
    }

    /// Waits until nothing is on its way; what nobody has begun is carried out here.
    fn wait(&self) -> MutexGuard<'_, Place> {
        self.carry_out();
        let under_way = |place: &mut Place| match place {
            Place::UnderWay { awaited } => {
                *awaited = true;
                true
            }
            Place::Free | Place::Launched(_) | Place::Landed(_) => false,
        };
        self.landed.wait_while(self.lock(), under_way).unwrap_or_else(PoisonError::into_inner)
    }

    /// What has landed; nothing if it is still on its way.
    fn take(&self) -> Option<Landed> {
        let mut place = self.lock();
        match std::mem::take(&mut *place) {
            Place::Landed(landed) => Some(landed),
            other => {
                *place = other;
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        // It is replaced whole.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the engine knows of the commit that it has launched last.
pub(super) struct Flights {
    place: Arc<Flight>,
    flown: Option<Flown>,
    /// The receipts of the one that has landed last: who sent the same again meanwhile gets them.
    placed: Vec<Placed>,
}

/// Of a commit on its way.
pub(super) struct Flown {
    /// Where the store's cursor stands when it has landed.
    pub(super) cursor: Position,
    /// Its receipts, and how many of its messages stand behind the last one of each.
    pub(super) receipts: Vec<(StreamId, StreamVersion, u64)>,
    /// Nothing in it goes by running time.
    pub(super) is_timeless: bool,
    /// Something was run on it: what is in memory is not what it makes durable.
    pub(super) is_built_on: bool,
    /// Deliveries that were run for it.
    pub(super) deliveries: usize,
    /// The last one's name, if they are taken one by one.
    pub(super) last: Option<String>,
    /// What it writes.
    pub(super) written: Touched,
}

/// Streams and cells that a commit writes.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) streams: ByStream<Vec<usize>>,
    /// In order.
    pub(super) cells: Vec<CellKey>,
}

/// Where the last message of a command has come to stand.
struct Placed {
    stream: StreamId,
    version: StreamVersion,
    position: Position,
}

impl Flights {
    pub(super) fn new(committer: Arc<Committer>, told: Arc<ToldAll>) -> Self {
        Self { place: Arc::new(Flight::new(committer, told, None)), flown: None, placed: Vec::new() }
    }

    /// From now on a commit may be left to whoever holds the place.
    pub(super) fn apart(&mut self, launched: Arc<Signal>, landed: Arc<Signal>) -> Arc<Flight> {
        let (committer, told) = (self.place.committer.clone(), self.place.told.clone());
        self.place = Arc::new(Flight::new(committer, told, Some(Signals { launched, landed })));
        self.place.clone()
    }

    /// Whether somebody else may carry commits out.
    pub(super) fn is_apart(&self) -> bool {
        self.place.signals.is_some()
    }

    #[cfg(feature = "sabotage")]
    pub(super) fn committer(&self) -> &Committer {
        &self.place.committer
    }

    /// Whether a commit was launched of which the engine has not taken note since.
    pub(super) fn is_aloft(&self) -> bool {
        self.flown.is_some()
    }

    /// Whether what is in flight writes to a stream.
    pub(super) fn writes(&self, stream: &StreamId) -> bool {
        self.flown.as_ref().is_some_and(|flown| flown.written.streams.contains_key(stream))
    }

    /// Something is run on what is in flight, if anything is.
    pub(super) fn build_on(&mut self) {
        self.flown.iter_mut().for_each(|flown| flown.is_built_on = true);
    }

    /// Launches a commit; one that is not left to others the engine lands at once.
    pub(super) fn launch(&mut self, launched: Launched, flown: Flown) {
        self.flown = Some(flown);
        self.place.launch(launched);
    }

    /// What has landed, with what is known of it; nothing if it is still on its way. With `wait` it is waited for.
    pub(super) fn land(&mut self, wait: bool) -> Option<(Flown, Landed)> {
        self.flown.as_ref()?;
        if wait {
            drop(self.place.wait());
        }
        let landed = self.place.take()?;
        Some((self.flown.take()?, landed))
    }

    /// Keeps the receipts of a commit that has landed, so that they can be given once more.
    pub(super) fn place(&mut self, last: Position, receipts: Vec<(StreamId, StreamVersion, u64)>) {
        let placed = |(stream, version, behind)| Placed { stream, version, position: Position(last.0 - behind) };
        self.placed = receipts.into_iter().map(placed).collect();
    }

    /// Where the messages that gave a stream this version stand, if they have landed last.
    pub(super) fn position_of(&self, stream: &StreamId, version: StreamVersion) -> Option<Position> {
        let same = |placed: &&Placed| placed.version == version && placed.stream == *stream;
        self.placed.iter().find(same).map(|placed| placed.position)
    }

    /// Waits for what is in flight, if it writes this.
    fn wait_if(&self, writes: impl FnOnce(&Touched) -> bool) -> Result<(), StoreError> {
        if !self.flown.as_ref().is_some_and(|flown| writes(&flown.written)) {
            return Ok(());
        }
        match &*self.place.wait() {
            Place::Landed(Landed { outcome: Err(_) | Ok(Err(_)), .. }) => {
                Err(StoreError::Transient("what this batch was decided on was not stored".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl Work {
    /// A cell of the store, with what is in flight.
    pub(super) fn stored_cell(&self, key: &CellKey) -> Result<Option<Cell>, StoreError> {
        self.flights.wait_if(|written| written.cells.binary_search(key).is_ok())?;
        self.reader.cell(key)
    }

    /// The messages of a stream behind a version, with those in flight.
    pub(super) fn stored_stream(&self, stream: &StreamId, after: StreamVersion) -> Result<Vec<Stored>, StoreError> {
        self.await_stream(stream)?;
        self.reader.stream(stream, after)
    }

    /// Waits for messages of a stream that are in flight.
    pub(super) fn await_stream(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.flights.wait_if(|written| written.streams.contains_key(stream))
    }
}
