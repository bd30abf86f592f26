//! The view loop: events into rows, each view with a cursor that changes in the same transaction as its rows.
//!
//! All views share one thread and one transaction per round. A view of a new version is built beside the old one, a
//! bounded batch per round, and takes over when it has caught up.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use factum_core::{
    envelope::Kind,
    error::{HandlerError, RowError, StoreError},
    ports::{Reader, RowReader, RowStore, Scan, TableBatch, TableSpec},
    stream::{Cursor, Lineage, Position},
    view::AnyView,
};
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    engine::guard,
    registry::Registry,
    tail::{Behind, Frame, Tail},
};

/// Messages that a view takes in a round.
const ROUND_MESSAGES: usize = 4096;
/// Bytes to read at once from the store.
const SCAN_BYTES: usize = 4 << 20;
/// A view that read this many messages without a change has its cursor written all the same.
const CURSOR_EVERY: u64 = 20_000;

/// How far a view is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewState {
    /// Its rows stand for everything up to here.
    pub position: Position,
    /// Whether queries read this version.
    pub live: bool,
    /// Why it does not go on.
    pub stopped: Option<String>,
}

/// How far all views are, to look at and to wait for.
#[derive(Clone, Default)]
pub struct Progress(Arc<BTreeMap<&'static str, watch::Sender<ViewState>>>);

impl Progress {
    /// Follows a table's view; `None` if no view writes it.
    pub fn follow(&self, table: &str) -> Option<watch::Receiver<ViewState>> {
        self.0.get(table).map(watch::Sender::subscribe)
    }

    /// All views.
    pub fn all(&self) -> BTreeMap<&'static str, ViewState> {
        self.0.iter().map(|(table, state)| (*table, state.borrow().clone())).collect()
    }
}

/// Why views cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The rows.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The log.
    #[error(transparent)]
    Log(#[from] StoreError),
    /// Two views write one table.
    #[error("two views write the table `{0}`: give each its own row type")]
    Twice(&'static str),
}

/// See the module.
pub struct Views {
    registry: Arc<Registry>,
    store: Box<dyn RowStore>,
    reader: Arc<dyn Reader>,
    tail: Arc<Tail>,
    lineage: Lineage,
    runs: Vec<Run>,
    progress: Progress,
}

struct Run {
    service: usize,
    view: usize,
    table: TableSpec,
    types: HashSet<&'static str>,
    cursor: Position,
    saved: Position,
    live: bool,
    stopped: Option<String>,
}

struct Round {
    batch: Option<TableBatch>,
    through: Position,
}

impl Views {
    /// Opens the tables of all views. Rows of another log are thrown away and built anew.
    ///
    /// # Errors
    /// [`ViewError`] if the rows are ahead of the log, which means that the log has lost something, or cannot be read.
    pub fn open(
        registry: Arc<Registry>,
        mut store: Box<dyn RowStore>,
        reader: Arc<dyn Reader>,
        tail: Arc<Tail>,
    ) -> Result<Self, ViewError> {
        let lineage = reader.lineage();
        let head = reader.head();
        let mut runs: Vec<Run> = Vec::new();
        for (service, view, any) in views(&registry) {
            let table = any.table();
            if runs.iter().any(|run| run.table.name == table.name) {
                return Err(ViewError::Twice(table.name));
            }
            let cursor = match store.open(&table)? {
                None => Position::START,
                Some(cursor) if cursor.lineage != lineage => {
                    tracing::warn!(table = table.name, "the rows are of another log; they are built anew");
                    store.discard(&table)?;
                    store.open(&table)?;
                    Position::START
                }
                Some(cursor) if cursor.position > head => {
                    let (rows, log, name) = (cursor.position, head, table.name);
                    let problem = format!(
                        "the rows of `{name}` stand for position {rows}, but the log ends at {log}: the log has lost \
                         events, or is an older copy. Restore the log, or remove the rows to build them from what is there"
                    );
                    return Err(RowError::Lineage(problem).into());
                }
                Some(cursor) => cursor.position,
            };
            let types = any.types().iter().map(|info| info.name).collect();
            runs.push(Run { service, view, table, types, cursor, saved: cursor, live: false, stopped: None });
        }
        let states = runs.iter().map(|run| (run.table.name, watch::Sender::new(run.state())));
        let progress = Progress(Arc::new(states.collect()));
        Ok(Self { registry, store, reader, tail, lineage, runs, progress })
    }

    /// How far the views are.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The reading side of the rows.
    pub fn rows(&self) -> Arc<dyn RowReader> {
        self.store.reader()
    }

    /// One round: every view takes a batch; all rows and cursors in one transaction. Answers whether there is more.
    ///
    /// # Errors
    /// [`ViewError`] if the rows or the log cannot be read or written; nothing of the round is kept then.
    pub fn step(&mut self) -> Result<bool, ViewError> {
        let head = self.tail.head();
        let registry = self.registry.clone();
        let mut batches = Vec::new();
        let mut reached = vec![None; self.runs.len()];
        for (index, reached) in reached.iter_mut().enumerate() {
            if self.runs[index].stopped.is_some() || self.runs[index].cursor >= head {
                continue;
            }
            let round = match self.round(&registry, index, head)? {
                Ok(round) => round,
                Err((position, error)) => {
                    let run = &mut self.runs[index];
                    tracing::error!(table = run.table.name, %position, %error, "view failed: it stops here, the others go on");
                    run.stopped = Some(format!("position {position}: {error}"));
                    // What stands before the message that it failed on is good; the handler is pure.
                    match self.round(&registry, index, Position(position.0 - 1))? {
                        Ok(round) => round,
                        Err(_) => continue,
                    }
                }
            };
            *reached = Some(round.through);
            batches.extend(round.batch);
        }
        #[cfg(feature = "sabotage")]
        if crate::sabotage::is("cursor-apart-from-its-rows") {
            self.write_rows_first(&batches)?;
        }
        if !batches.is_empty() {
            self.store.write(&batches)?;
        }
        // What is written is taken in for every view before anything else can fail: nothing may be counted twice.
        for (run, reached) in self.runs.iter_mut().zip(reached) {
            run.cursor = reached.unwrap_or(run.cursor);
            if batches.iter().any(|batch| batch.table == run.table) {
                run.saved = run.cursor;
            }
        }
        let mut more = false;
        for run in &mut self.runs {
            if !run.live && run.stopped.is_none() && run.cursor >= head {
                self.store.activate(&run.table)?;
                run.live = true;
            }
            more |= run.stopped.is_none() && run.cursor < self.tail.head();
            if let Some(state) = self.progress.0.get(run.table.name) {
                state.send_if_modified(|state| {
                    let now = run.state();
                    let changed = *state != now;
                    *state = now;
                    changed
                });
            }
        }
        Ok(more)
    }

    /// Writes cursors that moved over messages without changes: at a clean stop.
    ///
    /// # Errors
    /// [`ViewError`] if the rows cannot be written.
    pub fn save_cursors(&mut self) -> Result<(), ViewError> {
        let behind: Vec<TableBatch> =
            self.runs.iter().filter(|run| run.saved < run.cursor).map(|run| self.empty(run)).collect();
        if !behind.is_empty() {
            self.store.write(&behind)?;
        }
        Ok(())
    }

    /// Writes rows with the cursor of the time before.
    #[cfg(feature = "sabotage")]
    fn write_rows_first(&mut self, batches: &[TableBatch]) -> Result<(), ViewError> {
        let before = |batch: &TableBatch| {
            let run = self.runs.iter().find(|run| run.table == batch.table);
            let position = run.map_or(Position::START, |run| run.saved);
            TableBatch { cursor: Cursor { position, ..batch.cursor }, ..batch.clone() }
        };
        let rows: Vec<TableBatch> = batches.iter().map(before).collect();
        match rows.is_empty() {
            true => Ok(()),
            false => Ok(self.store.write(&rows)?),
        }
    }

    fn empty(&self, run: &Run) -> TableBatch {
        let cursor = Cursor { lineage: self.lineage, position: run.cursor };
        TableBatch { table: run.table.clone(), changes: Vec::new(), cursor }
    }

    fn round(
        &mut self,
        registry: &Registry,
        index: usize,
        until: Position,
    ) -> Result<Result<Round, (Position, HandlerError)>, ViewError> {
        let run = &self.runs[index];
        let view = &registry.services[run.service].views[run.view];
        let mut touched = view.batch();
        let mut through = run.cursor;
        let mut taken = 0;
        while taken < ROUND_MESSAGES && through < until {
            let Some(frame) = frame(&self.tail, &*self.reader, &run.types, through, until)? else { break };
            let first = frame.messages.partition_point(|stored| stored.position <= through);
            for stored in &frame.messages[first..] {
                if stored.position > until {
                    break;
                }
                taken += 1;
                if stored.envelope().kind != Kind::Event || !run.types.contains(stored.type_name()) {
                    through = stored.position;
                    continue;
                }
                let store = &mut self.store;
                let table = &run.table;
                let mut load = |key: &str| store.get(table, key);
                if let Err(error) = guard(|| view.apply(&mut *touched, &mut load, stored)) {
                    return Ok(Err((stored.position, error)));
                }
                through = stored.position;
            }
            through = through.max(frame.through.min(until));
        }
        let changes = match view.changes(touched) {
            Ok(changes) => changes,
            Err(error) => return Ok(Err((Position(run.cursor.0 + 1), error))),
        };
        let write = !changes.is_empty() || through.0 - run.saved.0 > CURSOR_EVERY;
        let cursor = Cursor { lineage: self.lineage, position: through };
        Ok(Ok(Round { batch: write.then(|| TableBatch { table: run.table.clone(), changes, cursor }), through }))
    }
}

impl Run {
    fn state(&self) -> ViewState {
        ViewState { position: self.cursor, live: self.live, stopped: self.stopped.clone() }
    }
}

fn views(registry: &Registry) -> impl Iterator<Item = (usize, usize, &dyn AnyView)> {
    registry
        .services
        .iter()
        .enumerate()
        .flat_map(|(service, value)| value.views.iter().enumerate().map(move |(view, any)| (service, view, &**any)))
}

fn frame(
    tail: &Tail,
    reader: &dyn Reader,
    types: &HashSet<&'static str>,
    after: Position,
    until: Position,
) -> Result<Option<Arc<Frame>>, StoreError> {
    match tail.after(after) {
        Ok(frame) => Ok(frame),
        Err(Behind) => {
            let wanted = |name: &str| types.contains(name);
            let scanned = reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types: Some(&wanted) })?;
            if scanned.through <= after {
                return Ok(None);
            }
            Ok(Some(Arc::new(Frame { messages: scanned.messages, through: scanned.through })))
        }
    }
}
