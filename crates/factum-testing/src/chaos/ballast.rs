//! A disk that is full: a file that takes all there is.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// What takes the room on a disk, best on a [`Volume`](super::Volume) of its own. Dropping it leaves it there.
#[derive(Debug)]
pub struct Ballast(PathBuf);

impl Ballast {
    /// Takes everything to the last byte, and leaves so many bytes of it.
    ///
    /// # Errors
    /// The file cannot be written, for any reason but the one that is wanted.
    pub fn take(dir: &Path, leaves: u64) -> io::Result<Self> {
        let ballast = Self(dir.join("ballast"));
        let file = ballast.take_more()?;
        let length = file.metadata()?.len();
        file.set_len(length.saturating_sub(leaves)).and_then(|()| file.sync_all())?;
        Ok(ballast)
    }

    /// Takes what room there is again meanwhile, to the last byte.
    ///
    /// # Errors
    /// As [`Ballast::take`].
    pub fn take_more(&self) -> io::Result<File> {
        let mut file = File::options().create(true).append(true).open(&self.0)?;
        loop {
            let before = file.metadata()?.len();
            for size in [1 << 20, 4096, 1] {
                loop {
                    match file.write_all(&vec![1; size]) {
                        Ok(()) => {}
                        Err(error) if error.kind() == ErrorKind::StorageFull => break,
                        Err(error) => return Err(error),
                    }
                }
            }
            // Blocks of files that were removed can be taken only when their removal is written down.
            file.sync_all()?;
            if file.metadata()?.len() == before {
                return Ok(file);
            }
        }
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn free(self) -> io::Result<()> {
        fs::remove_file(&self.0)?;
        // The blocks of a removed file can be taken again when its removal is written down.
        let dir = self.0.parent().unwrap_or(Path::new("."));
        File::open(dir).and_then(|dir| dir.sync_all())
    }
}
