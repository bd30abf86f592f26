//! Deciding: a command on its aggregate's state, or on a folding reaction's; the no is a message too.

use factum_core::{
    commit::Append,
    decider::{Addressed, Decision},
    envelope::{Draft, Kind, Message, Stored, digest},
    error::HandlerError,
    id::{Name, check_id},
    reaction::Effects,
    rejection::Refused,
    stream::{ExpectedVersion, Position, StreamId, StreamVersion},
};

use super::{
    batch::Rejected,
    failure::{Fault, guard},
    load::model,
    origin::Origin,
    run::Run,
    states::Model,
};
use crate::{
    inbox::{ExecuteError, Receipt, Request},
    registry::{ConsumerId, Handler},
};

/// What a decider made of a command.
pub(super) enum Decided {
    Accepted(Receipt),
    Refused { stream: StreamId, version: StreamVersion, refused: Refused },
}

/// Why commands from outside were not carried out: what their caller hears, or the store.
pub(super) enum Unmet {
    Told(ExecuteError),
    Fault(Fault),
}

impl From<Fault> for Unmet {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
impl From<HandlerError> for Unmet {
    fn from(error: HandlerError) -> Self {
        Self::Fault(error.into())
    }
}

impl Run<'_> {
    /// Carries out commands from outside, together.
    pub(super) fn requests(&mut self, requests: &[Request]) -> Result<Vec<Receipt>, Unmet> {
        requests.iter().map(|request| self.request(request)).collect()
    }

    fn request(&mut self, request: &Request) -> Result<Receipt, Unmet> {
        let type_name = &request.draft.type_name;
        let no_handler = || Unmet::Told(ExecuteError::NoHandler(type_name.to_string()));
        let id = self.registry.addressee(type_name).ok_or_else(no_handler)?;
        let Handler::Decider(at) = self.registry.consumer(id).handler else { return Err(no_handler()) };
        if let Some(user) = &request.user_id {
            check_id("id of a user", user).map_err(HandlerError::from)?;
        }
        if let Some(parent) = &request.traceparent {
            check_id("traceparent", parent).map_err(HandlerError::from)?;
        }
        let work = &mut *self.work;
        let now = request.at.unwrap_or_else(|| work.clock.stamp(work.clock.mark()));
        let message_id = request.id.clone().unwrap_or_else(|| work.ids.next(now));
        let origin = Origin {
            correlation_id: request.correlation_id.clone().unwrap_or_else(|| message_id.clone()),
            id: message_id,
            at: now,
            depth: 0,
            user_id: request.user_id.clone(),
            traceparent: request.traceparent.clone(),
            digest: Some(request.digest.unwrap_or_else(|| digest(type_name, &request.draft.data))),
        };
        let service = self.registry.service(id);
        let draft = request.draft.clone();
        let message = origin.message(Kind::Command, draft, &service.source, "", origin.id.clone());
        let addressed = guard(|| service.deciders[at].address(&message))?;
        if let Some(receipt) = self.repeated(id, &addressed.stream, &origin)? {
            return Ok(receipt);
        }
        match self.decide(id, addressed, &origin)? {
            Decided::Accepted(receipt) => Ok(receipt),
            Decided::Refused { refused, .. } => Err(Unmet::Told(ExecuteError::Rejected(refused))),
        }
    }

    /// The first receipt of a command from outside that was accepted before.
    fn repeated(&mut self, id: ConsumerId, stream: &StreamId, origin: &Origin) -> Result<Option<Receipt>, Unmet> {
        if self.work.states.get(stream).is_none() {
            let model = model(self.registry, id)?;
            let entry = self.load(stream, &model)?;
            self.work.states.put(stream.clone(), entry, &model);
        }
        match self.work.states.get(stream).and_then(|entry| entry.cause(&origin.id)).cloned() {
            None => Ok(None),
            Some(cause) if Some(cause.digest) != origin.digest => Err(Unmet::Told(ExecuteError::IdReused(cause.id))),
            Some(cause) => Ok(Some(Receipt {
                stream: stream.clone(),
                version: cause.version,
                position: cause.position,
                repeated: true,
            })),
        }
    }

    pub(super) fn decide(&mut self, id: ConsumerId, addressed: Addressed, origin: &Origin) -> Result<Decided, Fault> {
        let service = self.registry.service(id);
        let Handler::Decider(at) = self.registry.consumer(id).handler else {
            return Err(HandlerError::failed("only a decider decides").into());
        };
        let decider = &service.deciders[at];
        let model = Model::Decider(&**decider);
        let stream = addressed.stream.clone();
        let mut entry = self.load(&stream, &model)?;
        let context = origin.context(&service.name);
        // The entry is out of the cache: if this fails, the state is gone and will be folded again.
        let decision = guard(|| decider.decide(&mut *entry.state, addressed, &context))?;
        let drafts = match decision {
            Decision::Accepted(drafts) => drafts,
            Decision::Refused(refused) => {
                let version = entry.version;
                self.work.states.put(stream.clone(), entry, &model);
                return Ok(Decided::Refused { stream, version, refused });
            }
        };
        if !drafts.is_empty() {
            let expected = ExpectedVersion::Exact(entry.version);
            let messages: Vec<Message> = drafts
                .into_iter()
                .map(|draft| self.message(Kind::Event, draft, origin, &service.source, stream.key()))
                .collect();
            entry.appended(&messages);
            if let Some(digest) = origin.digest {
                entry.remember(&origin.id, digest, Position::START);
            }
            let append = Append { stream: stream.clone(), expected, writer: service.name.clone(), messages };
            self.local.appends.push(append);
            self.local.touched.push(stream.clone());
        }
        let version = entry.version;
        self.work.states.put(stream.clone(), entry, &model);
        Ok(Decided::Accepted(Receipt { stream, version, position: Position::START, repeated: false }))
    }

    /// A no to a command from the log is a message in the addressed stream.
    pub(super) fn note_rejection(
        &mut self,
        id: ConsumerId,
        decided: Decided,
        command: &str,
        sender: &str,
        origin: &Origin,
    ) -> Result<(), Fault> {
        let Decided::Refused { stream, version, refused } = decided else { return Ok(()) };
        let rejected = Rejected { command: command.to_owned(), sender: sender.to_owned(), refused };
        self.reject(id, (stream, ExpectedVersion::Exact(version)), rejected, origin)
    }

    fn reject(
        &mut self,
        id: ConsumerId,
        (stream, expected): (StreamId, ExpectedVersion),
        rejected: Rejected,
        origin: &Origin,
    ) -> Result<(), Fault> {
        let service = self.registry.service(id);
        let Rejected { command, sender, refused } = &rejected;
        tracing::info!(command, sender, code = refused.code, correlation = %origin.correlation_id, "command rejected");
        let draft = Draft::named(Name::Shared(command.as_str().into()), &rejected).map_err(HandlerError::from)?;
        let message = self.message(Kind::Rejection, draft, origin, &service.source, stream.key());
        if let Ok(model) = model(self.registry, id)
            && let Some(mut entry) = self.work.states.remove(&stream)
        {
            entry.appended(std::slice::from_ref(&message));
            self.work.states.put(stream.clone(), entry, &model);
        }
        self.local.touched.push(stream.clone());
        let append = Append { stream, expected, writer: service.name.clone(), messages: vec![message] };
        self.local.appends.push(append);
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        id: ConsumerId,
        command: &Stored,
        sender: &str,
        key: &str,
        origin: &Origin,
    ) -> Result<(), Fault> {
        let service = self.registry.service(id);
        let Handler::Folding(at) = self.registry.consumer(id).handler else { return Ok(()) };
        let Some(state) = self.work.folds.states.get(&id) else {
            return Err(HandlerError::failed("its state is being made anew").into());
        };
        let mut fx = Effects::default();
        let context = origin.context(&service.name);
        match guard(|| service.foldings[at].answer(&**state, command, &context, &mut fx))? {
            Ok(()) => self.effects(id, key, fx.finish()?, origin),
            Err(refused) => {
                let stream = StreamId::new(self.registry.category(id), key)?;
                let command = command.type_name().to_owned();
                let rejected = Rejected { command, sender: sender.to_owned(), refused };
                self.reject(id, (stream, ExpectedVersion::Any), rejected, origin)
            }
        }
    }
}
