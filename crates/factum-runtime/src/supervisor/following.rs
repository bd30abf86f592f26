//! A unit that another process leads, followed: its log and its rows are read here as that one moves them on, and nothing is
//! taken in.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::Builder,
    time::Duration,
};

use factum_core::{
    id::MessageId,
    ports::{Backend, Clock, RowReader},
    service::Service,
};
use tokio::sync::watch;

use super::{Running, StartError, Unit, caches_loop::CachesLoop, head_loop::HeadLoop, tell};
use crate::{
    between::Neighbours,
    committer::Committer,
    engine::{EngineHealth, Limits},
    groups::{self, Groups},
    import::Door,
    inbox::Sender,
    registry::Registry,
    schedules,
    signal::{Signal, backoff},
    tail::Tail,
    views::{Again, Progress},
};

/// Rows may be moved on by themselves, as by a rebuild: so often it is looked how far they are.
const LOOK: Duration = Duration::from_secs(1);
/// While rows are behind the log they are looked at so often.
const BEHIND: Duration = Duration::from_millis(20);

/// What is followed.
pub struct Followed {
    /// The services whose types, views and routes are read.
    pub services: Vec<Service>,
    /// The services of other units.
    pub neighbours: Neighbours,
    /// The store, to which nothing is written. It says how far others have written.
    pub backend: Box<dyn Backend>,
    /// The rows, which the leader writes.
    pub rows: Arc<dyn RowReader>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// A first id, of which others are derived.
    pub start: MessageId,
    /// The version of the program.
    pub program: String,
    /// Read also what services' streams hold and cannot read.
    pub hold_unknown: bool,
    /// What health says of the app beside how it stands.
    pub about: BTreeMap<&'static str, String>,
    /// Bounds.
    pub limits: Limits,
}

impl Unit {
    /// Follows a unit. Commands are answered with [`ExecuteError::Stopped`](crate::inbox::ExecuteError::Stopped).
    ///
    /// # Errors
    /// [`StartError`], as a sentence that says what to change.
    pub fn follow(parts: Followed) -> Result<Self, StartError> {
        let knows_schedules = schedules::are_known(&*parts.backend.reader())?;
        let mut registry = Registry::among(parts.services, knows_schedules, parts.neighbours)?;
        let shapes = registry.meets(&*parts.backend.reader(), parts.hold_unknown)?;
        let registry = Arc::new(registry);
        tell(&registry, &shapes);
        let others = parts.backend.others();
        let committer = Committer::new(parts.backend, registry.owners.clone()).upcasting(&registry.upcasters);
        let committer = Arc::new(committer);
        let tail = committer.tail();
        let nobody = Arc::new(Signal::default());
        // Its receiving side is gone: nothing is taken.
        let (inbox, _) = Sender::new(nobody.clone());
        let progress = Progress::elsewhere(&registry);
        let mut loops = Vec::new();
        let mut spawn = |name: &'static str, signal: Arc<Signal>, run: Box<dyn FnOnce(Arc<AtomicBool>) + Send>| {
            let stopping = Arc::new(AtomicBool::new(false));
            let told = stopping.clone();
            let thread = Builder::new().name(format!("factum-{name}")).spawn(move || run(told))?;
            loops.push(Running { name, stopping, signal, thread });
            Ok::<_, StartError>(())
        };
        if let Some(others) = others {
            let (signal, tail, engine) = (Arc::<Signal>::default(), tail.clone(), nobody.clone());
            let own = signal.clone();
            let run = move |stopping| HeadLoop { others, tail, engine, signal: own, stopping }.run();
            spawn("head", signal, Box::new(run))?;
        }
        let listening = || {
            let signal: Arc<Signal> = Arc::default();
            tail.listen(signal.clone());
            signal
        };
        let rows =
            RowsLoop { rows: parts.rows.clone(), progress: progress.clone(), tail: tail.clone(), signal: listening() };
        spawn("rows", rows.signal.clone(), Box::new(move |stopping| rows.run(&stopping)))?;
        if registry.caches().next().is_some() {
            let (signal, clock) = (listening(), parts.clock.clone());
            let (registry, reader, tail, own) = (registry.clone(), committer.reader(), tail.clone(), signal.clone());
            let run = move |stopping| CachesLoop { registry, reader, tail, signal: own, stopping }.run(&clock);
            spawn("caches", signal, Box::new(run))?;
        }
        let groups = Groups::new(groups::Parts {
            registry: registry.clone(),
            reader: committer.reader(),
            tail: tail.clone(),
            inbox: inbox.clone(),
            clock: parts.clock.clone(),
            told: Arc::default(),
            start: parts.start,
        });
        let health =
            EngineHealth { waiting: Some("another process leads the unit".to_owned()), ..EngineHealth::default() };
        Ok(Self {
            door: Arc::new(Door::of(&registry, parts.limits.depth)),
            registry,
            committer,
            tail,
            inbox,
            health: Arc::new(Mutex::new(health)),
            progress,
            again: Again::default(),
            rows_wait: Arc::default(),
            clock: parts.clock,
            program: parts.program,
            about: parts.about,
            rows: parts.rows,
            signals: Vec::new(),
            loops: Mutex::new(loops),
            stop_outward: watch::Sender::new(false),
            outward_waits: Arc::default(),
            groups: Arc::new(groups),
            between: None,
            dependencies: Arc::default(),
            outward: Mutex::new(None),
        })
    }
}

/// Looks how far the rows are that another process writes.
struct RowsLoop {
    rows: Arc<dyn RowReader>,
    progress: Progress,
    tail: Arc<Tail>,
    signal: Arc<Signal>,
}

impl RowsLoop {
    fn run(self, stopping: &AtomicBool) {
        let tables = self.progress.tables();
        let (mut failures, mut last, mut pause) = (0, None, BEHIND);
        while !stopping.load(Ordering::Acquire) {
            match self.rows.stand(&tables) {
                Ok(cursors) => {
                    failures = 0;
                    let least = self.progress.stand(&tables, cursors);
                    let behind = least.is_some_and(|least| least < self.tail.head());
                    // One that stands still, as a view that has stopped does, is looked at ever less often.
                    let moved = std::mem::replace(&mut last, least) != least;
                    pause = if moved { BEHIND } else { LOOK.min(2 * pause) };
                    self.signal.wait(if behind { pause } else { LOOK });
                }
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(%error, "it cannot be seen how far the rows are; trying again");
                    }
                    self.signal.wait(backoff(failures));
                }
            }
        }
    }
}
