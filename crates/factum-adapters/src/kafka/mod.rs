//! Kafka between units, through librdkafka.
//!
//! | promise of [`Transport`] | by |
//! |---|---|
//! | a key has one lane | the partitioner of Kafka's own clients (`murmur2`), so that others who publish with the same key meet ours |
//! | ordered | an idempotent producer with `acks=all`; a batch that fails is never followed by another of the same producer |
//! | fences | a batch is a transaction, and a publisher's name its `transactional.id`: a new one ends the others, and aborts what they had begun |
//! | what a fenced publisher had not finished is never read | consumers read what is committed |
//! | replays, from where the reader says | partitions are assigned, never subscribed to; `auto.offset.reset=error`, so that nothing is skipped |
//! | settle | the offsets of a group, for people and for tools that show lags; nothing here reads them |
//! | too large | told before anything is sent; topics are made, or found, with room for it |
//!
//! **Own assignment**, not a group's: a unit's leader takes all partitions itself, since the offsets are in its own log, in the
//! commits of what was read. A rebalance could only take a partition from who holds its offset. So the number of partitions is
//! noted where it is first used, and static membership, cooperative assignors and session time-outs have no say here.
//!
//! What an acknowledged message survives is the brokers' affair: one broker acknowledges from the memory of its machine
//! ([`Durability::Os`]) unless it is told to flush each message.

mod consumer;
mod error;
mod lanes;
mod publisher;
mod topics;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use factum_core::ports::transport::{
    Abilities, Consumer, Durability, Lane, Publisher, Start, TopicSpec, Transport, TransportError,
};
use rdkafka::{ClientConfig, admin::AdminClient, client::DefaultClientContext, consumer::BaseConsumer};

use self::{consumer::KafkaConsumer, error::away, publisher::KafkaPublisher};

/// How long brokers may take to answer at all.
const REACH: Duration = Duration::from_secs(5);
/// How long one question to the brokers may take, or one batch.
const ANSWER: Duration = Duration::from_secs(30);
/// Looks for what is about to be there.
const LOOK: Duration = Duration::from_millis(20);
/// Beside key, headers and body, a message takes so much at most on its way and on the disk.
const OVERHEAD: usize = 64 << 10;
/// The largest message, unless it is said: that of the platform with its envelope.
const LARGEST: usize = (1 << 20) + OVERHEAD;

/// How Kafka is reached and used.
#[derive(Clone)]
pub struct Options {
    /// Brokers to ask first: `host:port`, several by commas.
    pub brokers: String,
    /// Settings of the connection as librdkafka names them: `security.protocol`, `ssl.*`, `sasl.*`, `socket.*` (those of encrypted
    /// lines with the feature `kafka-tls`). What this adapter's promises rest on cannot be set.
    pub connection: BTreeMap<String, String>,
    /// Copies of each message in topics that are made here; as many as there are brokers, three at most, unless it is said.
    pub copies: Option<u16>,
    /// The largest message in bytes: key, headers and body.
    pub largest: usize,
}

impl Options {
    /// These brokers, without encryption, and otherwise what is usual.
    pub fn at(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned(), connection: BTreeMap::new(), copies: None, largest: LARGEST }
    }
}

/// Kafka as a broker between units.
pub struct Kafka {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    abilities: Abilities,
    brokers: usize,
    admin: AdminClient<DefaultClientContext>,
    /// Asks about topics, and makes none by asking.
    asking: BaseConsumer,
    /// Lanes of the topics that were met.
    lanes: Mutex<BTreeMap<Arc<str>, u32>>,
}

/// Reaches the brokers.
///
/// # Errors
/// [`TransportError::Permanent`] for a setting that is wrong or not free, [`TransportError::Away`] if no broker answers. No error
/// has a password in it.
pub fn open(options: Options) -> Result<Kafka, TransportError> {
    const FREE: [&str; 5] = ["security.protocol", "ssl.", "sasl.", "socket.", "client.rack"];
    let taken = options.connection.keys().find(|name| !FREE.iter().any(|free| name.starts_with(free)));
    if let Some(name) = taken {
        return Err(TransportError::Permanent(format!(
            "`{name}` is no setting of a connection: those that can be given begin with {}",
            FREE.join(", ")
        )));
    }
    let config = client(&options);
    let asking: BaseConsumer = config.create().map_err(error::wrong)?;
    let admin: AdminClient<DefaultClientContext> = config.create().map_err(error::wrong)?;
    let cluster = topics::cluster(&asking, &options.brokers)?;
    let brokers = cluster.brokers().len().max(1);
    let durability = match brokers {
        1 if topics::flushes(&admin, &cluster)? => Durability::Synced,
        1 => Durability::Os,
        _ => Durability::Copied,
    };
    let abilities =
        Abilities { ordered: true, replays: true, fences: true, delays: false, largest: options.largest, durability };
    Ok(Kafka { shared: Arc::new(Shared { options, abilities, brokers, admin, asking, lanes: Mutex::default() }) })
}

fn client(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in &options.connection {
        config.set(name, value);
    }
    config.set("bootstrap.servers", &options.brokers).set("client.id", "factum");
    // A connection that nobody uses is closed by the broker, which is no news.
    config.set("log.connection.close", "false");
    config
}

impl Shared {
    /// How many lanes a topic has, if it is there.
    fn lanes(&self, topic: &Arc<str>) -> Result<Option<u32>, TransportError> {
        let known = || self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lanes) = known().get(topic) {
            return Ok(Some(*lanes));
        }
        let lanes = topics::lanes(&self.asking, topic)?;
        if let Some(lanes) = lanes {
            known().insert(topic.clone(), lanes);
        }
        Ok(lanes)
    }

    /// Refuses a lane that is not there.
    fn is_lane(&self, lane: &Lane) -> Result<(), TransportError> {
        match self.lanes(&lane.topic)? {
            Some(lanes) if lane.number < lanes => Ok(()),
            Some(lanes) => Err(TransportError::Permanent(format!("there is no lane {lane}: the topic has {lanes}"))),
            None => Err(TransportError::Permanent(format!("there is no topic {}: make it first", lane.topic))),
        }
    }
}

impl Transport for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn abilities(&self) -> Abilities {
        self.shared.abilities
    }

    fn topic(&self, wanted: &TopicSpec) -> Result<u32, TransportError> {
        let Shared { admin, options, brokers, .. } = &*self.shared;
        if let Some(lanes) = topics::lanes(&self.shared.asking, &wanted.name)? {
            topics::check(admin, wanted, options)?;
            return Ok(lanes);
        }
        let most = i32::try_from(*brokers).unwrap_or(i32::MAX);
        let copies = options.copies.map_or(most.min(3), i32::from);
        topics::make(admin, wanted, options, copies)?;
        // Whoever made it, it is there with the lanes that it has.
        topics::wait_for(&self.shared.asking, &wanted.name)
    }

    fn lane_of(&self, key: &str, lanes: u32) -> u32 {
        lanes::lane_of(key.as_bytes(), lanes)
    }

    fn publisher(&self, name: &str) -> Result<Box<dyn Publisher>, TransportError> {
        Ok(Box::new(KafkaPublisher::begin(self.shared.clone(), name)?))
    }

    fn consumer(&self, name: &str, lanes: &[(Lane, Start)]) -> Result<Box<dyn Consumer>, TransportError> {
        for (lane, _) in lanes {
            self.shared.is_lane(lane)?;
        }
        Ok(Box::new(KafkaConsumer::begin(&self.shared, name, lanes).map_err(away)??))
    }
}
