//! What deliveries run on: the states, and what lives between batches. Handlers reach this and nothing else of the
//! engine; writing and answering are not in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use factum_core::{
    cell::CellKind,
    envelope::Stored,
    error::{HandlerError, StoreError},
    letter::{Letter, LetterId},
    ports::{Clock, IdSource, Reader, Scan},
    stream::Position,
};
use jiff::Timestamp;

use super::{
    ahead::Ahead, consumers::Consumers, flight::Flights, folds::Folds, groups::GroupCells, holds::Holds,
    import::Uncorrelated, instances::Instances, letters::Letters, limits::Limits, noting::Noting, snapshots::Shelf,
    stage::Stage, states::States,
};
use crate::{
    digests::Digests,
    outward::OpenCall,
    plans::Plan,
    registry::{ConsumerId, Registry},
    timers::Timers,
};

/// See the module.
pub(super) struct Work {
    /// What is durable. What may be in flight is read by [`Work::stored_cell`] and [`Work::stored_stream`].
    pub(super) reader: Arc<dyn Reader>,
    pub(super) flights: Flights,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Box<dyn IdSource>,
    pub(super) limits: Limits,
    /// The version of the program, for letters.
    pub(super) program: String,
    pub(super) noting: Noting,
    pub(super) digests: Digests,
    pub(super) consumers: Consumers,
    pub(super) states: States,
    pub(super) folds: Folds,
    pub(super) shelf: Shelf,
    pub(super) timers: Timers,
    /// Pull groups.
    pub(super) groups: GroupCells,
    /// Calls without an answer.
    pub(super) calls: BTreeSet<String>,
    /// Calls that were answered, and whose answers wait behind a held key or a stopped consumer.
    pub(super) answers: BTreeMap<String, OpenCall>,
    /// Something has changed for those: look again, from the one behind this name on.
    pub(super) answers_due: bool,
    pub(super) answers_after: Option<String>,
    pub(super) holds: Holds,
    pub(super) letters: Letters,
    /// Open instances of sagas.
    pub(super) instances: Instances,
    /// Plans that are made or running.
    pub(super) jobs: BTreeMap<String, Plan>,
    /// Events that could not be folded while states were rebuilt, and have no letter yet.
    pub(super) unfolded: Vec<(ConsumerId, Stored, HandlerError)>,
    /// Streams may hold what the program cannot read; such a stream is held.
    pub(super) holds_unknown: bool,
    /// Everything was read once: from then on the process knows better than the store how long it has run.
    pub(super) started: bool,
    /// Timers that were paused or went on since the last commit; their cells do not say it yet.
    pub(super) paced: Vec<Arc<str>>,
    pub(super) uncorrelated: Uncorrelated,
    pub(super) ahead: Ahead,
}

impl Work {
    /// Reads everything again that the store knows.
    pub(super) fn load(&mut self, registry: &Registry) -> Result<(), StoreError> {
        self.states.clear();
        self.ahead.clear();
        let reader = self.reader.clone();
        let mut consumers = Consumers::load(registry, reader.cells(CellKind::Cursor)?)?;
        let mut timers = Timers::load(reader.cells(CellKind::Timer)?)?;
        // What the process has seen is newer than what the store knows.
        timers.set_lost(self.timers.lost());
        let (mut calls, mut answers) = (BTreeSet::new(), BTreeMap::new());
        for cell in reader.cells(CellKind::Call)? {
            let call = OpenCall::decode(&cell)?;
            if call.is_open() {
                calls.insert(cell.key.name);
            } else if call.answer.is_some() {
                answers.insert(cell.key.name, call);
            }
        }
        let jobs = crate::plans::list(&*reader)?.into_iter().map(|plan| (plan.id.clone(), plan)).collect();
        let letters = Letters::load(reader.cells(CellKind::Letter)?)?;
        let mut holds = Holds::load(registry, reader.cells(CellKind::Held)?)?;
        holds.try_versions(registry);
        let instances = Instances::load(registry, &*reader)?;
        self.groups.load(registry, &*reader)?;
        let reached = |id| self.groups.cursor(id).unwrap_or_else(|| consumers.reached(id));
        super::release::count(registry, &reached, &mut holds, &*reader)?;
        self.noting.rebuilding();
        let noting = &mut self.noting;
        let rebuilt = Folds::rebuild(registry, &mut consumers, &letters, &*reader, &self.shelf, noting);
        self.noting.rebuilt();
        let (folds, unfolded) = rebuilt?;
        (self.answers_due, self.answers_after) = (!answers.is_empty(), None);
        (self.consumers, self.timers, self.calls, self.answers) = (consumers, timers, calls, answers);
        (self.letters, self.holds, self.folds, self.unfolded) = (letters, holds, folds, unfolded);
        (self.jobs, self.instances) = (jobs, instances);
        self.paced.clear();
        self.tell_all_groups();
        self.runs_on(registry);
        Ok(())
    }

    /// A letter as this batch leaves it.
    pub(super) fn stored_letter(&self, stage: &Stage, id: &LetterId) -> Result<Option<Letter>, StoreError> {
        if !self.letters.knows(&id.consumer, &id.subject) {
            return Ok(None);
        }
        let key = id.cell();
        let value = match stage.staged_cell(&key) {
            Some(value) => value.clone(),
            None => self.stored_cell(&key)?.map(|cell| cell.value),
        };
        value.map(|value| Letter::decode(&value)).transpose()
    }

    /// When something is due next by itself: a timer, a letter's planned retry, a key that waits, a paced plan.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        self.next_with(self.timers.next())
    }

    /// The same without the looks at schedules: there is always one to come.
    pub(super) fn next_of_work(&self) -> Option<Timestamp> {
        self.next_with(self.timers.next_of_work())
    }

    /// Whether time is moved by data. Schedules stand still then: a year of data is no year in which they should have run.
    pub(super) fn is_on_data_time(&self) -> bool {
        self.clock.until(self.clock.mark()).is_none()
    }

    fn next_with(&self, timer: Option<Timestamp>) -> Option<Timestamp> {
        let running = self.jobs.values().filter(|plan| plan.stage == crate::plans::Stage::Running);
        let jobs = running.filter_map(Plan::due).min();
        [timer, self.letters.next(), self.holds.next(), jobs].into_iter().flatten().min()
    }

    /// The message at a position.
    pub(super) fn message_at(&self, position: Position) -> Result<Stored, StoreError> {
        message_at(&*self.reader, position)
    }

    /// Something has changed for what waits behind keys and consumers: it is tried again.
    pub(super) fn look_again(&mut self) {
        self.timers.unpark();
        (self.answers_due, self.answers_after) = (!self.answers.is_empty(), None);
    }
}

/// The message at a position, which must be in the log.
pub(crate) fn message_at(reader: &dyn Reader, position: Position) -> Result<Stored, StoreError> {
    let after = Position(position.0.saturating_sub(1));
    let scanned = reader.scan(&Scan { after, until: position, bytes: 1, types: None })?;
    let found = scanned.messages.into_iter().find(|stored| stored.position == position);
    found.ok_or_else(|| StoreError::Corrupt(format!("position {position} is not in the log")))
}
