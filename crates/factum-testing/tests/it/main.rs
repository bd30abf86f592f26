//! The suites against the models in memory, so that the suites themselves are tested; and the scenarios.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test subjects and helpers are tests too")]

#[cfg(unix)]
mod chaos;
mod deliveries;
mod fixtures;
mod participants;
mod sagas;
mod scenarios;

use std::sync::Arc;

use factum_core::{
    memory::Memory,
    memory_rows::MemoryRows,
    memory_snapshots::MemorySnapshots,
    memory_transport::{ALL, MemoryTransport},
    ports::{
        Backend, RowStore, Snapshots, Transport,
        transport::{Abilities, Lane, Offset},
    },
};
use factum_runtime::clock::LiveClock;
use factum_testing::conformance::{self, Cannot};

/// A model, and whether it can be "opened again": by a clone, which shares the data.
struct InMemory<T> {
    last: T,
    reopens: bool,
}

impl<T: Clone> InMemory<T> {
    fn again(&self) -> Result<T, Cannot> {
        if self.reopens { Ok(self.last.clone()) } else { Err(Cannot("this subject plays one that forgets everything")) }
    }
}

impl conformance::store::Subject for InMemory<Memory> {
    fn fresh(&mut self) -> Box<dyn Backend> {
        self.last = Memory::new();
        Box::new(self.last.clone())
    }
    fn reopen(&mut self) -> Result<Box<dyn Backend>, Cannot> {
        Ok(Box::new(self.again()?))
    }
}

impl conformance::rows::Subject for InMemory<MemoryRows> {
    fn fresh(&mut self) -> Box<dyn RowStore> {
        self.last = MemoryRows::new();
        Box::new(self.last.clone())
    }
    fn reopen(&mut self) -> Result<Box<dyn RowStore>, Cannot> {
        Ok(Box::new(self.again()?))
    }
}

impl conformance::snapshots::Subject for InMemory<MemorySnapshots> {
    fn fresh(&mut self) -> Arc<dyn Snapshots> {
        self.last = MemorySnapshots::new();
        Arc::new(self.last.clone())
    }
    fn reopen(&mut self) -> Result<Arc<dyn Snapshots>, Cannot> {
        Ok(Arc::new(self.again()?))
    }
}

#[test]
fn the_store_in_memory_keeps_every_promise() {
    for reopens in [true, false] {
        conformance::store::run(&mut InMemory { last: Memory::new(), reopens });
    }
}

#[test]
fn the_store_in_memory_runs_random_programs_as_itself() {
    for reopens in [true, false] {
        conformance::random::run(conformance::random::seeds(20), 100, &mut InMemory { last: Memory::new(), reopens });
    }
}

#[test]
fn rows_in_memory_keep_every_promise() {
    for reopens in [true, false] {
        conformance::rows::run(&mut InMemory { last: MemoryRows::new(), reopens });
    }
}

#[test]
fn snapshots_in_memory_keep_every_promise() {
    for reopens in [true, false] {
        conformance::snapshots::run(&mut InMemory { last: MemorySnapshots::new(), reopens });
    }
}

/// A broker in memory, by what it can do.
struct InBroker(Abilities, MemoryTransport);

impl InBroker {
    fn able(abilities: Abilities) -> Self {
        Self(abilities, MemoryTransport::able(abilities, Arc::new(LiveClock::default())))
    }
}

impl conformance::transport::Subject for InBroker {
    fn fresh(&mut self) -> (Arc<dyn Transport>, String) {
        *self = Self::able(self.0);
        (Arc::new(self.1.clone()), "orders".to_owned())
    }
    fn drop_before(&mut self, lane: &Lane, offset: &Offset) -> Result<(), Cannot> {
        self.1.drop_before(lane, offset.0.parse().unwrap());
        Ok(())
    }
    fn restart(&mut self) -> Result<(), Cannot> {
        Err(Cannot("what is in memory alone ends with it"))
    }
}

#[test]
fn a_broker_in_memory_keeps_every_promise_and_refuses_what_it_lacks() {
    conformance::transport::run(&mut InBroker::able(ALL));
    let lacking = Abilities { ordered: false, replays: false, fences: false, delays: false, largest: 1_000, ..ALL };
    conformance::transport::run(&mut InBroker::able(lacking));
}
