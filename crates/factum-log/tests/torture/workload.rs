//! What is done to the log: scripts by seed, each after another part of its abilities.

use factum_log::Options;
use fastrand::Rng;

use crate::model::Part;

/// One step of a script.
#[derive(Clone, Debug)]
pub enum Step {
    Append(Vec<Part>),
    Idle,
    /// Closes the log and opens it again.
    Close,
    /// Opens the log again as after the death of its process, without closing it.
    Kill,
    /// Leaves this much space beyond what is used now; without a number there is no limit.
    Space(Option<u64>),
}

/// A script and the log that it is for.
#[derive(Clone, Debug)]
pub struct Workload {
    pub name: &'static str,
    pub seed: u64,
    pub segment_bytes: u64,
    pub steps: Vec<Step>,
}

impl Workload {
    /// Options for this log; the disk is still to be said.
    pub fn options(&self) -> Options {
        Options { segment_bytes: self.segment_bytes, ..Options::default() }
    }
}

/// All scripts, drawn by a seed. A new ability of the log joins here, if it is to be asked for.
pub fn all(seed: u64) -> Vec<Workload> {
    let names = ["small", "large", "rolling", "cells", "reopening", "full", "filled"];
    names.into_iter().map(|name| one(name, seed)).collect()
}

/// A script by name.
pub fn one(name: &'static str, seed: u64) -> Workload {
    let mut rng = Rng::with_seed(seed ^ u64::from(name.as_bytes()[0]) << 32);
    let rng = &mut rng;
    let (segment_bytes, count) = match name {
        "rolling" => (2048, 16),
        "cells" => (3000, 16),
        "large" => (24_000, 12),
        "filled" => (300_000, 14),
        _ => (4096, 16),
    };
    let mut steps = Vec::new();
    for _ in 0..count {
        let longest = match name {
            "large" => 9000,
            "rolling" | "full" => 900,
            _ => 150,
        };
        steps.push(Step::Append(parts(rng, longest, name == "cells")));
        match (name, rng.u8(..10)) {
            ("cells", 0..4) | ("small" | "filled", 0) => steps.push(Step::Idle),
            ("reopening", 0..3) => steps.push(Step::Close),
            ("reopening" | "filled" | "rolling" | "full", 3..5) => steps.push(Step::Kill),
            ("full", 5..8) => {
                steps.push(Step::Space(Some(rng.u64(..700))));
                for _ in 0..rng.usize(1..4) {
                    steps.push(Step::Append(parts(rng, longest, false)));
                }
                steps.extend([Step::Idle, Step::Space(None)]);
            }
            _ => {}
        }
    }
    if seed.is_multiple_of(2) {
        steps.push(Step::Close);
    }
    Workload { name, seed, segment_bytes, steps }
}

/// A batch of entries, cells or both.
pub fn parts(rng: &mut Rng, longest: usize, mostly_cells: bool) -> Vec<Part> {
    let count = rng.usize(1..5);
    let bytes = |rng: &mut Rng, longest: usize| {
        // Zeroes among them, so that not every sector of a frame looks used.
        let zeroes = rng.u8(..6) == 0;
        let length = rng.usize(..longest);
        (0..length).map(|_| if zeroes { 0 } else { rng.u8(..) }).collect::<Vec<u8>>()
    };
    (0..count)
        .map(|_| {
            let draw = if mostly_cells { rng.u8(3..10) } else { rng.u8(..6) };
            match draw {
                0..5 => Part::Entry {
                    stream: format!("stream-{}", rng.u8(..4)),
                    kind: format!("kind-{}", rng.u8(..12)),
                    body: bytes(rng, longest),
                },
                5..8 => Part::Put { key: vec![b'k', rng.u8(..5)], value: bytes(rng, longest.min(300)) },
                _ => Part::Delete { key: vec![b'k', rng.u8(..5)] },
            }
        })
        .collect()
}
