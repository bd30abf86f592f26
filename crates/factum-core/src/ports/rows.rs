//! The port of read models: typed rows in tables, each table with the cursor up to which it was built.

use std::sync::Arc;

use crate::{error::RowError, row::IndexValue, stream::Cursor};

/// A table of one view at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name; queries use it without the version.
    pub name: &'static str,
    /// The view's version; each has rows of its own.
    pub version: u32,
    /// JSON names of the indexed fields.
    pub indexes: &'static [&'static str],
}

/// One row's change.
#[derive(Clone, Debug)]
pub struct RowChange {
    /// The row's key.
    pub key: String,
    /// Its new body (JSON) and the values of the indexed fields; `None` removes it.
    pub row: Option<(Vec<u8>, Vec<IndexValue>)>,
}

/// All changes of one table in a batch, with the cursor behind them.
#[derive(Clone, Debug)]
pub struct TableBatch {
    /// The table.
    pub table: TableSpec,
    /// Each key at most once.
    pub changes: Vec<RowChange>,
    /// What the rows stand for now.
    pub cursor: Cursor,
}

/// The writing side; one owner, the view loop.
///
/// An implementation keeps these promises:
///
/// - `write` is one transaction: rows and cursors change together, for all tables of the batch, or not at all.
/// - A row or cursor that was written is read back by the next `get`.
/// - Queries see the version that was last `activate`d, or the only one there is, never a mixture.
pub trait RowStore: Send {
    /// Makes the table of this version if it is missing; answers how far it was built.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn open(&mut self, table: &TableSpec) -> Result<Option<Cursor>, RowError>;

    /// A row's body.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn get(&mut self, table: &TableSpec, key: &str) -> Result<Option<Vec<u8>>, RowError>;

    /// Writes rows and cursors in one transaction.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn write(&mut self, batches: &[TableBatch]) -> Result<(), RowError>;

    /// Queries read this version from now on; older ones are dropped.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn activate(&mut self, table: &TableSpec) -> Result<(), RowError>;

    /// Removes the table of this version with its cursor, so that it is built anew.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn discard(&mut self, table: &TableSpec) -> Result<(), RowError>;

    /// The reading side.
    fn reader(&self) -> Arc<dyn RowReader>;
}

/// What rows to answer, all conditions together.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Indexed field = value.
    pub equal: Vec<(String, IndexValue)>,
    /// Indexed field from (inclusive) and to (exclusive).
    pub range: Option<(String, Option<IndexValue>, Option<IndexValue>)>,
    /// Indexed field to sort by, else the key.
    pub order_by: Option<String>,
    /// Largest first.
    pub descending: bool,
    /// Rows to pass over.
    pub offset: u64,
    /// Rows to answer at most.
    pub limit: u64,
}

/// A page of rows.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Bodies (JSON), in order.
    pub rows: Vec<Vec<u8>>,
    /// Rows that fit the conditions, on all pages.
    pub total: u64,
}

/// The reading side; usable from any thread. Calls block: keep them off an async executor.
pub trait RowReader: Send + Sync {
    /// A row's body.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn get(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>, RowError>;

    /// Rows that fit a query.
    ///
    /// # Errors
    /// [`RowError::NotIndexed`] for a field without index, [`RowError::Store`] if the store fails.
    fn page(&self, table: &str, query: &Query) -> Result<Page, RowError>;
}
