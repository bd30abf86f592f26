//! Moving an app's data from one place to another: what is stopped, and what runs.

mod offline;
mod progress;
#[cfg(feature = "http")]
pub(crate) mod routes;
mod running;

use std::path;

use factum_core::{error::StoreError, moving::Marks, ports::Reader};
use factum_runtime::moving::{Hear, Places, Transfer};

pub use offline::{GaveUp, give_up, relocate};
pub use progress::{MovePhase, MoveProgress};
pub(crate) use running::Moves;
pub use running::{MoveError, Switch};

use crate::{location::Location, wiring};

/// The place as it is named in marks: a directory whole, so that it means the same wherever somebody stands.
fn whole(place: &Location) -> Result<Location, StoreError> {
    place.check()?;
    let Some(dir) = place.directory() else { return Ok(place.clone()) };
    let whole = path::absolute(dir).map_err(|error| {
        StoreError::Permanent(format!("{} cannot be found: {error}; name it by its whole path", dir.display()))
    })?;
    // Without a slash at its end, which is no part of its name.
    Ok(Location::from(whole.components().collect::<path::PathBuf>()))
}

/// Both places, as they are named in marks.
///
/// # Errors
/// [`StoreError::Permanent`] if they are one.
fn places(from: &Location, to: &Location) -> Result<Places, StoreError> {
    let places = Places { from: from.to_string(), to: to.to_string() };
    let real = |place: &Location| place.directory().and_then(|dir| dir.canonicalize().ok());
    if places.from == places.to || real(from).is_some_and(|dir| real(to) == Some(dir)) {
        return Err(StoreError::Permanent(format!("{} is where the data is already: name another place", places.to)));
    }
    Ok(places)
}

/// Opens the target, if it is one, and compares what it has already.
fn transfer(source: &dyn Reader, to: &Location, places: &Places, hear: Hear<'_>) -> Result<Transfer, StoreError> {
    // Looked at before it is opened: what is another's is left alone.
    if let Some(there) = wiring::read_only_if_any(to).map_err(plain)? {
        let marks = wiring::marks(to)?;
        if marks == Marks::default() && there.lineage() == source.lineage() {
            return Err(StoreError::Permanent(format!(
                "{} holds this very log, as a whole one: it is the same place, or a copy of it",
                places.to
            )));
        }
        if there.lineage() != source.lineage() && there.head().0 > 0 {
            return Err(StoreError::Permanent(format!(
                "{} holds another log ({}): name a place that is new or empty, or the one that this log has come from",
                places.to,
                there.lineage()
            )));
        }
    }
    let target = wiring::moving(to, Some((source.lineage(), &places.from)))?;
    Transfer::begin(target, source, places.clone(), hear)
}

/// The log's own error.
fn plain(error: crate::OpenError) -> StoreError {
    match error {
        crate::OpenError::Log(error) => error,
        error => StoreError::Permanent(error.to_string()),
    }
}
