//! Running one delivery: which handler, on what; its changes onto the stage, its failure into a stop.

use factum_core::{
    cell::{CellKey, CellKind},
    commit::Append,
    envelope::{Draft, Kind, Message, Stored, digest},
    error::HandlerError,
    reaction::{Effect, Effects, unplaced},
    rejection::Refused,
    saga::{Input as SagaInput, Transition},
    stream::{ExpectedVersion, Position, StreamId},
};

use super::{
    Engine, Pending,
    batch::{Delivery, Rejected},
    decide::Decided,
    effects::{addressable, fits, timer_name},
    guard,
    origin::Origin,
    stage::{Local, Stage},
    states::Model,
};
use crate::{
    inbox::{ExecuteError, Input, Receipt, Request},
    registry::{ConsumerId, Handler, Registry},
    sabotage,
    timers::{Timer, Timers},
};

/// Steps along the chain of causes after which something is taken for a loop.
const MAX_DEPTH: u16 = 64;

/// The batch so far, and what this delivery adds to it.
pub(super) struct Run<'a> {
    pub(super) registry: &'a Registry,
    pub(super) stage: &'a Stage,
    pub(super) local: Local,
}

impl Engine {
    /// Runs one delivery of a batch that reads the log up to `through`; what it changes joins the stage if its handler
    /// gets through.
    pub(super) fn deliver(
        &mut self,
        registry: &Registry,
        delivery: Delivery,
        through: Position,
        stage: &mut Stage,
        pending: &mut Vec<Pending>,
    ) {
        let mut run = Run { registry, stage, local: Local::default() };
        match delivery {
            Delivery::Log { frame, index, consumer } => {
                let stored = &frame.messages[index];
                if !self.consumers.takes(consumer, stored.position) && !self.catches_up(consumer) {
                    return;
                }
                let outcome = self.run_message(&mut run, consumer, stored);
                let local = run.local;
                if let Err(error) = self.join(registry, outcome, local, stage) {
                    self.stop(registry, consumer, stored.position, &error);
                }
            }
            Delivery::Timer { name, timer } => {
                // What ran before it in this batch may have moved or cancelled it.
                if !self.timers.stands(&name, &timer) {
                    return;
                }
                let Some(consumer) = registry.addressee(&timer.command.envelope.type_name) else {
                    tracing::error!(timer = name, "no service answers this timer's command; it stays in the store");
                    return self.timers.park(&name);
                };
                // A consumer that has stopped must see first what it has missed.
                if self.consumers.is_stopped(consumer) {
                    return self.timers.park(&name);
                }
                self.timers.remove(&name);
                run.local.cells.push((Timers::cell(&name), None));
                let outcome = self.run_timer(&mut run, consumer, &name, &timer);
                let local = run.local;
                if let Err(error) = self.join(registry, outcome, local, stage) {
                    // Timers run behind the batch's messages: the consumer has taken all of them.
                    let next = Position(through.0 + 1);
                    self.stop(registry, consumer, next, &error);
                    self.timers.set(name.clone(), timer);
                    self.timers.park(&name);
                }
            }
            Delivery::Input(Input::Commands(requests, reply)) => {
                let outcome = self.run_requests(&mut run, requests);
                let local = run.local;
                let outcome = match outcome {
                    Ok(receipts) => self.join(registry, Ok(()), local, stage).map(|()| receipts).map_err(Into::into),
                    Err(error) => {
                        self.forget(&local);
                        Err(error)
                    }
                };
                pending.push(Pending { reply, outcome });
            }
            Delivery::Input(Input::Answer { call, command, cause }) => {
                if !self.calls.contains(&call.name) {
                    return;
                }
                // Nobody would send it again if the commit failed.
                let answer = Input::Answer { call: call.clone(), command: command.clone(), cause: cause.clone() };
                self.unsettled.push(answer);
                let outcome = self.run_answer(&mut run, &call, command, &cause);
                let local = run.local;
                match self.join(registry, outcome, local, stage) {
                    Ok(()) => _ = self.calls.remove(&call.name),
                    Err(error) => {
                        tracing::error!(%call, %error, "a call's answer could not be taken; the call stays open")
                    }
                }
            }
            Delivery::Input(Input::Attempted { call, value }) => {
                if self.calls.contains(&call.name) {
                    stage.cell(call, Some(value));
                }
            }
            Delivery::Input(Input::Rest(reply)) => self.resting.push(reply),
        }
    }

    fn catches_up(&self, consumer: ConsumerId) -> bool {
        self.consumers.apart.get(&consumer).is_some_and(|apart| apart.stopped.is_none())
    }

    fn stop(&mut self, registry: &Registry, consumer: ConsumerId, at: Position, error: &HandlerError) {
        let name = &registry.consumer(consumer).name;
        tracing::error!(consumer = name, position = at.0, %error, "handler failed: its consumer stops here, the others go on");
        self.consumers.stop(consumer, at, error.to_string());
    }

    /// Puts a delivery's changes on the stage, or drops the states it touched.
    fn join(
        &mut self,
        registry: &Registry,
        outcome: Result<(), HandlerError>,
        local: Local,
        stage: &mut Stage,
    ) -> Result<(), HandlerError> {
        let outcome = outcome.and_then(|()| fits(registry, &local, self.limits.delivery_bytes()));
        if let Err(error) = outcome {
            self.forget(&local);
            return Err(error);
        }
        // Cells first: a timer that fires deletes its cell, and what it causes may set it again.
        for (key, value) in local.cells {
            if key.kind == CellKind::Call && value.is_some() {
                self.calls.insert(key.name.clone());
            }
            stage.cell(key, value);
        }
        for (name, timer) in local.timers {
            match timer {
                Some(timer) => {
                    let value = timer.encode().map_err(HandlerError::failed)?;
                    stage.cell(Timers::cell(&name), Some(value));
                    self.timers.set(name, timer);
                }
                None => {
                    if self.timers.remove(&name) {
                        stage.cell(Timers::cell(&name), None);
                    }
                }
            }
        }
        for append in local.appends {
            stage.append(append);
        }
        Ok(())
    }

    fn forget(&mut self, local: &Local) {
        for stream in &local.touched {
            self.states.remove(stream);
        }
    }

    fn run_message(&mut self, run: &mut Run<'_>, id: ConsumerId, stored: &Stored) -> Result<(), HandlerError> {
        let envelope = stored.envelope();
        if envelope.depth >= MAX_DEPTH {
            let problem = format!("the chain of causes is {} messages long: it looks like a loop", envelope.depth);
            return Err(HandlerError::Failed(problem));
        }
        let origin = Origin::of(envelope);
        let service = run.registry.service(id);
        match (envelope.kind, run.registry.consumer(id).handler) {
            (Kind::Command, Handler::Decider(at)) => {
                let addressed = guard(|| service.deciders[at].address(&stored.message))?;
                let decided = self.decide(run, id, addressed, &origin)?;
                self.note_rejection(run, id, decided, stored.type_name(), stored.stream.as_str(), &origin)
            }
            (Kind::Command, Handler::Folding(_)) => {
                self.answer(run, id, stored, stored.stream.as_str(), stored.stream.key(), &origin)
            }
            (Kind::Event, Handler::Folding(at)) => {
                let folding = &service.foldings[at];
                let Some(state) = self.folds.states.get_mut(&id) else { return Ok(()) };
                let mut fx = Effects::default();
                guard(|| {
                    folding.fold(&mut **state, stored)?;
                    folding.react(&**state, stored, &mut fx)
                })?;
                self.effects(run, id, stored.stream.key(), fx.finish()?, &origin)
            }
            (Kind::Event, Handler::Reaction(at)) => {
                let mut fx = Effects::default();
                guard(|| service.reactions[at].run(stored, &mut fx))?;
                self.effects(run, id, stored.stream.key(), fx.finish()?, &origin)
            }
            (Kind::Event, Handler::Saga(at)) => {
                let stream = service.sagas[at].instance_of(stored)?;
                self.saga(run, id, stream, SagaInput::Event(stored), &origin)
            }
            (Kind::Rejection, Handler::Saga(_)) => {
                let rejected: Rejected = serde_json::from_slice(&stored.message.data).map_err(HandlerError::failed)?;
                let input = SagaInput::Rejection { command: &rejected.command, refused: &rejected.refused };
                self.saga(run, id, StreamId::parse(&rejected.sender)?, input, &origin)
            }
            _ => Ok(()),
        }
    }

    fn run_timer(&mut self, run: &mut Run<'_>, id: ConsumerId, name: &str, timer: &Timer) -> Result<(), HandlerError> {
        // A timer is a fresh start: what comes of it is no deeper than what an input causes.
        // The command itself is not stored: what follows from it names as its cause the message that set the timer.
        let set_by = timer.command.envelope.causation_id.clone().unwrap_or_else(|| timer.command.envelope.id.clone());
        let origin = Origin { id: set_by, at: timer.due, depth: 0, ..Origin::of(&timer.command.envelope) };
        // A key may hold any printable character; a category holds no hyphen.
        let category = name.split('-').next().unwrap_or_default();
        let sender = StreamId::new(category, &timer.command.envelope.partition_key)?;
        match run.registry.consumer(id).handler {
            Handler::Saga(_) => {
                let stored = unplaced(sender.clone(), timer.command.clone());
                self.saga(run, id, sender, SagaInput::Expired(&stored), &origin)
            }
            _ => self.run_command(run, id, &timer.command, sender.as_str(), &origin),
        }
    }

    fn run_answer(
        &mut self,
        run: &mut Run<'_>,
        call: &CellKey,
        command: Draft,
        cause: &Message,
    ) -> Result<(), HandlerError> {
        let Some(id) = run.registry.addressee(&command.type_name) else {
            return Err(HandlerError::Failed(format!("no service answers the command `{}`", command.type_name)));
        };
        let at = self.clock.stamp(cause.envelope.timestamp);
        let origin = Origin { at, ..Origin::of(&cause.envelope) };
        let key = cause.envelope.partition_key.clone();
        let message = self.message(Kind::Command, command, &origin, &run.registry.service(id).source, &key);
        run.local.cells.push((call.clone(), None));
        // The answer itself is not stored: what follows from it names the call as its cause.
        self.run_command(run, id, &message, "", &origin)
    }

    /// A command that stands in no stream: a timer's, or a call's answer.
    fn run_command(
        &mut self,
        run: &mut Run<'_>,
        id: ConsumerId,
        command: &Message,
        sender: &str,
        origin: &Origin,
    ) -> Result<(), HandlerError> {
        match run.registry.consumer(id).handler {
            Handler::Decider(at) => {
                let decider = &run.registry.service(id).deciders[at];
                let addressed = guard(|| decider.address(command))?;
                let decided = self.decide(run, id, addressed, origin)?;
                self.note_rejection(run, id, decided, &command.envelope.type_name, sender, origin)
            }
            Handler::Folding(_) => {
                let key = command.envelope.partition_key.clone();
                let stream = StreamId::new(run.registry.category(id), &key)?;
                self.answer(run, id, &unplaced(stream, command.clone()), sender, &key, origin)
            }
            Handler::Saga(_) | Handler::Reaction(_) => Ok(()),
        }
    }

    fn run_requests(&mut self, run: &mut Run<'_>, requests: Vec<Request>) -> Result<Vec<Receipt>, ExecuteError> {
        let mut receipts = Vec::with_capacity(requests.len());
        for request in requests {
            let type_name = request.draft.type_name.clone();
            let no_handler = || ExecuteError::NoHandler(type_name.to_string());
            let id = run.registry.addressee(&type_name).ok_or_else(no_handler)?;
            let Handler::Decider(at) = run.registry.consumer(id).handler else { return Err(no_handler()) };
            let now = request.at.unwrap_or_else(|| self.clock.stamp(self.clock.mark()));
            let message_id = request.id.unwrap_or_else(|| self.ids.next(now));
            let origin = Origin {
                correlation_id: request.correlation_id.unwrap_or_else(|| message_id.clone()),
                id: message_id,
                at: now,
                depth: 0,
                user_id: request.user_id,
                traceparent: request.traceparent,
                digest: Some(request.digest.unwrap_or_else(|| digest(&type_name, &request.draft.data))),
            };
            let service = run.registry.service(id);
            let message =
                self.message_with(Kind::Command, request.draft, &origin, &service.source, "", origin.id.clone());
            let addressed = guard(|| service.deciders[at].address(&message))?;
            let repeated = self.repeated(run, id, &addressed.stream, &origin)?;
            let receipt = match repeated {
                Some(receipt) => receipt,
                None => match self.decide(run, id, addressed, &origin)? {
                    Decided::Accepted(receipt) => receipt,
                    Decided::Refused { refused, .. } => return Err(ExecuteError::Rejected(refused)),
                },
            };
            receipts.push(receipt);
        }
        Ok(receipts)
    }

    fn saga(
        &mut self,
        run: &mut Run<'_>,
        id: ConsumerId,
        stream: StreamId,
        input: SagaInput<'_>,
        origin: &Origin,
    ) -> Result<(), HandlerError> {
        let service = run.registry.service(id);
        let Handler::Saga(at) = run.registry.consumer(id).handler else { return Ok(()) };
        let saga = &service.sagas[at];
        let model = Model::Saga(&**saga);
        let mut entry = self.load(run, &stream, &model)?;
        let mut own = |draft: Draft| -> Result<Result<(), Refused>, HandlerError> {
            let owner = run.registry.addressee(&draft.type_name);
            let owner =
                owner.filter(|owner| run.registry.consumer(*owner).service == run.registry.consumer(id).service);
            let Some(owner) = owner else {
                let problem = format!("`{}` is no command of the saga's own service", draft.type_name);
                return Err(HandlerError::Failed(problem));
            };
            let Handler::Decider(at) = run.registry.consumer(owner).handler else {
                return Err(HandlerError::Failed(format!("`{}` is not answered by a decider", draft.type_name)));
            };
            let message = self.message(Kind::Command, draft, origin, &service.source, stream.key());
            let addressed = service.deciders[at].address(&message)?;
            match self.decide(run, owner, addressed, origin)? {
                Decided::Accepted(_) => Ok(Ok(())),
                Decided::Refused { refused, .. } => Ok(Err(refused)),
            }
        };
        let Transition { events, effects } = guard(|| saga.run(&mut *entry.state, input, &mut own))?;
        let mut messages: Vec<Message> = Vec::with_capacity(events.len() + 1);
        for draft in events {
            if sabotage::is("undo-not-recorded") && draft.type_name.ends_with(".undo_sent") {
                continue;
            }
            messages.push(self.message(Kind::Event, draft, origin, &service.source, stream.key()));
        }
        for effect in effects {
            match effect {
                Effect::Send(draft) => {
                    addressable(run.registry, &draft)?;
                    messages.push(self.message(Kind::Command, draft, origin, &service.source, stream.key()));
                }
                Effect::After { name, delay, command } => {
                    self.after(run, &stream, &service.source, &name, delay, command, origin)?
                }
                Effect::Cancel(name) => run.local.timers.push((timer_name(&stream, &name), None)),
                Effect::Emit(..) | Effect::Call { .. } => {
                    return Err(HandlerError::failed("a saga only sends commands and sets timers"));
                }
            }
        }
        if !messages.is_empty() {
            let expected = ExpectedVersion::Exact(entry.version);
            entry.appended(&messages);
            run.local.touched.push(stream.clone());
            let append = Append { stream: stream.clone(), expected, writer: service.name.clone(), messages };
            run.local.appends.push(append);
        }
        self.states.put(stream, entry, &model);
        Ok(())
    }
}
