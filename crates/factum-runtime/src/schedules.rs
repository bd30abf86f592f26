//! Looking at schedules: what a log knows of them, how each stands with its next times, and what may be backfilled.

use factum_core::{
    error::{RowError, StoreError},
    ports::{Query, Reader, RowReader},
    row::Row,
    schedule::{Definition, Looked, ScheduleRow, State, Times},
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
    page.rows.iter().map(|body| Ok(Looked::at(read(body)?, now))).collect()
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
    Ok(row(rows, registry, name)?.map(|row| Looked::at(row, now)))
}

fn row(rows: &dyn RowReader, registry: &Registry, name: &str) -> Result<Option<ScheduleRow>, StoreError> {
    if !registry.has_schedules() {
        return Ok(None);
    }
    let body = rows.get(ScheduleRow::TABLE, name).map_err(unread)?;
    body.map(|body| read(&body)).transpose()
}

fn read(body: &[u8]) -> Result<ScheduleRow, StoreError> {
    serde_json::from_slice(body).map_err(|error| StoreError::Corrupt(format!("a schedule's row: {error}")))
}

fn unread(error: RowError) -> StoreError {
    StoreError::Transient(error.to_string())
}

/// A schedule as its row says; nothing if there is none.
pub(crate) fn state(rows: &dyn RowReader, registry: &Registry, name: &str) -> Result<Option<State>, StoreError> {
    let row = row(rows, registry, name)?;
    Ok(row.map(|row| row.state))
}

/// The occurrences that a plan is to fill in, of which one more is answered than it may; none if the program does not have
/// the schedule.
pub(crate) fn to_fill(state: State, registry: &Registry, fill: &Backfill) -> Vec<Timestamp> {
    let Some(definition) = registry.schedule(&fill.schedule) else { return Vec::new() };
    let end = state.through.map_or(fill.to, |through| through.min(fill.to));
    let mut gaps = Vec::from(state.gaps);
    gaps.sort_unstable();
    let within = |(from, to): (Timestamp, Timestamp)| {
        let fill = Backfill { from: from.max(fill.from), to: to.min(end), ..fill.clone() };
        times_of(definition, &fill, None)
    };
    gaps.into_iter().flat_map(within).take(MAX_FILL + 1).collect()
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
