//! The thread that follows others who write to the unit's store: it moves the tail's head to where they are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use factum_core::ports::Others;

use crate::{
    signal::{Signal, backoff},
    tail::Tail,
};

/// How long it waits at most before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(250);

pub(super) struct HeadLoop {
    pub(super) others: Box<dyn Others>,
    pub(super) tail: Arc<Tail>,
    /// The engine does not follow the tail: what is in it, it has written itself.
    pub(super) engine: Arc<Signal>,
    pub(super) signal: Arc<Signal>,
    pub(super) stopping: Arc<AtomicBool>,
}

impl HeadLoop {
    pub(super) fn run(mut self) {
        let mut failures = 0;
        while !self.stopping.load(Ordering::Acquire) {
            match self.others.wait(LOOK) {
                Ok(head) => {
                    failures = 0;
                    if head > self.tail.head() {
                        self.tail.move_to(head);
                        self.engine.ring();
                    }
                }
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(%error, "it cannot be seen what others have written; trying again");
                    }
                    self.signal.wait(backoff(failures));
                }
            }
        }
    }
}
