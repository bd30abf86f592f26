//! Many seeds, or one again.

#![allow(clippy::print_stdout, reason = "what a sweep has covered is its result")]

use super::{Report, Simulation, Tally, tally::grouped};

/// Runs the simulations of seeds 0, 1, 2 …: as many as `FACTUM_SEEDS` says, else `seeds`. With `FACTUM_SEED` that one
/// alone, and prints its trace. Prints what really happened and answers it; `None` after a single seed.
///
/// # Panics
/// As [`Simulation::run`].
pub fn sweep(seeds: u64, simulation: impl Fn(u64) -> Simulation) -> Option<Tally> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("FACTUM_SEED") {
        replay(seed, simulation);
        return None;
    }
    let seeds = number("FACTUM_SEEDS").unwrap_or(seeds);
    let mut tally = Tally::default();
    for seed in 0..seeds {
        let watch = Watch(seed);
        tally += &simulation(seed).run().tally;
        std::mem::forget(watch);
    }
    println!("sim: {} seeds, {tally}; 0 violations", grouped(seeds));
    Some(tally)
}

/// Runs one seed and prints its trace.
///
/// # Panics
/// As [`Simulation::run`].
pub fn replay(seed: u64, simulation: impl Fn(u64) -> Simulation) -> Report {
    let report = simulation(seed).outcome();
    println!("{}", report.trace.join("\n"));
    match &report.violation {
        None => println!("seed {seed}: {}; 0 violations", report.tally),
        Some(violation) => println!("seed {seed}: {violation}"),
    }
    assert!(report.violation.is_none(), "see above; this is seed {seed}");
    report
}

/// Says which seed it was if something else panics.
struct Watch(u64);

impl Drop for Watch {
    fn drop(&mut self) {
        println!("this was seed {}", self.0);
    }
}
