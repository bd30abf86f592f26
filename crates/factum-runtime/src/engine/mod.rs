//! The engine: one sequential loop that runs a unit's pure handlers in batches.
//!
//! [`Engine::step`] takes a batch, runs it delivery by delivery on cached state, commits all effects together with the
//! cursor, and answers only then. Nothing in here waits for anything but the store.
//!
//! (LMAX's business logic processor, Restate's partition processor and Zeebe's stream processor are built so.)

mod batch;
mod consumers;
mod decide;
mod deliver;
mod effects;
mod folds;
mod limits;
mod origin;
#[cfg(feature = "sabotage")]
mod planted;
mod snapshots;
mod stage;
mod states;
mod take;

use std::{
    collections::{BTreeSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

pub use batch::Arrange;
use batch::{Delivery, route};
use consumers::Consumers;
use factum_core::{
    cell::CellKind,
    error::{CommitError, HandlerError, StoreError},
    ports::{Clock, IdSource, Reader, Scan, Snapshots},
    stream::Position,
};
use folds::Folds;
use jiff::Timestamp;
pub use limits::Limits;
use serde::Serialize;
use snapshots::Shelf;
use stage::Stage;
use states::States;
use tokio::sync::{mpsc, oneshot};

use crate::{
    committer::Committer,
    inbox::{ExecuteError, Input, Receipt, Reply, Rested},
    registry::{ConsumerId, Registry},
    tail::{Frame, Tail},
    timers::Timers,
};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something: there may be more.
    Worked,
    /// Nothing is unread and nothing waits.
    Rest,
}

/// How the engine stands, for people.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineHealth {
    /// Handled up to here.
    pub cursor: u64,
    /// Open calls.
    pub calls: usize,
    /// Waiting timers.
    pub timers: usize,
    /// Consumers that stopped, and why.
    pub stopped: Vec<StoppedConsumer>,
    /// Cursors whose consumers no service has any more.
    pub orphans: Vec<String>,
    /// Why nothing can be stored now; it is tried again and again.
    pub waiting: Option<String>,
    /// Why the engine itself does not run.
    pub failed: Option<String>,
}

/// A consumer that stopped in front of a message that its handler failed on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoppedConsumer {
    /// Its name.
    pub consumer: String,
    /// The message that it failed on.
    pub position: u64,
    /// What the handler said.
    pub reason: String,
}

/// What an engine works on.
pub struct Parts {
    /// Who handles what.
    pub registry: Arc<Registry>,
    /// Writes.
    pub committer: Arc<Committer>,
    /// Commands from outside, answers of calls.
    pub inbox: mpsc::Receiver<Input>,
    /// States kept beside the log; a slow `put` holds the engine up.
    pub snapshots: Arc<dyn Snapshots>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Box<dyn IdSource>,
    /// The order within a batch.
    pub arrange: Arrange,
    /// Bounds.
    pub limits: Limits,
}

/// See the module.
pub struct Engine {
    registry: Arc<Registry>,
    committer: Arc<Committer>,
    reader: Arc<dyn Reader>,
    tail: Arc<Tail>,
    inbox: mpsc::Receiver<Input>,
    /// Inputs that a cut batch put back; they come first.
    waiting: VecDeque<Input>,
    /// Answers of calls in the batch under way; they are run again if its commit fails.
    unsettled: Vec<Input>,
    resting: Vec<oneshot::Sender<Rested>>,
    /// The next batch is run in the order of the log, because it could not be run shuffled.
    once_as_taken: bool,
    clock: Arc<dyn Clock>,
    ids: Box<dyn IdSource>,
    arrange: Arrange,
    limits: Limits,
    consumers: Consumers,
    states: States,
    folds: Folds,
    shelf: Shelf,
    timers: Timers,
    calls: BTreeSet<String>,
    /// The cursor as the store has it.
    saved: Position,
    health: Arc<Mutex<EngineHealth>>,
}

/// An input's answer, which waits for the commit.
struct Pending {
    reply: Reply,
    outcome: Result<Vec<Receipt>, ExecuteError>,
}

impl Engine {
    /// An engine that goes on where the log says that it was.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn new(parts: Parts) -> Result<Self, StoreError> {
        let reader = parts.committer.reader();
        let mut engine = Self {
            tail: parts.committer.tail(),
            registry: parts.registry,
            committer: parts.committer,
            inbox: parts.inbox,
            waiting: VecDeque::new(),
            unsettled: Vec::new(),
            resting: Vec::new(),
            once_as_taken: false,
            clock: parts.clock,
            ids: parts.ids,
            arrange: parts.arrange,
            states: States::new(parts.limits.state_bytes, parts.limits.snapshot_messages),
            limits: parts.limits,
            consumers: Consumers::default(),
            folds: Folds::default(),
            shelf: Shelf::open(parts.snapshots, reader.clone()),
            reader,
            timers: Timers::default(),
            calls: BTreeSet::new(),
            saved: Position::START,
            health: Arc::default(),
        };
        engine.reload()?;
        Ok(engine)
    }

    /// How it stands; kept up to date by every step.
    pub fn health(&self) -> Arc<Mutex<EngineHealth>> {
        self.health.clone()
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Drops everything derived and reads it again: at the start, and after a write that failed.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn reload(&mut self) -> Result<(), StoreError> {
        self.states.clear();
        self.consumers = Consumers::load(&self.registry, self.reader.cells(CellKind::Cursor)?)?;
        self.saved = self.consumers.cursor;
        self.timers = Timers::load(self.reader.cells(CellKind::Timer)?, &self.registry.upcasters)?;
        self.calls = self.reader.cells(CellKind::Call)?.into_iter().map(|cell| cell.key.name).collect();
        let registry = self.registry.clone();
        self.folds = Folds::rebuild(&registry, &mut self.consumers, &*self.reader, &self.shelf)?;
        self.report();
        Ok(())
    }

    /// Goes on from the log after a step that failed; says whether it can. If not, the program must be started again.
    pub fn recover(&mut self, error: &StoreError) -> bool {
        match error {
            StoreError::Transient(_) | StoreError::Full(_) => self.reload().is_ok(),
            StoreError::OutcomeUnknown(_) | StoreError::Corrupt(_) | StoreError::Permanent(_) => false,
        }
    }

    /// One batch, one commit.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed. What was not committed is not lost: after [`Engine::reload`] it is run again,
    /// except inputs from outside, whose callers have been told.
    pub fn step(&mut self) -> Result<Step, StoreError> {
        let registry = self.registry.clone();
        if let Some((consumer, after)) = self.consumers.behind() {
            return self.catch_up(&registry, consumer, after);
        }
        let mut batch = Vec::new();
        let turn = if std::mem::take(&mut self.once_as_taken) { None } else { self.arrange.inputs_turn() };
        let through = self.take(&registry, turn, &mut batch)?;
        if batch.is_empty() && through == self.consumers.cursor {
            self.rested();
            return Ok(if self.take_snapshot() { Step::Worked } else { Step::Rest });
        }
        let order = if turn.is_some() { self.arrange.order(&batch) } else { (0..batch.len()).collect() };
        // The cursor cannot tell which messages of a shuffled batch were run: it is run whole or not at all.
        let whole = turn.is_some() && through > self.consumers.cursor;
        let stopped = self.consumers.stopped();
        let mut slots: Vec<Option<Delivery>> = batch.into_iter().map(Some).collect();
        let mut stage = Stage::default();
        let mut pending = Vec::new();
        let mut cursor = through;
        let mut last_taken = self.consumers.cursor;
        for (place, index) in order.iter().enumerate() {
            let Some(delivery) = slots[*index].take() else { continue };
            let full = stage.bytes() >= self.limits.staged_bytes;
            if whole && (full || self.consumers.stopped() > stopped) {
                self.once_as_taken = true;
                self.reload()?;
                return Ok(Step::Worked);
            }
            if full && let Some(cut) = cut_before(&delivery, last_taken) {
                cursor = cut.unwrap_or(through);
                let rest = order[place + 1..].iter().filter_map(|index| slots[*index].take());
                self.put_back(std::iter::once(delivery).chain(rest));
                break;
            }
            if let Delivery::Log { frame, index, .. } = &delivery {
                last_taken = frame.messages[*index].position;
            }
            self.deliver(&registry, delivery, through, &mut stage, &mut pending);
        }
        if whole && self.consumers.stopped() > stopped {
            self.once_as_taken = true;
            self.reload()?;
            return Ok(Step::Worked);
        }
        self.consumers.cursor = cursor;
        self.commit(&registry, stage, pending, None)?;
        Ok(Step::Worked)
    }

    /// Writes the cursor, if it moved over messages without effects.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub fn save_cursor(&mut self) -> Result<(), StoreError> {
        if self.saved == self.consumers.cursor { Ok(()) } else { self.write_cursor() }
    }

    /// Writes the cursor, moved or not: to see whether the store can be written again.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub fn write_cursor(&mut self) -> Result<(), StoreError> {
        let registry = self.registry.clone();
        let mut stage = Stage::default();
        let (key, value) = self.consumers.engine_cell()?;
        stage.cell(key, value);
        self.commit(&registry, stage, Vec::new(), None)
    }

    /// Answers everybody who waits that the engine stops.
    pub fn shut(&mut self, reason: &str) {
        self.inbox.close();
        while let Ok(input) = self.inbox.try_recv() {
            self.waiting.push_back(input);
        }
        for input in std::mem::take(&mut self.waiting) {
            if let Input::Commands(_, reply) = input {
                let _ = reply.send(Err(ExecuteError::Stopped(reason.to_owned())));
            }
        }
        self.resting.clear();
    }

    /// Reads one consumer up to the engine's cursor, a batch at a time.
    fn catch_up(&mut self, registry: &Registry, consumer: ConsumerId, after: Position) -> Result<Step, StoreError> {
        let until = self.consumers.cursor;
        let bytes = self.limits.staged_bytes / 4;
        let scanned = self.reader.scan(&Scan { after, until, bytes, types: None })?;
        let through = if scanned.through <= after { until } else { scanned.through };
        let frame = Arc::new(Frame { messages: scanned.messages, through });
        let mut stage = Stage::default();
        let mut cursor = through;
        for (index, stored) in frame.messages.iter().enumerate() {
            if stage.bytes() >= self.limits.staged_bytes {
                cursor = Position(stored.position.0 - 1);
                break;
            }
            if route(registry, stored, &mut [ConsumerId(0)]).contains(&consumer) {
                let delivery = Delivery::Log { frame: frame.clone(), index, consumer };
                self.deliver(registry, delivery, until, &mut stage, &mut Vec::new());
            }
            if self.consumers.apart.get(&consumer).is_some_and(|apart| apart.stopped.is_some()) {
                break;
            }
        }
        if let Some(apart) = self.consumers.apart.get_mut(&consumer)
            && apart.stopped.is_none()
        {
            apart.cursor = cursor;
            if cursor >= until {
                self.consumers.apart.remove(&consumer);
                tracing::info!(consumer = registry.consumer(consumer).name, "consumer has caught up");
            }
        }
        self.commit(registry, stage, Vec::new(), Some(consumer))?;
        Ok(Step::Worked)
    }

    #[cfg_attr(feature = "sabotage", expect(unused_mut, reason = "a bug takes the stage apart"))]
    fn commit(
        &mut self,
        registry: &Registry,
        mut stage: Stage,
        pending: Vec<Pending>,
        consumer: Option<ConsumerId>,
    ) -> Result<(), StoreError> {
        #[cfg(feature = "sabotage")]
        let (mut stage, pending) = self.sabotaged(stage, pending)?;
        let stopped: Vec<ConsumerId> = self.consumers.apart.keys().copied().collect();
        let accepted = pending.iter().flat_map(|pending| pending.outcome.iter().flatten());
        let behind: Vec<Option<u64>> = accepted.map(|receipt| stage.behind(&receipt.stream, receipt.version)).collect();
        if !stage.is_empty() || consumer.is_some() {
            for apart in stopped.into_iter().chain(consumer) {
                let (key, value) = self.consumers.cell(registry, apart)?;
                stage.cell(key, value);
            }
            let (key, value) = self.consumers.engine_cell()?;
            stage.cell(key, value);
            if let Some((key, value)) = self.consumers.known_cell(registry)? {
                stage.cell(key, value);
            }
            let outcome = self.committer.commit(stage.into_commit());
            if let Err(error) = outcome {
                return self.failed(pending, error);
            }
            self.saved = self.consumers.cursor;
        }
        self.unsettled.clear();
        let head = self.tail.head();
        let mut behind = behind.into_iter();
        for Pending { reply, outcome } in pending {
            let placed = outcome.map(|receipts| {
                let placed = receipts.into_iter().zip(&mut behind);
                placed.map(|(receipt, behind)| self.placed(receipt, head, behind)).collect()
            });
            // Whoever asked may have gone; what was decided stands.
            let _ = reply.send(placed);
        }
        self.committed();
        self.states.trim();
        self.report();
        Ok(())
    }

    /// A receipt with its position: that of the last event that followed, or the head if none did.
    fn placed(&mut self, receipt: Receipt, head: Position, behind: Option<u64>) -> Receipt {
        if receipt.position != Position::START {
            return receipt;
        }
        let position = Position(head.0 - behind.unwrap_or_default());
        if behind.is_some() {
            self.states.place(&receipt.stream, receipt.version, position);
        }
        Receipt { position, ..receipt }
    }

    fn failed(&mut self, pending: Vec<Pending>, error: CommitError) -> Result<(), StoreError> {
        for Pending { reply, outcome } in pending {
            let _ = reply.send(outcome.and(Err(error.clone().into())));
        }
        for answer in std::mem::take(&mut self.unsettled).into_iter().rev() {
            self.waiting.push_front(answer);
        }
        tracing::error!(%error, "a commit failed");
        match error {
            // Another writer was faster: with fresh states the next step decides anew.
            CommitError::Refused(_) => self.reload(),
            CommitError::Store(error) => Err(error),
        }
    }

    fn put_back(&mut self, rest: impl Iterator<Item = Delivery>) {
        // Messages are read again behind the cursor, timers are still in their order; only inputs would be lost.
        let inputs = rest.filter_map(|delivery| match delivery {
            Delivery::Input(input) => Some(input),
            Delivery::Log { .. } | Delivery::Timer { .. } => None,
        });
        let mut inputs: VecDeque<Input> = inputs.collect();
        inputs.append(&mut self.waiting);
        self.waiting = inputs;
    }

    fn rested(&mut self) {
        if !self.calls.is_empty() {
            return;
        }
        let rested = Rested { position: self.tail.head(), next_timer: self.timers.next() };
        for reply in self.resting.drain(..) {
            let _ = reply.send(rested);
        }
    }

    fn report(&self) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.cursor = self.consumers.cursor.0;
        health.calls = self.calls.len();
        health.timers = self.timers.len();
        if health.stopped.len() != self.consumers.apart.len() || !self.consumers.apart.is_empty() {
            let apart = self.consumers.apart.iter();
            health.stopped = apart
                .filter_map(|(id, apart)| {
                    Some(StoppedConsumer {
                        consumer: self.registry.consumer(*id).name.clone(),
                        position: apart.cursor.0 + 1,
                        reason: apart.stopped.clone()?,
                    })
                })
                .collect();
        }
        if health.orphans != self.consumers.orphans {
            health.orphans.clone_from(&self.consumers.orphans);
        }
    }
}

/// Where a batch may be cut in front of a delivery: not inside the consumers of one message. The inner value is the
/// cursor behind the cut, `None` if all messages are through.
fn cut_before(delivery: &Delivery, last_taken: Position) -> Option<Option<Position>> {
    match delivery {
        Delivery::Timer { .. } | Delivery::Input(_) => Some(None),
        Delivery::Log { frame, index, .. } => {
            let position = frame.messages[*index].position;
            (position > last_taken).then(|| Some(Position(position.0 - 1)))
        }
    }
}

/// Runs a handler; a panic is its failure.
pub(crate) fn guard<T>(handler: impl FnOnce() -> Result<T, HandlerError>) -> Result<T, HandlerError> {
    // States that the handler touched are dropped by the caller, so a half-changed one is never seen.
    catch_unwind(AssertUnwindSafe(handler)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(HandlerError::Panicked(text.unwrap_or_else(|| "without a message".to_owned())))
    })
}
