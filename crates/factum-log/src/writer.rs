//! The log's one writer: a batch is one frame, one write, one sync, and visible only after it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ahead::Ahead;
use crate::batch::{Batch, Part};
use crate::checkpointer::Checkpointer;
use crate::directory;
use crate::disk::{Access, DiskFile};
use crate::error::{During, LogError, is_full};
use crate::files::Files;
use crate::frame::{self, Kind};
use crate::heads::{self, Cell, Cells, Shared, View};
use crate::lock::{self, Held};
use crate::newest;
use crate::options::{Appended, Durability, Lineage, Opened, Options};
use crate::reader::Reader;
use crate::recovery;
use crate::sabotage;
use crate::segment::{self, Segment, Unfit};
use crate::staged::Staged;

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
    files: Arc<Files>,
    // In this order: the threads end before another process may have the directory.
    ahead: Option<Ahead>,
    checkpointer: Checkpointer,
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

/// Most names in a segment: their numbers have 16 bits.
const NAMES: usize = 1 << 16;

impl Log {
    /// Opens the log in `dir`, or makes one if the directory is missing or empty. Takes the lock, reads the newest
    /// checkpoint and all frames behind it, cuts off the remains of an unfinished append and says so, and refuses to
    /// start on any other damage.
    pub fn open(dir: &Path, options: Options) -> Result<(Log, Opened), LogError> {
        let disk = Arc::clone(&options.disk);
        disk.create_dir(dir).during("create", dir)?;
        // Looked at before anything is made, so that a directory of other things is left as it was.
        directory::has_log(&*disk, dir)?;
        let lock = lock::take(&*disk, dir)?;
        let created = !directory::has_log(&*disk, dir)?;
        if created {
            directory::create(&*disk, dir, options.segment_bytes, options.lineage)?;
        }
        directory::settle(&*disk, dir)?;
        let (mut found, mut view) = recovery::read(&disk, dir, Access::Write)?;
        found.secure_last(&mut view)?;
        let cut = found.cut(&view)?;
        let unclean = cut.is_some() || !matches!(view.last, None | Some(Kind::Closing));
        let Some(last) = view.segments.last() else { return Err(LogError::NotALog { dir: dir.to_owned() }) };
        newest::secure(&*disk, dir, last.first)?;
        let opened = Opened {
            created,
            entries: view.head,
            segments: view.segments.len(),
            checkpoint: found.checkpoint,
            unusable: found.unusable,
            cut,
            unclean,
        };
        let size = last.file.size().during("look at", &last.path)?;
        let active = Active {
            path: last.path.to_path_buf(),
            file: Arc::clone(&last.file),
            base: last.base,
            at: view.end - last.base,
            filled: size,
            has_entries: view.head >= last.first,
            names: (0_u16..=u16::MAX).zip(last.names.iter()).map(|(id, name)| (Arc::clone(name), id)).collect(),
        };
        let ahead = disk.background().then(|| Ahead::new(Arc::clone(&disk), dir, options.segment_bytes));
        let (next_frame, head, synced, last) = (view.next_frame, view.head, view.synced, view.last);
        let cells = view.cells.clone();
        let shared = Arc::new(Shared::new(found.lineage, view));
        let every = options.checkpoint_bytes;
        let checkpointer = Checkpointer::new(disk, dir, Arc::clone(&shared), every, found.checkpoint_offset);
        let log = Log {
            dir: dir.to_owned(),
            active,
            next_frame,
            head,
            synced,
            last,
            cells,
            frame: Vec::new(),
            staged: Staged::default(),
            failure: None,
            files: found.files,
            ahead,
            checkpointer,
            shared,
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
        self.shared.view().heads.get(key).map_or(0, |head| head.version)
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

    /// Writes a checkpoint now, so that the next opening reads only what comes after it. The log sees to it by itself
    /// as it grows.
    pub fn checkpoint(&mut self) -> Result<(), LogError> {
        self.check_failure()?;
        if self.synced < self.active.base + self.active.at {
            self.mark(Kind::Mark)?;
        }
        self.checkpointer.write()
    }

    /// Why the last checkpoint could not be written. Nothing is lost by it, and the log tries again.
    pub fn checkpoint_failure(&self) -> Option<&str> {
        self.checkpointer.failure()
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
        #[cfg(feature = "sabotage")]
        if sabotage::is("batch-not-atomic") && batch.parts().count() > 1 {
            let [first, second] = batch.halves();
            let Appended { first, .. } = self.append(&first)?;
            return self.append(&second).map(|appended| Appended { first, ..appended });
        }
        let size = batch.bytes() as u64;
        let long = self.active.base + self.active.at + size;
        if long >= frame::LONGEST {
            return Err(LogError::TooLarge { what: "a log", size: long, limit: frame::LONGEST });
        }
        let many_names = self.active.names.len() + batch.names().len() > NAMES;
        // A segment without entries stays, however long: the next one would have the same name.
        if self.active.has_entries && (!self.has_room(size) || many_names) {
            self.roll()?;
        }
        let Self { staged, active, shared, .. } = self;
        let start = active.base + active.at;
        staged.encode(batch, shared, start, self.head, &mut active.names, &mut self.frame);
        self.seal(Kind::Data, batch.entries() as u32);
        if sabotage::is("readers-see-unsynced-data") {
            self.shared.change().head += batch.entries() as u64;
        }
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
        if sabotage::is("acknowledge-before-sync") {
            self.sync()?;
        }
        if let Err(error) = self.active.file.write_full(&self.frame, self.active.at) {
            return Err(match is_full(&error) {
                true => self.withdraw(),
                false => self.fail("write", &error),
            });
        }
        if self.options.durability == Durability::Sync {
            let skipped =
                sabotage::is("skip-a-sync") && self.head.is_multiple_of(5) && self.frame.len() > frame::HEADER;
            if !skipped && !sabotage::is("acknowledge-before-sync") {
                self.sync()?;
            }
            self.synced = self.active.base + self.active.at + self.frame.len() as u64;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        match self.active.file.sync_data() {
            Err(_) if sabotage::is("ignore-a-failed-sync") => Ok(()),
            Err(_) if sabotage::is("retry-a-failed-sync") => {
                self.active.file.sync_data().map_err(|error| self.fail("sync", &error))
            }
            synced => synced.map_err(|error| self.fail("sync", &error)),
        }
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

    /// Frees what is only there to save time.
    fn give_back(&mut self) {
        self.checkpointer.give_back();
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
        // Seldom: while somebody reads, this copies the list.
        let is_news = !staged.names.is_empty() || (entries > 0 && segments.last().is_some_and(|last| last.is_due(at)));
        if is_news && let Some(segment) = Arc::make_mut(segments).last_mut() {
            if !staged.names.is_empty() {
                Arc::make_mut(&mut segment.names).append(&mut staged.names);
            }
            if entries > 0 {
                segment.remember(appended.first, at);
            }
        }
        for (key, head) in staged.heads.drain() {
            heads.insert(key, head);
        }
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
        view.next_frame = self.next_frame;
        view.last = self.last;
        view.end = active.base + active.at;
        view.synced = self.synced;
        let end = view.end;
        drop(view);
        if let Some(ahead) = &mut self.ahead {
            ahead.keep_up(active.at, active.filled.max(segment::FIRST));
        }
        self.checkpointer.keep_up(end);
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
        let mut view = self.shared.change();
        (view.end, view.synced, view.next_frame, view.last) = (self.synced, self.synced, self.next_frame, self.last);
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
        // What cannot be noted is only not told apart from a loss; the next segment and the next open are other chances.
        drop(newest::note(&*disk, &self.dir, header.first));
        let at = segment::HEADER as u64;
        self.synced = base + at;
        {
            let mut view = self.shared.change();
            let segments = Arc::make_mut(&mut view.segments);
            if let Some(sealed) = segments.last_mut() {
                sealed.file = self.files.sealed(&sealed.path);
            }
            segments.push(Segment::new(path.clone(), Arc::clone(&file), &header));
            (view.end, view.synced) = (base + at, base + at);
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
