//! Running one delivery: which handler, on what. Its changes stay its own until it is through.

use std::{ops::Bound, sync::Arc};

use factum_core::{
    cell::{CellKey, CellKind},
    envelope::{Kind, Message, Stored},
    error::{HandlerError, StoreError},
    letter::{Key, Subject},
    reaction::unplaced,
    saga::Input as SagaInput,
    stream::{Position, StreamId},
};

use jiff::Timestamp;

use super::{
    batch::Rejected,
    failure::{About, Ended, Fault, Turn, guard},
    folds::Folded,
    holds::At,
    origin::Origin,
    stage::{Local, Stage},
    work::Work,
};
use crate::{
    inbox::Answered,
    outward::{OpenCall, Reply},
    registry::{ConsumerId, Handler, Registry},
    sabotage,
    timers::{Due, Timer, Timers, When, is_look},
};

/// The batch so far, and what the delivery under way adds to it.
pub(super) struct Run<'a> {
    pub(super) registry: &'a Registry,
    pub(super) work: &'a mut Work,
    pub(super) stage: &'a mut Stage,
    /// Messages up to here have been run, for all that read with the engine.
    pub(super) through: Position,
    pub(super) local: Local,
    /// The held key whose messages are being run: it does not hold them.
    pub(super) now_releasing: Option<At>,
    /// A message is delivered once more: its calls are the ones that were made before.
    pub(super) redelivering: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(registry: &'a Registry, work: &'a mut Work, stage: &'a mut Stage, through: Position) -> Self {
        Self { registry, work, stage, through, local: Local::default(), now_releasing: None, redelivering: false }
    }
}

impl Run<'_> {
    /// Whether what comes next is to wait for the next batch.
    pub(super) fn is_full(&self) -> bool {
        self.stage.bytes() >= self.work.limits.staged_bytes || self.work.noting.ends_batch()
    }

    /// Up to where a consumer has handled everything, in the midst of a batch.
    pub(super) fn handled(&self, id: ConsumerId) -> Position {
        let reached = self.work.consumers.reached(id);
        if self.work.consumers.is_joined(id) { reached.max(self.through) } else { reached }
    }

    /// Runs a message of the log for a consumer that reads it at this place for the first time.
    pub(super) fn log(&mut self, id: ConsumerId, stored: &Stored) -> Result<(), StoreError> {
        if self.work.consumers.is_stopped(id) {
            return Ok(());
        }
        let subject = Subject::Message(stored.position);
        self.noted(id, &subject, |run, verdict| match verdict {
            None => run.first_time(id, stored),
            Some(reason) => {
                let subject = Subject::Message(stored.position);
                run.condemned(&About { id, subject, stored, due: None, turn: Turn::First }, &reason)
            }
        })
    }

    fn first_time(&mut self, id: ConsumerId, stored: &Stored) -> Result<(), StoreError> {
        if !self.folded(id, stored)? {
            return Ok(());
        }
        let mut freed = Vec::new();
        if self.work.holds.any(id) {
            let text = self.key(id, stored);
            freed = self.work.holds.waiting_for(id, stored.type_name(), &text);
            let key = Key::Ordered(text);
            if freed.contains(&key) {
                self.work.holds.skip(id, &key, stored.position);
            } else if self.work.holds.has(id, &key) {
                self.pass_over(id, &key, stored.position);
                return Ok(());
            }
        }
        let about = About { id, subject: Subject::Message(stored.position), stored, due: None, turn: Turn::First };
        let outcome = self.handle(id, stored);
        if let Ended::Held(key) = self.conclude(&about, outcome)? {
            self.pass_over(id, &key, stored.position);
        }
        freed.iter().for_each(|key| self.work.holds.release(id, key));
        Ok(())
    }

    /// Writes letters for events that could not be folded while states were rebuilt.
    pub(super) fn write_unfolded(&mut self) -> Result<(), StoreError> {
        for (id, stored, error) in std::mem::take(&mut self.work.unfolded) {
            let about = About {
                id,
                subject: Subject::Message(stored.position),
                stored: &stored,
                due: None,
                turn: Turn::Redriven,
            };
            let key = Key::Ordered(self.key(id, &stored));
            self.letter(&about, key, &error, true)?;
        }
        Ok(())
    }

    fn pass_over(&mut self, id: ConsumerId, key: &Key, position: Position) {
        let cursor = self.work.consumers.reached(id);
        let bytes = self.work.holds.pass_over(id, key, position, cursor);
        self.stage.reserve(bytes);
    }

    /// Takes an event into a folding's state, at its place in the log; says whether there is anything else to do.
    fn folded(&mut self, id: ConsumerId, stored: &Stored) -> Result<bool, StoreError> {
        let Handler::Folding(at) = self.registry.consumer(id).handler else { return Ok(true) };
        let acted = self.work.consumers.apart(id).map_or(Position::START, |apart| apart.acted);
        if stored.envelope().kind != Kind::Event {
            // A command that it has answered stays answered when its state is made anew.
            return Ok(stored.position > acted);
        }
        let folding = &*self.registry.service(id).foldings[at];
        let about = About { id, subject: Subject::Message(stored.position), stored, due: None, turn: Turn::First };
        if self.work.letters.is_unfolded(&self.registry.consumer(id).name, &about.subject) {
            return Ok(false);
        }
        match self.work.folds.take(id, folding, stored) {
            Folded::Taken => {}
            Folded::Unread(error) => {
                let key = Key::Ordered(self.key(id, stored));
                self.work.holds.skip(id, &key, stored.position);
                self.letter(&about, key, &error, true)?;
                return Ok(false);
            }
            Folded::Broken(error) => {
                let problem = format!("its state could not take this event: {error}");
                self.stop(id, Position(stored.position.0 - 1), &problem);
                return Ok(false);
            }
        }
        let reacts = stored.position > acted && folding.reacts_to(stored.type_name());
        Ok(reacts && self.tell_due(id, folding, stored)?)
    }

    /// Runs a message of the log once more: released, or redriven.
    pub(super) fn log_again(&mut self, id: ConsumerId, stored: &Stored) -> Result<Ended, StoreError> {
        let about = About { id, subject: Subject::Message(stored.position), stored, due: None, turn: Turn::Released };
        let outcome = self.noted(id, &about.subject, |run, verdict| match verdict {
            None => run.handle(id, stored),
            Some(reason) => Err(HandlerError::Failed(reason).into()),
        });
        self.conclude(&about, outcome)
    }

    /// The handler of a message; a fold is not part of it.
    pub(super) fn handle(&mut self, id: ConsumerId, stored: &Stored) -> Result<(), Fault> {
        let registry = self.registry;
        let envelope = stored.envelope();
        if envelope.depth > self.work.limits.depth {
            let problem = format!("the chain of causes is {} messages long: it looks like a loop", envelope.depth);
            return Err(HandlerError::Failed(problem).into());
        }
        let origin = Origin::of(envelope);
        let service = registry.service(id);
        match (envelope.kind, registry.consumer(id).handler) {
            (Kind::Command, _) => self.command(id, stored, stored.stream.as_str(), &origin),
            (Kind::Event, Handler::Folding(at)) => {
                let folding = &service.foldings[at];
                let Some(state) = self.work.folds.states.get(&id) else {
                    return Err(HandlerError::failed("its state is being made anew").into());
                };
                let effects = guard(|| folding.react(&**state, stored))?;
                let key = super::key::key_of(registry, id, stored)?;
                self.effects(id, &key, effects, &origin)
            }
            (Kind::Rejection, Handler::Folding(at)) => {
                let Some(state) = self.work.folds.states.get(&id) else {
                    return Err(HandlerError::failed("its state is being made anew").into());
                };
                let rejected: Rejected = serde_json::from_slice(&stored.message.data).map_err(HandlerError::failed)?;
                let effects = guard(|| service.foldings[at].rejected(&**state, &rejected.refused, stored))?;
                let key = super::key::key_of(registry, id, stored)?;
                self.effects(id, &key, effects, &origin)
            }
            (Kind::Event, Handler::Reaction(at)) => {
                let effects = guard(|| service.reactions[at].run(stored))?;
                let key = super::key::key_of(registry, id, stored)?;
                self.effects(id, &key, effects, &origin)
            }
            (Kind::Event, Handler::Saga(at)) => {
                let stream = guard(|| service.sagas[at].instance_of(stored))?;
                self.saga(id, stream, SagaInput::Event(stored), &origin)
            }
            (Kind::Rejection, Handler::Saga(_)) => {
                let rejected: Rejected = serde_json::from_slice(&stored.message.data).map_err(HandlerError::failed)?;
                // The name of the message is today's.
                let input = SagaInput::Rejection { command: stored.type_name(), refused: &rejected.refused };
                self.saga(id, StreamId::parse(&rejected.sender)?, input, &origin)
            }
            _ => Ok(()),
        }
    }

    /// A command of the log, of a timer, or the answer of a call.
    pub(super) fn command(
        &mut self,
        id: ConsumerId,
        command: &Stored,
        sender: &str,
        origin: &Origin,
    ) -> Result<(), Fault> {
        match self.registry.consumer(id).handler {
            Handler::Decider(at) => {
                let decider = &self.registry.service(id).deciders[at];
                let addressed = guard(|| decider.address(&command.message))?;
                let held = Key::stream(&addressed.stream);
                if self.work.holds.any(id) && self.work.holds.has(id, &held) && !self.releases(id, &held) {
                    return Err(Fault::Held(held));
                }
                let decided = self.decide(id, addressed, origin)?;
                self.note_rejection(id, decided, command.type_name(), sender, origin)
            }
            Handler::Folding(_) => {
                let key = command.envelope().partition_key.clone();
                self.answer(id, command, sender, &key, origin)
            }
            Handler::Saga(at) => {
                let input = match command.type_name() == self.registry.service(id).sagas[at].answer_type() {
                    true => SagaInput::Told(command),
                    false => SagaInput::Expired(command),
                };
                self.saga(id, command.stream.clone(), input, origin)
            }
            Handler::Reaction(_) | Handler::Group(_) => Ok(()),
        }
    }

    /// Whether what waits behind a key is being run just now, so that it must not hold itself.
    fn releases(&self, id: ConsumerId, key: &Key) -> bool {
        self.now_releasing.as_ref().is_some_and(|(at, held)| *at == id && held == key)
    }

    /// Runs a timer that was due when the batch was taken.
    pub(super) fn timer(&mut self, due: &Due) -> Result<(), StoreError> {
        // What ran before it in this batch may have moved or cancelled it.
        if !self.work.timers.stands(due) {
            return Ok(());
        }
        if is_look(&due.name) && self.work.is_on_data_time() {
            self.work.timers.park(&due.name);
            return Ok(());
        }
        let Some((id, stored, when)) = self.due_command(due)? else { return Ok(()) };
        let at = due.at;
        // A consumer that is not at the engine's cursor must see first what it has missed.
        let waits = self.work.holds.has(id, &Key::Ordered(self.key(id, &stored)));
        if waits || !self.work.consumers.is_joined(id) {
            self.work.timers.park(&due.name);
            return Ok(());
        }
        self.work.timers.remove(&due.name);
        let subject = Subject::Timer(due.name.to_string());
        let outcome = self.noted(id, &subject, |run, verdict| match verdict {
            None => run.expired(id, &stored, at),
            Some(reason) => Err(HandlerError::Failed(reason).into()),
        });
        self.local.cells.insert(0, (Timers::cell(&due.name), None));
        let about = About { id, subject, stored: &stored, due: Some(at), turn: Turn::First };
        match self.conclude(&about, outcome)? {
            Ended::Held(_) => {
                self.work.timers.set(due.name.clone(), when);
                self.work.timers.park(&due.name);
            }
            // The letter keeps it.
            Ended::Letter(_) => self.stage.cell(Timers::cell(&due.name), None),
            Ended::Done | Ended::TooEarly => {}
        }
        Ok(())
    }

    /// A due timer's consumer and command, and by which clock it was due. One that nobody can take is parked.
    pub(super) fn due_command(&mut self, due: &Due) -> Result<Option<(ConsumerId, Stored, When)>, StoreError> {
        let Some(cell) = self.work.stored_cell(&Timers::cell(&due.name))? else {
            self.work.timers.remove(&due.name);
            return Ok(None);
        };
        let mut timer = Timer::decode(&cell.value)?;
        self.registry.upcasters.raise(&mut timer.command);
        let Some(id) = self.registry.addressee(&timer.command.envelope.type_name) else {
            tracing::error!(timer = &*due.name, "no service answers this timer's command; it stays in the store");
            self.work.timers.park(&due.name);
            return Ok(None);
        };
        Ok(Some((id, sent_by_timer(&due.name, timer.command)?, timer.when)))
    }

    /// A timer's command.
    pub(super) fn expired(&mut self, id: ConsumerId, stored: &Stored, due: Timestamp) -> Result<(), Fault> {
        // Time has passed: what comes of it is no deeper than what an input causes.
        // The command itself is not stored: what follows from it names as its cause the message that set the timer.
        let envelope = stored.envelope();
        let set_by = envelope.causation_id.clone().unwrap_or_else(|| envelope.id.clone());
        let mut origin = Origin { id: set_by, at: due, depth: 0, ..Origin::of(envelope) };
        if is_look(stored.stream.as_str()) {
            self.looks(&mut origin);
        }
        self.command(id, stored, stored.stream.as_str(), &origin)
    }

    /// A schedule is told what time it is, not when it wanted to know: what it could not do in time it must see. Each look is a
    /// business transaction of its own, of nobody's.
    fn looks(&mut self, origin: &mut Origin) {
        if !sabotage::is("schedule-does-not-see-the-clock") {
            origin.at = self.work.clock.stamp(origin.at);
        }
        origin.correlation_id = self.work.ids.next(origin.at);
        (origin.user_id, origin.tenant, origin.traceparent) = (None, None, None);
    }

    /// Takes the answer of a call; the call is closed with it.
    pub(super) fn answered(&mut self, answered: &Answered) -> Result<(), StoreError> {
        let name = &answered.call.name;
        let parked = self.work.answers.contains_key(name);
        if !parked && !self.work.calls.contains(name) {
            return Ok(());
        }
        let Some(id) = self.registry.addressee(&answered.command.type_name) else {
            let problem = format!("no service answers the command `{}`", answered.command.type_name);
            tracing::error!(call = name, problem, "a call's answer cannot be taken; it is kept");
            return self.keep_answer(answered);
        };
        let (stored, origin) = self.answer_of(id, answered);
        let waits = self.work.holds.has(id, &Key::Ordered(self.key(id, &stored)));
        if waits || self.work.consumers.is_stopped(id) || self.work.consumers.is_renewed(id) {
            return self.keep_answer(answered);
        }
        let subject = Subject::Answer(name.clone());
        let outcome = self.noted(id, &subject, |run, verdict| match verdict {
            None => run.reply(id, &stored, &origin),
            Some(reason) => Err(HandlerError::Failed(reason).into()),
        });
        self.local.cells.push((answered.call.clone(), None));
        let about = About { id, subject, stored: &stored, due: None, turn: Turn::First };
        match self.conclude(&about, outcome)? {
            Ended::Held(_) => return self.keep_answer(answered),
            Ended::Letter(_) => self.stage.cell(answered.call.clone(), None),
            Ended::Done | Ended::TooEarly => {}
        }
        self.work.calls.remove(name);
        self.work.answers.remove(name);
        Ok(())
    }

    /// The command of an answer, again or for the first time.
    pub(super) fn reply(&mut self, id: ConsumerId, stored: &Stored, origin: &Origin) -> Result<(), Fault> {
        // It speaks for nobody: a no to it goes to nobody.
        self.command(id, stored, "", origin)
    }

    /// The command of an answer. It is not stored: what follows from it names the call as its cause.
    fn answer_of(&mut self, id: ConsumerId, answered: &Answered) -> (Stored, Origin) {
        let cause = answered.cause.envelope();
        let at = self.work.clock.stamp(cause.timestamp);
        // An answer counts as its call.
        let origin = Origin { at, depth: cause.depth.saturating_sub(1), ..Origin::of(cause) };
        let source = self.registry.service(id).source.clone();
        let message = self.message(Kind::Command, answered.command.clone(), &origin, &source, &cause.partition_key);
        (unplaced(answered.cause.stream.clone(), message), origin)
    }

    /// An answer that is not to be run.
    pub(super) fn condemned_answer(&mut self, answered: &Answered, reason: &str) -> Result<(), StoreError> {
        let Some(id) = self.registry.addressee(&answered.command.type_name) else { return Ok(()) };
        let (stored, _) = self.answer_of(id, answered);
        let subject = Subject::Answer(answered.call.name.clone());
        let about = About { id, subject, stored: &stored, due: None, turn: Turn::First };
        let key = Key::Ordered(self.key(id, &stored));
        self.letter(&about, key, &HandlerError::Failed(reason.to_owned()), false)?;
        self.stage.cell(answered.call.clone(), None);
        self.work.calls.remove(&answered.call.name);
        self.work.answers.remove(&answered.call.name);
        Ok(())
    }

    /// Keeps an answer until its key is free: the call is not made again.
    fn keep_answer(&mut self, answered: &Answered) -> Result<(), StoreError> {
        let name = answered.call.name.clone();
        if self.work.answers.contains_key(&name) || crate::sabotage::is("answer-only-in-memory") {
            return Ok(());
        }
        let Some(cell) = self.cell(&answered.call)? else { return Ok(()) };
        let mut call = OpenCall::read(&answered.call, &cell)?;
        call.answer = Some(Reply::of(&answered.command).map_err(|error| StoreError::Unfit(error.to_string()))?);
        let value = call.encode().map_err(|error| StoreError::Unfit(error.to_string()))?;
        self.stage.cell(CellKey::new(CellKind::Call, name.clone()), Some(value));
        self.work.calls.remove(&name);
        self.work.answers.insert(name, call);
        Ok(())
    }

    /// Answers that were kept, whose keys may be free now.
    pub(super) fn kept_answers(&mut self, most: usize) -> Result<(), StoreError> {
        let after = self.work.answers_after.take().unwrap_or_default();
        let rest = self.work.answers.range::<String, _>((Bound::Excluded(&after), Bound::Unbounded)).take(most.max(1));
        let kept: Vec<(String, OpenCall)> = rest.map(|(name, call)| (name.clone(), call.clone())).collect();
        self.work.answers_after = kept.last().map(|(name, _)| name.clone());
        self.work.answers_due = !kept.is_empty();
        for (name, call) in kept {
            let Some(mut command) = call.answer.as_ref().map(Reply::draft) else { continue };
            self.registry.upcasters.raise_draft(&mut command);
            let stored = crate::outward::message_of(&*self.work.reader, &name, &call)?;
            let call = CellKey::new(CellKind::Call, name);
            self.answered(&Answered { call, command, cause: Arc::new(stored) })?;
        }
        Ok(())
    }

    pub(super) fn cell(&self, key: &CellKey) -> Result<Option<Vec<u8>>, StoreError> {
        match self.stage.staged_cell(key) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.work.stored_cell(key)?.map(|cell| cell.value)),
        }
    }
}

/// A timer's command, in the stream of who set it.
fn sent_by_timer(name: &str, command: Message) -> Result<Stored, StoreError> {
    // A key may hold any printable character; a category holds no hyphen.
    let category = name.split('-').next().unwrap_or_default();
    let sender = StreamId::new(category, &command.envelope.partition_key);
    let sender = sender.map_err(|error| StoreError::Corrupt(format!("timer {name}: {error}")))?;
    Ok(unplaced(sender, command))
}
