//! Which technology stands behind which port. No other file of the project names an adapter.

use std::{path::Path, sync::Arc};

use factum_adapters::{embedded, files, sqlite};
use factum_core::{
    memory::Memory,
    memory_rows::MemoryRows,
    memory_snapshots::MemorySnapshots,
    ports::{Backend, Reader, RowStore, Snapshots},
};

use crate::app::OpenError;

/// Where a unit keeps its log, its rows and its snapshots.
pub(crate) struct Stores {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) rows: Box<dyn RowStore>,
    pub(crate) snapshots: Arc<dyn Snapshots>,
}

/// One directory: the embedded log, rows in SQLite, and snapshots in files.
pub(crate) fn directory(dir: &Path) -> Result<Stores, OpenError> {
    let (log, opened) = embedded::open(&dir.join("log"))?;
    if let Some(cut) = &opened.cut {
        tracing::warn!(?cut, "the log's last write was cut short by a crash; what was cut is kept aside");
    }
    let rows = sqlite::open(dir)?;
    let snapshots: Arc<dyn Snapshots> = match files::open(dir) {
        Ok(files) => Arc::new(files),
        Err(error) => {
            tracing::warn!(%error, "starts take longer");
            Arc::new(MemorySnapshots::new())
        }
    };
    Ok(Stores { backend: Box::new(log), rows: Box::new(rows), snapshots })
}

/// Nothing outlives the process.
pub(crate) fn memory(log: Memory) -> Stores {
    let snapshots = Arc::new(MemorySnapshots::new());
    Stores { backend: Box::new(log), rows: Box::new(MemoryRows::default()), snapshots }
}

/// The log of a directory, for reading only; also while another process writes it.
pub(crate) fn read_only(dir: &Path) -> Result<Arc<dyn Reader>, OpenError> {
    Ok(embedded::open_read_only(&dir.join("log"))?)
}
