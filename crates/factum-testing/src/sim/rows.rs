//! Rows with the promises of a database that syncs now and then: each transaction is whole, and a loss of power takes the
//! last ones away.
//!
//! (SQLite in WAL mode with `synchronous=NORMAL` is one.) A crash of the process alone loses nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_core::{
    error::RowError,
    memory_notes::MemoryNotes,
    memory_rows::MemoryRows,
    memory_snapshots::MemorySnapshots,
    ports::{RowReader, RowStore, TableBatch, TableSpec},
    stream::Cursor,
};
use fastrand::Rng;

/// The rows. Clones are the same ones.
#[derive(Clone)]
pub struct SimRows {
    inner: Arc<Mutex<Inner>>,
    /// Snapshots beside them, which a crash may take away.
    pub(super) snapshots: MemorySnapshots,
    /// Notes, which a loss of power may take away.
    pub(super) notes: MemoryNotes,
}

struct Inner {
    rows: MemoryRows,
    /// All transactions since there are rows.
    journal: Vec<Transaction>,
    /// How many of them survive everything.
    synced: usize,
    random: Rng,
    failing: f64,
    failures: u64,
}

#[derive(Clone)]
enum Transaction {
    Open(TableSpec),
    Write(Vec<TableBatch>),
    Activate(TableSpec),
    Discard(TableSpec),
}

impl SimRows {
    /// No rows. What a crash loses, and which calls fail, is drawn by the seed.
    pub fn new(seed: u64) -> Self {
        Self::of(Vec::new(), Rng::with_seed(seed), MemorySnapshots::new(), MemoryNotes::new())
    }

    fn of(journal: Vec<Transaction>, random: Rng, snapshots: MemorySnapshots, notes: MemoryNotes) -> Self {
        let mut rows = MemoryRows::new();
        for transaction in &journal {
            // Each succeeded before, on the same rows.
            let _ = transaction.apply(&mut rows);
        }
        let synced = journal.len();
        let inner = Inner { rows, journal, synced, random, failing: 0.0, failures: 0 };
        Self { inner: Arc::new(Mutex::new(inner)), snapshots, notes }
    }

    /// The rows as they are found after a loss of power, and how many transactions are gone.
    pub fn crash(&self) -> (Self, usize) {
        let mut inner = self.lock();
        let (synced, all) = (inner.synced, inner.journal.len());
        let kept = inner.random.usize(synced..=all);
        let snapshots = match inner.random.u8(..3) {
            0 => MemorySnapshots::new(),
            _ => self.snapshots.clone(),
        };
        let notes = match inner.random.u8(..3) {
            0 => MemoryNotes::new(),
            _ => self.notes.clone(),
        };
        (Self::of(inner.journal[..kept].to_vec(), inner.random.fork(), snapshots, notes), all - kept)
    }

    /// The rows as the next process finds them.
    pub fn restart(&self) -> Self {
        let mut inner = self.lock();
        let (journal, random) = (inner.journal.clone(), inner.random.fork());
        let next = Self::of(journal, random, self.snapshots.clone(), self.notes.clone());
        next.lock().synced = inner.synced;
        next
    }

    /// From now on each call fails with this chance.
    pub fn fail(&self, chance: f64) {
        self.lock().failing = chance;
    }

    /// How many calls have failed.
    pub fn failures(&self) -> u64 {
        self.lock().failures
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, transaction: Transaction) -> Result<Option<Cursor>, RowError> {
        let mut inner = self.lock();
        inner.may_fail()?;
        let answer = transaction.apply(&mut inner.rows)?;
        inner.journal.push(transaction);
        // Now and then the database syncs what it has.
        if inner.random.u8(..8) == 0 {
            inner.synced = inner.journal.len();
        }
        Ok(answer)
    }
}

impl Inner {
    fn may_fail(&mut self) -> Result<(), RowError> {
        if self.failing > 0.0 && self.random.f64() < self.failing {
            self.failures += 1;
            return Err(RowError::Store("as the simulation wanted".to_owned()));
        }
        Ok(())
    }
}

impl Transaction {
    fn apply(&self, rows: &mut MemoryRows) -> Result<Option<Cursor>, RowError> {
        match self {
            Self::Open(table) => rows.open(table),
            Self::Write(batches) => rows.write(batches).map(|()| None),
            Self::Activate(table) => rows.activate(table).map(|()| None),
            Self::Discard(table) => rows.discard(table).map(|()| None),
        }
    }
}

impl RowStore for SimRows {
    fn open(&mut self, table: &TableSpec) -> Result<Option<Cursor>, RowError> {
        self.run(Transaction::Open(table.clone()))
    }

    fn get(&mut self, table: &TableSpec, key: &str) -> Result<Option<Vec<u8>>, RowError> {
        let mut inner = self.lock();
        inner.may_fail()?;
        RowStore::get(&mut inner.rows, table, key)
    }

    fn write(&mut self, batches: &[TableBatch]) -> Result<(), RowError> {
        self.run(Transaction::Write(batches.to_vec())).map(|_| ())
    }

    fn activate(&mut self, table: &TableSpec) -> Result<(), RowError> {
        self.run(Transaction::Activate(table.clone())).map(|_| ())
    }

    fn discard(&mut self, table: &TableSpec) -> Result<(), RowError> {
        self.run(Transaction::Discard(table.clone())).map(|_| ())
    }

    fn reader(&self) -> Arc<dyn RowReader> {
        self.lock().rows.reader()
    }
}

#[cfg(test)]
mod tests {
    use factum_core::{
        ports::RowChange,
        stream::{Lineage, Position},
    };

    use super::*;

    const TABLE: TableSpec = TableSpec { name: "table", version: 1, indexes: &[] };

    fn write(rows: &mut SimRows, number: u64) -> Result<(), RowError> {
        let change = RowChange { key: format!("{number:02}"), row: Some((b"{}".to_vec(), Vec::new())) };
        let cursor = Cursor { lineage: Lineage::default(), position: Position(number) };
        rows.write(&[TableBatch { table: TABLE, changes: vec![change], cursor }])
    }

    /// How many rows there are, and what they stand for.
    fn found(rows: &mut SimRows) -> (u64, u64) {
        let cursor = rows.open(&TABLE).unwrap().map_or(0, |cursor| cursor.position.0);
        let there = |number: &u64| RowReader::get(&*rows.reader(), "table", &format!("{number:02}")).unwrap().is_some();
        ((1..=20).take_while(there).count() as u64, cursor)
    }

    #[test]
    fn a_loss_of_power_takes_some_of_the_last_transactions_each_with_its_cursor() {
        let mut lost_some = 0;
        for seed in 0..50 {
            let mut rows = SimRows::new(seed);
            rows.open(&TABLE).unwrap();
            (1..=20).for_each(|number| write(&mut rows, number).unwrap());
            assert_eq!(found(&mut rows.restart()), (20, 20), "a dead process loses nothing");
            let (mut after, lost) = rows.crash();
            let (there, cursor) = found(&mut after);
            assert_eq!(there, cursor);
            assert!(there + lost as u64 >= 20);
            lost_some += u64::from(there < 20);
            assert_eq!(found(&mut after.crash().0), (there, cursor), "what was found once stays");
        }
        assert!(lost_some > 10);
    }

    #[test]
    fn a_call_that_fails_has_changed_nothing() {
        let mut rows = SimRows::new(1);
        rows.open(&TABLE).unwrap();
        rows.fail(1.0);
        assert!(write(&mut rows, 1).is_err());
        rows.fail(0.0);
        assert_eq!((found(&mut rows), rows.failures()), ((0, 0), 1));
    }
}
