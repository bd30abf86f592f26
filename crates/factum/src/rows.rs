//! Reading the rows of a view.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use factum_core::{
    error::RowError,
    ports::{Query, RowReader},
    row::{IndexValue, Row},
    stream::Position,
};
use factum_runtime::views::{Progress, Unreached};
use serde::Serialize;

/// How long a read waits for a position if it does not say.
const WAIT: Duration = Duration::from_secs(2);
/// Rows on a page if the query does not say.
const PAGE: u64 = 50;
/// Rows that are read at once where all are wanted.
const PART: u64 = 10_000;

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The query or the store.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// A row is not of its type any more.
    #[error("a row of {table} does not fit its type ({cause}): raise the view's version")]
    Shape {
        /// The table.
        table: &'static str,
        /// What the reader found.
        cause: String,
    },
    /// The view did not reach the position in time.
    #[error("the view of {table} has not reached position {wanted} within {waited:?}: try again")]
    Late {
        /// The table.
        table: &'static str,
        /// The position waited for.
        wanted: Position,
        /// How long.
        waited: Duration,
    },
    /// The view has stopped.
    #[error("the view of {table} has stopped: {reason}")]
    Stopped {
        /// The table.
        table: &'static str,
        /// Why.
        reason: String,
    },
    /// No service of this app writes these rows.
    #[error("no view of this app writes {0}: add the service that does")]
    NoView(&'static str),
}

/// By the table of [`factum_server::problem`]: what is only late may be asked again.
#[cfg(feature = "http")]
impl From<ReadError> for factum_server::Problem {
    fn from(error: ReadError) -> Self {
        let detail = error.to_string();
        match error {
            ReadError::Late { .. } => Self::unavailable("late", detail).retry_after(1),
            ReadError::Stopped { .. } => Self::unavailable("view_stopped", detail),
            // The disk, or a directory that was moved away: it may come back.
            ReadError::Rows(RowError::Store(_)) => Self::unavailable("rows", detail).retry_after(1),
            ReadError::Rows(_) | ReadError::Shape { .. } | ReadError::NoView(_) => Self::internal("rows", detail),
        }
    }
}

/// The rows of `R`, and a question in the making.
#[derive(Clone)]
pub struct RowsOf<R> {
    reader: Arc<dyn RowReader>,
    progress: Progress,
    after: Option<Position>,
    query: Query,
    marker: PhantomData<fn() -> R>,
}

/// A page of rows.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rows<R> {
    /// In the order asked for.
    pub rows: Vec<R>,
    /// Rows that fit the question, on all pages.
    pub total: u64,
}

impl<R: Row> RowsOf<R> {
    pub(crate) fn new(reader: Arc<dyn RowReader>, progress: Progress) -> Self {
        let query = Query { limit: PAGE, ..Query::default() };
        Self { reader, progress, after: None, query, marker: PhantomData }
    }

    /// Waits, for two seconds at most, until the rows stand for this position: to read one's own write.
    #[must_use]
    pub fn after(mut self, position: Position) -> Self {
        self.after = Some(position);
        self
    }

    /// Only rows whose indexed field (JSON name) has this value.
    #[must_use]
    pub fn equal<T: Serialize + ?Sized>(mut self, field: &str, value: &T) -> Self {
        self.query.equal.push((field.to_owned(), IndexValue::of(value)));
        self
    }

    /// The same, if there is a value to look for.
    #[must_use]
    pub fn equal_if<T: Serialize>(self, field: &str, value: Option<&T>) -> Self {
        match value {
            Some(value) => self.equal(field, value),
            None => self,
        }
    }

    /// Sorted by an indexed field instead of the key.
    #[must_use]
    pub fn order_by(mut self, field: &str) -> Self {
        self.query.order_by = Some(field.to_owned());
        self
    }

    /// Largest first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.query.descending = true;
        self
    }

    /// Which rows of the answer: `offset` are passed over, `limit` at most are answered (50 if not said).
    #[must_use]
    pub fn slice(mut self, offset: u64, limit: u64) -> Self {
        (self.query.offset, self.query.limit) = (offset, limit);
        self
    }

    /// How far the rows are.
    pub fn reached(&self) -> Position {
        self.progress.state(R::TABLE).map_or(Position::START, |state| state.position)
    }

    /// One row.
    ///
    /// # Errors
    /// [`ReadError`]; a row that is not there is `None`.
    pub async fn get(self, key: impl std::fmt::Display) -> Result<Option<R>, ReadError> {
        self.wait().await?;
        let (reader, key) = (self.reader, key.to_string());
        let body = blocking(move || reader.get(R::TABLE, &key)).await?;
        body.map(|body| shaped(&body)).transpose()
    }

    /// Several rows, read together: one answer for each key, in the order of the keys.
    ///
    /// # Errors
    /// [`ReadError`]; a row that is not there is `None`.
    pub async fn many(
        self,
        keys: impl IntoIterator<Item = impl std::fmt::Display>,
    ) -> Result<Vec<Option<R>>, ReadError> {
        self.wait().await?;
        let reader = self.reader;
        let keys: Vec<String> = keys.into_iter().map(|key| key.to_string()).collect();
        let bodies = blocking(move || reader.get_many(R::TABLE, &keys)).await?;
        bodies.into_iter().map(|body| body.map(|body| shaped(&body)).transpose()).collect()
    }

    /// The rows that fit.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn page(self) -> Result<Rows<R>, ReadError> {
        self.wait().await?;
        let (reader, query) = (self.reader, self.query);
        let page = blocking(move || reader.page(R::TABLE, &query)).await?;
        let rows: Result<Vec<R>, ReadError> = page.rows.iter().map(|body| shaped(body)).collect();
        Ok(Rows { rows: rows?, total: page.total })
    }

    /// All rows that fit, by key, whatever order or slice was asked for: read part by part, so that a row that stays is met once,
    /// whatever comes and goes meanwhile. They are in memory together.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn all(self) -> Result<Vec<R>, ReadError> {
        let (mut rows, mut behind) = (Vec::new(), None);
        loop {
            let query =
                Query { behind, order_by: None, descending: false, offset: 0, limit: PART, ..self.query.clone() };
            let part = Self { query, ..self.clone() }.page().await?.rows;
            let is_last = (part.len() as u64) < PART;
            behind = part.last().map(Row::key);
            rows.extend(part);
            if is_last {
                return Ok(rows);
            }
        }
    }

    async fn wait(&self) -> Result<(), ReadError> {
        let table = R::TABLE;
        self.progress.reach(table, self.after, WAIT).await.map_err(|unreached| match unreached {
            Unreached::NoView => ReadError::NoView(table),
            Unreached::Stopped(reason) => ReadError::Stopped { table, reason },
            Unreached::Late => ReadError::Late { table, wanted: self.after.unwrap_or_default(), waited: WAIT },
        })
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, RowError> + Send + 'static,
) -> Result<T, RowError> {
    let ended = |error: tokio::task::JoinError| RowError::Store(error.to_string());
    tokio::task::spawn_blocking(read).await.map_err(ended)?
}

fn shaped<R: Row>(body: &[u8]) -> Result<R, ReadError> {
    serde_json::from_slice(body).map_err(|cause| ReadError::Shape { table: R::TABLE, cause: cause.to_string() })
}
