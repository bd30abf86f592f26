//! Looking at sagas: lists of open instances by what is asked for, one instance whole.

use factum_core::{
    cell::{Cell, CellKey, CellKind},
    error::StoreError,
    ports::Reader,
    saga::{Shown, Status},
    stream::{Position, StreamId, StreamVersion},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    acts::ActError,
    engine::{self, Open},
    registry::Registry,
    timers::{Timer, Timers, When, full_name},
};

/// Instances on a page if the question does not say.
const PAGE: usize = 100;
/// The longest page.
pub const MAX_PAGE: usize = 1_000;
/// The states of an open instance.
pub const STATES: [&str; 3] = ["started", "undoing", "needs_attention"];

/// Which open instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query {
    /// Of this definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saga: Option<String>,
    /// Run by this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// In this state: `started`, `undoing` or `needs_attention`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// That wait for the answer of this step, or of its undo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// That have been open for at least so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_secs: Option<u64>,
    /// That are stuck: they need a person, the program lacks their version, or nothing of theirs has time left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stuck: bool,
    /// Behind this one, in the order of names: for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many; 100 if not said, 1,000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// In the order of their names, without their facts.
    pub sagas: Vec<Shown>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Lists open instances, as they stand for a program with these services; of a program that does not run nothing is known.
///
/// # Errors
/// [`ActError`] if the store cannot be read, or the question makes no sense.
pub fn list(reader: &dyn Reader, query: &Query, now: Timestamp, registry: Option<&Registry>) -> Result<Page, ActError> {
    if let Some(status) = &query.status
        && !STATES.contains(&status.as_str())
    {
        let states = STATES.join("`, `");
        return Err(ActError::NotNow(format!("`{status}` is no state of an open process: it is one of `{states}`")));
    }
    let limit = query.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let mut page = Page::default();
    for cell in cells(reader)? {
        if query.after.as_ref().is_some_and(|after| cell.key.name <= *after) {
            continue;
        }
        if !may_be(query, &cell, now)? {
            continue;
        }
        let Some(shown) = show(reader, &cell.key.name, now, registry)? else { continue };
        if !is(query, &shown) {
            continue;
        }
        if page.sagas.len() == limit {
            page.next = page.sagas.last().map(|last| last.saga_id.clone());
            break;
        }
        page.sagas.push(Shown { facts: None, ..shown });
    }
    Ok(page)
}

/// The names of a definition's open instances that a version runs, in order.
pub(crate) fn open(reader: &dyn Reader, saga: &str, version: u32) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for cell in cells(reader)? {
        if category(&cell) == Some(saga) && Open::decode(&cell.value)?.standing.version == version {
            names.push(cell.key.name);
        }
    }
    Ok(names)
}

/// Where the version that runs an instance began to: at its start, or at its last move; `None` if there is none.
pub(crate) fn run_since(reader: &dyn Reader, instance: &str) -> Result<Option<Position>, StoreError> {
    let Ok(stream) = StreamId::parse(instance) else { return Ok(None) };
    let begins = ["started", "moved"].map(|event| format!("{}.{event}", stream.category()));
    let messages = reader.stream(&stream, StreamVersion(0))?;
    let last = messages.iter().rev().find(|stored| begins.iter().any(|name| name == stored.type_name()));
    Ok(last.map(|stored| stored.position))
}

/// The cells of open instances, in the order of their names.
fn cells(reader: &dyn Reader) -> Result<Vec<Cell>, StoreError> {
    let mut cells: Vec<Cell> = reader.cells(CellKind::Saga)?;
    cells.retain(|cell| category(cell).is_some());
    cells.sort_by(|one, other| one.key.name.cmp(&other.key.name));
    Ok(cells)
}

/// The definition of a cell's instance; the cell that says that all are there has none.
fn category(cell: &Cell) -> Option<&str> {
    cell.key.name.split_once('-').map(|(category, _)| category)
}

/// Whether the cell alone rules an instance out.
fn may_be(query: &Query, cell: &Cell, now: Timestamp) -> Result<bool, StoreError> {
    let Open { standing, since } = Open::decode(&cell.value)?;
    let status = match (standing.needs_person, standing.status) {
        (true, _) => "needs_attention",
        (false, Status::Undoing) => "undoing",
        (false, _) => "started",
    };
    let age = now.duration_since(since).as_secs();
    Ok(query.saga.as_deref().is_none_or(|wanted| category(cell) == Some(wanted))
        && query.version.is_none_or(|wanted| wanted == standing.version)
        && query.status.as_deref().is_none_or(|wanted| wanted == status)
        && query.older_than_secs.is_none_or(|wanted| age >= i64::try_from(wanted).unwrap_or(i64::MAX)))
}

/// Whether an instance is asked for by what stands in its stream.
fn is(query: &Query, shown: &Shown) -> bool {
    let waits = |wanted: &String| shown.steps.iter().any(|step| step.name == *wanted && is_under_way(step.status));
    query.step.as_ref().is_none_or(waits) && (!query.stuck || shown.stuck.is_some())
}

fn is_under_way(status: &str) -> bool {
    matches!(status, "started" | "undoing")
}

/// Why an instance is open and does not go on by itself.
fn stuck(shown: &Shown, is_held: bool, now: Timestamp, registry: Option<&Registry>) -> Option<String> {
    let Shown { saga, version, .. } = shown;
    let known = |registry: &Registry| registry.versions(saga).is_some_and(|it| it.version(*version).is_some());
    let has_time = || shown.steps.iter().any(|step| step.limit.is_some_and(|limit| limit >= now));
    if shown.ended_at.is_some() {
        None
    } else if registry.is_some_and(|registry| !known(registry)) {
        Some(format!("this program has no version {version} of {saga}: start one that has it too"))
    } else if shown.attention.is_some() {
        shown.attention.clone()
    } else if is_held {
        Some(format!(
            "it is held, and its limits stand still: see the letters of {saga}, and whether this program has its version {version}"
        ))
    } else {
        (!has_time()).then(|| "nothing of it has time left".to_owned())
    }
}

/// One instance whole, open or ended, by its stream, as it stands for a program with these services; `None` if there is
/// none.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn show(
    reader: &dyn Reader,
    instance: &str,
    now: Timestamp,
    registry: Option<&Registry>,
) -> Result<Option<Shown>, StoreError> {
    let Ok(stream) = StreamId::parse(instance) else { return Ok(None) };
    let shown = Shown::of(&reader.stream(&stream, StreamVersion(0))?);
    let Some(mut shown) = shown.map_err(|error| StoreError::Corrupt(error.to_string()))? else { return Ok(None) };
    let lost = SignedDuration::from_micros(engine::stands(reader)?.1.map_or(0, |ran| ran.lost));
    let mut is_held = false;
    for step in shown.steps.iter_mut().filter(|step| is_under_way(step.status)) {
        let cell: CellKey = Timers::cell(&full_name(&stream, &step.name));
        let Some(cell) = reader.cell(&cell)? else { continue };
        let when = Timer::decode(&cell.value)?.when;
        step.limit = when.due(lost);
        is_held |= matches!(when, When::Paused(_));
    }
    shown.stuck = stuck(&shown, is_held, now, registry);
    Ok(Some(shown))
}
