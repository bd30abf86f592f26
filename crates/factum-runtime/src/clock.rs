//! The two clocks: the wall clock, and the time of recorded data.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use factum_core::ports::Clock;
use jiff::Timestamp;

/// The wall clock, in microseconds, never backwards.
#[derive(Debug, Default)]
pub struct LiveClock {
    latest: AtomicI64,
}

impl Clock for LiveClock {
    fn mark(&self) -> Timestamp {
        let now = Timestamp::now().as_microsecond();
        let latest = self.latest.fetch_max(now, Ordering::Relaxed).max(now);
        Timestamp::from_microsecond(latest).unwrap_or(Timestamp::MAX)
    }

    fn stamp(&self, cause: Timestamp) -> Timestamp {
        self.mark().max(cause)
    }

    fn until(&self, due: Timestamp) -> Option<Duration> {
        Some(Duration::try_from(due.duration_since(self.mark())).unwrap_or_default())
    }
}

/// A clock that moves only by hand: a run over recorded data takes its time from the data.
#[derive(Clone, Debug)]
pub struct DataClock {
    mark: Arc<AtomicI64>,
}

impl Default for DataClock {
    fn default() -> Self {
        Self { mark: Arc::new(AtomicI64::new(Timestamp::MIN.as_microsecond())) }
    }
}

impl DataClock {
    /// Moves the mark forward; never backwards.
    pub fn advance(&self, to: Timestamp) {
        // Rounded up: what is due within a microsecond would never be reached.
        let part = i64::from(to.subsec_nanosecond() % 1_000 > 0);
        self.mark.fetch_max(to.as_microsecond() + part, Ordering::Relaxed);
    }
}

impl Clock for DataClock {
    fn mark(&self) -> Timestamp {
        Timestamp::from_microsecond(self.mark.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX)
    }

    fn stamp(&self, cause: Timestamp) -> Timestamp {
        cause
    }

    fn until(&self, _due: Timestamp) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reaches_every_time_that_it_is_moved_to() {
        for to in ["1969-12-31T23:59:59.9999999Z", "2025-01-01T00:00:00Z", "2025-01-01T00:59:59.999999999Z"] {
            let (clock, to) = (DataClock::default(), to.parse().unwrap());
            clock.advance(to);
            let beyond = clock.mark().as_nanosecond() - to.as_nanosecond();
            assert!((0..1_000).contains(&beyond), "{to}: {}", clock.mark());
        }
        let clock = DataClock::default();
        clock.advance(Timestamp::MAX);
        assert_eq!(clock.mark(), Timestamp::MAX);
        clock.advance(Timestamp::MIN);
        assert_eq!(clock.mark(), Timestamp::MAX);
    }
}
