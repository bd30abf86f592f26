//! Where the program's data lies: on a small disk of its own if one can be had, else in a temporary directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{ballast::Ballast, tally::Tally, volume::Volume};

/// The fault that needs the disk.
pub const FULL_DISK: &str = "full disk";

/// See the module. It is gone when it is dropped.
#[derive(Debug)]
pub struct Place {
    volume: Option<Volume>,
    // The last to be dropped: what is said lies in it.
    temp: TempDir,
}

impl Place {
    /// A place with a disk of so many MiB; where there can be none the tally says why no disk gets full.
    ///
    /// # Errors
    /// There can be no temporary directory.
    pub fn new(mib: u64, tally: &Tally) -> io::Result<Self> {
        let temp = TempDir::new()?;
        let volume = Volume::new(mib).map_err(|why| tally.skipped(FULL_DISK, "the data's disk", &why)).ok();
        Ok(Self { volume, temp })
    }

    /// The program's data.
    pub fn data(&self) -> PathBuf {
        self.volume.as_ref().map_or_else(|| self.temp.path().to_owned(), Volume::path).join("data")
    }

    /// What the program says; never on the small disk.
    pub fn log(&self) -> PathBuf {
        self.temp.path().join("program.log")
    }

    /// Fills the disk, if there is one.
    ///
    /// # Errors
    /// The disk cannot be filled.
    pub fn fill(&self) -> io::Result<Option<Ballast>> {
        self.volume.as_ref().map(|volume| Ballast::take(&volume.path(), 0)).transpose()
    }

    /// Copies the data, and what the program said, into a directory that is made.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn copy_to(&self, dir: &Path) -> io::Result<()> {
        copy(&self.data(), &dir.join("data"))?;
        fs::copy(self.log(), dir.join("program.log")).map(|_| ())
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
