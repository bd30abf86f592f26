//! Which commands from outside a stream remembers, to answer one that is sent again with the first receipt.
//!
//! A command is remembered for 24 hours, by the times of the commands and not by a clock, so that folding the log again
//! gives the same; as long as it is among the last 1,024 of the stream, or among the last 64 about one thing, where the
//! decider says what a command is about. A stream never remembers more than 65,536, which takes some 12 MiB.
//!
//! ```text
//!  oldest                                                                newest
//!  apart: only those that are among the last 64 │ recent: the last 1,024
//!         of their key and not older than 24 h  │
//! ```

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    num::NonZeroU64,
};

use factum_core::{
    id::MessageId,
    stream::{Position, StreamVersion},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeSeq};

use crate::sabotage;

/// Commands from outside that each stream remembers.
pub const REMEMBERED: usize = 1024;
/// Commands about one thing that are remembered among whatever number of others.
pub const REMEMBERED_BY_KEY: usize = 64;
/// Milliseconds for which they are.
pub const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;
/// Commands that a stream remembers in all.
pub const REMEMBERED_IN_ALL: usize = 65_536;
/// Where more are remembered than this, they are found by an index: looking through so many takes no longer.
const FEW: usize = 32;

/// A command from outside that was accepted on a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cause {
    pub(super) id: MessageId,
    pub(super) digest: u64,
    /// What it was about.
    pub(super) key: Option<NonZeroU64>,
    /// When it happened, in milliseconds since 1970.
    pub(super) at_ms: i64,
    /// With the last message that followed.
    pub(super) version: StreamVersion,
    /// [`Position::START`] while its commit is under way.
    pub(super) position: Position,
}

impl Cause {
    pub(super) fn new(
        id: &MessageId,
        (digest, key): (u64, Option<u64>),
        at: Timestamp,
        (version, position): (StreamVersion, Position),
    ) -> Self {
        let (key, at_ms) = (key.and_then(NonZeroU64::new), at.as_millisecond());
        Self { id: id.clone(), digest, key, at_ms, version, position }
    }
}

/// See the module. Versions rise from the oldest to the newest.
#[derive(Default)]
pub(super) struct Causes {
    recent: VecDeque<Cause>,
    more: Option<Box<More>>,
}

/// What only a stream with many callers needs.
#[derive(Default)]
struct More {
    apart: BTreeMap<StreamVersion, Cause>,
    /// The newest with this id.
    by_id: HashMap<MessageId, StreamVersion, foldhash::fast::RandomState>,
    /// The last of each key, oldest first. Never read in its own order.
    by_key: HashMap<NonZeroU64, VecDeque<StreamVersion>, foldhash::fast::RandomState>,
}

impl Causes {
    pub(super) fn len(&self) -> usize {
        self.recent.len() + self.more.as_ref().map_or(0, |more| more.apart.len())
    }

    /// About how many bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        // What finds them takes about twice as much as they do.
        self.len() * size_of::<Cause>() * if self.more.is_some() { 3 } else { 1 }
    }

    /// Remembers one more; of several messages of one command the last counts.
    pub(super) fn remember(&mut self, cause: Cause) {
        if let Some(last) = self.recent.back_mut()
            && last.id == cause.id
            && last.digest == cause.digest
        {
            if let Some(more) = &mut self.more {
                more.moved(last, cause.version);
            }
            (last.version, last.position, last.at_ms) = (cause.version, cause.position, cause.at_ms);
            return;
        }
        if self.recent.len() == FEW && self.more.is_none() {
            self.more = Some(Box::new(More::of(&self.recent)));
        }
        if let Some(more) = &mut self.more {
            more.add(&cause);
            let passed = (self.recent.len() == REMEMBERED).then(|| self.recent.pop_front()).flatten();
            if let Some(oldest) = passed {
                more.passed(oldest);
            }
            more.forget(cause.key, cause.at_ms);
        }
        self.recent.push_back(cause);
    }

    /// The command with this id that is not forgotten at this time.
    pub(super) fn find(&self, id: &MessageId, now: Timestamp) -> Option<&Cause> {
        let found = match &self.more {
            Some(more) => more.by_id.get(id).and_then(|version| self.of(*version)),
            None => self.recent.iter().rev().find(|cause| cause.id == *id),
        };
        let window = if sabotage::is("a-key-forgotten-in-its-window") { REMEMBERED_MS / 2 } else { REMEMBERED_MS };
        found.filter(|cause| age(cause.at_ms, now.as_millisecond()) <= window)
    }

    /// The command whose last message gave the stream this version.
    fn of(&self, version: StreamVersion) -> Option<&Cause> {
        match self.recent.binary_search_by_key(&version, |cause| cause.version) {
            Ok(index) => self.recent.get(index),
            Err(_) => self.more.as_ref()?.apart.get(&version),
        }
    }

    /// Notes where the last message of a command has come to stand.
    pub(super) fn place(&mut self, version: StreamVersion, position: Position) {
        let cause = match self.recent.binary_search_by_key(&version, |cause| cause.version) {
            Ok(index) => self.recent.get_mut(index),
            Err(_) => self.more.as_mut().and_then(|more| more.apart.get_mut(&version)),
        };
        if let Some(cause) = cause {
            cause.position = position;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Cause> {
        self.more.iter().flat_map(|more| more.apart.values()).chain(&self.recent)
    }
}

impl More {
    fn of(recent: &VecDeque<Cause>) -> Self {
        let mut more = Self::default();
        recent.iter().for_each(|cause| more.add(cause));
        more
    }

    fn add(&mut self, cause: &Cause) {
        self.by_id.insert(cause.id.clone(), cause.version);
        if let Some(key) = cause.key {
            self.by_key.entry(key).or_default().push_back(cause.version);
        }
    }

    /// The newest command has given the stream this version too.
    fn moved(&mut self, newest: &Cause, version: StreamVersion) {
        if let Some(known) = self.by_id.get_mut(&newest.id) {
            *known = version;
        }
        let last = newest.key.and_then(|key| self.by_key.get_mut(&key)?.back_mut());
        if let Some(known) = last.filter(|known| **known == newest.version) {
            *known = version;
        }
    }

    /// One is not among the recent ones any more: only its key can keep it.
    fn passed(&mut self, cause: Cause) {
        let last = cause.key.and_then(|key| self.by_key.get(&key));
        match last.and_then(|last| last.front()) {
            Some(oldest) if *oldest <= cause.version => _ = self.apart.insert(cause.version, cause),
            _ => self.drop(&cause),
        }
    }

    /// Forgets what is beyond the bounds now that one with this key has come.
    fn forget(&mut self, key: Option<NonZeroU64>, now_ms: i64) {
        if let Some(last) = key.and_then(|key| self.by_key.get_mut(&key))
            && last.len() > REMEMBERED_BY_KEY
            && let Some(beyond) = last.pop_front().and_then(|beyond| self.apart.remove(&beyond))
        {
            self.drop(&beyond);
        }
        let is_full = |apart: &BTreeMap<_, _>| apart.len() > REMEMBERED_IN_ALL - REMEMBERED;
        while let Some((_, oldest)) = self.apart.first_key_value()
            && (is_full(&self.apart) || age(oldest.at_ms, now_ms) > REMEMBERED_MS)
            && let Some((_, oldest)) = self.apart.pop_first()
        {
            self.drop(&oldest);
        }
    }

    fn drop(&mut self, cause: &Cause) {
        if self.by_id.get(&cause.id) == Some(&cause.version) {
            self.by_id.remove(&cause.id);
        }
        if let Some(key) = cause.key
            && let Some(last) = self.by_key.get_mut(&key)
        {
            if last.front() == Some(&cause.version) {
                last.pop_front();
            }
            if last.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }
}

/// Milliseconds from one time to a later one.
fn age(then: i64, now: i64) -> i64 {
    now.saturating_sub(then)
}

/// As a list, oldest first; remembered again in this order they are the same.
impl Serialize for Causes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        self.iter().try_for_each(|cause| list.serialize_element(cause))?;
        list.end()
    }
}

impl FromIterator<Cause> for Causes {
    fn from_iter<I: IntoIterator<Item = Cause>>(causes: I) -> Self {
        let mut all = Self::default();
        causes.into_iter().for_each(|cause| all.remember(cause));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many milliseconds after 1970.
    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn id(number: u64) -> MessageId {
        MessageId::derived(&[&number.to_string()])
    }

    fn cause(number: u64, key: u64, at_ms: i64) -> Cause {
        let (version, position) = (StreamVersion(number), Position(number));
        Cause { id: id(number), digest: number, key: NonZeroU64::new(key), at_ms, version, position }
    }

    fn known(causes: &Causes, numbers: impl IntoIterator<Item = u64>, now_ms: i64) -> Vec<u64> {
        numbers.into_iter().filter(|number| causes.find(&id(*number), at(now_ms)).is_some()).collect()
    }

    /// The same, as it comes back from a snapshot.
    fn again(causes: &Causes) -> Causes {
        let bytes = postcard::to_allocvec(causes).unwrap();
        let again: Causes = postcard::from_bytes::<Vec<Cause>>(&bytes).unwrap().into_iter().collect();
        assert!(again.iter().eq(causes.iter()), "a snapshot is the same");
        again
    }

    #[test]
    fn the_last_1024_are_remembered_and_no_more() {
        for count in [1, FEW as u64, FEW as u64 + 1, 1_024, 1_025, 3_000] {
            let causes: Causes = (1..=count).map(|number| cause(number, 0, 0)).collect();
            let oldest = count.saturating_sub(1_024) + 1;
            assert_eq!(causes.len() as u64, count - oldest + 1);
            for causes in [&causes, &again(&causes)] {
                assert_eq!(known(causes, 1..=count, 0), (oldest..=count).collect::<Vec<_>>(), "of {count}");
            }
        }
    }

    #[test]
    fn the_last_64_of_a_key_are_remembered_among_thousands_of_others() {
        for of_key in [1, 64, 65, 200] {
            let ours = (1..=of_key).map(|number| cause(number, 7, 0));
            let others = (1_001..=8_000).map(|number| cause(number, 0, 0));
            let causes: Causes = ours.chain(others).collect();
            let oldest = of_key.saturating_sub(64) + 1;
            for causes in [&causes, &again(&causes)] {
                assert_eq!(known(causes, 1..=of_key, 0), (oldest..=of_key).collect::<Vec<_>>(), "of {of_key}");
                assert_eq!(known(causes, 1_001..=8_000, 0), (8_000 - 1_023..=8_000).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn one_more_of_a_key_drives_out_the_oldest_of_it() {
        let others = |from: u64| (from..from + 2_000).map(|number| cause(number, 0, 0));
        let ours = (1..=64).map(|number| cause(number, 7, 0));
        let mut causes: Causes = ours.chain(others(1_000)).collect();
        assert_eq!(known(&causes, 1..=64, 0).len(), 64);
        causes.remember(cause(5_000, 7, 0));
        assert_eq!(known(&causes, [1, 2, 64, 5_000], 0), [2, 64, 5_000]);
        assert_eq!(causes.len(), 1_024 + 63);
        others(6_000).for_each(|cause| causes.remember(cause));
        assert_eq!(known(&causes, [1, 2, 64, 5_000], 0), [2, 64, 5_000]);
    }

    #[test]
    fn a_day_later_it_is_forgotten_whether_few_came_since_or_many() {
        let day = REMEMBERED_MS;
        for others in [0, 2_000] {
            let others = (2..2 + others).map(|number| cause(number, 0, day));
            let causes: Causes = [cause(1, 7, 0)].into_iter().chain(others).collect();
            for causes in [&causes, &again(&causes)] {
                assert_eq!(known(causes, [1], day), [1]);
                assert!(known(causes, [1], day + 1).is_empty());
            }
        }
        // Beyond the last 1,024 they do not even take room any more.
        let mut causes: Causes = (1..=2_000).map(|number| cause(number, number, 0)).collect();
        assert_eq!(causes.len(), 2_000);
        causes.remember(cause(3_000, 0, day));
        assert_eq!(causes.len(), 2_001);
        causes.remember(cause(3_001, 0, day + 1));
        assert_eq!(causes.len(), 1_024);
        assert_eq!(causes.more.as_ref().map(|more| (more.by_id.len(), more.by_key.len())), Some((1_024, 1_022)));
    }

    #[test]
    fn a_stream_never_remembers_more_than_65536() {
        let mut causes: Causes = (1..=65_536).map(|number| cause(number, number, 0)).collect();
        assert_eq!((causes.len(), known(&causes, [1, 2], 0)), (65_536, vec![1, 2]));
        causes.remember(cause(70_000, 1, 0));
        assert_eq!((causes.len(), known(&causes, [1, 2], 0)), (65_536, vec![2]));
    }

    #[test]
    fn several_messages_of_one_command_count_as_one_and_the_last_is_its_place() {
        for before in [0, 100, 2_000] {
            let mut causes: Causes = (1..=before).map(|number| cause(number, 7, 0)).collect();
            let first = cause(before + 1, 7, 5);
            causes.remember(first.clone());
            causes.remember(Cause { version: StreamVersion(before + 2), position: Position::START, ..first.clone() });
            causes.place(StreamVersion(before + 2), Position(99_999));
            causes.remember(cause(before + 3, 7, 5));
            for causes in [&causes, &again(&causes)] {
                let found = causes.find(&first.id, at(5)).unwrap();
                assert_eq!((found.version, found.position), (StreamVersion(before + 2), Position(99_999)));
            }
        }
    }

    #[test]
    fn one_that_came_back_after_a_day_is_remembered_by_its_second_time() {
        let day = REMEMBERED_MS;
        let mut causes: Causes = (1..=2_000).map(|number| cause(number, number % 3, 0)).collect();
        causes.remember(Cause { version: StreamVersion(3_000), ..cause(1_990, 1, day + 1) });
        assert_eq!(causes.find(&id(1_990), at(day + 1)).map(|cause| cause.version), Some(StreamVersion(3_000)));
        (4_000..5_023).for_each(|number| causes.remember(cause(number, 0, day + 1)));
        assert_eq!(known(&causes, [1_990], day + 1), [1_990]);
    }
}
