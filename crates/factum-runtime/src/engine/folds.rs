//! The states of folding reactions: derived, rebuilt from snapshots and the log, in step with the engine's reading.

use std::{any::Any, collections::BTreeMap};

use factum_core::{
    cell::CellKind,
    envelope::{Kind, Stored},
    error::{HandlerError, StoreError},
    letter::Subject,
    pipeline::{Figures, Through},
    ports::{Reader, Scan},
    reaction::AnyFolding,
    snapshot::Codec,
    stream::Position,
};

use super::{
    consumers::Consumers,
    due,
    failure::guard,
    letters::Letters,
    noting::Noting,
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
    /// How far pipelines have told their windows; it does not depend on their states.
    pub(super) told: BTreeMap<ConsumerId, Through>,
}

/// What became of an event that was given to a state.
pub(super) enum Folded {
    /// It is in the state, or there is no state to take it in.
    Taken,
    /// It could not be decoded; the state is as it was.
    Unread(HandlerError),
    /// The fold failed on the way; the state is dropped.
    Broken(HandlerError),
}

/// Events that could not be folded, and have no letter yet.
type Unfolded = Vec<(ConsumerId, Stored, HandlerError)>;

impl Folds {
    /// Rebuilds all states up to where their consumers stand, from snapshots as far as there are any. A fold that fails
    /// stops its consumer there; what cannot be decoded is left out, and answered if it has no letter.
    pub(super) fn rebuild(
        registry: &Registry,
        consumers: &mut Consumers,
        letters: &Letters,
        reader: &dyn Reader,
        shelf: &Shelf,
        noting: &mut Noting,
    ) -> Result<(Self, Unfolded), StoreError> {
        let mut folds = Self::default();
        for cell in reader.cells(CellKind::Windows)? {
            if let Some(id) = registry.named(&cell.key.name) {
                folds.told.insert(id, due::read(&cell)?);
            }
        }
        let mut unfolded = Vec::new();
        // Each state takes what stands behind its own snapshot.
        let mut starts: BTreeMap<ConsumerId, Position> = BTreeMap::new();
        for (id, folding) in foldings(registry) {
            let stands = consumers.reached(id);
            let acted = consumers.apart(id).map_or(stands, |apart| apart.acted.max(stands));
            match folds.begin(registry, shelf, id, folding, stands) {
                Ok(start) => {
                    folds.stands(id, folding, acted);
                    starts.insert(id, start);
                }
                Err(error) => consumers.stop(id, stands, &format!("it has no state to begin with: {error}")),
            }
        }
        let wanted = |name: &str| registry.readers(name).iter().any(|id| starts.contains_key(id));
        // One that had the message behind the cursor has folded that one too.
        let until = Position(consumers.cursor.0 + u64::from(!consumers.had.is_empty()));
        let mut after = starts.values().copied().min().unwrap_or(until);
        while after < until {
            let scanned = reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types: Some(&wanted) })?;
            for stored in scanned.messages.iter().filter(|stored| stored.envelope().kind == Kind::Event) {
                for id in registry.readers(stored.type_name()) {
                    let Some(folding) = folding(registry, *id) else { continue };
                    let stands = consumers.reached(*id);
                    let begun = starts.get(id).is_some_and(|start| *start < stored.position);
                    if !begun || stored.position > stands || consumers.is_stopped(*id) {
                        continue;
                    }
                    let subject = Subject::Message(stored.position);
                    if letters.is_unfolded(&registry.consumer(*id).name, &subject) {
                        continue;
                    }
                    let folded = noting.fold(registry, *id, &subject, |verdict| match verdict {
                        None => folds.take(*id, folding, stored),
                        Some(reason) => Folded::Unread(HandlerError::Failed(reason)),
                    });
                    match folded {
                        Folded::Taken => {}
                        Folded::Unread(error) => unfolded.push((*id, stored.clone(), error)),
                        Folded::Broken(error) => {
                            let at = stored.position;
                            // It has handled everything up to there, and must not handle it again.
                            let problem = format!("its state cannot be rebuilt, at position {at}: {error}");
                            consumers.stop(*id, stands, &problem);
                        }
                    }
                }
            }
            if scanned.through <= after {
                break;
            }
            after = scanned.through;
        }
        Ok((folds, unfolded))
    }

    /// How the state of a folding is kept in snapshots, if it is.
    pub(super) fn codec(registry: &Registry, id: ConsumerId) -> Option<Codec> {
        let folding = folding(registry, id)?;
        guard(|| Ok(folding.snapshots())).ok().flatten()
    }

    /// How the pipelines among them stand.
    pub(super) fn figures(&self, registry: &Registry) -> BTreeMap<String, Figures> {
        let figures = |(id, state): (&ConsumerId, &Box<dyn Any + Send>)| {
            let figures = folding(registry, *id)?.figures(&**state)?;
            Some((registry.consumer(*id).name.clone(), figures))
        };
        self.states.iter().filter_map(figures).collect()
    }

    /// Gives an event to a state.
    pub(super) fn take(&mut self, id: ConsumerId, folding: &dyn AnyFolding, stored: &Stored) -> Folded {
        let Some(state) = self.states.get_mut(&id) else { return Folded::Taken };
        let mut touched = false;
        match guard(|| folding.fold(&mut **state, stored, &mut touched)) {
            Ok(()) => Folded::Taken,
            Err(error) if !touched => Folded::Unread(error),
            Err(error) => {
                self.states.remove(&id);
                Folded::Broken(error)
            }
        }
    }

    /// Says to a pipeline's state, before it folds anything, what was reacted to and told before.
    pub(super) fn stands(&mut self, id: ConsumerId, folding: &dyn AnyFolding, acted: Position) {
        if let Some(state) = self.states.get_mut(&id) {
            folding.stands(&mut **state, acted, self.told.get(&id));
        }
    }

    /// Puts in the state of the last snapshot, or a blank one; answers for which position it stands.
    pub(super) fn begin(
        &mut self,
        registry: &Registry,
        shelf: &Shelf,
        id: ConsumerId,
        folding: &dyn AnyFolding,
        stands: Position,
    ) -> Result<Position, HandlerError> {
        let codec = Self::codec(registry, id);
        let found = codec.and_then(|codec| {
            shelf.find(&fold_name(&registry.consumer(id).name), codec, stands, |snapshot| {
                Ok((codec.decode(&snapshot.state)?, Kept::new(snapshot.at.position.0, snapshot.state.len())))
            })
        });
        let (state, kept) = match found {
            Some(found) => found,
            None => (guard(|| Ok(folding.blank()))?, Kept::default()),
        };
        self.states.insert(id, state);
        let stands = Position(kept.at);
        if codec.is_some() {
            self.kept.insert(id, kept);
        }
        Ok(stands)
    }
}

fn foldings(registry: &Registry) -> impl Iterator<Item = (ConsumerId, &dyn AnyFolding)> {
    let ids = (0..registry.consumers.len()).map(ConsumerId);
    ids.filter_map(|id| Some((id, folding(registry, id)?)))
}

/// The folding behind a consumer, if it is one.
pub(super) fn folding(registry: &Registry, id: ConsumerId) -> Option<&dyn AnyFolding> {
    match registry.consumer(id).handler {
        Handler::Folding(at) => Some(&*registry.service(id).foldings[at]),
        _ => None,
    }
}
