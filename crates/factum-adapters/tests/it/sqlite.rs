//! Rows in SQLite: the suite of row stores, and what is said of a file that cannot be used.

use std::{fs, path::Path};

use factum_adapters::sqlite;
use factum_core::{
    ports::{RowStore, TableSpec},
    row::IndexValue,
};
use factum_testing::conformance::{self, Cannot, rows::Subject};
use tempfile::TempDir;

struct InDirectory(TempDir);

impl Subject for InDirectory {
    fn fresh(&mut self) -> Box<dyn RowStore> {
        self.0 = tempfile::tempdir().unwrap();
        Box::new(sqlite::open(self.0.path()).unwrap())
    }
    fn reopen(&mut self) -> Result<Box<dyn RowStore>, Cannot> {
        Ok(Box::new(sqlite::open(self.0.path()).unwrap()))
    }
}

#[test]
fn keeps_every_promise() {
    conformance::rows::run(&mut InDirectory(tempfile::tempdir().unwrap()));
}

fn refused(dir: &Path) -> String {
    let error = sqlite::open(dir).unwrap_err().to_string();
    assert!(error.contains("rows are derived") && error.contains("rebuilt"), "{error}");
    error
}

#[test]
fn a_file_that_is_no_database_says_that_rows_are_derived() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(sqlite::FILE), "x".repeat(10_000)).unwrap();
    assert!(refused(dir.path()).contains("no SQLite database"));
    assert_eq!(fs::read(dir.path().join(sqlite::FILE)).unwrap().len(), 10_000, "it was left as it was");
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let other = rusqlite::Connection::open(dir.path().join(sqlite::FILE)).unwrap();
    other.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    drop(other);
    assert!(refused(dir.path()).contains("another program"));
    let other = rusqlite::Connection::open(dir.path().join(sqlite::FILE)).unwrap();
    let mode: String = other.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete", "it was left as it was");
}

#[test]
fn a_layout_of_a_newer_program_is_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(sqlite::open(dir.path()).unwrap());
    let newer = rusqlite::Connection::open(dir.path().join(sqlite::FILE)).unwrap();
    newer.pragma_update(None, "user_version", 9).unwrap();
    drop(newer);
    assert!(refused(dir.path()).contains("layout 9"));
}

#[test]
fn damage_is_named_where_it_is_met() {
    let dir = tempfile::tempdir().unwrap();
    let table = TableSpec { name: "orders", version: 1, indexes: &["status"] };
    let mut store = sqlite::open(dir.path()).unwrap();
    store.open(&table).unwrap();
    drop(store);
    let path = dir.path().join(sqlite::FILE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let error = match sqlite::open(dir.path()) {
        Err(error) => error,
        Ok(mut store) => store.open(&table).unwrap_err(),
    };
    assert!(error.to_string().contains("rows are derived"), "{error}");
}

#[test]
fn names_that_are_not_ours_do_not_get_into_sql() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = sqlite::open(dir.path()).unwrap();
    for name in ["", "Orders", "1st", "a\"b", "a-b", "a b", "_tables", "ü", "a.b"] {
        assert!(store.open(&TableSpec { name, version: 1, indexes: &[] }).is_err(), "{name}");
        let indexes: &'static [&'static str] = Box::leak(Box::new([name]));
        assert!(store.open(&TableSpec { name: "orders", version: 1, indexes }).is_err(), "{name}");
    }
    // Words of SQL are names like others.
    let table = TableSpec { name: "select", version: 1, indexes: &["order", "group", "key", "body", "rowid"] };
    assert_eq!(store.open(&table).unwrap(), None);
    assert_eq!(IndexValue::of(&Some(true)), IndexValue::Integer(1));
}

#[test]
fn a_query_uses_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = sqlite::open(dir.path()).unwrap();
    store.open(&TableSpec { name: "orders", version: 1, indexes: &["status"] }).unwrap();
    let connection = rusqlite::Connection::open(dir.path().join(sqlite::FILE)).unwrap();
    let sql = "EXPLAIN QUERY PLAN SELECT _body FROM orders_v1 WHERE status = 'x' ORDER BY status DESC, _key DESC";
    let plan: String = connection.query_row(sql, [], |row| row.get("detail")).unwrap();
    assert!(plan.contains("USING INDEX orders_v1.status"), "{plan}");
}
