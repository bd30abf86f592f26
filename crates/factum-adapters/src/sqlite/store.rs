//! The writing side: one connection, one transaction per batch.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use factum_core::{
    error::RowError,
    ports::{RowChange, RowReader, RowStore, TableBatch, TableSpec},
    stream::Cursor,
};
use rusqlite::{Connection, OptionalExtension, ToSql, Transaction, TransactionBehavior, params_from_iter};

use super::{
    connection::{self, Body, Index, Indexed, body, is_full, row_error, table},
    reader::Pool,
};

/// Rows that one statement writes: enough to spread its cost, few enough for short statements.
const MANY: usize = 16;

/// Rows in one SQLite file; the only writer of it.
pub struct Rows {
    path: PathBuf,
    connection: Connection,
    reader: Arc<Pool>,
    /// SQL of the tables that were opened, by name and version.
    tables: BTreeMap<(&'static str, u32), Sql>,
    /// Those of them that there was no room to make; the next transaction makes them.
    unmade: Vec<TableSpec>,
}

/// The statements of one table.
struct Sql {
    get: String,
    put: String,
    put_many: String,
    remove: String,
}

/// What can end a write: no room, SQLite, or a change that does not fit.
enum Failure {
    Full(String),
    Sqlite(rusqlite::Error),
    Refused(RowError),
}

impl Failure {
    /// The port's error, with the file's name.
    fn named(self, path: &Path) -> RowError {
        match self {
            Self::Full(problem) => RowError::Store(format!("{problem} ({})", path.display())),
            Self::Sqlite(error) => row_error(path, &error),
            Self::Refused(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match is_full(&error) {
            true => Self::Full(error.to_string()),
            false => Self::Sqlite(error),
        }
    }
}

impl From<RowError> for Failure {
    fn from(error: RowError) -> Self {
        Self::Refused(error)
    }
}

impl Rows {
    pub(super) fn open(path: &Path) -> Result<Self, RowError> {
        let (connection, index) = connection::writer(path)?;
        let reader = Arc::new(Pool::new(path.to_owned(), index));
        let mut rows = Self { path: path.to_owned(), connection, reader, tables: BTreeMap::new(), unmade: Vec::new() };
        rows.prepare().map_err(|error| row_error(path, &error))?;
        Ok(rows)
    }

    /// Whether other processes are kept from reading the rows, until the next opening: because there was no room for
    /// the file by which they would.
    pub fn keeps_others_out(&self) -> bool {
        self.reader.index() == Index::InMemory
    }

    /// Sees to it that the file holds the list of tables; says no if there is no room for that.
    fn prepare(&mut self) -> rusqlite::Result<bool> {
        if !self.reader.is_prepared() {
            match connection::prepare(&mut self.connection) {
                Err(error) if is_full(&error) => return Ok(false),
                prepared => prepared?,
            }
            self.reader.set_prepared();
        }
        Ok(true)
    }

    /// Runs `work` in one transaction, which begins by making the tables for which there was no room: all of it, or
    /// nothing.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &BTreeMap<(&'static str, u32), Sql>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.end_reading()?;
        if !self.prepare()? {
            return Err(Failure::Full("the disk is full".to_owned()));
        }
        let Self { connection, tables, unmade, .. } = self;
        let run = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            unmade.iter().try_for_each(|spec| create(&transaction, spec))?;
            let done = work(&transaction, tables)?;
            transaction.commit()?;
            unmade.clear();
            Ok(done)
        };
        run()
    }

    /// Rows are read in one transaction until the next write: to begin and end one for each costs more than the reading.
    /// Nobody else writes, so what it sees is never old.
    fn begin_reading(&self) -> rusqlite::Result<()> {
        match self.connection.is_autocommit() {
            true => self.connection.prepare_cached("BEGIN")?.execute([]).map(|_| ()),
            false => Ok(()),
        }
    }

    fn end_reading(&self) -> rusqlite::Result<()> {
        match self.connection.is_autocommit() {
            true => Ok(()),
            false => self.connection.prepare_cached("COMMIT")?.execute([]).map(|_| ()),
        }
    }

    fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &BTreeMap<(&'static str, u32), Sql>) -> Result<T, Failure>,
    ) -> Result<T, RowError> {
        self.transact(work).map_err(|failure| failure.named(&self.path))
    }
}

impl RowStore for Rows {
    fn open(&mut self, spec: &TableSpec) -> Result<Option<Cursor>, RowError> {
        spec.check_names()?;
        let known = match self.prepare() {
            Ok(true) => connection::known(&self.connection, spec.name, spec.version),
            prepared => prepared.map(|_| None),
        };
        let cursor = match known.map_err(|error| row_error(&self.path, &error))? {
            Some(known) => {
                spec.check_indexes(&known.indexes)?;
                known.cursor
            }
            None => {
                if !self.unmade.contains(spec) {
                    self.unmade.push(spec.clone());
                }
                match self.transact(|_, _| Ok(())) {
                    // Nothing was built for it, which is the truth without the table too.
                    Ok(()) | Err(Failure::Full(_)) => None,
                    Err(failure) => {
                        self.unmade.retain(|unmade| unmade != spec);
                        return Err(failure.named(&self.path));
                    }
                }
            }
        };
        self.tables.insert((spec.name, spec.version), Sql::of(spec));
        Ok(cursor)
    }

    fn get(&mut self, spec: &TableSpec, key: &str) -> Result<Option<Vec<u8>>, RowError> {
        let sql = self.tables.get(&(spec.name, spec.version)).ok_or_else(|| spec.not_open())?;
        if self.unmade.contains(spec) {
            return Ok(None);
        }
        let row = self
            .begin_reading()
            .and_then(|()| self.connection.prepare_cached(&sql.get)?.query_row([key], body).optional());
        row.map_err(|error| row_error(&self.path, &error))
    }

    fn write(&mut self, batches: &[TableBatch]) -> Result<(), RowError> {
        self.in_transaction(|transaction, tables| {
            for TableBatch { table: spec, changes, cursor } in batches {
                let sql = tables.get(&(spec.name, spec.version)).ok_or_else(|| spec.not_open())?;
                changes.iter().try_for_each(|change| spec.check_change(change))?;
                sql.remove(transaction, changes)?;
                sql.put(transaction, changes)?;
                move_cursor(transaction, spec, cursor)?;
            }
            Ok(())
        })
    }

    fn activate(&mut self, spec: &TableSpec) -> Result<(), RowError> {
        if !self.tables.contains_key(&(spec.name, spec.version)) {
            return Err(spec.not_open());
        }
        let dropped = self.in_transaction(|transaction, _| {
            let mut older =
                transaction.prepare_cached("SELECT version FROM _tables WHERE name = ?1 AND version < ?2")?;
            let older: Vec<u32> =
                older.query_map((spec.name, spec.version), |row| row.get(0))?.collect::<Result<_, _>>()?;
            for version in &older {
                drop_table(transaction, spec.name, *version)?;
            }
            // Each start says it again: what is so already is not written, so that it needs no room.
            let active = "UPDATE _tables SET active = (version = ?2) WHERE name = ?1 AND active != (version = ?2)";
            transaction.prepare_cached(active)?.execute((spec.name, spec.version))?;
            Ok(older)
        })?;
        self.tables.retain(|(name, version), _| *name != spec.name || !dropped.contains(version));
        Ok(())
    }

    fn discard(&mut self, spec: &TableSpec) -> Result<(), RowError> {
        spec.check_names()?;
        self.unmade.retain(|unmade| unmade != spec);
        self.in_transaction(|transaction, _| Ok(drop_table(transaction, spec.name, spec.version)?))?;
        self.tables.remove(&(spec.name, spec.version));
        Ok(())
    }

    fn reader(&self) -> Arc<dyn RowReader> {
        Arc::clone(&self.reader) as Arc<dyn RowReader>
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Sql {
    fn of(spec: &TableSpec) -> Self {
        let table = table(spec.name, spec.version);
        let columns: String = spec.indexes.iter().map(|field| format!(", \"{field}\"")).collect();
        let updates: String =
            spec.indexes.iter().map(|field| format!(", \"{field}\" = excluded.\"{field}\"")).collect();
        let row = format!("({})", vec!["?"; 2 + spec.indexes.len()].join(", "));
        let put = |rows: usize| {
            let rows = vec![row.as_str(); rows].join(", ");
            format!(
                "INSERT INTO \"{table}\" (_key, _body{columns}) VALUES {rows} \
                 ON CONFLICT (_key) DO UPDATE SET _body = excluded._body{updates}"
            )
        };
        Self {
            get: format!("SELECT _body FROM \"{table}\" WHERE _key = ?1"),
            put: put(1),
            put_many: put(MANY),
            remove: format!("DELETE FROM \"{table}\" WHERE _key = ?1"),
        }
    }

    fn remove(&self, transaction: &Transaction<'_>, changes: &[RowChange]) -> rusqlite::Result<()> {
        for change in changes.iter().filter(|change| change.row.is_none()) {
            transaction.prepare_cached(&self.remove)?.execute([&change.key])?;
        }
        Ok(())
    }

    fn put(&self, transaction: &Transaction<'_>, changes: &[RowChange]) -> rusqlite::Result<()> {
        let rows: Vec<_> = changes.iter().filter_map(|change| Some((&change.key, change.row.as_ref()?))).collect();
        let chunks = rows.chunks_exact(MANY);
        let single = chunks.remainder().chunks(1);
        for chunk in chunks.chain(single) {
            let sql = if chunk.len() == MANY { &self.put_many } else { &self.put };
            let parameters = chunk.iter().flat_map(|(key, (body, values))| {
                let values = values.iter().map(|value| Parameter::Value(Indexed(value)));
                [Parameter::Key(key), Parameter::Body(Body(body))].into_iter().chain(values)
            });
            transaction.prepare_cached(sql)?.execute(params_from_iter(parameters))?;
        }
        Ok(())
    }
}

/// One of a row's parameters.
enum Parameter<'a> {
    Key(&'a str),
    Body(Body<'a>),
    Value(Indexed<'a>),
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Self::Key(key) => key.to_sql(),
            Self::Body(body) => body.to_sql(),
            Self::Value(value) => value.to_sql(),
        }
    }
}

fn create(transaction: &Transaction<'_>, spec: &TableSpec) -> rusqlite::Result<()> {
    let table = table(spec.name, spec.version);
    // Columns without a type keep each value as it was given, and compare numbers before text, as the model does.
    let columns: String = spec.indexes.iter().map(|field| format!(", \"{field}\"")).collect();
    transaction.execute_batch(&format!(
        "CREATE TABLE \"{table}\" (_key TEXT PRIMARY KEY NOT NULL, _body TEXT NOT NULL{columns}) WITHOUT ROWID"
    ))?;
    for field in spec.indexes {
        // A dot keeps the name apart from those of tables. The key stands behind the field by itself (WITHOUT ROWID).
        transaction.execute_batch(&format!("CREATE INDEX \"{table}.{field}\" ON \"{table}\" (\"{field}\")"))?;
    }
    let insert = "INSERT INTO _tables (name, version, indexes) VALUES (?1, ?2, ?3)";
    transaction.execute(insert, (spec.name, spec.version, spec.indexes.join(",")))?;
    Ok(())
}

fn drop_table(transaction: &Transaction<'_>, name: &str, version: u32) -> rusqlite::Result<()> {
    transaction.execute_batch(&format!("DROP TABLE IF EXISTS \"{}\"", table(name, version)))?;
    transaction.execute("DELETE FROM _tables WHERE name = ?1 AND version = ?2", (name, version))?;
    Ok(())
}

fn move_cursor(transaction: &Transaction<'_>, spec: &TableSpec, cursor: &Cursor) -> rusqlite::Result<()> {
    let sql = "UPDATE _tables SET log_id = ?3, epoch = ?4, position = ?5 WHERE name = ?1 AND version = ?2";
    let Cursor { lineage, position } = cursor;
    // A log would have to take a million messages a second for 292,000 years to reach the sign bit.
    let place = (spec.name, spec.version, lineage.log_id, lineage.epoch, position.0 as i64);
    transaction.prepare_cached(sql)?.execute(place)?;
    Ok(())
}
