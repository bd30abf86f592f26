//! A running unit: the engine's thread, the views' thread and the outward task, started together and stopped in order.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use factum_core::{
    error::StoreError,
    ports::{Backend, Clock, IdSource, Reader, RowReader, RowStore, Snapshots},
    service::Service,
    stream::Position,
};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::{
    committer::Committer,
    engine::{Arrange, Engine, EngineHealth, Limits, Parts, Step},
    inbox::{ExecuteError, Input, Receipt, Request, Rested, Sender},
    outward::Outward,
    registry::{Registry, RegistryError},
    signal::Signal,
    snapshots::Background,
    tail::Tail,
    views::{Progress, ViewError, ViewState, Views},
};

/// The log is told that nothing is to be written after this long.
const IDLE: Duration = Duration::from_millis(5);
/// A cursor that moved over messages without effects is written after this long.
const CURSOR_TICK: Duration = Duration::from_secs(1);
/// After a failure the store is left alone this long.
const RETRY: Duration = Duration::from_millis(200);
/// A stop waits this long for work under way.
const DRAIN: Duration = Duration::from_secs(10);

/// What a unit is made of.
pub struct UnitParts {
    /// Its services.
    pub services: Vec<Service>,
    /// Its store.
    pub backend: Box<dyn Backend>,
    /// Its rows.
    pub rows: Box<dyn RowStore>,
    /// Its states that are kept beside the log; written by a thread of their own.
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

/// Why a unit does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The services do not fit together.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The views cannot run.
    #[error(transparent)]
    Views(#[from] ViewError),
    /// The system gives no thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// How a unit stands, for people.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitHealth {
    /// The last durable position.
    pub head: u64,
    /// What an acknowledged command survives.
    pub durability: &'static str,
    /// The engine.
    pub engine: EngineHealth,
    /// The views, by table.
    pub views: std::collections::BTreeMap<&'static str, ViewState>,
    /// Why the outward loop does not run.
    pub outward: Option<String>,
}

impl UnitHealth {
    /// Whether everything runs.
    pub fn is_well(&self) -> bool {
        let views = self.views.values().all(|view| view.stopped.is_none());
        self.engine.failed.is_none()
            && self.engine.waiting.is_none()
            && self.engine.stopped.is_empty()
            && self.outward.is_none()
            && views
    }
}

/// A running unit.
pub struct Unit {
    registry: Arc<Registry>,
    committer: Arc<Committer>,
    tail: Arc<Tail>,
    inbox: Sender,
    health: Arc<Mutex<EngineHealth>>,
    progress: Progress,
    rows: Arc<dyn RowReader>,
    signals: [Arc<Signal>; 2],
    /// In the order in which they stop.
    loops: Mutex<Vec<Running>>,
    stop_outward: watch::Sender<bool>,
    outward_failed: Arc<Mutex<Option<String>>>,
    outward: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// A loop on a thread of its own.
struct Running {
    stopping: Arc<AtomicBool>,
    signal: Arc<Signal>,
    thread: JoinHandle<()>,
}

impl Unit {
    /// Starts a unit. Must be called inside a tokio runtime, which then runs the outward loop.
    ///
    /// # Errors
    /// [`StartError`], as a sentence that says what to change.
    pub fn start(parts: UnitParts) -> Result<Self, StartError> {
        let registry = Arc::new(Registry::new(parts.services)?);
        let committer = Committer::new(parts.backend, registry.owners.clone()).upcasting(registry.upcasters.clone());
        let committer = Arc::new(committer);
        let tail = committer.tail();
        let engine_signal = Arc::new(Signal::default());
        let views_signal = Arc::new(Signal::default());
        tail.listen(views_signal.clone());
        let (inbox, receiver) = Sender::new(engine_signal.clone());
        let views = Views::open(registry.clone(), parts.rows, committer.reader(), tail.clone())?;
        let (progress, rows) = (views.progress(), views.rows());
        let outward = Outward::open(&registry, committer.reader(), tail.clone(), inbox.clone())?;
        let engine = Engine::new(Parts {
            registry: registry.clone(),
            committer: committer.clone(),
            inbox: receiver,
            snapshots: Arc::new(Background::over(parts.snapshots)?),
            clock: parts.clock.clone(),
            ids: parts.ids,
            arrange: parts.arrange,
            limits: parts.limits,
        })?;
        let health = engine.health();
        for orphan in &lock(&health).orphans {
            tracing::warn!(consumer = orphan, "a cursor is left of a consumer that no service has");
        }
        let (stop_engine, stop_views): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let run_engine = EngineLoop {
            engine,
            committer: committer.clone(),
            clock: parts.clock,
            signal: engine_signal.clone(),
            stopping: stop_engine.clone(),
            health: health.clone(),
            waiting: None,
        };
        let run_views = ViewsLoop { views, waiting: None, signal: views_signal.clone(), stopping: stop_views.clone() };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| Builder::new().name(name.into()).spawn(run);
        let engine_thread = spawn("factum-engine", Box::new(move || run_engine.run()))?;
        let views_thread = spawn("factum-views", Box::new(move || run_views.run()))?;
        // The views stop last, so that they catch up with what the engine still carries out.
        let loops = vec![
            Running { stopping: stop_engine, signal: engine_signal.clone(), thread: engine_thread },
            Running { stopping: stop_views, signal: views_signal.clone(), thread: views_thread },
        ];
        let (stop_outward, stopped) = watch::channel(false);
        let outward_failed: Arc<Mutex<Option<String>>> = Arc::default();
        let failed = outward_failed.clone();
        let outward = tokio::spawn(async move {
            if let Err(error) = outward.run(stopped).await {
                tracing::error!(%error, "the outward loop has stopped");
                *lock(&failed) = Some(error.to_string());
            }
        });
        Ok(Self {
            registry,
            committer,
            tail,
            inbox,
            health,
            progress,
            rows,
            signals: [engine_signal, views_signal],
            loops: Mutex::new(loops),
            stop_outward,
            outward_failed,
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

    /// Waits until nothing is unread, no call is open and no timer is due.
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

    /// The reading side of the rows.
    pub fn rows(&self) -> Arc<dyn RowReader> {
        self.rows.clone()
    }

    /// How far the views are.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The last durable position.
    pub fn head(&self) -> Position {
        self.tail.head()
    }

    /// How everything stands.
    pub fn health(&self) -> UnitHealth {
        UnitHealth {
            head: self.tail.head().0,
            durability: self.committer.durability(),
            engine: lock(&self.health).clone(),
            views: self.progress.all(),
            outward: lock(&self.outward_failed).clone(),
        }
    }

    /// Stops: what is in the inbox is carried out, views catch up, cursors are written. Idempotent.
    pub async fn stop(&self) {
        self.stop_outward.send_replace(true);
        let outward = lock(&self.outward).take();
        if let Some(outward) = outward {
            let _ = outward.await;
        }
        let loops = std::mem::take(&mut *lock(&self.loops));
        for Running { stopping, signal, thread } in loops {
            stopping.store(true, Ordering::Release);
            signal.ring();
            // A thread that panicked has said so already.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        if let Err(error) = self.committer.idle() {
            tracing::error!(%error, "the store could not be closed cleanly");
        }
    }
}

struct EngineLoop {
    engine: Engine,
    committer: Arc<Committer>,
    clock: Arc<dyn Clock>,
    signal: Arc<Signal>,
    stopping: Arc<AtomicBool>,
    health: Arc<Mutex<EngineHealth>>,
    /// What the store said the last time, if it has not worked since.
    waiting: Option<String>,
}

impl EngineLoop {
    fn run(mut self) {
        let mut stop_by: Option<Instant> = None;
        loop {
            if self.stopping.load(Ordering::Acquire) {
                let by = *stop_by.get_or_insert_with(|| Instant::now() + DRAIN);
                if Instant::now() >= by {
                    break;
                }
            }
            let step = self.engine.step();
            if let Ok(Step::Worked) = &step {
                self.waits_for(None);
            }
            match step {
                Ok(Step::Worked) => {}
                Ok(Step::Rest) if stop_by.is_some() => break,
                Ok(Step::Rest) => self.wait(),
                Err(error) => {
                    self.waits_for(Some(&error));
                    self.signal.wait(RETRY);
                    if !self.engine.recover(&error) {
                        lock(&self.health).failed = Some(error.to_string());
                        self.engine.shut(&error.to_string());
                        return;
                    }
                }
            }
        }
        if let Err(error) = self.engine.save_cursor() {
            tracing::error!(%error, "the engine's cursor could not be written; the last messages are read again");
        }
        self.engine.take_snapshots();
        self.engine.shut("it was told to stop");
    }

    /// Notes what stands in the way, or that nothing does any more; says so once, however often it is tried.
    fn waits_for(&mut self, error: Option<&StoreError>) {
        let error = error.map(ToString::to_string);
        if self.waiting == error {
            return;
        }
        match &error {
            Some(error) => tracing::error!(error, "the store failed; trying again"),
            None => tracing::info!("the store can be written again"),
        }
        lock(&self.health).waiting.clone_from(&error);
        self.waiting = error;
    }

    fn wait(&mut self) {
        if self.signal.wait(IDLE) {
            return;
        }
        if let Err(error) = self.committer.idle() {
            tracing::error!(%error, "the store cannot be written");
        }
        let timer = self.engine.next_timer().and_then(|due| self.clock.until(due));
        let rang = self.signal.wait(timer.unwrap_or(CURSOR_TICK).min(CURSOR_TICK));
        if rang {
            return;
        }
        // Nobody may send anything to one that says it cannot store it: it has to find out by itself.
        let saved = if self.waiting.is_some() { self.engine.write_cursor() } else { self.engine.save_cursor() };
        self.waits_for(saved.as_ref().err());
    }
}

struct ViewsLoop {
    views: Views,
    /// What stood in the way the last time.
    waiting: Option<String>,
    signal: Arc<Signal>,
    stopping: Arc<AtomicBool>,
}

impl ViewsLoop {
    fn run(mut self) {
        loop {
            match self.views.step() {
                Ok(true) => self.waiting = None,
                Ok(false) if self.stopping.load(Ordering::Acquire) => break,
                Ok(false) => _ = self.signal.wait(CURSOR_TICK),
                Err(error) => {
                    let error = error.to_string();
                    if self.waiting.as_ref() != Some(&error) {
                        tracing::error!(error, "the rows could not be written; trying again");
                        self.waiting = Some(error);
                    }
                    if self.stopping.load(Ordering::Acquire) {
                        return;
                    }
                    self.signal.wait(CURSOR_TICK);
                }
            }
        }
        if let Err(error) = self.views.save_cursors() {
            tracing::error!(%error, "the views' cursors could not be written; the last events are read again");
        }
    }
}

fn gone() -> ExecuteError {
    ExecuteError::Stopped("it ended before it answered".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
