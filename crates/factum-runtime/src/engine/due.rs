//! Windows of pipelines that have closed: what is due of them is told for itself, before the event is reacted to that has
//! closed them, so that nothing that becomes of that event can lose it. How far they are told is a cell of the same commit.

use factum_core::{
    cell::{Cell, CellKey, CellKind},
    commit::Append,
    envelope::{Kind, Stored},
    error::{HandlerError, StoreError},
    pipeline::{Due, Through},
    reaction::AnyFolding,
    stream::{ExpectedVersion, Position},
};

use super::{
    act::said,
    failure::{Fault, guard},
    origin::Origin,
    run::Run,
};
use crate::{registry::ConsumerId, sabotage};

/// How far a pipeline has told its windows.
pub(super) fn read(cell: &Cell) -> Result<Through, StoreError> {
    serde_json::from_slice(&cell.value)
        .map_err(|error| StoreError::Corrupt(format!("cell {} cannot be read: {error}", cell.key)))
}

impl Run<'_> {
    /// Tells what is due behind an event that was taken in; says whether the consumer goes on. If it cannot be told, the
    /// consumer stops in front of the event, for the next one could tell it no better.
    pub(super) fn tell_due(
        &mut self,
        id: ConsumerId,
        folding: &dyn AnyFolding,
        stored: &Stored,
    ) -> Result<bool, StoreError> {
        let Some(state) = self.work.folds.states.get(&id) else { return Ok(true) };
        let told = match guard(|| folding.due(&**state, stored)) {
            Ok(None) => return Ok(true),
            Ok(Some(due)) => self.tell(id, folding, stored, due),
            Err(error) => Err(error.into()),
        };
        match told {
            Ok(()) => Ok(true),
            Err(Fault::Store(error)) => Err(error),
            Err(fault) => {
                self.forget();
                self.work.folds.states.remove(&id);
                let problem = format!("a window that has closed cannot be told: {}", said(&fault));
                self.stop(id, Position(stored.position.0 - 1), &problem);
                Ok(false)
            }
        }
    }

    fn tell(&mut self, id: ConsumerId, folding: &dyn AnyFolding, stored: &Stored, due: Due) -> Result<(), Fault> {
        let Due { results, through } = due;
        let origin = Origin::of(stored.envelope());
        let service = self.registry.service(id);
        for (stream, draft, at) in results {
            let mut message = self.message(Kind::Event, draft, &origin, &service.source, stream.key());
            // Whoever counts results by time must find it in its window.
            message.envelope.timestamp = at;
            // If it is an aggregate's stream, the cached state does not know this event.
            self.work.states.remove(&stream);
            let (writer, messages) = (service.name.clone(), vec![message]);
            self.local.appends.push(Append { stream, expected: ExpectedVersion::Any, writer, messages });
        }
        let value = serde_json::to_vec(&through).map_err(HandlerError::failed)?;
        let cell = CellKey::new(CellKind::Windows, self.registry.consumer(id).name.clone());
        if !sabotage::is("window-told-without-its-mark") {
            self.local.cells.push((cell, Some(value)));
        }
        self.join()?;
        if let Some(state) = self.work.folds.states.get_mut(&id) {
            // From here on all that comes is new, in whatever order.
            folding.stands(&mut **state, Position::START, Some(&through));
        }
        self.work.folds.told.insert(id, through);
        Ok(())
    }
}
