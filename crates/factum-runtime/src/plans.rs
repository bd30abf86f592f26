//! Plans: acts on many at once. A selection by a question, every effect it would have, and a hash; approved, then applied
//! as a durable, paced job that says where it stands and goes on after a restart.
//!
//! ```text
//!  made ──── approved, with its hash ────► running ──── nothing is left ────► finished
//!    └────── cancelled ◄─────────────────────┘ └─────── another program ────► stopped
//! ```
//!
//! A plan is a cell as long as it is made or running, and a stream `plan-<id>` of events for ever. It keeps its question,
//! not its items: they are derived again. A letter that has changed since it was made is left out and counted. An instance of
//! a saga goes on by itself all the time: it is moved as it stands then, as long as the same version still runs it.

mod tally;

use std::time::Duration;

use factum_core::{
    cell::{Cell, CellKey, CellKind},
    envelope::{Kind, Stored},
    error::StoreError,
    letter::{Letter, LetterId},
    ports::Reader,
    stream::{Position, StreamId, StreamVersion},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    acts::{By, Preview},
    letters::Query,
};
pub use tally::{LeftOut, Tally};

/// Items of which a plan shows every effect; of more it shows the first ones, and counts.
pub const MAX_SHOWN: usize = 1_000;
/// What is to be done, to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "act")]
pub enum Selection {
    /// Redrives the letters that fit.
    Redrive {
        /// Which.
        query: Query,
    },
    /// Discards the letters that fit.
    Discard {
        /// Which.
        query: Query,
    },
    /// Delivers messages of the log to a reaction once more: it acts on them again.
    Redeliver(Redeliver),
    /// Has the open instances of a saga that one version runs, run by another one from then on.
    Move {
        /// The definition's name.
        saga: String,
        /// The version that runs them now.
        from: u32,
        /// A later version, whose table says how (`moves_from`).
        to: u32,
    },
    /// Runs occurrences of a schedule that were skipped, or were before it was declared; each once.
    Backfill(Backfill),
}

/// Which occurrences of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backfill {
    /// The schedule, as `<service>.<name>`.
    pub schedule: String,
    /// The first time that is meant.
    pub from: Timestamp,
    /// The last one.
    pub to: Timestamp,
}

/// Which messages of the log, to which reaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redeliver {
    /// The reaction, as `<service>.<name>`. Deciders and sagas are not redelivered to, and views are rebuilt.
    pub consumer: String,
    /// Behind this position.
    #[serde(default)]
    pub after: Position,
    /// Up to this position; up to where the reaction stands if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Position>,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_time: Option<Timestamp>,
    /// Of this type only.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Of this partition key only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of this business transaction only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
}

impl Selection {
    /// Items at most.
    pub fn limit(&self) -> Option<u64> {
        match self {
            Self::Redrive { query } | Self::Discard { query } => query.limit.map(|limit| limit as u64),
            Self::Redeliver(_) | Self::Move { .. } | Self::Backfill(_) => None,
        }
    }
}

impl Redeliver {
    /// Whether a message is one of those, wherever it stands.
    pub fn takes(&self, stored: &Stored) -> bool {
        let envelope = stored.envelope();
        envelope.kind == Kind::Event
            && self.type_name.as_ref().is_none_or(|name| name == stored.type_name())
            && self.key.as_ref().is_none_or(|key| **key == *envelope.partition_key)
            && self.correlation.as_ref().is_none_or(|id| *id == envelope.correlation_id.to_string())
            && self.from_time.is_none_or(|from| envelope.timestamp >= from)
    }
}

/// A plan to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Making {
    /// What is to be done.
    #[serde(flatten)]
    pub selection: Selection,
    /// Items a second at most; as fast as it goes if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Whether somebody else than its maker must approve it.
    #[serde(default)]
    pub second_person: bool,
}

/// Where a plan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// It waits to be approved.
    Made,
    /// It is being carried out.
    Running,
    /// Nothing is left of it. From here on its events tell of it, and there is no cell.
    Finished,
    /// It was taken back.
    Cancelled,
    /// Another program runs than the one that it was made with.
    Stopped,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its id.
    pub id: String,
    /// What is to be done.
    pub making: Making,
    /// Where it stands.
    pub stage: Stage,
    /// Who made it, and why.
    pub by: By,
    /// When.
    pub made_at: Timestamp,
    /// The log ended here then: what came later is none of it.
    pub head: Position,
    /// The program that it was made with: another one does other things.
    pub program: String,
    /// Items.
    pub total: u64,
    /// Over the selection, each item's name and revision, and the program: what an approval must name.
    pub hash: String,
    /// The last item that is its; none behind it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Item>,
    /// When it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Timestamp>,
    /// The last item that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Item>,
    /// What became of its items until now.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A plan as it stands, also when it has ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// What is to be done, or was.
    pub making: Making,
    /// Where it stands.
    pub stage: Stage,
    /// Who made it, and why.
    pub by: By,
    /// When.
    pub made_at: Timestamp,
    /// The program that it was made with.
    pub program: String,
    /// Items.
    pub total: u64,
    /// What an approval must name.
    pub hash: String,
    /// Who approved it, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved: Option<By>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What became of its items until now.
    #[serde(flatten)]
    pub tally: Tally,
}

/// One item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Item {
    /// A letter.
    Letter(LetterId),
    /// A message of the log.
    Message(Position),
    /// An instance of a saga, by its stream.
    Saga(String),
    /// An occurrence of a schedule.
    Occurrence(Timestamp),
}

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Letter(id) => id.fmt(f),
            Self::Message(position) => position.fmt(f),
            Self::Saga(id) => id.fmt(f),
            Self::Occurrence(time) => time.fmt(f),
        }
    }
}

/// A plan that was just made, with what it would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// What each item would do: all of them, or the first 1,000.
    pub items: Vec<PlannedItem>,
    /// What the shown ones would do, by kind and type.
    pub effects: Vec<Count>,
    /// How many of the shown ones would fail again.
    pub would_fail: u64,
    /// What must be known of it besides.
    pub notes: Vec<&'static str>,
}

/// What one item would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedItem {
    /// The item.
    pub item: String,
    /// What would follow, or what the handler would say.
    #[serde(flatten)]
    pub preview: Preview,
}

/// So many effects of a kind and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// `event`, `command`, `call`, …
    pub kind: &'static str,
    /// The message's type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// How many.
    pub count: u64,
}

impl Plan {
    /// The cell of a plan.
    pub fn cell(id: &str) -> CellKey {
        CellKey::new(CellKind::Job, id)
    }

    /// Reads a cell.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is none.
    pub fn decode(cell: &Cell) -> Result<Self, StoreError> {
        serde_json::from_slice(&cell.value)
            .map_err(|error| StoreError::Corrupt(format!("cell {} cannot be read: {error}", cell.key)))
    }

    /// The cell's value.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] if it has no JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|error| StoreError::Unfit(error.to_string()))
    }

    /// Whether a letter is as it was when the plan was made.
    pub fn is_unchanged(&self, letter: &Letter) -> bool {
        letter.changed_at <= self.head
    }

    /// How many items it may have looked at by now, by its rate.
    pub fn allowed(&self, now: Timestamp) -> u64 {
        let (Some(rate), Some(since)) = (self.making.rate, self.approved_at) else { return u64::MAX };
        let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        (passed.as_secs_f64() * f64::from(rate)) as u64 + 1
    }

    /// When it may go on, by its rate.
    pub fn due(&self) -> Option<Timestamp> {
        let (Some(rate), Some(since)) = (self.making.rate, self.approved_at) else { return self.approved_at };
        let seconds = self.tally.looked_at() as f64 / f64::from(rate.max(1));
        since.checked_add(Duration::from_secs_f64(seconds)).ok()
    }
}

/// A hash over what a plan is about, item by item.
pub struct Hash(Xxh3);

impl Hash {
    /// Of a selection, by a program.
    pub fn new(making: &Making, program: &str) -> Self {
        let mut hash = Xxh3::new();
        hash.update(serde_json::to_string(making).unwrap_or_default().as_bytes());
        hash.update(program.as_bytes());
        Self(hash)
    }

    /// One more item, in its revision.
    pub fn add(&mut self, item: &str, revision: &str) {
        for part in [item, revision] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part.as_bytes());
        }
    }

    /// As text.
    pub fn finish(self) -> String {
        format!("{:032x}", self.0.digest128())
    }
}

/// All plans that are made or running.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn list(reader: &dyn Reader) -> Result<Vec<Plan>, StoreError> {
    reader.cells(CellKind::Job)?.iter().map(Plan::decode).collect()
}

/// One plan as it stands, also when it has ended; `None` if there never was one of that name.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn show(reader: &dyn Reader, id: &str) -> Result<Option<Shown>, StoreError> {
    let Ok(stream) = StreamId::new("plan", id) else { return Ok(None) };
    // The cell before the stream: what ends between the two is told by the stream.
    let cell = reader.cell(&Plan::cell(id))?;
    let mut shown: Option<Shown> = None;
    for stored in reader.stream(&stream, StreamVersion(0))? {
        let unfit = |error| StoreError::Corrupt(format!("{stream} at {} cannot be read: {error}", stored.position));
        let told: Told = serde_json::from_slice(&stored.message.data).map_err(unfit)?;
        let by = By::new(told.by, told.why);
        let at = stored.envelope().timestamp;
        match (stored.type_name(), &mut shown) {
            ("plan.made", _) => {
                let Made { making, total, hash, program } =
                    serde_json::from_slice(&stored.message.data).map_err(unfit)?;
                let (id, stage, tally) = (id.to_owned(), Stage::Made, Tally::default());
                let (approved, ended_at, reason, made_at) = (None, None, None, at);
                let it =
                    Shown { id, making, stage, by, made_at, program, total, hash, approved, ended_at, reason, tally };
                shown = Some(it);
            }
            ("plan.approved", Some(shown)) => (shown.stage, shown.approved) = (Stage::Running, Some(by)),
            (name, Some(shown)) => {
                let ended = match name {
                    "plan.finished" => Some(Stage::Finished),
                    "plan.cancelled" => Some(Stage::Cancelled),
                    "plan.stopped" => Some(Stage::Stopped),
                    _ => None,
                };
                if let Some(stage) = ended {
                    (shown.stage, shown.ended_at, shown.reason) = (stage, Some(at), told.reason);
                }
                shown.tally = told.tally;
            }
            (_, None) => {}
        }
    }
    if let (Some(cell), Some(shown)) = (cell, &mut shown)
        && shown.ended_at.is_none()
    {
        shown.tally = Plan::decode(&cell)?.tally;
    }
    Ok(shown)
}

/// What the event that made a plan says.
#[derive(Deserialize)]
struct Made {
    making: Making,
    total: u64,
    hash: String,
    program: String,
}

/// What any event of a plan may say.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    by: String,
    #[serde(default)]
    why: String,
    reason: Option<String>,
    #[serde(flatten)]
    tally: Tally,
}
