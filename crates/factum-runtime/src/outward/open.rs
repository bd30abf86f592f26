//! An open call as its cell holds it.

use factum_core::{
    cell::{Cell, CellKey},
    envelope::{Draft, Stored},
    error::{HandlerError, StoreError},
    id::Name,
    ports::Reader,
    stream::{StreamId, StreamVersion},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The value of a call's cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenCall {
    /// The stream in which the call's message stands.
    pub stream: String,
    /// Attempts made in vain.
    #[serde(default)]
    pub attempts: u32,
    /// Whether the last attempt's outcome is unknown.
    #[serde(default)]
    pub unknown: bool,
    /// What stood in the way at the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// It has been answered, and the answer waits: the call is not made again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Reply>,
    /// Its idempotency key, if that is not its own id: of a call that is made once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// It is asked for until its answer comes, or for a week.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub patient: bool,
    /// It undoes what its stream has asked: it is not made while another call of that is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undoes: bool,
    /// From when on its patience counts, if not from its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// It has no answer and never will: a letter waits for a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
}

/// An answer that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    type_name: String,
    version: String,
    data: Box<RawValue>,
}

impl Reply {
    /// Keeps an answer.
    ///
    /// # Errors
    /// [`HandlerError`] if its data is no JSON.
    pub fn of(command: &Draft) -> Result<Self, HandlerError> {
        let data = serde_json::from_slice(&command.data).map_err(HandlerError::failed)?;
        Ok(Self { type_name: command.type_name.to_string(), version: command.version.to_string(), data })
    }

    /// The answer.
    pub fn draft(&self) -> Draft {
        let shared = |text: &str| Name::Shared(text.into());
        let data = self.data.get().as_bytes().into();
        Draft { type_name: shared(&self.type_name), version: shared(&self.version), data }
    }
}

impl OpenCall {
    /// A call that was not tried yet.
    pub fn new(stream: &StreamId) -> Self {
        let stream = stream.to_string();
        Self {
            stream,
            attempts: 0,
            unknown: false,
            reason: None,
            answer: None,
            key: None,
            patient: false,
            undoes: false,
            since: None,
            given_up: false,
        }
    }

    /// The cell's value.
    ///
    /// # Errors
    /// [`HandlerError`] if it has no JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, HandlerError> {
        serde_json::to_vec(self).map_err(HandlerError::failed)
    }

    /// Reads a cell.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is none.
    pub fn decode(cell: &Cell) -> Result<Self, StoreError> {
        Self::read(&cell.key, &cell.value)
    }

    /// Reads a cell's value.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is none.
    pub fn read(key: &CellKey, value: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(value)
            .map_err(|error| StoreError::Corrupt(format!("cell {key} cannot be read: {error}")))
    }

    /// Whether it is to be made.
    pub fn is_open(&self) -> bool {
        self.answer.is_none() && !self.given_up
    }
}

/// The message of a call.
///
/// # Errors
/// [`StoreError`] if the store cannot be read, or does not have it.
pub fn message_of(reader: &dyn Reader, id: &str, call: &OpenCall) -> Result<Stored, StoreError> {
    let stream = StreamId::parse(&call.stream).map_err(|error| missing(id, &error))?;
    let messages = reader.stream(&stream, StreamVersion(0))?;
    let message = messages.into_iter().find(|stored| stored.envelope().id.to_string() == id);
    message.ok_or_else(|| missing(id, &"its message is not in the log"))
}

fn missing(id: &str, problem: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("the open call {id} cannot be read: {problem}"))
}

/// The messages of several calls; each stream is read once.
///
/// # Errors
/// As [`message_of`].
pub fn messages_of(
    reader: &dyn Reader,
    calls: Vec<(CellKey, OpenCall)>,
) -> Result<Vec<(CellKey, OpenCall, Stored)>, StoreError> {
    let mut by_stream: std::collections::BTreeMap<String, Vec<(CellKey, OpenCall)>> = Default::default();
    for (key, call) in calls {
        by_stream.entry(call.stream.clone()).or_default().push((key, call));
    }
    let mut found = Vec::new();
    for (stream, calls) in by_stream {
        let stream = StreamId::parse(&stream).map_err(|error| missing(&stream, &error))?;
        let mut messages: std::collections::HashMap<String, Stored> = reader
            .stream(&stream, StreamVersion(0))?
            .into_iter()
            .filter(|stored| stored.envelope().kind == factum_core::envelope::Kind::Call)
            .map(|stored| (stored.envelope().id.to_string(), stored))
            .collect();
        for (key, call) in calls {
            let stored = messages.remove(&key.name);
            let stored = stored.ok_or_else(|| missing(&key.name, &"its message is not in the log"))?;
            found.push((key, call, stored));
        }
    }
    found.sort_by_key(|(_, _, stored)| stored.position);
    Ok(found)
}
