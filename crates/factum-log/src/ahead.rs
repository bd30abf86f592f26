//! A thread of its own that fills the next segment with zeroes, so that no append pays for it.
//!
//! It goes at the log's own pace: it is as far with the next segment as the log is with its own, and done a little
//! before. A log at rest fills nothing, and at most one segment is ahead.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::disk::{Disk, DiskFile};
use crate::segment;

/// How much is filled and synced at once.
const PIECE: u64 = 1 << 20;

/// The filling of segments ahead. Dropping it ends the thread and removes what nobody took.
pub(crate) struct Ahead {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
    told: u64,
}

#[derive(Debug)]
struct Desk {
    orders: Mutex<Orders>,
    changed: Condvar,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    size: u64,
}

#[derive(Debug, Default)]
struct Orders {
    /// Bytes that are to be filled by now.
    wanted: u64,
    filled: u64,
    file: Option<Arc<dyn DiskFile>>,
    /// Filling failed. The log works without; the next segment is another chance.
    failed: bool,
    stop: bool,
    /// Which file is being filled: a piece of one that was given back or taken meanwhile is not one of the next.
    generation: u64,
}

impl Orders {
    /// Begins with another file.
    fn renew(&mut self, failed: bool) {
        *self = Self { failed, stop: self.stop, generation: self.generation + 1, ..Self::default() };
    }
}

impl Ahead {
    /// Gets ready to fill segments of `size` bytes in `dir`. The thread begins with the first work for it.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, size: u64) -> Self {
        let path = dir.join(segment::SPARE);
        let desk = Desk { orders: Mutex::default(), changed: Condvar::new(), disk, path, size };
        Self { desk: Arc::new(desk), thread: None, told: 0 }
    }

    /// Says how far the log is with its segment.
    pub fn keep_up(&mut self, used: u64, limit: u64) {
        // Done at three quarters, in whole pieces.
        let share = (used as f64 / limit as f64 * 4.0 / 3.0).min(1.0);
        let wanted = if share < 1.0 { (share * self.desk.size as f64) as u64 / PIECE * PIECE } else { self.desk.size };
        if wanted <= self.told {
            return;
        }
        self.told = wanted;
        if self.thread.is_none() {
            let desk = Arc::clone(&self.desk);
            // Without a thread there are no filled segments, and the log is slower but right.
            self.thread = thread::Builder::new().name("factum-log-ahead".into()).spawn(move || desk.work()).ok();
        }
        self.desk.orders().wanted = wanted;
        self.desk.changed.notify_one();
    }

    /// Whether a filled segment can be taken.
    pub fn is_ready(&self) -> bool {
        let orders = self.desk.orders();
        orders.file.is_some() && orders.filled >= self.desk.size
    }

    /// Gives the space of the next segment back, because the log itself has none; nothing is filled until the next one.
    pub fn give_back(&mut self) {
        let mut orders = self.desk.orders();
        orders.renew(true);
        // If it is not there, there is nothing to give back.
        drop(self.desk.disk.remove(&self.desk.path));
    }

    /// The filled segment and its temporary name, if it is ready.
    pub fn take(&mut self) -> Option<(PathBuf, Arc<dyn DiskFile>)> {
        let mut orders = self.desk.orders();
        if orders.failed {
            orders.renew(false);
            self.told = 0;
            return None;
        }
        if orders.filled < self.desk.size {
            return None;
        }
        let file = orders.file.take()?;
        orders.renew(false);
        self.told = 0;
        Some((self.desk.path.clone(), file))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.desk.orders().stop = true;
        self.desk.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the thread itself, and nothing of the log depends on it.
            drop(thread.join());
        }
        if self.desk.orders().file.take().is_some() {
            // Only to give the space back: what stays is removed by the next open.
            drop(self.desk.disk.remove(&self.desk.path));
        }
    }
}

impl Desk {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut orders = self.orders();
        while !orders.stop {
            if orders.failed || orders.filled >= orders.wanted {
                orders = self.changed.wait(orders).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (file, from, generation) = (orders.file.clone(), orders.filled, orders.generation);
            drop(orders);
            let piece = self.piece(file, from);
            orders = self.orders();
            if orders.generation != generation {
                // Given back meanwhile. If it was made only after that, it is still there; nobody else makes one.
                drop(self.disk.remove(&self.path));
                continue;
            }
            match piece {
                Ok((file, to)) if !orders.failed => (orders.file, orders.filled) = (Some(file), to),
                _ => {
                    orders.failed = true;
                    orders.file = None;
                    // The space is what the log itself needs most now.
                    drop(self.disk.remove(&self.path));
                }
            }
        }
    }

    fn piece(&self, file: Option<Arc<dyn DiskFile>>, from: u64) -> io::Result<(Arc<dyn DiskFile>, u64)> {
        let file = match file {
            Some(file) => file,
            None => segment::create_temp(&*self.disk, &self.path)?,
        };
        let to = (from + PIECE).min(self.size);
        segment::fill(&*file, from, to)?;
        // Each piece is synced on its own, so that no sync of the log queues behind a whole segment of zeroes.
        file.sync_data()?;
        Ok((file, to))
    }
}
