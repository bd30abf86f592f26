//! Whether the directory that a store was opened in is still the one that its path names.
//!
//! A file that was removed can be written on, and synced, as long as it is open: everything would be acknowledged, and gone
//! with the process. So the lock's file is looked at now and then.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use factum_core::error::StoreError;

/// Before a write it is looked at no more often.
const EVERY: Duration = Duration::from_secs(1);

/// Where a store is.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    file: PathBuf,
    /// None where the disk is not the system's own.
    held: Option<Identity>,
    /// When it was there last.
    seen: Instant,
}

type Identity = (u64, u64);

impl Place {
    /// The place of a store that has just been opened.
    pub fn of(dir: &Path) -> Self {
        let file = factum_log::lock_file(dir);
        let held = identity(&file).ok();
        Self { dir: dir.to_owned(), file, held, seen: Instant::now() }
    }

    /// Looks, if that was a while ago.
    ///
    /// # Errors
    /// As [`Place::look`].
    pub fn look_now_and_then(&mut self) -> Result<(), StoreError> {
        if self.seen.elapsed() < EVERY { Ok(()) } else { self.look() }
    }

    /// Looks.
    ///
    /// # Errors
    /// [`StoreError::Transient`] if the directory is gone, or another one is there.
    pub fn look(&mut self) -> Result<(), StoreError> {
        let there = |held: &Identity| match identity(&self.file) {
            Ok(found) => found == *held,
            // Only what is known to be gone is gone.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if self.held.as_ref().is_none_or(there) {
            self.seen = Instant::now();
            return Ok(());
        }
        Err(StoreError::Transient(format!(
            "{} was removed, moved or replaced while the app runs, and what is written now would be gone with the process: \
             put it back, or stop the app",
            self.dir.display()
        )))
    }
}

/// What tells one file from another, whatever its name.
#[cfg(unix)]
fn identity(file: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(file).map(|about| (about.dev(), about.ino()))
}

/// Whether there is a file of that name.
#[cfg(not(unix))]
fn identity(file: &Path) -> io::Result<Identity> {
    fs::metadata(file).map(|_| (0, 0))
}
