//! What is noted of a move, as the log's note: a file beside the segments, replaced whole and synced.

use std::{io, path::Path};

use factum_core::{error::StoreError, moving::Marks};
use factum_log::{Disk, NOTE, UNFINISHED_NOTE, disk::Access};

/// A note of more bytes is none of ours: it holds two places.
const MOST_BYTES: u64 = 64 << 10;

/// What is noted; nothing if there is no such directory.
pub(super) fn get(dir: &Path, disk: &dyn Disk) -> Result<Marks, StoreError> {
    let path = dir.join(NOTE);
    let read = || -> io::Result<Vec<u8>> {
        let file = disk.open(&path, Access::Read)?;
        let mut bytes = vec![0; file.size()?.min(MOST_BYTES) as usize];
        let read = file.read_full(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    };
    let unreadable = |problem: &dyn std::fmt::Display| {
        StoreError::Permanent(format!(
            "{} says whether this store has moved, and cannot be read ({problem}): look into it before the store is used",
            path.display()
        ))
    };
    match read() {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| unreadable(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Marks::default()),
        Err(error) => Err(unreadable(&error)),
    }
}

/// Notes it, durably on return.
pub(super) fn put(dir: &Path, disk: &dyn Disk, marks: &Marks) -> Result<(), StoreError> {
    let write = || -> io::Result<()> {
        let (path, unfinished) = (dir.join(NOTE), dir.join(UNFINISHED_NOTE));
        if *marks == Marks::default() {
            gone(disk.remove(&path))?;
            return disk.sync_dir(dir);
        }
        gone(disk.remove(&unfinished))?;
        let file = disk.open(&unfinished, Access::Create)?;
        file.write_full(serde_json::to_string(marks)?.as_bytes(), 0)?;
        file.sync_data()?;
        disk.rename(&unfinished, &path)?;
        disk.sync_dir(dir)
    };
    write().map_err(|error| unkept(dir, &error))
}

/// That it is not there is what was wanted.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn unkept(dir: &Path, error: &io::Error) -> StoreError {
    let problem = format!("the move cannot be noted in {}: {error}", dir.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(problem),
        _ => StoreError::Transient(problem),
    }
}

/// The directory as people name it: the app's, if the log is below it.
pub(super) fn place(dir: &Path) -> String {
    let app = dir.parent().filter(|above| dir.ends_with("log") && !above.as_os_str().is_empty());
    app.unwrap_or(dir).display().to_string()
}
