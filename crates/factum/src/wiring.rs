//! Which technology stands behind which port. No other file of the project names an adapter.

use std::{path::Path, sync::Arc};

use factum_adapters::{embedded, sqlite};
use factum_core::{
    memory::Memory,
    memory_rows::MemoryRows,
    ports::{Backend, Reader, RowStore},
};

use crate::app::OpenError;

/// Where a unit keeps its log and its rows.
pub(crate) struct Stores {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) rows: Box<dyn RowStore>,
}

/// One directory: the embedded log, and rows in SQLite.
pub(crate) fn directory(dir: &Path) -> Result<Stores, OpenError> {
    let (log, opened) = embedded::open(&dir.join("log"))?;
    if let Some(cut) = &opened.cut {
        tracing::warn!(?cut, "the log's last write was cut short by a crash; what was cut is kept aside");
    }
    let rows = sqlite::open(dir)?;
    Ok(Stores { backend: Box::new(log), rows: Box::new(rows) })
}

/// Nothing outlives the process.
pub(crate) fn memory(log: Memory) -> Stores {
    Stores { backend: Box::new(log), rows: Box::new(MemoryRows::default()) }
}

/// The log of a directory, for reading only; also while another process writes it.
pub(crate) fn read_only(dir: &Path) -> Result<Arc<dyn Reader>, OpenError> {
    Ok(embedded::open_read_only(&dir.join("log"))?)
}
