//! Loading a stream's state: from the cache, else from its last snapshot or from nothing, the log, and the stage.

use factum_core::{
    envelope::Stored,
    error::HandlerError,
    stream::{Position, StreamId, StreamVersion},
};

use super::{
    failure::{Fault, guard},
    run::Run,
    states::{Entry, Model},
};
use crate::{
    registry::{ConsumerId, Handler, Registry},
    shapes::unread,
};

impl Run<'_> {
    /// A stream's state with everything in it that the batch has staged. It is out of the cache: put it back.
    pub(super) fn load(&mut self, stream: &StreamId, model: &Model<'_>) -> Result<Entry, Fault> {
        if let Some(entry) = self.work.states.remove(stream) {
            return Ok(entry);
        }
        let blank = || guard(|| Ok(Entry::blank(model))).map_err(|error| Fault::Stream(stream.clone(), error));
        let (entry, stored) = match self.work.ahead.remove(stream) {
            Some(all) => (blank()?, all),
            None => match self.work.snapshot_of(stream, model)? {
                Some(found) => found,
                None => (blank()?, self.work.stored_stream(stream, StreamVersion(0))?),
            },
        };
        let mut entry = entry;
        let mut take = |stored: &Stored| guard(|| entry.take(model, stored));
        for message in &stored {
            if self.work.holds_unknown
                && !matches!(model, Model::Replica)
                && let Some(problem) = unread(self.registry, message)
            {
                return Err(Fault::Stream(stream.clone(), HandlerError::Payload(problem)));
            }
            take(message).map_err(|error| Fault::Stream(stream.clone(), error))?;
        }
        let mut version = stored.last().map_or(entry.version, |last| last.version);
        for message in self.stage.of_stream(stream).flat_map(|append| &append.messages) {
            version.0 += 1;
            let (position, stream) = (Position::START, stream.clone());
            let staged = Stored { position, stream: stream.clone(), version, message: message.clone() };
            guard(|| entry.take(model, &staged)).map_err(|error| Fault::Stream(stream, error))?;
        }
        Ok(entry)
    }
}

/// What folds the streams of a consumer.
pub(super) fn model(registry: &Registry, id: ConsumerId) -> Result<Model<'_>, HandlerError> {
    let service = registry.service(id);
    match registry.consumer(id).handler {
        Handler::Decider(at) => Ok(Model::Decider(&*service.deciders[at])),
        Handler::Saga(at) => Ok(Model::Saga(&service.sagas[at])),
        Handler::Folding(_) | Handler::Reaction(_) | Handler::Group(_) => {
            Err(HandlerError::failed("only deciders and sagas fold streams"))
        }
    }
}
