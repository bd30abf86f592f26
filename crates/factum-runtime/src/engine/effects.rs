//! Effects into messages, timers and calls.

use std::time::Duration;

use factum_core::{
    cell::{CellKey, CellKind},
    commit::{Append, MAX_MESSAGE_BYTES},
    envelope::{Draft, Kind, Message},
    error::HandlerError,
    id::Name,
    reaction::Effect,
    stream::{ExpectedVersion, StreamId},
};
use jiff::SignedDuration;

use super::{Engine, deliver::Run, origin::Origin, stage::Local};
use crate::{
    registry::{ConsumerId, Registry},
    timers::Timer,
};

impl Engine {
    pub(super) fn effects(
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
    pub(super) fn after(
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
}

pub(super) fn timer_name(stream: &StreamId, name: &str) -> String {
    format!("{stream}/{name}")
}

pub(super) fn addressable(registry: &Registry, draft: &Draft) -> Result<(), HandlerError> {
    match registry.addressee(&draft.type_name) {
        Some(_) => Ok(()),
        None => Err(HandlerError::Failed(format!(
            "no service answers the command `{}`: add one that does",
            draft.type_name
        ))),
    }
}

/// What the rules of the commit would refuse is the handler's failure, not the batch's.
pub(super) fn fits(registry: &Registry, local: &Local, limit: usize) -> Result<(), HandlerError> {
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
