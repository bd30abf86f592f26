//! The writing side: one round trip writes and commits, if all is as the writer supposes; else one finds, and a second one writes.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use factum_core::{
    commit::{Found, Owners, Plan, Wanted},
    digest_key::DigestKey,
    error::StoreError,
    moving::Marks,
    ports::{self, Backend, Judge, Notes, Others, Reader, Written},
    stream::Position,
};
use tokio_postgres::{Client, Error, Statement};

use super::{
    Options,
    driver::Driver,
    error::{at_open, is_dark, is_otherwise, nothing_written, sentence},
    lease::{self, Lease},
    moving::{self, Opening},
    notes::TableNotes,
    others::Listening,
    owners,
    reader::{Rows, Shared},
    sabotage, schema, secret,
    writing::{AT_ONCE, Asked, Looked, Standing, Writing},
};

/// How long to wait before the server is asked again for a commit whose answer was lost.
const AGAIN: Duration = Duration::from_millis(200);

/// How long an end in order waits for the server.
const FREE: Duration = Duration::from_secs(1);

/// An open store; the unit's own writer.
pub struct Postgres {
    shared: Arc<Shared>,
    schema: String,
    dark: Duration,
    session: Option<Session>,
    term: i64,
    lease: Arc<Lease>,
    /// Whether a move has it open, and what is noted of it.
    moving: bool,
    marks: Marks,
    /// Where it is, as people see it.
    shown: String,
    /// Positions up to here, exclusive, have a partition.
    room: u64,
    /// Types that the store knows by name.
    types: HashSet<String>,
    /// The number of the unit's last transaction, once it is known.
    commits: Option<i64>,
}

/// A session with what it asks again and again.
#[derive(Clone)]
struct Session {
    client: Arc<Client>,
    asked: Arc<Asked>,
    at_once: Statement,
}

/// How a transaction ended.
enum Ended {
    Committed,
    Failed(StoreError),
    /// Its answer was lost.
    Dark(String),
}

impl Postgres {
    pub(super) fn open(url: &str, options: Options, opening: &Opening) -> Result<Self, StoreError> {
        let driver = Driver::new(url, &options)?;
        let (client, schema, connector) = (driver.connect()?, driver.schema.clone(), driver.connector());
        let Options { leader, lease: length, dark, .. } = options;
        let begun = Instant::now();
        let opened = driver.wait({
            let (client, schema, opening) = (client.clone(), schema.clone(), opening.clone());
            async move {
                schema::check_line(&client, &*connector.connect().await?).await?;
                schema::check_server(&client).await?;
                let (term, place, marks) = lease::lead(&client, &schema, (length, &leader), &opening).await?;
                connector.stays_at(place);
                let lease = Lease::begin((connector, &client), term, length, begun);
                let (lineage, head) = schema::lineage(&client).await?;
                let room = schema::make_room(&*client, head + 1).await?;
                let session = Session::over(client).await.map_err(at_open)?;
                Ok::<_, StoreError>((term, marks, lease, lineage, head, room, session))
            }
        })?;
        let (term, marks, lease, lineage, head, room, session) = opened?;
        let moving = matches!(opening, Opening::Moving(_));
        tracing::info!(schema, term, head, "the store in PostgreSQL is open");
        let shared = Arc::new(Shared::new(driver, lineage, head));
        Ok(Self {
            shared,
            schema,
            dark,
            session: Some(session),
            term,
            lease,
            moving,
            marks,
            shown: super::shown(url),
            room,
            types: HashSet::new(),
            commits: None,
        })
    }

    /// The session; a new one if it is lost. Whoever else has led meanwhile fences this store off.
    fn session(&mut self) -> Result<Session, StoreError> {
        if let Some(session) = self.session.as_ref().filter(|session| !session.client.is_closed()) {
            return Ok(session.clone());
        }
        self.session = None;
        let client = self.shared.pool.driver.connect()?;
        let schema = self.schema.clone();
        let (held, term, session) = self.shared.pool.driver.wait(async move {
            let held = schema::hold(&client, &schema).await?;
            let term = client.query_one("SELECT term FROM unit", &[]).await.map_err(at_open)?;
            Ok::<_, StoreError>((held, term.get::<_, i64>(0), Session::over(client).await.map_err(at_open)?))
        })??;
        if self.is_over(term) {
            return Err(self.fenced(term));
        }
        if !held {
            let problem = "the unit's lock is still held, perhaps by the session that was lost";
            return Err(StoreError::Transient(problem.to_owned()));
        }
        tracing::warn!(schema = self.schema, "the session with the database was lost, and is there again");
        self.lease.goes_on_in(&session.client);
        self.session = Some(session.clone());
        Ok(session)
    }

    /// The notes of the process that writes this unit.
    pub fn notes(&self) -> Arc<dyn Notes> {
        Arc::new(TableNotes::of(self.shared.clone(), self.term))
    }

    /// The key of the unit's digests; made if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or kept.
    pub fn digest_key(&self) -> Result<DigestKey, StoreError> {
        secret::digest_key(&self.shared.pool.driver)
    }

    /// Whether another process leads, when this is the term.
    fn is_over(&self, term: i64) -> bool {
        term != self.term && !sabotage::is("no-term-check")
    }

    fn fenced(&self, term: i64) -> StoreError {
        StoreError::Fenced(format!("term {term} of schema {} has begun, this process had {}", self.schema, self.term))
    }

    /// Ends a transaction without writing.
    fn leave(&mut self, session: Session) {
        let left = self.shared.pool.driver.wait(async move { session.client.batch_execute("ROLLBACK").await.is_ok() });
        if !matches!(left, Ok(true)) {
            // The server rolls back what its session leaves.
            self.session = None;
        }
    }

    /// Writes what is let through by what is supposed, in one round trip; nothing if it has to be looked up first.
    fn at_once(
        &mut self,
        session: &Session,
        wanted: &Wanted,
        judge: &mut Judge<'_>,
    ) -> Result<Option<Written>, StoreError> {
        let (Some(supposed), Some(commits)) = (&wanted.supposed, self.commits) else { return Ok(None) };
        let looks_first = sabotage::is("counter-locked-last") || sabotage::is("no-term-check");
        if self.moving || !wanted.cells.is_empty() || looks_first {
            return Ok(None);
        }
        // Of what nothing is supposed, and which is not there, the first version is right; else the store tells the right one.
        let plans = judge(Found { streams: supposed.clone(), ..Found::default() });
        if plans.is_empty() {
            return Ok(None);
        }
        let head = self.shared.head.load(Ordering::Acquire);
        let writing = Arc::new(Writing::of(plans, head, commits + 1, &self.types)?);
        // What is supposed of a stream that gets nothing is not seen where it is written.
        if writing.last >= self.room || !writing.covers(supposed) {
            return Ok(None);
        }
        let wrote = session.clone().write_at_once(writing.clone(), self.term, writing.sure(supposed));
        let standing = match self.shared.pool.driver.wait(wrote)? {
            Ok(standing) => standing,
            Err(error) if is_dark(&error) => {
                let lost = sentence(&error);
                match self.look_up(writing.commits, &lost)? {
                    Some(own) => self.find_again(writing.clone(), own)?,
                    None => return Err(StoreError::Transient(format!("nothing was written: {lost}"))),
                }
            }
            Err(error) if is_otherwise(&error) => return Ok(None),
            Err(error) => return Err(nothing_written(error)),
        };
        let plans = writing.standing(&standing.moved);
        Ok(Some(self.wrote(&writing, standing.last, plans)))
    }

    /// Where a commit stands whose answer was lost.
    fn find_again(&self, writing: Arc<Writing>, own: u64) -> Result<Standing, StoreError> {
        let client = self.shared.pool.driver.connect()?;
        let found = self.shared.pool.driver.wait(async move { writing.find_again(&client, own).await })?;
        found.map_err(|error| StoreError::OutcomeUnknown(sentence(&error)))
    }

    /// Takes note of what was written.
    fn wrote(&mut self, writing: &Writing, last: u64, plans: Vec<Plan>) -> Written {
        self.types.extend(writing.types.iter().cloned());
        self.commits = Some(writing.commits);
        self.shared.moved(last);
        Written { last: Position(last), plans }
    }

    /// Where the unit's last transaction ends, if it was this one; nothing if this one was not committed. Its answer was lost.
    fn look_up(&mut self, commits: i64, lost: &str) -> Result<Option<u64>, StoreError> {
        self.session = None;
        let until = Instant::now() + self.dark;
        loop {
            let looked = self.shared.pool.driver.connect().and_then(|client| {
                self.shared.pool.driver.wait(async move {
                    // The lost session may still commit: its lock is waited for.
                    let row =
                        client.query_one("SELECT term, commits, coalesce(own, 0) FROM unit FOR UPDATE", &[]).await;
                    row.map(|row| (row.get::<_, i64>(0), (row.get::<_, i64>(1), row.get::<_, i64>(2) as u64)))
                        .map_err(nothing_written)
                })?
            });
            match looked {
                Ok((term, _)) if self.is_over(term) => {
                    let problem = format!("{lost}; another process leads since");
                    return Err(StoreError::OutcomeUnknown(problem));
                }
                Ok((_, (known, own))) => return Ok((known >= commits).then_some(own)),
                Err(StoreError::Transient(_)) if Instant::now() < until => std::thread::sleep(AGAIN),
                Err(error) => return Err(StoreError::OutcomeUnknown(format!("{lost}; then: {error}"))),
            }
        }
    }
}

impl Backend for Postgres {
    fn transact(&mut self, wanted: &Wanted, judge: &mut Judge<'_>) -> Result<Option<Written>, StoreError> {
        let session = self.session()?;
        if let Some(written) = self.at_once(&session, wanted, judge)? {
            return Ok(Some(written));
        }
        let looked = self.shared.pool.driver.wait(session.clone().look(wanted.clone()))?;
        let looked = match looked {
            Ok(looked) => looked,
            Err(error) => {
                self.leave(session);
                return Err(nothing_written(error));
            }
        };
        if self.is_over(looked.term) {
            self.leave(session);
            return Err(self.fenced(looked.term));
        }
        if !(self.moving && looked.marks.takes())
            && let Err(error) = looked.marks.check(&self.shown)
        {
            self.leave(session);
            return Err(error);
        }
        let plans = judge(looked.found);
        if plans.is_empty() {
            self.leave(session);
            return Ok(None);
        }
        let writing = match Writing::of(plans, looked.position, looked.commits + 1, &self.types) {
            Ok(writing) => Arc::new(writing),
            Err(error) => {
                self.leave(session);
                return Err(error);
            }
        };
        // A partition that is made in a transaction goes with it.
        let mut room = self.room;
        if writing.last >= room {
            let (client, last) = (session.client.clone(), writing.last);
            match self.shared.pool.driver.wait(async move { schema::make_room(&*client, last).await })? {
                Ok(made) => room = made,
                Err(error) => {
                    self.leave(session);
                    return Err(error);
                }
            }
        }
        match self.shared.pool.driver.wait(session.clone().write(writing.clone()))? {
            Ended::Committed => {}
            Ended::Failed(error) => {
                self.leave(session);
                return Err(error);
            }
            Ended::Dark(lost) => {
                drop(session);
                if sabotage::is("unknown-commit-told-as-failed") || self.look_up(writing.commits, &lost)?.is_none() {
                    return Err(StoreError::Transient(format!("nothing was written: {lost}")));
                }
            }
        }
        self.room = room;
        let plans = writing.plans.clone();
        Ok(Some(self.wrote(&writing, writing.last, plans)))
    }

    fn supposes(&self) -> bool {
        true
    }

    fn look(&mut self) -> Result<(), StoreError> {
        let session = self.session()?;
        let term = self.shared.pool.driver.wait(async move {
            let row = session.client.query_one("SELECT term FROM unit", &[]).await;
            row.map(|row| row.get::<_, i64>(0)).map_err(nothing_written)
        })??;
        if self.is_over(term) { Err(self.fenced(term)) } else { Ok(()) }
    }

    fn lease(&self) -> Option<Arc<dyn ports::Lease>> {
        Some(self.lease.clone())
    }

    fn owns(&mut self, owners: &Owners) -> Result<(), StoreError> {
        let client = self.shared.pool.driver.connect()?;
        let (owners, term) = (owners.clone(), self.term);
        match self.shared.pool.driver.wait(async move { owners::put(&client, term, &owners).await })?? {
            now if self.is_over(now) => Err(self.fenced(now)),
            _ => Ok(()),
        }
    }

    fn marks(&self) -> Marks {
        self.marks.clone()
    }

    fn mark(&mut self, wanted: &Marks, head: Position) -> Result<(), StoreError> {
        let (client, marks, term) = (self.shared.pool.driver.connect()?, wanted.clone(), self.term);
        let marked = self.shared.pool.driver.wait(async move { moving::mark(&client, term, &marks, head).await })??;
        match marked {
            (now, _) if self.is_over(now) => Err(self.fenced(now)),
            (_, last) if last != head => {
                self.shared.moved(last.0);
                Err(StoreError::Conflict(format!("the log ends at {last} and not at {head}")))
            }
            _ => {
                self.marks = wanted.clone();
                Ok(())
            }
        }
    }

    fn others(&self) -> Option<Box<dyn Others>> {
        Some(Box::new(Listening::over(self.shared.clone())))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(Rows::over(self.shared.clone()))
    }

    fn durability(&self) -> &'static str {
        "sync"
    }
}

impl Session {
    async fn over(client: Arc<Client>) -> Result<Self, Error> {
        // All that this session asks goes by keys: plans made once, for tables of any size, are those.
        let plans = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off";
        client.batch_execute(plans).await?;
        let (asked, at_once) = tokio::try_join!(Asked::over(&*client), client.prepare(AT_ONCE))?;
        Ok(Self { client, asked: Arc::new(asked), at_once })
    }

    /// Looks, writes and commits: one round trip.
    async fn write_at_once(self, writing: Arc<Writing>, term: i64, sure: Vec<bool>) -> Result<Standing, Error> {
        writing.write_at_once(&self.client, &self.at_once, term, sure).await
    }

    /// Begins a transaction and looks up what is wanted behind the lock: one round trip.
    async fn look(self, wanted: Wanted) -> Result<Looked, Error> {
        let (begun, looked) =
            tokio::join!(biased; self.client.batch_execute("BEGIN"), self.asked.look(&*self.client, &wanted));
        begun?;
        looked
    }

    /// Writes and commits: one round trip.
    async fn write(self, writing: Arc<Writing>) -> Ended {
        let (written, committed) =
            tokio::join!(biased; writing.write(&*self.client, &self.asked), self.client.batch_execute("COMMIT"));
        let Err(error) = written.and(committed) else { return Ended::Committed };
        match is_dark(&error) {
            false => Ended::Failed(nothing_written(error)),
            true => Ended::Dark(sentence(&error)),
        }
    }
}

impl Drop for Postgres {
    /// Frees the unit at once; the server would when it notices that the session is gone.
    fn drop(&mut self) {
        if let Some(session) = self.session.take().filter(|session| !session.client.is_closed()) {
            let freed = async move { session.client.batch_execute("SELECT pg_advisory_unlock_all()").await.is_ok() };
            let _ = self.shared.pool.driver.wait(async move { tokio::time::timeout(FREE, freed).await });
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("schema", &self.schema).field("term", &self.term).finish_non_exhaustive()
    }
}
