//! Snapshots as files, one each: the port [`Snapshots`] over a directory. And notes, which are smaller still.
//!
//! | promise of the port | how it is kept here |
//! |---|---|
//! | whole or nothing | written beside and renamed; a checksum over name and content, because nothing is synced |
//! | a later `put` replaces | one file for each name; of two puts at once either may win |
//! | unreadable is nothing | a file whose checksum does not fit is passed over, and replaced by the next `put` |
//! | removed is gone | the file is |
//! | names are told apart | a file is called after its name's 128-bit hash; the checksum covers the name itself |
//!
//! Why not a database: each file is whole or thrown away by itself, there is nothing to repair, and nobody waits for
//! anybody. Everything in the directory is derived: to start anew, remove it, also under a running program.

mod notes;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use factum_core::{
    ports::{SnapshotError, Snapshots},
    snapshot::Snapshot,
    stream::{Lineage, Position},
};
pub use notes::FileNotes;
use xxhash_rust::xxh3::xxh3_128;

/// The directory's name in its directory.
pub const DIRECTORY: &str = "snapshots";
/// How the files' names end; what is called otherwise is none of ours.
const ENDING: &str = "snapshot";
/// How the names of files end that are being written.
const UNFINISHED: &str = "unfinished";
/// As much of a file as tells its place.
const PLACE_BYTES: u64 = 64;

/// Snapshots in a directory.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    written: AtomicU64,
}

/// Opens the snapshots in `dir`, or makes their directory if it is missing.
///
/// # Errors
/// [`SnapshotError::Store`] if the directory cannot be made.
pub fn open(dir: &Path) -> Result<Files, SnapshotError> {
    let dir = dir.join(DIRECTORY);
    fs::create_dir_all(&dir).map_err(|error| failed("made", &dir, &error))?;
    Ok(Files { dir, written: AtomicU64::new(0) })
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{:032x}.{ENDING}", xxh3_128(name.as_bytes())))
    }
}

impl Snapshots for Files {
    fn get(&self, name: &str) -> Result<Option<Snapshot>, SnapshotError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Snapshot::unseal(name, &bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    fn put(&self, name: &str, snapshot: Snapshot) -> Result<(), SnapshotError> {
        SnapshotError::check(&snapshot)?;
        let path = self.path(name);
        let unfinished = path.with_extension(format!("{}.{UNFINISHED}", self.written.fetch_add(1, Ordering::Relaxed)));
        let write = || {
            // Whoever removed the directory wanted it empty.
            fs::create_dir_all(&self.dir)?;
            fs::write(&unfinished, snapshot.seal(name))?;
            fs::rename(&unfinished, &path)
        };
        write().map_err(|error| {
            _ = fs::remove_file(&unfinished);
            failed("written", &path, &error)
        })
    }

    fn remove(&self, name: &str) -> Result<(), SnapshotError> {
        gone(&self.path(name))
    }

    fn retain(&self, lineage: Lineage, head: Position) -> Result<(), SnapshotError> {
        let unlisted = |error| failed("listed", &self.dir, &error);
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(unlisted)?,
        };
        for entry in entries {
            let path = entry.map_err(unlisted)?.path();
            let stays = match path.extension().and_then(OsStr::to_str) {
                Some(ENDING) => place(&path)
                    .map_err(|error| failed("read", &path, &error))?
                    .is_some_and(|at| at.lineage == lineage && at.position <= head),
                // Left behind by a program that was killed.
                Some(UNFINISHED) => false,
                _ => true,
            };
            if !stays {
                gone(&path)?;
            }
        }
        Ok(())
    }
}

fn place(path: &Path) -> std::io::Result<Option<factum_core::stream::Cursor>> {
    let mut start = Vec::new();
    File::open(path)?.take(PLACE_BYTES).read_to_end(&mut start)?;
    Ok(Snapshot::place(&start))
}

fn gone(path: &Path) -> Result<(), SnapshotError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("removed", path, &error)),
        _ => Ok(()),
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> SnapshotError {
    SnapshotError::Store(format!("{} cannot be {what}: {error}", path.display()))
}
