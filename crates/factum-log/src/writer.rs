//! The log's one writer: a batch is one frame, one write, one sync, and visible only after it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ahead::Ahead;
use crate::batch::{Batch, Part};
use crate::directory;
use crate::disk::{Access, Disk, DiskFile, RealDisk};
use crate::error::{During, LogError, is_full};
use crate::frame::{self, Kind};
use crate::heads::{self, AsIs, Cell, Cells, Head, Key, Shared, View};
use crate::lock::{self, Held};
use crate::reader::Reader;
use crate::recovery::{self, Cut};
use crate::segment::{self, Segment, Unfit};

/// When an append counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After it is synced: it survives a loss of power.
    #[default]
    Sync,
    /// After the operating system has it: it survives the process, not a loss of power. After one, the log may refuse
    /// to start, since frames written out of order look like damage.
    Os,
}

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length at which a new segment is begun, in bytes; 64 MiB if not said.
    pub segment_bytes: u64,
    /// When an append counts as done.
    pub durability: Durability,
    /// The disk it lies on.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, durability: Durability::Sync, disk: Arc::new(RealDisk) }
    }
}

/// The identity of a log. A position means something only together with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lineage {
    /// Random, made with the log.
    pub log_id: [u8; 16],
    /// Grows when the log is restored from a backup, so that positions after it are not taken for the lost ones.
    pub epoch: u32,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whether there was no log and one was made.
    pub created: bool,
    /// Entries in the log.
    pub entries: u64,
    /// Segments it consists of.
    pub segments: usize,
    /// What was cut off its end and where it is kept now.
    pub cut: Option<Cut>,
    /// Whether the last owner did not close it.
    pub unclean: bool,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first entry.
    pub first: u64,
    /// Position of the last entry; `first - 1` if the batch had none.
    pub last: u64,
    /// Number of the frame, the revision of the cells it wrote.
    pub frame: u64,
}

/// An open log: the only writer of its directory.
pub struct Log {
    dir: PathBuf,
    options: Options,
    shared: Arc<Shared>,
    active: Active,
    next_frame: u64,
    head: u64,
    /// Log offset up to which all is synced.
    synced: u64,
    last: Option<Kind>,
    /// The writer's own, so that it can lend what is in it; the values are shared with the readers' copy.
    cells: Cells,
    frame: Vec<u8>,
    staged: Staged,
    failure: Option<String>,
    // In this order: the thread ends before another process may have the directory.
    ahead: Option<Ahead>,
    _lock: Held,
}

/// The segment being written.
struct Active {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    base: u64,
    /// Where the next frame goes, in the file.
    at: u64,
    /// Up to where it was filled with zeroes ahead.
    filled: u64,
    has_entries: bool,
    names: HashMap<Arc<str>, u16>,
}

/// What a batch changes, until it is synced.
#[derive(Default)]
struct Staged {
    heads: HashMap<Key, Head, std::hash::BuildHasherDefault<AsIs>>,
    names: Vec<Arc<str>>,
    /// Number in the segment of each name of the batch.
    numbers: Vec<u16>,
}

/// Most names in a segment: their numbers have 16 bits.
const NAMES: usize = 1 << 16;

impl Log {
    /// Opens the log in `dir`, or makes one if the directory is missing or empty. Takes the lock, reads all frames,
    /// cuts off the remains of an unfinished append and says so, and refuses to start on any other damage.
    pub fn open(dir: &Path, options: Options) -> Result<(Log, Opened), LogError> {
        let disk = Arc::clone(&options.disk);
        disk.create_dir(dir).during("create", dir)?;
        // Looked at before anything is made, so that a directory of other things is left as it was.
        directory::has_log(&*disk, dir)?;
        let lock = lock::take(&*disk, dir)?;
        let created = !directory::has_log(&*disk, dir)?;
        if created {
            directory::create(&*disk, dir, options.segment_bytes)?;
        }
        directory::settle(&*disk, dir)?;
        let mut found = recovery::read(&*disk, dir, Access::Write)?;
        found.secure_last()?;
        let cut = found.cut(&*disk, dir)?;
        let unclean = cut.is_some() || !matches!(found.last, None | Some(Kind::Closing));
        let Some(last) = found.view.segments.last() else { return Err(LogError::NotALog { dir: dir.to_owned() }) };
        let opened = Opened { created, entries: found.view.head, segments: found.view.segments.len(), cut, unclean };
        let size = last.file.size().during("look at", &last.path)?;
        let active = Active {
            path: last.path.to_path_buf(),
            file: Arc::clone(&last.file),
            base: last.base,
            at: found.view.end - last.base,
            filled: size,
            has_entries: found.view.head >= last.first,
            names: (0_u16..=u16::MAX).zip(last.names.iter()).map(|(id, name)| (Arc::clone(name), id)).collect(),
        };
        let fills = disk.fills_ahead();
        let log = Log {
            dir: dir.to_owned(),
            active,
            next_frame: found.next_frame,
            head: found.view.head,
            synced: found.synced,
            last: found.last,
            cells: found.view.cells.clone(),
            frame: Vec::new(),
            staged: Staged::default(),
            failure: None,
            ahead: fills.then(|| Ahead::new(disk, dir, options.segment_bytes)),
            shared: Arc::new(Shared::new(found.lineage, found.view)),
            options,
            _lock: lock,
        };
        Ok((log, opened))
    }

    /// The log's identity.
    pub fn lineage(&self) -> Lineage {
        self.shared.lineage
    }

    /// Last position; 0 if the log is empty.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Version of a stream's last entry; 0 if there is none.
    pub fn version(&self, stream: &str) -> u64 {
        let key = self.shared.key(stream.as_bytes());
        self.shared.view().heads.get(&key).map_or(0, |head| head.version)
    }

    /// A live cell.
    pub fn cell(&self, key: &[u8]) -> Option<&Cell> {
        self.cells.get(key)
    }

    /// The live cells whose key begins with `prefix`, in key order.
    pub fn cells<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a Cell)> {
        heads::with_prefix(&self.cells, prefix)
    }

    /// A reader beside this writer, for any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// What the disk said when the log failed, for the one who has to look after it.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Appends a batch as one frame: all of it, durable on return (with [`Durability::Sync`]), or nothing of it. After
    /// [`LogError::Failed`] its outcome is unknown until the log is opened again. An empty batch does nothing.
    pub fn append(&mut self, batch: &Batch) -> Result<Appended, LogError> {
        self.check_failure()?;
        if batch.is_empty() {
            return Ok(Appended { first: self.head + 1, last: self.head, frame: self.next_frame - 1 });
        }
        batch.check_limits(NAMES)?;
        let size = batch.bytes() as u64;
        let many_names = self.active.names.len() + batch.names().len() > NAMES;
        // A segment without entries stays, however long: the next one would have the same name.
        if self.active.has_entries && (!self.has_room(size) || many_names) {
            self.roll()?;
        }
        self.encode(batch);
        if let Err(error) = self.write() {
            for name in self.staged.names.drain(..) {
                self.active.names.remove(&name);
            }
            return Err(error);
        }
        Ok(self.publish(batch))
    }

    /// Marks that everything so far is synced, so that later damage to the last frame is not taken for a torn append.
    /// To be called when there has been nothing to append for some milliseconds; does nothing if nothing is new.
    pub fn idle(&mut self) -> Result<(), LogError> {
        self.check_failure()?;
        match self.last {
            Some(Kind::Data) => self.mark(Kind::Mark),
            _ => Ok(()),
        }
    }

    /// Closes the log: marks that everything is synced and that this was an orderly end, and frees the directory.
    pub fn close(mut self) -> Result<(), LogError> {
        self.check_failure()?;
        match self.last {
            None | Some(Kind::Closing) => Ok(()),
            _ => self.mark(Kind::Closing),
        }
    }

    /// Whether so much more goes into the segment. Where nothing was filled ahead, it goes on only until there is a
    /// segment that was.
    fn has_room(&self, size: u64) -> bool {
        let end = self.active.at + size;
        let better = end > self.active.filled && self.ahead.as_ref().is_some_and(Ahead::is_ready);
        end <= self.options.segment_bytes && !better
    }

    fn check_failure(&self) -> Result<(), LogError> {
        if self.failure.is_some() { Err(LogError::Failed) } else { Ok(()) }
    }

    /// Notes a failed write or sync; there is no way back from it.
    fn fail(&mut self, op: &str, error: &io::Error) -> LogError {
        self.failure = Some(format!("{op} of {}: {error}", self.active.path.display()));
        LogError::Failed
    }

    /// Lays the batch out as a frame, with everything it will change noted in `staged`.
    fn encode(&mut self, batch: &Batch) {
        let Self { staged, frame: out, active, shared, .. } = self;
        out.clear();
        out.resize(frame::HEADER, 0);
        staged.heads.clear();
        staged.names.clear();
        staged.numbers.clear();
        for name in batch.names() {
            let next = active.names.len();
            let number = *active.names.entry((&**name).into()).or_insert_with_key(|name| {
                frame::write_name(out, next as u32, name);
                staged.names.push(Arc::clone(name));
                next as u16
            });
            staged.numbers.push(number);
        }
        let start = active.base + active.at;
        let view = shared.view();
        let mut position = self.head;
        for part in batch.parts() {
            match part {
                Part::Entry { stream, body, kind, source } => {
                    position += 1;
                    let offset = start + out.len() as u64;
                    let key = shared.key(stream);
                    let known = || view.heads.get(&key).copied().unwrap_or(Head { version: 0, offset: 0 });
                    let head = staged.heads.entry(key).or_insert_with(known);
                    let previous = std::mem::replace(&mut head.offset, offset);
                    head.version += 1;
                    let entry = frame::Entry {
                        stream: "",
                        kind: staged.numbers[kind],
                        source: staged.numbers[source],
                        position,
                        version: head.version,
                        previous,
                        body: &[],
                    };
                    frame::write_entry(out, stream, body, &entry);
                }
                Part::Put { key, value } => frame::write_put(out, key, value),
                Part::Delete { key } => frame::write_delete(out, key),
            }
        }
        drop(view);
        out.resize(out.len().next_multiple_of(frame::ALIGN), 0);
        self.seal(Kind::Data, batch.entries() as u32);
    }

    /// Writes the header of the frame in the buffer.
    fn seal(&mut self, kind: Kind, entries: u32) {
        let (header, payload) = self.frame.split_at_mut(frame::HEADER);
        frame::Header {
            kind,
            length: payload.len() as u32,
            payload_crc: frame::checksum(payload),
            number: self.next_frame,
            first: self.head + 1,
            offset: self.active.base + self.active.at,
            synced: self.synced,
            entries,
        }
        .write(&self.shared.lineage.log_id, header);
    }

    /// Brings the frame in the buffer to the disk.
    fn write(&mut self) -> Result<(), LogError> {
        if let Err(error) = self.active.file.write_full(&self.frame, self.active.at) {
            return Err(match is_full(&error) {
                true => self.withdraw(),
                false => self.fail("write", &error),
            });
        }
        if self.options.durability == Durability::Sync {
            self.sync()?;
            self.synced = self.active.base + self.active.at + self.frame.len() as u64;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        self.active.file.sync_data().map_err(|error| self.fail("sync", &error))
    }

    /// Removes what a full disk took of a frame. Cutting a file off needs no space.
    fn withdraw(&mut self) -> LogError {
        match self.active.file.set_len(self.active.at).and_then(|()| self.active.file.sync_data()) {
            Ok(()) => {
                self.active.filled = self.active.at;
                self.give_back();
                LogError::Full
            }
            Err(error) => self.fail("cutting off a refused frame", &error),
        }
    }

    fn give_back(&mut self) {
        if let Some(ahead) = &mut self.ahead {
            ahead.give_back();
        }
    }

    /// Takes over what the frame in the buffer has changed, and lets readers see it.
    fn publish(&mut self, batch: &Batch) -> Appended {
        let Self { staged, active, cells, .. } = self;
        let (at, number, entries) = (active.at, self.next_frame, batch.entries() as u64);
        let appended = Appended { first: self.head + 1, last: self.head + entries, frame: number };
        active.at += self.frame.len() as u64;
        active.has_entries |= entries > 0;
        self.head += entries;
        self.next_frame += 1;
        self.last = Some(Kind::Data);

        let mut view = self.shared.change();
        let View { segments, heads, cells: seen, .. } = &mut *view;
        if let Some(segment) = Arc::make_mut(segments).last_mut() {
            if !staged.names.is_empty() {
                Arc::make_mut(&mut segment.names).append(&mut staged.names);
            }
            if entries > 0 {
                segment.remember(appended.first, at);
            }
        }
        heads.extend(staged.heads.drain());
        for part in batch.parts() {
            match part {
                Part::Put { key, value } => {
                    let (key, cell): (Arc<[u8]>, _) = (key.into(), Cell { revision: number, value: value.into() });
                    cells.insert(Arc::clone(&key), cell.clone());
                    seen.insert(key, cell);
                }
                Part::Delete { key } => {
                    cells.remove(key);
                    seen.remove(key);
                }
                Part::Entry { .. } => {}
            }
        }
        view.head = self.head;
        view.end = active.base + active.at;
        drop(view);
        if let Some(ahead) = &mut self.ahead {
            ahead.keep_up(active.at, active.filled.max(segment::FIRST));
        }
        appended
    }

    /// Writes a frame that says that all before it is synced, which is made true first.
    fn mark(&mut self, kind: Kind) -> Result<(), LogError> {
        let end = self.active.base + self.active.at;
        if self.synced < end {
            self.sync()?;
            self.synced = end;
        }
        self.frame.clear();
        self.frame.resize(frame::HEADER, 0);
        self.seal(kind, 0);
        self.write()?;
        if self.options.durability == Durability::Os {
            self.sync()?;
        }
        self.active.at += self.frame.len() as u64;
        self.synced = self.active.base + self.active.at;
        self.next_frame += 1;
        self.last = Some(kind);
        self.shared.change().end = self.synced;
        Ok(())
    }

    /// Begins the next segment. Until it has its name, nothing has happened.
    fn roll(&mut self) -> Result<(), LogError> {
        let base = self.active.base + self.active.at;
        if self.synced < base {
            // Only the last segment may have a torn tail.
            self.sync()?;
            self.synced = base;
        }
        let Lineage { log_id, epoch } = self.lineage();
        let header = segment::Header { log_id, epoch, first: self.head + 1, number: self.next_frame, base };
        let disk = Arc::clone(&self.options.disk);
        let (temp, file, filled) = match self.ahead.as_mut().and_then(Ahead::take) {
            Some((temp, file)) => (temp, file, self.options.segment_bytes),
            None => {
                let temp = self.dir.join(segment::NEXT);
                let file = segment::create_temp(&*disk, &temp);
                if file.as_ref().is_err_and(is_full) {
                    self.give_back();
                }
                let file = file.during("create", &temp)?;
                (temp, file, 0)
            }
        };
        let path = match segment::install(&*disk, &self.dir, &temp, &*file, &header) {
            Ok(path) => path,
            Err(Unfit::Before(error)) if is_full(&error) => {
                // What stays of it is removed by the next try or the next open.
                drop(disk.remove(&temp));
                self.give_back();
                return Err(LogError::Full);
            }
            Err(Unfit::Before(error) | Unfit::After(error)) => {
                return Err(self.fail("making the segment after", &error));
            }
        };
        let at = segment::HEADER as u64;
        self.synced = base + at;
        {
            let mut view = self.shared.change();
            Arc::make_mut(&mut view.segments).push(Segment::new(path.clone(), Arc::clone(&file), &header));
            view.end = base + at;
        }
        self.active = Active { path, file, base, at, filled, has_entries: false, names: HashMap::new() };
        Ok(())
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Log");
        out.field("dir", &self.dir).field("head", &self.head).field("failure", &self.failure).finish_non_exhaustive()
    }
}
