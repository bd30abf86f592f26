//! The shop from outside.
#![allow(clippy::unwrap_used, reason = "what the tests share may fail as they may")]

mod analytics;
mod away;
mod backup;
mod bodies;
mod books;
mod carts;
mod choreographed;
mod command;
mod editions;
mod fuzz;
mod gateways;
mod hostile;
mod http;
mod imports;
mod loyalty;
mod misbehaving;
mod money;
mod notifications;
mod old;
mod orders;
mod partners;
mod repeats;
mod rows;
mod shop;
mod sim;
mod spellings;
mod stop;
mod unfinished;
