//! What the tests share: small logs, all of their content at once, and a disk that fails on demand.

use std::any::Any;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use factum_log::disk::{Access, Disk, DiskFile, RealDisk};
use factum_log::{Batch, Log, LogError, Observer, Opened, Options, Reader};

/// Options for logs of a few frames a segment.
pub fn small() -> Options {
    Options { segment_bytes: 4096, ..Options::default() }
}

pub fn open(dir: &Path) -> (Log, Opened) {
    Log::open(dir, small()).unwrap()
}

/// A reader of a log that somebody else may write.
pub fn open_read_only(dir: &Path, disk: Arc<dyn Disk>) -> Result<Reader, LogError> {
    Observer::open(dir, disk).map(|observer| observer.reader())
}

/// A batch of entries of one type, from pairs of stream and body.
pub fn batch(entries: &[(&str, &str)]) -> Batch {
    let mut batch = Batch::new();
    for (stream, body) in entries {
        batch.entry(stream, "made", "test", body.as_bytes());
    }
    batch
}

/// An entry as a test compares it: position, stream, version, type, source, body.
pub type Seen = (u64, String, u64, String, String, Vec<u8>);

pub fn all(reader: &Reader) -> Result<Vec<Seen>, LogError> {
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let last = reader.scan(after, 1000, &mut |entry| seen.push(own(&entry)))?;
        if last == after {
            return Ok(seen);
        }
        after = last;
    }
}

pub fn of_stream(reader: &Reader, stream: &str) -> Result<Vec<Seen>, LogError> {
    let mut seen = Vec::new();
    reader.stream(stream, 0, &mut |entry| seen.push(own(&entry)))?;
    Ok(seen)
}

fn own(entry: &factum_log::EntryRef<'_>) -> Seen {
    let [stream, kind, source] = [entry.stream, entry.kind, entry.source].map(str::to_owned);
    (entry.position, stream, entry.version, kind, source, entry.body.to_vec())
}

/// The bodies of all entries, as text.
pub fn bodies(reader: &Reader) -> Vec<String> {
    all(reader).unwrap().into_iter().map(|seen| String::from_utf8(seen.5).unwrap()).collect()
}

/// The log's segments, in order.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    files(dir, ".segment")
}

pub fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(suffix));
    paths.sort();
    paths
}

/// Copies a log that nobody writes.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in files(from, "") {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Called with a path.
pub type Hook = Box<dyn Fn(&Path) + Send + Sync>;

/// A real disk that fails on demand, and has no threads beside the log unless that is wanted.
#[derive(Default)]
pub struct Faulty {
    pub sync_fails: AtomicBool,
    pub write_fails: AtomicBool,
    pub full: AtomicBool,
    pub create_full: AtomicBool,
    pub background: AtomicBool,
    /// Every write takes at most this many bytes; 0 for all.
    pub at_most: AtomicUsize,
    /// Syncs so far, of files.
    pub syncs: AtomicUsize,
    /// Writes so far.
    pub writes: AtomicUsize,
    /// All that happened, in order, for tests of order.
    pub calls: Mutex<Vec<String>>,
    /// Called before a file is opened or made, and before a directory is listed.
    pub before: Mutex<Option<Hook>>,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: Arc<Faulty>,
    file: Arc<dyn DiskFile>,
    name: String,
}

/// The handle that goes into the options.
#[derive(Clone, Debug, Default)]
pub struct Handle(pub Arc<Faulty>);

impl Handle {
    pub fn options(&self) -> Options {
        Options { disk: Arc::new(self.clone()), ..small() }
    }

    fn before(&self, path: &Path) {
        if let Some(hook) = &*self.0.before.lock().unwrap() {
            hook(path);
        }
    }

    fn note(&self, call: &str, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.0.calls.lock().unwrap().push(format!("{call} {name}"));
    }
}

impl Faulty {
    fn is(flag: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
        if flag.load(Ordering::SeqCst) { Err(kind.into()) } else { Ok(()) }
    }
}

impl Disk for Handle {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.before(dir);
        RealDisk.list(dir)
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        self.before(path);
        if access == Access::Create {
            Faulty::is(&self.0.create_full, io::ErrorKind::StorageFull)?;
            self.note("create", path);
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Ok(Arc::new(FaultyFile { disk: Arc::clone(&self.0), file: RealDisk.open(path, access)?, name }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("rename", to);
        RealDisk.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.calls.lock().unwrap().push("sync directory".into());
        RealDisk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        RealDisk.lock(path)
    }
    fn fresh_id(&self) -> io::Result<[u8; 16]> {
        Ok([9; 16])
    }
    fn background(&self) -> bool {
        self.0.background.load(Ordering::SeqCst)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.writes.fetch_add(1, Ordering::SeqCst);
        Faulty::is(&self.disk.write_fails, io::ErrorKind::Other)?;
        if self.disk.full.load(Ordering::SeqCst) {
            // As a real disk does: it takes a part, and fails on the rest.
            self.file.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let most = match self.disk.at_most.load(Ordering::SeqCst) {
            0 => bytes.len(),
            most => most.min(bytes.len()),
        };
        self.disk.calls.lock().unwrap().push(format!("write {}", self.name));
        self.file.write_at(&bytes[..most], offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        Faulty::is(&self.disk.sync_fails, io::ErrorKind::Other)?;
        self.disk.calls.lock().unwrap().push(format!("sync {}", self.name));
        self.file.sync_data()
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}
