//! One process per directory: the lock on the file `lock`, held as long as the log is open.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{During, LogError};

/// The lock's file. It is never removed: a lock on a removed file would exclude nobody.
pub(crate) const FILE: &str = "lock";

/// The held lock; dropping it frees the directory.
pub(crate) struct Held {
    _guard: Box<dyn Any + Send + Sync>,
}

/// Takes the directory, or says that somebody else has it.
pub(crate) fn take(disk: &dyn Disk, dir: &Path) -> Result<Held, LogError> {
    let path = dir.join(FILE);
    match disk.lock(&path).during("lock", &path)? {
        Some(guard) => Ok(Held { _guard: guard }),
        None => Err(LogError::Locked { dir: dir.to_owned() }),
    }
}

/// The file that a process holds while it has the log in `dir` open. If it is gone, or is another one, the directory was
/// taken away under the process.
pub fn lock_file(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Whether somebody has the log in `dir` open for writing, at this moment.
///
/// # Errors
/// [`LogError::Io`] if the directory cannot be looked at.
pub fn is_open(dir: &Path, disk: &dyn Disk) -> Result<bool, LogError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        names => names.during("list", dir)?,
    };
    // Looking must not make the file.
    Ok(names.iter().any(|name| name == FILE) && matches!(take(disk, dir), Err(LogError::Locked { .. })))
}
