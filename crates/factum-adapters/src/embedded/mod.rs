//! A unit's store as a log in a directory: the ports [`Backend`](factum_core::ports::Backend) and
//! [`Reader`](factum_core::ports::Reader) over `factum-log`.
//!
//! | promise of the port | how it is kept here |
//! |---|---|
//! | a write is durable on return | the log syncs before `append` returns, unless opened with `Durability::Os` |
//! | a write is whole | all plans of a batch are one frame with one checksum; a torn frame is cut off at the next open |
//! | positions are gapless, versions are the plans' | the log numbers entries itself; it has one writer, by its lock |
//! | nothing is visible before it is durable | readers see the head that `append` publishes after the sync |
//! | after an unknown outcome nothing is written | a failed write or sync is final in the log |
//! | a cell's revision changes with every write | it is the number of the frame that wrote it, counted from 1 |
//! | what `check` allows fits | a frame takes 16 MiB, twice the largest commit, whose bytes are counted generously |
//!
//! What stands where: an entry's stream, kind and source are those of the message, its body is
//! [`factum_core::envelope::binary`]; a cell's key is [`CellKey::to_text`](factum_core::cell::CellKey::to_text).
//!
//! One write takes at most 16 MiB, which is two commits of the largest size: whoever folds commits into a write bounds
//! it.

pub mod digest_key;
mod marks;
mod names;
mod place;
mod reader;
mod store;
pub mod upkeep;

use std::{io::ErrorKind, path::Path, sync::Arc};

use factum_core::{error::StoreError, moving::Marks, ports, stream::Lineage};
pub use factum_log::{Cut, Durability, Opened, Options, RealDisk};
use factum_log::{Log, LogError, Observer};

use place::Place;
use reader::Entries;
pub use store::Embedded;

/// Opens the store in `dir`, or makes one if the directory is missing or empty. Every write is synced.
///
/// # Errors
/// [`StoreError::Permanent`] if another process has it open or the directory holds something else,
/// [`StoreError::Corrupt`] if it is damaged, [`StoreError::Full`] and [`StoreError::Transient`] as the disk says.
pub fn open(dir: &Path) -> Result<(Embedded, Opened), StoreError> {
    open_with(dir, Options::default())
}

/// Opens the store in `dir` with options: the durability, the length of a segment, the disk.
///
/// # Errors
/// As [`open`].
pub fn open_with(dir: &Path, options: Options) -> Result<(Embedded, Opened), StoreError> {
    // Before a log is made, and again behind its lock.
    marks::get(dir, &*options.disk)?.check(&marks::place(dir))?;
    let (store, opened) = opened(dir, options)?;
    ports::Backend::marks(&store).check(&marks::place(dir))?;
    Ok((store, opened))
}

/// Opens the store in `dir` for a move, whatever marks it bears. With `new`, one is made if there is none: of that lineage, and
/// marked as arriving from there.
///
/// # Errors
/// As [`open`]; without `new`, [`StoreError::Permanent`] if there is none.
pub fn open_moving(dir: &Path, mut options: Options, new: Option<(Lineage, &str)>) -> Result<Embedded, StoreError> {
    match new {
        None => _ = open_read_only(dir)?,
        Some((lineage, from)) => {
            let is_there = open_read_only_if_any(dir)?.is_some();
            if !is_there && !marks::get(dir, &*options.disk)?.takes_in() {
                options.disk.create_dir(dir).map_err(|error| marks::unkept(dir, &error))?;
                // A log without it would be a whole one, and empty.
                marks::put(dir, &*options.disk, &Marks { arriving: Some(from.to_owned()), moved: None })?;
            }
            options.lineage = Some(factum_log::Lineage { log_id: lineage.log_id, epoch: lineage.epoch });
        }
    }
    Ok(opened(dir, options)?.0)
}

/// What is noted of a move in `dir`; nothing if there is no such directory.
///
/// # Errors
/// [`StoreError::Permanent`] if the note cannot be read.
pub fn marks(dir: &Path) -> Result<Marks, StoreError> {
    marks::get(dir, &RealDisk)
}

/// Refuses a store that does not take in what stands elsewhere, or was whole once, or is being filled now.
///
/// # Errors
/// [`StoreError::Permanent`].
pub fn check_arriving(dir: &Path) -> Result<(), StoreError> {
    let marks = marks(dir)?;
    if !marks.takes_in() || marks.moved.is_some() {
        return Err(StoreError::Permanent(format!("{} is a whole store: it is not removed", marks::place(dir))));
    }
    if upkeep::is_open(dir)? {
        return Err(StoreError::Permanent(format!("{} is being filled: stop that first", marks::place(dir))));
    }
    Ok(())
}

/// Removes a store that takes in what stands elsewhere, and was never whole.
///
/// # Errors
/// As [`check_arriving`]; [`StoreError::Transient`] if something cannot be removed.
pub fn remove_arriving(dir: &Path) -> Result<(), StoreError> {
    check_arriving(dir)?;
    let cannot = |error: std::io::Error| StoreError::Transient(format!("cannot remove {}: {error}", dir.display()));
    // The note goes last: without it what is left would be a whole store.
    for file in std::fs::read_dir(dir).map_err(cannot)? {
        let file = file.map_err(cannot)?;
        if file.file_name() != factum_log::NOTE {
            std::fs::remove_file(file.path()).map_err(cannot)?;
        }
    }
    marks::put(dir, &RealDisk, &Marks::default())?;
    std::fs::remove_dir(dir).map_err(cannot)
}

fn opened(dir: &Path, options: Options) -> Result<(Embedded, Opened), StoreError> {
    let (durability, disk) = (options.durability, options.disk.clone());
    let (log, opened) = Log::open(dir, options).map_err(store_error)?;
    let marks = marks::get(dir, &*disk)?;
    Ok((Embedded::new(log, durability, Place::of(dir), (dir.to_owned(), disk, marks)), opened))
}

/// Reads the store in `dir` as it is now, also while another process writes it. What is written later needs another
/// open.
///
/// # Errors
/// [`StoreError::Permanent`] if there is no store in `dir`; else as [`open`].
pub fn open_read_only(dir: &Path) -> Result<Arc<dyn ports::Reader>, StoreError> {
    let observer = Observer::open(dir, Arc::new(RealDisk)).map_err(|error| read_error(dir, error))?;
    Ok(Arc::new(Entries::new(observer.reader())))
}

/// The same; `None` if there is no store in `dir`, also because a crash came before the first one was made.
///
/// # Errors
/// As [`open`].
pub fn open_read_only_if_any(dir: &Path) -> Result<Option<Arc<dyn ports::Reader>>, StoreError> {
    match Observer::open(dir, Arc::new(RealDisk)) {
        Ok(observer) => Ok(Some(Arc::new(Entries::new(observer.reader())))),
        Err(error) if no_store(dir, &error).is_some() => Ok(None),
        Err(error) => Err(store_error(error)),
    }
}

/// The port's error for somebody who only reads, and who may have named a wrong directory.
fn read_error(dir: &Path, error: LogError) -> StoreError {
    let Some(problem) = no_store(dir, &error) else { return store_error(error) };
    let dir = dir.display();
    StoreError::Permanent(format!(
        "{dir} {problem}: name the directory of a store, or start the app on it, which makes one"
    ))
}

/// Whether there is just no store in `dir`, and how that is.
fn no_store(dir: &Path, error: &LogError) -> Option<&'static str> {
    match error {
        LogError::Io { source, file, .. } if source.kind() == ErrorKind::NotFound && file == dir => {
            Some("does not exist")
        }
        LogError::NotALog { .. } => Some("holds no store"),
        _ => None,
    }
}

/// The port's error, by what the caller can do.
fn store_error(error: LogError) -> StoreError {
    let sentence = error.to_string();
    match error {
        LogError::Full => StoreError::Full(sentence),
        LogError::Failed => StoreError::OutcomeUnknown(sentence),
        LogError::Damaged { .. } => StoreError::Corrupt(sentence),
        LogError::TooLarge { .. } => StoreError::Unfit(sentence),
        LogError::Io { .. } => StoreError::Transient(sentence),
        _ => StoreError::Permanent(sentence),
    }
}

fn lineage(lineage: factum_log::Lineage) -> Lineage {
    Lineage { log_id: lineage.log_id, epoch: lineage.epoch }
}
