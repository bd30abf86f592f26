//! The reading side: each question is one statement, so that what it sees is of one moment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use factum_core::{
    error::RowError,
    ports::{Page, Query, RowReader},
    stream::Cursor,
};
use tokio_postgres::{Error, Row, error::SqlState, types::ToSql};

use super::{
    super::{
        pool::{Derived, Pool},
        text,
    },
    row_error,
    table::{self, Value},
};

/// How often a question is asked anew because another version has become active meanwhile.
const TURNS: usize = 8;

/// The version that queries of a table read, and its indexes.
type Queried = (i64, Vec<String>);

/// A reader of the rows.
pub(super) struct TableReader {
    pool: Arc<Pool<Derived>>,
    /// As it was found last; an answer says whether it is so still.
    queried: Mutex<HashMap<String, Queried>>,
}

impl TableReader {
    pub(super) fn over(pool: Arc<Pool<Derived>>) -> Self {
        Self { pool, queried: Mutex::default() }
    }

    /// Asks of the version that queries read; `None` if there is no such table.
    fn ask(
        &self,
        name: &str,
        question: impl Fn(&Queried) -> Result<(String, Vec<Value>), RowError>,
    ) -> Result<Option<Row>, RowError> {
        for _ in 0..TURNS {
            let known = self.lock().get(name).cloned();
            let Some(queried) = known.map_or_else(|| self.look_up(name), |known| Ok(Some(known)))? else {
                return Ok(None);
            };
            let question = question(&queried);
            let (sql, values) = match question {
                Ok(question) => question,
                // It may be a field of the version that is active by now.
                Err(error) => match self.look_up(name)? {
                    Some(now) if now != queried => continue,
                    _ => return Err(error),
                },
            };
            let owned = name.to_owned();
            let run = |session: Derived| async move { answer(&session, &sql, &owned, &values).await };
            let row = self.pool.run(run).map_err(row_error)?;
            match row {
                Some(row) if row.get::<_, Option<i64>>(0) == Some(queried.0) => return Ok(Some(row)),
                _ => _ = self.lock().remove(name),
            }
        }
        Err(RowError::Store(format!("the active version of {name} changes all the time: try again")))
    }

    fn look_up(&self, name: &str) -> Result<Option<Queried>, RowError> {
        let owned = name.to_owned();
        let row = self.pool.run(|session| async move {
            let statement = session.statement(table::QUERIED).await?;
            session.client.query_opt(&statement, &[&owned]).await
        });
        let queried = row.map_err(row_error)?.map(|row| (row.get(0), row.get(1)));
        match &queried {
            Some(queried) => self.lock().insert(name.to_owned(), queried.clone()),
            None => self.lock().remove(name),
        };
        Ok(queried)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Queried>> {
        self.queried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer; `None` if the table is gone.
async fn answer(session: &Derived, sql: &str, name: &str, values: &[Value]) -> Result<Option<Row>, Error> {
    let asked = async {
        let statement = session.statement(sql).await?;
        let values = values.iter().map(|value| match value {
            Value::Texts(texts) => texts as &(dyn ToSql + Sync),
            Value::Text(text) => text,
            Value::Number(number) => number,
        });
        let values: Vec<_> = std::iter::once(&name as &(dyn ToSql + Sync)).chain(values).collect();
        session.client.query_one(&statement, &values).await
    };
    match asked.await {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        asked => asked.map(Some),
    }
}

impl RowReader for TableReader {
    fn stand(&self, names: &[&str]) -> Result<Vec<Option<Cursor>>, RowError> {
        let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let rows = self.pool.run(|session| async move {
            let statement = session.statement(table::STAND).await?;
            session.client.query(&statement, &[&owned]).await
        });
        let rows = rows.map_err(row_error)?;
        let found: HashMap<&str, Option<Cursor>> = rows.iter().map(|row| (row.get(0), table::cursor(row, 1))).collect();
        Ok(names.iter().map(|name| found.get(name).copied().flatten()).collect())
    }

    fn get(&self, name: &str, key: &str) -> Result<Option<Vec<u8>>, RowError> {
        Ok(self.get_many(name, &[key.to_owned()])?.pop().flatten())
    }

    fn get_many(&self, name: &str, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, RowError> {
        let row = self.ask(name, |(version, _)| {
            let keys = keys.iter().map(|key| text::fitted(key).into_owned());
            Ok((table::get_queried(name, *version), vec![Value::Texts(keys.collect())]))
        })?;
        let Some(row) = row else { return Ok(vec![None; keys.len()]) };
        let bodies = row.get::<_, Vec<Option<&str>>>(1).into_iter();
        Ok(bodies.map(|body| body.map(|body| body.as_bytes().to_vec())).collect())
    }

    fn page(&self, name: &str, query: &Query) -> Result<Page, RowError> {
        let row = self.ask(name, |(version, indexed)| {
            // Only names that are columns get into SQL.
            query.check_indexes(name, indexed)?;
            Ok(table::page(name, *version, query))
        })?;
        Ok(row.map_or_else(Page::default, |row| {
            let rows = row.get::<_, Vec<&str>>(1).into_iter().map(|body| body.as_bytes().to_vec()).collect();
            Page { rows, total: row.get::<_, i64>(2) as u64 }
        }))
    }
}
