//! Looking at schedules: what a log knows of them, how each stands with its next times, and what may be backfilled.

use factum_core::{
    envelope::Kind,
    error::{RowError, StoreError},
    ports::{Query, Reader, RowReader},
    row::Row,
    schedule::{Definition, Looked, ScheduleEvent, ScheduleRow, State, Times},
    stream::{StreamId, StreamVersion},
};
use jiff::{SignedDuration, Timestamp};

use crate::{plans::Backfill, registry::Registry};

/// The stream of the list of a program's schedules.
const ROSTER: (&str, &str) = ("schedule_roster", "all");
/// Schedules that are listed at most.
const MOST: u64 = 10_000;
/// Occurrences that one plan fills in at most.
pub const MAX_FILL: usize = 100_000;

/// Whether a program that had schedules has written this log.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn are_known(reader: &dyn Reader) -> Result<bool, StoreError> {
    let Ok(roster) = StreamId::new(ROSTER.0, ROSTER.1) else { return Ok(false) };
    Ok(!reader.stream(&roster, StreamVersion(0))?.is_empty())
}

/// All schedules that the rows know, by name.
///
/// # Errors
/// [`StoreError::Transient`] if the rows cannot be read.
pub fn list(rows: &dyn RowReader, registry: &Registry, now: Timestamp) -> Result<Vec<Looked>, StoreError> {
    if !registry.has_schedules() {
        return Ok(Vec::new());
    }
    let page = rows.page(ScheduleRow::TABLE, &Query { limit: MOST, ..Query::default() }).map_err(unread)?;
    page.rows.iter().map(|body| looked(body, now)).collect()
}

/// One of them; nothing if there never was one of that name.
///
/// # Errors
/// As [`list`].
pub fn show(
    rows: &dyn RowReader,
    registry: &Registry,
    name: &str,
    now: Timestamp,
) -> Result<Option<Looked>, StoreError> {
    if !registry.has_schedules() {
        return Ok(None);
    }
    let body = rows.get(ScheduleRow::TABLE, name).map_err(unread)?;
    body.map(|body| looked(&body, now)).transpose()
}

fn looked(body: &[u8], now: Timestamp) -> Result<Looked, StoreError> {
    let row: ScheduleRow =
        serde_json::from_slice(body).map_err(|error| StoreError::Corrupt(format!("a schedule's row: {error}")))?;
    Ok(Looked::at(row, now))
}

fn unread(error: RowError) -> StoreError {
    StoreError::Transient(error.to_string())
}

/// The occurrences that a plan is to fill in, of which one more is answered than it may; none if the program does not have
/// the schedule.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub(crate) fn to_fill(reader: &dyn Reader, registry: &Registry, fill: &Backfill) -> Result<Vec<Timestamp>, StoreError> {
    let Some(definition) = registry.schedule(&fill.schedule) else { return Ok(Vec::new()) };
    let Some(state) = state(reader, &fill.schedule)? else { return Ok(Vec::new()) };
    let to = state.through.map_or(fill.to, |through| through.min(fill.to));
    let within = Backfill { to, ..fill.clone() };
    Ok(times_of(definition, &within, None).filter(|time| state.has_gap_at(*time)).take(MAX_FILL + 1).collect())
}

/// The times of a definition within a backfill, behind one of them.
pub(crate) fn times_of(
    definition: &Definition,
    fill: &Backfill,
    after: Option<Timestamp>,
) -> impl Iterator<Item = Timestamp> + use<> {
    let before = fill.from.saturating_sub(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN);
    let (mut after, to) = (after.unwrap_or(before), fill.to);
    let times = Times::of(definition).ok();
    std::iter::from_fn(move || {
        let next = times.as_ref()?.next(after).filter(|next| *next <= to)?;
        after = next;
        Some(next)
    })
}

/// A schedule as its stream says; nothing if there is none.
fn state(reader: &dyn Reader, name: &str) -> Result<Option<State>, StoreError> {
    let Ok(stream) = StreamId::new("schedule", name) else { return Ok(None) };
    let mut state = None;
    for stored in reader.stream(&stream, StreamVersion(0))? {
        if stored.envelope().kind == Kind::Event {
            let event = stored.decode::<ScheduleEvent>();
            let event = event.map_err(|error| StoreError::Corrupt(format!("{stream}: {error}")))?;
            state.get_or_insert_with(State::default).happened(&event, stored.envelope().timestamp);
        }
    }
    Ok(state)
}
