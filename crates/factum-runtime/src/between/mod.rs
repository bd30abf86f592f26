//! Between units: what this one publishes for others, and what it takes in of theirs.
//!
//! ```text
//!  own log ──► relay ──► <domain>-events, <service>-commands ──► arrivals ──► own log of another unit ──► its consumers
//! ```
//!
//! | message of the log | goes to |
//! |---|---|
//! | an event that a service of this unit made, and has not declared `own` | `<domain>-events` |
//! | a command for a service of another unit | `<service>-commands` of that service |
//! | a no to a command of a service of another unit | `<service>-commands` of that service, which sent it |
//! | everything else | nowhere |
//!
//! A unit takes in what its own services read, and appends it to its own log before anyone reads it: so there is one loop of
//! consumers, one kind of cursor, and a position that means something. After Richardson's transactional outbox, with the log as the
//! outbox.

mod arrivals;
mod neighbours;
mod relay;
mod shown;

use std::sync::Arc;

pub use arrivals::{Arrivals, ArrivalsError, Arrived};
use factum_core::{
    cell::{CellKey, CellKind},
    envelope::{EnvelopeError, Incoming},
    id::Name,
    ports::transport::{Delivery, Lane, Transport},
};
pub use neighbours::Neighbours;
pub use relay::{Relay, RelayError};
pub use shown::{BetweenShown, LaneShown, RelayShown};

/// Lanes that a topic is made with, if nothing else is said: as many importers can share its work at most.
pub const LANES: u32 = 8;

/// Reads what came from a broker as a message.
pub type Read = dyn Fn(&Delivery) -> Result<Incoming, EnvelopeError> + Send + Sync;

/// A cell with what is to be kept in it.
pub type Kept = (CellKey, Vec<u8>);

/// What a unit needs to be one of several.
#[derive(Clone)]
pub struct Between {
    /// Its name.
    pub unit: Name,
    /// The services of the other units.
    pub neighbours: Neighbours,
    /// What carries messages.
    pub transport: Arc<dyn Transport>,
    /// Lanes that a topic is made with.
    pub lanes: u32,
    /// How what comes is read.
    pub read: Arc<Read>,
}

/// How far the relay is.
pub(crate) fn relay_cell() -> CellKey {
    CellKey::new(CellKind::Relay, "relay")
}

/// What was read of a lane.
pub(crate) fn lane_cell(lane: &Lane) -> CellKey {
    CellKey::new(CellKind::Lane, lane.to_string())
}

/// The topic of the events of a type.
pub(crate) fn events_topic(type_name: &str) -> Arc<str> {
    let domain = type_name.split('.').next().unwrap_or_default();
    format!("{domain}-events").into()
}

/// The topic of what a service of another unit is to hear: commands, and refusals of its own.
pub(crate) fn commands_topic(service: &str) -> Arc<str> {
    format!("{service}-commands").into()
}
