//! The words and rules of Factum. Pure: no clock, no randomness, no I/O, no async runtime.
//!
//! Read in this order: [`envelope`] (what a message is), [`stream`] and [`commit`] (what one change of the store means),
//! [`decider`], [`reaction`], [`pipeline`], [`saga`], [`view`], [`call`], [`timer`], [`schedule`], [`cache`] (the handlers that users write), [`service`] (how they are
//! put together), [`replies`] (what their commands are answered by), [`letter`] (what waits when one fails), [`ports`] (what the outside must provide), [`memory`], [`memory_rows`], [`memory_snapshots`] and [`memory_transport`] (the
//! models that every store behind a port is tested against).

pub mod cache;
pub mod call;
pub mod carried;
pub mod cell;
pub mod commit;
pub mod decider;
pub mod digest_key;
pub mod envelope;
pub mod error;
pub mod group;
pub mod id;
pub mod lane;
pub mod letter;
pub mod memory;
pub mod memory_notes;
pub mod memory_rows;
pub mod memory_snapshots;
pub mod memory_transport;
pub mod money;
pub mod moving;
pub mod payload;
pub mod pipeline;
pub mod ports;
pub mod reaction;
pub mod rejection;
pub mod replies;
pub mod row;
pub mod saga;
pub mod schedule;
pub mod schema;
pub mod service;
pub mod snapshot;
pub mod stream;
pub mod timer;
pub mod types;
pub mod upcast;
pub mod upkeep;
pub mod view;

pub use jiff::Timestamp;

/// What generated code refers to; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate as core;
    pub use {schemars, serde, serde_json};
}
