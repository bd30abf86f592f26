//! Views: rows and cursor together, stops, rebuilds, and logs that do not fit the rows.

use std::sync::Arc;

use factum_core::{
    cell::{Cell, CellKey, CellKind},
    envelope::{Recorded, Stored},
    error::{RowError, StoreError},
    memory::Memory,
    memory_rows::MemoryRows,
    ports::{Backend, Reader, RowReader, RowStore, Scan, Scanned, TableBatch, TableSpec},
    service::Service,
    stream::{Cursor, Lineage, Position, StreamId, StreamVersion},
    view::Rows,
};
use factum_macros::Row;
use factum_runtime::{
    committer::Committer,
    registry::Registry,
    views::{Parts, ViewError, ViewState, Views},
};

use super::bank::*;
use super::bench::*;

#[derive(Row, Clone, Debug, PartialEq)]
#[row("balances")]
struct Balance {
    #[key]
    id: String,
    cents: i64,
    payments: i64,
}

/// Version 2 counts each cent twice. `poison` fails while `fragile`.
fn services(version: u32, fragile: bool) -> Vec<Service> {
    let view = move |rows: &mut Rows<'_, Balance>, event: &Recorded<'_, Paid>| {
        let new = || Balance { id: event.id.clone(), cents: 0, payments: 0 };
        rows.upsert(&event.id, new, |row| {
            row.cents += event.cents * i64::from(version);
            row.payments += 1;
        });
        assert!(!(fragile && event.note == "poison"), "as asked");
    };
    vec![Service::new("accounts").decider::<Account>().view(version, view)]
}

fn open(bench: &Bench, rows: &MemoryRows, services: Vec<Service>) -> Result<Views, ViewError> {
    let registry = Arc::new(Registry::new(services).unwrap());
    Views::open(Parts::alone(registry, Box::new(rows.clone()), bench.committer.reader(), bench.committer.tail()))
}

fn follow(views: &mut Views) -> ViewState {
    for _ in 0..1_000 {
        if !views.step().unwrap() {
            return views.progress().all()["balances"].clone();
        }
    }
    panic!("the views do not come to rest");
}

fn cents(rows: &MemoryRows, id: &str) -> Option<(i64, i64)> {
    let body = RowStore::reader(rows).get("balances", id).unwrap()?;
    let row: Balance = serde_json::from_slice(&body).unwrap();
    Some((row.cents, row.payments))
}

fn paid(notes: &[&str]) -> Bench {
    let mut bench = Bench::new(services(1, false));
    for (number, note) in notes.iter().enumerate() {
        bench.ask(&format!("p{number}"), pay_with("a", 1 << number, note)).unwrap();
    }
    bench
}

#[test]
fn rows_follow_the_log_and_are_not_counted_again_after_a_restart() {
    let mut bench = paid(&["", ""]);
    let rows = MemoryRows::new();
    let mut views = open(&bench, &rows, services(1, false)).unwrap();
    assert_eq!(follow(&mut views).position, Backend::reader(&bench.store).head());
    assert_eq!(cents(&rows, "a"), Some((3, 2)));
    bench.ask("p9", pay("a", 4)).unwrap();
    let mut views = open(&bench, &rows, services(1, false)).unwrap();
    follow(&mut views);
    assert_eq!(cents(&rows, "a"), Some((7, 3)));
    assert!(!views.step().unwrap());
    assert_eq!(cents(&rows, "a"), Some((7, 3)));
}

/// Rows that fail once, at the call of this name.
struct FailsOnce(MemoryRows, Option<&'static str>);

impl FailsOnce {
    fn fails_at(&mut self, call: &str) -> Result<(), RowError> {
        match self.1.take_if(|fails| *fails == call) {
            Some(_) => Err(RowError::Store("as told".to_owned())),
            None => Ok(()),
        }
    }
}

impl RowStore for FailsOnce {
    fn open(&mut self, table: &TableSpec) -> Result<Option<Cursor>, RowError> {
        self.0.open(table)
    }
    fn get(&mut self, table: &TableSpec, key: &str) -> Result<Option<Vec<u8>>, RowError> {
        RowStore::get(&mut self.0, table, key)
    }
    fn write(&mut self, batches: &[TableBatch]) -> Result<(), RowError> {
        self.fails_at("write")?;
        self.0.write(batches)
    }
    fn activate(&mut self, table: &TableSpec) -> Result<(), RowError> {
        self.fails_at("activate")?;
        self.0.activate(table)
    }
    fn discard(&mut self, table: &TableSpec) -> Result<(), RowError> {
        self.0.discard(table)
    }
    fn reader(&self) -> Arc<dyn RowReader> {
        RowStore::reader(&self.0)
    }
}

#[test]
fn rows_that_could_not_be_written_are_written_once_later() {
    let bench = paid(&["", "", ""]);
    let rows = MemoryRows::new();
    let registry = Arc::new(Registry::new(services(1, false)).unwrap());
    let store = Box::new(FailsOnce(rows.clone(), Some("write")));
    let mut views =
        Views::open(Parts::alone(registry, store, bench.committer.reader(), bench.committer.tail())).unwrap();
    assert!(views.step().is_err());
    assert_eq!(cents(&rows, "a"), None);
    follow(&mut views);
    assert_eq!(cents(&rows, "a"), Some((7, 3)));
}

#[derive(Row, Clone, Debug, PartialEq)]
#[row("accounts")]
struct AccountRow {
    #[key]
    id: String,
}

#[test]
fn a_table_that_could_not_take_over_does_not_make_another_count_twice() {
    let bench = paid(&["", "", ""]);
    let rows = MemoryRows::new();
    let accounts = |rows: &mut Rows<'_, AccountRow>, event: &Recorded<'_, Paid>| {
        rows.put(AccountRow { id: event.id.clone() });
    };
    let mut services = services(1, false);
    services.insert(0, Service::new("first").view(1, accounts));
    let registry = Arc::new(Registry::new(services).unwrap());
    let store = Box::new(FailsOnce(rows.clone(), Some("activate")));
    let mut views =
        Views::open(Parts::alone(registry, store, bench.committer.reader(), bench.committer.tail())).unwrap();
    assert!(views.step().is_err());
    follow(&mut views);
    assert_eq!(cents(&rows, "a"), Some((7, 3)));
    assert!(views.progress().all().values().all(|state| state.live));
}

#[test]
fn a_view_that_fails_stops_at_its_message_with_the_earlier_rows_written() {
    let bench = paid(&["", "", "poison", ""]);
    let rows = MemoryRows::new();
    let mut views = open(&bench, &rows, services(1, true)).unwrap();
    let state = follow(&mut views);
    assert_eq!(cents(&rows, "a"), Some((3, 2)), "not the half of what it did to the third");
    assert!(state.stopped.is_some_and(|reason| reason.contains("position 3")));
    assert_eq!(state.position.0, 2);
    let mut views = open(&bench, &rows, services(1, false)).unwrap();
    follow(&mut views);
    assert_eq!(cents(&rows, "a"), Some((15, 4)));
}

#[test]
fn a_new_version_is_built_beside_the_old_rows_and_takes_over_when_it_has_caught_up() {
    let bench = paid(&["", "", "poison"]);
    let rows = MemoryRows::new();
    follow(&mut open(&bench, &rows, services(1, false)).unwrap());
    let mut views = open(&bench, &rows, services(2, true)).unwrap();
    assert!(!follow(&mut views).live);
    assert_eq!(cents(&rows, "a"), Some((7, 3)), "the old rows answer while the new ones are not complete");
    let mut views = open(&bench, &rows, services(2, false)).unwrap();
    assert!(follow(&mut views).live);
    assert_eq!(cents(&rows, "a"), Some((14, 3)));
}

#[test]
fn rows_ahead_of_the_log_are_refused() {
    let bench = paid(&["", ""]);
    let rows = MemoryRows::new();
    let mut views = open(&bench, &rows, services(1, false)).unwrap();
    follow(&mut views);
    // The same log, but shorter: what a restored backup looks like.
    let shorter = Memory::default();
    let committer = Committer::new(Box::new(shorter), bench.registry.owners.clone());
    assert_eq!(committer.reader().lineage(), bench.committer.reader().lineage());
    let registry = Arc::new(Registry::new(services(1, false)).unwrap());
    let opened = Views::open(Parts::alone(registry, Box::new(rows.clone()), committer.reader(), committer.tail()));
    assert!(matches!(opened, Err(ViewError::Rows(RowError::Lineage(_)))));
    assert_eq!(cents(&rows, "a"), Some((3, 2)), "they are left as they are");
}

/// The same contents as another log.
struct Elsewhere(Arc<dyn Reader>);

impl Reader for Elsewhere {
    fn lineage(&self) -> Lineage {
        Lineage { log_id: [7; 16], ..self.0.lineage() }
    }
    fn head(&self) -> Position {
        self.0.head()
    }
    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, StoreError> {
        self.0.scan(scan)
    }
    fn stream(&self, stream: &StreamId, after: StreamVersion) -> Result<Vec<Stored>, StoreError> {
        self.0.stream(stream, after)
    }
    fn cells(&self, kind: CellKind) -> Result<Vec<Cell>, StoreError> {
        self.0.cells(kind)
    }
    fn cell(&self, key: &CellKey) -> Result<Option<Cell>, StoreError> {
        self.0.cell(key)
    }
}

#[test]
fn rows_of_another_log_are_built_anew() {
    let bench = paid(&["", ""]);
    let rows = MemoryRows::new();
    follow(&mut open(&bench, &rows, services(1, false)).unwrap());
    let registry = Arc::new(Registry::new(services(1, false)).unwrap());
    let reader = Arc::new(Elsewhere(bench.committer.reader()));
    let mut views =
        Views::open(Parts::alone(registry, Box::new(rows.clone()), reader, bench.committer.tail())).unwrap();
    assert_eq!(cents(&rows, "a"), None, "what another log said is gone");
    assert!(follow(&mut views).live);
    assert_eq!(cents(&rows, "a"), Some((3, 2)));
}

#[test]
fn two_views_of_one_table_are_refused() {
    let bench = paid(&[]);
    let twice = services(1, false)
        .into_iter()
        .map(|service| service.view(1, |_: &mut Rows<'_, Balance>, _: &Recorded<'_, Paid>| {}));
    assert!(matches!(open(&bench, &MemoryRows::new(), twice.collect()), Err(ViewError::Twice("balances"))));
}

#[derive(Row, Clone, Debug, PartialEq)]
#[row("payers")]
struct Payer {
    #[key]
    id: String,
    #[index]
    trouble: Option<String>,
    note: Option<String>,
}

/// A payment with a note is trouble, one without settles it.
fn payers(version: u32, field: &'static str) -> Vec<Service> {
    let view = |rows: &mut Rows<'_, Payer>, event: &Recorded<'_, Paid>| {
        let trouble = Some(event.note.clone()).filter(|note| !note.is_empty());
        rows.put(Payer { id: event.id.clone(), note: trouble.clone(), trouble });
    };
    let service = Service::new("accounts").decider::<Account>().view(version, view);
    vec![service.needs_person::<Payer>(field, "`payers --trouble` lists them")]
}

fn needing(views: &mut Views) -> Option<(u64, Vec<String>)> {
    while views.step().unwrap() {}
    let state = views.progress().state("payers").unwrap();
    state.needs_person.first().map(|rows| (rows.count, rows.who.clone()))
}

#[test]
fn rows_that_need_a_person_are_counted_and_named_as_long_as_they_do() {
    let mut bench = Bench::new(payers(1, "trouble"));
    let rows = MemoryRows::new();
    let mut views = open(&bench, &rows, payers(1, "trouble")).unwrap();
    let mut pay =
        |number: usize, who: &str, note: &str| bench.ask(&format!("p{number}"), pay_with(who, 1, note)).unwrap();
    pay(1, "a", "");
    assert_eq!(needing(&mut views), None);
    for (number, who) in ["b", "c", "d", "e"].iter().enumerate() {
        pay(10 + number, who, "refused");
    }
    let named = |who: [&str; 3]| who.map(str::to_owned).to_vec();
    assert_eq!(needing(&mut views), Some((4, named(["b", "c", "d"]))));
    pay(2, "c", "");
    assert_eq!(needing(&mut views), Some((3, named(["b", "d", "e"]))));
    // The next program, with the rows as they are, and with rows that are built anew.
    for version in [1, 2] {
        let mut again = open(&bench, &rows, payers(version, "trouble")).unwrap();
        assert_eq!(needing(&mut again), Some((3, named(["b", "d", "e"]))), "version {version}");
    }
    let mut views = open(&bench, &rows, payers(2, "trouble")).unwrap();
    for (number, who) in ["b", "d", "e"].iter().enumerate() {
        bench.ask(&format!("p2{number}"), pay_with(who, 1, "")).unwrap();
    }
    assert_eq!(needing(&mut views), None);
}

#[test]
fn what_needs_a_person_is_told_by_an_indexed_field_of_an_own_view() {
    let bench = Bench::new(payers(1, "trouble"));
    let open = |services| open(&bench, &MemoryRows::new(), services).err().unwrap().to_string();
    for field in ["note", "nothing"] {
        let problem = open(payers(1, field));
        assert!(problem.contains(field) && problem.contains("add the view"), "{problem}");
    }
    let without = Service::new("accounts").decider::<Account>().needs_person::<Payer>("trouble", "");
    assert!(open(vec![without]).contains("`payers`"));
}
