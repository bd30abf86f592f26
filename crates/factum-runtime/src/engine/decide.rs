//! Deciding: a command on its aggregate's state, or on a folding reaction's; the no is a message too.

use factum_core::{
    commit::Append,
    decider::{Addressed, Decision},
    envelope::{Draft, Kind, Message, Stored, check_metadata, digest},
    error::HandlerError,
    id::{Name, check_id},
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
    sabotage,
};

/// What a decider made of a command.
pub(super) enum Decided {
    Accepted(Receipt),
    /// It is accepted, and no event follows.
    Unchanged(Receipt),
    Refused {
        stream: StreamId,
        version: StreamVersion,
        refused: Refused,
    },
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

/// A command from outside, ready to be decided.
struct Asked {
    id: ConsumerId,
    addressed: Addressed,
    type_name: Name,
    origin: Origin,
}

impl Run<'_> {
    /// Carries out commands from outside, together. Together they are one request: either all of them were carried out
    /// before, or none, whatever is still remembered of each.
    pub(super) fn requests(&mut self, requests: &[Request]) -> Result<Vec<Receipt>, Unmet> {
        if let [request] = requests {
            let asked = self.asked(request, None)?;
            let known = self.repeated(&asked)?;
            return Ok(vec![known.map_or_else(|| self.request(asked), Ok)?]);
        }
        let group = digest_of_all(requests);
        let asked: Vec<Asked> = requests.iter().map(|request| self.asked(request, group)).collect::<Result<_, _>>()?;
        let known: Vec<Option<Receipt>> = asked.iter().map(|asked| self.repeated(asked)).collect::<Result<_, _>>()?;
        let Some(first) = known.iter().flatten().max_by_key(|receipt| receipt.position) else {
            return asked.into_iter().map(|asked| self.request(asked)).collect();
        };
        let forgotten = |asked: &Asked| {
            let stream = asked.addressed.stream.clone();
            let version = self.work.states.get(&stream).map_or(StreamVersion(0), |entry| entry.version);
            Receipt { stream, version, ..first.clone() }
        };
        let receipts = known.iter().zip(&asked).map(|(known, asked)| known.clone().unwrap_or_else(|| forgotten(asked)));
        Ok(receipts.collect())
    }

    /// A request with its address; `group` is a digest of all that are carried out together with it.
    fn asked(&mut self, request: &Request, group: Option<u64>) -> Result<Asked, Unmet> {
        let type_name = &request.draft.type_name;
        let no_handler = || Unmet::Told(ExecuteError::NoHandler(type_name.to_string()));
        let id = self.registry.addressee(type_name).ok_or_else(no_handler)?;
        let Handler::Decider(at) = self.registry.consumer(id).handler else { return Err(no_handler()) };
        check_context(request)?;
        let work = &mut *self.work;
        let now = request.at.unwrap_or_else(|| work.clock.stamp(work.clock.mark()));
        let is_keyed = request.id.is_some();
        let message_id = request.id.clone().unwrap_or_else(|| work.ids.next(now));
        // Nobody can send one again that has no key of its sender's.
        let digest = is_keyed.then(|| work.digests.request(&message_id, group.unwrap_or_else(|| digest_of(request))));
        let mut origin = Origin::of_request(request, message_id, now, digest);
        let service = self.registry.service(id);
        let decider = &service.deciders[at];
        let draft = request.draft.clone();
        let type_name = draft.type_name.clone();
        let message = origin.message(Kind::Command, draft, &service.source, "", origin.id.clone());
        let addressed = guard(|| decider.address(&message))?;
        if is_keyed {
            let plain = guard(|| Ok(decider.repeat_key(&addressed)))?;
            origin.repeat_key = plain.map(|plain| self.work.digests.about(&addressed.stream, plain));
        }
        Ok(Asked { id, addressed, type_name, origin })
    }

    fn request(&mut self, asked: Asked) -> Result<Receipt, Unmet> {
        let Asked { id, addressed, type_name, origin } = asked;
        match self.decide(id, addressed, &origin)? {
            Decided::Unchanged(receipt) if origin.digest.is_some() && !sabotage::is("no-trace-of-no-change") => {
                // Nothing follows from it that could bear its key, so that this has to.
                let data = b"{}".as_slice().into();
                let draft = Draft { type_name, version: Name::Static("1.0.0"), data };
                let at = (receipt.stream.clone(), ExpectedVersion::Exact(receipt.version));
                let version = self.leave(id, at, (Kind::Receipt, draft), &origin);
                Ok(Receipt { version, ..receipt })
            }
            Decided::Accepted(receipt) | Decided::Unchanged(receipt) => Ok(receipt),
            Decided::Refused { refused, .. } => Err(Unmet::Told(ExecuteError::Rejected(refused))),
        }
    }

    /// The first receipt of a command from outside that was accepted before.
    fn repeated(&mut self, asked: &Asked) -> Result<Option<Receipt>, Unmet> {
        let Asked { id, addressed: Addressed { stream, .. }, origin, .. } = asked;
        if origin.digest.is_none() {
            return Ok(None);
        }
        if self.work.states.get(stream).is_none() {
            let model = model(self.registry, *id)?;
            let entry = self.load(stream, &model)?;
            self.work.states.put(stream.clone(), entry, &model);
        }
        match self.work.states.get(stream).and_then(|entry| entry.causes.find(&origin.id, origin.at)) {
            None => Ok(None),
            Some(cause) if self.work.digests.compare(cause.position) && Some(cause.digest) != origin.digest => {
                Err(Unmet::Told(ExecuteError::IdReused(cause.id.clone())))
            }
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
        let is_unchanged = drafts.is_empty();
        if !is_unchanged {
            let expected = ExpectedVersion::Exact(entry.version);
            let messages: Vec<Message> = drafts
                .into_iter()
                .map(|draft| self.message(Kind::Event, draft, origin, &service.source, stream.key()))
                .collect();
            entry.appended(&messages);
            entry.remember(origin);
            let append = Append { stream: stream.clone(), expected, writer: service.name.clone(), messages };
            self.local.appends.push(append);
            self.local.touched.push(stream.clone());
        }
        let version = entry.version;
        self.work.states.put(stream.clone(), entry, &model);
        let receipt = Receipt { stream, version, position: Position::START, repeated: false };
        Ok(if is_unchanged { Decided::Unchanged(receipt) } else { Decided::Accepted(receipt) })
    }

    /// A message in an aggregate's stream that changes nothing of its state. Answers the stream's version with it, as far
    /// as the state is known.
    fn leave(
        &mut self,
        id: ConsumerId,
        (stream, expected): (StreamId, ExpectedVersion),
        (kind, draft): (Kind, Draft),
        origin: &Origin,
    ) -> StreamVersion {
        let service = self.registry.service(id);
        let message = self.message(kind, draft, origin, &service.source, stream.key());
        let mut version = StreamVersion::default();
        if let Ok(model) = model(self.registry, id)
            && let Some(mut entry) = self.work.states.remove(&stream)
        {
            entry.appended(std::slice::from_ref(&message));
            entry.remember(origin);
            version = entry.version;
            self.work.states.put(stream.clone(), entry, &model);
        }
        self.local.touched.push(stream.clone());
        let append = Append { stream, expected, writer: service.name.clone(), messages: vec![message] };
        self.local.appends.push(append);
        version
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
        let Rejected { command, sender, refused } = &rejected;
        tracing::info!(command, sender, code = refused.code, correlation = %origin.correlation_id, "command rejected");
        let draft = Draft::named(Name::Shared(command.as_str().into()), &rejected).map_err(HandlerError::from)?;
        self.leave(id, (stream, expected), (Kind::Rejection, draft), origin);
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
        let context = origin.context(&service.name);
        match guard(|| service.foldings[at].answer(&**state, command, &context))? {
            Ok(effects) => self.effects(id, key, effects, origin),
            Err(refused) => {
                let stream = StreamId::new(self.registry.category(id), key)?;
                let command = command.type_name().to_owned();
                let rejected = Rejected { command, sender: sender.to_owned(), refused };
                self.reject(id, (stream, ExpectedVersion::Any), rejected, origin)
            }
        }
    }
}

/// What stands around a command must be what a message may bear.
fn check_context(request: &Request) -> Result<(), HandlerError> {
    let Request { user_id, tenant, traceparent, metadata, .. } = request;
    for (what, text) in [("id of a user", user_id), ("name of a tenant", tenant), ("traceparent", traceparent)] {
        text.as_deref().map_or(Ok(()), |text| check_id(what, text))?;
    }
    metadata.as_deref().map_or(Ok(()), check_metadata).map_err(HandlerError::failed)
}

/// Of all commands that are carried out together, if any of them bears a key.
fn digest_of_all(requests: &[Request]) -> Option<u64> {
    requests.iter().any(|request| request.id.is_some()).then(|| {
        let digests: Vec<u8> = requests.iter().flat_map(|request| digest_of(request).to_le_bytes()).collect();
        digest("", &digests)
    })
}

fn digest_of(Request { draft, digest: sent, .. }: &Request) -> u64 {
    sent.unwrap_or_else(|| digest(&draft.type_name, &draft.data))
}
