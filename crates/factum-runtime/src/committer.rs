//! The committer: judges commits by [`check`] and writes them, all that wait in one batch, one write, one sync.
//!
//! There is no thread of its own: whoever gets the backend's lock writes for all who queued meanwhile (flat combining:
//! Hendler, Incze, Shavit, Tzafrir, 2010). A lone caller pays no handover, many callers share one sync.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use factum_core::{
    commit::{Commit, MAX_COMMIT_BYTES, Owners, Plan, Wanted, check},
    envelope::Stored,
    error::{CommitError, StoreError},
    ports::{Backend, Reader},
    stream::{Position, StreamVersion},
    upcast::{Raised, Upcasters},
};

use crate::tail::Tail;

/// See the module.
pub struct Committer {
    owners: Owners,
    queue: Mutex<VecDeque<Waiting>>,
    backend: Mutex<Box<dyn Backend>>,
    tail: Arc<Tail>,
    /// Read once: asking the backend would wait for what it writes.
    plain: Arc<dyn Reader>,
    /// The same, through upcasters.
    reader: Arc<dyn Reader>,
    upcasters: Upcasters,
    durability: &'static str,
}

type Slot = Arc<Mutex<Option<Result<Position, CommitError>>>>;

struct Waiting {
    commit: Commit,
    slot: Slot,
}

impl Committer {
    /// A committer over a backend.
    pub fn new(backend: Box<dyn Backend>, owners: Owners) -> Self {
        let (reader, durability) = (backend.reader(), backend.durability());
        let tail = Arc::new(Tail::new(reader.head()));
        Self {
            owners,
            queue: Mutex::default(),
            backend: Mutex::new(backend),
            tail,
            plain: reader.clone(),
            reader,
            upcasters: Upcasters::default(),
            durability,
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

    /// Commits, and answers the position of the last message of its batch once it is durable. Blocks.
    ///
    /// # Errors
    /// [`CommitError::Refused`] if nothing was written because a rule stands in the way, [`CommitError::Store`] if the
    /// store failed.
    pub fn commit(&self, commit: Commit) -> Result<Position, CommitError> {
        let slot = Slot::default();
        lock(&self.queue).push_back(Waiting { commit, slot: slot.clone() });
        let mut backend = lock(&self.backend);
        // Whoever held the backend before may have written this commit along with its own.
        loop {
            if let Some(outcome) = lock(&slot).take() {
                return outcome;
            }
            let batch = self.next_batch();
            if batch.is_empty() {
                return Err(StoreError::Permanent("the commit was lost in the queue".into()).into());
            }
            self.write(&mut **backend, batch);
        }
    }

    /// The commits at the head of the queue that one write may hold; always at least one if any waits.
    fn next_batch(&self) -> Vec<Waiting> {
        let mut queue = lock(&self.queue);
        if queue.len() < 2 {
            return queue.drain(..).collect();
        }
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.commit.bytes();
            bytes <= MAX_COMMIT_BYTES
        };
        let count = queue.iter().take_while(fits).count().max(1).min(queue.len());
        queue.drain(..count).collect()
    }

    /// Tells the backend that there has been nothing to write for a moment.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written.
    pub fn idle(&self) -> Result<(), StoreError> {
        lock(&self.backend).idle()
    }

    /// Looks whether the store is still where it was opened.
    ///
    /// # Errors
    /// [`StoreError`] if it is not.
    pub fn look(&self) -> Result<(), StoreError> {
        lock(&self.backend).look()
    }

    fn write(&self, backend: &mut dyn Backend, batch: Vec<Waiting>) {
        let mut wanted = Wanted::default();
        for waiting in &batch {
            let more = waiting.commit.wanted();
            wanted.streams.extend(more.streams);
            wanted.cells.extend(more.cells);
        }
        let mut found = match backend.find(&wanted) {
            Ok(found) => found,
            Err(error) => return answer(batch.into_iter().map(|waiting| waiting.slot), &Err(error.into())),
        };
        let mut plans: Vec<Plan> = Vec::with_capacity(batch.len());
        let mut slots = Vec::with_capacity(batch.len());
        let many = batch.len();
        for (index, waiting) in batch.into_iter().enumerate() {
            match check(&self.owners, &found, waiting.commit) {
                Err(refusal) => answer([waiting.slot], &Err(refusal.into())),
                Ok(plan) => {
                    // Nobody is judged behind the last.
                    if index + 1 < many {
                        found.apply(&plan);
                    }
                    plans.push(plan);
                    slots.push(waiting.slot);
                }
            }
        }
        if plans.is_empty() {
            return;
        }
        match backend.write(&plans) {
            Err(error) => answer(slots, &Err(error.into())),
            Ok(last) => {
                let mut placed = place(plans, last);
                // Who writes an older minor is read at once as it would be after a restart.
                if !self.upcasters.is_empty() {
                    placed.iter_mut().for_each(|stored| self.upcasters.raise(&mut stored.message));
                }
                self.tail.push(placed);
                answer(slots, &Ok(last));
            }
        }
    }
}

/// Gives the messages of a batch the positions that end at `last`.
fn place(plans: Vec<Plan>, last: Position) -> Vec<Stored> {
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

fn answer(slots: impl IntoIterator<Item = Slot>, outcome: &Result<Position, CommitError>) {
    for slot in slots {
        *lock(&slot) = Some(outcome.clone());
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A backend that panicked answers errors from then on; a queue or slot cannot be left half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
