//! Taking things one by one: after the process has ended without a word, and after the store refused a batch for its
//! content.
//!
//! A message that ends the process (an abort, a stack overflow, no more memory) ends it again at each start. So after an
//! end that was not in order, what may have been under way is run message by message, each with a commit, so that every
//! start gets further; which of them it is, [`super::noting`] finds out. (A kill at random meets the same delivery three
//! times in a row about never.) That is one batch: of what is unread behind it nothing had been begun, and were all of it
//! taken so slowly, a unit that is killed under load would never be through. Notes are taken of the rest, too. A command
//! from outside cannot be protected so.

use factum_core::{
    error::StoreError,
    letter::{LetterId, Subject},
    stream::Position,
};
use jiff::Timestamp;

use super::{batch::Delivery, batch_loop::Ran, run::Run, work::Work};
use crate::{inbox::Input, registry::Registry};

/// See the module.
#[derive(Default)]
pub(super) struct OneByOne {
    /// Up to here, and up to this time for timers, messages are taken one by one.
    until: Option<(Position, Timestamp)>,
    /// Up to here notes are taken.
    noted: Position,
    /// Deliveries that are still run one by one because a batch was refused.
    singly: usize,
    /// Deliveries that are not run, and why.
    condemned: Vec<(String, String)>,
    /// One that was not run in this batch.
    spared: Option<String>,
}

impl OneByOne {
    /// Takes as many messages one by one as a batch has, from the cursor on.
    pub(super) fn of_a_batch(cursor: Position, usual: usize, head: Position, mark: Timestamp) -> Self {
        let until = head.min(Position(cursor.0.saturating_add(usual as u64)));
        Self { until: Some((until, mark)), noted: head, ..Self::default() }
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

    /// Runs a delivery; one that is condemned is not run.
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
        let outcome = run.deliver(delivery, verdict.as_deref(), &mut ran.pending);
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

    /// A batch is durable.
    pub(super) fn passed(&mut self, deliveries: usize, work: &mut Work) {
        self.singly = self.singly.saturating_sub(deliveries.max(1));
        if let Some((until, mark)) = self.until
            && work.consumers.cursor >= until
            && work.timers.next().is_none_or(|due| due > mark)
        {
            self.until = None;
            tracing::info!("what was under way at the last end is handled; messages are taken in batches again");
        }
        if self.until.is_none() && work.consumers.cursor >= self.noted {
            work.settle_notes();
        }
        if let Some(spared) = self.spared.take() {
            self.condemned.retain(|(name, _)| *name != spared);
        }
    }
}

/// A delivery's name, as long as it is run again and again.
fn name_of(registry: &Registry, delivery: &Delivery) -> String {
    match delivery {
        Delivery::Log { frame, index, consumer } => {
            let position = frame.messages[*index].position;
            LetterId::new(registry.consumer(*consumer).name.clone(), Subject::Message(position)).to_string()
        }
        Delivery::Timer(due) => format!("timer/{}", due.name),
        Delivery::Input(Input::Answer(answered)) => format!("answer/{}", answered.call.name),
        Delivery::Input(_) => "input".to_owned(),
    }
}
