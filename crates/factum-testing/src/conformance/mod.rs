//! What every implementation of a port must do: one list of named cases per port, run by every adapter.
//!
//! A list is run against a *subject*, which makes the thing under test. What a subject cannot do it says with a
//! sentence ([`Cannot`]); the cases that need it print that they were left out and why.
#![allow(clippy::panic, clippy::expect_used, reason = "an assertion library: a panic is how a case says what it found")]

mod drive;
pub mod participant;
pub mod random;
pub mod rows;
pub mod snapshots;
pub mod store;
pub mod transport;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a subject cannot do something, as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cannot(pub &'static str);

/// The cases of a list as they are run, also those behind one that fails.
#[derive(Default)]
struct Run {
    cases: usize,
    failed: Vec<&'static str>,
}

impl Run {
    fn case(&mut self, name: &'static str, case: impl FnOnce()) {
        self.cases += 1;
        // A subject makes everything anew for each case, so one that ended half way leaves nothing that matters.
        if catch_unwind(AssertUnwindSafe(case)).is_err() {
            eprintln!("case `{name}` failed");
            self.failed.push(name);
        }
    }

    fn end(self) {
        let Self { cases, failed } = self;
        assert!(failed.is_empty(), "{} of {cases} cases failed: {}", failed.len(), failed.join(", "));
    }
}

/// Says that a case was left out.
fn left_out(case: &str, cannot: Cannot) {
    assert!(!cannot.0.is_empty(), "a subject that cannot do something says why");
    eprintln!("left out: {case}: {}", cannot.0);
}
