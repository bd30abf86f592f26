//! Looking at schedules: what a log knows of them, and how each stands with its next times.

use factum_core::{
    error::StoreError,
    ports::Reader,
    stream::{StreamId, StreamVersion},
};

/// The stream of the list of a program's schedules.
const ROSTER: (&str, &str) = ("schedule_roster", "all");

/// Whether a program that had schedules has written this log.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn are_known(reader: &dyn Reader) -> Result<bool, StoreError> {
    let Ok(roster) = StreamId::new(ROSTER.0, ROSTER.1) else { return Ok(false) };
    Ok(!reader.stream(&roster, StreamVersion(0))?.is_empty())
}
