//! The states of folding reactions: derived, rebuilt from the log, in step with the engine's reading.

use std::{any::Any, collections::BTreeMap};

use factum_core::{
    envelope::{Kind, Stored},
    error::StoreError,
    ports::{Reader, Scan},
    reaction::AnyFolding,
    stream::Position,
};

use super::consumers::Consumers;
use crate::registry::{ConsumerId, Handler, Registry};

/// Bytes of messages to read at once while rebuilding.
const SCAN_BYTES: usize = 4 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct Folds {
    pub(super) states: BTreeMap<ConsumerId, Box<dyn Any + Send>>,
}

impl Folds {
    /// Rebuilds all states up to where their consumers stand. A fold that fails stops its consumer there.
    pub(super) fn rebuild(
        registry: &Registry,
        consumers: &mut Consumers,
        reader: &dyn Reader,
    ) -> Result<Self, StoreError> {
        let foldings: Vec<(ConsumerId, &dyn AnyFolding)> = foldings(registry).collect();
        let mut folds = Self::default();
        for (id, folding) in &foldings {
            folds.states.insert(*id, folding.blank());
        }
        let wanted = |name: &str| registry.readers(name).iter().any(|id| folds_in(registry, *id));
        let until = consumers.cursor;
        let mut after = Position::START;
        while after < until && !foldings.is_empty() {
            let scanned = reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types: Some(&wanted) })?;
            for stored in scanned.messages.iter().filter(|stored| stored.envelope().kind == Kind::Event) {
                folds.take(registry, consumers, &foldings, stored);
            }
            if scanned.through <= after {
                break;
            }
            after = scanned.through;
        }
        Ok(folds)
    }

    fn take(
        &mut self,
        registry: &Registry,
        consumers: &mut Consumers,
        foldings: &[(ConsumerId, &dyn AnyFolding)],
        stored: &Stored,
    ) {
        for id in registry.readers(stored.type_name()) {
            let Some((_, folding)) = foldings.iter().find(|(folding, _)| folding == id) else { continue };
            let done = consumers.apart.get(id).is_none_or(|apart| stored.position <= apart.cursor)
                && !consumers.is_stopped(*id);
            let Some(state) = self.states.get_mut(id).filter(|_| done) else { continue };
            let folded = super::guard(|| folding.fold(&mut **state, stored));
            if let Err(error) = folded {
                consumers
                    .stop_here(*id, format!("its state cannot be rebuilt, at position {}: {error}", stored.position));
            }
        }
    }
}

fn foldings(registry: &Registry) -> impl Iterator<Item = (ConsumerId, &dyn AnyFolding)> {
    registry.consumers.iter().enumerate().filter_map(|(index, consumer)| match consumer.handler {
        Handler::Folding(at) => Some((ConsumerId(index), &*registry.services[consumer.service].foldings[at])),
        _ => None,
    })
}

fn folds_in(registry: &Registry, id: ConsumerId) -> bool {
    matches!(registry.consumer(id).handler, Handler::Folding(_))
}
