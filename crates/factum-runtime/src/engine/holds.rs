//! Held keys: what is passed over behind a message that has failed or is not due yet, and what waits for what.
//!
//! A short list of positions stands in the key's cell. Past its bound, what was passed over is found again by reading the
//! consumer's part of the log from a position on; that position is the consumer's cursor of a moment between two batches,
//! so that nothing in front of it and everything behind it was passed over.

use std::collections::{BTreeMap, BTreeSet};

use factum_core::{
    Timestamp,
    cell::Cell,
    error::{NotYet, StoreError},
    letter::{Held, Key, LetterId, MAX_PASSED, Why},
    stream::Position,
};

use super::stage::Stage;
use crate::registry::{ConsumerId, Handler, Registry};

/// A held key, by number and key.
pub(super) type At = (ConsumerId, Key);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Holds {
    by_consumer: BTreeMap<ConsumerId, BTreeMap<Key, Held>>,
    /// Those whose cells must be written.
    changed: BTreeSet<At>,
    /// Those that were held or freed in this batch.
    begun_and_ended: BTreeSet<At>,
    releasing: BTreeSet<At>,
    /// Pull groups: their workers fetch what waits behind keys that are released.
    groups: BTreeSet<ConsumerId>,
    /// Those of their released keys that list nothing that waits.
    empty: BTreeSet<At>,
    /// Those that wait for a time.
    limits: BTreeSet<(Timestamp, ConsumerId, Key)>,
    /// Which keys wait for a message of this type and key.
    forerunners: BTreeMap<(ConsumerId, String, String), BTreeSet<Key>>,
}

impl Holds {
    /// Reads held keys from their cells. Those of consumers that no service has stay in the store.
    pub(super) fn load(registry: &Registry, cells: Vec<Cell>) -> Result<Self, StoreError> {
        let groups = registry.groups().map(|(id, _)| id).collect();
        let mut holds = Self { groups, ..Self::default() };
        for cell in cells {
            let mut held = Held::decode(&cell.value)?;
            if let Why::NotYet { wait: NotYet { forerunner: Some((name, _)), .. }, .. } = &mut held.why {
                *name = registry.upcasters.today(name).to_owned();
            }
            if let Some(id) = registry.named(&held.consumer) {
                holds.index(id, &held);
                holds.by_consumer.entry(id).or_default().insert(held.key.clone(), held);
            }
        }
        Ok(holds)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_consumer.is_empty()
    }

    /// Whether a consumer has held keys at all.
    pub(super) fn any(&self, id: ConsumerId) -> bool {
        self.by_consumer.contains_key(&id)
    }

    pub(super) fn get(&self, id: ConsumerId, key: &Key) -> Option<&Held> {
        self.by_consumer.get(&id)?.get(key)
    }

    pub(super) fn has(&self, id: ConsumerId, key: &Key) -> bool {
        self.get(id, key).is_some()
    }

    /// All held keys.
    pub(super) fn all(&self) -> impl Iterator<Item = (ConsumerId, &Held)> {
        self.by_consumer.iter().flat_map(|(id, keys)| keys.values().map(move |held| (*id, held)))
    }

    /// The held keys of one consumer.
    pub(super) fn of(&self, id: ConsumerId) -> impl Iterator<Item = &Held> {
        self.by_consumer.get(&id).into_iter().flat_map(BTreeMap::values)
    }

    /// How many messages wait.
    pub(super) fn waiting(&self) -> u64 {
        self.all().map(|(_, held)| held.waiting()).sum()
    }

    /// Those whose messages are being run.
    pub(super) fn releasing(&self) -> Vec<At> {
        self.releasing.iter().cloned().collect()
    }

    /// Keys of groups that are released and list nothing; told once.
    pub(super) fn take_empty(&mut self) -> BTreeSet<At> {
        std::mem::take(&mut self.empty)
    }

    /// Keys of groups whose cells must be written.
    pub(super) fn changed_of_groups(&self) -> Vec<At> {
        self.changed.iter().filter(|(id, _)| self.groups.contains(id)).cloned().collect()
    }

    /// Whether any are.
    pub(super) fn any_releasing(&self) -> bool {
        !self.releasing.is_empty()
    }

    /// The keys that wait for a message of this type and key.
    pub(super) fn waiting_for(&self, id: ConsumerId, type_name: &str, key: &str) -> Vec<Key> {
        if self.forerunners.is_empty() {
            return Vec::new();
        }
        let waiting = self.forerunners.get(&(id, type_name.to_owned(), key.to_owned()));
        waiting.into_iter().flatten().cloned().collect()
    }

    /// When the next key is called once more.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.limits.first().map(|(until, ..)| *until)
    }

    /// Lets go of keys whose limit has passed.
    pub(super) fn let_go_at(&mut self, mark: Timestamp) {
        while let Some((until, id, key)) = self.limits.first().cloned()
            && until <= mark
        {
            self.limits.pop_first();
            self.release(id, &key);
        }
    }

    /// Holds a key behind a letter. What was passed over already stays.
    pub(super) fn hold(&mut self, registry: &Registry, id: ConsumerId, key: &Key, letter: LetterId, since: Timestamp) {
        self.put(registry, id, key, Why::Letter(letter), since);
    }

    /// Holds a key because its first message, at this position, said that it is too early.
    pub(super) fn wait(
        &mut self,
        registry: &Registry,
        id: ConsumerId,
        key: &Key,
        (position, until): (Position, Timestamp),
        wait: NotYet,
        since: Timestamp,
    ) {
        self.put(registry, id, key, Why::NotYet { wait, until }, since);
        let Some(held) = self.change(id, key) else { return };
        held.too_early = Some((position, until));
        if held.passed.front() != Some(&position) {
            held.passed.push_front(position);
        }
    }

    /// Holds an instance of a saga whose version the program lacks.
    pub(super) fn lacks(&mut self, registry: &Registry, id: ConsumerId, key: &Key, version: u32, since: Timestamp) {
        self.put(registry, id, key, Why::Version(version), since);
    }

    /// Lets go of instances that this program may run: each finds out by itself whether it does.
    pub(super) fn try_versions(&mut self, registry: &Registry) {
        let known = |id: ConsumerId, version: u32| match registry.consumer(id).handler {
            Handler::Saga(at) => registry.service(id).sagas[at].version(version).is_some(),
            _ => false,
        };
        let waiting = self.all().filter(|(id, held)| matches!(held.why, Why::Version(version) if known(*id, version)));
        let freed: Vec<At> = waiting.map(|(id, held)| (id, held.key.clone())).collect();
        freed.iter().for_each(|(id, key)| self.release(*id, key));
    }

    /// Until when the message at this position may say that it is too early, if it has said so before.
    pub(super) fn limit_of(&self, id: ConsumerId, key: &Key, position: Position) -> Option<Timestamp> {
        let (at, until) = self.get(id, key)?.too_early?;
        (at == position).then_some(until)
    }

    /// Notes a message that waits. The consumer had handled everything up to `cursor` before this batch.
    pub(super) fn pass_over(&mut self, id: ConsumerId, key: &Key, position: Position, cursor: Position) -> usize {
        let known = self.changed.contains(&(id, key.clone()));
        let Some(held) = self.by_consumer.get_mut(&id).and_then(|keys| keys.get_mut(key)) else { return 0 };
        match held.more_from {
            Some(from) if position >= from => {
                held.more += 1;
                return 0;
            }
            None if held.passed.len() >= MAX_PASSED && !known && position > cursor => {
                (held.more_from, held.more) = (Some(Position(cursor.0 + 1)), 1);
            }
            // In front of what is read again: one that waited behind another key before.
            Some(_) | None => held.passed.push_back(position),
        }
        self.changed.insert((id, key.clone()));
        if known { 10 } else { held.bytes() }
    }

    /// Notes a message of a held key that does not wait, so that it is not found behind the list.
    pub(super) fn skip(&mut self, id: ConsumerId, key: &Key, position: Position) {
        let long = self.get(id, key).is_some_and(|held| held.more_from.is_some_and(|from| from <= position));
        if long && let Some(held) = self.change(id, key) {
            held.skipped.push(position);
        }
    }

    /// Begins to run what was passed over.
    pub(super) fn release(&mut self, id: ConsumerId, key: &Key) {
        let Some(mut held) = self.get(id, key).cloned() else { return };
        self.unindex(id, &held);
        held.why = Why::Releasing;
        self.index(id, &held);
        self.by_consumer.entry(id).or_default().insert(key.clone(), held);
        self.changed.insert((id, key.clone()));
    }

    /// The next message that waits; `None` if none is listed.
    pub(super) fn front(&self, id: ConsumerId, key: &Key) -> Option<Position> {
        self.get(id, key)?.passed.front().copied()
    }

    /// The next message has been run, or waits in another way.
    pub(super) fn pop(&mut self, id: ConsumerId, key: &Key) {
        if let Some(held) = self.change(id, key) {
            held.passed.pop_front();
        }
    }

    /// A message of a group that waited is settled; says whether it was one. It may stand behind others that came in front of it
    /// while a worker had it.
    pub(super) fn settle(&mut self, id: ConsumerId, key: &Key, position: Position) -> bool {
        let waiting = |held: &Held| held.passed.iter().position(|passed| *passed == position);
        let Some(index) = self.get(id, key).and_then(waiting) else { return false };
        let Some(held) = self.change(id, key) else { return false };
        held.passed.remove(index);
        if held.passed.is_empty() && held.why == Why::Releasing {
            self.empty.insert((id, key.clone()));
        }
        true
    }

    /// As [`Holds::pop`], from the wrong end.
    pub(super) fn pop_back(&mut self, id: ConsumerId, key: &Key) {
        if let Some(held) = self.change(id, key) {
            held.passed.pop_back();
        }
    }

    /// Whether a message waits behind one of a consumer's keys, as far as they list it.
    pub(super) fn waits_already(&self, id: ConsumerId, position: Position) -> bool {
        self.of(id).any(|held| held.passed.contains(&position))
    }

    /// Whether what waits behind a key is being run.
    pub(super) fn is_releasing(&self, id: ConsumerId, key: &Key) -> bool {
        self.releasing.contains(&(id, key.clone()))
    }

    /// Puts a message in front of those that wait.
    pub(super) fn push_front(&mut self, id: ConsumerId, key: &Key, position: Position) {
        if let Some(held) = self.change(id, key) {
            held.passed.push_front(position);
        }
    }

    /// Puts a message of a group among those that wait, which stand in the order of the log.
    pub(super) fn insert(&mut self, id: ConsumerId, key: &Key, position: Position) {
        if let Some(held) = self.change(id, key) {
            let index = held.passed.partition_point(|passed| *passed < position);
            held.passed.insert(index, position);
        }
    }

    /// Lists messages that were found by reading; `from` is where to read on, if there may be more.
    pub(super) fn found(&mut self, id: ConsumerId, key: &Key, positions: Vec<Position>, from: Option<Position>) {
        if let Some(held) = self.change(id, key) {
            held.more = held.more.saturating_sub(positions.len() as u64);
            held.passed.extend(positions);
            held.more_from = from;
            if from.is_none() {
                held.more = 0;
                held.skipped.clear();
            }
        }
    }

    /// Counts what stands in the log behind the list.
    pub(super) fn count(&mut self, id: ConsumerId, key: &Key, more: u64) {
        if let Some(held) = self.by_consumer.get_mut(&id).and_then(|keys| keys.get_mut(key)) {
            held.more = more;
        }
    }

    /// Nothing waits any more: the key is free.
    pub(super) fn free(&mut self, id: ConsumerId, key: &Key) {
        let Some(keys) = self.by_consumer.get_mut(&id) else { return };
        let gone = keys.remove(key);
        if keys.is_empty() {
            self.by_consumer.remove(&id);
        }
        if let Some(held) = gone {
            self.unindex(id, &held);
            self.changed.insert((id, key.clone()));
            self.begun_and_ended.insert((id, key.clone()));
        }
    }

    /// Puts the cells onto the stage that have changed.
    pub(super) fn write(&mut self, registry: &Registry, stage: &mut Stage) -> Result<(), StoreError> {
        for (id, key) in std::mem::take(&mut self.changed) {
            let cell = Held::cell(&registry.consumer(id).name, &key);
            stage.cell(cell, self.get(id, &key).map(Held::encode).transpose()?);
        }
        Ok(())
    }

    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Those that were held or freed since this was last asked.
    pub(super) fn take_begun_and_ended(&mut self) -> BTreeSet<At> {
        std::mem::take(&mut self.begun_and_ended)
    }

    fn put(&mut self, registry: &Registry, id: ConsumerId, key: &Key, why: Why, since: Timestamp) {
        let held = match self.get(id, key).cloned() {
            Some(held) => {
                self.unindex(id, &held);
                Held { why, ..held }
            }
            None => Held {
                consumer: registry.consumer(id).name.clone(),
                key: key.clone(),
                why,
                since,
                too_early: None,
                passed: Default::default(),
                more_from: None,
                skipped: Vec::new(),
                more: 0,
            },
        };
        self.index(id, &held);
        self.by_consumer.entry(id).or_default().insert(key.clone(), held);
        self.changed.insert((id, key.clone()));
        self.begun_and_ended.insert((id, key.clone()));
    }

    fn change(&mut self, id: ConsumerId, key: &Key) -> Option<&mut Held> {
        let held = self.by_consumer.get_mut(&id)?.get_mut(key)?;
        self.changed.insert((id, key.clone()));
        Some(held)
    }

    fn index(&mut self, id: ConsumerId, held: &Held) {
        match &held.why {
            Why::Letter(_) | Why::Version(_) => {}
            Why::Releasing if self.groups.contains(&id) => {
                if held.passed.is_empty() {
                    self.empty.insert((id, held.key.clone()));
                }
            }
            Why::Releasing => _ = self.releasing.insert((id, held.key.clone())),
            Why::NotYet { wait, until } => {
                self.limits.insert((*until, id, held.key.clone()));
                if let Some((type_name, key)) = &wait.forerunner {
                    let waiting = self.forerunners.entry((id, type_name.clone(), key.clone())).or_default();
                    waiting.insert(held.key.clone());
                }
            }
        }
    }

    fn unindex(&mut self, id: ConsumerId, held: &Held) {
        match &held.why {
            Why::Letter(_) | Why::Version(_) => {}
            Why::Releasing => {
                let at = (id, held.key.clone());
                self.releasing.remove(&at);
                self.empty.remove(&at);
            }
            Why::NotYet { wait, until } => {
                self.limits.remove(&(*until, id, held.key.clone()));
                if let Some((type_name, key)) = &wait.forerunner {
                    let forerunner = (id, type_name.clone(), key.clone());
                    if let Some(waiting) = self.forerunners.get_mut(&forerunner) {
                        waiting.remove(&held.key);
                        if waiting.is_empty() {
                            self.forerunners.remove(&forerunner);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use factum_core::{letter::Subject, reaction::Folding, service::Service};

    use super::*;

    /// One that waited behind another key before stands in front of what is read again: it must be listed, however long
    /// the list is.
    #[test]
    fn a_message_from_another_key_is_listed_in_a_full_list() {
        let counting = Folding::<u64>::new("count", 1);
        let registry = Registry::new(vec![Service::new("books").folding(counting)]).unwrap();
        let (id, key) = (registry.named("books.count").unwrap(), Key::Ordered("a".to_owned()));
        let letter = LetterId::new("books.count", Subject::Message(Position(1)));
        let mut holds = Holds::default();
        holds.hold(&registry, id, &key, letter, Timestamp::UNIX_EPOCH);
        for position in 2..2 + MAX_PASSED as u64 {
            holds.pass_over(id, &key, Position(position), Position(position - 1));
        }
        holds.changed.clear();
        holds.pass_over(id, &key, Position(500), Position(9_000));
        let held = holds.get(id, &key).unwrap();
        assert_eq!((held.passed.back(), held.more_from, held.waiting()), (Some(&Position(500)), None, 1_025));
        holds.changed.clear();
        holds.pass_over(id, &key, Position(9_002), Position(9_001));
        let held = holds.get(id, &key).unwrap();
        assert_eq!((held.more_from, held.waiting()), (Some(Position(9_002)), 1_026), "and the log has the rest");
    }
}
