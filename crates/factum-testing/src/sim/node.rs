//! One life of a node: engine, committer, views and outward loop over a simulated disk and simulated rows, stepped by hand.

use std::{path::Path, sync::Arc, time::Duration};

use factum_adapters::embedded::{self, Options};
use factum_core::{
    cell::CellKind,
    digest_key::DigestKey,
    error::{RowError, StoreError},
    letter::{Letter, LetterId},
    ports::{Reader, Scan},
    service::Service,
    stream::Position,
};
use factum_runtime::{
    committer::Committer,
    engine::{Arrange, Engine, EngineHealth, Flight, Limits, Parts, Step},
    ids::UuidSource,
    inbox::Sender,
    outward::{self, Outward},
    registry::Registry,
    shapes::ShapesError,
    signal::Signal,
    tail::Tail,
    views::{self, Progress, ViewError, Views},
};
use fastrand::Rng;
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

use super::{clock::SimClock, disk::SimDisk, rows::SimRows, world::Violation};

/// Where the log lies on the disk.
pub(super) const LOG: &str = "/log";

/// How a node is started.
#[derive(Clone, Debug)]
pub(super) struct How {
    pub limits: Limits,
    pub ring_bytes: usize,
    pub segment_bytes: u64,
    pub checkpoint_bytes: u64,
    pub shuffled: Option<u64>,
    /// How often the committer's half gets its turn behind a step of the engine: never by itself, and one in so many; not at
    /// all if the engine does both.
    pub lags: Option<u8>,
    pub ids: u64,
}

impl How {
    /// As an operator may set it, by the seed.
    pub fn drawn(random: &mut Rng) -> Self {
        let standard = Limits::default();
        let limits = Limits {
            messages: random.choice([1, 2, 5, 32, 1024]).unwrap_or(1024),
            inputs: random.choice([1, 2, 8, 256]).unwrap_or(256),
            staged_bytes: random.choice([1_500, 20_000, standard.staged_bytes]).unwrap_or(20_000),
            backlog: random.choice([4, 64, standard.backlog]).unwrap_or(64),
            state_bytes: random.choice([1, 4_000, standard.state_bytes]).unwrap_or(4_000),
            snapshot_messages: random.choice([1, 4, standard.snapshot_messages]).unwrap_or(4),
            snapshot_positions: random.choice([1, 30, standard.snapshot_positions]).unwrap_or(30),
            share: random.choice([1, 3, standard.share]).unwrap_or(1),
            ..standard
        };
        Self {
            limits,
            ring_bytes: random.choice([1, 4 << 10, 64 << 20]).unwrap_or(1),
            segment_bytes: random.choice([4 << 10, 16 << 10, 256 << 10]).unwrap_or(4 << 10),
            checkpoint_bytes: random.choice([2 << 10, 20 << 10, 256 << 20]).unwrap_or(2 << 10),
            shuffled: random.bool().then(|| random.u64(..)),
            lags: random.choice([None, Some(1), Some(2), Some(6)]).unwrap_or(None),
            ids: random.u64(..),
        }
    }
}

/// Why a node does not run.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It said so: the disk, or rows that cannot be read now.
    Refused(String),
    /// The rows stand for more than the log has.
    LogBehindRows(String),
}

/// A node that runs.
pub(super) struct Node {
    pub committer: Arc<Committer>,
    pub tail: Arc<Tail>,
    /// What is stored, as it is stored.
    pub reader: Arc<dyn Reader>,
    pub inbox: Sender,
    pub engine: Engine,
    pub views: Views,
    pub progress: Progress,
    pub registry: Arc<Registry>,
    /// The committer's half.
    pub flight: Option<Arc<Flight>>,
    /// Batches that were decided on a commit in flight.
    pub decided_in_flight: u64,
    /// Those that fell with it.
    pub fell_in_flight: u64,
    /// One waits.
    waits: bool,
    lags: u8,
    random: Rng,
    outward: JoinHandle<()>,
    stop_outward: watch::Sender<bool>,
}

impl Node {
    pub fn start(
        runtime: &Runtime,
        services: Vec<Service>,
        disk: &SimDisk,
        rows: &SimRows,
        clock: &SimClock,
        how: &How,
    ) -> Result<Self, Trouble> {
        let mut registry = Registry::new(services).map_err(|error| Trouble::Refused(error.to_string()))?;
        let How { segment_bytes, checkpoint_bytes, .. } = *how;
        let options = Options { segment_bytes, checkpoint_bytes, disk: Arc::new(disk.clone()), ..Options::default() };
        let (backend, _) = embedded::open_with(Path::new(LOG), options)?;
        let refused = |error: ShapesError| match error {
            ShapesError::Store(error) => Trouble::from(error),
            other => Trouble::Refused(other.to_string()),
        };
        let committer = Committer::new(Box::new(backend), registry.owners.clone());
        let shapes = registry.meets(&*committer.plain_reader(), false).map_err(refused)?;
        let registry = Arc::new(registry);
        let committer = Arc::new(committer.upcasting(&registry.upcasters).ring(how.ring_bytes));
        let (tail, reader) = (committer.tail(), committer.reader());
        let plain = committer.plain_reader();
        let (inbox, receiver) = Sender::new(Arc::new(Signal::default()));
        let program = "sim".to_owned();
        let views = Views::open(views::Parts {
            registry: registry.clone(),
            store: Box::new(rows.clone()),
            reader: reader.clone(),
            tail: tail.clone(),
            inbox: Some(inbox.clone()),
            most_letters: how.limits.letters,
            notes: Arc::new(rows.notes.clone()),
            clock: Arc::new(clock.clone()),
            program: program.clone(),
        })?;
        let outward = Outward::open(outward::Parts {
            registry: registry.clone(),
            reader: reader.clone(),
            tail: tail.clone(),
            inbox: inbox.clone(),
            clock: Arc::new(clock.clone()),
            reads_aside: false,
        })?;
        let mut engine = Engine::new(Parts {
            registry: registry.clone(),
            committer: committer.clone(),
            inbox: receiver,
            clock: Arc::new(clock.clone()),
            ids: Box::new(UuidSource::seeded(how.ids)),
            shapes,
            arrange: how.shuffled.map_or(Arrange::AsTaken, Arrange::shuffled),
            limits: how.limits,
            snapshots: Arc::new(rows.snapshots.clone()),
            notes: Arc::new(rows.notes.clone()),
            digest_key: DigestKey::KNOWN,
            program,
        })?;
        let flight = how.lags.map(|_| engine.apart(Arc::default(), Arc::default()));
        let (stop_outward, stopped) = watch::channel(false);
        let outward = runtime.spawn(outward.run(stopped, |_| {}));
        let progress = views.progress();
        let (lags, random) = (how.lags.unwrap_or(1), Rng::with_seed(how.ids));
        let reader = plain;
        Ok(Self {
            committer,
            tail,
            reader,
            inbox,
            engine,
            views,
            progress,
            registry,
            flight,
            decided_in_flight: 0,
            fell_in_flight: 0,
            waits: false,
            lags,
            random,
            outward,
            stop_outward,
        })
    }

    /// Lets the engine work until it rests or fails, at most so many steps; answers whether it rests.
    pub fn engine_steps(&mut self, most: usize) -> Result<bool, StoreError> {
        for _ in 0..most {
            let aloft = self.is_in_flight();
            let stepped = self.engine.step();
            self.fell_in_flight += u64::from(self.waits && stepped.is_err());
            self.waits = match stepped {
                Ok(Step::Worked) => aloft && self.is_in_flight(),
                Ok(Step::InFlight) => self.waits,
                Ok(Step::Rest) | Err(_) => false,
            };
            match stepped {
                Ok(Step::Worked) => self.decided_in_flight += u64::from(self.waits),
                Ok(Step::InFlight) => self.carry_out(),
                Ok(Step::Rest) => return Ok(true),
                Err(error) if Engine::may_recover(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.random.u8(..self.lags) == 0 {
                self.carry_out();
            }
        }
        Ok(false)
    }

    /// The committer's half gets its turn.
    pub fn carry_out(&self) {
        if let Some(flight) = &self.flight {
            flight.carry_out();
        }
    }

    /// Whether a commit was launched and has not been begun.
    pub fn is_in_flight(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.is_waiting())
    }

    /// Lets the outward loop run for a while.
    pub fn outward_for(&self, runtime: &Runtime, time: Duration) {
        runtime.block_on(async { tokio::time::sleep(time).await });
    }

    pub fn outward_has_ended(&self) -> bool {
        self.outward.is_finished()
    }

    pub fn health(&self) -> EngineHealth {
        let health = self.engine.health();
        let health = health.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        health.clone()
    }

    /// Letters, with what they say. None while the disk does not let anybody look.
    pub fn letters(&self) -> Vec<String> {
        let cells = self.reader.cells(CellKind::Letter).unwrap_or_default();
        let letters = cells.iter().filter_map(|cell| Letter::decode(&cell.value).ok());
        letters.map(|letter| format!("{}: {}", letter.id, letter.reason())).collect()
    }

    /// The names of the letters.
    pub fn letter_ids(&self) -> Vec<LetterId> {
        let letters = factum_runtime::letters::open(&*self.reader).unwrap_or_default();
        letters.into_iter().map(|letter| letter.id).collect()
    }

    /// Views that stopped.
    pub fn stopped_views(&self) -> Vec<String> {
        let all = self.progress.all().into_iter();
        all.filter_map(|(table, state)| Some(format!("{table}: {}", state.stopped?))).collect()
    }

    /// Ends it, whatever it was doing.
    pub fn end(self, runtime: &Runtime) {
        self.outward.abort();
        // Cancelled, or over already: either way nothing of it runs any more.
        let _ = runtime.block_on(self.outward);
    }

    /// Ends it as an operator does: what is in hand is finished, cursors are written. What stood in the way, if
    /// anything, is the inner error.
    pub fn stop(
        mut self,
        runtime: &Runtime,
        mut look: impl FnMut(&Self) -> Result<(), Violation>,
    ) -> Result<Result<(), String>, Violation> {
        self.stop_outward.send_replace(true);
        let ended = runtime.block_on(&mut self.outward);
        let drained = self.drain();
        look(&self)?;
        Ok(match (ended, drained) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), drained) => drained,
        })
    }

    fn drain(&mut self) -> Result<(), String> {
        // One that fails again and again is not waited for.
        for _ in 0..20 {
            if self.engine_steps(100).map_err(|error| error.to_string())? {
                break;
            }
        }
        self.engine.save_cursor().map_err(|error| error.to_string())?;
        while self.views.step().map_err(|error| error.to_string())? {}
        self.views.save_cursors().map_err(|error| error.to_string())?;
        self.engine.end();
        self.views.end();
        self.committer.idle().map_err(|error| error.to_string())
    }
}

/// All messages that a reader gives behind a position.
pub(super) fn read_all(reader: &dyn Reader, after: Position) -> Result<Vec<factum_core::envelope::Stored>, StoreError> {
    let (mut after, head) = (after, reader.head());
    let mut messages = Vec::new();
    while after < head {
        let scanned = reader.scan(&Scan { after, until: head, bytes: 1 << 20, types: None })?;
        if scanned.through <= after {
            break;
        }
        messages.extend(scanned.messages);
        after = scanned.through;
    }
    Ok(messages)
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<ViewError> for Trouble {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Rows(RowError::Lineage(problem)) => Self::LogBehindRows(problem),
            other => Self::Refused(other.to_string()),
        }
    }
}
