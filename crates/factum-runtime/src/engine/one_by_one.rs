//! Taking things one by one: after the process has ended without a word, and after the store refused a batch for its
//! content.
//!
//! A message that ends the process (an abort, a stack overflow, no more memory) ends it again at each start. So after an
//! end that was not in order [`super::noting`] notes what is being run, and at the next start what the process ended under
//! has a commit to itself, as has what stands before it in its batch: every start gets further, and the same delivery under
//! the note three times in a row is a letter. (A kill at random meets the same one three times in a row about never.) All
//! else is taken in batches: a unit that is killed under load would never be through otherwise. Only if three starts in a
//! row got no further at all is one batch taken message by message; whatever ends the process then is no handler of a
//! message alone. A command from outside cannot be protected so.

use factum_core::{
    error::StoreError,
    letter::{LetterId, Subject},
    stream::Position,
};
use jiff::Timestamp;

use super::{batch::Delivery, batch_loop::Ran, noting::Noting, run::Run, work::Work};
use crate::{inbox::Input, registry::Registry};

/// See the module.
#[derive(Default)]
pub(super) struct OneByOne {
    /// Up to here, and up to this time for timers, messages are taken one by one.
    until: Option<(Position, Timestamp)>,
    /// Up to here notes are taken.
    noted: Position,
    /// What the process ended under: it has a commit to itself.
    suspect: Option<LetterId>,
    /// Deliveries that are still run one by one because a batch was refused.
    singly: usize,
    /// Deliveries that are not run, and why.
    condemned: Vec<(String, String)>,
    /// One that was not run in this batch.
    spared: Option<String>,
}

impl OneByOne {
    /// After an end that was not in order.
    pub(super) fn after_an_end(noting: &mut Noting, work: (Position, Timestamp), usual: usize, head: Position) -> Self {
        let (cursor, mark) = work;
        let suspect = noting.suspect().and_then(|name| LetterId::parse(name).ok());
        let until = noting.starts_at(cursor).then(|| {
            tracing::warn!(?cursor, "three starts in a row got no further: a batch is taken message by message");
            (head.min(Position(cursor.0.saturating_add(usual as u64))), mark)
        });
        Self { until, noted: head, suspect, ..Self::default() }
    }

    /// Messages of the log that a batch may take: one, or as many as usual.
    pub(super) fn messages(&self, usual: usize) -> usize {
        if self.until.is_some() || self.singly > 0 { 1 } else { usual }
    }

    /// Deliveries that a batch may run.
    pub(super) fn deliveries(&self) -> usize {
        if self.singly > 0 { 1 } else { usize::MAX }
    }

    /// Whether something has a commit to itself.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some() || self.singly > 0 || self.suspect.is_some()
    }

    /// Whether anything is taken apart from the rest, or not run at all.
    pub(super) fn is_careful(&self) -> bool {
        self.is_on() || !self.condemned.is_empty()
    }

    /// Whether the process ended under this delivery.
    pub(super) fn suspects(&self, registry: &Registry, delivery: &Delivery) -> bool {
        let Some(LetterId { consumer, subject }) = &self.suspect else { return false };
        match (subject, delivery) {
            (Subject::Message(position), Delivery::Log { consumer: id, .. }) => {
                delivery.position() == Some(*position) && registry.consumer(*id).name == *consumer
            }
            (Subject::Timer(name), Delivery::Timer(due)) => *due.name == **name,
            (Subject::Answer(name), Delivery::Input(Input::Answer(answered))) => *answered.call.name == **name,
            _ => false,
        }
    }

    /// The suspect has been run.
    pub(super) fn has_run_it(&mut self) {
        self.suspect = None;
    }

    /// Runs a delivery; one that is condemned is not run.
    pub(super) fn run(
        &mut self,
        registry: &Registry,
        delivery: Delivery,
        run: &mut Run<'_>,
        ran: &mut Ran,
    ) -> Result<(), StoreError> {
        if !self.is_careful() {
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
            self.suspect = None;
            work.settle_notes();
        }
        work.noting.passed();
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
