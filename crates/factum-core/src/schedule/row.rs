//! What is shown of a schedule: a row, and what is told of it at a time.

use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::{
    messages::ScheduleEvent,
    state::{Standing, State},
    times::Times,
};
use crate::row::{IndexValue, Row};

/// Times to come that are shown.
const NEXT: usize = 20;

/// A schedule as its events say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleRow {
    /// `<service>.<name>`.
    pub name: String,
    /// Why a person must look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_person: Option<String>,
    /// When it is looked at next.
    pub look: Option<Timestamp>,
    /// Everything else.
    pub state: State,
}

impl ScheduleRow {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), needs_person: None, look: None, state: State::default() }
    }

    pub(super) fn happened(&mut self, event: &ScheduleEvent, at: Timestamp) {
        self.state.happened(event, at);
        self.needs_person.clone_from(&self.state.attention);
        self.look = *event.clone().look();
    }
}

impl Row for ScheduleRow {
    const TABLE: &'static str = "factum_schedules";
    const INDEXES: &'static [&'static str] = &["needsPerson"];
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
    fn indexed(&self) -> Vec<IndexValue> {
        vec![IndexValue::of(&self.needs_person)]
    }
}

/// A time to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToCome {
    /// The time that is planned.
    pub scheduled: Timestamp,
    /// The same in the schedule's zone.
    pub local: String,
    /// When it is due, with its jitter.
    pub due: Timestamp,
}

/// A schedule as it stands at a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    /// `<service>.<name>`.
    pub name: String,
    /// `running`, `paused`, or `retired`: the program does not declare it any more.
    pub status: &'static str,
    /// Why a person must look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_person: Option<String>,
    /// The first occurrence that is due, if it should have run by now and has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue: Option<Timestamp>,
    /// The next times.
    pub next: Vec<ToCome>,
    /// Definition, pause, what is under way, the last endings.
    #[serde(flatten)]
    pub state: State,
}

impl Looked {
    /// How a row's schedule stands at a time, with its next times.
    pub fn at(row: ScheduleRow, now: Timestamp) -> Self {
        let ScheduleRow { name, needs_person, state, .. } = row;
        let status = match (state.standing, &state.paused) {
            (Standing::Retired | Standing::Unknown, _) => "retired",
            (Standing::Declared, Some(_)) => "paused",
            (Standing::Declared, None) => "running",
        };
        let times = state.definition.as_ref().and_then(|it| Some((Times::of(it).ok()?, it.late_after_secs)));
        let (mut next, mut overdue) = (Vec::new(), None);
        if let Some((times, tolerance)) = times.filter(|_| status != "retired") {
            let through = state.through.unwrap_or(now);
            let mut after = if status == "paused" { through.max(now) } else { through };
            while next.len() < NEXT
                && let Some(scheduled) = times.next(after)
            {
                let local = Zoned::new(scheduled, times.zone().clone()).to_string();
                next.push(ToCome { scheduled, local, due: times.due(&name, scheduled) });
                after = scheduled;
            }
            let tolerance = i64::try_from(tolerance).unwrap_or(i64::MAX);
            let late = |it: &&ToCome| now.duration_since(it.due).as_secs() > tolerance;
            overdue = next.first().filter(late).filter(|_| status == "running").map(|it| it.scheduled);
        }
        Self { name, status, needs_person, overdue, next, state }
    }
}
