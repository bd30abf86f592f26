//! Who leads a unit: one process at a time, as long as it shows that it lives.
//!
//! | the process that leads | others see it by | and take over |
//! |---|---|---|
//! | has stopped in order, or was killed | its session is gone, and the advisory lock with it | at once |
//! | stands still, or the line to it is cut | the row of the unit was not renewed for the time of a lease | then; its session is ended |
//!
//! Each that takes over counts the term up. Every transaction of the log reads the term behind the lock of the unit's row, so
//! that who led before writes nothing more, whatever it believes. What is done outside has no such lock: an attempt is only begun
//! while the lease outlasts it ([`factum_core::ports::Lease`]).

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use factum_core::{error::StoreError, moving::Marks, ports};
use tokio_postgres::Client;
use uuid::Uuid;

use super::{
    driver::{Connector, quoted},
    error::{at_open, sentence},
    moving::{self, Opening},
    roles::{self, Use},
    sabotage, schema,
};

/// How long a session that is about to go is waited for.
const GONE: Duration = Duration::from_secs(2);
/// Looks in that time.
const LOOKS: u32 = 20;
/// Signs of life in the time of a lease.
const SIGNS: u32 = 10;

/// The lease of the process that leads.
pub(super) struct Lease {
    length: Duration,
    /// As this process' clock has it; from before the last sign of life was sent.
    until: Mutex<Instant>,
    /// Another one leads.
    lost: AtomicBool,
    /// The session that holds the lock: without it another process may lead at any moment.
    session: Mutex<Weak<Client>>,
}

impl ports::Lease for Lease {
    fn lasts(&self, long: Duration) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        session.is_some_and(|session| !session.is_closed())
            && !self.lost.load(Ordering::Acquire)
            && until.checked_duration_since(Instant::now()).is_some_and(|left| left >= long)
    }

    fn length(&self) -> Duration {
        self.length
    }
}

impl Lease {
    /// The lease of a term that has begun at `begun` or later; it is renewed as long as it is held.
    pub(super) fn begin(
        (connector, session): (Connector, &Arc<Client>),
        term: i64,
        length: Duration,
        begun: Instant,
    ) -> Arc<Self> {
        let (until, session) = (Mutex::new(begun + length), Mutex::new(Arc::downgrade(session)));
        let lease = Arc::new(Self { length, until, lost: AtomicBool::new(false), session });
        tokio::spawn(renew(Arc::downgrade(&lease), connector, term, length));
        lease
    }

    /// The lock is held in this session from now on.
    pub(super) fn goes_on_in(&self, session: &Arc<Client>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(session);
    }
}

/// Gives signs of life in a session of its own until nobody holds the lease, or another process leads.
async fn renew(lease: Weak<Lease>, connector: Connector, term: i64, length: Duration) {
    let (mut session, mut told): (Option<Arc<Client>>, bool) = (None, false);
    loop {
        tokio::time::sleep(length / SIGNS).await;
        if lease.strong_count() == 0 {
            return;
        }
        let sent = Instant::now();
        let signed = tokio::time::timeout(length, sign(&connector, &mut session, term)).await;
        let Some(lease) = lease.upgrade() else { return };
        match signed {
            Ok(Ok(true)) => {
                *lease.until.lock().unwrap_or_else(PoisonError::into_inner) = sent + length;
                told = false;
            }
            Ok(Ok(false)) => {
                tracing::error!(term, "another process leads the unit");
                return lease.lost.store(true, Ordering::Release);
            }
            Ok(Err(error @ StoreError::Fenced(_))) => {
                tracing::error!(%error, "the lease is lost");
                return lease.lost.store(true, Ordering::Release);
            }
            Ok(Err(error)) => {
                // Once, however long the server is away.
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "the lease could not be renewed; trying again");
                }
                session = None;
            }
            Err(_) => session = None,
        }
    }
}

/// One sign of life; `false` if the term is over.
async fn sign(connector: &Connector, session: &mut Option<Arc<Client>>, term: i64) -> Result<bool, StoreError> {
    if session.as_ref().is_none_or(|client| client.is_closed()) {
        let client = connector.connect().await?;
        // What is lost of it by a crash of the server is a second of a lease.
        client.batch_execute("SET synchronous_commit = off").await.map_err(at_open)?;
        *session = Some(client);
    }
    let Some(client) = session.as_ref() else { return Ok(true) };
    let signed = client.execute("UPDATE unit SET renewed = clock_timestamp() WHERE term = $1", &[&term]).await;
    signed.map(|rows| rows == 1).map_err(at_open)
}

/// Takes the unit for this session. Answers the new term, where the log is, and what is noted of a move. If the log is at another
/// place than it was, a new epoch begins, since it may hold other messages at the positions that somebody has kept.
///
/// # Errors
/// [`StoreError::Fenced`] if another process leads it, and lives; [`StoreError::Permanent`] if it is a part of a move, and this
/// is not that move.
pub(super) async fn lead(
    client: &Client,
    schema: &str,
    (length, name): (Duration, &str),
    opening: &Opening,
) -> Result<(i64, String, Marks), StoreError> {
    let (mut looks, mut ends) = (0, 0);
    while !schema::hold(client, schema).await? {
        match leads(client, schema, length).await? {
            // The server may not have noticed yet that a process is gone.
            Leads::Process(leader) if looks >= LOOKS => {
                return Err(StoreError::Fenced(format!(
                    "the unit in schema {schema} is open in another process ({leader}): stop that one first, or wait until it is gone"
                )));
            }
            Leads::Process(_) => {}
            Leads::Nobody if ends >= LOOKS => {
                return Err(StoreError::Transient(format!(
                    "the process that led the unit in schema {schema} gives no sign of life, and its session cannot be ended: end \
                     it with pg_terminate_backend, or grant this role pg_signal_backend"
                )));
            }
            Leads::Nobody => {
                ends += 1;
                end_holder(client, schema).await?;
            }
        }
        looks += 1;
        tokio::time::sleep(GONE / LOOKS).await;
    }
    schema::migrate(client, schema).await?;
    roles::check(client, schema, Use::Log).await?;
    let marks = moving::begin(client, opening).await?;
    let place = schema::place(client).await?;
    let known: Option<String> = client.query_one("SELECT place FROM unit", &[]).await.map_err(at_open)?.get(0);
    let is_elsewhere =
        known.as_ref().is_some_and(|known| *known != place) && !sabotage::is("epoch-kept-after-a-recovery");
    // Two recoveries of one backup are two histories.
    let step = if is_elsewhere { 1 + (Uuid::new_v4().as_u128() % 1_000_000) as i32 } else { 0 };
    let begin = "UPDATE unit SET term = term + 1, leader = $1, renewed = clock_timestamp(), place = $2, epoch = epoch + $3 \
                 RETURNING term, epoch";
    let row = client.query_one(begin, &[&name, &place, &step]).await.map_err(at_open)?;
    if is_elsewhere {
        let epoch: i32 = row.get(1);
        tracing::warn!(schema, epoch, "the database was restored, or has failed over: a new epoch of the log begins");
    }
    Ok((row.get(0), place, marks))
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// Nobody does, or who did gives no sign of life.
    Nobody,
    /// What it calls itself.
    Process(String),
}

/// Who leads the unit, if its schema is there.
pub(super) async fn leads(client: &Client, schema: &str, length: Duration) -> Result<Leads, StoreError> {
    if !schema::is_held(client, schema).await? {
        return Ok(Leads::Nobody);
    }
    let table = format!("{}.unit", quoted(schema));
    let there = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await.map_err(at_open)?;
    if !there.get::<_, bool>(0) {
        return Ok(Leads::Process("it has just begun".to_owned()));
    }
    let ask = "SELECT leader, clock_timestamp() - renewed > make_interval(secs => $1) FROM unit";
    let row = client.query_one(ask, &[&length.as_secs_f64()]).await.map_err(at_open)?;
    Ok(if row.get(1) { Leads::Nobody } else { Leads::Process(row.get(0)) })
}

/// Ends the session that holds the unit's lock.
async fn end_holder(client: &Client, schema: &str) -> Result<(), StoreError> {
    let end = format!("SELECT pg_terminate_backend(pid) {}", schema::HOLDER);
    match client.query(&end, &[&schema]).await {
        Ok(ended) => {
            tracing::warn!(schema, sessions = ended.len(), "who led gives no sign of life: its session is ended")
        }
        // Told behind the last look.
        Err(error) => tracing::warn!(schema, error = sentence(&error), "the session of who led cannot be ended"),
    }
    Ok(())
}
