//! Pull groups: programs in any language fetch events at their own pace, and say of each whether it is done.
//!
//! A group is declared, and has no code here: its workers come from outside. What it promises them stands in `docs/groups.md`.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use crate::{
    id::check_name,
    payload::{Event, TypeInfo},
    stream::Position,
};

/// The shortest lease.
pub const MIN_LEASE: Duration = Duration::from_secs(1);
/// The longest lease.
pub const MAX_LEASE: Duration = Duration::from_secs(12 * 3_600);
/// The most attempts before a letter.
pub const MAX_ATTEMPTS: u32 = 1_000;
/// The lease of a group that does not say.
const LEASE: Duration = Duration::from_secs(30);
/// The attempts of a group that does not say.
const ATTEMPTS: u32 = 5;

/// Where a group begins that the log does not know yet. Afterwards its stored cursor counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the beginning of the log.
    #[default]
    Earliest,
    /// Behind what is there when it is first started.
    Latest,
    /// At its first message whose time is this or later.
    Time(Timestamp),
    /// At this position of the log.
    Position(Position),
}

/// A pull group: which events, and how they are given out. What is not said: from the beginning, a lease of 30 seconds, a letter
/// after 5 attempts, order per key.
///
/// ```text
/// Service::new("order").decider::<Order>().group(
///     Group::new("order-processors").reads::<OrderCreated>().reads::<OrderCancelled>().lease(1.minutes()),
/// )
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    name: String,
    types: Vec<TypeInfo>,
    start: Start,
    lease: Duration,
    attempts: u32,
    ordered: bool,
}

impl Group {
    /// A group that reads nothing yet. Its name is a consumer's: `a-z`, `0-9`, `.`, `_`, `-`, at most 128 characters, and it is
    /// the only consumer of that name.
    pub fn new(name: impl Into<String>) -> Self {
        let (types, start) = (Vec::new(), Start::Earliest);
        Self { name: name.into(), types, start, lease: LEASE, attempts: ATTEMPTS, ordered: true }
    }

    /// Reads the types of `E` too.
    #[must_use]
    pub fn reads<E: Event>(self) -> Self {
        self.reads_types(E::types())
    }

    /// Reads these types too.
    #[must_use]
    pub fn reads_types(mut self, types: impl IntoIterator<Item = TypeInfo>) -> Self {
        for info in types {
            if !self.takes(info.name) {
                self.types.push(info);
            }
        }
        self
    }

    /// Where it begins if it is new.
    #[must_use]
    pub fn start(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// If it is new it begins at the beginning of the log.
    #[must_use]
    pub fn earliest(self) -> Self {
        self.start(Start::Earliest)
    }

    /// If it is new it begins behind what is there.
    #[must_use]
    pub fn latest(self) -> Self {
        self.start(Start::Latest)
    }

    /// How long a worker has a message before another may get it: 1 second to 12 hours.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// How often a message may fail (a worker says so, or its lease runs out) until it becomes a letter: 1 to 1,000.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Gives up the order per key: all that is there may be under way at once, and what fails holds nothing up.
    #[must_use]
    pub fn unordered(self) -> Self {
        Self { ordered: false, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The types that it reads.
    pub fn types(&self) -> &[TypeInfo] {
        &self.types
    }

    /// Whether it reads events of a type, by today's name.
    pub fn takes(&self, type_name: &str) -> bool {
        self.types.iter().any(|info| info.name == type_name)
    }

    /// Where it begins if it is new.
    pub fn starts(&self) -> Start {
        self.start
    }

    /// How long a lease is.
    pub fn lease_time(&self) -> Duration {
        self.lease
    }

    /// How often a message may fail.
    pub fn most_attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether events of one key are given out one after the other.
    pub fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// What is wrong with it, as a sentence that says what to change.
    pub fn problem(&self) -> Option<String> {
        let name = &self.name;
        if let Err(error) = check_name("group", name) {
            return Some(error.to_string());
        }
        if self.types.is_empty() {
            return Some(format!("group {name} reads nothing: add `.reads::<…>()`"));
        }
        if !(MIN_LEASE..=MAX_LEASE).contains(&self.lease) {
            let (least, most) = (MIN_LEASE.as_secs(), MAX_LEASE.as_secs() / 3_600);
            return Some(format!("group {name}: a lease lasts {least} second to {most} hours"));
        }
        let wrong = !(1..=MAX_ATTEMPTS).contains(&self.attempts);
        wrong.then(|| format!("group {name}: 1 to {MAX_ATTEMPTS} attempts are made of a message"))
    }

    /// The names of its types, in order.
    pub fn topics(&self) -> BTreeSet<&'static str> {
        self.types.iter().map(|info| info.name).collect()
    }
}
