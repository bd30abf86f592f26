//! The port of message ids.

use jiff::Timestamp;

use crate::id::MessageId;

/// Makes ids of messages.
pub trait IdSource: Send {
    /// A new id for something that happens at `at`.
    fn next(&mut self, at: Timestamp) -> MessageId;
}
