//! The committer: judges commits by [`check`], writes them in one transaction, and shows the tail what is durable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_core::{
    commit::{Commit, Owners, Wanted, check},
    envelope::Stored,
    error::{CommitError, StoreError},
    ports::{Backend, Judge, Lease, Reader, Written},
    stream::{Position, StreamVersion},
    upcast::{Raised, Upcasters},
};

use crate::tail::Tail;

/// See the module.
pub struct Committer {
    owners: Owners,
    backend: Mutex<Box<dyn Backend>>,
    tail: Arc<Tail>,
    /// Read once: asking the backend would wait for what it writes.
    plain: Arc<dyn Reader>,
    /// The same, through upcasters.
    reader: Arc<dyn Reader>,
    upcasters: Upcasters,
    durability: &'static str,
    lease: Option<Arc<dyn Lease>>,
}

impl Committer {
    /// A committer over a backend.
    pub fn new(backend: Box<dyn Backend>, owners: Owners) -> Self {
        let (reader, durability, lease) = (backend.reader(), backend.durability(), backend.lease());
        let tail = Arc::new(Tail::new(reader.head()));
        Self {
            owners,
            backend: Mutex::new(backend),
            tail,
            plain: reader.clone(),
            reader,
            upcasters: Upcasters::default(),
            durability,
            lease,
        }
    }

    /// Everything that is read back, and what the tail shows, goes through these upcasters.
    #[must_use]
    pub fn upcasting(mut self, upcasters: &Upcasters) -> Self {
        self.reader = Raised::over(self.reader, upcasters);
        self.upcasters = upcasters.clone();
        self
    }

    /// The tail keeps that many bytes instead of [`crate::tail::RING_BYTES`]. To be said before anybody follows it.
    #[must_use]
    pub fn ring(mut self, bytes: usize) -> Self {
        self.tail = Arc::new(Tail::keeping(self.tail.head(), bytes));
        self
    }

    /// The tail that durable messages go to.
    pub fn tail(&self) -> Arc<Tail> {
        self.tail.clone()
    }

    /// The reading side of the store, without upcasters. Never waits.
    pub fn plain_reader(&self) -> Arc<dyn Reader> {
        self.plain.clone()
    }

    /// The reading side of the store. Never waits.
    pub fn reader(&self) -> Arc<dyn Reader> {
        self.reader.clone()
    }

    /// What an acknowledged commit survives, as a word. Never waits.
    pub fn durability(&self) -> &'static str {
        self.durability
    }

    /// By what this process leads, where several could.
    pub fn lease(&self) -> Option<Arc<dyn Lease>> {
        self.lease.clone()
    }

    /// Commits, and answers the position of its last message, or the log's last if it has none, once it is durable. Blocks.
    ///
    /// # Errors
    /// [`CommitError::Refused`] if nothing was written because a rule stands in the way, [`CommitError::Store`] if the
    /// store failed.
    pub fn commit(&self, commit: Commit) -> Result<Position, CommitError> {
        let mut wanted = commit.wanted();
        let (mut commit, mut again, mut refused) = (Some(commit), None, None);
        let mut backend = lock(&self.backend);
        if backend.supposes() {
            wanted.supposed = commit.as_ref().map(Commit::supposed);
            again = commit.clone();
        }
        let written = backend.transact(&wanted, &mut |found| {
            let judged = commit.take().or_else(|| again.take()).map(|commit| check(&self.owners, &found, commit));
            match judged {
                Some(Ok(plan)) => {
                    refused = None;
                    vec![plan]
                }
                Some(Err(refusal)) => {
                    refused = Some(refusal);
                    Vec::new()
                }
                None => Vec::new(),
            }
        })?;
        match (refused, written) {
            (Some(refusal), _) => Err(refusal.into()),
            (None, Some(written)) => {
                let last = written.last;
                let mut placed = place(written);
                // Who writes an older minor is read at once as it would be after a restart.
                if !self.upcasters.is_empty() {
                    placed.iter_mut().for_each(|stored| self.upcasters.raise(&mut stored.message));
                }
                // Under the backend's lock: the tail gets what was written in its order.
                self.tail.push(placed);
                Ok(last)
            }
            (None, None) => Err(StoreError::Permanent("the store has not asked what may be written".to_owned()).into()),
        }
    }

    /// Tells the backend that there has been nothing to write for a moment.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written.
    pub fn idle(&self) -> Result<(), StoreError> {
        lock(&self.backend).idle()
    }

    /// Gives the store away, for whoever closes it or does with it what no unit does; commits are refused from then on, and what
    /// was read is still there.
    pub fn release(&self) -> Box<dyn Backend> {
        std::mem::replace(&mut *lock(&self.backend), Box::new(Released(self.plain.clone())))
    }

    /// Looks whether the store is still where it was opened.
    ///
    /// # Errors
    /// [`StoreError`] if it is not.
    pub fn look(&self) -> Result<(), StoreError> {
        lock(&self.backend).look()
    }
}

/// What stands in the place of a store that was given away.
struct Released(Arc<dyn Reader>);

impl Backend for Released {
    fn transact(&mut self, _: &Wanted, _: &mut Judge<'_>) -> Result<Option<Written>, StoreError> {
        Err(StoreError::Permanent("this app has stopped, and its store is closed".to_owned()))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.0.clone()
    }

    fn durability(&self) -> &'static str {
        "closed"
    }
}

/// Gives the messages that were written the positions that end with the last.
fn place(Written { last, plans }: Written) -> Vec<Stored> {
    let appends = || plans.iter().flat_map(|plan| &plan.appends);
    let count: u64 = appends().map(|append| append.messages.len() as u64).sum();
    let mut position = last.0 - count;
    let mut placed = Vec::with_capacity(count as usize);
    for append in plans.into_iter().flat_map(|plan| plan.appends) {
        for (version, message) in (append.first.0..).zip(append.messages) {
            position += 1;
            let version = StreamVersion(version);
            placed.push(Stored { position: Position(position), stream: append.stream.clone(), version, message });
        }
    }
    placed
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A backend that panicked answers errors from then on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
