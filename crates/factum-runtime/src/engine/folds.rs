//! The states of folding reactions: derived, rebuilt from snapshots and the log, in step with the engine's reading.

use std::{any::Any, collections::BTreeMap};

use factum_core::{
    envelope::{Kind, Stored},
    error::StoreError,
    ports::{Reader, Scan},
    reaction::AnyFolding,
    snapshot::Codec,
    stream::Position,
};

use super::{
    consumers::Consumers,
    snapshots::{Kept, Shelf, fold_name},
};
use crate::registry::{ConsumerId, Handler, Registry};

/// Bytes of messages to read at once while rebuilding.
const SCAN_BYTES: usize = 4 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct Folds {
    pub(super) states: BTreeMap<ConsumerId, Box<dyn Any + Send>>,
    /// Those that are kept in snapshots, and how old their last one is.
    pub(super) kept: BTreeMap<ConsumerId, Kept>,
}

impl Folds {
    /// Rebuilds all states up to where their consumers stand, from snapshots as far as there are any. A fold that fails
    /// stops its consumer there.
    pub(super) fn rebuild(
        registry: &Registry,
        consumers: &mut Consumers,
        reader: &dyn Reader,
        shelf: &Shelf,
    ) -> Result<Self, StoreError> {
        let mut folds = Self::default();
        // Each state takes what stands behind its own snapshot.
        let mut starts: BTreeMap<ConsumerId, Position> = BTreeMap::new();
        for (id, folding) in foldings(registry) {
            starts.insert(id, folds.begin(registry, consumers, shelf, id, folding));
        }
        let wanted = |name: &str| registry.readers(name).iter().any(|id| starts.contains_key(id));
        let until = consumers.cursor;
        let mut after = starts.values().copied().min().unwrap_or(until);
        while after < until {
            let scanned = reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types: Some(&wanted) })?;
            for stored in scanned.messages.iter().filter(|stored| stored.envelope().kind == Kind::Event) {
                folds.take(registry, consumers, &starts, stored);
            }
            if scanned.through <= after {
                break;
            }
            after = scanned.through;
        }
        Ok(folds)
    }

    /// How the state of a folding is kept in snapshots, if it is.
    pub(super) fn codec(registry: &Registry, id: ConsumerId) -> Option<Codec> {
        folding(registry, id)?.snapshots()
    }

    /// Puts in the state of the last snapshot, or a blank one; answers for which position it stands.
    fn begin(
        &mut self,
        registry: &Registry,
        consumers: &Consumers,
        shelf: &Shelf,
        id: ConsumerId,
        folding: &dyn AnyFolding,
    ) -> Position {
        let codec = folding.snapshots();
        let stands = consumers.apart.get(&id).map_or(consumers.cursor, |apart| apart.cursor);
        let found = codec.and_then(|codec| {
            shelf.find(&fold_name(&registry.consumer(id).name), codec, stands, |snapshot| {
                let kept = Kept { at: snapshot.at.position.0, bytes: snapshot.state.len() };
                Ok((codec.decode(&snapshot.state)?, kept))
            })
        });
        let (state, kept) = found.unwrap_or_else(|| (folding.blank(), Kept::default()));
        self.states.insert(id, state);
        if codec.is_some() {
            self.kept.insert(id, kept);
        }
        Position(kept.at)
    }

    fn take(
        &mut self,
        registry: &Registry,
        consumers: &mut Consumers,
        starts: &BTreeMap<ConsumerId, Position>,
        stored: &Stored,
    ) {
        for id in registry.readers(stored.type_name()) {
            let Some(folding) = folding(registry, *id) else { continue };
            let wanted = starts.get(id).is_some_and(|start| *start < stored.position)
                && consumers.apart.get(id).is_none_or(|apart| stored.position <= apart.cursor)
                && !consumers.is_stopped(*id);
            let Some(state) = self.states.get_mut(id).filter(|_| wanted) else { continue };
            let folded = super::guard(|| folding.fold(&mut **state, stored));
            if let Err(error) = folded {
                consumers
                    .stop_here(*id, format!("its state cannot be rebuilt, at position {}: {error}", stored.position));
            }
        }
    }
}

fn foldings(registry: &Registry) -> impl Iterator<Item = (ConsumerId, &dyn AnyFolding)> {
    let ids = (0..registry.consumers.len()).map(ConsumerId);
    ids.filter_map(|id| Some((id, folding(registry, id)?)))
}

fn folding(registry: &Registry, id: ConsumerId) -> Option<&dyn AnyFolding> {
    match registry.consumer(id).handler {
        Handler::Folding(at) => Some(&*registry.service(id).foldings[at]),
        _ => None,
    }
}
