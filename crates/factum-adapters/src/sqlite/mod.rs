//! Rows of read models in one SQLite file: the ports [`RowStore`] and
//! [`RowReader`](factum_core::ports::RowReader) over `rusqlite`.
//!
//! | promise of the port | how it is kept here |
//! |---|---|
//! | rows and cursors change together or not at all | one `IMMEDIATE` transaction for all tables of a batch |
//! | what was written is read back by the next `get` | reads and writes of the store share one connection |
//! | queries see one version, never a mixture | one read transaction finds the version and reads its table |
//! | a table is there once it was opened | or, on a full disk, from the first write on; until then nothing was built for it |
//! | other indexes at the same version are refused | `_tables` keeps the declaration that a table was made with |
//!
//! The file is in WAL mode, so that readers and the writer do not wait for each other, with `synchronous = NORMAL`: a loss of
//! power may take the last batches, rows with their cursor, and the view loop writes them again from the log.
//!
//! On a full disk the file opens all the same, if it has to without SQLite's file of shared memory (`-shm`); other processes
//! are then kept out of it until it is opened again. What cannot be written is refused, and can be tried again.
//!
//! ```text
//! _tables      name, version, indexes, active, log_id, epoch, position      one row per table and version
//! orders_v3    _key, _body, one column per indexed field                    and an index `orders_v3.<field>` each
//! ```
//!
//! SQL by hand reads `_body` as JSON. Everything in the file is derived: to start anew, stop and remove it.

mod connection;
mod reader;
mod store;

use std::path::Path;

use factum_core::error::RowError;
#[cfg(doc)]
use factum_core::ports::RowStore;

pub use store::Rows;

/// The file's name in its directory.
pub const FILE: &str = "rows.sqlite";

/// Opens the rows in `dir`, or makes the directory and the file if they are missing.
///
/// # Errors
/// [`RowError::Store`] if the file cannot be opened, is damaged or holds something else; it says what to do.
pub fn open(dir: &Path) -> Result<Rows, RowError> {
    Rows::open(&dir.join(FILE))
}
