//! The writing side: one round trip finds, a second one writes and commits.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use factum_core::{
    cell::{CellKey, Revision},
    commit::{Found, Plan, Wanted},
    digest_key::DigestKey,
    envelope::binary,
    error::StoreError,
    ports::{self, Backend, Judge, Notes, Reader, Written},
    stream::{Position, StreamId, StreamVersion},
};
use tokio_postgres::{Client, Error, Statement};

use super::{
    Options,
    driver::Driver,
    error::{at_open, nothing_written, sentence},
    lease::{self, Lease},
    notes::TableNotes,
    reader::{Rows, Shared},
    schema, secret,
};

/// How long to wait before the server is asked again for a commit whose answer was lost.
const AGAIN: Duration = Duration::from_millis(200);

/// How long an end in order waits for the server.
const FREE: Duration = Duration::from_secs(1);

/// An open store; the only writer of its unit.
pub struct Postgres {
    shared: Arc<Shared>,
    schema: String,
    dark: Duration,
    session: Option<Session>,
    term: i64,
    lease: Arc<Lease>,
    /// Positions up to here, exclusive, have a partition.
    room: u64,
    /// Types that the store knows by name.
    types: HashSet<String>,
}

/// A session with what it asks again and again.
#[derive(Clone)]
struct Session {
    client: Arc<Client>,
    asked: Arc<Asked>,
}

struct Asked {
    lock: Statement,
    heads: Statement,
    revisions: Statement,
    messages: Statement,
    streams: Statement,
    types: Statement,
    put: Statement,
    delete: Statement,
    count: Statement,
}

/// What was found behind the lock of the counter's row.
struct Looked {
    term: i64,
    position: u64,
    commits: i64,
    found: Found,
}

/// How a transaction ended.
enum Ended {
    Committed,
    Failed(StoreError),
    /// Its answer was lost.
    Dark(String),
}

impl Postgres {
    pub(super) fn open(url: &str, options: Options) -> Result<Self, StoreError> {
        let driver = Driver::new(url, &options)?;
        let (client, schema, connector) = (driver.connect()?, driver.schema.clone(), driver.connector());
        let Options { leader, lease: length, dark, .. } = options;
        let begun = Instant::now();
        let opened = driver.wait({
            let (client, schema) = (client.clone(), schema.clone());
            async move {
                schema::check_line(&client, &*connector.connect().await?).await?;
                schema::check_server(&client).await?;
                let term = lease::lead(&client, &schema, length, &leader).await?;
                let lease = Lease::begin((connector, &client), term, length, begun);
                let (lineage, head) = schema::lineage(&client).await?;
                let room = schema::make_room(&client, head + 1).await?;
                let session = Session::over(client).await.map_err(at_open)?;
                Ok::<_, StoreError>((term, lease, lineage, head, room, session))
            }
        })?;
        let (term, lease, lineage, head, room, session) = opened?;
        tracing::info!(schema, term, head, "the store in PostgreSQL is open");
        let shared = Arc::new(Shared::new(driver, lineage, head));
        Ok(Self { shared, schema, dark, session: Some(session), term, lease, room, types: HashSet::new() })
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
        if term != self.term {
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

    /// Whether the transaction of this number was committed: its answer was lost.
    fn look_up(&mut self, commits: i64, lost: &str) -> Result<bool, StoreError> {
        self.session = None;
        let until = Instant::now() + self.dark;
        loop {
            let looked = self.shared.pool.driver.connect().and_then(|client| {
                self.shared.pool.driver.wait(async move {
                    // The lost session may still commit: its lock is waited for.
                    let row = client.query_one("SELECT term, commits FROM unit FOR UPDATE", &[]).await;
                    row.map(|row| (row.get::<_, i64>(0), row.get::<_, i64>(1))).map_err(nothing_written)
                })?
            });
            match looked {
                Ok((term, _)) if term != self.term => {
                    let problem = format!("{lost}; another process leads since");
                    return Err(StoreError::OutcomeUnknown(problem));
                }
                Ok((_, known)) => return Ok(known >= commits),
                Err(StoreError::Transient(_)) if Instant::now() < until => std::thread::sleep(AGAIN),
                Err(error) => return Err(StoreError::OutcomeUnknown(format!("{lost}; then: {error}"))),
            }
        }
    }
}

impl Backend for Postgres {
    fn transact(&mut self, wanted: &Wanted, judge: &mut Judge<'_>) -> Result<Option<Written>, StoreError> {
        let session = self.session()?;
        let looked = self.shared.pool.driver.wait(session.clone().look(wanted.clone()))?;
        let looked = match looked {
            Ok(looked) => looked,
            Err(error) => {
                self.leave(session);
                return Err(nothing_written(error));
            }
        };
        if looked.term != self.term {
            self.leave(session);
            return Err(self.fenced(looked.term));
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
            match self.shared.pool.driver.wait(async move { schema::make_room(&client, last).await })? {
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
                if !self.look_up(writing.commits, &lost)? {
                    return Err(StoreError::Transient(format!("nothing was written: {lost}")));
                }
            }
        }
        self.room = room;
        self.types.extend(writing.types.iter().cloned());
        let last = Position(writing.last);
        self.shared.head.fetch_max(writing.last, Ordering::Release);
        let plans = Arc::try_unwrap(writing).map_or_else(|shared| shared.plans.clone(), |writing| writing.plans);
        Ok(Some(Written { last, plans }))
    }

    fn look(&mut self) -> Result<(), StoreError> {
        let session = self.session()?;
        let term = self.shared.pool.driver.wait(async move {
            let row = session.client.query_one("SELECT term FROM unit", &[]).await;
            row.map(|row| row.get::<_, i64>(0)).map_err(nothing_written)
        })??;
        if term == self.term { Ok(()) } else { Err(self.fenced(term)) }
    }

    fn lease(&self) -> Option<Arc<dyn ports::Lease>> {
        Some(self.lease.clone())
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
        let asked = Asked {
            lock: client.prepare("SELECT term, position, commits FROM unit FOR UPDATE").await?,
            heads: client.prepare("SELECT stream, version FROM stream WHERE stream = ANY($1)").await?,
            revisions: client
                .prepare(
                    "SELECT kind, name, revision FROM unnest($1::text[], $2::text[]) AS wanted(kind, name) \
                     JOIN cell USING (kind, name)",
                )
                .await?,
            messages: client
                .prepare(
                    "INSERT INTO message (position, stream, version, type, source, size, head, data) \
                     SELECT * FROM unnest($1::int8[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::int4[], \
                     $7::bytea[], $8::bytea[])",
                )
                .await?,
            streams: client
                .prepare(
                    "INSERT INTO stream (stream, version) SELECT * FROM unnest($1::text[], $2::int8[]) \
                     ON CONFLICT (stream) DO UPDATE SET version = excluded.version",
                )
                .await?,
            types: client
                .prepare("INSERT INTO type (name) SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING")
                .await?,
            put: client
                .prepare(
                    "INSERT INTO cell (kind, name, revision, value) \
                     SELECT kind, name, $3, value FROM unnest($1::text[], $2::text[], $4::bytea[]) AS put(kind, name, value) \
                     ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, value = excluded.value",
                )
                .await?,
            delete: client
                .prepare(
                    "DELETE FROM cell USING unnest($1::text[], $2::text[]) AS gone(kind, name) \
                     WHERE cell.kind = gone.kind AND cell.name = gone.name",
                )
                .await?,
            count: client.prepare("UPDATE unit SET position = $1, commits = $2").await?,
        };
        Ok(Self { client, asked: Arc::new(asked) })
    }

    /// Begins a transaction, locks the counter's row, and looks up what is wanted: one round trip.
    async fn look(self, wanted: Wanted) -> Result<Looked, Error> {
        let Self { client, asked } = &self;
        let streams: Vec<&str> = wanted.streams.iter().map(StreamId::as_str).collect();
        let kinds: Vec<&str> = wanted.cells.iter().map(|key| key.kind.as_str()).collect();
        let names: Vec<&str> = wanted.cells.iter().map(|key| key.name.as_str()).collect();
        // Each statement sees what was committed before it began, and so before the lock was got.
        let (begun, locked, heads, revisions) = tokio::join!(
            biased;
            client.batch_execute("BEGIN"),
            client.query_one(&asked.lock, &[]),
            async { if streams.is_empty() { Ok(Vec::new()) } else { client.query(&asked.heads, &[&streams]).await } },
            async {
                if names.is_empty() { Ok(Vec::new()) } else { client.query(&asked.revisions, &[&kinds, &names]).await }
            },
        );
        begun?;
        let locked = locked?;
        let mut found = Found::default();
        let known: HashMap<&str, &StreamId> = wanted.streams.iter().map(|stream| (stream.as_str(), stream)).collect();
        for row in heads? {
            if let Some(stream) = known.get(row.get::<_, &str>(0)) {
                found.streams.insert((*stream).clone(), StreamVersion(row.get::<_, i64>(1) as u64));
            }
        }
        for row in revisions? {
            let (kind, name): (&str, &str) = (row.get(0), row.get(1));
            if let Some(key) = CellKey::from_text(&format!("{kind}/{name}")) {
                found.cells.insert(key, Revision(row.get::<_, i64>(2) as u64));
            }
        }
        Ok(Looked { term: locked.get(0), position: locked.get::<_, i64>(1) as u64, commits: locked.get(2), found })
    }

    /// Writes and commits: one round trip.
    async fn write(self, writing: Arc<Writing>) -> Ended {
        let Self { client, asked } = &self;
        let Writing { plans, messages, streams, types, put, delete, last, commits } = &*writing;
        let of = || {
            plans
                .iter()
                .flat_map(|plan| &plan.appends)
                .flat_map(|append| append.messages.iter().map(move |message| (append, message)))
        };
        let position: Vec<i64> =
            (0..messages.len() as i64).map(|index| *last as i64 - messages.len() as i64 + 1 + index).collect();
        let stream: Vec<&str> = of().map(|(append, _)| append.stream.as_str()).collect();
        let name: Vec<&str> = of().map(|(_, message)| message.envelope.type_name.as_str()).collect();
        let source: Vec<&str> = of().map(|(_, message)| message.envelope.source.as_str()).collect();
        let data: Vec<&[u8]> = of().map(|(_, message)| &*message.data).collect();
        let (version, head): (Vec<i64>, Vec<&[u8]>) =
            messages.iter().map(|(version, head)| (*version as i64, head.as_slice())).unzip();
        let size: Vec<i32> = head.iter().zip(&data).map(|(head, data)| (head.len() + data.len()) as i32).collect();
        let (heads, versions): (Vec<&str>, Vec<i64>) =
            streams.iter().map(|(stream, version)| (stream.as_str(), *version as i64)).unzip();
        let kinds = |keys: &[(CellKey, Vec<u8>)]| keys.iter().map(|(key, _)| key.kind.as_str()).collect::<Vec<_>>();
        let values: Vec<&[u8]> = put.iter().map(|(_, value)| value.as_slice()).collect();
        let put_names: Vec<&str> = put.iter().map(|(key, _)| key.name.as_str()).collect();
        let put_kinds = kinds(put);
        let gone_names: Vec<&str> = delete.iter().map(|key| key.name.as_str()).collect();
        let gone_kinds: Vec<&str> = delete.iter().map(|key| key.kind.as_str()).collect();
        let end = *last as i64;
        let outcomes = tokio::join!(
            biased;
            async {
                if position.is_empty() { return Ok(0) }
                let row: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
                    [&position, &stream, &version, &name, &source, &size, &head, &data];
                client.execute(&asked.messages, &row).await
            },
            async { if heads.is_empty() { Ok(0) } else { client.execute(&asked.streams, &[&heads, &versions]).await } },
            async { if types.is_empty() { Ok(0) } else { client.execute(&asked.types, &[types]).await } },
            async {
                if put.is_empty() { return Ok(0) }
                client.execute(&asked.put, &[&put_kinds, &put_names, commits, &values]).await
            },
            async {
                if delete.is_empty() { return Ok(0) }
                client.execute(&asked.delete, &[&gone_kinds, &gone_names]).await
            },
            async { client.execute(&asked.count, &[&end, commits]).await },
            async { client.batch_execute("COMMIT").await.map(|()| 0) },
        );
        let outcomes = [outcomes.0, outcomes.1, outcomes.2, outcomes.3, outcomes.4, outcomes.5, outcomes.6];
        let Some(error) = outcomes.into_iter().find_map(Result::err) else { return Ended::Committed };
        match error.as_db_error().map(|said| said.code().code()) {
            // The server ends the session: perhaps behind the commit.
            Some(code) if !code.starts_with("57P") => Ended::Failed(nothing_written(error)),
            _ => Ended::Dark(sentence(&error)),
        }
    }
}

/// What a transaction writes.
struct Writing {
    plans: Vec<Plan>,
    /// Version and head of each message, in order.
    messages: Vec<(u64, Vec<u8>)>,
    streams: BTreeMap<StreamId, u64>,
    /// Types that may be new.
    types: Vec<String>,
    put: Vec<(CellKey, Vec<u8>)>,
    delete: Vec<CellKey>,
    last: u64,
    commits: i64,
}

impl Writing {
    fn of(plans: Vec<Plan>, position: u64, commits: i64, known: &HashSet<String>) -> Result<Self, StoreError> {
        let (mut messages, mut streams, mut types) = (Vec::new(), BTreeMap::new(), HashSet::new());
        for append in plans.iter().flat_map(|plan| &plan.appends) {
            for (version, message) in (append.first.0..).zip(&append.messages) {
                let mut head = Vec::new();
                binary::encode(message, &mut head)
                    .map_err(|error| StoreError::Unfit(format!("a message has no stored form: {error}")))?;
                head.truncate(head.len() - message.data.len());
                messages.push((version, head));
                streams.insert(append.stream.clone(), version);
                let name = message.envelope.type_name.as_str();
                if !known.contains(name) {
                    types.insert(name.to_owned());
                }
            }
        }
        // Of changes of one cell the last one counts.
        let mut cells = BTreeMap::new();
        for change in plans.iter().flat_map(|plan| &plan.cells) {
            cells.insert(&change.key, &change.value);
        }
        let (mut put, mut delete) = (Vec::new(), Vec::new());
        for (key, value) in cells {
            match value {
                Some(value) => put.push((key.clone(), value.clone())),
                None => delete.push(key.clone()),
            }
        }
        let last = position + messages.len() as u64;
        let types = types.into_iter().collect();
        Ok(Self { messages, streams, types, put, delete, last, commits, plans })
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
