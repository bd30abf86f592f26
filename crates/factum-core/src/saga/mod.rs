//! Sagas: processes over several services, declared as a checked table of steps (Garcia-Molina and Salem, *Sagas*, 1987).
//!
//! ```text
//!             start event
//!                 ▼
//!              running ──── last step done ─────────────────────► completed
//!                 │  └── from the pivot on: limit or refusal ──► needs_attention (goes on with a late answer)
//!   refused, limit, abort event, before the pivot; the pivot itself refused
//!                 ▼
//!              undoing ──── every step sent is undone, in reverse ► compensated
//!                 └── an undo that keeps failing ────────────► needs_attention
//!
//!  needs_attention: a person tries the step again, treats it as done, or has everything undone ([`Act`])
//! ```
//!
//! An instance is a stream `<saga>-<key>`: its history is its audit. Events find it by one declared key field, never by
//! correlation. First appended wins: a reply that comes after its step's limit changes nothing any more.

mod acts;
mod attention;
mod calls;
mod defined;
mod instance;
mod moves;
mod record;
mod request;
mod shown;
mod step;
mod table;
#[cfg(test)]
mod tests;
mod transition;
mod uses;
mod versions;

use serde::{Deserialize, Serialize};

pub use acts::{Act, What as Wanted};
pub use attention::AttentionNeeded;
pub use calls::{Asks, CallAnswer, CallStep, How};
pub use defined::{Begins, Facts, Needed, Planned, Table};
pub use instance::{AnySaga, Input, Own, Transition};
pub use moves::{Carried, Moves};
pub use request::{Request, Requests, StartSaga, requesting};
pub use shown::{Shown, ShownAct, ShownStep};
pub use step::Step;
pub use table::{Failure, FailureKind, Saga, SagaProblem};
pub use uses::{Role, Use};
pub use versions::Versions;

/// The status of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Steps go forward.
    Running,
    /// Steps are undone.
    Undoing,
    /// The end: every step is done.
    Completed,
    /// The end: every step that was sent is undone.
    Compensated,
}

/// The state of a step in an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Its command is sent, its answer is not there.
    Sent,
    /// Answered yes.
    Done,
    /// Answered no: there is nothing to undo.
    Refused,
    /// Its undo is sent.
    Undoing,
    /// Its undo is confirmed.
    Undone,
    /// There is nothing to undo: it is best effort and was refused, or the version that the instance was moved to has it, and
    /// the one that it came from had not.
    Skipped,
}

/// How an open instance stands, in short: what is kept of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Standing {
    /// The version that runs it.
    pub version: u32,
    /// Its status.
    pub status: Status,
    /// It does not go on without a person.
    pub needs_person: bool,
}
