//! Every reader of a unit's log, and where it stands.

use factum_core::{
    ports::{Clock, Reader, Scan},
    stream::Position,
};
use jiff::Timestamp;
use serde::Serialize;

use super::{Unit, lock};
use crate::{
    engine::EngineHealth,
    groups::Groups,
    publishers::{self, Shown},
    registry::{Handler, Registry},
    views::{Progress, consumer_of},
};

impl Unit {
    /// All types of messages that its services declare: who makes them, who reads them, what in them tells of a person.
    pub fn types(&self) -> Vec<Shown> {
        publishers::shown(&self.registry)
    }

    /// All consumers: the engine's, the groups and the views.
    pub fn consumers(&self) -> Vec<ConsumerState> {
        let (engine, reader) = (lock(&self.health).clone(), self.committer.reader());
        list(&self.registry, &engine, &self.groups, &self.progress, &*reader, &*self.clock)
    }
}

/// What kind of reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsumerKind {
    /// Answers commands of the log.
    Decider,
    /// Reacts to events.
    Reaction,
    /// Reacts, and has a state of its own.
    Folding,
    /// A process over several services.
    Saga,
    /// A pull group: programs outside fetch its events.
    Group,
    /// Writes rows.
    View,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// It reads with its engine.
    Joined,
    /// It reads by itself until it meets the engine.
    Behind,
    /// Its state is made anew; it acts again when it is where it stood.
    Renewed,
    /// It does not go on.
    Stopped,
}

/// A reader of the log.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerState {
    /// `<service>.<handler>`, or `view:<table>`.
    pub name: String,
    /// What kind.
    pub kind: ConsumerKind,
    /// How it stands.
    pub standing: Standing,
    /// It has handled everything up to here, but for what is held.
    pub cursor: Position,
    /// Messages between there and the log's end, of all types.
    pub lag: u64,
    /// How long the first of those has been there, in seconds.
    pub lag_seconds: f64,
    /// Keys that it holds.
    pub held_keys: u64,
    /// Messages that wait behind them.
    pub held: u64,
    /// Its letters.
    pub letters: u64,
    /// Why it has stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Lists them.
fn list(
    registry: &Registry,
    engine: &EngineHealth,
    groups: &Groups,
    progress: &Progress,
    reader: &dyn Reader,
    clock: &dyn Clock,
) -> Vec<ConsumerState> {
    let head = reader.head();
    let mark = clock.mark();
    let mut times: Vec<(Position, f64)> = Vec::new();
    let mut waiting = |cursor: Position| match times.iter().find(|(known, _)| *known == cursor) {
        Some((_, seconds)) => *seconds,
        None => {
            let seconds = since(reader, cursor, head, mark);
            times.push((cursor, seconds));
            seconds
        }
    };
    let mut list = Vec::new();
    let groups = groups.stand(engine);
    for consumer in &registry.consumers {
        let stands = engine.consumers.iter().find(|stands| stands.name == consumer.name).cloned().unwrap_or_default();
        let group = groups.iter().find(|group| group.name == consumer.name);
        let own = group.map(|group| group.cursor).or(stands.apart);
        let cursor = own.unwrap_or(Position(engine.cursor));
        list.push(ConsumerState {
            name: consumer.name.clone(),
            kind: match consumer.handler {
                Handler::Decider(_) => ConsumerKind::Decider,
                Handler::Reaction(_) => ConsumerKind::Reaction,
                Handler::Folding(_) => ConsumerKind::Folding,
                Handler::Saga(_) => ConsumerKind::Saga,
                Handler::Group(_) => ConsumerKind::Group,
            },
            standing: match (&stands.stopped, stands.renewed, stands.apart) {
                (Some(_), ..) => Standing::Stopped,
                (None, true, _) => Standing::Renewed,
                (None, false, Some(_)) => Standing::Behind,
                (None, false, None) => Standing::Joined,
            },
            cursor,
            // Its cursor stands still where nothing is for it.
            lag: group.map_or(head.0.saturating_sub(cursor.0), |group| group.lag),
            lag_seconds: group.and_then(|group| group.lag_seconds).unwrap_or_else(|| waiting(cursor)),
            held_keys: stands.held_keys,
            held: stands.held,
            letters: stands.letters,
            reason: stands.stopped,
        });
    }
    for (table, state) in progress.all() {
        let name = consumer_of(table);
        list.push(ConsumerState {
            kind: ConsumerKind::View,
            standing: match (&state.stopped, state.live) {
                (Some(_), _) => Standing::Stopped,
                (None, true) => Standing::Joined,
                (None, false) => Standing::Behind,
            },
            cursor: state.position,
            lag: head.0.saturating_sub(state.position.0),
            lag_seconds: waiting(state.position),
            held_keys: 0,
            held: 0,
            letters: engine.consumers.iter().find(|stands| stands.name == name).map_or(0, |stands| stands.letters),
            reason: state.stopped,
            name,
        });
    }
    list
}

/// How long the message behind a cursor has been there. A log that cannot be read now says nothing.
fn since(reader: &dyn Reader, cursor: Position, head: Position, mark: Timestamp) -> f64 {
    if cursor >= head {
        return 0.0;
    }
    let scan = Scan { after: cursor, until: Position(cursor.0 + 1), bytes: 1, types: None };
    let first = reader.scan(&scan).ok().and_then(|scanned| scanned.messages.into_iter().next());
    let age = first.map(|stored| mark.duration_since(stored.envelope().timestamp).as_secs_f64());
    age.unwrap_or_default().max(0.0)
}
