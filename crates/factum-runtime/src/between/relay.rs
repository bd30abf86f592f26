//! The relay: publishes what a unit's log holds for others, in the order of the log.
//!
//! It keeps how far it is, and what it has published last on each lane, in one cell, which is written after the broker has
//! acknowledged. So after a crash it publishes some once more, each with the same position and the same link to the one before it:
//! who reads knows them again (`factum_core::lane`). Every doubt about what a publisher has got through ends that publisher; the
//! next one begins where the cell says.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use factum_core::{
    carried,
    envelope::{Kind, Stored},
    error::StoreError,
    id::Name,
    lane::Home,
    ports::{
        Reader, Scan,
        transport::{Lane, Parcel, Publisher, TopicSpec, TransportError},
    },
    stream::Position,
};
use serde::{Deserialize, Serialize};

use super::{Between, Kept, commands_topic, events_topic, relay_cell};
use crate::{
    engine::Rejected,
    registry::{PLATFORM, Registry},
    sabotage,
};

/// Bytes of the log that are read at once.
const BYTES: usize = 1 << 20;
/// The cell is written also if nothing was published for so many positions.
const FAR: u64 = 10_000;

/// Why nothing more is published.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RelayError {
    /// The broker.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The own log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A topic has got another number of lanes: keys would come on other lanes than before, out of their order.
    #[error(
        "topic {topic} has {now} lanes, and had {then} when it was used first: messages of one key would overtake each other; \
         give it {then} again, or name another topic"
    )]
    Lanes {
        /// The topic.
        topic: Arc<str>,
        /// How many it had.
        then: u32,
        /// How many it has.
        now: u32,
    },
    /// A message that no topic takes.
    #[error("message {position} of type `{type_name}` cannot be published, and nothing behind it is: {why}")]
    Message {
        /// Its place.
        position: Position,
        /// Its type.
        type_name: String,
        /// What is wrong.
        why: String,
    },
}

/// How far it is, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sent {
    /// Everything up to here was published, or is for nobody.
    position: Position,
    /// How many lanes each topic has.
    topics: BTreeMap<Arc<str>, u32>,
    /// What was published last, by lane.
    lanes: BTreeMap<String, Position>,
}

/// See the module.
pub struct Relay {
    registry: Arc<Registry>,
    reader: Arc<dyn Reader>,
    between: Between,
    /// Whose messages it publishes.
    own: BTreeSet<Name>,
    publisher: Option<Box<dyn Publisher>>,
    sent: Sent,
    /// The position that is kept.
    kept: Position,
    /// Topics that were looked at since the start.
    known: HashMap<Arc<str>, u32>,
    published: u64,
    /// What is published only when the cell is written: a planted bug.
    #[cfg(feature = "sabotage")]
    late: Vec<(Lane, Parcel)>,
}

impl Relay {
    /// The relay of a unit; `reader` shows its log as it is stored.
    ///
    /// # Errors
    /// [`StoreError`] if its cell cannot be read.
    pub fn open(registry: Arc<Registry>, reader: Arc<dyn Reader>, between: Between) -> Result<Self, StoreError> {
        let sent = match reader.cell(&relay_cell())? {
            None => Sent::default(),
            Some(cell) => serde_json::from_slice(&cell.value)
                .map_err(|error| StoreError::Corrupt(format!("how far the relay is cannot be read: {error}")))?,
        };
        let services = registry.services.iter().filter(|service| service.name != PLATFORM);
        let own = services.flat_map(|service| [service.name.clone(), service.source.clone()]).collect();
        let kept = sent.position;
        Ok(Self {
            registry,
            reader,
            between,
            own,
            publisher: None,
            sent,
            kept,
            known: HashMap::new(),
            published: 0,
            #[cfg(feature = "sabotage")]
            late: Vec::new(),
        })
    }

    /// Everything up to here was published, or is for nobody.
    pub fn position(&self) -> Position {
        self.sent.position
    }

    /// Messages that were published since the start.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Publishes what stands in the log up to a position, as much as comes at once. Answers what is to be kept of that, durably, at
    /// any time from now on; nothing if there is nothing that must be.
    ///
    /// # Errors
    /// [`RelayError`]; asked again it begins where it was.
    pub fn round(&mut self, until: Position) -> Result<Option<Kept>, RelayError> {
        if until <= self.sent.position {
            return Ok(None);
        }
        let scan = Scan { after: self.sent.position, until, bytes: BYTES, types: None };
        let scanned = self.reader.scan(&scan)?;
        let (mut next, mut batch) = (self.sent.clone(), Vec::new());
        for stored in &scanned.messages {
            let Some(topic) = self.topic(stored) else { continue };
            let lanes = self.lanes(&topic, &mut next)?;
            let number = self.between.transport.lane_of(&stored.envelope().partition_key, lanes);
            let lane = Lane { topic, number };
            let before = next.lanes.insert(lane.to_string(), stored.position).unwrap_or(Position::START);
            let (unit, lineage) = (self.between.unit.clone(), self.reader.lineage());
            let home = Home { unit, lineage, position: stored.position, before };
            let parcel = carried::pack(stored, &home).map_err(|error| refused(stored, error.to_string()))?;
            batch.push((stored, (lane, parcel)));
        }
        next.position = scanned.through;
        if !batch.is_empty() {
            self.publish(batch)?;
        }
        let is_due = next.lanes != self.sent.lanes || next.position.0 >= self.kept.0 + FAR;
        self.sent = next;
        if !is_due {
            return Ok(None);
        }
        self.kept = self.sent.position;
        Ok(Some(self.cell()?))
    }

    fn cell(&self) -> Result<Kept, RelayError> {
        let value = serde_json::to_vec(&self.sent).map_err(|error| StoreError::Unfit(error.to_string()))?;
        Ok((relay_cell(), value))
    }

    fn publish(&mut self, batch: Vec<(&Stored, (Lane, Parcel))>) -> Result<(), RelayError> {
        let (stored, batch): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        #[cfg(feature = "sabotage")]
        let batch = match sabotage::is("relay-cursor-first") {
            true => std::mem::replace(&mut self.late, batch),
            false => batch,
        };
        let mut publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => self.between.transport.publisher(&publisher_name(&self.between.unit))?,
        };
        match publisher.publish(&batch) {
            Ok(_) => {
                self.published += batch.len() as u64;
                self.publisher = Some(publisher);
                Ok(())
            }
            Err(error @ TransportError::TooLarge { at, .. }) => {
                self.publisher = Some(publisher);
                Err(stored.get(at).map_or(error.clone().into(), |stored| refused(stored, error.to_string())))
            }
            // What it got through nobody knows: the next one publishes the same again.
            Err(error) => Err(error.into()),
        }
    }

    /// Where a message goes; nothing if it stays.
    fn topic(&self, stored: &Stored) -> Option<Arc<str>> {
        let envelope = stored.envelope();
        if !self.own.contains(&envelope.source) {
            return None;
        }
        let today = self.registry.upcasters.today(&envelope.type_name);
        match envelope.kind {
            Kind::Event => {
                let declared = self.registry.types.get(today)?;
                let is_public = !declared.info.own && !self.registry.is_saga_type(today);
                is_public.then(|| events_topic(today))
            }
            Kind::Command => self.between.neighbours.answers(today).map(|service| commands_topic(service)),
            Kind::Rejection if sabotage::is("rejection-not-sent-back") => None,
            Kind::Rejection => {
                let rejected: Rejected = serde_json::from_slice(&stored.message.data).ok()?;
                let category = rejected.sender.split('-').next().unwrap_or_default();
                self.between.neighbours.owner(category).map(|service| commands_topic(service))
            }
            Kind::Call | Kind::Receipt => None,
        }
    }

    /// How many lanes a topic has; it is made when it is used first, and its number is kept.
    fn lanes(&mut self, topic: &Arc<str>, next: &mut Sent) -> Result<u32, RelayError> {
        if let Some(lanes) = self.known.get(topic) {
            next.topics.insert(topic.clone(), *lanes);
            return Ok(*lanes);
        }
        let wanted = TopicSpec { name: topic.clone(), lanes: self.between.lanes, keeps: None };
        let now = self.between.transport.topic(&wanted)?;
        let then = *next.topics.entry(topic.clone()).or_insert(now);
        if then != now {
            return Err(RelayError::Lanes { topic: topic.clone(), then, now });
        }
        self.known.insert(topic.clone(), now);
        Ok(now)
    }
}

/// The name under which a unit's relay publishes: a broker that fences ends an earlier one.
fn publisher_name(unit: &Name) -> String {
    match sabotage::is("relay-without-fencing") {
        true => format!("factum-{unit}-{}", uuid::Uuid::new_v4()),
        false => format!("factum-{unit}"),
    }
}

fn refused(stored: &Stored, why: String) -> RelayError {
    RelayError::Message { position: stored.position, type_name: stored.type_name().to_owned(), why }
}
