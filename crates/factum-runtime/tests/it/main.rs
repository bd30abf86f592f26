//! The loops, driven by hand: one thread, the store in memory, time and ids from the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test subjects and helpers are tests too")]

mod bank;
mod bench;
mod catching_up;
mod changes;
mod commands;
mod cuts;
mod failures;
mod folds;
mod guarded;
mod health;
mod histories;
mod imports;
mod letters;
mod limits;
mod moments;
mod moves;
mod notyet;
mod one_by_one;
mod outward;
mod partners;
mod plans;
mod publishers;
mod references;
mod refused;
mod repeats;
mod sagas;
mod shelves;
mod shuffled;
mod snapshots;
mod step_calls;
mod timers;
mod undo_calls;
mod unfolded;
mod versions;
mod views;
