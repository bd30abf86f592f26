//! The files of a log's segments: which there are and where, in the log's directory or in its archive. Those of sealed
//! segments are opened when they are read, and only so many at once.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::archive;
use crate::disk::{Disk, DiskFile};
use crate::error::{During, LogError};
use crate::segment;

/// Most files of sealed segments that are open at once.
const OPEN: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Files {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    open: Mutex<VecDeque<Arc<dyn DiskFile>>>,
}

impl Files {
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> Arc<Self> {
        Arc::new(Self { disk, dir: dir.to_owned(), open: Mutex::default() })
    }

    /// The segments by name, in order, each with its place. A segment that stands in the directory and in the archive
    /// is taken from the directory.
    pub fn segments(&self) -> Result<BTreeMap<String, PathBuf>, LogError> {
        let mut found = BTreeMap::new();
        for name in self.disk.list(&self.dir).during("list", &self.dir)? {
            let path = self.dir.join(&name);
            match name.strip_suffix(archive::SUFFIX) {
                Some(name) if segment::is_segment(name) => _ = found.entry(name.to_owned()).or_insert(path),
                None if segment::is_segment(&name) => _ = found.insert(name, path),
                _ => {}
            }
        }
        // The archive last, and whether there is one: a segment that is moved meanwhile is then seen at least once, and
        // found where it went.
        let Some(archived) = archive::directory(&*self.disk, &self.dir)? else { return Ok(found) };
        for name in self.disk.list(&archived).during("list", &archived)? {
            if let Some(segment) = name.strip_suffix(archive::SUFFIX).filter(|name| segment::is_segment(name)) {
                found.entry(segment.to_owned()).or_insert_with(|| archived.join(&name));
            }
        }
        Ok(found)
    }

    /// A file that is opened when it is read; and if it is not there any more, looked for in the archive.
    pub fn sealed(self: &Arc<Self>, path: &Path) -> Arc<dyn DiskFile> {
        Arc::new(Sealed { files: Arc::clone(self), path: path.into(), held: Mutex::new(None) })
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = match archive::open(&*self.disk, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let dir = archive::directory(&*self.disk, &self.dir).ok().flatten();
                let (Some(dir), Some(name)) = (dir, path.file_name()) else { return Err(error) };
                archive::open(&*self.disk, &dir.join(format!("{}{}", name.to_string_lossy(), archive::SUFFIX)))?
            }
            opened => opened?,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() == OPEN {
            open.pop_front();
        }
        open.push_back(Arc::clone(&file));
        Ok(file)
    }
}

#[derive(Debug)]
struct Sealed {
    files: Arc<Files>,
    path: Box<Path>,
    held: Mutex<Option<Weak<dyn DiskFile>>>,
}

impl Sealed {
    fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = held.as_ref().and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = self.files.open(&self.path)?;
        *held = Some(Arc::downgrade(&file));
        Ok(file)
    }
}

impl DiskFile for Sealed {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file()?.read_at(bytes, offset)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn size(&self) -> io::Result<u64> {
        self.file()?.size()
    }
}
