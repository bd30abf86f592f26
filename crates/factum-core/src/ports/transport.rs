//! The port of what stands between units: a broker that carries messages on lanes.
//!
//! A *lane* is what a broker keeps in order: a topic's partition, a shard of subjects, a queue. Who publishes chooses it by the
//! message's key; who reads says where each lane begins, and keeps the offsets: the broker's own memory of them is never asked.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;

/// What a broker can do, as data: who needs what it lacks is refused when it starts, with a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// What is published on a lane comes in that order. Without it a unit's messages of one key may overtake each other.
    pub ordered: bool,
    /// A lane can be read again, from its beginning, an offset or a time.
    pub replays: bool,
    /// A publisher ends every earlier one of its name, wherever that one runs.
    pub fences: bool,
    /// A message can be held back for a time.
    pub delays: bool,
    /// The largest message: key, headers and body, in bytes.
    pub largest: usize,
    /// What an acknowledged message survives.
    pub durability: Durability,
}

/// What a message survives that a broker has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the broker's machine: it is on its disk.
    Synced,
    /// The end of one machine: others have it, perhaps only in memory.
    Copied,
    /// The end of the broker's process: the operating system has it.
    Os,
    /// Nothing: it is in the broker's memory alone.
    Memory,
}

impl Durability {
    /// The word for people and for health.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "sync",
            Self::Copied => "copies",
            Self::Os => "os",
            Self::Memory => "memory",
        }
    }
}

/// A topic as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: Arc<str>,
    /// How many lanes it has. A broker without lanes has one.
    pub lanes: u32,
    /// How long it must keep what it carries, at least; `None` where the broker decides.
    pub keeps: Option<Duration>,
}

/// A lane of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The topic.
    pub topic: Arc<str>,
    /// Its number, from 0.
    pub number: u32,
}

/// `<topic>/<number>`.
impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// The place of a message on its lane, in the broker's own words. Only that broker can compare two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Offset(pub Box<str>);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a lane begins for who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the first message that is still there.
    Earliest,
    /// Behind all that is there.
    Latest,
    /// With the first message that the broker took then or later.
    At(Timestamp),
    /// Behind a message that was read.
    After(Offset),
}

/// A message as it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    /// Messages of one key are on one lane.
    pub key: Option<Arc<str>>,
    /// Short texts beside it, in this order.
    pub headers: Vec<(String, String)>,
    /// What it says.
    pub body: Vec<u8>,
    /// For so long nobody is given it.
    pub delay: Option<Duration>,
}

impl Parcel {
    /// Bytes that count against the largest message.
    pub fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.as_deref().map_or(0, str::len) + headers + self.body.len()
    }

    /// The text of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A message as it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it came.
    pub lane: Lane,
    /// Its place there.
    pub offset: Offset,
    /// When the broker took it, if it says so.
    pub at: Option<Timestamp>,
    /// The message.
    pub parcel: Parcel,
}

/// What a broker answers when it cannot do its work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransportError {
    /// It may pass by itself.
    #[error("the broker cannot be used now: {0}")]
    Away(String),
    /// Another publisher of this name has begun since. Nothing of what was handed in here since then will ever be read.
    #[error("another publisher of the same name has begun: {0}")]
    Fenced(String),
    /// One message is over the broker's limit; nothing was published.
    #[error(
        "message {at} of {bytes} bytes is too large for the topic, which takes {largest}: send its body another way"
    )]
    TooLarge {
        /// Its place in the batch.
        at: usize,
        /// Its size.
        bytes: usize,
        /// The limit.
        largest: usize,
    },
    /// What was to be read next is no longer there.
    #[error(
        "lane {lane} no longer has what stands behind offset {after}: it begins with {earliest} now, and what was between them must \
         come from where it was made"
    )]
    Gone {
        /// The lane.
        lane: Lane,
        /// The last offset that was read.
        after: Offset,
        /// The first one that is there.
        earliest: Offset,
    },
    /// It cannot do this at all, or not as it is configured.
    #[error("{0}")]
    Permanent(String),
}

/// A broker. An implementation keeps these promises, and says by [`Abilities`] which of them it cannot:
///
/// - The lane of a key is always the same one as long as its topic has as many lanes.
/// - What is published is read once by each consumer that began before it, unless the broker loses it.
/// - On an *ordered* lane messages come in the order in which they were published, by whomever.
/// - What it lacks is refused, and not done in some other way.
pub trait Transport: Send + Sync {
    /// What it is called: `kafka`.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// Makes a topic, or checks the one of this name; answers how many lanes it has.
    ///
    /// # Errors
    /// [`TransportError::Permanent`] if it is there and does not keep what it carries as long as it must.
    fn topic(&self, wanted: &TopicSpec) -> Result<u32, TransportError>;

    /// The lane of a key on a topic of so many.
    fn lane_of(&self, key: &str, lanes: u32) -> u32;

    /// A publisher of this name. A broker that *fences* ends earlier ones first: what they published is read before anything of
    /// this one, and what they did not get acknowledged is read before it or never.
    ///
    /// # Errors
    /// [`TransportError`] if there can be none now.
    fn publisher(&self, name: &str) -> Result<Box<dyn Publisher>, TransportError>;

    /// A consumer of these lanes. The name is for people at the broker; two of one name share nothing.
    ///
    /// # Errors
    /// [`TransportError::Gone`] if a lane cannot begin there, [`TransportError::Permanent`] if it can begin nowhere else than
    /// where it stands.
    fn consumer(&self, name: &str, lanes: &[(Lane, Start)]) -> Result<Box<dyn Consumer>, TransportError>;
}

/// Publishes; driven by one thread.
pub trait Publisher: Send {
    /// Publishes messages, each lane's in this order; on return all are acknowledged. Their offsets, where the broker tells them.
    ///
    /// # Errors
    /// [`TransportError::TooLarge`]: nothing was published, and it can go on. After any other error it is not known what of the
    /// batch was published, and this publisher takes nothing more: make another one, and publish the whole batch again.
    fn publish(&mut self, batch: &[(Lane, Parcel)]) -> Result<Vec<Option<Offset>>, TransportError>;
}

/// Reads lanes; driven by one thread.
pub trait Consumer: Send {
    /// What has come, each lane's in its order; waits for so long at most if nothing has.
    ///
    /// # Errors
    /// [`TransportError::Away`]: nothing was skipped, and it can be asked again. [`TransportError::Gone`] if the broker has
    /// dropped what comes next on a lane.
    fn poll(&mut self, long: Duration) -> Result<Vec<Delivery>, TransportError>;

    /// Holds lanes back, so that nothing more of them is fetched, or lets them go on. What is paused already stays so.
    ///
    /// # Errors
    /// [`TransportError`] if it reads no such lane.
    fn pause(&mut self, lanes: &[Lane], paused: bool) -> Result<(), TransportError>;

    /// All up to these places is durable with the reader: a broker that keeps nothing longer may drop it, another one shows how
    /// far it is. Where it fails nothing is lost.
    ///
    /// # Errors
    /// [`TransportError`] if the broker cannot be told.
    fn settle(&mut self, through: &[(Lane, Offset)]) -> Result<(), TransportError>;
}
