//! Views whose rows are far away: how often they are asked, and that the rows are the same; and rows that stand elsewhere than the
//! loop thinks.

use std::sync::{Arc, Mutex};

use factum_core::{
    envelope::Recorded,
    error::RowError,
    memory_rows::MemoryRows,
    ports::{RowReader, RowStore, TableBatch, TableKeys, TableSpec},
    row::Row,
    service::Service,
    stream::{Cursor, Lineage, Position},
    view::Rows,
};
use factum_macros::Row;
use factum_runtime::{
    registry::Registry,
    views::{Parts, ViewError, Views},
};

use super::bank::*;
use super::bench::*;

/// Rows far away, which count how often they are asked, and fail as told.
#[derive(Clone, Default)]
struct Far {
    rows: MemoryRows,
    asked: Arc<Mutex<Asked>>,
}

#[derive(Clone, Default, Debug, PartialEq)]
struct Asked {
    one: usize,
    many: usize,
    writes: usize,
    /// The next write is done and seems to fail.
    loses_answer: bool,
}

impl Far {
    fn count(&self, counted: impl FnOnce(&mut Asked)) {
        counted(&mut self.asked.lock().unwrap());
    }

    /// How often one row, many rows, and writes were asked for since the last time.
    fn asked(&self) -> (usize, usize, usize) {
        let Asked { one, many, writes, .. } = std::mem::take(&mut *self.asked.lock().unwrap());
        (one, many, writes)
    }

    fn row<R: Row>(&self, key: &str) -> Option<R> {
        let body = RowStore::reader(&self.rows).get(R::TABLE, key).unwrap()?;
        Some(serde_json::from_slice(&body).unwrap())
    }
}

impl RowStore for Far {
    fn open(&mut self, table: &TableSpec) -> Result<Option<Cursor>, RowError> {
        self.rows.open(table)
    }
    fn get(&mut self, table: &TableSpec, key: &str) -> Result<Option<Vec<u8>>, RowError> {
        self.count(|asked| asked.one += 1);
        RowStore::get(&mut self.rows, table, key)
    }
    fn get_many(&mut self, wanted: &[TableKeys]) -> Result<Vec<Vec<Option<Vec<u8>>>>, RowError> {
        self.count(|asked| asked.many += 1);
        RowStore::get_many(&mut self.rows, wanted)
    }
    fn is_far(&self) -> bool {
        true
    }
    fn write(&mut self, batches: &[TableBatch]) -> Result<(), RowError> {
        self.count(|asked| asked.writes += 1);
        self.rows.write(batches)?;
        match std::mem::take(&mut self.asked.lock().unwrap().loses_answer) {
            true => Err(RowError::Store("the answer was lost".to_owned())),
            false => Ok(()),
        }
    }
    fn activate(&mut self, table: &TableSpec) -> Result<(), RowError> {
        self.rows.activate(table)
    }
    fn discard(&mut self, table: &TableSpec) -> Result<(), RowError> {
        self.rows.discard(table)
    }
    fn reader(&self) -> Arc<dyn RowReader> {
        RowStore::reader(&self.rows)
    }
}

#[derive(Row, Clone, Debug, PartialEq)]
#[row("balances")]
struct Balance {
    #[key]
    id: String,
    cents: i64,
}

#[derive(Row, Clone, Debug, PartialEq)]
#[row("notes")]
struct Note {
    #[key]
    note: String,
    times: u32,
}

/// A payment, and the one behind it.
#[derive(Row, Clone, Debug, PartialEq)]
#[row("chains")]
struct Link {
    #[key]
    id: String,
    next: Option<String>,
}

fn services() -> Vec<Service> {
    let balance = |rows: &mut Rows<'_, Balance>, event: &Recorded<'_, Paid>| {
        let new = || Balance { id: event.id.clone(), cents: 0 };
        rows.upsert(&event.id, new, |row| row.cents += event.cents);
    };
    let notes = |rows: &mut Rows<'_, Note>, event: &Recorded<'_, Paid>| {
        let new = || Note { note: event.note.clone(), times: 0 };
        rows.upsert(&event.note, new, |row| row.times += 1);
    };
    vec![Service::new("accounts").decider::<Account>().view(1, balance), Service::new("notes").view(1, notes)]
}

/// Each payment goes to the end of one chain, which is found link by link.
fn chain() -> Vec<Service> {
    let chain = |rows: &mut Rows<'_, Link>, event: &Recorded<'_, Paid>| {
        let mut at = "first".to_owned();
        while let Some(next) = rows.get(&at).and_then(|link| link.next) {
            at = next;
        }
        rows.put(Link { id: at, next: Some(event.note.clone()) });
    };
    vec![Service::new("accounts").decider::<Account>().view(1, chain)]
}

fn paid(services: Vec<Service>, count: usize) -> Bench {
    let mut bench = Bench::new(services);
    pay_more(&mut bench, 0, count);
    bench
}

fn pay_more(bench: &mut Bench, first: usize, count: usize) {
    for number in first..first + count {
        bench.ask(&format!("p{number}"), pay_with(&format!("a{}", number % 7), 1, &format!("n{number}"))).unwrap();
    }
}

fn open(bench: &Bench, store: Box<dyn RowStore>, services: Vec<Service>) -> Views {
    let registry = Arc::new(Registry::new(services).unwrap());
    Views::open(Parts::alone(registry, store, bench.committer.reader(), bench.committer.tail())).unwrap()
}

fn follow(views: &mut Views) {
    while views.step().unwrap() {}
}

#[test]
fn a_batch_of_all_views_is_read_with_one_call_and_written_with_one() {
    let mut bench = paid(services(), 50);
    let far = Far::default();
    let mut views = open(&bench, Box::new(far.clone()), services());
    for round in 1..=3 {
        far.asked();
        follow(&mut views);
        assert_eq!(far.asked(), (0, 1, 1), "round {round}");
        assert_eq!(far.row::<Balance>("a0").map(|row| row.cents), Some(7 * round + 1));
        pay_more(&mut bench, 50 * round as usize, 50);
    }
}

#[test]
fn rows_far_away_are_those_that_are_near() {
    let mut bench = paid(services(), 30);
    let (far, near) = (Far::default(), MemoryRows::new());
    let mut views = [open(&bench, Box::new(far.clone()), services()), open(&bench, Box::new(near.clone()), services())];
    for round in 1..5 {
        views.iter_mut().for_each(follow);
        for (table, keys) in [("balances", "a"), ("notes", "n")] {
            for number in 0..200 {
                let key = format!("{keys}{number}");
                let row = |rows: &MemoryRows| RowStore::reader(rows).get(table, &key).unwrap();
                assert_eq!(row(&far.rows), row(&near), "{table} {key}");
            }
        }
        pay_more(&mut bench, 30 * round, 30);
    }
}

#[test]
fn rows_that_are_found_by_other_rows_are_read_together_too_and_the_rest_of_a_long_way_one_by_one() {
    let mut bench = paid(chain(), 2);
    let far = Far::default();
    let mut views = open(&bench, Box::new(far.clone()), chain());
    // Nothing is there yet, which is what the view is told at first too.
    follow(&mut views);
    assert_eq!(far.asked(), (0, 1, 1));
    pay_more(&mut bench, 2, 1);
    follow(&mut views);
    assert_eq!(far.asked(), (0, 3, 1), "first, its next, and that one's next");
    pay_more(&mut bench, 3, 1);
    follow(&mut views);
    assert_eq!(far.asked(), (1, 3, 1));
    let mut at = far.row::<Link>("first").unwrap();
    let mut chain = Vec::new();
    while let Some(next) = at.next {
        chain.push(next.clone());
        let Some(link) = far.row::<Link>(&next) else { break };
        at = link;
    }
    assert_eq!(chain, ["n0", "n1", "n2", "n3"]);
}

/// What a view does with rows that are not known yet counts for nothing, a failure neither.
#[test]
fn a_view_that_fails_only_without_its_rows_does_not_fail() {
    let strict = |rows: &mut Rows<'_, Balance>, event: &Recorded<'_, Paid>| {
        if event.note == "n0" {
            return rows.put(Balance { id: event.id.clone(), cents: event.cents });
        }
        assert!(rows.update(&event.id, |row| row.cents += 1), "{} is not there", event.id);
    };
    let services = move || vec![Service::new("accounts").decider::<Account>().view(1, strict)];
    let mut bench = paid(services(), 1);
    let far = Far::default();
    let mut views = open(&bench, Box::new(far.clone()), services());
    follow(&mut views);
    bench.ask("again", pay_with("a0", 1, "more")).unwrap();
    follow(&mut views);
    assert_eq!(far.row::<Balance>("a0").map(|row| row.cents), Some(2));
    assert_eq!(views.progress().state("balances").unwrap().stopped, None);
    // One that fails with them stops in front of the event.
    bench.ask("last", pay_with("a1", 1, "more")).unwrap();
    bench.ask("behind", pay_with("a0", 1, "more")).unwrap();
    let before = views.progress().state("balances").unwrap().position;
    follow(&mut views);
    let state = views.progress().state("balances").unwrap();
    assert!(state.stopped.is_some_and(|why| why.contains("a1 is not there")));
    assert_eq!(state.position, before);
}

#[test]
fn a_write_whose_answer_is_lost_is_not_counted_twice() {
    let mut bench = paid(services(), 7);
    let far = Far::default();
    let mut views = open(&bench, Box::new(far.clone()), services());
    for round in 1..=3 {
        far.count(|asked| asked.loses_answer = true);
        assert!(views.step().is_err());
        follow(&mut views);
        assert_eq!(far.row::<Balance>("a0").map(|row| row.cents), Some(round));
        pay_more(&mut bench, 7 * round as usize, 7);
    }
}

#[test]
fn rows_that_a_crashed_server_has_lost_are_built_again() {
    let bench = paid(services(), 7);
    let mut far = Far::default();
    let mut views = open(&bench, Box::new(far.clone()), services());
    follow(&mut views);
    let table = TableSpec { name: "balances", version: 1, indexes: &[] };
    far.discard(&table).unwrap();
    views.step().unwrap();
    let mut bench = bench;
    pay_more(&mut bench, 7, 7);
    assert!(views.step().is_err(), "the table is not open");
    follow(&mut views);
    assert_eq!(far.row::<Balance>("a0").map(|row| row.cents), Some(2));
    assert!(views.progress().state("balances").unwrap().live);
}

#[test]
fn rows_that_another_log_has_taken_meanwhile_are_left_alone() {
    let mut bench = paid(services(), 7);
    let mut far = Far::default();
    let mut views = open(&bench, Box::new(far.clone()), services());
    follow(&mut views);
    let lineage = Lineage { log_id: [9; 16], epoch: 0 };
    let table = TableSpec { name: "balances", version: 1, indexes: &[] };
    let cursor = Cursor { lineage, position: Position(3) };
    pay_more(&mut bench, 7, 7);
    far.count(|asked| asked.loses_answer = true);
    assert!(views.step().is_err());
    far.write(&[TableBatch { table: table.clone(), changes: Vec::new(), cursor }]).unwrap();
    for _ in 0..2 {
        let error = views.step().unwrap_err();
        assert!(matches!(&error, ViewError::Rows(RowError::Lineage(why)) if why.contains("another log")), "{error}");
    }
    assert_eq!(far.open(&table).unwrap(), Some(cursor));
}

/// Whoever reads the rows elsewhere hears of a position only by these.
#[test]
fn each_table_tells_how_far_it_is_whether_or_not_anything_in_it_changed() {
    let with_a_silent_one = || {
        let silent = |_: &mut Rows<'_, Link>, _: &Recorded<'_, Paid>| {};
        services().into_iter().chain([Service::new("silent").view(1, silent)]).collect::<Vec<_>>()
    };
    let bench = paid(with_a_silent_one(), 5);
    let far = Far::default();
    let mut views = open(&bench, Box::new(far.clone()), with_a_silent_one());
    follow(&mut views);
    let stand = RowStore::reader(&far.rows).stand(&["balances", "notes", "chains"]).unwrap();
    let head = bench.committer.reader().head();
    assert!(stand.iter().all(|cursor| cursor.is_some_and(|cursor| cursor.position == head)), "{head}: {stand:?}");
}
