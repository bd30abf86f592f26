//! The time by which calls wait: real time, or the mark where that moves only by hand.

use std::{sync::Arc, time::Duration};

use factum_core::ports::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// See the module.
pub(super) struct Time {
    clock: Arc<dyn Clock>,
    /// Where the mark moves by hand: a moment, and what the mark was then.
    by_hand: Option<(Instant, Timestamp)>,
}

impl Time {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let mark = clock.mark();
        let by_hand = clock.until(mark).is_none().then(|| (Instant::now(), mark));
        Self { clock, by_hand }
    }

    pub(super) fn mark(&self) -> Timestamp {
        self.clock.mark()
    }

    /// Now; where the mark moves by hand, as far from the beginning as the mark is.
    pub(super) fn now(&self) -> Instant {
        let Some((begun, mark)) = self.by_hand else { return Instant::now() };
        let passed = Duration::try_from(self.mark().duration_since(mark)).unwrap_or_default();
        begun.checked_add(passed).unwrap_or(begun)
    }

    /// How long to sleep until then; nothing if time does not pass by itself.
    pub(super) fn sleep(&self, until: Instant) -> Option<Instant> {
        self.by_hand.is_none().then_some(until)
    }

    /// When that is by the mark; nothing on a live clock, where it comes by itself.
    pub(super) fn by_the_mark(&self, at: Instant) -> Option<Timestamp> {
        let (begun, mark) = self.by_hand?;
        // The mark is in microseconds: it must reach what lies between two of them.
        let wait = at.saturating_duration_since(begun).saturating_add(Duration::from_nanos(999));
        let wait = SignedDuration::from_micros(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
        Some(mark.saturating_add(wait).unwrap_or(Timestamp::MAX))
    }

    pub(super) fn is_by_hand(&self) -> bool {
        self.by_hand.is_some()
    }
}
