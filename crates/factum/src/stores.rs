//! What an app stands on: a log, rows, snapshots, each where it is wanted.

use std::time::Duration;

use factum_core::{
    error::{RowError, StoreError},
    upcast::UpcastError,
};

use crate::{location::Location, moving::Moves};

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
    /// The move that the data is a part of, if it is.
    pub(crate) moves: Moves,
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
        Self {
            log: place.into(),
            rows: None,
            snapshots: None,
            sizes: LogSizes::default(),
            lead: Lead::default(),
            moves: Moves::default(),
        }
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

    /// The same when the log has moved: what was built of it stays where it was.
    pub(crate) fn moved_to(self, log: Location) -> Self {
        let Self { log: before, rows, snapshots, .. } = &self;
        let (rows, snapshots) = [rows, snapshots].map(|place| Some(place.as_ref().unwrap_or(before).clone())).into();
        Self { log, rows, snapshots, ..self }
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

/// Why data cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log.
    #[error(transparent)]
    Log(#[from] StoreError),
    /// The rows.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The services that are to read it do not fit together.
    #[error(transparent)]
    Services(#[from] UpcastError),
}

impl OpenError {
    /// Whether it may pass by itself: another process leads the unit, or the database is away.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Log(StoreError::Fenced(_) | StoreError::Transient(_)))
    }
}

/// How the log is divided into files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSizes {
    /// Length of a segment in bytes, which is what an archive moves: 64 MiB if not said.
    pub segment_bytes: u64,
    /// A checkpoint is written when the log has grown by so many bytes: 256 MiB if not said. The less, the faster a start.
    pub checkpoint_bytes: u64,
}

impl Default for LogSizes {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, checkpoint_bytes: 256 << 20 }
    }
}
