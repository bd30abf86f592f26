//! Many seeds, or one again.

#![allow(clippy::print_stdout, reason = "what a sweep has covered is its result")]
#![allow(clippy::panic, reason = "a panic is how a test says what it found")]

use super::{Report, Simulation, Tally, tally::grouped};

/// Each of so many seeds is run twice.
const TWICE: u64 = 20;

/// Runs the simulations of seeds 0, 1, 2 …: as many as `FACTUM_SEEDS` says, else `seeds`. With `FACTUM_SEED` that one
/// alone, and prints its trace. Every twentieth is run twice, and must be the same to the byte: what cannot be replayed
/// cannot be mended. Prints what really happened and answers it; `None` after a single seed.
///
/// # Panics
/// As [`Simulation::run`]; if two runs of one seed differ.
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
        let report = simulation(seed).run();
        if seed % TWICE == 0 {
            same(&report, &simulation(seed).run());
        }
        tally += &report.tally;
        std::mem::forget(watch);
    }
    println!("sim: {} seeds, {tally}; 0 violations", grouped(seeds));
    Some(tally)
}

/// Two runs of one seed are the same: what happened, in which order, and every byte that is left.
///
/// # Panics
/// If they are not.
fn same(one: &Report, other: &Report) {
    let line = |report: &Report, at: usize| report.trace.get(at).cloned().unwrap_or_else(|| "the end".to_owned());
    let different = (0..one.trace.len().max(other.trace.len())).find(|at| line(one, *at) != line(other, *at));
    if let Some(at) = different {
        let (seed, first, second) = (one.seed, line(one, at), line(other, at));
        panic!("seed {seed} cannot be replayed, line {at} of the trace was once\n{first}\nand once\n{second}");
    }
    assert_eq!(one.tally, other.tally, "seed {} cannot be replayed", one.seed);
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
