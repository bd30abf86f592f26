//! Which instances of sagas are asking: an undo's call is made when none of its instance's other calls is being made.

use std::collections::{HashMap, hash_map::Entry};

use super::Lane;

/// See the module. By stream.
#[derive(Default)]
pub(super) struct Instances(HashMap<String, UnderWay>);

#[derive(Default)]
struct UnderWay {
    attempts: usize,
    /// Undos that wait until there is none.
    behind: Vec<Lane>,
}

impl Instances {
    /// An attempt of an instance begins.
    pub(super) fn begins(&mut self, instance: &str) {
        self.0.entry(instance.to_owned()).or_default().attempts += 1;
    }

    /// Lets an undo wait, if an attempt of its instance is under way; says whether it waits.
    pub(super) fn holds_up(&mut self, instance: &str, lane: &Lane) -> bool {
        let Some(under_way) = self.0.get_mut(instance) else { return false };
        under_way.behind.push(lane.clone());
        true
    }

    /// An attempt of an instance has ended. Answers the undos that may be made now.
    pub(super) fn ends(&mut self, instance: String) -> Vec<Lane> {
        let Entry::Occupied(mut under_way) = self.0.entry(instance) else { return Vec::new() };
        under_way.get_mut().attempts -= 1;
        match under_way.get().attempts {
            0 => under_way.remove().behind,
            _ => Vec::new(),
        }
    }
}
