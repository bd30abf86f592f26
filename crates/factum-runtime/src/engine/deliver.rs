//! Running one delivery: a handler on its state, its effects into messages, its failure into a stop.

use std::{sync::Arc, time::Duration};

use factum_core::{
    cell::{CellKey, CellKind},
    commit::{Append, MAX_MESSAGE_BYTES},
    decider::{Addressed, Context, Decision},
    envelope::{Draft, Envelope, Kind, Message, Stored, digest},
    error::HandlerError,
    id::{MessageId, Name},
    reaction::{Effect, Effects, unplaced},
    rejection::Refused,
    saga::{Input as SagaInput, Transition},
    stream::{ExpectedVersion, Position, StreamId, StreamVersion},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    Engine, Pending,
    batch::{Delivery, Rejected},
    guard,
    stage::{Local, Stage},
    states::{Entry, Model},
};
use crate::{
    inbox::{ExecuteError, Input, Receipt, Request},
    registry::{ConsumerId, Handler, Registry},
    timers::{Timer, Timers},
};

/// Steps along the chain of causes after which something is taken for a loop.
const MAX_DEPTH: u16 = 64;

/// What caused the messages that follow.
struct Origin {
    id: MessageId,
    correlation_id: MessageId,
    at: Timestamp,
    depth: u16,
    user_id: Option<Arc<str>>,
    traceparent: Option<Arc<str>>,
    /// Of a command from outside.
    digest: Option<u64>,
}

impl Origin {
    fn of(envelope: &Envelope) -> Self {
        Self {
            id: envelope.id.clone(),
            correlation_id: envelope.correlation_id.clone(),
            at: envelope.timestamp,
            depth: envelope.depth,
            user_id: envelope.user_id.clone(),
            traceparent: envelope.traceparent.clone(),
            digest: None,
        }
    }

    fn context(&self, service: &Name) -> Context {
        Context {
            now: self.at,
            message_id: self.id.clone(),
            correlation_id: self.correlation_id.clone(),
            service: service.clone(),
        }
    }
}

/// What a decider made of a command.
enum Decided {
    Accepted(Receipt),
    Refused { stream: StreamId, version: StreamVersion, refused: Refused },
}

/// The batch so far, and what this delivery adds to it.
struct Run<'a> {
    registry: &'a Registry,
    stage: &'a Stage,
    local: Local,
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

    /// The first receipt of a command from outside that was accepted before.
    fn repeated(
        &mut self,
        run: &Run<'_>,
        id: ConsumerId,
        stream: &StreamId,
        origin: &Origin,
    ) -> Result<Option<Receipt>, ExecuteError> {
        let model = model(run.registry, id)?;
        let entry = self.load(run, stream, &model)?;
        let found = entry.cause(&origin.id).cloned();
        self.states.put(stream.clone(), entry, &model);
        match found {
            None => Ok(None),
            Some(cause) if Some(cause.digest) != origin.digest => Err(ExecuteError::IdReused(cause.id)),
            Some(cause) => Ok(Some(Receipt {
                stream: stream.clone(),
                version: cause.version,
                position: cause.position,
                repeated: true,
            })),
        }
    }

    fn decide(
        &mut self,
        run: &mut Run<'_>,
        id: ConsumerId,
        addressed: Addressed,
        origin: &Origin,
    ) -> Result<Decided, HandlerError> {
        let service = run.registry.service(id);
        let Handler::Decider(at) = run.registry.consumer(id).handler else {
            return Err(HandlerError::failed("only a decider decides"));
        };
        let decider = &service.deciders[at];
        let model = Model::Decider(&**decider);
        let stream = addressed.stream.clone();
        let mut entry = self.load(run, &stream, &model)?;
        let context = origin.context(&service.name);
        // The entry is out of the cache: if this fails, the state is gone and will be folded again.
        let decision = guard(|| decider.decide(&mut *entry.state, addressed, &context))?;
        let drafts = match decision {
            Decision::Accepted(drafts) => drafts,
            Decision::Refused(refused) => {
                let version = entry.version;
                self.states.put(stream.clone(), entry, &model);
                return Ok(Decided::Refused { stream, version, refused });
            }
        };
        if !drafts.is_empty() {
            let expected = ExpectedVersion::Exact(entry.version);
            let messages: Vec<Message> = drafts
                .into_iter()
                .map(|draft| self.message(Kind::Event, draft, origin, &service.source, stream.key()))
                .collect();
            entry.version.0 += messages.len() as u64;
            if let Some(digest) = origin.digest {
                entry.remember(&origin.id, digest, Position::START);
            }
            let append = Append { stream: stream.clone(), expected, writer: service.name.clone(), messages };
            run.local.appends.push(append);
            run.local.touched.push(stream.clone());
        }
        let version = entry.version;
        self.states.put(stream.clone(), entry, &model);
        Ok(Decided::Accepted(Receipt { stream, version, position: Position::START, repeated: false }))
    }

    /// A no to a command from the log is a message in the addressed stream.
    fn note_rejection(
        &mut self,
        run: &mut Run<'_>,
        id: ConsumerId,
        decided: Decided,
        command: &str,
        sender: &str,
        origin: &Origin,
    ) -> Result<(), HandlerError> {
        let Decided::Refused { stream, version, refused } = decided else { return Ok(()) };
        self.reject(run, id, (stream, ExpectedVersion::Exact(version)), command, sender, refused, origin)
    }

    #[expect(clippy::too_many_arguments, reason = "one rejection has this many facts, and one caller each")]
    fn reject(
        &mut self,
        run: &mut Run<'_>,
        id: ConsumerId,
        (stream, expected): (StreamId, ExpectedVersion),
        command: &str,
        sender: &str,
        refused: Refused,
        origin: &Origin,
    ) -> Result<(), HandlerError> {
        let service = run.registry.service(id);
        tracing::info!(command, sender, code = refused.code, correlation = %origin.correlation_id, "command rejected");
        let rejected = Rejected { command: command.to_owned(), sender: sender.to_owned(), refused };
        let draft = Draft::named(Name::Shared(command.into()), &rejected)?;
        let message = self.message(Kind::Rejection, draft, origin, &service.source, stream.key());
        if let Ok(model) = model(run.registry, id)
            && let Some(mut entry) = self.states.remove(&stream)
        {
            entry.version.0 += 1;
            self.states.put(stream.clone(), entry, &model);
        }
        run.local.touched.push(stream.clone());
        run.local.appends.push(Append { stream, expected, writer: service.name.clone(), messages: vec![message] });
        Ok(())
    }

    fn answer(
        &mut self,
        run: &mut Run<'_>,
        id: ConsumerId,
        command: &Stored,
        sender: &str,
        key: &str,
        origin: &Origin,
    ) -> Result<(), HandlerError> {
        let service = run.registry.service(id);
        let Handler::Folding(at) = run.registry.consumer(id).handler else { return Ok(()) };
        let Some(state) = self.folds.states.get(&id) else { return Ok(()) };
        let mut fx = Effects::default();
        let context = origin.context(&service.name);
        match guard(|| service.foldings[at].answer(&**state, command, &context, &mut fx))? {
            Ok(()) => self.effects(run, id, key, fx.finish()?, origin),
            Err(refused) => {
                let stream = StreamId::new(run.registry.category(id), key)?;
                self.reject(run, id, (stream, ExpectedVersion::Any), command.type_name(), sender, refused, origin)
            }
        }
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
            entry.version.0 += messages.len() as u64;
            run.local.touched.push(stream.clone());
            let append = Append { stream: stream.clone(), expected, writer: service.name.clone(), messages };
            run.local.appends.push(append);
        }
        self.states.put(stream, entry, &model);
        Ok(())
    }

    fn effects(
        &mut self,
        run: &mut Run<'_>,
        id: ConsumerId,
        key: &str,
        effects: Vec<Effect>,
        origin: &Origin,
    ) -> Result<(), HandlerError> {
        if effects.is_empty() {
            return Ok(());
        }
        let service = run.registry.service(id);
        let stream = StreamId::new(run.registry.category(id), key)?;
        let append = |stream: StreamId, message: Message| Append {
            stream,
            expected: ExpectedVersion::Any,
            writer: service.name.clone(),
            messages: vec![message],
        };
        for effect in effects {
            match effect {
                Effect::Send(draft) => {
                    addressable(run.registry, &draft)?;
                    let message = self.message(Kind::Command, draft, origin, &service.source, key);
                    run.local.appends.push(append(stream.clone(), message));
                }
                Effect::Emit(target, draft) => {
                    let message = self.message(Kind::Event, draft, origin, &service.source, target.key());
                    // If it is an aggregate's stream, the cached state does not know this event.
                    self.states.remove(&target);
                    run.local.appends.push(append(target, message));
                }
                Effect::After { name, delay, command } => {
                    addressable(run.registry, &command)?;
                    self.after(run, &stream, &service.source, &name, delay, command, origin)?;
                }
                Effect::Cancel(name) => run.local.timers.push((timer_name(&stream, &name), None)),
                Effect::Call { name, mut request } => {
                    if !service.calls.iter().any(|call| call.name == name) {
                        let problem = format!("service {} has no call `{name}`: add `.call(…)`", service.name);
                        return Err(HandlerError::Failed(problem));
                    }
                    request.type_name = Name::Shared(format!("{}.{name}", service.name).into());
                    let message = self.message(Kind::Call, request, origin, &service.source, key);
                    let cell = CellKey::new(CellKind::Call, message.envelope.id.to_string());
                    let value = crate::outward::OpenCall::new(&stream).encode()?;
                    run.local.cells.push((cell, Some(value)));
                    run.local.appends.push(append(stream.clone(), message));
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "a timer is made of all of these")]
    fn after(
        &mut self,
        run: &mut Run<'_>,
        stream: &StreamId,
        source: &Name,
        name: &str,
        delay: Duration,
        command: Draft,
        origin: &Origin,
    ) -> Result<(), HandlerError> {
        let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
        let due = origin.at.saturating_add(delay).map_err(HandlerError::failed)?;
        let command = self.message(Kind::Command, command, origin, source, stream.key());
        run.local.timers.push((timer_name(stream, name), Some(Timer { due, command })));
        Ok(())
    }

    /// A stream's state: from the cache, else folded from the log and from what this batch has staged.
    fn load(&mut self, run: &Run<'_>, stream: &StreamId, model: &Model<'_>) -> Result<Entry, HandlerError> {
        if let Some(entry) = self.states.remove(stream) {
            return Ok(entry);
        }
        let mut entry = Entry::blank(model);
        let stored = self.reader.stream(stream, StreamVersion(0)).map_err(HandlerError::failed)?;
        for message in &stored {
            guard(|| entry.take(model, message))?;
        }
        for append in run.stage.of_stream(stream) {
            for message in &append.messages {
                let version = StreamVersion(entry.version.0 + 1);
                let staged =
                    Stored { position: Position::START, stream: stream.clone(), version, message: message.clone() };
                guard(|| entry.take(model, &staged))?;
            }
        }
        Ok(entry)
    }

    fn message(&mut self, kind: Kind, draft: Draft, origin: &Origin, source: &Name, key: &str) -> Message {
        let id = self.ids.next(origin.at);
        self.message_with(kind, draft, origin, source, key, id)
    }

    fn message_with(
        &self,
        kind: Kind,
        draft: Draft,
        origin: &Origin,
        source: &Name,
        key: &str,
        id: MessageId,
    ) -> Message {
        let envelope = Envelope {
            id,
            kind,
            type_name: draft.type_name,
            source: source.clone(),
            data_version: draft.version,
            timestamp: origin.at,
            correlation_id: origin.correlation_id.clone(),
            causation_id: Some(origin.id.clone()),
            partition_key: Arc::from(key),
            user_id: origin.user_id.clone(),
            traceparent: origin.traceparent.clone(),
            metadata: None,
            depth: origin.depth.saturating_add(1),
            digest: origin.digest,
        };
        Message { envelope, data: draft.data }
    }
}

fn model(registry: &Registry, id: ConsumerId) -> Result<Model<'_>, HandlerError> {
    let service = registry.service(id);
    match registry.consumer(id).handler {
        Handler::Decider(at) => Ok(Model::Decider(&*service.deciders[at])),
        Handler::Saga(at) => Ok(Model::Saga(&*service.sagas[at])),
        Handler::Folding(_) | Handler::Reaction(_) => Err(HandlerError::failed("only deciders and sagas fold streams")),
    }
}

fn timer_name(stream: &StreamId, name: &str) -> String {
    format!("{stream}/{name}")
}

fn addressable(registry: &Registry, draft: &Draft) -> Result<(), HandlerError> {
    match registry.addressee(&draft.type_name) {
        Some(_) => Ok(()),
        None => Err(HandlerError::Failed(format!(
            "no service answers the command `{}`: add one that does",
            draft.type_name
        ))),
    }
}

/// What the rules of the commit would refuse is the handler's failure, not the batch's.
fn fits(registry: &Registry, local: &Local, limit: usize) -> Result<(), HandlerError> {
    let mut bytes = 0;
    for append in &local.appends {
        if let Err(owner) = registry.owners.allows(append.stream.category(), &append.writer) {
            let problem = format!("stream {} belongs to {owner}, not to {}", append.stream, append.writer);
            return Err(HandlerError::Failed(problem));
        }
        for message in &append.messages {
            bytes += message.bytes();
            if message.bytes() > MAX_MESSAGE_BYTES {
                let (name, size) = (&message.envelope.type_name, message.bytes());
                let problem = format!("a message of type {name} has {size} bytes; {MAX_MESSAGE_BYTES} are allowed");
                return Err(HandlerError::Failed(problem));
            }
        }
    }
    bytes += local.cells.iter().map(|(key, value)| key.name.len() + value.as_ref().map_or(0, Vec::len)).sum::<usize>();
    for (name, timer) in &local.timers {
        bytes += name.len() + timer.as_ref().map_or(0, |timer| timer.command.bytes());
    }
    if bytes > limit {
        return Err(HandlerError::Failed(format!("one delivery makes {bytes} bytes of messages; {limit} are allowed")));
    }
    Ok(())
}
