//! Snapshots written in the background: the engine hands a state over and goes on.

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
    snapshot::Snapshot,
    stream::{Lineage, Position},
};

/// Bytes of states that may wait to be written.
const MAX_WAITING_BYTES: usize = MAX_STATE_BYTES;

/// A store of snapshots whose `put` is done by a thread of its own, one after the other. What waits when it is dropped is
/// still written.
pub struct Background {
    store: Arc<dyn Snapshots>,
    /// Gone only while it is dropped.
    queue: Option<mpsc::Sender<(String, Snapshot)>>,
    waiting_bytes: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Over a store.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn over(store: Arc<dyn Snapshots>) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel::<(String, Snapshot)>();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let (to, left) = (store.clone(), waiting_bytes.clone());
        let write = move || {
            for (name, snapshot) in waiting {
                let (position, bytes) = (snapshot.at.position.0, snapshot.state.len());
                match to.put(&name, snapshot) {
                    Ok(()) => tracing::debug!(name, position, bytes, "snapshot written"),
                    Err(error) => tracing::warn!(name, %error, "a snapshot was not written"),
                }
                left.fetch_sub(bytes, Ordering::Relaxed);
            }
        };
        let thread = Builder::new().name("factum-snapshots".into()).spawn(write)?;
        Ok(Self { store, queue: Some(queue), waiting_bytes, thread: Some(thread) })
    }
}

impl Snapshots for Background {
    fn get(&self, name: &str) -> Result<Option<Snapshot>, SnapshotError> {
        self.store.get(name)
    }

    fn put(&self, name: &str, snapshot: Snapshot) -> Result<(), SnapshotError> {
        SnapshotError::check(&snapshot)?;
        let bytes = snapshot.state.len();
        let room = |waiting: usize| waiting.checked_add(bytes).filter(|sum| *sum <= MAX_WAITING_BYTES);
        if self.waiting_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Err(SnapshotError::Busy);
        }
        let ended = || SnapshotError::Store("the thread that writes them has ended".to_owned());
        self.queue.as_ref().ok_or_else(ended)?.send((name.to_owned(), snapshot)).map_err(|_| ended())
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
