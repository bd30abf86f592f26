//! The log on a disk that loses power at every moment, fails at every call, and flips every bit.
//!
//! `FACTUM_SCALE=full` runs all of it, `FACTUM_SEED` another draw; `docs/reliability.md` says what is enumerated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests too")]

mod bounds;
mod copies;
mod crash;
mod damage;
mod errors;
mod found;
mod lies;
mod model;
mod run;
mod scale;
mod workload;
