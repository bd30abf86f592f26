//! The port of time.

use jiff::Timestamp;

/// Two uses of time, and no others: the mark up to which timers fire, and the time of an input that has none.
pub trait Clock: Send + Sync {
    /// Up to here timers are due. Never goes backwards.
    fn mark(&self) -> Timestamp;

    /// The time of an answer from outside to something that happened at `cause`: the present on a live clock, the
    /// cause's own time when a run replays recorded data.
    fn stamp(&self, cause: Timestamp) -> Timestamp;

    /// How long to wait, in real time, until the mark reaches `due`; `None` if it moves only by hand.
    fn until(&self, due: Timestamp) -> Option<std::time::Duration>;
}
