//! What the engine tells of the groups, outside its thread: what is settled and durable, and which keys are held.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use factum_core::{
    letter::{Held, Why},
    stream::Position,
};
use tokio::sync::watch;

use super::settled::Settled;
use crate::registry::ConsumerId;

/// What is durable of a group.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What is settled.
    pub settled: Settled,
    /// Keys that are held: what is new of them waits.
    pub held: BTreeSet<String>,
    /// Those of them that are being released, with the message that is next.
    pub released: BTreeMap<String, Position>,
    /// Why the group does not go on.
    pub stopped: Option<String>,
}

impl Told {
    /// Notes how a key stands.
    pub(crate) fn key(&mut self, key: &str, stands: KeyStands) {
        match stands {
            KeyStands::Free => _ = self.held.remove(key),
            KeyStands::Held | KeyStands::Released(_) => _ = self.held.insert(key.to_owned()),
        }
        match stands {
            KeyStands::Released(front) => _ = self.released.insert(key.to_owned(), front),
            KeyStands::Free | KeyStands::Held => _ = self.released.remove(key),
        }
    }
}

/// How a key of a group stands.
#[derive(Clone, Copy)]
pub(crate) enum KeyStands {
    Free,
    /// What is new of it waits.
    Held,
    /// It is being released, and this message is next.
    Released(Position),
}

impl KeyStands {
    pub(crate) fn of(held: Option<&Held>) -> Self {
        let Some(held) = held else { return Self::Free };
        match held.passed.front().filter(|_| held.why == Why::Releasing) {
            Some(front) => Self::Released(*front),
            None => Self::Held,
        }
    }
}

/// Of all groups.
#[derive(Debug)]
pub struct ToldAll {
    groups: Mutex<BTreeMap<ConsumerId, Told>>,
    changes: watch::Sender<u64>,
}

impl Default for ToldAll {
    fn default() -> Self {
        Self { groups: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl ToldAll {
    /// Changes what is told, and wakes those who wait for it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut BTreeMap<ConsumerId, Told>)) {
        change(&mut self.lock());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Looks at what is told of a group. The engine waits as long as that takes.
    pub fn with<T>(&self, group: ConsumerId, look: impl FnOnce(&Told) -> T) -> T {
        look(self.lock().entry(group).or_default())
    }

    /// Follows changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConsumerId, Told>> {
        // Whatever stands there is durable, and told whole again at the next load.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
