//! Simulated surroundings: everything that can fail in a machine, owned by a test and replayed by a seed.

pub mod disk;
