//! What every row store must do: the promises of [`RowStore`] and [`RowReader`], one case each, and a random program
//! against the model.

mod random;

use std::sync::Arc;

use factum_core::{
    error::RowError,
    ports::{Page, Query, RowChange, RowReader, RowStore, TableBatch, TableKeys, TableSpec},
    row::IndexValue,
    stream::{Cursor, Lineage, Position},
};

use super::{Cannot, Run, left_out};

/// Makes the row store under test.
pub trait Subject {
    /// A new, empty row store. Whatever was handed out before has been dropped.
    fn fresh(&mut self) -> Box<dyn RowStore>;

    /// The row store that was handed out last, which has been dropped, opened again over the same data.
    ///
    /// # Errors
    /// [`Cannot`] if nothing of it is left.
    fn reopen(&mut self) -> Result<Box<dyn RowStore>, Cannot>;
}

/// A case: its name and what it does with a subject.
pub type Case = (&'static str, fn(&mut dyn Subject));

/// Runs all cases on a row store.
///
/// # Panics
/// If a case failed; the message names all that did, and each has printed what it found.
pub fn run(subject: &mut dyn Subject) {
    let mut run = Run::default();
    for (name, case) in cases() {
        run.case(name, || case(subject));
    }
    run.end();
}

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![
        ("a new table is empty and has no cursor", empty),
        ("a row is put, replaced and removed", put),
        ("rows of several tables are read together, in the order of the keys", many),
        ("rows and cursors of all tables change together or not at all", together),
        ("a table that was not opened is refused", not_opened),
        ("a change without all index values is refused", wrong_values),
        ("other indexes at the same version are refused with the remedy", other_indexes),
        ("a reader of an unknown table finds nothing", unknown),
        ("pages are cut by offset and limit, and say the total", pages),
        ("rows come in the order of their keys, or of a field and then the key", order),
        ("equal and range go together", conditions),
        ("absent values are found as such and lie in no range", absent),
        ("numbers come before text", kinds),
        ("texts of any length and of any characters are found by their index", texts),
        ("a field without an index is refused with those that have one", not_indexed),
        ("queries read the active version, before that the oldest, and it is told how far it is", versions),
        ("activating drops what is older", activate),
        ("a discarded table begins anew", discard),
        ("keys and bodies come back as they were", bytes),
        ("a large batch is written whole", large_batch),
        ("readers on other threads see whole batches", beside),
        ("opening again finds rows, cursors and the active version", reopened),
        ("a random program runs as on the model", random::random),
    ]
}

const ORDERS: TableSpec = TableSpec { name: "orders", version: 1, indexes: &["status", "total"] };
const ORDERS_2: TableSpec = TableSpec { version: 2, ..ORDERS };
const PLAIN: TableSpec = TableSpec { name: "plain", version: 7, indexes: &[] };

fn cursor(position: u64) -> Cursor {
    Cursor { lineage: Lineage { log_id: [7; 16], epoch: 3 }, position: Position(position) }
}

fn text(text: &str) -> IndexValue {
    IndexValue::Text(text.to_owned())
}

/// An order's row; its body is its key, so that a page reads as a list of keys.
fn order_row(key: &str, status: IndexValue, total: IndexValue) -> RowChange {
    RowChange { key: key.to_owned(), row: Some((format!("\"{key}\"").into_bytes(), vec![status, total])) }
}

fn batch(table: &TableSpec, position: u64, changes: Vec<RowChange>) -> TableBatch {
    TableBatch { table: table.clone(), changes, cursor: cursor(position) }
}

fn opened(subject: &mut dyn Subject, tables: &[&TableSpec]) -> (Box<dyn RowStore>, Arc<dyn RowReader>) {
    let mut store = subject.fresh();
    for table in tables {
        assert_eq!(store.open(table).expect("a table can be opened"), None);
    }
    let reader = store.reader();
    (store, reader)
}

fn all() -> Query {
    Query { limit: 1_000, ..Query::default() }
}

fn keys(page: &Page) -> Vec<&str> {
    page.rows.iter().map(|row| std::str::from_utf8(row).expect("bodies are keys").trim_matches('"')).collect()
}

fn asked(reader: &dyn RowReader, query: &Query) -> Vec<String> {
    let page = reader.page("orders", query).expect("a page can be read");
    assert_eq!(page.total as usize, page.rows.len() + query.offset as usize, "the total of a page that holds all");
    keys(&page).into_iter().map(str::to_owned).collect()
}

fn empty(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS, &PLAIN]);
    assert_eq!(store.get(&ORDERS, "1").expect("a row can be looked for"), None);
    assert_eq!(store.open(&ORDERS).expect("a table can be opened twice"), None);
    assert_eq!(asked(&*reader, &all()), [""; 0]);
}

fn put(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&PLAIN]);
    for (position, body) in [(3, Some(&b"1"[..])), (5, Some(b"[2, 2]")), (6, None), (8, Some(b"{}"))] {
        let row = body.map(|body| (body.to_vec(), Vec::new()));
        store.write(&[batch(&PLAIN, position, vec![RowChange { key: "k".into(), row }])]).expect("rows can be written");
        assert_eq!(store.get(&PLAIN, "k").expect("a row can be read").as_deref(), body);
        assert_eq!(reader.get("plain", "k").expect("a row can be read").as_deref(), body);
        assert_eq!(store.open(&PLAIN).expect("a table can be opened"), Some(cursor(position)));
    }
    let removed = RowChange { key: "never there".into(), row: None };
    store.write(&[batch(&PLAIN, 9, vec![removed])]).expect("what is not there can be removed");
}

fn many(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS, &PLAIN]);
    let orders = ["a", "b", "c"].map(|key| order_row(key, text("open"), IndexValue::Null)).to_vec();
    let plain = ["", "b"].map(|key| RowChange { key: key.into(), row: Some((b"{}".to_vec(), Vec::new())) }).to_vec();
    store.write(&[batch(&ORDERS, 1, orders), batch(&PLAIN, 1, plain)]).expect("rows can be written");
    let wanted = |table: &TableSpec, keys: &[&str]| TableKeys {
        table: table.clone(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    let asked = [wanted(&ORDERS, &["c", "x", "a", "c"]), wanted(&PLAIN, &["b", "a", ""]), wanted(&ORDERS, &[])];
    let read = store.get_many(&asked).expect("rows can be read together");
    let some = |body: &str| Some(body.as_bytes().to_vec());
    let orders = vec![some("\"c\""), None, some("\"a\""), some("\"c\"")];
    assert_eq!(reader.get_many("orders", &asked[0].keys).expect("a reader reads many"), orders);
    assert_eq!(reader.get_many("unknown", &asked[0].keys).expect("there may be no such table"), vec![None; 4]);
    assert_eq!(read, [orders, vec![some("{}"), None, some("{}")], Vec::new()]);
    assert!(store.get_many(&[]).expect("nothing can be asked for").is_empty());
    assert!(store.get_many(&[wanted(&ORDERS, &["a"]), wanted(&ORDERS_2, &["a"])]).is_err(), "it was not opened");
    let rows = (0..5_000).map(|n| order_row(&n.to_string(), IndexValue::Null, IndexValue::Null));
    store.write(&[batch(&ORDERS, 2, rows.collect())]).expect("rows can be written");
    let keys: Vec<String> = (0..10_000).rev().map(|n| n.to_string()).collect();
    let expected = (0..10_000).rev().map(|n| (n < 5_000).then(|| format!("\"{n}\"").into_bytes()));
    let expected: Vec<_> = expected.collect();
    assert!(reader.get_many("orders", &keys).expect("many can be read") == expected, "each key has its own row");
    let read = store.get_many(&[TableKeys { table: ORDERS, keys }]).expect("many can be read");
    assert!(read == [expected], "each key has its own row");
}

fn together(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS, &PLAIN]);
    let row = || order_row("1", text("open"), IndexValue::Integer(1));
    let plain = || RowChange { key: "p".into(), row: Some((b"{}".to_vec(), Vec::new())) };
    let refused = store.write(&[batch(&ORDERS, 4, vec![row()]), batch(&PLAIN, 4, vec![plain(), row()])]);
    assert!(matches!(refused, Err(RowError::Store(_))), "{refused:?}");
    assert_eq!(store.open(&ORDERS).expect("a table can be opened"), None);
    assert_eq!(reader.get("orders", "1").expect("a row can be looked for"), None);
    store.write(&[batch(&ORDERS, 4, vec![row()]), batch(&PLAIN, 4, vec![plain()])]).expect("rows can be written");
    assert_eq!(store.open(&ORDERS).expect("a table can be opened"), Some(cursor(4)));
    assert_eq!(store.open(&PLAIN).expect("a table can be opened"), Some(cursor(4)));
    store.write(&[batch(&PLAIN, 9, Vec::new())]).expect("a cursor can move alone");
    assert_eq!(store.open(&PLAIN).expect("a table can be opened"), Some(cursor(9)));
    store.write(&[]).expect("nothing can be written");
}

fn not_opened(subject: &mut dyn Subject) {
    let (mut store, _) = opened(subject, &[&ORDERS]);
    assert!(store.write(&[batch(&ORDERS, 1, Vec::new()), batch(&PLAIN, 1, Vec::new())]).is_err());
    assert_eq!(store.open(&ORDERS).expect("a table can be opened"), None, "the batch was refused whole");
    assert!(store.get(&PLAIN, "1").is_err());
    assert!(store.activate(&PLAIN).is_err());
    assert!(store.get(&ORDERS_2, "1").is_err(), "each version is opened by itself");
}

fn wrong_values(subject: &mut dyn Subject) {
    let (mut store, _) = opened(subject, &[&ORDERS]);
    for values in [vec![], vec![IndexValue::Null; 1], vec![IndexValue::Null; 3]] {
        let change = RowChange { key: "1".into(), row: Some((b"1".to_vec(), values)) };
        assert!(store.write(&[batch(&ORDERS, 1, vec![change])]).is_err());
    }
    assert_eq!(store.get(&ORDERS, "1").expect("a row can be looked for"), None);
}

fn other_indexes(subject: &mut dyn Subject) {
    let (mut store, _) = opened(subject, &[&ORDERS]);
    for indexes in [&["status"][..], &["status", "customer"], &["status", "total", "customer"], &[]] {
        let error = store.open(&TableSpec { indexes, ..ORDERS }).expect_err("the rows lack these indexes").to_string();
        assert!(error.contains("raise the view's version"), "{error}");
    }
    store.open(&TableSpec { indexes: &["total", "status"], ..ORDERS }).expect("their order does not matter");
    store.open(&TableSpec { indexes: &["customer"], ..ORDERS_2 }).expect("another version has its own");
}

fn unknown(subject: &mut dyn Subject) {
    let (_store, reader) = opened(subject, &[]);
    assert_eq!(reader.get("orders", "1").expect("there may be no such table"), None);
    let page = reader.page("orders", &all()).expect("there may be no such table");
    assert_eq!((page.rows.len(), page.total), (0, 0));
    assert_eq!(reader.get("or\"ders; --", "1").expect("a name is only a name"), None);
}

fn pages(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS]);
    let rows = (0..25).map(|n| order_row(&format!("k{n:02}"), text(["a", "b"][n % 2]), IndexValue::Integer(1)));
    store.write(&[batch(&ORDERS, 1, rows.collect())]).expect("rows can be written");
    for (offset, limit, count) in
        [(0, 10, 10), (20, 10, 5), (24, 1, 1), (25, 10, 0), (99, 10, 0), (0, 0, 0), (5, u64::MAX, 20)]
    {
        let page = reader.page("orders", &Query { offset, limit, ..Query::default() }).expect("a page can be read");
        assert_eq!((page.rows.len(), page.total), (count, 25), "offset {offset} limit {limit}");
        let first = keys(&page).first().map(|key| (*key).to_owned());
        assert_eq!(first, (count > 0).then(|| format!("k{offset:02}")));
    }
    let odd = Query { equal: vec![("status".into(), text("b"))], offset: 10, limit: 1, ..Query::default() };
    let page = reader.page("orders", &odd).expect("a page can be read");
    assert_eq!((keys(&page), page.total), (vec!["k21"], 12));
    let beyond = reader.page("orders", &Query { offset: 40, ..odd }).expect("a page can be read");
    assert_eq!((beyond.rows.len(), beyond.total), (0, 12));
}

fn order(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS]);
    let rows = [("b", 2), ("a", 2), ("d", 1), ("c", 3), ("B", 2), ("é", 1)];
    let rows = rows.map(|(key, total)| order_row(key, text("open"), IndexValue::Integer(total)));
    store.write(&[batch(&ORDERS, 1, rows.to_vec())]).expect("rows can be written");
    let by = |order_by: Option<&str>, descending| {
        asked(&*reader, &Query { order_by: order_by.map(str::to_owned), descending, ..all() })
    };
    assert_eq!(by(None, false), ["B", "a", "b", "c", "d", "é"]);
    assert_eq!(by(None, true), ["é", "d", "c", "b", "a", "B"]);
    // What stands behind a key, whether that is there or not, with the other conditions, and in any order.
    let behind = |key: &str, query: Query| asked(&*reader, &Query { behind: Some(key.to_owned()), ..query });
    assert_eq!(behind("a", all()), ["b", "c", "d", "é"]);
    assert_eq!(behind("C", Query { equal: vec![("total".into(), IndexValue::Integer(2))], ..all() }), ["a", "b"]);
    assert_eq!(behind("b", Query { order_by: Some("total".into()), descending: true, ..all() }), ["c", "é", "d"]);
    assert!(behind("é", all()).is_empty());
    assert_eq!(by(Some("total"), false), ["d", "é", "B", "a", "b", "c"]);
    assert_eq!(by(Some("total"), true), ["c", "b", "a", "B", "é", "d"]);
}

fn conditions(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS]);
    let rows = (1..=6).map(|n: i64| {
        order_row(&n.to_string(), text(["open", "paid"][n as usize % 2]), IndexValue::Integer(n * 10 - 30))
    });
    store.write(&[batch(&ORDERS, 1, rows.collect())]).expect("rows can be written");
    let range = |from: Option<i64>, to: Option<i64>| {
        Some(("total".to_owned(), from.map(IndexValue::Integer), to.map(IndexValue::Integer)))
    };
    let query = |equal: &[(&str, &str)], range| Query {
        equal: equal.iter().map(|(field, value)| ((*field).to_owned(), text(value))).collect(),
        range,
        ..all()
    };
    assert_eq!(asked(&*reader, &query(&[("status", "paid")], None)), ["1", "3", "5"]);
    assert_eq!(asked(&*reader, &query(&[], range(Some(-10), Some(20)))), ["2", "3", "4"]);
    assert_eq!(asked(&*reader, &query(&[], range(None, Some(-10)))), ["1"]);
    assert_eq!(asked(&*reader, &query(&[], range(Some(20), None))), ["5", "6"]);
    assert_eq!(asked(&*reader, &query(&[], range(None, None))).len(), 6);
    assert_eq!(asked(&*reader, &query(&[("status", "paid")], range(Some(-10), Some(20)))), ["3"]);
    assert_eq!(asked(&*reader, &query(&[("status", "paid"), ("status", "open")], None)), [""; 0]);
    assert_eq!(asked(&*reader, &query(&[("status", "PAID")], None)), [""; 0]);
    let update = order_row("1", text("open"), IndexValue::Integer(0));
    store.write(&[batch(&ORDERS, 2, vec![update])]).expect("rows can be written");
    assert_eq!(asked(&*reader, &query(&[("status", "paid")], None)), ["3", "5"], "an index follows its row");
}

fn absent(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS]);
    let rows = [("a", IndexValue::Null), ("b", IndexValue::Integer(-5)), ("c", IndexValue::Null), ("d", text(""))];
    let rows = rows.map(|(key, total)| order_row(key, text("open"), total));
    store.write(&[batch(&ORDERS, 1, rows.to_vec())]).expect("rows can be written");
    let range = |from, to| Query { range: Some(("total".into(), from, to)), ..all() };
    let equal = |value| Query { equal: vec![("total".into(), value)], ..all() };
    assert_eq!(asked(&*reader, &equal(IndexValue::Null)), ["a", "c"]);
    assert_eq!(asked(&*reader, &equal(text(""))), ["d"]);
    assert_eq!(asked(&*reader, &range(None, Some(IndexValue::Integer(0)))), ["b"]);
    assert_eq!(asked(&*reader, &range(Some(IndexValue::Null), None)), [""; 0]);
    let sorted = Query { order_by: Some("total".into()), ..all() };
    assert_eq!(asked(&*reader, &sorted), ["a", "c", "b", "d"], "absent before numbers before text");
}

fn kinds(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS]);
    let integers = [i64::MIN, -1, 0, 9, 10, i64::MAX].map(IndexValue::Integer);
    let values = integers.into_iter().chain(["", "10", "9", "A", "a", "é"].map(text));
    let rows = values.enumerate().map(|(n, value)| order_row(&format!("{:02}", 50 - n), text("open"), value));
    store.write(&[batch(&ORDERS, 1, rows.collect())]).expect("rows can be written");
    let sorted = asked(&*reader, &Query { order_by: Some("total".into()), ..all() });
    assert_eq!(sorted, (39..=50).rev().map(|n| n.to_string()).collect::<Vec<_>>());
    let number = Query { equal: vec![("total".into(), IndexValue::Integer(9))], ..all() };
    assert_eq!(asked(&*reader, &number), ["47"], "the number 9 is not the text 9");
    let texts = Query { range: Some(("total".into(), Some(text("10")), Some(text("a")))), ..all() };
    assert_eq!(asked(&*reader, &texts), ["41", "42", "43"]);
}

fn texts(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS]);
    let (long, longer) = ("x".repeat(5_000), "x".repeat(5_001));
    let values = ["", "\0", "\0a", "\u{1}", "\u{1}\0", "'; --", "a", "a\0", "a\u{1}", "a\\", long.as_str(), &longer];
    let rows = values.iter().enumerate().map(|(n, value)| order_row(&format!("{n:02}"), text(value), IndexValue::Null));
    store.write(&[batch(&ORDERS, 1, rows.collect())]).expect("rows can be written");
    for (n, value) in values.iter().enumerate() {
        let equal = Query { equal: vec![("status".into(), text(value))], ..all() };
        assert_eq!(asked(&*reader, &equal), [format!("{n:02}")], "`{value}`");
    }
    let sorted = asked(&*reader, &Query { order_by: Some("status".into()), ..all() });
    assert_eq!(sorted[..10], (0..10).map(|n| format!("{n:02}")).collect::<Vec<_>>(), "in the order of their bytes");
    let range = Query { range: Some(("status".into(), Some(text("a")), Some(text("x")))), ..all() };
    assert_eq!(asked(&*reader, &range), ["06", "07", "08", "09"]);
    let long = Query { range: Some(("status".into(), Some(text("b")), None)), ..all() };
    assert_eq!(asked(&*reader, &long), ["10", "11"]);
}

fn not_indexed(subject: &mut dyn Subject) {
    let (_store, reader) = opened(subject, &[&ORDERS, &PLAIN]);
    let name = || "customer".to_owned();
    let queries = [
        Query { equal: vec![("status".into(), text("x")), (name(), text("x"))], ..all() },
        Query { range: Some((name(), None, None)), ..all() },
        Query { order_by: Some(name()), ..all() },
    ];
    for query in queries {
        match reader.page("orders", &query) {
            Err(RowError::NotIndexed { table, field, indexed }) => {
                assert_eq!((table.as_str(), field.as_str(), indexed.as_str()), ("orders", "customer", "status, total"));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(reader.page("plain", &query), Err(RowError::NotIndexed { .. })));
    }
}

fn versions(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS_2, &ORDERS]);
    let row = |body: &str| {
        let values = vec![IndexValue::Null, IndexValue::Null];
        vec![RowChange { key: "1".into(), row: Some((body.as_bytes().to_vec(), values)) }]
    };
    let body = |reader: &dyn RowReader| {
        let row = reader.get("orders", "1").expect("a row can be read");
        let page = reader.page("orders", &all()).expect("a page can be read");
        assert_eq!(row.as_ref(), page.rows.first(), "get and page read the same version");
        row.map(|row| String::from_utf8_lossy(&row).into_owned())
    };
    let stand = || reader.stand(&["orders", "nothing"]).expect("it can be asked how far rows are");
    assert_eq!(stand(), [None, None]);
    store.write(&[batch(&ORDERS_2, 5, row("\"new\""))]).expect("rows can be written");
    assert_eq!(stand(), [None, None], "as far as the version that is read");
    assert_eq!(body(&*reader), None, "the new version is being built beside the old one");
    store.write(&[batch(&ORDERS, 9, row("\"old\""))]).expect("rows can be written");
    assert_eq!(body(&*reader).as_deref(), Some("\"old\""));
    assert_eq!(stand(), [Some(cursor(9)), None]);
    store.activate(&ORDERS).expect("a table can be activated");
    assert_eq!(body(&*reader).as_deref(), Some("\"old\""));
    store.activate(&ORDERS_2).expect("a table can be activated");
    assert_eq!(body(&*reader).as_deref(), Some("\"new\""));
    assert_eq!(stand(), [Some(cursor(5)), None]);
    assert_eq!(store.open(&ORDERS_2).expect("a table can be opened"), Some(cursor(5)));
}

fn activate(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS, &ORDERS_2, &PLAIN]);
    let row = || vec![order_row("1", IndexValue::Null, IndexValue::Null)];
    store.write(&[batch(&ORDERS, 5, row())]).expect("rows can be written");
    store.activate(&ORDERS_2).expect("a table can be activated");
    store.activate(&ORDERS_2).expect("a table can be activated twice");
    assert!(store.get(&ORDERS, "1").is_err(), "what is older was dropped");
    assert_eq!(reader.get("orders", "1").expect("a row can be looked for"), None);
    let older = store.open(&ORDERS).expect("an older version can be made again");
    assert_eq!((older, store.get(&ORDERS, "1").expect("a row can be looked for")), (None, None));
    store.write(&[batch(&ORDERS, 5, row())]).expect("rows can be written");
    assert_eq!(reader.get("orders", "1").expect("a row can be looked for"), None, "the active version is read");
    assert_eq!(store.open(&PLAIN).expect("other tables stay"), None);
}

fn discard(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS, &ORDERS_2]);
    let row = |key: &str| vec![order_row(key, IndexValue::Null, IndexValue::Null)];
    store.write(&[batch(&ORDERS, 5, row("1")), batch(&ORDERS_2, 5, row("2"))]).expect("rows can be written");
    store.activate(&ORDERS).expect("a table can be activated");
    store.discard(&ORDERS).expect("a table can be discarded");
    store.discard(&PLAIN).expect("what is not there can be discarded");
    assert!(store.get(&ORDERS, "1").is_err(), "it is to be opened again");
    assert_eq!(asked(&*reader, &all()), ["2"], "what is left is read");
    assert_eq!(store.open(&ORDERS).expect("a table can be opened"), None);
    assert_eq!(store.get(&ORDERS, "1").expect("a row can be looked for"), None);
}

fn bytes(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&PLAIN]);
    let long = format!(r#"{{"text":"{}"}}"#, "ü".repeat(400_000));
    let (far, further) = ("k".repeat(5_000), "k".repeat(5_001));
    let keys =
        ["", "a'b\"c", "Übergröße 17", "注文", "%", "_", "a", "A", "1", "01", "1.0", "a\\b", "a\n", "a\0", "a\u{1}"];
    let keys = keys.into_iter().chain([far.as_str(), &further]);
    let keys: Vec<&str> = keys.collect();
    let bodies = ["{}", r#"{"a":"\u0000"}"#, long.as_str(), r#"{"n":1.50,"s":"🛒"}"#];
    for (n, key) in keys.iter().enumerate() {
        let row = Some((bodies[n % bodies.len()].as_bytes().to_vec(), Vec::new()));
        store.write(&[batch(&PLAIN, 1, vec![RowChange { key: (*key).into(), row }])]).expect("rows can be written");
    }
    for (n, key) in keys.iter().enumerate() {
        let body = Some(bodies[n % bodies.len()].as_bytes().to_vec());
        assert!(store.get(&PLAIN, key).expect("a row can be read") == body, "`{key}`");
        assert!(reader.get("plain", key).expect("a row can be read") == body, "`{key}`");
    }
}

fn large_batch(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS]);
    let rows = |status: &str| {
        let row = |n: i64| order_row(&format!("k{n}"), text(status), IndexValue::Integer(n));
        (0..1_003).map(row).collect::<Vec<_>>()
    };
    store.write(&[batch(&ORDERS, 1, rows("open"))]).expect("rows can be written");
    store.write(&[batch(&ORDERS, 2, rows("paid"))]).expect("rows can be written");
    let paid = Query { equal: vec![("status".into(), text("paid"))], limit: 1, ..Query::default() };
    assert_eq!(reader.page("orders", &paid).expect("a page can be read").total, 1_003);
    let mixed = rows("sent").into_iter().enumerate().map(|(n, change)| match n % 3 {
        0 => RowChange { row: None, ..change },
        _ => change,
    });
    store.write(&[batch(&ORDERS, 3, mixed.collect())]).expect("rows can be written");
    let sent = Query { equal: vec![("status".into(), text("sent"))], limit: 1, ..Query::default() };
    assert_eq!(reader.page("orders", &sent).expect("a page can be read").total, 668);
    assert_eq!(reader.page("orders", &all()).expect("a page can be read").total, 668);
}

fn beside(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = || {
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let page = reader.page("orders", &all()).expect("a page can be read beside the writer");
                let first = page.rows.first().cloned();
                assert!(page.rows.len() == 20 || page.rows.is_empty(), "{} rows", page.rows.len());
                assert!(page.rows.iter().all(|row| Some(row) == first.as_ref()), "rows of two batches on one page");
            }
        };
        let watching = [scope.spawn(watch), scope.spawn(watch)];
        for round in 0..60_u64 {
            let version = if round < 30 { &ORDERS } else { &ORDERS_2 };
            let values = || vec![IndexValue::Null, IndexValue::Null];
            let row =
                |n: usize| RowChange { key: format!("{n}"), row: Some((round.to_string().into_bytes(), values())) };
            if round == 30 {
                store.open(version).expect("a table can be opened");
            }
            store.write(&[batch(version, round, (0..20).map(row).collect())]).expect("rows can be written");
            if round == 45 {
                store.activate(version).expect("a table can be activated");
            }
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        for thread in watching {
            thread.join().expect("the reader found what it must");
        }
    });
}

fn reopened(subject: &mut dyn Subject) {
    let (mut store, reader) = opened(subject, &[&ORDERS, &ORDERS_2]);
    let row = |key: &str| vec![order_row(key, text("open"), IndexValue::Integer(1))];
    store.write(&[batch(&ORDERS, 5, row("1")), batch(&ORDERS_2, 6, row("2"))]).expect("rows can be written");
    store.activate(&ORDERS_2).expect("a table can be activated");
    drop((store, reader));
    let mut store = match subject.reopen() {
        Ok(store) => store,
        Err(cannot) => return left_out("opening again finds rows", cannot),
    };
    assert_eq!(asked(&*store.reader(), &all()), ["2"], "queries work before the table is opened");
    assert_eq!(store.open(&ORDERS_2).expect("a table can be opened"), Some(cursor(6)));
    assert!(store.open(&TableSpec { indexes: &["other"], ..ORDERS_2 }).is_err());
    let open = Query { equal: vec![("status".into(), text("open"))], ..all() };
    assert_eq!(asked(&*store.reader(), &open), ["2"]);
}
