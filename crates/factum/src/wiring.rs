//! Which technology stands behind which port. No other file of the project names an adapter.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use factum_adapters::{embedded, files, sqlite};
use factum_core::{
    commit::Owners,
    digest_key::DigestKey,
    error::StoreError,
    memory::Memory,
    memory_notes::MemoryNotes,
    memory_rows::MemoryRows,
    memory_snapshots::MemorySnapshots,
    ports::{Backend, Notes, Reader, RowStore, Snapshots},
    upkeep::{About, Copied, Findings, Follow, Moved, Progress},
};
use factum_runtime::committer::Committer;

use crate::app::{LogSizes, OpenError};

/// Where in an app's directory its log is.
const LOG: &str = "log";

/// Where a unit keeps its log, its rows and its snapshots, and the key of its digests.
pub(crate) struct Stores {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) rows: Box<dyn RowStore>,
    pub(crate) snapshots: Arc<dyn Snapshots>,
    pub(crate) notes: Arc<dyn Notes>,
    pub(crate) digest_key: DigestKey,
}

/// One directory: the embedded log, rows in SQLite, and snapshots in files.
pub(crate) fn directory(dir: &Path, sizes: LogSizes) -> Result<Stores, OpenError> {
    let LogSizes { segment_bytes, checkpoint_bytes } = sizes;
    let options = embedded::Options { segment_bytes, checkpoint_bytes, ..embedded::Options::default() };
    let (log, opened) = embedded::open_with(&dir.join(LOG), options)?;
    if let Some(cut) = &opened.cut {
        tracing::warn!(?cut, "the log's last write was cut short by a crash; what was cut is kept aside");
    }
    if !opened.unusable.is_empty() {
        let checkpoints = &opened.unusable;
        tracing::warn!(?checkpoints, "checkpoints could not be used: the start took longer, and nothing is lost");
    }
    // Behind the lock of the log.
    let embedded::digest_key::OpenedKey { key, unkept } = embedded::digest_key::open(dir, &embedded::RealDisk)?;
    if let Some(error) = unkept {
        tracing::warn!(
            %error,
            "the key of digests cannot be kept: behind the next start the body of a command that is sent again may not be \
             compared with the first"
        );
    }
    let rows = sqlite::open(dir)?;
    if rows.keeps_others_out() {
        tracing::warn!("the disk is full: no other process can read the rows until the next start");
    }
    let snapshots: Arc<dyn Snapshots> = match files::open(dir) {
        Ok(files) => Arc::new(files),
        Err(error) => {
            tracing::warn!(%error, "starts take longer");
            Arc::new(MemorySnapshots::new())
        }
    };
    let notes = Arc::new(files::FileNotes::open(dir));
    Ok(Stores { backend: Box::new(log), rows: Box::new(rows), snapshots, notes, digest_key: key })
}

/// Nothing outlives the process.
pub(crate) fn memory(log: Memory) -> Stores {
    let snapshots = Arc::new(MemorySnapshots::new());
    let notes = Arc::new(MemoryNotes::new());
    let rows = Box::new(MemoryRows::default());
    Stores { backend: Box::new(log), rows, snapshots, notes, digest_key: DigestKey::KNOWN }
}

/// The log of a directory, for reading only; also while another process writes it.
pub(crate) fn read_only(dir: &Path) -> Result<Arc<dyn Reader>, OpenError> {
    Ok(embedded::open_read_only(&dir.join(LOG))?)
}

/// The same; `None` if none was ever made.
pub(crate) fn read_only_if_any(dir: &Path) -> Result<Option<Arc<dyn Reader>>, OpenError> {
    Ok(embedded::open_read_only_if_any(&dir.join(LOG))?)
}

/// The log of a directory, which may be the log's own.
fn log_of(dir: &Path) -> PathBuf {
    let below = dir.join(LOG);
    if below.is_dir() { below } else { dir.to_owned() }
}

pub(crate) fn is_open(dir: &Path) -> Result<bool, StoreError> {
    embedded::upkeep::is_open(&log_of(dir))
}

pub(crate) fn about(dir: &Path) -> Result<About, StoreError> {
    embedded::upkeep::about(&log_of(dir))
}

pub(crate) fn verify(dir: &Path, progress: Progress<'_>) -> Result<Findings, StoreError> {
    embedded::upkeep::verify(&log_of(dir), progress)
}

/// A backup has the form of an app's directory, without rows and without the key of digests: whoever gets hold of it must
/// not be able to find out by trying what was sent.
pub(crate) fn backup(dir: &Path, to: &Path, links: bool, progress: Progress<'_>) -> Result<Copied, StoreError> {
    embedded::upkeep::backup(&log_of(dir), &to.join(LOG), links, progress)
}

pub(crate) fn restore(from: &Path, dir: &Path, progress: Progress<'_>) -> Result<Copied, StoreError> {
    // What an earlier restore left unfinished is begun anew.
    let unfinished = |name: &OsStr| name == "log.restoring";
    if fs::read_dir(dir).is_ok_and(|mut there| there.any(|file| file.is_ok_and(|file| !unfinished(&file.file_name()))))
    {
        return Err(embedded::upkeep::not_empty(dir));
    }
    embedded::upkeep::restore(&log_of(from), &dir.join(LOG), progress)
}

pub(crate) fn archive(dir: &Path, to: &Path, keep: usize, progress: Progress<'_>) -> Result<Moved, StoreError> {
    embedded::upkeep::archive(&log_of(dir), to, keep, progress)
}

pub(crate) fn follow(dir: &Path) -> Result<Box<dyn Follow>, StoreError> {
    embedded::upkeep::follow(&log_of(dir))
}

/// The log of a directory, to write to it without a unit. There must be one.
pub(crate) fn committer(dir: &Path) -> Result<Committer, StoreError> {
    let (log, _) = embedded::open(&log_of(dir))?;
    Ok(Committer::new(Box::new(log), Owners::default()))
}
