//! The order within a batch: as taken, or shuffled by a seed. Nothing else in the engine knows of shuffling.

use std::collections::BTreeMap;

use super::batch::{Batch, Delivery};
use crate::registry::ConsumerId;

/// How the deliveries of a batch are ordered.
#[derive(Debug)]
pub enum Arrange {
    /// As taken: the order of the log.
    AsTaken,
    /// Interleaved at random, but in order per consumer, key and source, which is all that the delivery contract
    /// promises. For tests: nothing may come to rely on more.
    Shuffled(fastrand::Rng),
}

/// What a batch takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portion {
    /// Messages of the log at most.
    pub(super) messages: usize,
    /// Whether it takes inputs although there are messages, or only if there is none.
    pub(super) inputs: Turn,
    /// Whether its order may be changed.
    pub(super) shuffled: bool,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Messages and inputs, together.
    Both,
    /// Messages; inputs if there is nothing else.
    Messages,
    /// Inputs; messages if there is nothing else.
    Inputs,
}

impl Arrange {
    /// Shuffled by a seed.
    pub fn shuffled(seed: u64) -> Self {
        Self::Shuffled(fastrand::Rng::with_seed(seed))
    }

    /// What the next batch takes. `as_taken`: it must be run in the order of the log.
    pub(super) fn portion(&mut self, messages: usize, as_taken: bool) -> Portion {
        match self {
            Self::Shuffled(random) if !as_taken => {
                // The cursor cannot tell which messages of a shuffled batch were run: it holds one or the other.
                let inputs = if random.bool() { Turn::Inputs } else { Turn::Messages };
                Portion { messages: random.usize(1..=64), inputs, shuffled: true }
            }
            Self::AsTaken | Self::Shuffled(_) => Portion { messages, inputs: Turn::Both, shuffled: false },
        }
    }

    /// Puts a batch into the order in which it is run.
    pub(super) fn order(&mut self, batch: &mut Batch) {
        let Self::Shuffled(random) = self else { return };
        if !batch.shuffled {
            return;
        }
        let mut groups: BTreeMap<Group<'_>, Vec<usize>> = BTreeMap::new();
        for (index, delivery) in batch.deliveries.iter().enumerate() {
            groups.entry(group(delivery)).or_default().push(index);
        }
        let mut place = vec![0u64; batch.deliveries.len()];
        for members in groups.values() {
            let mut places: Vec<u64> = members.iter().map(|_| random.u64(..)).collect();
            places.sort_unstable();
            for (member, at) in members.iter().zip(places) {
                place[*member] = at;
            }
        }
        drop(groups);
        let mut placed: Vec<_> = place.into_iter().zip(batch.deliveries.drain(..)).collect();
        placed.sort_by_key(|(place, _)| *place);
        batch.deliveries.extend(placed.into_iter().map(|(_, delivery)| delivery));
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Group<'a> {
    Log(ConsumerId, &'a str, &'a str),
    Timer(&'a str),
    Input,
}

fn group(delivery: &Delivery) -> Group<'_> {
    match delivery {
        Delivery::Log { frame, index, consumer } => {
            let envelope = frame.messages[*index].envelope();
            Group::Log(*consumer, &envelope.partition_key, &envelope.source)
        }
        Delivery::Timer(due) => Group::Timer(&due.name),
        Delivery::Input(_) => Group::Input,
    }
}
