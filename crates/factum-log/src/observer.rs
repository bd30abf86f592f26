//! Reading a log that another process writes, and following it.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{Access, Disk};
use crate::error::LogError;
use crate::heads::Shared;
use crate::reader::Reader;
use crate::recovery::{self, Recovery};

/// A log opened for reading only, also while another process writes it. It needs no lock, stops quietly before a frame
/// that is not complete yet, and makes the last complete frame durable before it is seen, so that nothing is seen that
/// could still be lost.
#[derive(Debug)]
pub struct Observer {
    recovery: Recovery,
    shared: Arc<Shared>,
}

impl Observer {
    /// Opens the log in `dir` as it is now.
    ///
    /// # Errors
    /// [`LogError::NotALog`] if there is none, [`LogError::Damaged`], [`LogError::UnknownFormat`], [`LogError::Io`].
    pub fn open(dir: &Path, disk: Arc<dyn Disk>) -> Result<Self, LogError> {
        let (mut recovery, mut view) = recovery::read(&disk, dir, Access::Read)?;
        recovery.sync_last(&mut view)?;
        let shared = Arc::new(Shared::new(recovery.lineage, view));
        Ok(Self { recovery, shared })
    }

    /// A reader of what was there at the last look, for any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Looks for what was appended meanwhile; answers the last position. Its readers then see it.
    ///
    /// # Errors
    /// As [`Observer::open`]; after one, it has to be opened anew.
    pub fn refresh(&mut self) -> Result<u64, LogError> {
        let mut view = self.shared.change();
        self.recovery.read_on(&mut view)?;
        self.recovery.sync_last(&mut view)?;
        Ok(view.head)
    }
}
