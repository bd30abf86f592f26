//! How groups stand, for people.

use std::sync::atomic::Ordering;

use factum_core::{error::StoreError, group::Group, stream::Position};
use serde::Serialize;

use super::{
    leases::MOST_AHEAD,
    polling::{GroupError, Groups, lock},
};
use crate::{engine::EngineHealth, registry::ConsumerId};

/// How a group stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupState {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub types: Vec<&'static str>,
    /// Whether messages of one key are given out one after the other.
    pub ordered: bool,
    /// How long a lease is, in seconds.
    pub lease_seconds: f64,
    /// How often a message may fail before it is a letter.
    pub attempts: u32,
    /// Everything up to here is settled, a letter, or waits behind one.
    pub cursor: Position,
    /// Messages that are not settled yet. Of what was not read yet all messages count, whatever their type.
    pub lag: u64,
    /// How long the first of them has been there, in seconds; nothing if it was not read yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// Messages that workers have.
    pub leased: usize,
    /// Messages that have failed and are tried again.
    pub failed: usize,
    /// So many messages behind the cursor are settled, leased or waiting that no further ones are given out until the first of them
    /// is settled.
    pub full: bool,
    /// Keys that are held by letters, or released.
    pub held_keys: u64,
    /// Messages that wait behind them.
    pub held: u64,
    /// Letters.
    pub letters: u64,
    /// Polls under way: workers that wait.
    pub polls: usize,
    /// Why it gives out nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Groups {
    /// All groups, as far as they were read. Never waits for the store.
    pub fn stand(&self, engine: &EngineHealth) -> Vec<GroupState> {
        self.registry.groups().filter_map(|(id, group)| self.stands(id, group, engine)).collect()
    }

    /// The same, read on first. May wait for the store.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub fn list(&self, engine: &EngineHealth) -> Result<Vec<GroupState>, StoreError> {
        self.registry.groups().try_for_each(|(id, _)| self.catch_up(id))?;
        Ok(self.stand(engine))
    }

    /// One group, read on first. May wait for the store.
    ///
    /// # Errors
    /// [`GroupError`] if there is none of that name, or the log cannot be read.
    pub fn show(&self, name: &str, engine: &EngineHealth) -> Result<GroupState, GroupError> {
        let id = self.named(name)?;
        self.catch_up(id)?;
        let found = self.registry.group(id).and_then(|group| self.stands(id, group, engine));
        found.ok_or_else(|| GroupError::NoGroup(name.to_owned()))
    }

    fn stands(&self, id: ConsumerId, group: &Group, engine: &EngineHealth) -> Option<GroupState> {
        let out = self.out(id)?;
        let holds = engine.consumers.iter().find(|stands| stands.name == group.name()).cloned().unwrap_or_default();
        let (head, now) = (self.tail.head(), self.clock.mark());
        self.told.with(id, |told| {
            let mut leases = lock(&out.leases);
            leases.hears(told);
            let (read, ahead, first) = leases.unsettled();
            let unread = head.0.saturating_sub(read.0);
            let age = first.map(|first| now.duration_since(first).as_secs_f64().max(0.0));
            Some(GroupState {
                name: group.name().to_owned(),
                types: group.topics().into_iter().collect(),
                ordered: group.is_ordered(),
                lease_seconds: group.lease_time().as_secs_f64(),
                attempts: group.most_attempts(),
                cursor: told.settled.cursor,
                lag: ahead as u64 + unread,
                lag_seconds: age.or((unread == 0).then_some(0.0)),
                leased: leases.leased(),
                failed: told.settled.failed.len(),
                full: ahead + told.settled.beyond.len() >= MOST_AHEAD,
                held_keys: holds.held_keys,
                held: holds.held,
                letters: holds.letters,
                polls: out.polls.load(Ordering::Acquire),
                stopped: told.stopped.clone(),
            })
        })
    }
}
