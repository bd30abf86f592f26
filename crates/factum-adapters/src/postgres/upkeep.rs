//! Looking after a store without writing it, also beside the process that does.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use factum_core::{
    error::StoreError,
    ports::{Reader, Scan},
    stream::{Position, StreamId, StreamVersion},
    upkeep::{About, Findings, Follow, Place, Progress, Segment},
};
use tokio_postgres::Client;

use super::{
    Options,
    address::shown,
    driver::Driver,
    lease::{self, Leads},
    reader::{Reading, Rows, Shared},
    roles::{self, Use},
    schema,
};

/// Bytes to read at once.
const SCAN_BYTES: usize = 8 << 20;

/// A unit's store as it was at the last look.
pub(super) struct Looking {
    pub(super) shared: Arc<Shared>,
}

impl Looking {
    /// `None` if there is no store.
    fn open_if_any(url: &str) -> Result<Option<Self>, StoreError> {
        let driver = Driver::new(url, &Options::default())?;
        let (client, schema) = (driver.connect()?, driver.schema.clone());
        let found = driver.wait(async move {
            schema::check_server(&client).await?;
            match schema::is_there(&client, &schema).await? {
                true => {
                    roles::check(&client, &schema, Use::Look).await?;
                    schema::lineage(&client).await.map(Some)
                }
                false => Ok(None),
            }
        })??;
        Ok(found.map(|(lineage, head)| Self { shared: Arc::new(Shared::new(driver, lineage, head)) }))
    }

    pub(super) fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_if_any(url)?.ok_or_else(|| {
            StoreError::Permanent(format!(
                "{} holds no store: name the database and the schema of one, or start the app on it, which makes one",
                shown(url)
            ))
        })
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(Rows::over(self.shared.clone()))
    }

    /// Numbers that one row tells.
    fn numbers<const N: usize>(&self, sql: &'static str) -> Result<[u64; N], StoreError> {
        let ask = |Reading { client, .. }: Reading| async move { client.query_one(sql, &[]).await };
        let row = self.shared.pool.run(ask)?;
        Ok(std::array::from_fn(|column| row.get::<_, i64>(column) as u64))
    }

    /// The tables that the log consists of: name, first position, bytes.
    fn partitions(&self) -> Result<Vec<(String, u64, u64)>, StoreError> {
        const PARTITIONS: &str = "SELECT relname::text, pg_total_relation_size(oid) FROM pg_inherits \
             JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'message'::regclass";
        let rows = self.shared.pool.run(|Reading { client, .. }| async move { client.query(PARTITIONS, &[]).await })?;
        let partition = |row: &tokio_postgres::Row| {
            let (name, bytes): (String, i64) = (row.get(0), row.get(1));
            let number: u64 = name.rsplit_once('_').and_then(|(_, number)| number.parse().ok()).unwrap_or_default();
            (name, (number * schema::PARTITION).max(1), bytes as u64)
        };
        let mut partitions: Vec<_> = rows.iter().map(partition).collect();
        partitions.sort_by_key(|(_, first, _)| *first);
        Ok(partitions)
    }
}

/// The store of a unit, for reading only, as it is now.
///
/// # Errors
/// [`StoreError::Permanent`] if there is none, or it cannot be used; [`StoreError::Transient`] if the server is away.
pub fn open_read_only(url: &str) -> Result<Arc<dyn Reader>, StoreError> {
    Ok(Looking::open(url)?.reader())
}

/// The same; `None` if there is none.
///
/// # Errors
/// As [`open_read_only`].
pub fn open_read_only_if_any(url: &str) -> Result<Option<Arc<dyn Reader>>, StoreError> {
    Ok(Looking::open_if_any(url)?.map(|looking| looking.reader()))
}

/// Whether somebody has the store open for writing, at this moment; `false` if there is none.
///
/// # Errors
/// As [`open_read_only`].
pub fn is_open(url: &str) -> Result<bool, StoreError> {
    let Some(looking) = Looking::open_if_any(url)? else { return Ok(false) };
    let driver = &looking.shared.pool.driver;
    let (client, schema) = (driver.connect()?, driver.schema.clone());
    driver.wait(async move { schema::is_held(&client, &schema).await })?
}

/// Who leads a unit, asked again and again by one that waits to.
pub struct Watch {
    driver: Driver,
    client: Option<Arc<Client>>,
    lease: Duration,
}

impl Watch {
    /// Of the unit at this URL; `lease` as those have it that may lead.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] if the URL makes no sense.
    pub fn over(url: &str, lease: Duration) -> Result<Self, StoreError> {
        let driver = Driver::new(url, &Options { lease, ..Options::default() })?;
        Ok(Self { driver, client: None, lease })
    }

    /// Who leads now.
    ///
    /// # Errors
    /// [`StoreError::Transient`] if the server is away, [`StoreError::Permanent`] for what a person must mend.
    pub fn leads(&mut self) -> Result<Leads, StoreError> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.driver.connect()?,
        };
        let (asked, schema, length) = (client.clone(), self.driver.schema.clone(), self.lease);
        let leads = self.driver.wait(async move { lease::leads(&asked, &schema, length).await })??;
        self.client = Some(client);
        Ok(leads)
    }
}

/// A store that another process writes, followed.
///
/// # Errors
/// As [`open_read_only`].
pub fn follow(url: &str) -> Result<Box<dyn Follow>, StoreError> {
    Ok(Box::new(Looking::open(url)?))
}

impl Follow for Looking {
    fn reader(&self) -> Arc<dyn Reader> {
        Self::reader(self)
    }

    fn look(&mut self) -> Result<Position, StoreError> {
        let driver = &self.shared.pool.driver;
        let client = driver.connect()?;
        let (lineage, head) = driver.wait(async move { schema::lineage(&client).await })??;
        if lineage != self.shared.lineage {
            let problem = format!("the store is now {lineage} and was {}: open it again", self.shared.lineage);
            return Err(StoreError::Permanent(problem));
        }
        self.shared.head.fetch_max(head, Ordering::AcqRel);
        Ok(Position(head))
    }
}

/// What a store consists of. Its segments are the partitions of its log.
///
/// # Errors
/// As [`open_read_only`].
pub fn about(url: &str) -> Result<About, StoreError> {
    let looking = Looking::open(url)?;
    let [streams, cells, bytes] = looking.numbers(
        "SELECT (SELECT count(*) FROM stream), (SELECT count(*) FROM cell), \
         (SELECT coalesce(sum(size), 0)::int8 FROM message)",
    )?;
    let Shared { lineage, head, .. } = &*looking.shared;
    let segment = |(name, first, bytes): (String, u64, u64)| Segment {
        file: PathBuf::from(name),
        first: Position(first),
        epoch: lineage.epoch,
        bytes,
        stored_bytes: bytes,
        is_archived: false,
    };
    Ok(About {
        dir: PathBuf::from(shown(url)),
        lineage: *lineage,
        head: Position(head.load(Ordering::Acquire)),
        streams,
        cells,
        bytes,
        is_closed: !is_open(url)?,
        tail_bytes: 0,
        archive: None,
        segments: looking.partitions()?.into_iter().map(segment).collect(),
        checkpoints: Vec::new(),
        cuts: Vec::new(),
    })
}

/// Reads all of a store: positions and versions have no gaps, each message can be read, and the heads of the streams are
/// those of their last messages. `progress` hears positions.
///
/// # Errors
/// As [`open_read_only`].
pub fn verify(url: &str, progress: Progress<'_>) -> Result<Findings, StoreError> {
    let looking = Looking::open(url)?;
    let (reader, until) = (looking.reader(), looking.reader().head());
    let mut findings = Findings {
        dir: PathBuf::from(shown(url)),
        lineage: reader.lineage(),
        head: until,
        streams: 0,
        cells: 0,
        segments: looking.partitions()?.len() as u64,
        bytes: 0,
        unfinished: None,
        checkpoints: 0,
        unusable: Vec::new(),
        damage: Vec::new(),
    };
    let damage = |position: Position, what: String| Place { file: "message".into(), offset: position.0, what };
    let mut heads: HashMap<StreamId, StreamVersion> = HashMap::new();
    let mut after = Position::START;
    while after < until {
        let scanned = match reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types: None }) {
            Ok(scanned) => scanned,
            Err(StoreError::Corrupt(what)) => {
                findings.damage.push(damage(after, format!("behind this position: {what}")));
                break;
            }
            Err(error) => return Err(error),
        };
        for stored in &scanned.messages {
            after = Position(after.0 + 1);
            if stored.position != after {
                findings.damage.push(damage(after, format!("missing up to {}", stored.position.0 - 1)));
                after = stored.position;
            }
            findings.bytes += stored.message.bytes() as u64;
            let head = heads.entry(stored.stream.clone()).or_default();
            if stored.version.0 != head.0 + 1 {
                let what = format!("version {} of {} follows {}", stored.version, stored.stream, head);
                findings.damage.push(damage(stored.position, what));
            }
            *head = stored.version;
        }
        if after < scanned.through {
            findings.damage.push(damage(Position(after.0 + 1), format!("missing up to {}", scanned.through.0)));
            after = scanned.through;
        }
        progress(after.0, until.0);
    }
    findings.streams = heads.len() as u64;
    if findings.damage.is_empty() {
        findings.damage = looking.wrong_heads(&heads)?;
    }
    [findings.cells] = looking.numbers("SELECT count(*) FROM cell")?;
    Ok(findings)
}

impl Looking {
    /// Heads that are not those of their streams' last messages. A stream that grew meanwhile is ahead, and right.
    fn wrong_heads(&self, seen: &HashMap<StreamId, StreamVersion>) -> Result<Vec<Place>, StoreError> {
        const HEADS: &str = "SELECT stream, version FROM stream";
        let rows = self.shared.pool.run(|Reading { client, .. }| async move { client.query(HEADS, &[]).await })?;
        let known: HashMap<&str, u64> = rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1) as u64)).collect();
        let wrong = seen.iter().filter(|(stream, version)| known.get(stream.as_str()).is_none_or(|it| *it < version.0));
        let mut wrong: Vec<Place> = wrong
            .map(|(stream, version)| Place {
                file: "stream".into(),
                offset: version.0,
                what: format!("the head of {stream} is behind its last message"),
            })
            .collect();
        wrong.sort_by(|one, other| one.what.cmp(&other.what));
        Ok(wrong)
    }
}

/// What a store in a database does not do itself.
pub fn left_to_the_database(what: &str) -> StoreError {
    StoreError::Permanent(format!(
        "{what} of a store in PostgreSQL is the database's own: see `pg_dump`, `pg_basebackup` and docs/postgres.md"
    ))
}
