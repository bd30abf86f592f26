//! How far a move of a running app is.

use factum_core::stream::Position;
use serde::Serialize;

use crate::location::Location;

/// What a move is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MovePhase {
    /// Nobody has asked for one.
    #[default]
    None,
    /// The target is filled, and compared, while the app runs.
    Copying,
    /// Little is behind: the program is to stop the app and go over.
    Due,
    /// The app is stopped, and the rest goes over.
    Switching,
    /// The app runs at the target.
    Moved,
    /// It has failed; the app runs where it was, and the move goes on when it is asked for again.
    Failed,
    /// It was given up; the app runs where it was.
    GivenUp,
}

/// How far a move is. Places are shown without a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveProgress {
    /// What it is about.
    pub phase: MovePhase,
    /// Where the data was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Location>,
    /// Where they go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Location>,
    /// Messages that are at the target, read back and equal.
    pub verified: Position,
    /// Messages that there were at the source at the last look.
    pub of: Position,
    /// Messages that the target lacked then.
    pub behind: u64,
    /// Of all messages and cells, once they have moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The longest time in which no app ran, in milliseconds.
    pub longest_pause_ms: u64,
    /// Why it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
