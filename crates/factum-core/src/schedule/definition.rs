//! What a schedule is: when, where, and what becomes of occurrences that could not run as planned. It is data, kept in the
//! schedule's own events.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a schedule occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// A cron pattern of five fields: minute, hour, day of the month, month, day of the week.
    Cron(String),
    /// At equal distances.
    #[serde(rename_all = "camelCase")]
    Every {
        /// Whole seconds between two.
        secs: u64,
        /// One of them is then; the others are before and behind it.
        from: Timestamp,
    },
    /// At these times of the zone.
    On(Vec<DateTime>),
}

/// What becomes of occurrences that were missed: that could not run within the tolerance, because the process was down, it
/// stood still, or the clock was set forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Missed {
    /// Each runs, late, one when the other has ended; of more than 100 the first ones are skipped.
    RunAll,
    /// The last one runs, late, unless the next one is due already; the others are skipped.
    #[default]
    RunLast,
    /// They are skipped.
    Skip,
}

/// What becomes of an occurrence while one before it is under way: while the event that it is done by has not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// It waits, and runs when the other has ended; any further one is skipped.
    QueueOne,
    /// It runs beside it; at most 100 at once.
    Allow,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// When it occurs.
    pub when: When,
    /// The time zone in which patterns and dates are meant, by its name in the IANA database.
    pub zone: String,
    /// Days of the zone on which it does not occur.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_on: Vec<Date>,
    /// Each occurrence is due up to so many seconds after its time: how many, its name and time decide.
    #[serde(default)]
    pub jitter_secs: u64,
    /// An occurrence that runs later than so many seconds after it was due is late.
    pub late_after_secs: u64,
    /// What becomes of those that were missed.
    pub missed: Missed,
    /// What becomes of one while another is under way.
    pub overlap: Overlap,
    /// Types of the events by which an occurrence is done; without any it is done when its command is sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done_by: Vec<String>,
    /// One that is not done within so many seconds counts as over, and needs a person.
    pub within_secs: u64,
}

/// A minute, as the tolerance if nothing is said.
const LATE_AFTER_SECS: u64 = 60;
/// A day, as the limit if nothing is said.
const WITHIN_SECS: u64 = 86_400;

impl Definition {
    /// A definition of which nothing else is said.
    pub(super) fn new(when: When) -> Self {
        Self {
            when,
            zone: "UTC".to_owned(),
            not_on: Vec::new(),
            jitter_secs: 0,
            late_after_secs: LATE_AFTER_SECS,
            missed: Missed::default(),
            overlap: Overlap::default(),
            done_by: Vec::new(),
            within_secs: WITHIN_SECS,
        }
    }

    /// Whether an occurrence is under way until an event says that it is done.
    pub fn is_watched(&self) -> bool {
        !self.done_by.is_empty()
    }
}
