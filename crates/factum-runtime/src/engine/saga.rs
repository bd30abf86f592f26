//! Running a saga: an input on its instance, its own aggregate in the same commit, its commands and timers.

use factum_core::{
    commit::Append,
    envelope::{Draft, Kind, Message},
    error::HandlerError,
    reaction::Effect,
    rejection::Refused,
    saga::{Input, Transition},
    stream::{ExpectedVersion, StreamId},
};

use super::{
    decide::Decided,
    effects::addressable,
    failure::{Fault, guard},
    origin::Origin,
    run::Run,
    states::Model,
};
use crate::{
    registry::{ConsumerId, Handler},
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
        let model = Model::Saga(&**saga);
        let mut entry = self.load(&stream, &model)?;
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
        let Transition { events, effects } = match (ran, store) {
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
                    addressable(self.registry, &draft)?;
                    messages.push(self.message(Kind::Command, draft, origin, &service.source, stream.key()));
                }
                Effect::After { name, delay, command } => {
                    self.after(&stream, &service.source, (&name, delay, command), origin)?
                }
                Effect::Cancel(name) => self.local.timers.push((full_name(&stream, &name), None)),
                Effect::Emit(..) | Effect::Call { .. } => {
                    return Err(HandlerError::failed("a saga only sends commands and sets timers").into());
                }
            }
        }
        if !messages.is_empty() {
            let expected = ExpectedVersion::Exact(entry.version);
            entry.appended(&messages);
            self.local.touched.push(stream.clone());
            let append = Append { stream: stream.clone(), expected, writer: service.name.clone(), messages };
            self.local.appends.push(append);
        }
        self.work.states.put(stream, entry, &model);
        Ok(())
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
            Decided::Accepted(_) => Ok(Ok(())),
            Decided::Refused { refused, .. } => Ok(Err(refused)),
        }
    }
}
