//! A clock that a simulation moves: like the wall clock for those who ask it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use factum_core::{Timestamp, ports::Clock};

/// The clock. Clones are the same one.
#[derive(Clone, Debug)]
pub struct SimClock {
    microseconds: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock that shows this time.
    pub fn new(now: Timestamp) -> Self {
        Self { microseconds: Arc::new(AtomicI64::new(now.as_microsecond())) }
    }

    /// Time passes.
    pub fn pass(&self, time: Duration) {
        let passed = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.microseconds.fetch_add(passed, Ordering::Relaxed);
    }

    /// Time passes until then, if it is still to come.
    pub fn pass_until(&self, then: Timestamp) {
        // A due time may lie within a microsecond.
        self.microseconds.fetch_max(then.as_microsecond() + 1, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn mark(&self) -> Timestamp {
        Timestamp::from_microsecond(self.microseconds.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX)
    }

    fn stamp(&self, cause: Timestamp) -> Timestamp {
        self.mark().max(cause)
    }

    fn until(&self, due: Timestamp) -> Option<Duration> {
        Some(Duration::try_from(due.duration_since(self.mark())).unwrap_or_default())
    }
}
