//! Looking after a store: what the log tells and does for its operator, in the words of the core.

use std::{
    fs,
    path::{self, Path},
    sync::Arc,
};

use factum_core::{
    error::StoreError,
    ports::Reader,
    stream::Position,
    upkeep::{About, Copied, Findings, Follow, Moved, Place, Progress, Segment, StoredFile},
};
use factum_log::{Damage, FileInfo, LogError, Observer, RealDisk, SegmentInfo};

use super::{lineage, read_error, reader::Entries, store_error};

/// Whether somebody has the store in `dir` open for writing, at this moment.
///
/// # Errors
/// As [`super::open_read_only`].
pub fn is_open(dir: &Path) -> Result<bool, StoreError> {
    factum_log::is_open(dir, &RealDisk).map_err(|error| read_error(dir, error))
}

/// What the store in `dir` consists of, also beside a running process and of a backup.
///
/// # Errors
/// As [`super::open_read_only`].
pub fn about(dir: &Path) -> Result<About, StoreError> {
    let info = factum_log::info(dir, Arc::new(RealDisk)).map_err(|error| read_error(dir, error))?;
    let file = |info: FileInfo| StoredFile { file: info.file, bytes: info.bytes };
    let segment = |info: SegmentInfo| Segment {
        file: info.file,
        first: Position(info.first),
        epoch: info.epoch,
        bytes: info.bytes,
        stored_bytes: info.stored_bytes,
        is_archived: info.is_archived,
    };
    Ok(About {
        dir: dir.to_owned(),
        lineage: lineage(info.lineage),
        head: Position(info.entries),
        streams: info.streams,
        cells: info.cells,
        bytes: info.bytes,
        is_closed: info.is_closed,
        tail_bytes: info.tail_bytes,
        archive: info.archive,
        segments: info.segments.into_iter().map(segment).collect(),
        checkpoints: info.checkpoints.into_iter().map(file).collect(),
        cuts: info.cuts.into_iter().map(file).collect(),
    })
}

/// Reads all of the store in `dir`, also beside a running process and of a backup. `progress` hears bytes.
///
/// # Errors
/// As [`super::open_read_only`]; [`StoreError::Corrupt`] only if the damage leaves no order to read the rest in.
pub fn verify(dir: &Path, progress: Progress<'_>) -> Result<Findings, StoreError> {
    let report = factum_log::verify(dir, Arc::new(RealDisk), progress).map_err(|error| read_error(dir, error))?;
    let place = |damage: Damage| Place { file: damage.file, offset: damage.offset, what: damage.what };
    Ok(Findings {
        dir: dir.to_owned(),
        lineage: lineage(report.lineage),
        head: Position(report.entries),
        streams: report.streams,
        cells: report.cells,
        segments: report.segments as u64,
        bytes: report.bytes,
        unfinished: report.unfinished.map(place),
        checkpoints: report.checkpoints as u64,
        unusable: report.unusable.into_iter().map(place).collect(),
        damage: report.damage.into_iter().map(place).collect(),
    })
}

/// Copies the store in `dir` to `to`, as it is now, also beside a running process; into an earlier backup of it only
/// what is new. With `links`, sealed segments are hard links where the file system allows it. `progress` hears segments.
///
/// # Errors
/// As [`super::open_read_only`]; [`StoreError::Permanent`] if `to` holds anything else, [`StoreError::Full`].
pub fn backup(dir: &Path, to: &Path, links: bool, progress: Progress<'_>) -> Result<Copied, StoreError> {
    if fs::canonicalize(to).is_ok_and(|to| fs::canonicalize(dir).is_ok_and(|dir| dir == to)) {
        let to = to.display();
        return Err(StoreError::Permanent(format!("{to} is what is to be backed up: name another directory")));
    }
    let copied = factum_log::backup(dir, to, links, Arc::new(RealDisk), &mut |done, all| {
        progress(done as u64, all as u64);
    });
    match copied {
        Ok(done) => Ok(copy(to, done)),
        Err(LogError::NotALog { dir: named }) if named == to => Err(StoreError::Permanent(format!(
            "{} holds something that is no backup: name a new directory, or that of an earlier backup",
            to.display()
        ))),
        Err(LogError::Locked { dir: named }) if named == to => Err(StoreError::Permanent(format!(
            "{} is in use: another backup is being written there, or an app runs on it; wait, or name another directory",
            to.display()
        ))),
        Err(error) => Err(read_error(dir, error)),
    }
}

/// Makes a store in `dir`, which must be missing or empty, of the backup in `from`. It gets an epoch of its own.
/// `progress` hears segments.
///
/// # Errors
/// As [`super::open_read_only`]; [`StoreError::Permanent`] if `dir` is not empty, [`StoreError::Full`].
pub fn restore(from: &Path, dir: &Path, progress: Progress<'_>) -> Result<Copied, StoreError> {
    let restored =
        factum_log::restore(from, dir, Arc::new(RealDisk), &mut |done, all| progress(done as u64, all as u64));
    match restored {
        Ok(done) => Ok(copy(dir, done)),
        Err(LogError::NotALog { dir: named }) if named == dir => Err(not_empty(dir)),
        Err(error) => Err(read_error(from, error)),
    }
}

/// Moves sealed segments of the store in `dir`, but the newest `keep`, compressed to the directory `to`, where they are
/// still read, also by a running process. `progress` hears segments.
///
/// # Errors
/// [`StoreError::Permanent`] if there is no store in `dir`, or `to` is another store's archive or not the one that it
/// has; [`StoreError::Full`].
pub fn archive(dir: &Path, to: &Path, keep: usize, progress: Progress<'_>) -> Result<Moved, StoreError> {
    // The store remembers it, and must find it from anywhere.
    let whole = |path: &Path| path::absolute(path).map_err(|error| cannot("find", path, &error));
    let (dir, to) = (&whole(dir)?, whole(to)?);
    let to = match about(dir)?.archive {
        None => to,
        Some(there) if fs::canonicalize(&to).is_ok_and(|to| fs::canonicalize(&there).is_ok_and(|it| it == to)) => there,
        Some(other) => {
            return Err(StoreError::Permanent(format!(
                "{} has its archive in {}, and a store has one only: name that one",
                dir.display(),
                other.display()
            )));
        }
    };
    let mut hear = |done: usize, all: usize| progress(done as u64, all as u64);
    match factum_log::archive(dir, &to, keep, Arc::new(RealDisk), &mut hear) {
        Ok(moved) => Ok(Moved {
            archive: to,
            segments: moved.segments as u64,
            from_bytes: moved.from_bytes,
            to_bytes: moved.to_bytes,
        }),
        Err(LogError::Locked { .. }) => Err(StoreError::Permanent(format!(
            "segments of {} are being moved already: wait until that is through, then start again",
            dir.display()
        ))),
        Err(error) => Err(read_error(dir, error)),
    }
}

/// Opens the store in `dir` to follow what another process writes.
///
/// # Errors
/// As [`super::open_read_only`].
pub fn follow(dir: &Path) -> Result<Box<dyn Follow>, StoreError> {
    let observer = Observer::open(dir, Arc::new(RealDisk)).map_err(|error| read_error(dir, error))?;
    let reader = Arc::new(Entries::new(observer.reader()));
    Ok(Box::new(Following { observer, reader }))
}

struct Following {
    observer: Observer,
    reader: Arc<Entries>,
}

impl Follow for Following {
    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as Arc<dyn Reader>
    }

    fn look(&mut self) -> Result<Position, StoreError> {
        self.observer.refresh().map(Position).map_err(store_error)
    }
}

/// The refusal to restore over something.
pub fn not_empty(dir: &Path) -> StoreError {
    StoreError::Permanent(format!(
        "{} is not empty, and a restore never writes over anything: name a directory that is new or empty",
        dir.display()
    ))
}

fn copy(dir: &Path, copied: factum_log::Copied) -> Copied {
    Copied {
        dir: dir.to_owned(),
        lineage: lineage(copied.lineage),
        original: lineage(copied.original),
        head: Position(copied.entries),
        segments: copied.segments as u64,
        kept: copied.kept as u64,
        linked: copied.linked as u64,
        copied_bytes: copied.copied_bytes,
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Permanent(format!("cannot {what} {}: {error}; check the path and its permissions", path.display()))
}
