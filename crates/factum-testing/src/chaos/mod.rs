//! Chaos for a program of yours: it runs as a process of its own and speaks HTTP; what is around it goes wrong by a seed.
//!
//! - [`Proxy`]: stands between the program and a partner, or between clients and the program. Answers are lost, come late or
//!   not at all, requests arrive twice or are sent away.
//! - [`Process`]: the program. It is started, killed at any moment (SIGKILL), started again, and stopped in order at the end.
//! - [`Place`]: where its data lies, on a small disk that fills up where root may mount one ([`Volume`], [`Ballast`]).
//! - [`Client`]: sends a request again, under its key, until it is answered.
//! - [`knock`]: messages at the door for other systems that nobody can take.
//! - [`Recorder`]: what a partner was asked and has done: each effect once, however often it is asked.
//! - [`Tally`]: which faults were ordered, and which happened. They are counted where they happen.
//!
//! Nothing here knows what the program does, and the program needs nothing of this: it is given the proxies' addresses in
//! place of its partners'. What must hold in the end, you say; `examples/rooms/tests/it/chaos.rs` and `shop chaos` are two
//! ways to say it. A guide: `docs/chaos.md`.
//!
//! The same seed draws the same faults for the same requests. When a kill strikes is also up to the machine, so a run that
//! is repeated meets the same faults, and not in the same interleaving.

mod ballast;
mod client;
mod edge;
mod faults;
mod place;
mod process;
mod proxy;
mod recorder;
mod tally;
mod volume;

pub use ballast::Ballast;
pub use client::{Answer, Client};
pub use edge::knock;
pub use fastrand::Rng;
pub use faults::{Fault, Faults, Rates, drawn};
pub use place::{FULL_DISK, Place};
pub use process::{Process, free_address};
pub use proxy::Proxy;
pub use recorder::{Outcome, Recorder};
pub use tally::{Count, Tally};
pub use volume::{Switch, Volume};
