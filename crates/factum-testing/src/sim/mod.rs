//! Simulated surroundings: everything that can fail around a program, owned by a test and replayed by a seed.
//!
//! [`disk`] is a disk alone. [`Simulation`] runs a whole node on one: engine, views, outward loop, timers and the embedded
//! log, on one thread, with a simulated clock, simulated rows, simulated peers and clients that send again what was not
//! answered, and an operator who looks after what fails. Crashes, errors, silence and [`poison`] are drawn by the seed; at the end everything is healed, the node comes to rest,
//! and what its surroundings have seen is held against what the log says.
//!
//! ```no_run
//! use factum_core::{envelope::Draft, service::Service};
//! use factum_testing::sim::{Peers, Simulation, sweep};
//!
//! # fn orders(peers: &Peers) -> Service { Service::new("orders") }
//! # fn next_command(random: &mut fastrand::Rng, number: usize) -> Draft { unimplemented!() }
//! #[test]
//! fn orders_survive_everything() {
//!     sweep(2_000, |seed| Simulation::new(seed).services(|peers| vec![orders(peers)]).commands(30, next_command));
//! }
//! ```
//!
//! `FACTUM_SEEDS=100000` runs more seeds, `FACTUM_SEED=17` one seed, with its trace.

mod aftermath;
mod clients;
mod clock;
pub mod disk;
mod driver;
mod faults;
mod invariants;
mod node;
mod operator;
mod oracle;
mod peers;
pub mod poison;
mod refusals;
mod rows;
mod sagas;
mod seen;
mod simulation;
mod sweep;
mod tally;
mod world;

pub use clock::SimClock;
pub use operator::DISCARDABLE;
pub use peers::{Effect, Peer, Peers, Told};
pub use rows::SimRows;
pub use simulation::{Report, Simulation};
pub use sweep::{replay, sweep};
pub use tally::{Kind, Tally};
pub use world::{Violation, World};
