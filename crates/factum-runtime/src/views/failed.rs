//! A view that fails: it stops in front of the event, or, if it was declared so, leaves it out with a letter.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use factum_core::{
    cell::{Cell, CellKind},
    error::{HandlerError, StoreError},
    letter::{Key, Letter, LetterId, MAX_REASON_BYTES, Standing, Subject, short},
    ports::Scan,
    stream::Position,
};
use tokio::sync::oneshot;

use super::{
    ViewError, Views, consumer_of,
    round::{Ahead, Outcome},
};
use crate::{inbox::Input, registry::Registry};

/// Views that are to try again although they have stopped, by table.
#[derive(Clone, Default)]
pub struct Again(Arc<Mutex<BTreeSet<String>>>);

impl Again {
    /// Lets a view try again at its next round.
    pub fn ask(&self, table: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned());
    }

    pub(super) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Views {
    /// Stopped views try again from where they stand.
    pub(super) fn try_again(&mut self, tables: &BTreeSet<String>) -> Result<(), ViewError> {
        let letters = self.reader.cells(CellKind::Letter)?;
        for run in self.runs.iter_mut().filter(|run| tables.contains(run.table.name)) {
            run.letters = places(&letters, run.table.name)?.len();
            tracing::info!(table = run.table.name, "a stopped view tries again");
            run.stopped = None;
        }
        Ok(())
    }

    pub(super) fn failed(
        &mut self,
        registry: &Registry,
        index: usize,
        position: Position,
        error: &HandlerError,
    ) -> Result<(), ViewError> {
        let run = &self.runs[index];
        let table = run.table.name;
        let view = &registry.services[run.service].views[run.view];
        let most = self.most_letters;
        let inbox = self.inbox.clone().filter(|_| view.skips() && run.letters < most);
        let Some(inbox) = inbox else {
            tracing::error!(table, %position, %error, "view failed: it stops here, the others go on");
            let mut reason = short(&error.to_string(), MAX_REASON_BYTES);
            if view.skips() {
                reason = format!("it has {most} letters, and leaves out no more: {reason}");
            }
            self.runs[index].stopped = Some(format!("position {position}: {reason}"));
            return Ok(());
        };
        let letter = self.letter(table, position, error)?;
        tracing::error!(table, %position, %error, "view failed: it leaves this event out, with a letter");
        let (reply, waits) = oneshot::channel();
        let run = &mut self.runs[index];
        // If the engine does not take it now, the view meets the event again and asks again.
        match inbox.try_send(Input::Letter(Box::new(letter), reply)) {
            Ok(()) => {
                run.letters += 1;
                run.skipped = Some(position);
                run.incomplete_from = Some(run.incomplete_from.map_or(position, |from| from.min(position)));
                run.waits = Some(waits);
                Ok(())
            }
            Err(error) => Err(ViewError::Letter(error.to_string())),
        }
    }

    /// The rows are built from the first event on: what fails on the way becomes a letter again, and only that.
    pub(super) fn end_letters(&mut self, index: usize) -> Result<(), ViewError> {
        let run = &mut self.runs[index];
        let (reply, waits) = oneshot::channel();
        if let Some(inbox) = &self.inbox {
            let asked = inbox.try_send(Input::Rebuilt(consumer_of(run.table.name), reply));
            asked.map_err(|error| ViewError::Letter(error.to_string()))?;
            run.waits = Some(waits);
        }
        (run.anew, run.letters) = (false, 0);
        Ok(())
    }

    fn letter(&self, table: &str, position: Position, error: &HandlerError) -> Result<Letter, ViewError> {
        let after = Position(position.0 - 1);
        let scanned = self.reader.scan(&Scan { after, until: position, bytes: 1, types: None })?;
        let missing = || StoreError::Corrupt(format!("position {position} is not in the log"));
        let stored = scanned.messages.into_iter().find(|stored| stored.position == position).ok_or_else(missing)?;
        let envelope = stored.envelope();
        let mut letter = Letter {
            id: LetterId::new(consumer_of(table), Subject::Message(position)),
            standing: Standing::Open,
            key: Key::Ordered(envelope.partition_key.to_string()),
            type_name: envelope.type_name.to_string(),
            message_id: envelope.id.to_string(),
            correlation_id: envelope.correlation_id.to_string(),
            failures: Vec::new(),
            failure_count: 0,
            changed_at: self.reader.head(),
            retry: None,
            unfolded: false,
            kept: None,
        };
        letter.failed(self.clock.stamp(envelope.timestamp), &error.to_string(), &self.program);
        Ok(letter)
    }

    /// The rows of a whole range cannot be written: the range is halved until one event is left.
    pub(super) fn narrow(
        &mut self,
        registry: &Registry,
        index: usize,
        (first, last): (Position, Position),
        error: HandlerError,
        ahead: &mut Ahead,
    ) -> Result<Outcome, ViewError> {
        let middle = Position(first.0 + (last.0 - first.0) / 2);
        match self.round(registry, index, middle, ahead)? {
            // The first half can be written: it is, and the rest comes in another round.
            Ok(round) => Ok(Ok(round)),
            Err(found) => {
                drop(error);
                Ok(Err(found))
            }
        }
    }
}

/// Where events were left out of a table's rows, by the letters of its view.
pub(super) fn places(letters: &[Cell], table: &str) -> Result<Vec<Position>, StoreError> {
    let consumer = consumer_of(table);
    let letters = letters.iter().map(|cell| Letter::decode(&cell.value).map(|letter| letter.id));
    let place = |id: LetterId| match id.subject {
        Subject::Message(position) if id.consumer == consumer => Some(position),
        _ => None,
    };
    letters.filter_map(|id| id.map(place).transpose()).collect()
}
