//! A running unit: the threads of the engine, the committer and the views, and the outward task, started together and stopped in order.

mod acting;
mod between_loops;
mod caches_loop;
mod committer_loop;
mod consumers;
mod engine_loop;
mod following;
mod grouping;
mod head_loop;
mod health;
mod importing;
mod parts;
mod start_error;
mod views_loop;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use caches_loop::CachesLoop;
use committer_loop::CommitterLoop;
pub use consumers::{ConsumerKind, ConsumerState, Standing};
use engine_loop::EngineLoop;
use factum_core::{
    cache::{AnyCache, CacheShown},
    ports::{Backend, Clock, Reader, RowReader},
    stream::Position,
};
pub use following::Followed;
use head_loop::HeadLoop;
pub use health::{Status, UnitHealth};
pub use importing::ImportError;
pub use parts::UnitParts;
pub use start_error::StartError;
use start_error::outlasts;
use tokio::sync::{oneshot, watch};
use views_loop::ViewsLoop;

use crate::{
    between::BetweenShown,
    committer::Committer,
    engine::{Bound, Engine, EngineHealth, Parts},
    groups::{self, Groups},
    import::Door,
    inbox::{ExecuteError, INBOX, INBOX_BYTES, Input, Receipt, Request, Rested, Sender},
    outward::{self, Outward},
    registry::Registry,
    schedules,
    shapes::Shapes,
    signal::Signal,
    snapshots::Background,
    tail::Tail,
    views::{self, Again, Progress, Views},
};

/// A cursor that moved over messages without effects is written after this long.
const CURSOR_TICK: Duration = Duration::from_secs(1);
/// How often a view looks whether its letter is durable.
const LETTER_TICK: Duration = Duration::from_millis(2);
/// A stop waits this long for work under way.
const DRAIN: Duration = Duration::from_secs(10);

/// A running unit.
pub struct Unit {
    door: Arc<Door>,
    registry: Arc<Registry>,
    committer: Arc<Committer>,
    tail: Arc<Tail>,
    inbox: Sender,
    health: Arc<Mutex<EngineHealth>>,
    progress: Progress,
    again: Again,
    rows_wait: Arc<Mutex<Option<String>>>,
    clock: Arc<dyn Clock>,
    program: String,
    about: BTreeMap<&'static str, String>,
    rows: Arc<dyn RowReader>,
    signals: Vec<Arc<Signal>>,
    /// In the order in which they stop.
    loops: Mutex<Vec<Running>>,
    stop_outward: watch::Sender<bool>,
    outward_waits: Arc<Mutex<Option<String>>>,
    groups: Arc<Groups>,
    dependencies: outward::Shown,
    between: Option<Arc<Mutex<BetweenShown>>>,
    outward: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// A loop on a thread of its own.
struct Running {
    name: &'static str,
    stopping: Arc<AtomicBool>,
    signal: Arc<Signal>,
    thread: JoinHandle<()>,
}

impl Unit {
    /// Starts a unit. Must be called inside a tokio runtime, which then runs the outward loop.
    ///
    /// # Errors
    /// [`StartError`], as a sentence that says what to change.
    pub fn start(mut parts: UnitParts) -> Result<Self, StartError> {
        let knows_schedules = schedules::are_known(&*parts.backend.reader())?;
        let neighbours = parts.between.as_ref().map(|between| between.neighbours.clone()).unwrap_or_default();
        let mut registry = Registry::among(parts.services, knows_schedules, neighbours)?;
        let shapes = registry.meets(&*parts.backend.reader(), parts.hold_unknown)?;
        let registry = Arc::new(registry);
        tell(&registry, &shapes);
        parts.backend.owns(&registry.owners)?;
        let others = parts.backend.others();
        let committer = Committer::new(parts.backend, registry.owners.clone()).upcasting(&registry.upcasters);
        let committer = Arc::new(committer);
        let tail = committer.tail();
        let engine_signal = Arc::new(Signal::default());
        let views_signal = Arc::new(Signal::default());
        tail.listen(views_signal.clone());
        let (inbox, receiver) = Sender::new(engine_signal.clone());
        let door = Arc::new(Door::of(&registry, parts.limits.depth));
        let program = parts.program.clone();
        let views = Views::open(views::Parts {
            registry: registry.clone(),
            store: parts.rows,
            reader: committer.reader(),
            tail: tail.clone(),
            inbox: Some(inbox.clone()),
            most_letters: parts.limits.letters,
            notes: parts.notes.clone(),
            clock: parts.clock.clone(),
            program: parts.program.clone(),
        })?;
        let (progress, again, rows) = (views.progress(), views.again(), views.rows());
        if let Some(lease) = committer.lease() {
            outlasts(&registry, lease.length())?;
        }
        let outward = Outward::open(outward::Parts {
            registry: registry.clone(),
            reader: committer.reader(),
            tail: tail.clone(),
            inbox: inbox.clone(),
            clock: parts.clock.clone(),
            reads_aside: true,
        })?
        .leased(committer.lease());
        let start = parts.ids.next(parts.clock.mark());
        let mut engine = Engine::new(Parts {
            registry: registry.clone(),
            committer: committer.clone(),
            inbox: receiver,
            snapshots: Arc::new(Background::over(parts.snapshots)?),
            notes: parts.notes,
            digest_key: parts.digest_key,
            program: parts.program,
            clock: parts.clock.clone(),
            ids: parts.ids,
            shapes,
            arrange: parts.arrange,
            limits: parts.limits,
        })?;
        let (launched, stop_committer): (Arc<Signal>, Arc<AtomicBool>) = Default::default();
        let flight = engine.apart(launched.clone(), engine_signal.clone());
        let health = engine.health();
        let groups = Groups::new(groups::Parts {
            registry: registry.clone(),
            reader: committer.reader(),
            tail: tail.clone(),
            inbox: inbox.clone(),
            clock: parts.clock.clone(),
            told: engine.groups(),
            start,
        });
        for orphan in &lock(&health).orphans {
            tracing::warn!(consumer = orphan, "a cursor is left of a consumer that no service has");
        }
        let (stop_engine, stop_views): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let run_engine = EngineLoop {
            engine,
            committer: committer.clone(),
            flight: flight.clone(),
            clock: parts.clock.clone(),
            signal: engine_signal.clone(),
            stopping: stop_engine.clone(),
            health: health.clone(),
            waiting: None,
        };
        let run_committer = CommitterLoop { flight, signal: launched.clone(), stopping: stop_committer.clone() };
        let rows_wait: Arc<Mutex<Option<String>>> = Arc::default();
        let run_views =
            ViewsLoop { views, waiting: rows_wait.clone(), signal: views_signal.clone(), stopping: stop_views.clone() };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| Builder::new().name(name.into()).spawn(run);
        let committer_thread = spawn("factum-committer", Box::new(move || run_committer.run()))?;
        let engine_thread = spawn("factum-engine", Box::new(move || run_engine.run()))?;
        let views_thread = spawn("factum-views", Box::new(move || run_views.run()))?;
        // The committer and the views stop behind the engine: the views catch up with what it still carries out.
        let (mut loops, mut between) = (Vec::new(), None);
        if let Some(wanted) = parts.between {
            let (shown, running) = between_loops::start(between_loops::Parts {
                between: wanted,
                registry: registry.clone(),
                door: door.clone(),
                reader: committer.plain_reader(),
                tail: tail.clone(),
                inbox: inbox.clone(),
                lease: committer.lease(),
            })?;
            between = Some(shown);
            loops.extend(running);
        }
        if let Some(others) = others {
            let (signal, stopping): (Arc<Signal>, Arc<AtomicBool>) = Default::default();
            let (tail, engine) = (tail.clone(), engine_signal.clone());
            let run = HeadLoop { others, tail, engine, signal: signal.clone(), stopping: stopping.clone() };
            let thread = spawn("factum-head", Box::new(move || run.run()))?;
            loops.push(Running { name: "head", stopping, signal, thread });
        }
        loops.extend([
            Running { name: "engine", stopping: stop_engine, signal: engine_signal.clone(), thread: engine_thread },
            Running { name: "committer", stopping: stop_committer, signal: launched, thread: committer_thread },
            Running { name: "views", stopping: stop_views, signal: views_signal.clone(), thread: views_thread },
        ]);
        if registry.caches().next().is_some() {
            let (signal, stopping): (Arc<Signal>, Arc<AtomicBool>) = Default::default();
            tail.listen(signal.clone());
            let (registry, reader, tail, clock) =
                (registry.clone(), committer.reader(), tail.clone(), parts.clock.clone());
            let run = CachesLoop { registry, reader, tail, signal: signal.clone(), stopping: stopping.clone() };
            let thread = spawn("factum-caches", Box::new(move || run.run(&clock)))?;
            loops.push(Running { name: "caches", stopping, signal, thread });
        }
        let (stop_outward, stopped) = watch::channel(false);
        let outward_waits: Arc<Mutex<Option<String>>> = Arc::default();
        let waits = outward_waits.clone();
        let dependencies = outward.shown();
        let outward = tokio::spawn(outward.run(stopped, move |error| {
            let now = error.map(ToString::to_string);
            let mut waits = lock(&waits);
            if *waits != now {
                match &now {
                    Some(error) => tracing::error!(error, "open calls cannot be read; trying again"),
                    None => tracing::info!("open calls can be read again"),
                }
                *waits = now;
            }
        }));
        Ok(Self {
            door,
            registry,
            committer,
            tail,
            inbox,
            health,
            progress,
            again,
            rows_wait,
            clock: parts.clock,
            program,
            about: parts.about,
            rows,
            signals: vec![engine_signal, views_signal],
            loops: Mutex::new(loops),
            stop_outward,
            outward_waits,
            groups: Arc::new(groups),
            dependencies,
            between,
            outward: Mutex::new(Some(outward)),
        })
    }

    /// Carries out commands together in one commit, or none of them, waiting for room in the inbox.
    ///
    /// # Errors
    /// [`ExecuteError`]; nothing was stored unless the store's outcome is unknown.
    pub async fn execute(&self, requests: Vec<Request>) -> Result<Vec<Receipt>, ExecuteError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Input::Commands(requests, reply)).await?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// The same, but [`ExecuteError::Busy`] at once if the inbox is full.
    ///
    /// # Errors
    /// As [`Unit::execute`].
    pub async fn try_execute(&self, requests: Vec<Request>) -> Result<Vec<Receipt>, ExecuteError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.try_send(Input::Commands(requests, reply))?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Waits until nothing is unread, no call is open and no timer is due. On data time calls that wait for a time are no
    /// hindrance: [`Rested::next`] says when the first of them goes on.
    ///
    /// # Errors
    /// [`ExecuteError::Stopped`] if the engine stops before.
    pub async fn rest(&self) -> Result<Rested, ExecuteError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Input::Rest(reply)).await?;
        answer.await.map_err(|_| gone())
    }

    /// Lets the engine look at its clock again, after the mark was moved by hand.
    pub fn wake(&self) {
        self.inbox.time_moved();
        for signal in &self.signals {
            signal.ring();
        }
    }

    /// Who handles what.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The reading side of the store.
    pub fn reader(&self) -> Arc<dyn Reader> {
        self.committer.reader()
    }

    /// The reading side of the store without upcasters: what is stored, as it is stored.
    pub fn plain_reader(&self) -> Arc<dyn Reader> {
        self.committer.plain_reader()
    }

    /// The reading side of the rows.
    pub fn rows(&self) -> Arc<dyn RowReader> {
        self.rows.clone()
    }

    /// How far the views are.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The version of the program that runs.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The last durable position.
    pub fn head(&self) -> Position {
        self.tail.head()
    }

    /// How everything stands. Never waits for the store.
    pub fn health(&self) -> UnitHealth {
        let engine = lock(&self.health).clone();
        let mut ended: Vec<String> = Vec::new();
        if engine.failed.is_none() {
            let over = |running: &&Running| running.thread.is_finished() && !running.stopping.load(Ordering::Acquire);
            ended.extend(lock(&self.loops).iter().filter(over).map(|running| running.name.to_owned()));
        }
        let outward_over = lock(&self.outward).as_ref().is_some_and(tokio::task::JoinHandle::is_finished);
        if outward_over && !*self.stop_outward.borrow() && !crate::sabotage::is("thread-ends-unseen") {
            ended.push("outward".to_owned());
        }
        let bound =
            |of, unit, used: usize, limit: usize| Bound { of, unit, used: used as u64, limit: Some(limit as u64) };
        let mut memory = vec![
            bound("inbox", "inputs", self.inbox.waiting(), INBOX),
            bound("inbox", "bytes", self.inbox.waiting_bytes(), INBOX_BYTES),
            bound("tail", "bytes", self.tail.bytes(), self.tail.limit()),
        ];
        memory.push(bound("cached states", "bytes", engine.state_bytes, engine.state_bytes_limit));
        memory.push(Bound { of: "timers", unit: "bytes", used: engine.timer_bytes as u64, limit: None });
        let groups = self.groups.stand(&engine);
        UnitHealth {
            status: Status::Ok,
            reasons: Vec::new(),
            head: self.tail.head().0,
            durability: self.committer.durability(),
            engine,
            groups,
            views: self.progress.all(),
            rows: lock(&self.rows_wait).clone(),
            outward: lock(&self.outward_waits).clone(),
            between: self.between.as_ref().map(|shown| lock(shown).clone()),
            dependencies: lock(&self.dependencies).clone(),
            caches: self.caches(),
            memory,
            ended,
            about: self.about.clone(),
        }
        .judge()
    }

    /// How the caches stand.
    pub fn caches(&self) -> Vec<CacheShown> {
        self.registry.caches().map(AnyCache::shown).collect()
    }

    /// What the app says of itself, by what it speaks of.
    pub fn about(&self) -> &BTreeMap<&'static str, String> {
        &self.about
    }

    /// Ends one of the loops as a fault of the platform itself would; for tests of who notices.
    #[doc(hidden)]
    pub fn end_a_loop(&self, name: &str) {
        if name == "outward"
            && let Some(outward) = &*lock(&self.outward)
        {
            outward.abort();
        }
    }

    /// Why the engine has given up, once it has: only a new start helps then.
    pub fn failure(&self) -> Option<String> {
        lock(&self.health).failed.clone()
    }

    /// Stops: what is in the inbox is carried out, views catch up, cursors are written. Idempotent.
    pub async fn stop(&self) {
        self.groups.stop();
        self.stop_outward.send_replace(true);
        let outward = lock(&self.outward).take();
        if let Some(outward) = outward {
            let _ = outward.await;
        }
        let loops = std::mem::take(&mut *lock(&self.loops));
        for Running { stopping, signal, thread, .. } in loops {
            stopping.store(true, Ordering::Release);
            signal.ring();
            // A thread that panicked has said so already.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        if let Err(error) = self.committer.idle() {
            tracing::error!(%error, "the store could not be closed cleanly");
        }
    }

    /// The store of a unit that has stopped, whoever still has the unit: dropping it closes the store.
    pub fn release(&self) -> Box<dyn Backend> {
        self.committer.release()
    }
}

/// Whoever drops a unit without stopping it still gets the directory's lock back, and no thread stays behind. What is in
/// the inbox may not be carried out.
impl Drop for Unit {
    fn drop(&mut self) {
        self.stop_outward.send_replace(true);
        if let Some(outward) = lock(&self.outward).take() {
            outward.abort();
        }
        let loops = std::mem::take(&mut *lock(&self.loops));
        for running in &loops {
            running.stopping.store(true, Ordering::Release);
            running.signal.ring();
        }
        for running in loops {
            // A thread that panicked has said so already.
            let _ = running.thread.join();
        }
    }
}

/// What a person should know of names and versions at a start.
fn tell(registry: &Registry, shapes: &Shapes) {
    let adopted: Vec<&str> = registry.types.adopted().collect();
    if !adopted.is_empty() {
        tracing::info!(?adopted, "types under names that others gave");
    }
    if shapes.holds_any() {
        let streams = shapes.streams();
        tracing::error!(streams, "streams hold events that this program cannot read: commands to them are refused");
    }
}

fn gone() -> ExecuteError {
    ExecuteError::Stopped("it ended before it answered".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
