//! The caches' thread: reads the log from its beginning, and then with its tail, for all caches of the unit.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use factum_core::{
    cache::AnyCache,
    envelope::{Kind, Stored},
    error::StoreError,
    ports::{Clock, Reader},
    stream::Position,
};

use super::CURSOR_TICK;
use crate::{
    engine::guard,
    registry::Registry,
    signal::{Signal, backoff},
    tail::Tail,
    views::frame,
};

/// The caches, each with the types that it follows.
type Followed<'a> = Vec<(&'a dyn AnyCache, HashSet<&'static str>)>;

pub(super) struct CachesLoop {
    pub(super) registry: Arc<Registry>,
    pub(super) reader: Arc<dyn Reader>,
    pub(super) tail: Arc<Tail>,
    pub(super) signal: Arc<Signal>,
    pub(super) stopping: Arc<AtomicBool>,
}

impl CachesLoop {
    pub(super) fn run(self, clock: &Arc<dyn Clock>) {
        let caches: Vec<&dyn AnyCache> = self.registry.caches().collect();
        caches.iter().for_each(|cache| cache.begin(clock.clone(), self.reader.clone()));
        let followed: Followed<'_> =
            caches.iter().map(|cache| (*cache, cache.types().iter().map(|info| info.name).collect())).collect();
        let types: HashSet<&'static str> = followed.iter().flat_map(|(_, types)| types).copied().collect();
        let (mut position, mut failures) = (Position::START, 0);
        while !self.stopping.load(Ordering::Acquire) {
            match self.read(&followed, &types, position) {
                Ok(reached) => {
                    failures = 0;
                    let live = reached >= self.tail.head();
                    position = reached;
                    caches.iter().for_each(|cache| cache.reached(position, live));
                    if live {
                        self.signal.wait(CURSOR_TICK);
                    }
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "the caches cannot read the log; trying again");
                    self.signal.wait(backoff(failures));
                }
            }
        }
    }

    /// Takes in what stands behind a position, as much as comes at once; answers up to where.
    fn read(
        &self,
        followed: &Followed<'_>,
        types: &HashSet<&'static str>,
        after: Position,
    ) -> Result<Position, StoreError> {
        let head = self.tail.head();
        let Some(frame) = frame(&self.tail, &*self.reader, types, after, head)? else { return Ok(after) };
        let first = frame.messages.partition_point(|stored| stored.position <= after);
        for stored in frame.messages[first..].iter().filter(|stored| stored.envelope().kind == Kind::Event) {
            let concerned = followed.iter().filter(|(_, types)| types.contains(stored.type_name()));
            concerned.for_each(|(cache, _)| take(*cache, stored));
        }
        Ok(frame.through)
    }
}

fn take(cache: &dyn AnyCache, stored: &Stored) {
    if let Err(error) = guard(|| cache.apply(stored)) {
        let (name, position) = (cache.name(), stored.position.0);
        tracing::error!(cache = name, position, %error, "a cache could not take an event in: it forgets all that it has");
        cache.clear();
    }
}
