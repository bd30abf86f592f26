//! Taking things one by one: after the process has ended without a word, and after the store refused a batch for its
//! content.
//!
//! A message that ends the process (an abort, a stack overflow, no more memory) ends it again at each start. So after an
//! end that was not in order, what was unread is run message by message, and in front of each handler a note says which it
//! is. The same delivery under the note at three ends in a row becomes a letter instead of being run. (A kill at random
//! meets the same delivery three times in a row about never.) A command from outside cannot be protected so.

use std::sync::Arc;

use factum_core::{error::StoreError, ports::Notes, stream::Position};
use jiff::Timestamp;

use super::{
    batch::Delivery,
    batch_loop::{Ran, name_of},
    run::Run,
};
use crate::{process_end::Watch, registry::Registry};

/// See the module.
pub(super) struct Careful {
    watch: Watch,
    /// Up to here, and up to this time for timers, what is run is noted.
    until: Option<(Position, Timestamp)>,
    /// Deliveries that are still run one by one because a batch was refused.
    singly: usize,
    /// Deliveries that are not run, and why.
    condemned: Vec<(String, String)>,
    /// One that was not run in this batch.
    spared: Option<String>,
}

impl Careful {
    /// Looks at how the process ended the last time.
    pub(super) fn new(notes: Arc<dyn Notes>, head: Position, mark: Timestamp) -> Self {
        let watch = Watch::open(notes, "engine");
        let condemned = watch.verdict().cloned().into_iter().collect();
        Self { until: watch.is_unclean().then_some((head, mark)), watch, singly: 0, condemned, spared: None }
    }

    /// Messages of the log that a batch may take: one, or as many as usual.
    pub(super) fn messages(&self, usual: usize) -> usize {
        if self.is_on() { 1 } else { usual }
    }

    /// Deliveries that a batch may run.
    pub(super) fn deliveries(&self) -> usize {
        if self.singly > 0 { 1 } else { usize::MAX }
    }

    /// Whether things are taken one by one.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some() || self.singly > 0
    }

    /// Runs a delivery, with a note around it if notes are taken; one that is condemned is not run.
    pub(super) fn run(
        &mut self,
        registry: &Registry,
        delivery: Delivery,
        run: &mut Run<'_>,
        ran: &mut Ran,
    ) -> Result<(), StoreError> {
        if !self.is_on() && self.condemned.is_empty() {
            return run.deliver(delivery, None, &mut ran.pending);
        }
        let name = name_of(registry, &delivery);
        let verdict = self.condemned.iter().find(|(known, _)| *known == name).map(|(_, reason)| reason.clone());
        self.spared = verdict.as_ref().map(|_| name.clone());
        let noted = self.until.is_some() && verdict.is_none() && !matches!(delivery, Delivery::Input(_));
        if noted {
            self.watch.begin(&name);
        }
        let outcome = run.deliver(delivery, verdict.as_deref(), &mut ran.pending);
        if noted {
            self.watch.done();
        }
        ran.last = Some(name);
        outcome
    }

    /// The store has refused what this delivery made.
    pub(super) fn condemn(&mut self, name: String, reason: String) {
        self.condemned.retain(|(known, _)| *known != name);
        self.condemned.push((name, reason));
    }

    /// The store has refused a batch of so many deliveries: they are run one by one, to find the one that it is about.
    pub(super) fn find_among(&mut self, deliveries: usize) {
        self.singly = self.singly.max(deliveries.max(1));
    }

    /// A batch is durable; the engine has come so far, and the next timer is due then.
    pub(super) fn passed(&mut self, deliveries: usize, cursor: Position, next_timer: Option<Timestamp>) {
        self.singly = self.singly.saturating_sub(deliveries.max(1));
        if let Some((head, mark)) = self.until
            && cursor >= head
            && next_timer.is_none_or(|due| due > mark)
        {
            self.until = None;
            self.watch.settled();
            tracing::info!("what was unread at the start is handled; messages are taken in batches again");
        }
        if let Some(spared) = self.spared.take() {
            self.condemned.retain(|(name, _)| *name != spared);
        }
    }

    /// The engine ends in order.
    pub(super) fn end(&mut self) {
        self.watch.end();
    }
}
