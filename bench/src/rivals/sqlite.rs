//! SQLite with a write-ahead log and full syncs: one table, one unique index, one transaction for a batch.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use factum_core::stream::StreamId;
use rusqlite::{Connection, params};

use super::CACHE_BYTES;
use crate::work::{Append, Entry, Reads, Store};

const TABLE: &str = "
    CREATE TABLE event (
        position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL,
        source TEXT NOT NULL, body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX event_stream ON event (stream, version);";

struct Sqlite {
    file: PathBuf,
    connection: Connection,
}

fn connect(file: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(file)?;
    // A checkpoint every 64 MiB of log, as long as our segments, so that it does not come in every other batch.
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16384;
         PRAGMA cache_size = -{}; PRAGMA mmap_size = 1073741824;",
        CACHE_BYTES >> 10
    ))?;
    Ok(connection)
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Store>> {
    let file = dir.join("sqlite");
    let connection = connect(&file)?;
    connection.execute_batch(TABLE)?;
    Ok(Box::new(Sqlite { file, connection }))
}

impl Store for Sqlite {
    fn append(&mut self, batch: Vec<Append>) -> anyhow::Result<()> {
        let write = self.connection.transaction()?;
        {
            let mut head = write.prepare_cached("SELECT coalesce(max(version), 0) FROM event WHERE stream = ?1")?;
            let mut insert = write.prepare_cached(
                "INSERT INTO event (stream, version, kind, source, body) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for Append { stream, expected, message, body, .. } in &batch {
                let (stream, expected) = (stream.as_str(), i64::try_from(*expected)?);
                let head: i64 = head.query_row([stream], |row| row.get(0))?;
                ensure!(head == expected, "{stream} is at version {head}, not {expected}");
                let envelope = &message.envelope;
                insert.execute(params![stream, expected + 1, &*envelope.type_name, &*envelope.source, body])?;
            }
        }
        write.commit()?;
        Ok(())
    }

    fn reader(&self) -> anyhow::Result<Box<dyn Reads>> {
        Ok(Box::new(Rows(connect(&self.file)?)))
    }
}

struct Rows(Connection);

impl Reads for Rows {
    fn scan(&mut self, visit: &mut dyn FnMut(Entry<'_>)) -> anyhow::Result<()> {
        let mut select = self.0.prepare_cached("SELECT position, body FROM event ORDER BY position")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            visit(Entry { position: row.get::<_, i64>(0)?.unsigned_abs(), body: row.get_ref(1)?.as_blob()? });
        }
        Ok(())
    }

    fn streams(&mut self, streams: &[StreamId], visit: &mut dyn FnMut(usize, Entry<'_>)) -> anyhow::Result<()> {
        let mut select =
            self.0.prepare_cached("SELECT position, body FROM event WHERE stream = ?1 ORDER BY version")?;
        for (number, stream) in streams.iter().enumerate() {
            let mut rows = select.query([stream.as_str()])?;
            while let Some(row) = rows.next()? {
                let position = row.get::<_, i64>(0)?.unsigned_abs();
                visit(number, Entry { position, body: row.get_ref(1)?.as_blob()? });
            }
        }
        Ok(())
    }
}
