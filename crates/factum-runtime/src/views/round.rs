//! A view's part of a round: the events that it takes, and the rows that they change.
//!
//! On a store that is far away a view first runs to find out which rows it needs: it is told that those are not there which are
//! not known yet, and what it makes of that is thrown away. Then the rows of all views are read together, and it runs again.
//! Views are pure, so that nobody sees it. A view that looks for one row because of what it found in another runs once more; if
//! that does not end soon, it reads the rest one by one.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use factum_core::{
    envelope::Kind,
    error::{HandlerError, RowError, StoreError},
    ports::{TableBatch, TableKeys},
    stream::{Cursor, Position},
};

use super::{SCAN_BYTES, ViewError, Views, consumer_of, frame};
use crate::{engine::guard, registry::Registry, tail::Frame};

/// Messages that a view takes in a round.
const ROUND_MESSAGES: usize = 16_384;
/// A view that read this many messages without a change has its cursor written all the same.
const CURSOR_EVERY: u64 = 20_000;
/// How often the rows that views turn out to need are read together.
const TURNS: usize = 3;

/// What a view has made of its events.
pub(super) struct Round {
    pub(super) batch: Option<TableBatch>,
    pub(super) through: Position,
}

/// A round, or the position at which the view has failed.
pub(super) type Outcome = Result<Round, (Position, HandlerError)>;

/// What is known to a view of this round before it runs. On a store that is near it is nothing.
#[derive(Default)]
pub(super) struct Ahead {
    /// Its part, if all that it needs was known.
    pub(super) round: Option<Outcome>,
    /// Rows that were read, or are known not to be there.
    rows: HashMap<String, Option<Vec<u8>>>,
    /// While it finds out what it needs: that.
    wanted: Option<BTreeSet<String>>,
    /// On a store that is far: its events, which are not to be read for each run.
    frames: Option<Vec<Arc<Frame>>>,
}

impl Ahead {
    /// What stands behind a position. Frames that are kept end the round when they are large enough.
    fn frame(
        &mut self,
        after: Position,
        read: impl FnOnce() -> Result<Option<Arc<Frame>>, StoreError>,
    ) -> Result<Option<Arc<Frame>>, StoreError> {
        let Some(frames) = &mut self.frames else { return read() };
        if let Some(known) = frames.iter().find(|frame| frame.after <= after && after < frame.through) {
            return Ok(Some(known.clone()));
        }
        if frames.iter().map(|frame| frame.bytes()).sum::<usize>() >= SCAN_BYTES {
            return Ok(None);
        }
        let frame = read()?;
        frames.extend(frame.clone());
        Ok(frame)
    }

    /// A row, as far as it is known; `None` if it is to be read.
    fn row(&mut self, key: &str) -> Option<Option<Vec<u8>>> {
        if let Some(row) = self.rows.get(key) {
            return Some(row.clone());
        }
        self.wanted.as_mut()?.insert(key.to_owned());
        Some(None)
    }

    /// Whether what the view does now is thrown away.
    fn is_vain(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| !wanted.is_empty())
    }
}

impl Views {
    /// Reads what the views will need, if that pays.
    pub(super) fn look_ahead(&mut self, registry: &Registry, head: Position) -> Result<Vec<Ahead>, ViewError> {
        let is_far = self.store.is_far();
        let ahead = || Ahead { frames: is_far.then(Vec::new), ..Ahead::default() };
        let mut ahead: Vec<Ahead> = self.runs.iter().map(|_| ahead()).collect();
        if !is_far {
            return Ok(ahead);
        }
        for _ in 0..TURNS {
            let (mut whose, mut wanted) = (Vec::new(), Vec::new());
            for (index, ahead) in ahead.iter_mut().enumerate() {
                if ahead.round.is_some() || !self.runs[index].is_due(head) {
                    continue;
                }
                ahead.wanted = Some(BTreeSet::new());
                let round = self.round(registry, index, head, ahead)?;
                let keys: Vec<String> = ahead.wanted.take().into_iter().flatten().collect();
                if keys.is_empty() {
                    ahead.round = Some(round);
                } else {
                    whose.push(index);
                    wanted.push(TableKeys { table: self.runs[index].table.clone(), keys });
                }
            }
            if wanted.is_empty() {
                break;
            }
            let rows = self.store.get_many(&wanted)?;
            for ((index, TableKeys { keys, .. }), rows) in whose.into_iter().zip(wanted).zip(rows) {
                ahead[index].rows.extend(keys.into_iter().zip(rows));
            }
        }
        Ok(ahead)
    }

    pub(super) fn round(
        &mut self,
        registry: &Registry,
        index: usize,
        until: Position,
        ahead: &mut Ahead,
    ) -> Result<Outcome, ViewError> {
        let run = &self.runs[index];
        let view = &registry.services[run.service].views[run.view];
        let next = Position(run.cursor.0 + 1);
        let mut touched = match guard(|| Ok(view.batch())) {
            Ok(touched) => touched,
            Err(error) => return Ok(Err((next, error))),
        };
        let mut through = run.cursor;
        let mut taken = 0;
        while taken < ROUND_MESSAGES && through < until {
            let read = || frame(&self.tail, &*self.reader, &run.types, through, until);
            let Some(frame) = ahead.frame(through, read)? else { break };
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
                // Passed over when its letter was written.
                if run.skipped == Some(stored.position) {
                    through = stored.position;
                    continue;
                }
                let noted = self.until.is_some_and(|until| stored.position <= until);
                if noted {
                    let name = format!("{}@{}", consumer_of(run.table.name), stored.position);
                    if let Some((_, reason)) = self.watch.verdict().filter(|(condemned, _)| *condemned == name) {
                        return Ok(Err((stored.position, HandlerError::Failed(reason.clone()))));
                    }
                    self.watch.begin(&name);
                }
                let (store, table) = (&mut self.store, &run.table);
                let mut broken: Option<RowError> = None;
                let mut load = |key: &str| match ahead.row(key) {
                    Some(row) => Ok(row),
                    None => store.get(table, key).inspect_err(|error| broken = Some(error.clone())),
                };
                let applied = guard(|| view.apply(&mut *touched, &mut load, stored));
                if noted {
                    self.watch.done();
                }
                match (applied, broken) {
                    (Ok(()), _) => {}
                    // Rows that cannot be read are no fault of the handler.
                    (Err(_), Some(error)) => return Err(error.into()),
                    // Nor are those that it was told are not there.
                    (Err(_), None) if ahead.is_vain() => {}
                    (Err(error), None) => return Ok(Err((stored.position, error))),
                }
                through = stored.position;
            }
            through = through.max(frame.through.min(until));
        }
        if ahead.is_vain() {
            return Ok(Ok(Round { batch: None, through }));
        }
        let changes = match guard(|| view.changes(touched)) {
            Ok(changes) => changes,
            // Which event it was is found one by one.
            Err(error) if through.0 > next.0 => return self.narrow(registry, index, (next, through), error, ahead),
            Err(error) => return Ok(Err((through.max(next), error))),
        };
        // Where others read the rows, they must see how far each table is.
        let late = if self.store.is_far() { 0 } else { CURSOR_EVERY };
        let write = !changes.is_empty() || through.0 - run.saved.0 > late;
        let cursor = Cursor { lineage: self.lineage, position: through };
        Ok(Ok(Round { batch: write.then(|| TableBatch { table: run.table.clone(), changes, cursor }), through }))
    }
}
