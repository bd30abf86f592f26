//! Running a saga: an input on its instance, its own aggregate in the same commit, its commands and timers.

use std::sync::Arc;

use factum_core::{
    Timestamp,
    cell::{CellKey, CellKind},
    commit::Append,
    envelope::{Draft, Kind, Message, Stored},
    error::{HandlerError, StoreError},
    id::Name,
    letter::{Key, Why, short},
    reaction::Effect,
    rejection::Refused,
    saga::{Act, Asks, AttentionNeeded, Input, Standing, Transition, Wanted},
    stream::{ExpectedVersion, StreamId, StreamVersion},
};

use super::{
    act::{MAX_WHY_BYTES, said, shown},
    decide::Decided,
    failure::{Fault, guard},
    instances::Open,
    origin::Origin,
    run::Run,
    states::Model,
};
use crate::{
    acts::{ActError, By, Outcome, Preview},
    outward::OpenCall,
    registry::{ConsumerId, Handler, PLATFORM},
    sabotage,
    timers::full_name,
};

impl Run<'_> {
    pub(super) fn saga(
        &mut self,
        id: ConsumerId,
        stream: StreamId,
        input: Input<'_>,
        origin: &Origin,
    ) -> Result<(), Fault> {
        let service = self.registry.service(id);
        let Handler::Saga(at) = self.registry.consumer(id).handler else { return Ok(()) };
        let saga = &service.sagas[at];
        let model = Model::Saga(saga);
        let mut entry = self.load(&stream, &model)?;
        if let Some(version) = saga.lacks(&*entry.state) {
            self.work.states.put(stream, entry, &model);
            return Err(Fault::Version(version));
        }
        let before = saga.standing(&*entry.state);
        // A table is finite: what an instance sends is as deep as its start, however many steps it has.
        let origin = &Origin { depth: entry.depth.unwrap_or(origin.depth), ..origin.clone() };
        // What the store says while the aggregate is loaded must not come out as the handler's failure.
        let mut store = None;
        let mut own = |draft: Draft| -> Result<Result<(), Refused>, HandlerError> {
            self.decide_on_own(id, draft, &stream, origin).map_err(|fault| match fault {
                Fault::Handler(error) => error,
                fault => {
                    let text = format!("{fault:?}");
                    store = Some(fault);
                    HandlerError::Failed(text)
                }
            })
        };
        let ran = guard(|| saga.run(&mut *entry.state, input, &mut own));
        let Transition { events, effects, attention, asks, withdrawn } = match (ran, store) {
            (Err(_), Some(fault)) => return Err(fault),
            (ran, _) => ran?,
        };
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
                    messages.push(self.message(Kind::Command, draft, origin, &service.source, stream.key()));
                }
                Effect::After { name, delay, command } => {
                    self.after(&stream, &service.source, (&name, delay, command), origin)?
                }
                Effect::Cancel(name) => self.local.timers.push((full_name(&stream, &name), None)),
                Effect::Emit(..) | Effect::At { .. } | Effect::Call { .. } => {
                    return Err(HandlerError::failed("a saga only sends commands and sets timers").into());
                }
            }
        }
        for call in withdrawn {
            self.local.cells.push((CellKey::new(CellKind::Call, call.to_string()), None));
        }
        let mut asked = Vec::with_capacity(asks.len());
        for Asks { name, mut request, patient, undoes, key } in asks {
            request.type_name = Name::Shared(format!("{}.{name}", service.name).into());
            let message = self.message(Kind::Call, request, origin, &service.source, stream.key());
            let id = message.envelope.id.clone();
            let key = key.map(|key| key.to_string());
            let call = OpenCall { patient, undoes, key, ..OpenCall::new(&stream) };
            self.local.cells.push((CellKey::new(CellKind::Call, id.to_string()), Some(call.encode()?)));
            messages.push(message);
            asked.push((name, id));
        }
        if !messages.is_empty() {
            let expected = ExpectedVersion::Exact(entry.version);
            entry.appended(&messages);
            self.local.touched.push(stream.clone());
            let append = Append { stream: stream.clone(), expected, writer: service.name.clone(), messages };
            self.local.appends.push(append);
        }
        for (name, id) in asked {
            saga.asked(&mut *entry.state, name, &id)?;
        }
        let after = saga.standing(&*entry.state);
        if before != after {
            self.stands(&stream, after, origin.at)?;
        }
        if let Some(attention) = attention {
            self.call_somebody(&stream, attention, origin)?;
        }
        self.work.states.put(stream, entry, &model);
        Ok(())
    }

    /// Keeps how an instance stands, as long as it is open.
    fn stands(&mut self, stream: &StreamId, standing: Option<Standing>, at: Timestamp) -> Result<(), Fault> {
        let since = self.work.instances.get(stream.as_str()).map_or(at, |open| open.since);
        let value = standing.map(|standing| Open { standing, since }.encode()).transpose()?;
        self.local.cells.push((CellKey::new(CellKind::Saga, stream.as_str()), value));
        Ok(())
    }

    /// An instance does not go on by itself: the log's reader hears it, and whoever reacts to it.
    fn call_somebody(&mut self, stream: &StreamId, attention: AttentionNeeded, origin: &Origin) -> Result<(), Fault> {
        let attention = AttentionNeeded { saga_id: stream.to_string(), ..attention };
        let AttentionNeeded { saga_id, version, step, reason, .. } = &attention;
        let correlation = &origin.correlation_id;
        tracing::error!(saga = saga_id, version, step, reason, %correlation, "a saga needs a person");
        if sabotage::is("attention-reaches-nobody") {
            return Ok(());
        }
        let (draft, source) = (Draft::of(&attention).map_err(HandlerError::from)?, Name::Static(PLATFORM));
        let messages = vec![self.message(Kind::Event, draft, origin, &source, stream.key())];
        let target = StreamId::new("saga", stream.key())?;
        self.local.appends.push(Append { stream: target, expected: ExpectedVersion::Any, writer: source, messages });
        Ok(())
    }

    /// What a person wants of an instance.
    pub(super) fn act_on_instance(
        &mut self,
        instance: &str,
        wanted: &Wanted,
        by: &By,
        dry: bool,
    ) -> Result<Result<Outcome, ActError>, StoreError> {
        let unknown = || Ok(Err(ActError::NoInstance(instance.to_owned())));
        let Ok(stream) = StreamId::parse(instance) else { return unknown() };
        let Some(id) = self.registry.saga(stream.category()) else { return unknown() };
        let Some(start) = self.start_of(&stream)? else { return unknown() };
        let (correlation_id, tenant) = (start.envelope().correlation_id.clone(), start.envelope().tenant.clone());
        if let Wanted::Resolve(_) | Wanted::Undo = wanted
            && !dry
            && by.why.trim().is_empty()
        {
            return Ok(Err(ActError::NoReason));
        }
        let key = Key::Ordered(stream.key().to_owned());
        let held = self.work.holds.get(id, &key).map(|held| held.why.clone());
        if let Some(Why::Letter(letter)) = held {
            let problem = format!("it waits behind the letter {letter}: end that first");
            return Ok(Err(ActError::NotNow(problem)));
        }
        let mark = self.work.clock.stamp(self.work.clock.mark());
        let origin = Origin {
            correlation_id,
            id: self.work.ids.next(mark),
            at: mark,
            depth: 0,
            user_id: Some(Arc::from(by.who.as_str())),
            tenant,
            traceparent: None,
            metadata: None,
            digest: None,
            repeat_key: None,
        };
        let act = Act { what: wanted.clone(), by: by.who.clone(), why: short(&by.why, MAX_WHY_BYTES) };
        let done = self.saga(id, stream, Input::Act(&act), &origin);
        let followed = shown(&self.local, &self.work.timers);
        if dry {
            let tried = done.and_then(|()| self.fits());
            self.forget();
            return match tried {
                Ok(()) => Ok(Ok(Outcome::Tried(Preview { effects: followed, failure: None }))),
                Err(Fault::Store(error)) => Err(error),
                Err(fault) => Ok(Ok(Outcome::Tried(Preview { effects: Vec::new(), failure: Some(said(&fault)) }))),
            };
        }
        match done.and_then(|()| self.join()) {
            Ok(()) => {
                if matches!(wanted, Wanted::Move(_)) {
                    // It may have waited for a program that has its version.
                    self.work.holds.release(id, &key);
                }
                self.work.look_again();
                Ok(Ok(Outcome::Done { followed }))
            }
            Err(fault) => {
                self.forget();
                match fault {
                    Fault::Store(error) => Err(error),
                    fault => Ok(Err(ActError::NotNow(said(&fault)))),
                }
            }
        }
    }

    /// How an instance began: its business transaction, and for whom it is.
    fn start_of(&self, stream: &StreamId) -> Result<Option<Stored>, StoreError> {
        Ok(self.work.stored_stream(stream, StreamVersion(0))?.into_iter().next())
    }

    /// Decides a command of the saga on an aggregate of its own service.
    fn decide_on_own(
        &mut self,
        id: ConsumerId,
        draft: Draft,
        stream: &StreamId,
        origin: &Origin,
    ) -> Result<Result<(), Refused>, Fault> {
        let service = self.registry.service(id);
        let owner = self.registry.addressee(&draft.type_name);
        let same = |owner: &ConsumerId| self.registry.consumer(*owner).service == self.registry.consumer(id).service;
        let Some(owner) = owner.filter(same) else {
            let problem = format!("`{}` is no command of the saga's own service", draft.type_name);
            return Err(HandlerError::Failed(problem).into());
        };
        let Handler::Decider(at) = self.registry.consumer(owner).handler else {
            return Err(HandlerError::Failed(format!("`{}` is not answered by a decider", draft.type_name)).into());
        };
        let message = self.message(Kind::Command, draft, origin, &service.source, stream.key());
        let addressed = guard(|| service.deciders[at].address(&message))?;
        match self.decide(owner, addressed, origin)? {
            Decided::Accepted(_) | Decided::Unchanged(_) => Ok(Ok(())),
            Decided::Refused { refused, .. } => Ok(Err(refused)),
        }
    }
}
