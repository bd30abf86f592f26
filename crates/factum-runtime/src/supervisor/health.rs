//! How a unit stands: well, degraded (it works, and a person should look), or not ready.

use std::collections::BTreeMap;

use factum_core::cache::CacheShown;
use serde::Serialize;

use crate::{
    between::BetweenShown,
    engine::{Bound, EngineHealth, SagaCount},
    groups::GroupState,
    outward::{Dependency, State},
    views::{NeedsPerson, ViewState},
};

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything runs.
    Ok,
    /// Commands are carried out, and something waits for a person.
    Degraded,
    /// Commands are not carried out now.
    NotReady,
}

/// How a unit stands, for people.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitHealth {
    /// In one word.
    pub status: Status,
    /// Why it is not `ok`: sentences.
    pub reasons: Vec<String>,
    /// The last durable position.
    pub head: u64,
    /// What an acknowledged command survives.
    pub durability: &'static str,
    /// The engine.
    pub engine: EngineHealth,
    /// The pull groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupState>,
    /// The views, by table.
    pub views: BTreeMap<&'static str, ViewState>,
    /// Why the rows cannot be written now.
    pub rows: Option<String>,
    /// Why the outward loop does not read now.
    pub outward: Option<String>,
    /// How it stands with other units; nothing if it is the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<BetweenShown>,
    /// Those whom calls ask, and whether they are asked now.
    pub dependencies: Vec<Dependency>,
    /// The caches, with their hits and misses.
    pub caches: Vec<CacheShown>,
    /// Bounds of memory, and their use.
    pub memory: Vec<Bound>,
    /// Loops that have ended although nobody told them to.
    pub ended: Vec<String>,
    /// What the app says of itself, by what it speaks of.
    pub about: BTreeMap<&'static str, String>,
}

impl UnitHealth {
    /// How a unit stands of which only the engine is known; for tests of what shows it.
    pub fn of(head: u64, durability: &'static str, engine: EngineHealth) -> Self {
        let health = Self {
            status: Status::Ok,
            reasons: Vec::new(),
            head,
            durability,
            engine,
            groups: Vec::new(),
            views: BTreeMap::new(),
            rows: None,
            outward: None,
            between: None,
            dependencies: Vec::new(),
            caches: Vec::new(),
            memory: Vec::new(),
            ended: Vec::new(),
            about: BTreeMap::new(),
        };
        health.judge()
    }

    /// Whether it may still do its work without a new start.
    pub fn is_live(&self) -> bool {
        self.engine.failed.is_none() && self.ended.is_empty()
    }

    /// Whether everything runs, and nothing waits for a person.
    pub fn is_well(&self) -> bool {
        self.status == Status::Ok
    }

    /// Whether commands are carried out.
    pub fn is_ready(&self) -> bool {
        self.status != Status::NotReady
    }

    /// Finds the word and the reasons.
    pub(super) fn judge(mut self) -> Self {
        let mut wrong: Vec<String> = Vec::new();
        wrong.extend(self.engine.failed.iter().map(|why| format!("the engine has stopped: {why}; start again")));
        wrong.extend(self.engine.waiting.iter().map(|why| format!("the store cannot be used: {why}")));
        wrong.extend(self.ended.iter().map(|name| format!("the loop {name} has ended; start again")));
        if self.engine.refusals >= MANY_REFUSALS {
            let count = self.engine.refusals;
            wrong.push(format!("{count} commits in a row were refused; they are tried again"));
        }
        let mut poor: Vec<String> = Vec::new();
        if self.engine.unread_streams > 0 {
            let streams = counted(self.engine.unread_streams, "stream holds", "streams hold");
            let unread = self.engine.unread.join(", ");
            poor.push(format!(
                "{streams} events that this program cannot read ({unread}): commands to such a stream are refused; deploy \
                 the version of the program that knows them"
            ));
        }
        if self.engine.letters > 0 {
            let letters = counted(self.engine.letters as u64, "letter waits", "letters wait");
            let held = counted(self.engine.held, "message waits", "messages wait");
            poor.push(format!("{letters} for a person, {held} behind"));
        }
        poor.extend(self.engine.sagas.iter().filter_map(needs_person));
        poor.extend(self.engine.sagas.iter().filter_map(lacks_version));
        let stopped = self.engine.stopped.iter();
        poor.extend(
            stopped.map(|it| format!("{} has stopped at position {}: {}", it.consumer, it.position, it.reason)),
        );
        for (table, view) in &self.views {
            poor.extend(view.stopped.iter().map(|why| format!("the view of {table} has stopped: {why}")));
            poor.extend(view.needs_person.iter().map(|rows| waiting_rows(table, rows)));
            let from = view.incomplete_from.iter();
            poor.extend(from.map(|from| format!("the rows of {table} may be incomplete from position {from} on")));
        }
        poor.extend(self.rows.iter().map(|why| format!("rows cannot be written: {why}")));
        poor.extend(self.outward.iter().map(|why| format!("calls wait: {why}")));
        if let Some(between) = &self.between {
            poor.extend(between.relay.waits.iter().map(|why| format!("nothing is published for other units: {why}")));
            poor.extend(between.waits.iter().map(|why| format!("nothing of other units is taken in: {why}")));
            let stuck = between.lanes.iter();
            poor.extend(stuck.map(|it| format!("lane {} stands still for unit {}: {}", it.lane, it.unit, it.problem)));
        }
        poor.extend(self.dependencies.iter().filter_map(left_alone));
        self.status = match (wrong.is_empty(), poor.is_empty()) {
            (false, _) => Status::NotReady,
            (true, false) => Status::Degraded,
            (true, true) => Status::Ok,
        };
        self.reasons = wrong.into_iter().chain(poor).collect();
        self
    }
}

/// Of a saga whose instances need a person.
fn needs_person(count: &SagaCount) -> Option<String> {
    let SagaCount { saga, needs_person, who, .. } = count;
    let counted = counted(*needs_person, "process needs", "processes need");
    let more = if *needs_person > who.len() as u64 { ", …" } else { "" };
    (*needs_person > 0).then(|| format!("{counted} a person: {}{more} (`factum sagas show {saga}-…`)", who.join(", ")))
}

/// Of rows that need a person.
fn waiting_rows(table: &str, NeedsPerson { count, who, hint }: &NeedsPerson) -> String {
    let counted = counted(*count, "row", "rows");
    let need = if *count == 1 { "needs" } else { "need" };
    let more = if *count > who.len() as u64 { ", …" } else { "" };
    format!("{counted} of {table} {need} a person: {}{more} ({hint})", who.join(", "))
}

/// Of a saga whose instances wait for a program that has their version.
fn lacks_version(count: &SagaCount) -> Option<String> {
    let SagaCount { saga, version, open, .. } = count;
    let waiting = counted(*open, "process waits", "processes wait");
    let remedy = "start a program that has it too, or move them from one that has both";
    (!count.known && *open > 0).then(|| format!("{waiting} for version {version} of {saga}: {remedy}"))
}

/// Of a dependency whose breaker is not closed.
fn left_alone(dependency: &Dependency) -> Option<String> {
    if dependency.state == State::Closed {
        return None;
    }
    let Dependency { name, attempts, failed, waiting, .. } = dependency;
    if dependency.state == State::Unserved {
        let waiting = counted(*waiting, "call waits", "calls wait");
        return Some(format!("{waiting} for a program that makes `{name}`: no service of this one does"));
    }
    let since = dependency.since.map(|since| format!(" since {since}")).unwrap_or_default();
    let reason = dependency.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let waiting = counted(*waiting, "call waits", "calls wait");
    Some(format!("{name} is left alone{since}: {failed} of {attempts} attempts failed{reason}; {waiting}"))
}

fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// Refused commits in a row that are no chance any more.
const MANY_REFUSALS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_need_a_person_degrade_and_are_named() {
        let rows = NeedsPerson { count: 4, who: vec!["p-1".to_owned()], hint: "`shop payments --open`" };
        let view = ViewState { needs_person: vec![rows], ..ViewState::default() };
        let mut health = UnitHealth::of(7, "sync", EngineHealth::default());
        health.views.insert("payments", view);
        let health = health.judge();
        assert_eq!(health.status, Status::Degraded);
        assert_eq!(health.reasons, ["4 rows of payments need a person: p-1, … (`shop payments --open`)"]);
    }
}
