//! The rooms from outside: in memory, in simulation, killed, in chaos; and the page that tells of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests too")]

#[cfg(unix)]
mod chaos;
mod kill;
mod page;
mod running;
mod simulation;
