//! What can go wrong with a log, by what the owner can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the log. Each message says what happened and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Another process (or another handle in this one) has the log open.
    #[error("the log in {} is open in another process: stop that one first, or only read beside it", dir.display())]
    Locked {
        /// The log's directory.
        dir: PathBuf,
    },
    /// Bytes that were once whole are not whole any more. Nothing was changed.
    #[error(
        "{} is damaged at offset {offset}: {what}; going on would lose entries in silence, so the log \
         refuses: restore this file from a backup, or keep a copy and repair it by hand",
        file.display()
    )]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// The file was written by another version of the format, or its first bytes are damaged.
    #[error(
        "{} has format {found}, this build knows format {known}: open it with the build that wrote it",
        file.display()
    )]
    UnknownFormat {
        /// The file.
        file: PathBuf,
        /// The version found in it.
        found: u32,
        /// The version that this build reads and writes.
        known: u32,
    },
    /// The directory holds other files and no log; a log is not mixed with them.
    #[error("{} holds files but no log: name an empty or a new directory, or the log's own", dir.display())]
    NotALog {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds a backup, which stays as it is.
    #[error("{} is a backup: restore it into a directory of its own, and open that", dir.display())]
    IsBackup {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds copies of another log, or of another epoch of this one. Nothing was changed.
    #[error("{} belongs to another log, or to this one before it was restored: name another directory", dir.display())]
    AnotherLog {
        /// The directory.
        dir: PathBuf,
    },
    /// The backup holds more of this log than the log does. Nothing was changed.
    #[error(
        "the backup in {} is {bytes} bytes ahead of the log: the log is an older copy, or has lost its end. Keep that \
         backup, and name another directory",
        dir.display()
    )]
    BackupAhead {
        /// The backup's directory.
        dir: PathBuf,
        /// How much the log lacks, in bytes.
        bytes: u64,
    },
    /// The disk is full. The append was refused whole; reading goes on, and a later append may succeed.
    #[error("the disk is full, nothing of what was to be written was kept: free some space and try again")]
    Full,
    /// A write or sync failed now or earlier. If it was this append, its outcome is unknown; later ones are refused at
    /// once. There is no retry: after a failed sync the kernel may have dropped the pages it could not write.
    #[error(
        "a write or sync of the log failed, which is final: check the disk, then open it again to see what \
         was kept"
    )]
    Failed,
    /// One thing is larger than the format allows. Nothing was written.
    #[error(
        "{what}: {size} where the log takes at most {limit}: split it, or store the body elsewhere and its name here"
    )]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size, in bytes unless `what` says otherwise.
        size: u64,
        /// The largest that is taken.
        limit: u64,
    },
    /// The operating system refused an operation; nothing was changed by it.
    #[error(
        "cannot {op} {}: {source}; check that it exists, its permissions and the disk, then try again",
        file.display()
    )]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What was tried.
        op: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl LogError {
    pub(crate) fn damaged(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), offset, what: what.into() }
    }
}

/// Whether the system said that there is no room, which passes, unlike other failures of a write.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Adds the file and the operation to a system error.
pub(crate) trait During<T> {
    fn during(self, op: &'static str, file: &Path) -> Result<T, LogError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, op: &'static str, file: &Path) -> Result<T, LogError> {
        self.map_err(|source| match source.kind() {
            _ if is_full(&source) => LogError::Full,
            // Only what is read through a compression says so.
            io::ErrorKind::InvalidData => LogError::damaged(file, 0, source.to_string()),
            _ => LogError::Io { file: file.to_owned(), op, source },
        })
    }
}
