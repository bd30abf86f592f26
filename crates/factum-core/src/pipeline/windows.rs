//! Windows: spans of event time, each with an aggregate of its own for every key.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::HandlerError;

/// The most windows that one event may belong to.
pub const MOST_OVERLAPPING: u128 = 1_000;

/// How a pipeline divides time. Windows begin at whole multiples of their distance, counted from 1970-01-01T00:00:00Z, so
/// that a window of a day is a day in UTC.
///
/// A window closes when the watermark has reached its end; the watermark is the time of the newest event that was read
/// less the stated lateness. No clock closes one: without events time stands still, and the last window of a quiet stream
/// stays open until the next event comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    size: Duration,
    every: Duration,
    late_by: Duration,
    final_only: bool,
}

impl Windows {
    /// One behind the other, each so long; an event belongs to one of them.
    pub fn tumbling(size: Duration) -> Self {
        Self::hopping(size, size)
    }

    /// Each so long, and a new one begins `every` so often; an event belongs to all that span its time, at most 1,000.
    pub fn hopping(size: Duration, every: Duration) -> Self {
        Self { size, every, late_by: Duration::ZERO, final_only: false }
    }

    /// How much older than the newest event an event may be and still find its windows open. Zero if not said: then an event
    /// behind a newer one is late as soon as that one lies in a later window.
    #[must_use]
    pub fn late_by(self, late_by: Duration) -> Self {
        Self { late_by, ..self }
    }

    /// Tells a window once, when it closes, instead of with each event in it.
    #[must_use]
    pub fn final_only(self) -> Self {
        Self { final_only: true, ..self }
    }

    pub(super) fn tells_changes(self) -> bool {
        !self.final_only
    }

    /// What is wrong with the declaration.
    pub fn problem(self) -> Option<String> {
        let (size, every) = (self.size.as_nanos(), self.every.as_nanos());
        if size == 0 || every == 0 {
            return Some("a window lasts, and its distance to the next is, more than no time".to_owned());
        }
        if every > size {
            return Some(
                "windows that are further apart than they are long would leave out what lies between".to_owned(),
            );
        }
        if size.div_ceil(every) > MOST_OVERLAPPING {
            return Some(format!(
                "an event would belong to more than {MOST_OVERLAPPING} windows: begin them less often"
            ));
        }
        None
    }

    /// The windows that span a time, the earliest first.
    pub(super) fn of(self, at: Timestamp) -> Result<impl Iterator<Item = Window>, HandlerError> {
        let edge = || HandlerError::failed(format!("the time {at} lies in a window that reaches beyond all dates"));
        let (size, every) = (nanos(self.size), nanos(self.every).max(1));
        let last = at.as_nanosecond().div_euclid(every) * every;
        let before = (size - 1 - (at.as_nanosecond() - last)).max(0) / every;
        let window = move |from: i128| {
            Some(Window {
                from: Timestamp::from_nanosecond(from).ok()?,
                to: Timestamp::from_nanosecond(from.checked_add(size)?).ok()?,
            })
        };
        let first = last - before * every;
        // If the outermost are dates, so are those between.
        (window(first).and(window(last))).ok_or_else(edge)?;
        Ok((0..=before).filter_map(move |hop| window(first + hop * every)))
    }

    /// The window that begins then.
    pub(super) fn from(self, from: Timestamp) -> Window {
        let to = Timestamp::from_nanosecond(from.as_nanosecond().saturating_add(nanos(self.size)));
        Window { from, to: to.unwrap_or(Timestamp::MAX) }
    }

    /// The time up to which all windows have closed.
    pub(super) fn watermark(self, newest: Timestamp) -> Timestamp {
        let watermark = newest.as_nanosecond().saturating_sub(nanos(self.late_by));
        Timestamp::from_nanosecond(watermark).unwrap_or(Timestamp::MIN)
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

/// A span of event time: `from` belongs to it, `to` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Window {
    /// The first moment of it.
    pub from: Timestamp,
    /// The first moment behind it.
    pub to: Timestamp,
}

impl Window {
    /// The last moment of it.
    pub(super) fn last(self) -> Timestamp {
        Timestamp::from_nanosecond(self.to.as_nanosecond() - 1).unwrap_or(self.from)
    }
}
