//! The shop from outside.
#![allow(clippy::unwrap_used, reason = "what the tests share may fail as they may")]

mod analytics;
mod api;
mod away;
mod backup;
mod bodies;
mod books;
mod carts;
#[cfg(unix)]
mod chaos;
mod choreographed;
mod command;
mod defined;
mod editions;
mod flows;
#[cfg(unix)]
mod full;
mod fuzz;
mod gateways;
mod hostile;
mod http;
mod imports;
mod keys;
mod loyalty;
mod misbehaving;
mod money;
#[cfg(unix)]
mod moving;
mod notifications;
mod old;
mod orders;
mod partners;
#[cfg(unix)]
mod postgres;
mod present;
mod reconciliations;
mod repeats;
mod rows;
mod shop;
mod sim;
mod spellings;
#[cfg(unix)]
mod standby;
mod stop;
mod streams;
mod strict;
mod unfinished;
mod units;
mod ways;
