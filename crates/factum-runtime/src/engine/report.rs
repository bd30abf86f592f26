//! How the engine stands, for people: its cursor, its consumers, and each bound with its use.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use factum_core::{letter::Held, pipeline::Figures, stream::Position};
use jiff::Timestamp;
use serde::Serialize;

use super::{Engine, Work, instances::SagaCount};
use crate::{
    registry::{ConsumerId, Registry},
    shapes::{Shapes, Unread},
};

/// How the engine stands, for people.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineHealth {
    /// Handled up to here.
    pub cursor: u64,
    /// Open calls.
    pub calls: usize,
    /// Waiting timers.
    pub timers: usize,
    /// Letters that wait for a person.
    pub letters: usize,
    /// Messages that wait behind held keys.
    pub held: u64,
    /// Open instances of sagas, by definition and version.
    pub sagas: Vec<SagaCount>,
    /// How the pipelines stand, by their consumers' names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pipelines: BTreeMap<String, Figures>,
    /// Consumers that stopped, and why.
    pub stopped: Vec<StoppedConsumer>,
    /// Cursors whose consumers no service has any more.
    pub orphans: Vec<String>,
    /// Commits that were refused in a row; they are tried again and again.
    #[serde(skip_serializing_if = "is_zero")]
    pub refusals: u32,
    /// Why nothing can be stored or read now; it is tried again and again.
    pub waiting: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
    /// Why the engine itself does not run.
    pub failed: Option<String>,
    /// Streams that hold events which the program cannot read: commands to them are refused.
    #[serde(skip_serializing_if = "is_none")]
    pub unread_streams: u64,
    /// Those events, as `<type> <version>`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// Bytes of cached states, about.
    pub state_bytes: usize,
    /// At most so many.
    pub state_bytes_limit: usize,
    /// Bytes of timers in memory, about.
    pub timer_bytes: usize,
    /// Events of others that came without correlation since the start, by source.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub uncorrelated: BTreeMap<String, u64>,
    /// So many in all.
    #[serde(skip)]
    pub uncorrelated_total: u64,
    /// All consumers that are not joined, or hold something; the others are with the engine.
    #[serde(skip)]
    pub consumers: Vec<Stands>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A consumer that stopped in front of a message.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoppedConsumer {
    /// Its name.
    pub consumer: String,
    /// The message that it failed on.
    pub position: u64,
    /// What the handler said.
    pub reason: String,
}

/// A bound, and how much of it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// Of what.
    pub of: &'static str,
    /// `bytes`, `messages`, …
    pub unit: &'static str,
    /// Now.
    pub used: u64,
    /// At most; nothing if it grows with what is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Where a consumer of the engine stands.
#[derive(Clone, Debug, Default)]
pub struct Stands {
    /// Its name.
    pub name: String,
    /// Its own cursor, if it is apart.
    pub apart: Option<Position>,
    /// Why it does not go on.
    pub stopped: Option<String>,
    /// Its state is being made anew.
    pub renewed: bool,
    /// Keys that it holds.
    pub held_keys: u64,
    /// Messages that wait behind them.
    pub held: u64,
    /// Its letters.
    pub letters: u64,
}

impl EngineHealth {
    /// The last message that a consumer of the engine has handled.
    pub fn stands(&self, consumer: &str) -> Position {
        let apart = self.consumers.iter().find(|stands| stands.name == consumer).and_then(|stands| stands.apart);
        apart.unwrap_or(Position(self.cursor))
    }
}

/// The health, as others may look at it.
pub(super) type Shared = Arc<Mutex<EngineHealth>>;

/// The health at a start. What cannot be read does not change while the program runs.
pub(super) fn begin(shapes: &Shapes) -> Shared {
    let name = |unread: &Unread| format!("{} {}", unread.shape.type_name, unread.shape.version);
    let unread: BTreeSet<String> = shapes.unread.iter().map(name).collect();
    let health = EngineHealth {
        unread_streams: shapes.streams(),
        unread: unread.into_iter().collect(),
        ..EngineHealth::default()
    };
    Arc::new(Mutex::new(health))
}

/// While there is work, what is counted over all letters and held keys is counted anew only every so many steps.
const COUNT_EVERY: u32 = 16;

impl Engine {
    /// Notes how everything stands now.
    pub(super) fn report(&mut self, at_rest: bool) {
        self.steps = self.steps.wrapping_add(1);
        let work = &self.work;
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.cursor = self.submit.stands.0;
        health.calls = work.calls.len() + work.answers.len();
        health.timers = work.timers.len();
        health.letters = work.letters.open();
        health.refusals = self.refusals;
        (health.state_bytes, health.state_bytes_limit) = (work.states.bytes(), work.limits.state_bytes);
        health.timer_bytes = work.timers.bytes();
        if health.uncorrelated_total != work.uncorrelated.total {
            health.uncorrelated_total = work.uncorrelated.total;
            health.uncorrelated.clone_from(&work.uncorrelated.by_source);
        }
        let orphans = || work.consumers.orphans.iter().chain(&work.groups.orphans);
        if !health.orphans.iter().eq(orphans()) {
            health.orphans = orphans().cloned().collect();
        }
        if !at_rest && !self.steps.is_multiple_of(COUNT_EVERY) && health.stopped.len() == work.consumers.stopped() {
            return;
        }
        health.sagas = work.instances.counts();
        health.pipelines = work.folds.figures(&self.registry);
        let quiet = health.consumers.is_empty() && health.held == 0 && health.letters == 0;
        if quiet && work.consumers.all_apart().next().is_none() && work.holds.all().next().is_none() {
            health.stopped.clear();
        } else {
            health.held = work.holds.waiting();
            health.consumers = stands(&self.registry, work);
            let stopped = work.consumers.all_apart().filter_map(|(id, apart)| {
                Some(StoppedConsumer {
                    consumer: self.registry.consumer(id).name.clone(),
                    position: apart.cursor.0 + 1,
                    reason: apart.stopped.clone()?,
                })
            });
            health.stopped = stopped.collect();
        }
    }
}

fn stands(registry: &Registry, work: &Work) -> Vec<Stands> {
    let mut stands = Vec::new();
    for index in 0..registry.consumers.len() {
        let id = ConsumerId(index);
        let name = &registry.consumer(id).name;
        let held: Vec<&Held> = work.holds.of(id).collect();
        let letters = work.letters.of(name) as u64;
        let apart = work.consumers.apart(id);
        if held.is_empty() && apart.is_none() && letters == 0 {
            continue;
        }
        stands.push(Stands {
            name: name.clone(),
            apart: apart.map(|apart| apart.cursor),
            stopped: apart.and_then(|apart| apart.stopped.clone()),
            renewed: work.consumers.is_renewed(id),
            held_keys: held.len() as u64,
            held: held.iter().map(|held| held.waiting()).sum(),
            letters,
        });
    }
    // Views have letters too; where they stand they say themselves.
    for name in work.letters.consumers().filter(|name| registry.named(name).is_none()) {
        let letters = work.letters.of(name) as u64;
        stands.push(Stands { name: name.to_owned(), letters, ..Stands::default() });
    }
    stands
}
