//! Sagas: processes over several services, declared as a checked table of steps (Garcia-Molina and Salem, *Sagas*, 1987).
//!
//! ```text
//!             start event
//!                 ▼
//!              running ──── last step done ─────────────────────► completed
//!                 │  └── after the pivot: limit or refusal ──► needs_attention (goes on with a late answer)
//!   refused, limit, abort event, before the pivot
//!                 ▼
//!              undoing ──── every step sent is undone, in reverse ► compensated
//!                 └── an undo that keeps failing ────────────► needs_attention
//! ```
//!
//! An instance is a stream `<saga>-<key>`: its history is its audit. Events find it by one declared key field, never by
//! correlation. First appended wins: a reply that comes after its step's limit changes nothing any more.

mod instance;
mod table;
#[cfg(test)]
mod tests;
mod transition;

pub use instance::{AnySaga, Input, Own, Transition};
pub use table::{Failure, FailureKind, Saga, SagaProblem, Step};

/// The status of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}
