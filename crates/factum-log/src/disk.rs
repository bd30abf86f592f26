//! All I/O of the log goes through [`Disk`], so that a test can put a disk behind it that lies, fills up or fails.

use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Make a new file for reading and writing; it is an error if the name is taken.
    Create,
    /// The same, which only the owner may read and write.
    CreatePrivate,
    /// An existing file, for reading and writing.
    Write,
    /// An existing file, for reading only.
    Read,
}

/// The disk that a log lies on. What an implementation must keep:
///
/// - what [`DiskFile::sync_data`] has returned for survives a loss of power, with the file's length;
/// - a name made, changed or removed survives it once [`Disk::sync_dir`] has returned for its directory;
/// - [`Disk::rename`] is atomic: after a crash there is the old name or the new one, never neither and never a mixture;
/// - [`Disk::lock`] is exclusive between processes and between handles of one process, and ends with the process.
pub trait Disk: Debug + Send + Sync {
    /// Makes a directory, and those above it, if missing; a name it made is durable on return.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in a directory, in no order. A directory that does not exist is an error of kind `NotFound`.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Opens or makes a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name in the same directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, on the same file system. The two are one file from then on.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the directory's names durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock of this name, without waiting; `None` if somebody else has it. Dropping the guard frees it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
    /// 16 random bytes, the identity of a new log.
    fn fresh_id(&self) -> io::Result<[u8; 16]>;
    /// Whether threads may work beside the log's own. A simulated disk says no, so that every run is the same: segments
    /// are then not filled ahead but grow, and checkpoints are written piece by piece between appends.
    fn background(&self) -> bool {
        true
    }
}

/// An open file. Calls may come from several threads at once.
pub trait DiskFile: Debug + Send + Sync {
    /// Reads from an offset; may give less than asked for, and 0 only at the end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at an offset, growing the file if need be; may take less than given.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes what was written durable, with the file's length.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts the file off, or lets it grow with zeroes.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn size(&self) -> io::Result<u64>;
}

impl dyn DiskFile + '_ {
    /// Fills `bytes` as far as the file goes; returns how much was read.
    ///
    /// # Errors
    /// As the file says.
    pub fn read_full(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes all of `bytes`. After an error, any part of them may stand in the file.
    ///
    /// # Errors
    /// As the file says.
    pub fn write_full(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.write_at(&bytes[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

/// A process that is being started at this moment has a copy of all open files of its parent until its program runs, their
/// locks with them: who has just let go of a lock may find it taken for so long.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if dir.is_dir() {
            // Whoever made it may have died before he synced its name. One who may not read the parent did not make it.
            return match self.sync_dir(above) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                synced => synced,
            };
        }
        self.create_dir(above)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.sync_dir(above),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        match access {
            Access::Create => options.read(true).write(true).create_new(true),
            Access::CreatePrivate => options.read(true).write(true).create_new(true).mode(0o600),
            Access::Write => options.read(true).write(true),
            Access::Read => options.read(true),
        };
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Box::new(file))),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn fresh_id(&self) -> io::Result<[u8; 16]> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(id)
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(&self.0, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
