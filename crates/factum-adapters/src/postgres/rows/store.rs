//! The writing side: one session, in which a batch is one round trip.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use factum_core::{
    error::RowError,
    ports::{RowReader, RowStore, TableBatch, TableKeys, TableSpec},
    stream::Cursor,
};
use tokio_postgres::{Client, Error, Row, error::SqlState};
use uuid::Uuid;

use super::{
    super::{
        Options,
        driver::quoted,
        error::sentence,
        pool::{Derived, Pool, in_order},
        roles::Use,
        text,
    },
    batch::Writing,
    reader::TableReader,
    row_error, table,
};

/// Begins making and dropping tables. It waits so long for those who read them, since who reads next waits behind it; and it is
/// durable, since the view loop does it once.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL synchronous_commit = on";

/// Rows of a unit in its schema.
pub struct RowTables {
    pool: Arc<Pool<Derived>>,
    schema: String,
    session: Option<Derived>,
    /// Those that were opened, by name and version.
    tables: Tables,
}

/// The revision that this owner gave a table last, by its name and version.
pub(super) type Tables = BTreeMap<(&'static str, u32), Uuid>;

impl RowTables {
    pub(super) fn open(url: &str, options: &Options) -> Result<Self, RowError> {
        let pool = Arc::new(Pool::of_schema(url, options, Use::Rows).map_err(row_error)?);
        let schema = pool.driver.schema.clone();
        Ok(Self { pool, schema, session: None, tables: Tables::new() })
    }

    /// Works in the session; in a new one if it is lost. One in which something failed is given up, with what it has left open.
    fn run<T, F>(&mut self, work: impl FnOnce(Derived) -> F) -> Result<T, RowError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let session = match self.session.take().filter(|session| !session.client.is_closed()) {
            Some(session) => session,
            None => self.pool.own().map_err(row_error)?,
        };
        let done = self.pool.driver.wait(work(session.clone())).map_err(row_error)?.map_err(|error| said(&error))?;
        self.session = Some(session);
        Ok(done)
    }

    fn opened(&self, spec: &TableSpec) -> Result<Uuid, RowError> {
        self.tables.get(&(spec.name, spec.version)).copied().ok_or_else(|| spec.not_open())
    }
}

/// What a person is told.
fn said(error: &Error) -> RowError {
    let said = sentence(error);
    RowError::Store(match error.code() {
        Some(&SqlState::DIVISION_BY_ZERO) => {
            "another process has written these rows meanwhile: nothing was written".to_owned()
        }
        Some(&(SqlState::DUPLICATE_TABLE | SqlState::WRONG_OBJECT_TYPE)) => {
            format!("{said}, and belongs to something else: rename that, or move it into another schema")
        }
        _ => said,
    })
}

impl RowStore for RowTables {
    fn open(&mut self, spec: &TableSpec) -> Result<Option<Cursor>, RowError> {
        spec.check_names()?;
        self.tables.remove(&(spec.name, spec.version));
        let revision = Uuid::new_v4();
        let row = self.run({
            let spec = spec.clone();
            move |session| async move {
                // What a lost session, or another owner, may still be writing is waited for, or refused from now on.
                let take = "UPDATE row_table SET revision = $3 WHERE name = $1 AND version = $2 \
                            RETURNING indexes, log_id, epoch, position";
                let version = i64::from(spec.version);
                match session.client.query_opt(take, &[&spec.name, &version, &revision]).await? {
                    Some(row) => {
                        // Who reads may have come since it was made.
                        let_read(&session, &[table::relation(spec.name, version), quoted(&table::shown(spec.name))])
                            .await?;
                        Ok(row)
                    }
                    None => make(&session, &spec, revision).await,
                }
            }
        })?;
        spec.check_indexes(&row.get::<_, Vec<String>>(0))?;
        self.tables.insert((spec.name, spec.version), revision);
        Ok(table::cursor(&row, 1))
    }

    fn get(&mut self, spec: &TableSpec, key: &str) -> Result<Option<Vec<u8>>, RowError> {
        let wanted = TableKeys { table: spec.clone(), keys: vec![key.to_owned()] };
        Ok(self.get_many(&[wanted])?.pop().and_then(|mut rows| rows.pop()).flatten())
    }

    fn get_many(&mut self, wanted: &[TableKeys]) -> Result<Vec<Vec<Option<Vec<u8>>>>, RowError> {
        wanted.iter().try_for_each(|TableKeys { table, .. }| self.opened(table).map(|_| ()))?;
        let asked: Vec<(String, Vec<String>)> = wanted
            .iter()
            .map(|TableKeys { table, keys }| {
                (table::get(table), keys.iter().map(|key| text::fitted(key).into_owned()).collect())
            })
            .collect();
        self.run(|session| async move {
            let mut statements = Vec::new();
            for (sql, keys) in &asked {
                statements.push((session.statement(sql).await?, keys));
            }
            let answers = statements.iter().map(|(statement, keys)| {
                let client = session.client.clone();
                async move { client.query(statement, &[keys]).await }
            });
            let answers: Vec<Vec<Row>> = in_order(answers).await.into_iter().collect::<Result<_, _>>()?;
            Ok(answers
                .iter()
                .zip(&asked)
                .map(|(rows, (_, keys))| {
                    let found: HashMap<&str, &str> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
                    keys.iter().map(|key| found.get(key.as_str()).map(|body| body.as_bytes().to_vec())).collect()
                })
                .collect())
        })
    }

    fn is_far(&self) -> bool {
        true
    }

    fn write(&mut self, batches: &[TableBatch]) -> Result<(), RowError> {
        if batches.is_empty() {
            return Ok(());
        }
        let revision = Uuid::new_v4();
        let writing = Writing::of(batches, &self.tables, revision)?;
        // Whether it was written is told by the next `open`.
        let mut tables = std::mem::take(&mut self.tables);
        self.run(|session| writing.write(session))?;
        tables.extend(batches.iter().map(|batch| ((batch.table.name, batch.table.version), revision)));
        self.tables = tables;
        Ok(())
    }

    fn activate(&mut self, spec: &TableSpec) -> Result<(), RowError> {
        let revision = self.opened(spec)?;
        let (name, version) = (spec.name, i64::from(spec.version));
        self.run(|session| async move {
            let client = &session.client;
            // Each start says it again: what is so already takes no lock.
            let differs = "SELECT count(*) != 1 OR NOT bool_and(active AND version = $2) FROM row_table \
                           WHERE name = $1 AND (active OR version <= $2)";
            if !client.query_one(differs, &[&name, &version]).await?.get::<_, bool>(0) {
                return Ok(());
            }
            client.batch_execute(BEGIN).await?;
            // Nothing is activated of a table that another process has taken or dropped.
            let own = "WITH own AS (SELECT FROM row_table WHERE name = $1 AND version = $2 AND revision = $3 FOR UPDATE) \
                       SELECT 1 / count(*) FROM own";
            client.execute(own, &[&name, &version, &revision]).await?;
            let active = "UPDATE row_table SET active = (version = $2) WHERE name = $1";
            client.execute(active, &[&name, &version]).await?;
            let older = "DELETE FROM row_table WHERE name = $1 AND version < $2 RETURNING version";
            let older = client.query(older, &[&name, &version]).await?;
            show(&session, name).await?;
            for row in older {
                drop_table(&session, name, row.get(0)).await?;
            }
            client.batch_execute("COMMIT").await
        })?;
        self.tables.retain(|(name, version), _| *name != spec.name || *version >= spec.version);
        Ok(())
    }

    fn discard(&mut self, spec: &TableSpec) -> Result<(), RowError> {
        spec.check_names()?;
        self.tables.remove(&(spec.name, spec.version));
        let (name, version) = (spec.name, i64::from(spec.version));
        self.run(|session| async move {
            let client = &session.client;
            client.batch_execute(BEGIN).await?;
            let gone = "DELETE FROM row_table WHERE name = $1 AND version = $2";
            if client.execute(gone, &[&name, &version]).await? > 0 {
                show(&session, name).await?;
                drop_table(&session, name, version).await?;
            }
            client.batch_execute("COMMIT").await
        })
    }

    fn reader(&self) -> Arc<dyn RowReader> {
        Arc::new(TableReader::over(self.pool.clone()))
    }
}

/// Makes a table.
async fn make(session: &Derived, spec: &TableSpec, revision: Uuid) -> Result<Row, Error> {
    let client = &session.client;
    client.batch_execute(&format!("{BEGIN}; {}", table::create(spec))).await?;
    let known = "INSERT INTO row_table (name, version, indexes, revision) VALUES ($1, $2, $3, $4) \
                 RETURNING indexes, log_id, epoch, position";
    let row = client.query_one(known, &[&spec.name, &i64::from(spec.version), &spec.indexes, &revision]).await?;
    show(session, spec.name).await?;
    let_read(session, &[table::relation(spec.name, i64::from(spec.version))]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(row)
}

/// Whoever may read `row_table` may read these, of those that this role owns.
async fn let_read(session: &Derived, relations: &[String]) -> Result<(), Error> {
    let missing = "SELECT format('GRANT SELECT ON %s TO %s', own.oid::regclass, \
                          CASE may.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(may.grantee)) END) \
                   FROM pg_class AS own, pg_class AS known, aclexplode(known.relacl) AS may \
                   WHERE own.oid = ANY(SELECT to_regclass(name) FROM unnest($1::text[]) AS name) \
                   AND pg_get_userbyid(own.relowner) = current_user AND may.grantee != own.relowner \
                   AND known.oid = to_regclass('row_table') AND may.privilege_type = 'SELECT' \
                   AND NOT EXISTS (SELECT FROM aclexplode(own.relacl) AS has \
                                   WHERE has.grantee = may.grantee AND has.privilege_type = 'SELECT')";
    for row in session.client.query(missing, &[&relations]).await? {
        session.client.batch_execute(row.get(0)).await?;
    }
    Ok(())
}

/// Tables and views of rows that this role does not own, quoted.
pub(crate) async fn of_others(client: &Client, role: &str) -> Result<Vec<String>, Error> {
    let known = client.query("SELECT name, version FROM row_table ORDER BY name, version", &[]).await?;
    let relations = |row: &Row| {
        let name: &str = row.get(0);
        [table::relation(name, row.get(1)), quoted(&table::shown(name))]
    };
    let relations: Vec<String> = known.iter().flat_map(relations).collect();
    let others = "SELECT DISTINCT pg_class.oid::regclass::text FROM pg_class \
                  JOIN unnest($1::text[]) AS name ON pg_class.oid = to_regclass(name) \
                  WHERE pg_get_userbyid(relowner) != $2 ORDER BY 1";
    Ok(client.query(others, &[&relations, &role]).await?.iter().map(|row| row.get(0)).collect())
}

async fn drop_table(session: &Derived, name: &str, version: i64) -> Result<(), Error> {
    // What people have built on it goes with it.
    let drop = format!("DROP TABLE IF EXISTS {} CASCADE", table::relation(name, version));
    session.client.batch_execute(&drop).await
}

/// Lets the view for people show the version that queries read.
async fn show(session: &Derived, name: &str) -> Result<(), Error> {
    let client = &session.client;
    let shown = quoted(&table::shown(name));
    let there = "SELECT attname::text FROM pg_attribute \
                 WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let there: Vec<String> = client.query(there, &[&shown]).await?.iter().map(|row| row.get(0)).collect();
    let queried = client.query_opt(table::QUERIED, &[&name]).await?;
    let queried = queried.map(|row| (row.get::<_, i64>(0), row.get::<_, Vec<String>>(1)));
    let mut sql = String::new();
    // A view can be replaced only by one that has its columns, in their order; what people have built on it stays then.
    let keeps = |indexes: &Vec<String>| table::columns(indexes).starts_with(&there);
    if !queried.as_ref().is_some_and(|(_, indexes)| keeps(indexes)) {
        sql = format!("DROP VIEW IF EXISTS {shown} CASCADE; ");
    }
    if let Some((version, indexes)) = queried {
        sql += &table::show(name, version, &indexes);
    }
    client.batch_execute(&sql).await?;
    let_read(session, &[shown]).await
}

impl fmt::Debug for RowTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowTables").field("schema", &self.schema).finish_non_exhaustive()
    }
}
