//! Notes in front of a handler what it is about, so that the next start knows what ended the process.
//!
//! Notes are taken after an end that was not in order, until everything is done that was to be done at that start: what
//! was unread, released, planned, asked, or behind. The same delivery under the note at three ends in a row is not run
//! again: it becomes a letter.

use std::{collections::BTreeSet, sync::Arc};

use factum_core::{
    letter::{LetterId, Subject},
    ports::Notes,
    stream::Position,
};

use super::{run::Run, work::Work};
use crate::{
    plans,
    process_end::Watch,
    registry::{ConsumerId, Registry},
    sabotage,
};

/// What is noted while states are made anew from the log, as long as nothing points at one of its messages.
const REBUILDING: &str = "states are made anew";

/// See the module.
pub(super) struct Noting {
    watch: Watch,
    /// Calls that were open, or answered, at the start.
    calls: BTreeSet<String>,
    /// Nothing else is left of the start: only their answers are noted, for a partner may be away for days.
    only_answers: bool,
    /// Something was not run in this batch: before anything else is, that is to be durable.
    spared: bool,
}

impl Noting {
    /// Looks at how the process ended the last time.
    pub(super) fn new(notes: Arc<dyn Notes>) -> Self {
        Self { watch: Watch::open(notes, "engine"), calls: BTreeSet::new(), only_answers: false, spared: false }
    }

    /// Whether notes are taken.
    pub(super) fn is_on(&self) -> bool {
        self.watch.is_unclean()
    }

    /// Whether a note is taken of this.
    fn takes(&self, subject: &Subject) -> bool {
        let is_answer = || matches!(subject, Subject::Answer(call) if self.calls.contains(call));
        self.is_on() && (!self.only_answers || is_answer())
    }

    /// The calls whose answers are noted, too.
    pub(super) fn watch_over(&mut self, calls: impl Iterator<Item = String>) {
        self.calls = calls.collect();
    }

    /// Why a delivery is not to be run; it is said once.
    fn verdict(&mut self, name: &str) -> Option<String> {
        let reason = self.watch.take_verdict(name)?;
        self.spared = true;
        Some(reason)
    }

    /// What the process ended under the last time.
    pub(super) fn suspect(&self) -> Option<&str> {
        self.watch.suspect()
    }

    /// Notes where the engine starts; says whether it got no further at three starts in a row.
    pub(super) fn starts_at(&mut self, cursor: Position) -> bool {
        self.watch.starts_at(cursor)
    }

    /// Whether the batch is to end here: were the process to end under what comes next, the row of its ends would be broken,
    /// and what was just spared be run at the next start.
    pub(super) fn ends_batch(&self) -> bool {
        self.spared && !sabotage::is("spared-and-not-durable")
    }

    /// A batch is durable.
    pub(super) fn passed(&mut self) {
        self.spared = false;
    }

    /// Begins to make states anew; if the process ended under something, each message is noted.
    pub(super) fn rebuilding(&mut self) {
        if self.watch.suspect().is_none() {
            self.watch.begin(REBUILDING);
        }
    }

    /// States are made anew.
    pub(super) fn rebuilt(&mut self) {
        self.watch.done();
    }

    /// Gives a message to a state that is made anew; `fold` hears why it must not.
    pub(super) fn fold<T>(
        &mut self,
        registry: &Registry,
        id: ConsumerId,
        subject: &Subject,
        fold: impl FnOnce(Option<String>) -> T,
    ) -> T {
        if self.watch.suspect().is_none() {
            return fold(None);
        }
        let name = name_of(registry, id, subject);
        if let Some(reason) = self.verdict(&name) {
            return fold(Some(reason));
        }
        self.watch.begin(&name);
        let done = fold(None);
        self.watch.done();
        done
    }

    /// The engine ends in order.
    pub(super) fn end(&mut self) {
        self.watch.end();
    }
}

impl Work {
    /// Takes no more notes, if nothing is left of what was to be done at the start.
    pub(super) fn settle_notes(&mut self) {
        let waits = |call: &String| self.calls.contains(call) || self.answers.contains_key(call);
        let running = |plan: &plans::Plan| plan.stage == plans::Stage::Running;
        let left = self.consumers.anybody_is_behind() || self.holds.any_releasing() || self.jobs.values().any(running);
        if !self.noting.is_on() || left && !self.noting.only_answers {
            return;
        }
        self.noting.only_answers = true;
        if !self.noting.calls.iter().any(waits) {
            self.noting.watch.settled();
            self.noting.calls.clear();
        }
    }
}

impl Run<'_> {
    /// Runs a handler with a note in front of it, if notes are taken; `handle` hears why it must not be run.
    pub(super) fn noted<T>(
        &mut self,
        id: ConsumerId,
        subject: &Subject,
        handle: impl FnOnce(&mut Self, Option<String>) -> T,
    ) -> T {
        let name = self.work.noting.takes(subject).then(|| name_of(self.registry, id, subject));
        self.under(name, handle)
    }

    /// The same for the move of an instance to another version, which a plan goes on with by itself at each start.
    pub(super) fn noted_move<T>(&mut self, instance: &str, handle: impl FnOnce(&mut Self, Option<String>) -> T) -> T {
        let noting = &self.work.noting;
        let name = (noting.is_on() && !noting.only_answers).then(|| format!("move/{instance}"));
        self.under(name, handle)
    }

    fn under<T>(&mut self, name: Option<String>, handle: impl FnOnce(&mut Self, Option<String>) -> T) -> T {
        let Some(name) = name else { return handle(self, None) };
        if let Some(reason) = self.work.noting.verdict(&name) {
            return handle(self, Some(reason));
        }
        self.work.noting.watch.begin(&name);
        let done = handle(self, None);
        self.work.noting.watch.done();
        done
    }
}

/// A delivery's name: the same after each start.
pub(super) fn name_of(registry: &Registry, id: ConsumerId, subject: &Subject) -> String {
    LetterId::new(registry.consumer(id).name.clone(), subject.clone()).to_string()
}
