//! The committer's thread: carries out what the engine has launched, while the engine decides what comes next.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::CURSOR_TICK;
use crate::{engine::Flight, signal::Signal};

pub(super) struct CommitterLoop {
    pub(super) flight: Arc<Flight>,
    /// Rung when something was launched.
    pub(super) signal: Arc<Signal>,
    pub(super) stopping: Arc<AtomicBool>,
}

impl CommitterLoop {
    pub(super) fn run(self) {
        while !self.stopping.load(Ordering::Acquire) {
            if !self.flight.carry_out() {
                self.signal.wait(CURSOR_TICK);
            }
        }
    }
}
