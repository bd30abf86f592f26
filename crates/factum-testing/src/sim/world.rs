//! What is known when a run has come to rest, and how a broken promise is said.

use std::{fmt, sync::Arc};

use factum_core::{
    envelope::{Kind, Stored},
    payload::Payload,
    ports::{Reader, RowReader},
};

use super::peers::Effect;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's id.
    pub invariant: String,
    /// What was found.
    pub found: String,
}

impl Violation {
    /// A broken promise as a result.
    ///
    /// # Errors
    /// Always.
    pub fn found<T>(invariant: impl Into<String>, found: impl Into<String>) -> Result<T, Self> {
        Err(Self { invariant: invariant.into(), found: found.into() })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.found)
    }
}

/// Everything at rest: for checks of your own.
pub struct World<'a> {
    /// The log, read from the disk as the newest version of the program reads it.
    pub log: &'a [Stored],
    /// The reader itself.
    pub reader: &'a Arc<dyn Reader>,
    /// What the peers did, in order.
    pub effects: &'a [Effect],
    /// The rows of all views.
    pub rows: &'a dyn RowReader,
}

impl World<'_> {
    /// All events of the types of `P`, in order. One that cannot be read as `P` is left out.
    pub fn events<P: Payload>(&self) -> Vec<P> {
        let known: Vec<&str> = P::types().iter().map(|info| info.name).collect();
        let events = self.log.iter().filter(|stored| stored.envelope().kind == Kind::Event);
        events.filter(|stored| known.contains(&stored.type_name())).filter_map(|stored| stored.decode().ok()).collect()
    }

    /// How often an operation was done at the peers.
    pub fn done(&self, operation: &str) -> usize {
        self.effects.iter().filter(|effect| effect.operation == operation).count()
    }

    /// Whether one operation was done at the peers, and another after it.
    pub fn done_after(&self, first: &str, then: &str) -> bool {
        let last = |operation: &str| self.effects.iter().rposition(|effect| effect.operation == operation);
        last(first).is_some_and(|first| last(then).is_some_and(|then| then > first))
    }
}
