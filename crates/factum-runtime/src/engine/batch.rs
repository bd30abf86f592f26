//! A batch: deliveries taken from the log, the timers and the inbox, in the order in which they are run.

use std::{collections::BTreeMap, sync::Arc};

use factum_core::{
    envelope::{Kind, Stored},
    rejection::Refused,
};
use serde::{Deserialize, Serialize};

use crate::{
    inbox::Input,
    registry::{ConsumerId, Registry},
    tail::Frame,
    timers::Timer,
};

/// One thing to run.
pub(super) enum Delivery {
    /// A message of the log for one consumer.
    Log { frame: Arc<Frame>, index: usize, consumer: ConsumerId },
    /// A timer that is due.
    Timer { name: String, timer: Timer },
    /// From outside.
    Input(Input),
}

/// The data of a message of kind rejection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rejected {
    /// The command's type.
    pub(super) command: String,
    /// The stream in which the command stands: its sender.
    pub(super) sender: String,
    /// The no.
    #[serde(flatten)]
    pub(super) refused: Refused,
}

/// The consumers of a message, in their order.
pub(super) fn route<'a>(registry: &'a Registry, stored: &Stored, one: &'a mut [ConsumerId; 1]) -> &'a [ConsumerId] {
    let single = match stored.envelope().kind {
        Kind::Event => return registry.readers(stored.type_name()),
        Kind::Command => registry.addressee(stored.type_name()),
        Kind::Call => None,
        Kind::Rejection => serde_json::from_slice::<Rejected>(&stored.message.data)
            .ok()
            .and_then(|rejected| registry.saga(rejected.sender.split('-').next().unwrap_or_default())),
    };
    match single {
        None => &[],
        Some(consumer) => {
            one[0] = consumer;
            one
        }
    }
}

/// How the deliveries of a batch are ordered.
#[derive(Debug)]
pub enum Arrange {
    /// As taken: the order of the log.
    AsTaken,
    /// Interleaved at random, but in order per consumer, key and source, which is all that the delivery contract
    /// promises. For tests: nothing may come to rely on more.
    Shuffled(fastrand::Rng),
}

impl Arrange {
    /// Shuffled by a seed.
    pub fn shuffled(seed: u64) -> Self {
        Self::Shuffled(fastrand::Rng::with_seed(seed))
    }

    /// Whether a batch holds either messages of the log or inputs, and if so, whether it is the inputs' turn.
    pub(super) fn inputs_turn(&mut self) -> Option<bool> {
        match self {
            Self::AsTaken => None,
            Self::Shuffled(random) => Some(random.bool()),
        }
    }

    /// How many messages of the log to take at most.
    pub(super) fn messages(&mut self, most: usize) -> usize {
        match self {
            Self::AsTaken => most,
            Self::Shuffled(random) => random.usize(1..=64),
        }
    }

    /// The order in which to run a batch, as indexes into it.
    pub(super) fn order(&mut self, batch: &[Delivery]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..batch.len()).collect();
        let Self::Shuffled(random) = self else { return order };
        let mut groups: BTreeMap<Group<'_>, Vec<usize>> = BTreeMap::new();
        for (index, delivery) in batch.iter().enumerate() {
            groups.entry(group(delivery)).or_default().push(index);
        }
        let mut place = vec![0u64; batch.len()];
        for members in groups.values() {
            let mut places: Vec<u64> = members.iter().map(|_| random.u64(..)).collect();
            places.sort_unstable();
            for (member, at) in members.iter().zip(places) {
                place[*member] = at;
            }
        }
        order.sort_by_key(|index| place[*index]);
        order
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
        Delivery::Timer { name, .. } => Group::Timer(name),
        Delivery::Input(_) => Group::Input,
    }
}
