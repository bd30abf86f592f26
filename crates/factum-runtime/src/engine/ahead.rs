//! The streams of a batch, read together before it is run: where the store is far away a read costs more than what it reads.

use std::collections::{BTreeSet, HashMap};

use factum_core::{
    envelope::{Kind, Stored},
    error::StoreError,
    id::MessageId,
    stream::StreamId,
};

use super::{batch::Delivery, failure::guard, origin::Origin, work::Work};
use crate::{
    inbox::{Input, Request},
    registry::{ConsumerId, Handler, Registry},
};

/// Streams that are read together at most.
const MOST: usize = 1_024;

/// What was read ahead for the batch that is run, by stream.
pub(super) type Ahead = HashMap<StreamId, Vec<Stored>>;

impl Work {
    /// Reads what deliveries are about to fold, unless it is in memory or in flight. What it cannot tell beforehand is read when it
    /// is needed.
    pub(super) fn read_ahead(&mut self, registry: &Registry, deliveries: &[Delivery]) -> Result<(), StoreError> {
        self.ahead.clear();
        if !self.reader.is_far() {
            return Ok(());
        }
        let mut wanted = BTreeSet::new();
        for delivery in deliveries {
            let is_wanted = |stream: &StreamId| self.states.get(stream).is_none() && !self.flights.writes(stream);
            match delivery {
                Delivery::Log { frame, index, consumer } => {
                    wanted.extend(stream_of(registry, *consumer, &frame.messages[*index]).filter(is_wanted));
                }
                Delivery::Input(Input::Commands(requests, _)) => {
                    wanted.extend(
                        requests.iter().filter_map(|request| self.addressed(registry, request)).filter(is_wanted),
                    );
                }
                Delivery::Input(_) | Delivery::Timer(_) => {}
            }
            if wanted.len() >= MOST {
                break;
            }
        }
        // One alone is read when it is needed, from its snapshot if it has one.
        if wanted.len() > 1 {
            let streams: Vec<StreamId> = wanted.into_iter().collect();
            let read = self.reader.streams(&streams)?;
            self.ahead = streams.into_iter().zip(read).collect();
        }
        Ok(())
    }

    /// The stream that a command from outside is for, if its address is in it.
    fn addressed(&self, registry: &Registry, request: &Request) -> Option<StreamId> {
        let id = registry.addressee(&request.draft.type_name)?;
        let Handler::Decider(at) = registry.consumer(id).handler else { return None };
        let service = registry.service(id);
        let message_id = request.id.clone().unwrap_or_else(|| MessageId::from(uuid::Uuid::nil()));
        let origin = Origin::of_request(request, message_id, self.clock.mark(), None);
        let command = origin.message(Kind::Command, request.draft.clone(), &service.source, "", origin.id.clone());
        guard(|| service.deciders[at].address(&command)).ok().map(|addressed| addressed.stream)
    }
}

/// The stream that a consumer folds when it gets a message; nothing if it folds none, or fails on it.
fn stream_of(registry: &Registry, id: ConsumerId, stored: &Stored) -> Option<StreamId> {
    let service = registry.service(id);
    match (stored.envelope().kind, registry.consumer(id).handler) {
        (Kind::Command, Handler::Decider(at)) => {
            guard(|| service.deciders[at].address(&stored.message)).ok().map(|addressed| addressed.stream)
        }
        (Kind::Event, Handler::Saga(at)) => guard(|| service.sagas[at].instance_of(stored)).ok(),
        _ => None,
    }
}
