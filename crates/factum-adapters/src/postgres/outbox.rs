//! The classical outbox: a service with tables of its own in the unit's database writes events in its own transaction, so that
//! its rows and what it tells of them stand or fall together.
//!
//! ```text
//! the service's transaction                                                   the unit
//! BEGIN · its own statements, as long as they take
//!       · commit_with: lock the counter's row · heads · check · write, NOTIFY, COMMIT ──► woken, reads the log
//! ```
//!
//! The counter's row is the one lock by which positions are given, and everybody who writes waits for it. So it is locked behind
//! the service's own statements, and [`Outbox::commit_with`] ends the transaction: nothing can be done any more while it is held.
//! A program that stands still at that point loses its session, and the lock with it, behind [`STANDSTILL`].

use std::{
    collections::HashSet,
    fmt, mem,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use factum_core::{
    Timestamp,
    commit::{Commit, check},
    envelope::{Kind, Outgoing, binary},
    error::{NameError, Refusal, StoreError},
    id::{MessageId, Name},
    payload::{Event, PayloadError},
    stream::{Position, StreamId},
};
use tokio_postgres::{Client, Transaction, types::Type};
use uuid::Uuid;

use super::{
    Options,
    address::shown,
    driver::{Connector, quoted},
    error::{is_dark, nothing_written, sentence},
    others::channel,
    owners, sabotage, schema,
    writing::{Asked, Writing},
};

/// How long a program may stand still between the lock and the commit before the server ends its session. The unit waits so long at
/// most.
pub const STANDSTILL: Duration = Duration::from_secs(5);
/// How long one of its statements may take, waiting for the lock included.
const STATEMENT: Duration = Duration::from_secs(60);

/// The way of one service into the log of a unit that it is no part of.
pub struct Outbox {
    connector: Connector,
    schema: String,
    source: Name,
    /// What each transaction begins with.
    settings: String,
    /// Positions up to here, exclusive, have a partition.
    room: AtomicU64,
}

impl Outbox {
    /// The way into the unit at this URL, `postgres://user:password@host:port/database?schema=unit`, for a service of this name.
    /// The session that [`Outbox::commit_with`] is given must be one of the same database.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] for what a person must mend: a wrong URL or name, no unit there, one of another version;
    /// [`StoreError::Transient`] if the server is away. No error holds the password.
    pub async fn open(url: &str, service: &str) -> Result<Self, StoreError> {
        let named = Name::parse("service", service);
        let source = named.map_err(|error: NameError| StoreError::Permanent(error.to_string()))?;
        let options = Options { application: format!("factum outbox {service}"), ..Options::default() };
        let (connector, schema) = Connector::new(url, &options)?;
        let client = connector.connect().await?;
        schema::check_server(&client).await?;
        if !schema::is_there(&client, &schema).await? {
            return Err(StoreError::Permanent(format!(
                "{} holds no unit: name the database and the schema of one, or start its app first, which makes it",
                shown(url)
            )));
        }
        // What its own tables find at the end is found before the lock, and with its own search path.
        let settings = format!(
            "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL search_path = {}; SET LOCAL synchronous_commit = on; \
             SET LOCAL statement_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
            quoted(&schema),
            STATEMENT.as_millis(),
            STANDSTILL.as_millis(),
        );
        Ok(Self { connector, schema, source, settings, room: AtomicU64::new(0) })
    }

    /// An event of the service, now, under an id of its own; what else is to be said of it, [`Outgoing`] takes.
    ///
    /// # Errors
    /// [`PayloadError::Encode`] if it has no JSON form.
    pub fn event<E: Event>(&self, stream: StreamId, event: &E) -> Result<Outgoing, PayloadError> {
        Outgoing::event(&self.source, stream, event, Uuid::now_v7().into(), Timestamp::now())
    }

    /// Writes messages behind all that the transaction has done, and commits it: both stand, or neither. Answers the position of
    /// the last message, which is durable then.
    ///
    /// Until here the transaction may have taken as long as it likes; from here on it holds the lock that everybody waits for who
    /// writes to the unit. One that is nested in another ends that one, too. If this fails the transaction is rolled back, unless the
    /// error says that nobody knows; nobody knows either if this future is dropped before its end.
    ///
    /// # Errors
    /// [`OutboxError`], by what the caller can do.
    pub async fn commit_with(
        &self,
        transaction: Transaction<'_>,
        commit: impl Into<Commit>,
    ) -> Result<Position, OutboxError> {
        let commit = commit.into();
        let last = fit_for_others(&commit)?;
        let (set, asked) = tokio::join!(biased; transaction.batch_execute(&self.settings), Asked::over(&transaction));
        set.map_err(nothing_written)?;
        let asked = asked.map_err(nothing_written)?;
        let wanted = commit.wanted();
        let (looked, owners, version) = tokio::join!(
            biased;
            asked.look(&transaction, &wanted),
            owners::get(&transaction),
            schema::written_by(&transaction),
        );
        let (looked, owners, version) = (looked.map_err(nothing_written)?, owners?, version.map_err(nothing_written)?);
        if version > schema::newest() {
            return Err(schema::newer(&self.schema, version).into());
        }
        looked.marks.check(&format!("the unit in schema {}", self.schema))?;
        let plan = check(&owners, &looked.found, commit)?;
        // The number of the unit's own transactions stays: by it the unit knows its own again.
        let writing = Writing::of(vec![plan], looked.position, looked.commits, &HashSet::new())?;
        let room = self.room_for(&transaction, writing.last).await?;
        let channel = channel(&self.schema);
        let (written, rung, committed) = tokio::join!(
            biased;
            writing.write(&transaction, &asked),
            async { transaction.query_typed("SELECT pg_notify($1, '')", &[(&channel, Type::TEXT)]).await },
            transaction.batch_execute("COMMIT"),
        );
        if let Err(error) = written.and(rung.map(|_| ())).and(committed) {
            // Perhaps the database was restored, and partitions are gone that were there.
            self.room.store(0, Ordering::Release);
            if !is_dark(&error) || sabotage::is("unknown-commit-told-as-failed") {
                return Err(nothing_written(error).into());
            }
            let unsure = Unsure { position: Position(writing.last), id: last, lost: sentence(&error) };
            return Err(OutboxError::Unknown(unsure));
        }
        // It has ended, and would send a ROLLBACK behind that.
        mem::forget(transaction);
        self.room.fetch_max(room, Ordering::AcqRel);
        Ok(Position(writing.last))
    }

    /// Whether a commit stands whose answer was lost. Waits for the session that was lost, which may still commit.
    ///
    /// # Errors
    /// [`StoreError::Transient`] if it cannot be known yet: ask again.
    pub async fn stands(&self, unsure: &Unsure) -> Result<bool, StoreError> {
        let client = self.connector.connect().await?;
        client.query_one("SELECT position FROM unit FOR UPDATE", &[]).await.map_err(nothing_written)?;
        Ok(message_at(&client, unsure.position).await?.as_ref() == Some(&unsure.id))
    }

    /// Room for positions up to this one; a partition that is missing is made, and goes if the transaction does.
    async fn room_for(&self, transaction: &Transaction<'_>, last: u64) -> Result<u64, StoreError> {
        let known = self.room.load(Ordering::Acquire);
        if last < known {
            return Ok(known);
        }
        match schema::room(transaction, last).await.map_err(nothing_written)? {
            Some(room) => Ok(room),
            None => schema::make_room(transaction, last).await,
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Outbox");
        shown.field("schema", &self.schema).field("source", &self.source).finish_non_exhaustive()
    }
}

/// Which message stands at a position.
async fn message_at(client: &Client, position: Position) -> Result<Option<MessageId>, StoreError> {
    let ask = "SELECT type, source, head, data FROM message WHERE position = $1";
    let row = client.query_opt(ask, &[&(position.0 as i64)]).await.map_err(nothing_written)?;
    let Some(row) = row else { return Ok(None) };
    let name = |column| Name::Shared(row.get::<_, &str>(column).into());
    let bytes = [row.get::<_, &[u8]>(2), row.get::<_, &[u8]>(3)].concat();
    let message = binary::decode(name(0), name(1), &bytes).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(Some(message.envelope.id))
}

/// Refuses what only the unit writes. Answers the id of the last message.
fn fit_for_others(commit: &Commit) -> Result<MessageId, OutboxError> {
    if !commit.cells.is_empty() {
        return Err(OutboxError::NotForOthers("cells are the unit's own: send it a command instead"));
    }
    let messages = || commit.appends.iter().flat_map(|append| &append.messages);
    if messages().any(|message| !matches!(message.envelope.kind, Kind::Event | Kind::Command)) {
        return Err(OutboxError::NotForOthers(
            "calls, rejections and receipts are the unit's own: write events and commands",
        ));
    }
    let last =
        messages().last().ok_or(OutboxError::NotForOthers("there is no message: commit the transaction itself"))?;
    Ok(last.envelope.id.clone())
}

/// Why a transaction was not committed with its messages.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// A rule stands in the way; all is rolled back.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Only the unit itself writes such things; all is rolled back.
    #[error("{0}")]
    NotForOthers(&'static str),
    /// The database could not write it; all is rolled back. [`StoreError::Transient`] and [`StoreError::Conflict`] may go well when
    /// the whole transaction is tried again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer to the commit was lost: it stands, or all is rolled back. [`Outbox::stands`] finds out, as does a row that the same
    /// transaction wrote, such as that of [`inbox::once`](super::inbox::once).
    #[error("the answer to a commit was lost ({}): ask whether it stands before the transaction is tried again", .0.lost)]
    Unknown(Unsure),
}

/// A commit of which nobody knows yet whether it stands.
#[derive(Clone, Debug)]
pub struct Unsure {
    position: Position,
    id: MessageId,
    lost: String,
}

impl Unsure {
    /// The position of its last message, if it stands.
    pub fn position(&self) -> Position {
        self.position
    }
}
