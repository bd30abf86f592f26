//! The batch loop: take → run → submit → settle, once a call.
//!
//! ```text
//!  released keys ─┐
//!  log ───────────┤
//!  who is behind ─┼──► run one after the other ──► one commit ──► callers hear
//!  timers ────────┤        on cached state
//!  inputs ────────┘
//! ```

use std::{iter::Peekable, vec::IntoIter};

use factum_core::{error::StoreError, stream::Position};

use super::{
    Engine, Step,
    arrange::{Portion, Turn},
    batch::{Batch, Delivery},
    run::Run,
    stage::Stage,
    submit::{Pending, Submitted, give_back},
};
use crate::{
    inbox::Input,
    registry::{ConsumerId, Registry},
    sabotage,
};

/// How far a batch got.
#[derive(Default)]
pub(super) struct Ran {
    pub(super) pending: Vec<Pending>,
    /// Deliveries that were run.
    deliveries: usize,
    /// The last one's name, if they are taken one by one.
    pub(super) last: Option<String>,
    /// The last one is what the process had ended under.
    suspect: bool,
    /// It was shuffled and cannot be told by a cursor: it must be run again as taken.
    again: bool,
    /// Whether anything was done.
    worked: bool,
}

impl Engine {
    /// One batch, one commit.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed. What was not committed is not lost: the next step reads everything anew and runs
    /// it again, except inputs from outside, whose callers have been told.
    pub fn step(&mut self) -> Result<Step, StoreError> {
        self.unless_it_fails(Self::batch)
    }

    fn batch(&mut self) -> Result<Step, StoreError> {
        let registry = self.registry.clone();
        let as_taken = std::mem::take(&mut self.once_as_taken) || self.one_by_one.is_on();
        let portion = self.arrange.portion(self.one_by_one.messages(self.work.limits.messages), as_taken);
        let portion = match sabotage::is("a-consumer-behind-blocks") && self.work.consumers.anybody_is_behind() {
            true => Portion { messages: 0, inputs: Turn::Messages, ..portion },
            false => portion,
        };
        let mark = self.work.clock.mark();
        if let Some(looked) = &mut self.looked {
            self.work.looked(std::mem::replace(looked, mark), mark);
        }
        let (consumers, timers) = (&self.work.consumers, &self.work.timers);
        let mut batch = self.intake.take(&registry, consumers, timers, mark, portion, &self.work.limits)?;
        self.arrange.order(&mut batch);
        let before = self.work.consumers.cursor;
        let mut stage = Stage::default();
        let ran = self.run(&registry, batch, &mut stage)?;
        if ran.again {
            self.once_as_taken = true;
            give_back(&mut self.intake, ran.pending);
            self.reload()?;
            return Ok(Step::Worked);
        }
        let moved = self.work.consumers.cursor != before || !self.work.consumers.had.is_empty();
        // Each step counts then: a process that ends at each start must not begin at the same message for ever.
        let force = self.one_by_one.is_on() || self.work.noting.ends_batch() || ran.suspect;
        let nothing = !ran.worked && !moved && ran.pending.is_empty() && stage.is_empty();
        if nothing && self.work.paced.is_empty() && !self.work.noting.ends_batch() {
            self.one_by_one.passed(0, &mut self.work);
            return Ok(self.rest(&registry));
        }
        let Ran { pending, deliveries, last, .. } = ran;
        let submitted = self.submit.submit(&registry, &mut self.work, &mut self.intake, stage, pending, force)?;
        match submitted {
            Submitted::Settled => {
                self.refusals = 0;
                self.one_by_one.passed(deliveries, &mut self.work);
                self.work.committed(&registry, self.submit.saved);
                self.work.states.trim();
            }
            Submitted::Overtaken => self.refused("another writer was faster", None, 0)?,
            Submitted::Unfit(problem) => self.refused(&problem, last, deliveries)?,
        }
        self.report(false);
        Ok(Step::Worked)
    }

    /// Nothing is left to do but what waits for a time or a person.
    fn rest(&mut self, registry: &Registry) -> Step {
        if self.intake.is_awaited() {
            self.tell_rest();
        }
        self.report(true);
        match self.work.take_snapshot(registry, self.submit.saved) {
            true => Step::Worked,
            false => Step::Rest,
        }
    }

    /// Tells that there is nothing left to do, unless a call hinders it: on a live clock any that is open, where the mark moves
    /// by hand one that is being made or could be.
    fn tell_rest(&mut self) {
        let (mark, next) = (self.work.clock.mark(), self.work.next_of_work());
        if self.work.calls.is_empty() {
            self.intake.rested(next);
        } else if self.work.clock.until(mark).is_none()
            && let Some(outlook) = self.intake.outward_rests(mark)
        {
            self.intake.rested(next.into_iter().chain(outlook.next).min());
        }
    }

    /// A commit was refused: everything is read anew and run again, one by one if its content was the reason.
    fn refused(&mut self, problem: &str, last: Option<String>, deliveries: usize) -> Result<(), StoreError> {
        self.refusals += 1;
        tracing::error!(problem, in_a_row = self.refusals, "a commit was refused; its batch is run again");
        match last {
            Some(name) if deliveries == 1 => self.one_by_one.condemn(name, problem.to_owned()),
            _ => self.one_by_one.find_among(deliveries),
        }
        self.reload()
    }

    /// Runs a batch as far as the stage has room, and moves the cursor.
    fn run(&mut self, registry: &Registry, batch: Batch, stage: &mut Stage) -> Result<Ran, StoreError> {
        let Batch { deliveries, through, shuffled } = batch;
        let mut ran = Ran::default();
        let mut waiting = deliveries.into_iter().peekable();
        let outcome = self.run_all(registry, &mut waiting, (through, shuffled), stage, &mut ran);
        // Messages are read again behind the cursor, timers are still in their order; only inputs would be lost.
        let rest: Vec<Input> = waiting.filter_map(input_of).collect();
        self.intake.put_back(rest.into_iter());
        if let Err(error) = outcome {
            // The store could not be read: nobody is told anything.
            give_back(&mut self.intake, ran.pending);
            return Err(error);
        }
        Ok(ran)
    }

    fn run_all(
        &mut self,
        registry: &Registry,
        waiting: &mut Peekable<IntoIter<Delivery>>,
        (through, shuffled): (Position, bool),
        stage: &mut Stage,
        ran: &mut Ran,
    ) -> Result<(), StoreError> {
        let from = self.work.consumers.cursor;
        // The cursor cannot tell which messages of a shuffled batch were run: it is run whole or not at all.
        let whole = shuffled && through > from;
        let parted = self.work.consumers.parted();
        let most = self.one_by_one.deliveries();
        let mut run = Run::new(registry, &mut self.work, stage, from);
        run.write_unfolded()?;
        ran.worked = run.released()? | run.planned_retries()? | run.jobs()?;
        let mut place = Place { position: Position(from.0 + 1), had: run.work.consumers.had.clone() };
        // A batch without messages leaves the cursor as it is, also between the consumers of one.
        let mut cut = Cut { cursor: through, had: if through == from { place.had.clone() } else { Vec::new() } };
        while let Some(delivery) = waiting.peek() {
            let suspect = self.one_by_one.suspects(registry, delivery);
            let alone = ran.suspect || suspect && ran.deliveries > 0;
            let full = run.is_full() || ran.deliveries >= most || alone;
            if whole && (full || run.work.consumers.parted() > parted) {
                ran.again = true;
                return Ok(());
            }
            if full {
                if let Some(position) = delivery.position() {
                    let had = if place.position == position { place.had } else { Vec::new() };
                    cut = Cut { cursor: Position(position.0 - 1), had };
                }
                break;
            }
            let Some(delivery) = waiting.next() else { break };
            match &delivery {
                Delivery::Log { frame, index, consumer } => {
                    place.is_run(frame.messages[*index].position, *consumer);
                }
                // The messages are through.
                Delivery::Timer(_) | Delivery::Input(_) => run.through = through,
            }
            ran.deliveries += 1;
            if suspect {
                ran.suspect = true;
                self.one_by_one.has_run_it();
            }
            self.one_by_one.run(registry, delivery, &mut run, ran)?;
        }
        if whole && run.work.consumers.parted() > parted {
            ran.again = true;
            return Ok(());
        }
        run.through = cut.cursor;
        run.work.consumers.cut_at(cut.cursor, cut.had);
        let behind = run.catch_up(cut.cursor)?;
        let answers = run.work.answers_due;
        if answers {
            let most = run.work.limits.share;
            run.kept_answers(most)?;
        }
        ran.worked |= ran.deliveries > 0 || behind || answers;
        Ok(())
    }
}

/// Where the cursor stands behind a batch.
struct Cut {
    cursor: Position,
    had: Vec<ConsumerId>,
}

/// The message that is being run, and its consumers that had it.
struct Place {
    position: Position,
    had: Vec<ConsumerId>,
}

impl Place {
    fn is_run(&mut self, position: Position, consumer: ConsumerId) {
        if self.position != position {
            *self = Self { position, had: Vec::new() };
        }
        self.had.push(consumer);
    }
}

fn input_of(delivery: Delivery) -> Option<Input> {
    match delivery {
        Delivery::Input(input) => Some(input),
        Delivery::Log { .. } | Delivery::Timer(_) => None,
    }
}
