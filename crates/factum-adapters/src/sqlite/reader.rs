//! The reading side: a small pool of connections that only read.

use std::{
    fmt::Write,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use factum_core::{
    error::RowError,
    ports::{Page, Query, RowReader},
    row::IndexValue,
    stream::Cursor,
};
use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};

use super::connection::{self, Index, Indexed, body, queried, row_error, stands, table};

/// Connections kept open; more readers than this at once open one each and close it again.
const KEPT: usize = 8;

/// Connections that only read.
pub(super) struct Pool {
    path: PathBuf,
    index: Index,
    /// Whether there is anything to read: on a full disk the file may be empty yet.
    is_prepared: AtomicBool,
    kept: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(path: PathBuf, index: Index) -> Self {
        Self { path, index, is_prepared: AtomicBool::new(false), kept: Mutex::default() }
    }

    pub(super) fn index(&self) -> Index {
        self.index
    }

    pub(super) fn is_prepared(&self) -> bool {
        self.is_prepared.load(Ordering::Acquire)
    }

    /// Notes that the file holds the list of tables.
    pub(super) fn set_prepared(&self) {
        self.is_prepared.store(true, Ordering::Release);
    }

    /// Runs `work` in one read transaction, so that all it sees is of one moment.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, RowError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = kept().pop();
        let mut connection = taken.map_or_else(|| connection::reader(&self.path, self.index), Ok)?;
        let run = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let done = work(&transaction)?;
            transaction.finish()?;
            Ok(done)
        };
        // A connection that failed is closed: it may be what is wrong.
        let done = run(&mut connection).map_err(|error| row_error(&self.path, &error))?;
        let mut kept = kept();
        if kept.len() < KEPT {
            kept.push(connection);
        }
        Ok(done)
    }
}

impl RowReader for Pool {
    fn stand(&self, names: &[&str]) -> Result<Vec<Option<Cursor>>, RowError> {
        if !self.is_prepared() {
            return Ok(vec![None; names.len()]);
        }
        self.read(|connection| names.iter().map(|name| stands(connection, name)).collect())
    }

    fn get(&self, name: &str, key: &str) -> Result<Option<Vec<u8>>, RowError> {
        if !self.is_prepared() {
            return Ok(None);
        }
        self.read(|connection| {
            let Some((version, _)) = queried(connection, name)? else { return Ok(None) };
            let sql = format!("SELECT _body FROM \"{}\" WHERE _key = ?1", table(name, version));
            connection.prepare_cached(&sql)?.query_row([key], body).optional()
        })
    }

    fn page(&self, name: &str, query: &Query) -> Result<Page, RowError> {
        if !self.is_prepared() {
            return Ok(Page::default());
        }
        self.read(|connection| {
            let Some((version, indexed)) = queried(connection, name)? else { return Ok(Ok(Page::default())) };
            // Only names that are columns get into SQL.
            if let Err(error) = query.check_indexes(name, &indexed) {
                return Ok(Err(error));
            }
            page(connection, &table(name, version), query).map(Ok)
        })?
    }
}

fn page(connection: &Connection, table: &str, query: &Query) -> rusqlite::Result<Page> {
    let (conditions, values) = conditions(query);
    let direction = if query.descending { "DESC" } else { "ASC" };
    let mut sql = format!("SELECT _body FROM \"{table}\"{conditions} ORDER BY ");
    if let Some(field) = &query.order_by {
        _ = write!(sql, "\"{field}\" {direction}, ");
    }
    _ = write!(sql, "_key {direction} LIMIT ? OFFSET ?");
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let (limit, offset) = (number(query.limit), number(query.offset));
    let key = || query.behind.iter().map(|key| key as &dyn ToSql);
    let parameters = || key().chain(values.iter().map(|value| value as &dyn ToSql));
    let places: [&dyn ToSql; 2] = [&limit, &offset];
    let mut statement = connection.prepare_cached(&sql)?;
    let rows: Vec<Vec<u8>> =
        statement.query_map(params_from_iter(parameters().chain(places)), body)?.collect::<Result<_, _>>()?;
    // A page that is not full and not beyond the end is the last one, which tells the total for nothing.
    let count = rows.len() as u64;
    if count < query.limit && (count > 0 || query.offset == 0) {
        return Ok(Page { total: query.offset + count, rows });
    }
    let mut statement = connection.prepare_cached(&format!("SELECT count(*) FROM \"{table}\"{conditions}"))?;
    let total: i64 = statement.query_row(params_from_iter(parameters()), |row| row.get(0))?;
    Ok(Page { rows, total: total as u64 })
}

/// The conditions as SQL, with the values in order that stand behind the key's.
fn conditions(query: &Query) -> (String, Vec<Indexed<'_>>) {
    let mut values = Vec::new();
    let mut sql = query.behind.as_ref().map_or_else(String::new, |_| " WHERE _key > ?".to_owned());
    let mut condition = |field: &str, operator: &str, value| {
        let word = if sql.is_empty() { "WHERE" } else { "AND" };
        _ = write!(sql, " {word} \"{field}\" {operator} ?");
        values.push(Indexed(value));
    };
    for (field, value) in &query.equal {
        // IS also finds what is absent; it costs nothing beside =, which uses the same index.
        condition(field, if *value == IndexValue::Null { "IS" } else { "=" }, value);
    }
    if let Some((field, from, to)) = &query.range {
        for (bound, operator) in [(from, ">="), (to, "<")] {
            if let Some(value) = bound {
                condition(field, operator, value);
            }
        }
    }
    (sql, values)
}
