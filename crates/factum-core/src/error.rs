//! Errors, by what a caller can do about them.

use std::{
    any::Any,
    fmt::{self, Display},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    cell::CellKey,
    payload::PayloadError,
    stream::{ExpectedVersion, StreamId, StreamVersion},
};

/// A name or id that does not follow the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} {problem}")]
pub struct NameError {
    /// What was named.
    pub what: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// Why a commit was refused before anything was written. The caller may read again and decide anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else wrote first.
    #[error("stream {stream} is at version {actual}, expected {expected:?}: read it again and decide anew")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What the writer believed.
        expected: ExpectedVersion,
        /// What is there.
        actual: StreamVersion,
    },
    /// A cell has another revision than expected.
    #[error("cell {key} was changed by somebody else: read it again")]
    CellConflict {
        /// The cell.
        key: CellKey,
    },
    /// The stream's category belongs to another service.
    #[error("stream {stream} belongs to {owner}; {writer} may not write to it: send {owner} a command")]
    ForeignStream {
        /// The stream.
        stream: StreamId,
        /// Who owns the category.
        owner: String,
        /// Who tried.
        writer: String,
    },
    /// One message is over the limit.
    #[error(
        "a message of type {type_name} has {bytes} bytes; {limit} are allowed: store the body elsewhere and refer to it"
    )]
    MessageTooLarge {
        /// Its type.
        type_name: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A name is over the limit.
    #[error("the {what} has {bytes} bytes; {limit} are allowed: shorten it")]
    NameTooLong {
        /// What is named.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The commit as a whole is over the limit.
    #[error("the commit has {bytes} bytes; {limit} are allowed: split it")]
    CommitTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl Refusal {
    /// Whether the commit's own content is the reason, so that it would be refused again for ever.
    pub fn is_for_content(&self) -> bool {
        !matches!(self, Self::Conflict { .. } | Self::CellConflict { .. })
    }
}

/// What a store answers when it cannot do its work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written; a later attempt may succeed.
    #[error("the store cannot take this now: {0}")]
    Transient(String),
    /// The disk is full: nothing was written, reading goes on.
    #[error("the store is full: {0}")]
    Full(String),
    /// It is not known whether the write is durable. The store takes no more writes until it is opened again.
    #[error("the outcome of a write is unknown and the store has stopped: {0}")]
    OutcomeUnknown(String),
    /// Another process leads this unit now. Nothing was written, and nothing ever will be by this one.
    #[error("another process leads this unit now: {0}")]
    Fenced(String),
    /// Another writer was faster: nothing was written, and what it was decided on is to be read anew.
    #[error("another writer was faster: {0}")]
    Conflict(String),
    /// Stored data is damaged.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// Nothing was written, because this content cannot be stored, now or later. Other content can.
    #[error("the store cannot hold this: {0}")]
    Unfit(String),
    /// The store cannot do this at all.
    #[error("{0}")]
    Permanent(String),
}

/// Why a commit did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// Refused by the rules; nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store could not write it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A handler that could not do its work on one message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// The message's data does not fit.
    #[error("{0}")]
    Payload(String),
    /// The handler said so itself.
    #[error("{0}")]
    Failed(String),
    /// The handler panicked.
    #[error("the handler panicked: {0}")]
    Panicked(String),
    /// The handler waits for another message. Only what reacts to an event may say so.
    #[error("{0}")]
    NotYet(NotYet),
}

/// What a handler waits for before it can do its work: its key is held until another message, the *forerunner*, has been
/// handled, or until a limit has passed.
///
/// ```
/// use std::time::Duration;
/// use factum_core::error::{HandlerError, NotYet};
///
/// fn react() -> Result<(), HandlerError> {
///     Err(NotYet::at_most(Duration::from_secs(60)).until("customer.registered", "c-7").into())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotYet {
    /// The type and the key of the message that is waited for; the consumer must read that type.
    pub forerunner: Option<(String, String)>,
    /// Counted from the message's time. Then the handler is called once more, and *not yet* is its failure.
    pub limit: Duration,
}

impl NotYet {
    /// Waits at most so long.
    pub fn at_most(limit: Duration) -> Self {
        Self { forerunner: None, limit }
    }

    /// Goes on as soon as the consumer has handled a message of this type and key: the key that the consumer orders by.
    #[must_use]
    pub fn until(self, type_name: &str, key: impl Display) -> Self {
        Self { forerunner: Some((type_name.to_owned(), key.to_string())), ..self }
    }
}

impl Display for NotYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.forerunner {
            Some((type_name, key)) => write!(f, "not before {type_name} of {key}, or {:?} later", self.limit),
            None => write!(f, "not before {:?} later", self.limit),
        }
    }
}

impl From<NotYet> for HandlerError {
    fn from(wait: NotYet) -> Self {
        Self::NotYet(wait)
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a message".to_owned())
}

impl HandlerError {
    /// A handler's own failure, as a sentence.
    pub fn failed(reason: impl std::fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }
}

impl From<PayloadError> for HandlerError {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error.to_string())
    }
}

impl From<NameError> for HandlerError {
    fn from(error: NameError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A store of rows that cannot do its work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RowError {
    /// The rows are of another log or ahead of it.
    #[error("{0}")]
    Lineage(String),
    /// The query names a field without an index.
    #[error("`{field}` is not an indexed field of {table}; indexed are: {indexed}")]
    NotIndexed {
        /// The table.
        table: String,
        /// The field asked for.
        field: String,
        /// What can be asked for.
        indexed: String,
    },
    /// The store failed.
    #[error("the row store failed: {0}")]
    Store(String),
}
