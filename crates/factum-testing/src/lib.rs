//! Tests in the words of the field, and the conformance suites of the ports.
//!
//! - [`scenario`]: given past events, when a command, then new events; and the same for reactions and sagas.
//! - [`folding`]: folded events, then a command or an event, then effects.
//! - [`fixture`]: what was stored once, raised by a service's upcasters, equals the value of today.
//! - [`conformance`]: what every implementation of a port must do, as one list of cases per port. An adapter, ours or
//!   yours, runs all of it.
//! - `deliveries`, with the feature `sim`: a whole service with each message twice, and in every order that is allowed.
//! - `sim`, with the feature of that name: a disk in memory that loses power, fails and lies, by a seed.
//! - `fuzz`, with the same feature: what must hold of any bytes in a log's files, a message or a snapshot.
//! - `chaos`, with the feature of that name: faults around a program that runs as a process of its own and speaks HTTP.
//! - `engines`, with the feature of that name: private servers of databases, where they are installed.
//!
//! ```text
//! given::<Order>([OrderCreated { sku, quantity: 3 }])
//!     .when(CancelOrder { reason })
//!     .then([OrderCancelled { reason }])
//!     .again_changes_nothing();
//! ```

#[cfg(all(unix, feature = "chaos"))]
pub mod chaos;
pub mod conformance;
#[cfg(feature = "sim")]
pub mod deliveries;
mod difference;
#[cfg(all(unix, feature = "engines"))]
pub mod engines;
pub mod fixture;
pub mod folding;
#[cfg(feature = "sim")]
pub mod fuzz;
pub mod scenario;
#[cfg(feature = "sim")]
pub mod sim;
