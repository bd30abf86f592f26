//! The batch loop: land → take → run → launch, once a call.
//!
//! ```text
//!  released keys ─┐
//!  log ───────────┤                                   ┌─► in flight: judged, written, durable ─► callers hear
//!  who is behind ─┼──► run one after the other ──► launch
//!  timers ────────┤        on cached state            └─► the next batch is run meanwhile, on what is in flight
//!  inputs ────────┘
//! ```
//!
//! A batch that is run while another is in flight waits for it, takes more inputs as long as it waits, and is launched when it
//! has landed. If that comes to nothing, so does the batch.

use std::{iter::Peekable, vec::IntoIter};

use factum_core::{error::StoreError, stream::Position};

use super::{
    Engine, Limits, Step,
    arrange::{Portion, Turn},
    batch::{Batch, Delivery},
    run::Run,
    stage::Stage,
    submit::{Decided, Launch, Pending, Submitted, fall, give_back},
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

/// What taking and running came to.
enum Did {
    /// There is a batch to launch.
    Decided,
    /// There was nothing to take.
    Nothing,
    /// What was decided has fallen, and everything was read anew.
    Again,
}

/// Deliveries of a batch that were not run yet.
type Waiting = Peekable<IntoIter<Delivery>>;

impl Engine {
    /// One batch, one commit. Without [`Engine::apart`] it is durable when this returns; with it the commit may be in flight, and
    /// the next step decides on what is in it.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed. What was not committed is not lost: the next step reads everything anew and runs
    /// it again, except inputs from outside, whose callers have been told.
    pub fn step(&mut self) -> Result<Step, StoreError> {
        self.unless_it_fails(Self::batch)
    }

    fn batch(&mut self) -> Result<Step, StoreError> {
        if !self.land(false)? {
            return Ok(Step::Worked);
        }
        let worked = match self.decided.take() {
            Some(decided) if self.work.flights.is_aloft() => self.decide_more(decided)?,
            Some(decided) => {
                self.decided = Some(decided);
                Did::Decided
            }
            None => self.decide()?,
        };
        match worked {
            Did::Again => return Ok(Step::Worked),
            Did::Nothing if self.work.flights.is_aloft() => return Ok(Step::InFlight),
            Did::Nothing if self.decided.is_none() => {
                self.one_by_one.passed(0, &mut self.work);
                let registry = self.registry.clone();
                return Ok(self.rest(&registry));
            }
            Did::Nothing | Did::Decided => {}
        }
        // It may have landed meanwhile.
        if self.land(false)? && !self.work.flights.is_aloft() {
            self.launch()?;
        }
        self.report(false);
        Ok(Step::Worked)
    }

    /// Takes a batch and runs it.
    fn decide(&mut self) -> Result<Did, StoreError> {
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
        let (before, follows) = (self.work.consumers.cursor, self.work.flights.is_aloft());
        let (mut stage, mut ran) = (Stage::default(), Ran::default());
        let Batch { deliveries, through, shuffled } = batch;
        let waiting = deliveries.into_iter();
        let run = |engine: &mut Self, waiting: &mut Waiting, ran: &mut Ran| {
            engine.run_all(&registry, waiting, (through, shuffled), &mut stage, ran)
        };
        if !self.run(waiting, &mut ran, run)? {
            return Ok(Did::Again);
        }
        if ran.again {
            self.once_as_taken = true;
            give_back(&mut self.intake, ran.pending);
            self.reload()?;
            return Ok(Did::Again);
        }
        let moved = self.work.consumers.cursor != before || !self.work.consumers.had.is_empty();
        // Each step counts then: a process that ends at each start must not begin at the same message for ever.
        let force = self.one_by_one.is_on() || self.work.noting.ends_batch() || ran.suspect;
        let nothing = !ran.worked && !moved && ran.pending.is_empty() && stage.is_empty();
        if nothing && self.work.paced.is_empty() && !self.work.noting.ends_batch() {
            return Ok(Did::Nothing);
        }
        let Ran { pending, deliveries, last, .. } = ran;
        self.decided = Some(Decided { stage, pending, force, follows, deliveries, last });
        Ok(Did::Decided)
    }

    /// Runs inputs that have come since a batch was run that waits for the one in flight: they join it, as far as there is room.
    fn decide_more(&mut self, decided: Decided) -> Result<Did, StoreError> {
        let Decided { mut stage, pending, force, follows, mut deliveries, last } = decided;
        let registry = self.registry.clone();
        let limits = Limits { inputs: self.work.limits.inputs.saturating_sub(pending.len()), ..self.work.limits };
        let more = match force || stage.bytes() >= limits.staged_bytes {
            true => Batch::default(),
            false => self.intake.more(self.work.consumers.cursor, &limits),
        };
        let (before, mut ran) = (deliveries, Ran { pending, ..Ran::default() });
        let run = |engine: &mut Self, waiting: &mut Waiting, ran: &mut Ran| {
            let cursor = engine.work.consumers.cursor;
            let mut run = Run::new(&registry, &mut engine.work, &mut stage, cursor);
            while !run.is_full()
                && let Some(delivery) = waiting.next()
            {
                deliveries += 1;
                engine.one_by_one.run(&registry, delivery, &mut run, ran)?;
            }
            Ok(())
        };
        if !self.run(more.deliveries.into_iter(), &mut ran, run)? {
            return Ok(Did::Again);
        }
        let did = if deliveries > before { Did::Decided } else { Did::Nothing };
        self.decided = Some(Decided { stage, pending: ran.pending, force, follows, deliveries, last });
        Ok(did)
    }

    /// Launches what is decided; it is left in flight if nothing speaks against that.
    pub(super) fn launch(&mut self) -> Result<(), StoreError> {
        let Some(decided) = self.decided.take() else { return Ok(()) };
        self.work.ahead.clear();
        let registry = self.registry.clone();
        let (is_left, deliveries) = (self.flies(&decided), decided.deliveries);
        match self.submit.launch(&registry, &mut self.work, &mut self.intake, decided, is_left)? {
            Launch::Nothing => self.settled(deliveries, false),
            Launch::Aloft if is_left => {}
            Launch::Aloft => _ = self.land(true)?,
        }
        Ok(())
    }

    /// Whether a batch may be in flight while the next one is run.
    fn flies(&self, decided: &Decided) -> bool {
        let work = &self.work;
        // Whoever waits alone gains nothing by that, and would wait for the hand-over.
        let nothing_waits = || self.intake.is_empty() && self.intake.tail.head() <= work.consumers.cursor;
        let is_alone = || decided.pending.len() <= 1 && !decided.follows && nothing_waits();
        // Where each step counts, and while it is to be seen whether the store works, one thing is done after the other.
        let is_careful = decided.force || self.one_by_one.is_careful() || work.noting.is_on() || self.in_doubt;
        work.flights.is_apart() && !is_careful && !work.snapshots_are_due() && !is_alone()
    }

    /// Takes note of a commit that has landed, if one has; with `wait` also of one that is still on its way. `false` if it came
    /// to nothing: then everything was read anew, and is run again.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed. Those who have waited for the commit have been told; what was decided on it has
    /// fallen with it.
    pub(super) fn land(&mut self, wait: bool) -> Result<bool, StoreError> {
        let Some((mut flown, landed)) = self.work.flights.land(wait) else { return Ok(true) };
        #[cfg(feature = "sabotage")]
        let landed = match super::planted::survives(landed, self.decided.is_some(), &mut self.intake) {
            Some(landed) => landed,
            None => return Ok(true),
        };
        if let Ok(Err(error)) = &landed.outcome
            && let Some(decided) = self.decided.take()
        {
            // Before the inputs of the commit are put back: they stand in front.
            fall(&mut self.intake, decided.pending, error);
        }
        let (work, intake) = (&mut self.work, &mut self.intake);
        match self.submit.landed(work, intake, &mut flown, landed)? {
            Submitted::Settled => {
                self.settled(flown.deliveries, flown.is_built_on);
                return Ok(true);
            }
            Submitted::Overtaken => self.refused("another writer was faster", None, 0)?,
            Submitted::Unfit(problem) => self.refused(&problem, flown.last, flown.deliveries)?,
        }
        Ok(false)
    }

    /// A batch is durable; or more than it is in memory already.
    fn settled(&mut self, deliveries: usize, is_built_on: bool) {
        (self.refusals, self.in_doubt) = (0, false);
        self.one_by_one.passed(deliveries, &mut self.work);
        let registry = self.registry.clone();
        self.work.committed(&registry, self.submit.saved, is_built_on);
        self.work.states.trim();
    }

    /// Nothing is left to do but what waits for a time or a person.
    fn rest(&mut self, registry: &Registry) -> Step {
        // Whoever hears of it may look at once.
        self.report(true);
        if self.intake.is_awaited() {
            self.tell_rest();
        }
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
        self.in_doubt = true;
        self.reload()
    }

    /// Runs deliveries as far as the stage has room; the rest is put back. `false` if what they were decided on came to nothing.
    fn run(
        &mut self,
        deliveries: IntoIter<Delivery>,
        ran: &mut Ran,
        run: impl FnOnce(&mut Self, &mut Waiting, &mut Ran) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        self.work.flights.build_on();
        let ahead = self.work.read_ahead(&self.registry, deliveries.as_slice());
        let mut waiting = deliveries.peekable();
        let outcome = ahead.and_then(|()| run(self, &mut waiting, ran));
        // Messages are read again behind the cursor, timers are still in their order; only inputs would be lost.
        let rest: Vec<Input> = waiting.filter_map(input_of).collect();
        self.intake.put_back(rest.into_iter());
        let Err(error) = outcome else { return Ok(true) };
        // The store could not be read, or what is in flight came to nothing: nobody is told anything that was decided on it.
        give_back(&mut self.intake, std::mem::take(&mut ran.pending));
        if self.land(false)? { Err(error) } else { Ok(false) }
    }

    fn run_all(
        &mut self,
        registry: &Registry,
        waiting: &mut Waiting,
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
