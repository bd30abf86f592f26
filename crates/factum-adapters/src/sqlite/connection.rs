//! Connections to the file: how they are set up, what is ours in it, and what its errors mean.

use std::{path::Path, time::Duration};

use factum_core::{
    error::RowError,
    row::IndexValue,
    stream::{Cursor, Lineage, Position},
};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Row, ToSql, TransactionBehavior, ffi,
    types::{ToSqlOutput, Value, ValueRef},
};

/// Marks a file as ours in SQLite's own header: "fact".
const APPLICATION: i64 = 0x6661_6374;
/// The layout that this program writes.
const LAYOUT: i64 = 1;
/// Prepared statements kept per connection: a few for each of some dozen tables.
const STATEMENTS: usize = 256;
/// How long to wait for a lock. Only a foreign program on the file can hold one for long.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "CREATE TABLE IF NOT EXISTS _tables (
    name TEXT NOT NULL, version INTEGER NOT NULL, indexes TEXT NOT NULL, active INTEGER NOT NULL DEFAULT 0,
    log_id BLOB, epoch INTEGER, position INTEGER, PRIMARY KEY (name, version)) WITHOUT ROWID";

/// Where SQLite keeps its index of the changes that are not in the file yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// In a file beside it (`-shm`), by which other processes read the rows too.
    InFile,
    /// In memory: it takes no room on the disk, and other processes are kept out.
    InMemory,
}

impl Index {
    fn vfs(self) -> &'static str {
        match self {
            Self::InFile => "unix",
            Self::InMemory => "unix-excl",
        }
    }
}

/// The writing connection; makes the file if it is missing. On a full disk it does without a file for its index.
pub(super) fn writer(path: &Path) -> Result<(Connection, Index), RowError> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)
            .map_err(|error| RowError::Store(format!("cannot create {}: {error}", dir.display())))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |index: Index| -> rusqlite::Result<Result<(Connection, Index), String>> {
        let connection = Connection::open_with_flags_and_vfs(path, flags, index.vfs())?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        if let Some(foreign) = foreign(&connection)? {
            return Ok(Err(foreign));
        }
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // Upserts at random keys touch many pages: 64 MiB of them are kept, and a log of as much at rest.
        connection.pragma_update(None, "cache_size", -65_536)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        // Pages that many batches change are copied into the file once, not once a batch: measured a third faster.
        connection.pragma_update(None, "wal_autocheckpoint", 16_000)?;
        Ok(Ok((connection, index)))
    };
    let opened = match open(Index::InFile) {
        Err(error) if is_full(&error) => open(Index::InMemory),
        opened => opened,
    };
    opened.map_err(|error| row_error(path, &error))?.map_err(|foreign| RowError::Store(unusable(path, &foreign)))
}

/// Makes the file ours, whole or not at all; writes nothing if it is, so that it needs no room then.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (pragma, ours) in [("application_id", APPLICATION), ("user_version", LAYOUT)] {
        if number(&transaction, pragma)? != ours {
            transaction.pragma_update(None, pragma, ours)?;
        }
    }
    transaction.execute_batch(TABLES)?;
    transaction.commit()
}

/// A reading connection.
pub(super) fn reader(path: &Path, index: Index) -> Result<Connection, RowError> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags_and_vfs(path, flags, index.vfs())?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    };
    open().map_err(|error| row_error(path, &error))
}

/// Whether it failed for lack of room. SQLite has a code of its own for the file of its index.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    error.sqlite_error_code() == Some(ErrorCode::DiskFull) || extended == Some(ffi::SQLITE_IOERR_SHMSIZE)
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

/// What makes the file one that is not ours; changes nothing in it.
fn foreign(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let (application, layout) = (number(connection, "application_id")?, number(connection, "user_version")?);
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    Ok(match (application, layout) {
        (APPLICATION, LAYOUT) => None,
        (APPLICATION, other) => Some(format!("has layout {other}, this program knows {LAYOUT}")),
        (0, 0) if objects == 0 => None,
        _ => Some("is a database of another program".to_owned()),
    })
}

fn unusable(path: &Path, problem: &str) -> String {
    let path = path.display();
    format!(
        "{path} {problem}; rows are derived, so nothing is lost: stop, remove {path} (and {path}-wal, {path}-shm) and \
         start again, and they are rebuilt from the log"
    )
}

/// The port's error: damage says what to do about it.
pub(super) fn row_error(path: &Path, error: &rusqlite::Error) -> RowError {
    RowError::Store(match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => unusable(path, "is no SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => unusable(path, &format!("is damaged ({error})")),
        _ => format!("{error} ({})", path.display()),
    })
}

/// A table of one version as `_tables` knows it.
pub(super) struct Known {
    pub indexes: Vec<String>,
    pub cursor: Option<Cursor>,
}

/// Looks a table of one version up.
pub(super) fn known(connection: &Connection, name: &str, version: u32) -> rusqlite::Result<Option<Known>> {
    let sql = "SELECT indexes, log_id, epoch, position FROM _tables WHERE name = ?1 AND version = ?2";
    let read = |row: &Row<'_>| Ok(Known { indexes: split(&row.get::<_, String>(0)?), cursor: cursor(row, 1)? });
    connection.prepare_cached(sql)?.query_row((name, version), read).optional()
}

/// The version that queries of a table read, with its indexes: the active one, else the oldest.
pub(super) fn queried(connection: &Connection, name: &str) -> rusqlite::Result<Option<(u32, Vec<String>)>> {
    let sql = "SELECT version, indexes FROM _tables WHERE name = ?1 ORDER BY active DESC, version LIMIT 1";
    let read = |row: &Row<'_>| Ok((row.get(0)?, split(&row.get::<_, String>(1)?)));
    connection.prepare_cached(sql)?.query_row([name], read).optional()
}

/// Where the rows stand that queries of a table read.
pub(super) fn stands(connection: &Connection, name: &str) -> rusqlite::Result<Option<Cursor>> {
    let sql = "SELECT log_id, epoch, position FROM _tables WHERE name = ?1 ORDER BY active DESC, version LIMIT 1";
    let found = connection.prepare_cached(sql)?.query_row([name], |row| cursor(row, 0)).optional()?;
    Ok(found.flatten())
}

fn split(indexes: &str) -> Vec<String> {
    indexes.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn cursor(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Cursor>> {
    let Some(log_id) = row.get::<_, Option<[u8; 16]>>(at)? else { return Ok(None) };
    let (epoch, position): (u32, i64) = (row.get(at + 1)?, row.get(at + 2)?);
    Ok(Some(Cursor { lineage: Lineage { log_id, epoch }, position: Position(position as u64) }))
}

/// The name of a table's version. No two of them are the same: what follows the last `_v` is all digits.
pub(super) fn table(name: &str, version: u32) -> String {
    format!("{name}_v{version}")
}

/// An index value as a parameter.
pub(super) struct Indexed<'a>(pub &'a IndexValue);

impl ToSql for Indexed<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            IndexValue::Null => ToSqlOutput::Owned(Value::Null),
            IndexValue::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            IndexValue::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

/// A JSON body as a parameter: text, so that SQL by hand can use SQLite's JSON functions.
pub(super) struct Body<'a>(pub &'a [u8]);

impl ToSql for Body<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// The bytes of a body.
pub(super) fn body(row: &Row<'_>) -> rusqlite::Result<Vec<u8>> {
    Ok(row.get_ref(0)?.as_bytes()?.to_vec())
}
