//! What the fuzzer does with bytes: one function for each decoder, which ordinary tests call as well.
//!
//! Each takes any bytes and answers what it found wrong; a panic below it is a finding too. The targets for `cargo fuzz`
//! stand in `fuzz/`, with the corpus that `tests/fuzz.rs` runs.

mod cells;
mod envelope;
mod format;
mod frames;
mod held;
mod recovery;
mod seeds;

pub use cells::cells;
pub use envelope::envelope;
pub use frames::frames;
pub use recovery::recovery;
pub use seeds::seeds;

/// `Ok`, or what does not hold.
pub type Verdict = Result<(), String>;

/// One of the functions of this module.
pub type Target = fn(&[u8]) -> Verdict;

/// All of them, by the names of their fuzz targets.
pub const TARGETS: [(&str, Target); 4] =
    [("frames", frames), ("recovery", recovery), ("envelope", envelope), ("cells", cells)];

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}
