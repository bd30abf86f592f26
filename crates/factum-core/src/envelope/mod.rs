//! The envelope: what every message says about itself.
//!
//! [`json`] is the public JSON form,
//! [`binary`] the compact form that stores keep. [`read`](mod@read) takes the JSON form back, also as other systems
//! print it, with [`spellings`] for their names and data; [`cloudevents`] translates to CloudEvents and back.

pub mod binary;
pub mod cloudevents;
mod form;
pub mod json;
mod outgoing;
pub mod read;
mod rules;
pub mod spellings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use outgoing::Outgoing;
pub use read::{Defaults, EnvelopeError, Incoming, NoId, check_metadata, read};
pub use rules::Rule;
pub use spellings::{Spelled, Spellings, When};

use crate::{
    commit::beside,
    id::{MAX_NAME_BYTES, MessageId, Name},
    payload::{Payload, PayloadError},
    stream::{Position, StreamId, StreamVersion},
};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A fact.
    Event,
    /// A request to one service, in its sender's stream.
    Command,
    /// A request to the outside, in its sender's stream; answered by a command.
    Call,
    /// A service's no to a command from the log, in the stream that the command addressed.
    Rejection,
    /// The trace of a command from outside that was accepted under its sender's key and changed nothing, in the stream
    /// that it addressed: sent again it gets the first answer. Nobody is given it, and it changes no state.
    Receipt,
}

/// Everything about a message but its data and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Unique; opaque.
    pub id: MessageId,
    /// What it is.
    pub kind: Kind,
    /// `domain.event_name` or `domain.verb`.
    pub type_name: Name,
    /// The service that said it.
    pub source: Name,
    /// The shape's semantic version.
    pub data_version: Name,
    /// When it was decided (for an input: its own time; for all else: its cause's).
    pub timestamp: Timestamp,
    /// The business transaction; copied from cause to effect.
    pub correlation_id: MessageId,
    /// The message that caused this one.
    pub causation_id: Option<MessageId>,
    /// Messages of one key stay in order.
    pub partition_key: Arc<str>,
    /// Who asked for it.
    pub user_id: Option<Arc<str>>,
    /// For whom the service works, where one program works for several; copied from cause to effect.
    pub tenant: Option<Arc<str>>,
    /// W3C trace context.
    pub traceparent: Option<Arc<str>>,
    /// A JSON object of the user's own.
    pub metadata: Option<Arc<str>>,
    /// Steps along `causationId` from the outside.
    pub depth: u16,
    /// A digest of the request that caused it, if that came from outside under its sender's key, so that the same key
    /// with another body is noticed. Under the log's [`DigestKey`](crate::digest_key::DigestKey), as the next one.
    pub digest: Option<u64>,
    /// A digest of what that request was about, where the decider names it: see
    /// [`Decider::repeat_key`](crate::decider::Decider::repeat_key).
    pub repeat_key: Option<u64>,
}

/// What an envelope's numbers, lengths and the ids that are UUIDs take at most.
const FIXED_BYTES: usize = 176;

impl Envelope {
    fn bytes(&self) -> usize {
        let id = |id: &MessageId| id.as_text().map_or(0, str::len);
        let text = |text: &Option<Arc<str>>| text.as_deref().map_or(0, str::len);
        let names = self.type_name.len() + self.source.len() + self.data_version.len() + self.partition_key.len();
        let ids = id(&self.id) + id(&self.correlation_id) + self.causation_id.as_ref().map_or(0, id);
        let who = text(&self.user_id) + text(&self.tenant);
        FIXED_BYTES + names + ids + who + text(&self.traceparent) + text(&self.metadata)
    }
}

/// A message that has no place in a log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// About it.
    pub envelope: Envelope,
    /// One JSON object, as raw bytes.
    pub data: Arc<[u8]>,
}

impl Message {
    /// Bytes that count against the limits: at least as many as any store needs for it.
    pub fn bytes(&self) -> usize {
        self.data.len() + self.envelope.bytes()
    }
}

/// A message in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// In the log.
    pub position: Position,
    /// The stream that holds it.
    pub stream: StreamId,
    /// In the stream.
    pub version: StreamVersion,
    /// The message.
    pub message: Message,
}

impl Stored {
    /// About it.
    pub fn envelope(&self) -> &Envelope {
        &self.message.envelope
    }

    /// Its type's name.
    pub fn type_name(&self) -> &str {
        &self.message.envelope.type_name
    }

    /// Reads the data as `P`.
    ///
    /// # Errors
    /// As [`Payload::decode`].
    pub fn decode<P: Payload>(&self) -> Result<P, PayloadError> {
        P::decode(self.type_name(), &self.message.data)
    }
}

/// A typed message in its place; handlers get this. It reads like the event itself: `recorded.order_id`.
#[derive(Debug)]
pub struct Recorded<'a, P> {
    /// The message as stored.
    pub stored: &'a Stored,
    /// Its data.
    pub data: P,
}

impl<'a, P: Payload> Recorded<'a, P> {
    /// Reads a stored message as `P`.
    ///
    /// # Errors
    /// As [`Payload::decode`].
    pub fn read(stored: &'a Stored) -> Result<Self, PayloadError> {
        Ok(Self { stored, data: stored.decode()? })
    }
}

impl<P> Recorded<'_, P> {
    /// About it.
    pub fn envelope(&self) -> &Envelope {
        self.stored.envelope()
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        self.stored.message.envelope.timestamp
    }

    /// Where it stands in the log.
    pub fn position(&self) -> Position {
        self.stored.position
    }
}

impl<P> std::ops::Deref for Recorded<'_, P> {
    type Target = P;
    fn deref(&self) -> &P {
        &self.data
    }
}

/// Data with its type, before it has an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its type.
    pub type_name: Name,
    /// The shape's version.
    pub version: Name,
    /// One JSON object.
    pub data: Arc<[u8]>,
}

impl Draft {
    /// Encodes a payload.
    ///
    /// # Errors
    /// [`PayloadError::Encode`] if it has no JSON form.
    pub fn of<P: Payload>(payload: &P) -> Result<Self, PayloadError> {
        let info = payload.type_info();
        let mut data = Vec::with_capacity(256);
        payload.encode(&mut data)?;
        Ok(Self { type_name: Name::Static(info.name), version: Name::Static(info.version), data: Arc::from(data) })
    }

    /// Encodes any value under a name.
    ///
    /// # Errors
    /// [`PayloadError::Encode`] if it has no JSON form.
    pub fn named<T: Serialize>(type_name: Name, value: &T) -> Result<Self, PayloadError> {
        let data = serde_json::to_vec(value).map_err(|cause| PayloadError::encode(&type_name, &cause))?;
        Ok(Self { type_name, version: Name::Static("1.0.0"), data: Arc::from(data) })
    }

    /// The most bytes that count for it in a commit when it follows from another message, in a stream: a service's name is
    /// counted as if it were the longest.
    pub(crate) fn bytes_behind(&self, cause: &Envelope, stream: &StreamId) -> usize {
        let id = |id: &MessageId| id.as_text().map_or(0, str::len);
        let text = |text: &Option<Arc<str>>| text.as_deref().map_or(0, str::len);
        let names = self.type_name.len() + self.version.len() + stream.key().len() + 2 * MAX_NAME_BYTES;
        let copied = id(&cause.id) + id(&cause.correlation_id) + text(&cause.user_id) + text(&cause.tenant);
        self.data.len() + FIXED_BYTES + names + copied + text(&cause.traceparent) + beside(stream)
    }
}

/// A plain digest of a request's body: type and data. It tells too much to be stored.
pub fn digest(type_name: &str, data: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(data, xxhash_rust::xxh3::xxh3_64(type_name.as_bytes()))
}
