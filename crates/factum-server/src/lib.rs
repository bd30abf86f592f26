//! Factum over HTTP: problem details, extractors that refuse in sentences, health, a server with graceful stop.
//!
//! It names no adapter and no business: routes belong to the services, what all routes share is here. Every refusal is a
//! [`Problem`]; which error becomes which status stands in one table, in [`problem`].

#[cfg(feature = "client")]
pub mod client;
pub mod edge;
pub mod extract;
mod foreign;
pub mod groups;
pub mod health;
pub mod platform;
pub mod problem;
pub mod sagas;
pub mod schedules;
pub mod server;
pub mod standby;

pub use extract::{After, Body, IdempotencyKey, Key, Query, encoded, position};
pub use problem::Problem;
pub use server::{Exchange, ServeError, guarded, listen, serve, serve_exchanged};
