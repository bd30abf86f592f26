//! The three loops: the engine (deciders, reactions, sagas, timers), views, and outward calls.
//!
//! ```text
//!  commands, answers ──► inbox ─┐
//!                               ▼
//!            tail ──────► engine.step() ──► one commit in flight: check, write, sync ──► tail ──► views, outward
//! ```
//!
//! The engine is the only committer of a unit. Everything it runs is pure, so whatever is not committed is simply run
//! again. Views and outward calls follow the tail with positions of their own.

pub mod acts;
pub mod between;
pub mod cache;
pub mod clock;
pub mod committer;
mod digests;
pub mod engine;
pub mod groups;
pub mod ids;
pub mod import;
pub mod inbox;
pub mod letters;
pub mod moving;
pub mod outward;
pub mod plans;
pub mod process_end;
pub mod publishers;
pub mod references;
pub mod registry;
mod sabotage;
pub mod sagas;
pub mod schedules;
pub mod shapes;
pub mod signal;
pub mod snapshots;
pub mod supervisor;
pub mod survey;
pub mod tail;
pub mod timers;
pub mod views;
