//! A store on the bench: in memory, and its reads and writes fail as told.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use factum_core::{
    cell::{Cell, CellKey, CellKind},
    commit::Wanted,
    envelope::Stored,
    error::StoreError,
    memory::Memory,
    ports::{Backend, Judge, Reader, Scan, Scanned, Written},
    stream::{Lineage, Position, StreamId, StreamVersion},
};

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written; the next write may succeed.
    Transient,
    /// Nothing is written, nobody knows, and the store takes no more.
    UnknownLost,
    /// It is written, nobody knows, and the store takes no more.
    UnknownWritten,
    /// The store itself panics; nothing is written.
    Panics,
}

/// A store on the bench takes no message with this in its data.
pub const UNFIT: &str = "nothing that can be stored";

/// Which write fails, counted from 1 over all starts, and how.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Told>>, Arc<AtomicUsize>, Arc<AtomicUsize>);

/// Writes so far, and which of them fail.
type Told = (usize, Vec<(usize, Fault)>);

impl Faults {
    pub fn at(&self, write: usize, fault: Fault) {
        self.0.lock().unwrap().1.push((write, fault));
    }
    /// The next so many reads fail.
    pub fn fail_reads(&self, count: usize) {
        self.1.store(count, Ordering::Relaxed);
    }
    /// Reads so far.
    pub fn reads(&self) -> usize {
        self.2.load(Ordering::Relaxed)
    }
    fn read(&self) -> Result<(), StoreError> {
        self.2.fetch_add(1, Ordering::Relaxed);
        let fewer = |left: usize| left.checked_sub(1);
        match self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer) {
            Ok(_) => Err(StoreError::Transient("a read, as told".to_owned())),
            Err(_) => Ok(()),
        }
    }
    pub fn writes(&self) -> usize {
        self.0.lock().unwrap().0
    }
    fn next(&self) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap();
        faults.0 += 1;
        let write = faults.0;
        faults.1.iter().find(|(at, _)| *at == write).map(|(_, fault)| *fault)
    }
}

struct Faulty {
    inner: Memory,
    faults: Faults,
    dead: bool,
}

/// A store whose writes fail as told.
pub fn faulty(store: &Memory, faults: &Faults) -> Box<dyn Backend> {
    Box::new(Faulty { inner: store.clone(), faults: faults.clone(), dead: false })
}

impl Backend for Faulty {
    fn transact(&mut self, wanted: &Wanted, judge: &mut Judge<'_>) -> Result<Option<Written>, StoreError> {
        let Self { inner, faults, dead } = self;
        let mut told = None;
        let written = inner.transact(wanted, &mut |found| {
            let plans = judge(found);
            let messages = || plans.iter().flat_map(|plan| &plan.appends).flat_map(|append| &append.messages);
            told = match plans.is_empty() {
                true => None,
                false if *dead => Some(StoreError::OutcomeUnknown("it has stopped".to_owned())),
                false if messages().any(|message| String::from_utf8_lossy(&message.data).contains(UNFIT)) => {
                    Some(StoreError::Unfit("as told".to_owned()))
                }
                false => match faults.next() {
                    None => None,
                    Some(Fault::Panics) => panic!("as told"),
                    Some(Fault::Transient) => Some(StoreError::Transient("as told".to_owned())),
                    Some(fault) => {
                        *dead = true;
                        told = Some(StoreError::OutcomeUnknown("as told".to_owned()));
                        return if fault == Fault::UnknownWritten { plans } else { Vec::new() };
                    }
                },
            };
            if told.is_some() { Vec::new() } else { plans }
        })?;
        told.map_or(Ok(written), Err)
    }
    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(FaultyReader(Backend::reader(&self.inner), self.faults.clone()))
    }
    fn durability(&self) -> &'static str {
        "memory"
    }
}

struct FaultyReader(Arc<dyn Reader>, Faults);

impl Reader for FaultyReader {
    fn lineage(&self) -> Lineage {
        self.0.lineage()
    }
    fn head(&self) -> Position {
        self.0.head()
    }
    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, StoreError> {
        self.1.read()?;
        self.0.scan(scan)
    }
    fn stream(&self, stream: &StreamId, after: StreamVersion) -> Result<Vec<Stored>, StoreError> {
        self.1.read()?;
        self.0.stream(stream, after)
    }
    fn streams(&self, streams: &[StreamId]) -> Result<Vec<Vec<Stored>>, StoreError> {
        self.1.read()?;
        self.0.streams(streams)
    }
    fn is_far(&self) -> bool {
        self.0.is_far()
    }
    fn cells(&self, kind: CellKind) -> Result<Vec<Cell>, StoreError> {
        self.1.read()?;
        self.0.cells(kind)
    }
    fn cell(&self, key: &CellKey) -> Result<Option<Cell>, StoreError> {
        self.1.read()?;
        self.0.cell(key)
    }
}
