//! Rows of read models in the unit's schema: the ports [`RowStore`](factum_core::ports::RowStore) and [`RowReader`].
//!
//! | promise of the port | how it is kept here |
//! |---|---|
//! | rows and cursors change together or not at all | one transaction for all tables of a batch |
//! | what was written is read back by the next `get` | the store has one session |
//! | queries see one version, never a mixture | one statement reads the version and its table |
//! | other indexes at the same version are refused | `row_table` keeps the declaration that a table was made with |
//! | rows are only moved on from where they stood | each write counts the revision of `row_table` up from the one that this store knows, and divides by zero if it is another |
//! | behind a failed write `open` tells where they stand | it waits for the row that a lost session may still be writing |
//!
//! ```text
//! row_table    name, version, indexes, active, revision, log_id, epoch, position      one row per table and version
//! orders_v3    key, body, for each indexed field <field>_text and <field>_number          and an index each
//! orders       the same of the version that queries read, body as JSONB: a view, for people
//! ```
//!
//! Why the revision, and not the term of who leads: rows may stand beside a log that is not in this database. What is written is
//! right if the rows stand where it was computed from, whoever writes it, since views are pure; and so a commit whose answer was
//! lost needs no looking up.
//!
//! `body` is `json`, which keeps the text as it was written: JSONB would order fields anew, spell numbers out and refuse U+0000.
//!
//! A batch is two round trips, whatever its size: one reads all rows that it needs, the other writes. Statements of a batch go
//! to the server behind each other, none waits for another's answer. A commit does not wait for the disk: a server that crashes
//! may take the last batches away, rows with their cursor, and the view loop writes them again from the log.

mod batch;
mod reader;
mod store;
mod table;

use std::sync::Arc;

use factum_core::{
    error::{RowError, StoreError},
    ports::RowReader,
};
use reader::TableReader;
pub use store::RowTables;
pub(super) use store::of_others;

use super::{Options, pool::Pool};

/// Opens the rows of a unit in its schema, which is made if it is missing. The URL is `postgres://user:password@host:port/database`.
///
/// # Errors
/// [`RowError::Store`] if the server is away, or for what a person must mend. No error holds the password.
pub fn open(url: &str, options: Options) -> Result<RowTables, RowError> {
    RowTables::open(url, &options)
}

/// The statement that drops a table, and all that stands on it.
pub(super) fn dropped(name: &str, version: i64) -> String {
    format!("DROP TABLE IF EXISTS {} CASCADE; ", table::relation(name, version))
}

/// The rows of a unit that another process writes, for reading only.
///
/// # Errors
/// [`RowError::Store`] if the server is away, or the schema is not there or of another version.
pub fn open_read_only(url: &str) -> Result<Arc<dyn RowReader>, RowError> {
    let pool = Pool::of_schema_as_it_is(url, &Options::default()).map_err(row_error)?;
    Ok(Arc::new(TableReader::over(Arc::new(pool))))
}

fn row_error(error: StoreError) -> RowError {
    RowError::Store(error.to_string())
}
