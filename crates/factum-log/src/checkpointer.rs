//! The writing of checkpoints beside the log: by a thread of its own, or one step after each append where there may be
//! none.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crc_fast::Digest;

use crate::checkpoint::{self, Header};
use crate::disk::{Disk, DiskFile};
use crate::error::{During, LogError};
use crate::heads::{Heads, Shared};
use crate::segment;

/// How much is written and synced at once, so that no sync of the log queues behind a whole checkpoint.
const PIECE: usize = 1 << 20;
/// How long to wait for the log to sync what a complete checkpoint holds.
const WAIT: Duration = Duration::from_millis(20);
/// The log grows by so many sizes of a checkpoint until the next one.
const SPARSE: u64 = 4;

/// When checkpoints are due, and the one under way. Dropping it ends that one.
pub(crate) struct Checkpointer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    shared: Arc<Shared>,
    every: u64,
    /// Log offset at which the next one is due.
    due: u64,
    run: Run,
    failure: Option<String>,
}

enum Run {
    None,
    Steps(Box<Work>),
    Thread(JoinHandle<Result<Written, LogError>>, Arc<AtomicBool>),
}

/// A checkpoint that was written.
#[derive(Clone, Copy)]
struct Written {
    offset: u64,
    bytes: u64,
}

impl Checkpointer {
    /// Writes checkpoints of the log in `dir`, the first one when it has grown by `every` bytes behind `last`.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, shared: Arc<Shared>, every: u64, last: u64) -> Self {
        let due = last.saturating_add(every);
        Self { disk, dir: dir.to_owned(), shared, every, due, run: Run::None, failure: None }
    }

    /// Begins a checkpoint if one is due, or goes on with it.
    pub fn keep_up(&mut self, end: u64) {
        match &mut self.run {
            Run::None if end < self.due => {}
            Run::None => self.begin(),
            Run::Steps(work) => {
                let step = work.step();
                self.after(step);
            }
            Run::Thread(thread, _) if !thread.is_finished() => {}
            Run::Thread(..) => {
                let Run::Thread(thread, _) = std::mem::replace(&mut self.run, Run::None) else { return };
                // A panic there has been reported by the thread itself; the log depends on nothing of it.
                match thread.join() {
                    Ok(written) => self.after(written.map(Some)),
                    Err(_) => self.put_off(),
                }
            }
        }
    }

    /// Writes a checkpoint now, and waits for it.
    pub fn write(&mut self) -> Result<(), LogError> {
        self.end();
        let mut work = self.work();
        loop {
            let step = work.step();
            if let Ok(None) = step {
                continue;
            }
            let failed = step.as_ref().is_err();
            self.after(step);
            return match (failed, self.failure.clone()) {
                (true, Some(what)) => Err(LogError::Io {
                    file: self.dir.clone(),
                    op: "write a checkpoint in",
                    source: std::io::Error::other(what),
                }),
                _ => Ok(()),
            };
        }
    }

    /// Gives up the checkpoint under way and the space that it takes, because the log itself has none. The next one is
    /// due when the log has grown again.
    pub fn give_back(&mut self) {
        match std::mem::replace(&mut self.run, Run::None) {
            Run::None => return,
            Run::Steps(work) => drop(work.give_up()),
            Run::Thread(thread, stop) => {
                stop.store(true, Ordering::Relaxed);
                // Waited for, so that the space is there when the log says that it had none.
                if let Ok(Ok(written)) = thread.join() {
                    return self.after(Ok(Some(written)));
                }
            }
        }
        self.put_off();
    }

    /// Why the last checkpoint could not be written; the next one is another chance.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn work(&self) -> Work {
        Work::new(Arc::clone(&self.disk), &self.dir, Arc::clone(&self.shared))
    }

    fn begin(&mut self) {
        let mut work = self.work();
        if !self.disk.background() {
            self.run = Run::Steps(Box::new(work));
            return;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            loop {
                if stopped.load(Ordering::Relaxed) {
                    return Err(work.give_up());
                }
                if let Some(written) = work.step()? {
                    return Ok(written);
                }
                if work.waits() {
                    thread::sleep(WAIT);
                }
            }
        };
        match thread::Builder::new().name("factum-log-checkpoint".into()).spawn(run) {
            Ok(thread) => self.run = Run::Thread(thread, stop),
            Err(_) => self.put_off(),
        }
    }

    fn after(&mut self, step: Result<Option<Written>, LogError>) {
        match step {
            Ok(None) => {}
            Ok(Some(Written { offset, bytes })) => {
                self.failure = None;
                self.due = offset + self.every.max(bytes.saturating_mul(SPARSE));
                self.run = Run::None;
            }
            Err(error) => {
                self.failure = Some(error.to_string());
                self.put_off();
            }
        }
    }

    fn put_off(&mut self) {
        self.run = Run::None;
        self.due = self.shared.view().end.saturating_add(self.every);
    }

    fn end(&mut self) {
        if let Run::Thread(thread, stop) = std::mem::replace(&mut self.run, Run::None) {
            stop.store(true, Ordering::Relaxed);
            // As above.
            drop(thread.join());
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.end();
    }
}

/// What is written next.
enum Stage {
    Begin,
    Shard(usize),
    /// The cells behind this one.
    Cells(Option<Arc<[u8]>>),
    End,
}

/// One checkpoint under way.
struct Work {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    shared: Arc<Shared>,
    file: Option<Arc<dyn DiskFile>>,
    header: Header,
    digest: Digest,
    buffer: Vec<u8>,
    stage: Stage,
}

impl Work {
    fn new(disk: Arc<dyn Disk>, dir: &Path, shared: Arc<Shared>) -> Self {
        let (header, digest) = (Header::default(), checkpoint::digest());
        Self { disk, dir: dir.to_owned(), shared, file: None, header, digest, buffer: Vec::new(), stage: Stage::Begin }
    }

    /// Writes the next piece; answers at the last one. After an error nothing is left of it.
    fn step(&mut self) -> Result<Option<Written>, LogError> {
        let stepped = match self.stage {
            Stage::Begin => self.begin().map(|()| None),
            Stage::Shard(from) => self.shards(from).map(|()| None),
            Stage::Cells(ref after) => {
                let after = after.clone();
                self.cells(after).map(|()| None)
            }
            Stage::End => self.finish(),
        };
        if stepped.is_err() {
            drop(self.give_up());
        }
        stepped
    }

    /// Whether there is nothing left to do but to wait.
    fn waits(&self) -> bool {
        self.header.upto > 0
    }

    /// Removes what is there of it.
    fn give_up(&self) -> LogError {
        let temp = self.dir.join(checkpoint::TEMP);
        // If it stays, the next checkpoint or the next open removes it.
        drop(self.disk.remove(&temp));
        LogError::Io { file: temp, op: "finish", source: std::io::ErrorKind::Interrupted.into() }
    }

    fn begin(&mut self) -> Result<(), LogError> {
        let temp = self.dir.join(checkpoint::TEMP);
        let shared = Arc::clone(&self.shared);
        self.file = Some(segment::create_temp(&*self.disk, &temp).during("create", &temp)?);
        let view = shared.view();
        for segment in view.segments.iter() {
            checkpoint::write_segment(&mut self.buffer, segment);
        }
        let (log_id, epoch) = (shared.lineage.log_id, shared.lineage.epoch);
        let (last, head, next_frame, offset) = (view.last, view.head, view.next_frame, view.end);
        let segments = view.segments.len() as u64;
        self.header = Header { log_id, epoch, last, head, next_frame, offset, segments, ..Header::default() };
        drop(view);
        self.stage = Stage::Shard(0);
        self.write()
    }

    fn shards(&mut self, from: usize) -> Result<(), LogError> {
        let mut shard = from;
        while shard < Heads::SHARDS && self.buffer.len() < PIECE {
            self.shared.view().heads.write(shard, &mut self.buffer);
            shard += 1;
        }
        self.header.heads += (self.buffer.len() / Heads::WRITTEN) as u64;
        self.stage = if shard < Heads::SHARDS { Stage::Shard(shard) } else { Stage::Cells(None) };
        self.write()
    }

    fn cells(&mut self, after: Option<Arc<[u8]>>) -> Result<(), LogError> {
        let mut last = None;
        {
            let view = self.shared.view();
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            for (key, cell) in view.cells.range::<[u8], _>((from, Bound::Unbounded)) {
                checkpoint::write_cell(&mut self.buffer, key, cell);
                self.header.cells += 1;
                last = Some(Arc::clone(key));
                if self.buffer.len() >= PIECE {
                    break;
                }
            }
        }
        self.stage = if last.is_some() { Stage::Cells(last) } else { Stage::End };
        self.write()
    }

    /// Writes the buffer behind what is there, and syncs it.
    fn write(&mut self) -> Result<(), LogError> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let at = checkpoint::HEADER as u64 + self.header.length;
        let written = file.write_full(&self.buffer, at).and_then(|()| file.sync_data());
        written.during("write", &self.dir.join(checkpoint::TEMP))?;
        self.digest.update(&self.buffer);
        self.header.length += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Completes it, once all that it may hold is synced. The log itself has to do that: a sync from here could be the
    /// one that hears of a failure which the log must hear of.
    fn finish(&mut self) -> Result<Option<Written>, LogError> {
        let (end, synced) = {
            let view = self.shared.view();
            (view.end, view.synced)
        };
        if self.header.upto == 0 {
            self.header.upto = end;
        }
        if synced < self.header.upto {
            return Ok(None);
        }
        let temp = self.dir.join(checkpoint::TEMP);
        let Some(file) = &self.file else { return Err(self.give_up()) };
        self.header.crc = self.digest.clone().finalize() as u32;
        file.write_full(&self.header.write(), 0).and_then(|()| file.sync_data()).during("write", &temp)?;
        let path = self.dir.join(checkpoint::file_name(self.header.head));
        self.disk.rename(&temp, &path).and_then(|()| self.disk.sync_dir(&self.dir)).during("rename", &temp)?;
        self.sweep();
        Ok(Some(Written { offset: self.header.offset, bytes: checkpoint::HEADER as u64 + self.header.length }))
    }

    /// Removes checkpoints that nobody needs: of another log or epoch, and all but the newest of this one. What cannot be
    /// removed is tried again the next time.
    fn sweep(&self) {
        let mut kept = 0;
        for path in checkpoint::list(&*self.disk, &self.dir).unwrap_or_default() {
            let header = checkpoint::load_header(&*self.disk, &path).ok().flatten();
            let ours = header.is_some_and(|it| (it.log_id, it.epoch) == (self.header.log_id, self.header.epoch));
            kept += usize::from(ours);
            if !ours || kept > checkpoint::KEPT {
                drop(self.disk.remove(&path));
            }
        }
    }
}
