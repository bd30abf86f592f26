//! A cache that events keep: what was looked up often is in memory, and an event that changes it changes it here.
//!
//! ```text
//!   event ──► handler: put, update, remove ──► values ──► get: a hit, no older than the TTL
//!                                                │ miss
//!                                                ▼
//!                                    the source, read at the cache's position ──► filled, unless an event came between
//! ```
//!
//! It is kept in memory and begins empty: at a start the log is read from its beginning, and until that is done it
//! answers nothing. For handlers of routes and for calls, such as the answer while a breaker is open
//! ([`CallSpec::fallback`](factum_core::call::CallSpec::fallback)). The engine's handlers are pure and do not see it:
//! what they look up they fold ([`Folding`](factum_core::reaction::Folding)).

use std::{
    fmt,
    hash::{BuildHasher, Hash},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use factum_core::{
    cache::{AnyCache, CacheShown},
    envelope::{Recorded, Stored},
    error::HandlerError,
    payload::{Event, TypeInfo},
    ports::{Clock, Reader},
    stream::Position,
};
use jiff::Timestamp;

/// Keys share so many counters of changes: a value that is filled in beside a change of another key of the same counter is
/// not kept, which costs a miss.
const SHELVES: usize = 64;

/// See the module. Clones are the same cache.
pub struct Cache<K, V> {
    inner: Arc<Inner<K, V>>,
}

struct Inner<K, V> {
    name: &'static str,
    ttl: Duration,
    most: u64,
    values: moka::sync::Cache<K, Value<V>>,
    /// Changes by events.
    shelves: [Mutex<u64>; SHELVES],
    hasher: foldhash::fast::FixedState,
    unit: OnceLock<(Arc<dyn Clock>, Arc<dyn Reader>)>,
    live: AtomicBool,
    /// The event that is taken in, or was last.
    begun: AtomicU64,
    position: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    expired: AtomicU64,
    failures: AtomicU64,
}

#[derive(Clone)]
struct Value<V> {
    /// What it stands for was so at this time.
    at: Timestamp,
    /// Of what was filled in: the log's head then. An event up to here may be in the value already.
    read_by: Position,
    value: V,
}

/// The right to fill a value in that was missing: given before the source is read, and void when an event has changed the
/// key meanwhile.
pub struct Ticket<K> {
    key: K,
    shelf: u64,
    at: Timestamp,
    /// Read the source at this position or later.
    pub after: Position,
}

impl<K, V> Cache<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A cache that answers no value older than `ttl` and keeps `most` of them; of more, those that are asked for least go.
    pub fn new(name: &'static str, ttl: Duration, most: u64) -> Self {
        let inner = Inner {
            name,
            ttl,
            most,
            values: moka::sync::Cache::new(most),
            shelves: std::array::from_fn(|_| Mutex::new(0)),
            hasher: foldhash::fast::FixedState::default(),
            unit: OnceLock::new(),
            live: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            position: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// How events change it, to be given to [`Service::cache`](factum_core::service::Service::cache). The handler is pure.
    pub fn follow<E: Event>(
        &self,
        handler: impl Fn(&mut Values<'_, K, V>, &Recorded<'_, E>) + Send + Sync + 'static,
    ) -> Followed<K, V> {
        let take: Take<K, V> = Box::new(move |values, stored| {
            handler(values, &Recorded::<E>::read(stored)?);
            Ok(())
        });
        Followed { cache: self.clone(), types: E::types(), take }
    }

    /// A value, if there is one that is young enough.
    pub fn get(&self, key: &K) -> Option<V> {
        let inner = &*self.inner;
        let found = inner.now().and_then(|now| {
            let Value { at, value, .. } = inner.values.get(key)?;
            if !inner.is_old(at, now) {
                return Some(value);
            }
            inner.expired.fetch_add(1, Ordering::Relaxed);
            None
        });
        let counter = if found.is_some() { &inner.hits } else { &inner.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// A value as it was at a position or later, if there is one: for those who must see what they have just done.
    pub fn get_after(&self, key: &K, after: Position) -> Option<V> {
        match self.position() < after {
            true => {
                self.inner.misses.fetch_add(1, Ordering::Relaxed);
                None
            }
            false => self.get(key),
        }
    }

    /// Before the source is asked for what was missing; none as long as the cache answers nothing.
    pub fn ticket(&self, key: K) -> Option<Ticket<K>> {
        let at = self.inner.now()?;
        // In this order: an event that the shelf has seen was begun before, so that the source is read behind it; one
        // that it has not seen will change it.
        let shelf = *self.inner.shelf(&key);
        let after = Position(self.inner.begun.load(Ordering::Acquire));
        Some(Ticket { key, shelf, at, after })
    }

    /// Fills in what the source said; answers whether it was kept.
    pub fn fill(&self, ticket: Ticket<K>, value: V) -> bool {
        let shelf = self.inner.shelf(&ticket.key);
        let kept = *shelf == ticket.shelf;
        if kept {
            let read_by = self.inner.unit.get().map_or(Position::START, |(_, log)| log.head());
            self.inner.values.insert(ticket.key, Value { at: ticket.at, read_by, value });
        }
        kept
    }

    /// A value: from the cache, or from the source, which is read at the given position or later.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn get_or<F, Fut, X>(&self, key: &K, source: F) -> Result<Option<V>, X>
    where
        F: FnOnce(Position) -> Fut,
        Fut: Future<Output = Result<Option<V>, X>>,
    {
        if let Some(value) = self.get(key) {
            return Ok(Some(value));
        }
        let ticket = self.ticket(key.clone());
        let found = source(ticket.as_ref().map_or(Position::START, |ticket| ticket.after)).await?;
        if let (Some(ticket), Some(value)) = (ticket, &found) {
            self.fill(ticket, value.clone());
        }
        Ok(found)
    }

    /// Up to here it has taken in events.
    pub fn position(&self) -> Position {
        Position(self.inner.position.load(Ordering::Acquire))
    }
}

impl<K: Hash, V> Inner<K, V> {
    /// The time by the unit's clock, once it has taken in what the log held.
    fn now(&self) -> Option<Timestamp> {
        self.live.load(Ordering::Acquire).then(|| self.unit.get())?.map(|(clock, _)| clock.mark())
    }

    fn is_old(&self, at: Timestamp, now: Timestamp) -> bool {
        now.duration_since(at) >= jiff::SignedDuration::try_from(self.ttl).unwrap_or(jiff::SignedDuration::MAX)
    }

    fn shelf(&self, key: &K) -> MutexGuard<'_, u64> {
        let at = self.hasher.hash_one(key) as usize % SHELVES;
        // A number cannot be left half changed by a panic.
        self.shelves[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values of a cache, as its handler changes them by an event. They are as old as the event.
pub struct Values<'a, K, V> {
    inner: &'a Inner<K, V>,
    at: Timestamp,
    position: Position,
}

impl<K, V> Values<'_, K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Puts a whole value in.
    pub fn put(&mut self, key: &K, value: V) {
        let mut shelf = self.inner.shelf(key);
        *shelf += 1;
        self.inner.values.insert(key.clone(), Value { at: self.at, read_by: Position::START, value });
    }

    /// Changes a value that is there; what is not there is not made of a part. A value that was read from its source when this
    /// event was in the log already may hold the change: it is taken out instead.
    pub fn update(&mut self, key: &K, change: impl FnOnce(&mut V)) {
        let mut shelf = self.inner.shelf(key);
        *shelf += 1;
        match self.inner.values.get(key) {
            Some(Value { read_by, .. }) if self.position <= read_by => self.inner.values.invalidate(key),
            Some(mut found) => {
                // The rest of it is as old as it was.
                change(&mut found.value);
                self.inner.values.insert(key.clone(), found);
            }
            None => {}
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) {
        let mut shelf = self.inner.shelf(key);
        *shelf += 1;
        self.inner.values.invalidate(key);
    }
}

type Take<K, V> = Box<dyn Fn(&mut Values<'_, K, V>, &Stored) -> Result<(), HandlerError> + Send + Sync>;

/// A cache with how events change it: see [`Cache::follow`].
pub struct Followed<K, V> {
    cache: Cache<K, V>,
    types: Vec<TypeInfo>,
    take: Take<K, V>,
}

impl<K, V> AnyCache for Followed<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.cache.inner.name
    }

    fn types(&self) -> Vec<TypeInfo> {
        self.types.clone()
    }

    fn begin(&self, clock: Arc<dyn Clock>, log: Arc<dyn Reader>) {
        // A cache belongs to one unit; a second one would feed it too.
        if self.cache.inner.unit.set((clock, log)).is_err() {
            tracing::warn!(cache = self.name(), "a cache is fed by two units: make one for each");
        }
    }

    fn apply(&self, stored: &Stored) -> Result<(), HandlerError> {
        let inner = &*self.cache.inner;
        inner.begun.store(stored.position.0, Ordering::Release);
        (self.take)(&mut Values { inner, at: stored.envelope().timestamp, position: stored.position }, stored)
    }

    fn reached(&self, position: Position, live: bool) {
        self.cache.inner.position.store(position.0, Ordering::Release);
        self.cache.inner.live.fetch_or(live, Ordering::AcqRel);
    }

    fn clear(&self) {
        let inner = &*self.cache.inner;
        // With all shelves: who fills in what was read before must not put it back.
        for shelf in &inner.shelves {
            *shelf.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        inner.values.invalidate_all();
        inner.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn shown(&self) -> CacheShown {
        let inner = &*self.cache.inner;
        inner.values.run_pending_tasks();
        CacheShown {
            name: inner.name,
            live: inner.live.load(Ordering::Acquire),
            ttl_secs: inner.ttl.as_secs(),
            entries: inner.values.entry_count(),
            most: inner.most,
            hits: inner.hits.load(Ordering::Relaxed),
            misses: inner.misses.load(Ordering::Relaxed),
            expired: inner.expired.load(Ordering::Relaxed),
            failures: inner.failures.load(Ordering::Relaxed),
            position: self.cache.position(),
        }
    }
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("name", &self.inner.name).finish_non_exhaustive()
    }
}
