//! Effects into messages, timers and calls.

use std::time::Duration;

use factum_core::{
    cell::{CellKey, CellKind},
    commit::Append,
    envelope::{Draft, Kind, Message},
    error::HandlerError,
    id::Name,
    reaction::Effect,
    stream::{ExpectedVersion, StreamId, StreamVersion},
};
use jiff::SignedDuration;

use super::{failure::Fault, origin::Origin, run::Run};
use crate::{
    outward::OpenCall,
    registry::{ConsumerId, Registry},
    timers::{Timer, When, full_name},
};

impl Run<'_> {
    pub(super) fn effects(
        &mut self,
        id: ConsumerId,
        key: &str,
        effects: Vec<Effect>,
        origin: &Origin,
    ) -> Result<(), Fault> {
        if effects.is_empty() {
            return Ok(());
        }
        let service = self.registry.service(id);
        let stream = StreamId::new(self.registry.category(id), key)?;
        let append = |stream: StreamId, message: Message| Append {
            stream,
            expected: ExpectedVersion::Any,
            writer: service.name.clone(),
            messages: vec![message],
        };
        let mut calls = 0;
        for effect in effects {
            match effect {
                Effect::Send(draft) => {
                    addressable(self.registry, &draft)?;
                    let message = self.message(Kind::Command, draft, origin, &service.source, key);
                    self.local.appends.push(append(stream.clone(), message));
                }
                Effect::Emit(target, draft) => {
                    let message = self.message(Kind::Event, draft, origin, &service.source, target.key());
                    // If it is an aggregate's stream, the cached state does not know this event.
                    self.work.states.remove(&target);
                    self.local.appends.push(append(target, message));
                }
                Effect::After { name, delay, command } => {
                    self.after(&stream, &service.source, (&name, delay, command), origin)?;
                }
                Effect::At { name, at, command } => {
                    let command = self.message(Kind::Command, command, origin, &service.source, stream.key());
                    self.local.timers.push((full_name(&stream, &name), Some(Timer { when: When::At(at), command })));
                }
                Effect::Cancel(name) => self.local.timers.push((full_name(&stream, &name), None)),
                Effect::Call { name, mut request, .. } => {
                    request.type_name = Name::Shared(format!("{}.{name}", service.name).into());
                    let message = self.message(Kind::Call, request, origin, &service.source, key);
                    let cell = CellKey::new(CellKind::Call, message.envelope.id.to_string());
                    let mut call = OpenCall::new(&stream);
                    if self.redelivering {
                        call.key = self.first_key(&stream, origin, calls)?;
                    }
                    calls += 1;
                    let value = call.encode()?;
                    self.local.cells.push((cell, Some(value)));
                    self.local.appends.push(append(stream.clone(), message));
                }
            }
        }
        Ok(())
    }

    /// The idempotency key of the call that this event made the first time: the other side must know it again.
    fn first_key(&self, stream: &StreamId, origin: &Origin, index: usize) -> Result<Option<String>, Fault> {
        let made = self.work.stored_stream(stream, StreamVersion(0))?;
        let mut of_event = made.iter().filter(|stored| {
            stored.envelope().kind == Kind::Call && stored.envelope().causation_id.as_ref() == Some(&origin.id)
        });
        Ok(of_event.nth(index).map(|stored| stored.envelope().id.to_string()))
    }

    pub(super) fn after(
        &mut self,
        stream: &StreamId,
        source: &Name,
        (name, delay, command): (&str, Duration, Draft),
        origin: &Origin,
    ) -> Result<(), Fault> {
        let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
        // On a live clock a delay counts from now: what is handled late must not be due already.
        let from = self.work.clock.stamp(origin.at);
        let due = from.saturating_add(delay).map_err(HandlerError::failed)?;
        let when = match self.registry.saga(stream.category()) {
            // What a saga sets are the limits of its steps.
            Some(_) => When::Running(self.work.timers.running(due)),
            None => When::At(due),
        };
        let command = self.message(Kind::Command, command, origin, source, stream.key());
        self.local.timers.push((full_name(stream, name), Some(Timer { when, command })));
        Ok(())
    }
}

fn addressable(registry: &Registry, draft: &Draft) -> Result<(), HandlerError> {
    match registry.is_answered(&draft.type_name) {
        true => Ok(()),
        false => Err(HandlerError::Failed(format!(
            "no service answers the command `{}`: add one that does",
            draft.type_name
        ))),
    }
}
