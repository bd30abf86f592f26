//! A batch: deliveries taken from the log, the timers and the inbox; and which consumers a message has.

use std::sync::Arc;

use factum_core::{
    envelope::{Kind, Stored},
    rejection::Refused,
    stream::Position,
};
use serde::{Deserialize, Serialize};

use crate::{
    inbox::Input,
    registry::{ConsumerId, Registry},
    tail::Frame,
    timers::Due,
};

/// One thing to run.
pub(super) enum Delivery {
    /// A message of the log for one consumer.
    Log { frame: Arc<Frame>, index: usize, consumer: ConsumerId },
    /// A timer that is due.
    Timer(Due),
    /// From outside.
    Input(Input),
}

impl Delivery {
    /// Where its message stands in the log.
    pub(super) fn position(&self) -> Option<Position> {
        match self {
            Self::Log { frame, index, .. } => Some(frame.messages[*index].position),
            Self::Timer(_) | Self::Input(_) => None,
        }
    }
}

/// What was taken.
#[derive(Default)]
pub(super) struct Batch {
    /// In the order in which they were taken.
    pub(super) deliveries: Vec<Delivery>,
    /// The log was looked at up to here.
    pub(super) through: Position,
    /// Its order may be changed by [`super::Arrange`]: then it is run whole or not at all.
    pub(super) shuffled: bool,
}

/// The data of a message of kind rejection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rejected {
    /// The command's type.
    pub(crate) command: String,
    /// The stream in which the command stands: its sender.
    pub(crate) sender: String,
    /// The no.
    #[serde(flatten)]
    pub(crate) refused: Refused,
}

/// The consumers of a message, in their order.
pub(super) fn route<'a>(registry: &'a Registry, stored: &Stored, one: &'a mut [ConsumerId; 1]) -> &'a [ConsumerId] {
    let single = match stored.envelope().kind {
        Kind::Event => return registry.readers(stored.type_name()),
        Kind::Command => registry.addressee(stored.type_name()),
        Kind::Call | Kind::Receipt => None,
        Kind::Rejection => serde_json::from_slice::<Rejected>(&stored.message.data)
            .ok()
            .and_then(|rejected| registry.hears_rejections(rejected.sender.split('-').next().unwrap_or_default())),
    };
    match single {
        None => &[],
        Some(consumer) => {
            one[0] = consumer;
            one
        }
    }
}

/// Whether a message is for this consumer.
pub(super) fn is_for(registry: &Registry, stored: &Stored, consumer: ConsumerId) -> bool {
    if let Some(group) = registry.group(consumer) {
        return stored.envelope().kind == Kind::Event && group.takes(stored.type_name());
    }
    route(registry, stored, &mut [ConsumerId(0)]).contains(&consumer)
}
