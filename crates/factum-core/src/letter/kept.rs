//! What a letter keeps itself: a message that stands in no stream, or what came from a broker, as it came.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Key, Letter, LetterId, Standing, Subject};
use crate::{
    commit::MAX_MESSAGE_BYTES,
    envelope::{Message, binary},
    error::StoreError,
    id::Name,
    stream::Position,
};

/// A message that stands in no stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    type_name: String,
    source: String,
    /// The stream that it speaks for.
    pub sender: String,
    /// A timer's due time.
    pub due: Option<Timestamp>,
    message: Vec<u8>,
}

impl Kept {
    /// Keeps a message.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] if it has no stored form.
    pub fn of(message: &Message, sender: &str, due: Option<Timestamp>) -> Result<Self, StoreError> {
        let mut bytes = Vec::new();
        binary::encode(message, &mut bytes).map_err(|error| StoreError::Unfit(error.to_string()))?;
        let envelope = &message.envelope;
        let (type_name, source) = (envelope.type_name.to_string(), envelope.source.to_string());
        Ok(Self { type_name, source, sender: sender.to_owned(), due, message: bytes })
    }

    /// What stands in it, as bytes: of a [`Raw`] all that came.
    pub fn bytes(&self) -> &[u8] {
        &self.message
    }

    /// The message.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it cannot be read.
    pub fn message(&self) -> Result<Message, StoreError> {
        let shared = |text: &str| Name::Shared(text.into());
        binary::decode(shared(&self.type_name), shared(&self.source), &self.message)
            .map_err(|error| StoreError::Corrupt(format!("a kept message cannot be read: {error}")))
    }
}

/// What came from a broker and was not understood, or may not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// The lane that it came on.
    pub lane: String,
    /// Its place there.
    pub offset: String,
    /// Its type, as far as it says one.
    pub type_name: String,
    /// Its key.
    pub key: String,
    /// All its bytes.
    pub body: Vec<u8>,
    /// Why it was not taken.
    pub why: String,
}

impl Raw {
    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        self.body.len() + self.key.len() + self.type_name.len() + self.why.len()
    }

    /// The letter of it. A body over [`MAX_MESSAGE_BYTES`], which no message may have, is cut there.
    pub fn letter(&self, at: Timestamp, end: Position, program: &str) -> Letter {
        let consumer = format!("import:{}", self.lane);
        let body = self.body.get(..MAX_MESSAGE_BYTES).unwrap_or(&self.body);
        let kept = Kept {
            type_name: self.type_name.clone(),
            source: String::new(),
            sender: String::new(),
            due: None,
            message: body.to_vec(),
        };
        let mut letter = Letter {
            id: LetterId::new(consumer, Subject::Arrival(self.offset.clone())),
            standing: Standing::Open,
            key: Key::Ordered(self.key.clone()),
            type_name: self.type_name.clone(),
            message_id: String::new(),
            correlation_id: String::new(),
            failures: Vec::new(),
            failure_count: 0,
            changed_at: end,
            retry: None,
            unfolded: false,
            kept: Some(kept),
        };
        letter.failed(at, &self.why, program);
        letter
    }
}
