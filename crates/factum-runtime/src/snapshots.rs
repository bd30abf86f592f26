//! Snapshots written in the background: the engine hands a copy of a state over and goes on.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{Builder, JoinHandle},
};

use factum_core::{
    ports::{MAX_STATE_BYTES, SnapshotError, Snapshots},
    snapshot::{Snapshot, Unwritten},
    stream::{Lineage, Position},
};

/// Bytes of states that may wait to be written.
const MAX_WAITING_BYTES: usize = MAX_STATE_BYTES;
/// A state whose size is not known yet counts as so many, and no state as fewer.
const LEAST_BYTES: usize = 64 << 10;

/// A store of snapshots whose writing is done by a thread of its own, one after the other: also that of a state as bytes.
/// What waits when it is dropped is still written.
pub struct Background {
    store: Arc<dyn Snapshots>,
    /// Gone only while it is dropped.
    queue: Option<mpsc::Sender<Job>>,
    waiting_bytes: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// A snapshot to be written.
struct Job {
    name: String,
    bytes: usize,
    put: Put,
}

type Put = Box<dyn FnOnce(&dyn Snapshots, &str) -> Result<(), SnapshotError> + Send>;

impl Background {
    /// Over a store.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn over(store: Arc<dyn Snapshots>) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel::<Job>();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let (to, left) = (store.clone(), waiting_bytes.clone());
        let write = move || {
            for Job { name, bytes, put } in waiting {
                match put(&*to, &name) {
                    Ok(()) => tracing::debug!(name, "snapshot written"),
                    Err(error) => tracing::warn!(name, %error, "a snapshot was not written"),
                }
                left.fetch_sub(bytes, Ordering::Relaxed);
            }
        };
        let thread = Builder::new().name("factum-snapshots".into()).spawn(write)?;
        Ok(Self { store, queue: Some(queue), waiting_bytes, thread: Some(thread) })
    }

    fn wait(&self, name: &str, bytes: usize, put: Put) -> Result<(), SnapshotError> {
        let bytes = bytes.clamp(LEAST_BYTES, MAX_WAITING_BYTES);
        let room = |waiting: usize| waiting.checked_add(bytes).filter(|sum| *sum <= MAX_WAITING_BYTES);
        if self.waiting_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Err(SnapshotError::Busy);
        }
        let ended = || SnapshotError::Store("the thread that writes them has ended".to_owned());
        self.queue.as_ref().ok_or_else(ended)?.send(Job { name: name.to_owned(), bytes, put }).map_err(|_| ended())
    }
}

impl Snapshots for Background {
    fn get(&self, name: &str) -> Result<Option<Snapshot>, SnapshotError> {
        self.store.get(name)
    }

    fn put(&self, name: &str, snapshot: Snapshot) -> Result<(), SnapshotError> {
        SnapshotError::check(&snapshot)?;
        self.wait(name, snapshot.state.len(), Box::new(move |store, name| store.put(name, snapshot)))
    }

    fn put_unwritten(
        &self,
        name: &str,
        snapshot: Unwritten,
        done: Box<dyn FnOnce(Option<usize>) + Send>,
    ) -> Result<(), SnapshotError> {
        self.wait(name, snapshot.about, Box::new(move |store, name| store.put_unwritten(name, snapshot, done)))
    }

    fn remove(&self, name: &str) -> Result<(), SnapshotError> {
        self.store.remove(name)
    }

    fn retain(&self, lineage: Lineage, head: Position) -> Result<(), SnapshotError> {
        self.store.retain(lineage, head)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.queue.take());
        // A thread that panicked has said so already.
        _ = self.thread.take().map(JoinHandle::join);
    }
}
