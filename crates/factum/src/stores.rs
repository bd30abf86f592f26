//! What an app stands on: a log, rows, snapshots, each where it is wanted.

use std::time::Duration;

use crate::{app::LogSizes, location::Location};

/// Where a unit keeps its log, its rows and its snapshots: all in one place, or each in its own.
///
/// ```text
/// App::on(Stores::at("postgres://shop@db/shop?schema=shop").rows_in("./rows"))?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stores {
    pub(crate) log: Location,
    pub(crate) rows: Option<Location>,
    pub(crate) snapshots: Option<Location>,
    pub(crate) sizes: LogSizes,
    pub(crate) lead: Lead,
}

/// How a process leads a unit that others could lead, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(crate) name: Option<String>,
    pub(crate) lease: Option<Duration>,
}

impl Stores {
    /// All in one place, made if it is missing.
    pub fn at(place: impl Into<Location>) -> Self {
        Self { log: place.into(), rows: None, snapshots: None, sizes: LogSizes::default(), lead: Lead::default() }
    }

    /// The rows elsewhere. What is elsewhere can be lost: it is built anew from the log.
    #[must_use]
    pub fn rows_in(self, place: impl Into<Location>) -> Self {
        Self { rows: Some(place.into()), ..self }
    }

    /// The snapshots elsewhere: in a directory they are nearer, in a database whoever takes over finds them.
    #[must_use]
    pub fn snapshots_in(self, place: impl Into<Location>) -> Self {
        Self { snapshots: Some(place.into()), ..self }
    }

    /// Other sizes of the log's files, if it is in a directory. They may differ from one start to the next.
    #[must_use]
    pub fn log_sizes(self, sizes: LogSizes) -> Self {
        Self { sizes, ..self }
    }

    /// What this process calls itself to others that wait to lead, in a database: best the address that it serves.
    #[must_use]
    pub fn led_by(mut self, name: impl Into<String>) -> Self {
        self.lead.name = Some(name.into());
        self
    }

    /// How long a process leads, in a database, without a sign of life before another may: 15 seconds if not said. Longer than
    /// any call to the outside may take, and the same for all processes of a unit.
    #[must_use]
    pub fn lease(mut self, length: Duration) -> Self {
        self.lead.lease = Some(length);
        self
    }

    /// Where the log is.
    pub fn place(&self) -> &Location {
        &self.log
    }
}

impl<P: Into<Location>> From<P> for Stores {
    fn from(place: P) -> Self {
        Self::at(place)
    }
}
