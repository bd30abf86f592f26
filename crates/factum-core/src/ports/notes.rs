//! The port of notes: what a process was about when it ended, so that a message that ends processes is found.

use serde::{Deserialize, Serialize};

use crate::stream::Position;

/// What a loop was about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// Whether the loop has ended in order. Without any note it counts as if it had.
    pub ended: bool,
    /// The delivery whose handler is running, if one is.
    #[serde(default)]
    pub running: Option<String>,
    /// The delivery that was running at the last ends of the process, and at how many in a row.
    #[serde(default)]
    pub suspect: Option<(String, u32)>,
    /// Where the loop stood at its start, and at how many starts before it in a row.
    #[serde(default)]
    pub stood: Option<(Position, u32)>,
}

/// Keeps one note for each loop; used from several threads.
///
/// A note is about the end of a process, not about the loss of power: an implementation keeps these promises:
///
/// - What was put is answered after any end of the process. It need not be synced: after a loss of power an earlier note
///   may be answered, or none.
/// - `put` is cheap: it is called twice for each delivery while notes are taken.
/// - A note that cannot be read is none.
pub trait Notes: Send + Sync {
    /// The note of a loop.
    fn get(&self, name: &str) -> Option<Note>;

    /// Replaces the note of a loop. If it cannot be kept, nothing is lost but the protection that it gives.
    fn put(&self, name: &str, note: &Note);
}
