//! The reading side of the log.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use factum_core::{
    cell::{Cell, CellKey, CellKind, Revision},
    envelope::{Stored, binary},
    error::StoreError,
    id::Name,
    ports::{Reader, Scan, Scanned},
    stream::{Lineage, Position, StreamId, StreamVersion},
};
use tokio_postgres::{Client, Error, Row, Statement};

use super::{
    driver::Driver,
    pool::{Pool, Pooled},
};

/// Messages that one query answers at most.
const MOST: i64 = 4096;
/// Names kept at most, so that a log full of made-up names cannot fill the memory.
const MOST_NAMES: usize = 4096;
/// Bytes that are asked for at most at once, so that a scan of everything does not hold it all twice.
const MOST_BYTES: i64 = 32 << 20;

/// What the writing and the reading side share.
pub(super) struct Shared {
    pub(super) pool: Pool<Reading>,
    pub(super) lineage: Lineage,
    /// The last position that is known to be durable.
    pub(super) head: AtomicU64,
    names: Mutex<HashSet<Arc<str>>>,
}

impl Shared {
    pub(super) fn new(driver: Driver, lineage: Lineage, head: u64) -> Self {
        Self { pool: Pool::new(driver), lineage, head: AtomicU64::new(head), names: Mutex::default() }
    }

    /// The log is durable up to here. Answers up to where it is known to be.
    pub(super) fn moved(&self, head: u64) -> u64 {
        self.head.fetch_max(head, Ordering::AcqRel).max(head)
    }

    /// A name of a type or a source, allocated once: there are few of them and millions of messages.
    fn name(&self, text: &str) -> Name {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(text) {
            return Name::Shared(known.clone());
        }
        if names.len() >= MOST_NAMES {
            names.clear();
        }
        let name: Arc<str> = Arc::from(text);
        names.insert(name.clone());
        Name::Shared(name)
    }

    fn stored(&self, row: &Row) -> Result<Stored, StoreError> {
        let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("a row of `message`: {error}"));
        let (position, stream, version): (i64, &str, i64) = (row.get(0), row.get(1), row.get(2));
        let (type_name, source, head, data): (&str, &str, &[u8], &[u8]) =
            (row.get(3), row.get(4), row.get(5), row.get(6));
        let message = binary::decode(self.name(type_name), self.name(source), &[head, data].concat())
            .map_err(|error| corrupt(&error))?;
        Ok(Stored {
            position: Position(position as u64),
            stream: StreamId::parse(stream).map_err(|error| corrupt(&error))?,
            version: StreamVersion(version as u64),
            message,
        })
    }
}

/// A session with what it asks again and again.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) client: Arc<Client>,
    asked: Arc<Asked>,
}

struct Asked {
    types: Statement,
    scan: Statement,
    scan_types: Statement,
    stream: Statement,
    streams: Statement,
    cells: Statement,
    cell: Statement,
}

impl Pooled for Reading {
    async fn over(client: Arc<Client>) -> Result<Self, Error> {
        const MESSAGE: &str = "position, stream, version, type, source, head, data";
        // As many as fit into so many bytes; the first always does. How many there are up to the end is told beside.
        let scan = |types: &str| {
            format!(
                "WITH part AS (SELECT position, size FROM message WHERE position > $1 AND position <= $2 {types} \
                 ORDER BY position LIMIT $3), \
                 cut AS (SELECT position, sum(size::int8) OVER (ORDER BY position) - size AS before FROM part) \
                 SELECT {MESSAGE}, (SELECT count(*) FROM part) FROM cut JOIN message USING (position) \
                 WHERE before < $4::int8 AND position > $1 AND position <= $2 ORDER BY position"
            )
        };
        let asked = Asked {
            types: client.prepare("SELECT name FROM type").await?,
            scan: client.prepare(&scan("")).await?,
            scan_types: client.prepare(&scan("AND type = ANY($5)")).await?,
            stream: client
                .prepare(&format!("SELECT {MESSAGE} FROM message WHERE stream = $1 AND version > $2 ORDER BY version"))
                .await?,
            streams: client
                .prepare(&format!("SELECT {MESSAGE} FROM message WHERE stream = ANY($1) ORDER BY stream, version"))
                .await?,
            cells: client.prepare("SELECT name, revision, value FROM cell WHERE kind = $1 ORDER BY name").await?,
            cell: client.prepare("SELECT revision, value FROM cell WHERE kind = $1 AND name = $2").await?,
        };
        Ok(Self { client, asked: Arc::new(asked) })
    }

    fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// A reader of the log in the words of the port.
pub(super) struct Rows {
    shared: Arc<Shared>,
}

impl Rows {
    pub(super) fn over(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The types that a scan asks for, of those that there are.
    fn types(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<String>, StoreError> {
        let rows =
            self.shared.pool.run(|reading| async move { reading.client.query(&reading.asked.types, &[]).await })?;
        let names = rows.iter().map(|row| row.get::<_, &str>(0));
        Ok(names.filter(|name| wanted(name)).map(str::to_owned).collect())
    }
}

impl Reader for Rows {
    fn lineage(&self) -> Lineage {
        self.shared.lineage
    }

    fn head(&self) -> Position {
        Position(self.shared.head.load(Ordering::Acquire))
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, StoreError> {
        // Types are read behind the head, so that those of all messages up to there are known.
        let until = scan.until.min(self.head());
        let mut scanned = Scanned { messages: Vec::new(), through: scan.after };
        if scan.after >= until {
            return Ok(scanned);
        }
        let types = scan.types.map(|wanted| self.types(wanted)).transpose()?;
        let bytes = i64::try_from(scan.bytes).unwrap_or(i64::MAX);
        let mut read = 0;
        while scanned.through < until && (read < bytes || scanned.messages.is_empty()) {
            let (after, to) = (scanned.through.0 as i64, until.0 as i64);
            let (types, part) = (types.clone(), (bytes - read).clamp(1, MOST_BYTES));
            let rows = self.shared.pool.run(|Reading { client, asked }| async move {
                match types {
                    None => client.query(&asked.scan, &[&after, &to, &MOST, &part]).await,
                    Some(types) => client.query(&asked.scan_types, &[&after, &to, &MOST, &part, &types]).await,
                }
            })?;
            let there = rows.first().map_or(0, |row| row.get::<_, i64>(7));
            for row in &rows {
                let stored = self.shared.stored(row)?;
                read += (row.get::<_, &[u8]>(5).len() + row.get::<_, &[u8]>(6).len()) as i64;
                scanned.through = stored.position;
                scanned.messages.push(stored);
            }
            if there == rows.len() as i64 && there < MOST {
                scanned.through = until;
            }
        }
        Ok(scanned)
    }

    fn stream(&self, stream: &StreamId, after: StreamVersion) -> Result<Vec<Stored>, StoreError> {
        let (stream, after) = (stream.as_str().to_owned(), i64::try_from(after.0).unwrap_or(i64::MAX));
        let rows = self
            .shared
            .pool
            .run(|Reading { client, asked }| async move { client.query(&asked.stream, &[&stream, &after]).await })?;
        rows.iter().map(|row| self.shared.stored(row)).collect()
    }

    fn streams(&self, streams: &[StreamId]) -> Result<Vec<Vec<Stored>>, StoreError> {
        let names: Vec<String> = streams.iter().map(|stream| stream.as_str().to_owned()).collect();
        let rows = self
            .shared
            .pool
            .run(|Reading { client, asked }| async move { client.query(&asked.streams, &[&names]).await })?;
        let mut found: std::collections::HashMap<StreamId, Vec<Stored>> = std::collections::HashMap::new();
        for row in &rows {
            let stored = self.shared.stored(row)?;
            found.entry(stored.stream.clone()).or_default().push(stored);
        }
        Ok(streams.iter().map(|stream| found.get(stream).cloned().unwrap_or_default()).collect())
    }

    fn is_far(&self) -> bool {
        true
    }

    fn cells(&self, kind: CellKind) -> Result<Vec<Cell>, StoreError> {
        let rows = self
            .shared
            .pool
            .run(|Reading { client, asked }| async move { client.query(&asked.cells, &[&kind.as_str()]).await })?;
        let cell = |row: &Row| Cell {
            key: CellKey::new(kind, row.get::<_, &str>(0)),
            revision: Revision(row.get::<_, i64>(1) as u64),
            value: row.get(2),
        };
        Ok(rows.iter().map(cell).collect())
    }

    fn cell(&self, key: &CellKey) -> Result<Option<Cell>, StoreError> {
        let (kind, name) = (key.kind.as_str(), key.name.clone());
        let row = self
            .shared
            .pool
            .run(|Reading { client, asked }| async move { client.query_opt(&asked.cell, &[&kind, &name]).await })?;
        Ok(row.map(|row| Cell { key: key.clone(), revision: Revision(row.get::<_, i64>(0) as u64), value: row.get(1) }))
    }
}
