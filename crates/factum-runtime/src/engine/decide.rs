//! Deciding: a command on its aggregate's state, or on a folding reaction's; the no is a message too.

use factum_core::{
    commit::Append,
    decider::{Addressed, Decision},
    envelope::{Draft, Kind, Message, Stored},
    error::HandlerError,
    id::Name,
    reaction::Effects,
    rejection::Refused,
    stream::{ExpectedVersion, Position, StreamId, StreamVersion},
};

use super::{
    Engine,
    batch::Rejected,
    deliver::Run,
    guard,
    origin::Origin,
    states::{Entry, Model},
};
use crate::{
    inbox::{ExecuteError, Receipt},
    registry::{ConsumerId, Handler, Registry},
};

/// What a decider made of a command.
pub(super) enum Decided {
    Accepted(Receipt),
    Refused { stream: StreamId, version: StreamVersion, refused: Refused },
}

impl Engine {
    /// The first receipt of a command from outside that was accepted before.
    pub(super) fn repeated(
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

    pub(super) fn decide(
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
            entry.appended(&messages);
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
    pub(super) fn note_rejection(
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
            entry.appended(std::slice::from_ref(&message));
            self.states.put(stream.clone(), entry, &model);
        }
        run.local.touched.push(stream.clone());
        run.local.appends.push(Append { stream, expected, writer: service.name.clone(), messages: vec![message] });
        Ok(())
    }

    pub(super) fn answer(
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

    /// A stream's state: from the cache, else folded from the last snapshot or from nothing, the log, and what this batch has
    /// staged.
    pub(super) fn load(&mut self, run: &Run<'_>, stream: &StreamId, model: &Model<'_>) -> Result<Entry, HandlerError> {
        if let Some(entry) = self.states.remove(stream) {
            return Ok(entry);
        }
        let (mut entry, stored) = match self.snapshot_of(stream, model) {
            Some(found) => found,
            None => {
                let stored = self.reader.stream(stream, StreamVersion(0)).map_err(HandlerError::failed)?;
                (Entry::blank(model), stored)
            }
        };
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
}

fn model(registry: &Registry, id: ConsumerId) -> Result<Model<'_>, HandlerError> {
    let service = registry.service(id);
    match registry.consumer(id).handler {
        Handler::Decider(at) => Ok(Model::Decider(&*service.deciders[at])),
        Handler::Saga(at) => Ok(Model::Saga(&*service.sagas[at])),
        Handler::Folding(_) | Handler::Reaction(_) => Err(HandlerError::failed("only deciders and sagas fold streams")),
    }
}
