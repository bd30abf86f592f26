//! The view loop: events into rows, each view with a cursor that changes in the same transaction as its rows.
//!
//! All views share one thread and one transaction per round. A view of a new version is built beside the old one, a
//! bounded batch per round, and takes over when it has caught up.

mod attention;
mod failed;
mod round;
mod waiting;

use std::{collections::HashSet, sync::Arc};

use attention::Attended;
use factum_core::{
    cell::CellKind,
    error::{HandlerError, RowError, StoreError},
    id::Name,
    memory_notes::MemoryNotes,
    ports::{Clock, Notes, Reader, RowReader, RowStore, Scan, TableBatch, TableSpec},
    stream::{Cursor, Lineage, Position},
    view::AnyView,
};
pub use failed::Again;
use failed::places;
use tokio::sync::{oneshot, watch};
pub use waiting::{NeedsPerson, Progress, Unreached, ViewState};

use crate::{
    clock::LiveClock,
    engine::guard,
    inbox::Sender,
    process_end::Watch,
    registry::Registry,
    tail::{Behind, Frame, Tail},
};

/// Bytes to read at once from the store.
const SCAN_BYTES: usize = 4 << 20;

/// The name of a table's view among the consumers.
pub fn consumer_of(table: &str) -> String {
    format!("view:{table}")
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
    /// A view's own code.
    #[error("a view cannot be opened: {0}")]
    Code(String),
    /// A letter could not be handed over.
    #[error("a letter cannot be written now: {0}")]
    Letter(String),
    /// Two views write one table.
    #[error("two views write the table `{0}`: give each its own row type")]
    Twice(&'static str),
    /// Rows that need a person are told by a field that cannot be looked for.
    #[error(
        "service {service} says that rows of `{table}` need a person by their field `{field}`: add the view to the \
         service, and `#[index]` to the field"
    )]
    Attention {
        /// The service.
        service: Name,
        /// The table.
        table: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// See the module.
pub struct Views {
    registry: Arc<Registry>,
    store: Box<dyn RowStore>,
    /// The reading side of `store`.
    rows: Arc<dyn RowReader>,
    reader: Arc<dyn Reader>,
    tail: Arc<Tail>,
    lineage: Lineage,
    runs: Vec<Follow>,
    progress: Progress,
    again: Again,
    /// Letters go to the engine, and the view goes on when they are durable; without an engine there are none.
    inbox: Option<Sender>,
    most_letters: usize,
    clock: Arc<dyn Clock>,
    program: String,
    watch: Watch,
    /// Up to here each event is noted before it is handled.
    until: Option<Position>,
    /// A round has failed: where the rows stand is to be looked up.
    unsure: bool,
}

/// What the views work on.
pub struct Parts {
    /// Who handles what.
    pub registry: Arc<Registry>,
    /// The rows.
    pub store: Box<dyn RowStore>,
    /// The log.
    pub reader: Arc<dyn Reader>,
    /// Its tail.
    pub tail: Arc<Tail>,
    /// The way to the engine, for letters; without it a view stops where it would leave something out.
    pub inbox: Option<Sender>,
    /// Letters of one view at which it stops.
    pub most_letters: usize,
    /// What the process was about when it ended.
    pub notes: Arc<dyn Notes>,
    /// Time, for letters.
    pub clock: Arc<dyn Clock>,
    /// The version of the program, for letters.
    pub program: String,
}

impl Parts {
    /// Views that run without an engine beside them: to build rows from a log.
    pub fn alone(registry: Arc<Registry>, store: Box<dyn RowStore>, reader: Arc<dyn Reader>, tail: Arc<Tail>) -> Self {
        let (notes, clock) = (Arc::new(MemoryNotes::new()), Arc::new(LiveClock::default()));
        Self { registry, store, reader, tail, inbox: None, most_letters: 0, notes, clock, program: String::new() }
    }
}

struct Follow {
    service: usize,
    view: usize,
    table: TableSpec,
    types: HashSet<&'static str>,
    cursor: Position,
    saved: Position,
    live: bool,
    stopped: Option<String>,
    incomplete_from: Option<Position>,
    /// The event that the last letter is about.
    skipped: Option<Position>,
    /// Its letters of the time before are to end, because its rows are built anew.
    anew: bool,
    /// How many letters it has, about.
    letters: usize,
    /// What is on its way to the engine: the view waits until it is durable.
    waits: Option<oneshot::Receiver<()>>,
    /// Which of its rows need a person.
    attention: Vec<Attended>,
}

impl Views {
    /// Opens the tables of all views. Rows of another log are thrown away and built anew.
    ///
    /// # Errors
    /// [`ViewError`] if the rows are ahead of the log, which means that the log has lost something, or cannot be read.
    pub fn open(parts: Parts) -> Result<Self, ViewError> {
        let Parts { registry, mut store, reader, tail, inbox, most_letters, notes, clock, program } = parts;
        let lineage = reader.lineage();
        let head = reader.head();
        let mut runs: Vec<Follow> = Vec::new();
        let cells = reader.cells(CellKind::Letter)?;
        for (service, view, any) in views(&registry) {
            let of_code = |what: HandlerError| ViewError::Code(what.to_string());
            let table = guard(|| Ok(any.table())).map_err(of_code)?;
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
            let types = guard(|| Ok(any.types())).map_err(of_code)?.iter().map(|info| info.name).collect();
            // Rows that are built from the first event on lack nothing yet, and older letters end.
            let left_out = places(&cells, table.name)?;
            let (anew, letters) = (cursor == Position::START && !left_out.is_empty(), left_out.len());
            let incomplete_from = left_out.into_iter().filter(|position| *position <= cursor).min();
            runs.push(Follow {
                service,
                view,
                table,
                types,
                cursor,
                saved: cursor,
                live: false,
                stopped: None,
                incomplete_from,
                skipped: None,
                anew,
                letters,
                waits: None,
                attention: Vec::new(),
            });
        }
        attention::declared(&registry, &mut runs)?;
        let watch = Watch::open(notes, "views");
        let until = watch.is_unclean().then_some(head);
        let states = runs.iter().map(|run| (run.table.name, watch::Sender::new(run.state())));
        let progress = Progress::of(states);
        let again = Again::default();
        Ok(Self {
            registry,
            rows: store.reader(),
            store,
            reader,
            tail,
            lineage,
            runs,
            progress,
            again,
            inbox,
            most_letters,
            clock,
            program,
            watch,
            until,
            unsure: false,
        })
    }

    /// How far the views are.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// By which a stopped view is asked to try again.
    pub fn again(&self) -> Again {
        self.again.clone()
    }

    /// Whether a view waits for its letter to be durable.
    pub fn waits(&self) -> bool {
        self.runs.iter().any(|run| run.waits.is_some())
    }

    /// The loop ends in order.
    pub fn end(&mut self) {
        self.watch.end();
    }

    /// The reading side of the rows.
    pub fn rows(&self) -> Arc<dyn RowReader> {
        self.rows.clone()
    }

    /// One round: every view takes a batch; all rows and cursors in one transaction. Answers whether there is more.
    ///
    /// # Errors
    /// [`ViewError`] if the rows or the log cannot be read or written; nothing of the round is kept then.
    pub fn step(&mut self) -> Result<bool, ViewError> {
        if std::mem::replace(&mut self.unsure, true) {
            self.look_up()?;
        }
        let more = self.take_round()?;
        self.unsure = false;
        Ok(more)
    }

    /// Goes on from where the rows stand: what seemed to fail may have been written all the same, a server that crashed may have
    /// lost the last rounds, and another process may have moved the rows on.
    fn look_up(&mut self) -> Result<(), ViewError> {
        for run in &mut self.runs {
            let cursor = self.store.open(&run.table)?;
            if let Some(cursor) = cursor.filter(|cursor| cursor.lineage != self.lineage) {
                let (name, position) = (run.table.name, cursor.position);
                let problem = format!(
                    "the rows of `{name}` are another log's by now, up to its position {position}: give each log rows of its own, \
                     and start again"
                );
                return Err(RowError::Lineage(problem).into());
            }
            let stored = cursor.map_or(Position::START, |cursor| cursor.position);
            if stored != run.saved {
                tracing::warn!(table = run.table.name, from = %run.saved, to = %stored, "the rows stand elsewhere");
                // Rows that are gone were active, and are to be again.
                run.live &= stored != Position::START;
                (run.cursor, run.saved) = (stored, stored);
                run.attention.iter_mut().for_each(|attended| attended.look = true);
            }
        }
        Ok(())
    }

    fn take_round(&mut self) -> Result<bool, ViewError> {
        let head = self.tail.head();
        let registry = self.registry.clone();
        let asked = self.again.take();
        if !asked.is_empty() {
            // Who asked has been told that it was done: it stays asked.
            self.try_again(&asked).inspect_err(|_| asked.iter().for_each(|table| self.again.ask(table)))?;
        }
        for index in 0..self.runs.len() {
            self.runs[index].hears_of_its_letter();
            if self.runs[index].anew {
                self.end_letters(index)?;
            }
        }
        let mut batches = Vec::new();
        let mut reached = vec![None; self.runs.len()];
        let mut ahead = self.look_ahead(&registry, head)?;
        for (index, (reached, ahead)) in reached.iter_mut().zip(&mut ahead).enumerate() {
            if !self.runs[index].is_due(head) {
                continue;
            }
            let round = match ahead.round.take() {
                Some(round) => round,
                None => self.round(&registry, index, head, ahead)?,
            };
            let round = match round {
                Ok(round) => round,
                Err((position, error)) => {
                    self.failed(&registry, index, position, &error)?;
                    // What stands before the message that it failed on is good; the handler is pure.
                    match self.round(&registry, index, Position(position.0 - 1), ahead)? {
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
        if let Some(until) = self.until
            && self.runs.iter().all(|run| run.stopped.is_some() || run.cursor >= until)
        {
            self.until = None;
            self.watch.settled();
        }
        for run in &mut self.runs {
            if !run.live && run.stopped.is_none() && run.cursor >= head {
                self.store.activate(&run.table)?;
                run.live = true;
                run.attention.iter_mut().for_each(|attended| attended.look = true);
            }
            run.attend(&batches, &*self.rows)?;
            more |= run.stopped.is_none() && run.waits.is_none() && run.cursor < self.tail.head();
            if let Some(state) = self.progress.sender(run.table.name) {
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

    fn empty(&self, run: &Follow) -> TableBatch {
        let cursor = Cursor { lineage: self.lineage, position: run.cursor };
        TableBatch { table: run.table.clone(), changes: Vec::new(), cursor }
    }
}

impl Follow {
    fn is_due(&self, head: Position) -> bool {
        self.stopped.is_none() && self.waits.is_none() && self.cursor < head
    }

    fn hears_of_its_letter(&mut self) {
        let Some(waits) = &mut self.waits else { return };
        match waits.try_recv() {
            Ok(()) => self.waits = None,
            Err(oneshot::error::TryRecvError::Empty) => {}
            // The engine has ended before it was durable: it is written again.
            Err(oneshot::error::TryRecvError::Closed) => (self.waits, self.skipped) = (None, None),
        }
    }

    fn state(&self) -> ViewState {
        ViewState {
            position: self.cursor,
            live: self.live,
            stopped: self.stopped.clone(),
            incomplete_from: self.incomplete_from,
            needs_person: self.needs_person(),
        }
    }
}

fn views(registry: &Registry) -> impl Iterator<Item = (usize, usize, &dyn AnyView)> {
    registry
        .services
        .iter()
        .enumerate()
        .flat_map(|(service, value)| value.views.iter().enumerate().map(move |(view, any)| (service, view, &**any)))
}

/// What stands behind a position: of the tail, or of the types that are wanted from the store.
pub(crate) fn frame(
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
            Ok(Some(Arc::new(Frame { after, messages: scanned.messages, through: scanned.through })))
        }
    }
}
