//! Rows in PostgreSQL as people see them: what they are called, and SQL by hand.

use factum_adapters::postgres::Options;
use factum_core::{
    ports::{Query, RowChange, RowStore, TableBatch, TableSpec},
    row::IndexValue,
};

use super::postgres_rows::{InSchemas, ORDERS, batch, cursor, order};

#[test]
fn names_that_are_not_ours_do_not_get_into_sql() {
    let Some(schemas) = InSchemas::start() else { return };
    let mut store = schemas.open();
    for name in ["", "Orders", "1st", "a\"b", "a-b", "a b", "_tables", "ü", "a.b", "a;--", "a\0"] {
        assert!(store.open(&TableSpec { name, version: 1, indexes: &[] }).is_err(), "{name}");
        assert!(store.discard(&TableSpec { name, version: 1, indexes: &[] }).is_err(), "{name}");
        let indexes: &'static [&'static str] = Box::leak(Box::new([name]));
        assert!(store.open(&TableSpec { name: "orders", version: 1, indexes }).is_err(), "{name}");
    }
}

#[test]
fn whatever_a_table_is_called_it_clashes_with_nothing() {
    let Some(schemas) = InSchemas::start() else { return };
    let mut store = schemas.open();
    // The log's partitions too.
    drop(factum_adapters::postgres::open(&schemas.0.url(), Options::default()).unwrap());
    let there = schemas.sql("SELECT relname FROM pg_class WHERE relnamespace = 'unit_0'::regnamespace");
    let long = "n".repeat(61);
    let longer = format!("{long}{long}");
    let others = ["orders", "orders_v1", "orders_v1_rows", "orders_rows", "orders_v", "select", "user", "key", "body"];
    let mut names: Vec<String> = there.lines().map(str::to_owned).collect();
    assert!(names.len() > 15, "{names:?}");
    names.extend(others.map(str::to_owned));
    names.extend([format!("{long}a"), format!("{long}b"), format!("{longer}a"), format!("{longer}b"), "n".repeat(63)]);
    let specs: Vec<TableSpec> = names
        .into_iter()
        .flat_map(|name| {
            let name: &'static str = Box::leak(name.into_boxed_str());
            let indexes: &'static [&'static str] = Box::leak(Box::new([name, "order", "number", "bodyText"]));
            [1, 12].map(|version| TableSpec { name, version, indexes })
        })
        .collect();
    let row = |spec: &TableSpec| {
        let body = format!(r#""{} {}""#, spec.name, spec.version).into_bytes();
        let values = vec![IndexValue::Integer(1), IndexValue::Null, IndexValue::Null, IndexValue::Text(String::new())];
        RowChange { key: "k".to_owned(), row: Some((body, values)) }
    };
    for spec in &specs {
        assert_eq!(store.open(spec).unwrap(), None, "{}", spec.name);
        store.write(&[TableBatch { table: spec.clone(), changes: vec![row(spec)], cursor: cursor(1) }]).unwrap();
    }
    let reader = store.reader();
    for spec in &specs {
        let own = format!(r#""{} {}""#, spec.name, spec.version).into_bytes();
        assert_eq!(store.get(spec, "k").unwrap(), Some(own.clone()));
        if spec.version == 12 {
            store.activate(spec).unwrap();
            let by =
                Query { equal: vec![(spec.name.to_owned(), IndexValue::Integer(1))], limit: 9, ..Query::default() };
            assert_eq!(reader.page(spec.name, &by).unwrap().rows, [own]);
        }
    }
    // Each is seen by people, in a view of its own.
    let views = schemas.sql("SELECT count(*) FROM pg_views WHERE schemaname = 'unit_0'");
    assert_eq!(views, (specs.len() / 2).to_string());
    assert_eq!(schemas.sql("SELECT body FROM orders_rows_rows"), r#""orders_rows 12""#);
    assert_eq!(schemas.sql("SELECT body FROM cell_rows WHERE cell_number = 1"), r#""cell 12""#);
}

#[test]
fn what_belongs_to_something_else_is_named() {
    let Some(schemas) = InSchemas::start() else { return };
    let mut store = schemas.open();
    for (taken, drop) in [("TABLE orders_v1 (a int)", "TABLE orders_v1"), ("TABLE orders (a int)", "TABLE orders")] {
        schemas.sql(&format!("CREATE {taken}"));
        let error = store.open(&ORDERS).unwrap_err().to_string();
        assert!(error.contains("belongs to something else"), "{error}");
        schemas.sql(&format!("DROP {drop}"));
    }
    assert_eq!(store.open(&ORDERS).unwrap(), None);
}

/// The example of docs/postgres.md.
#[test]
fn people_query_rows_in_sql() {
    let Some(schemas) = InSchemas::start() else { return };
    let mut store = schemas.open();
    store.open(&ORDERS).unwrap();
    let odd = RowChange {
        key: "o3\0".to_owned(),
        row: Some((br#"{"note":"a\u0000b","customer":{"city":"Bonn"}}"#.to_vec(), vec![IndexValue::Null; 2])),
    };
    store
        .write(&batch(1, vec![order("o1", "open", 500), order("o2", "open", 99), order("o4", "paid", 700), odd]))
        .unwrap();
    let asked = "SELECT key, body->>'id', total_number FROM orders WHERE status_text = 'open' AND total_number >= 100";
    assert_eq!(schemas.sql(asked), "o1|o1|500");
    let found = "SELECT body->>'note', body->'customer'->>'city' FROM orders WHERE body @> '{\"customer\": {\"city\": \"Bonn\"}}'";
    assert_eq!(schemas.sql(found), "a\u{fffd}b|Bonn");
    assert_eq!(schemas.sql("SELECT name, version, active, position FROM row_table"), "orders|1|f|1");
    // What people have built on the view stays as long as its columns do.
    schemas.sql("CREATE VIEW mine AS SELECT key FROM orders");
    let second = TableSpec { version: 2, indexes: &["status", "total", "customer"], ..ORDERS };
    store.open(&second).unwrap();
    assert_eq!(schemas.sql("SELECT count(*) FROM mine"), "4", "the new version is being built");
    store.activate(&second).unwrap();
    assert_eq!(schemas.sql("SELECT count(*) FROM mine"), "0");
    assert_eq!(schemas.sql("SELECT count(customer_text) FROM orders"), "0");
    let third = TableSpec { version: 3, indexes: &["customer"], ..ORDERS };
    store.open(&third).unwrap();
    store.activate(&third).unwrap();
    assert_eq!(schemas.sql("SELECT to_regclass('mine') IS NULL, count(*) FROM orders"), "t|0");
    store.discard(&third).unwrap();
    assert_eq!(schemas.sql("SELECT to_regclass('orders') IS NULL"), "t");
    // Removed by hand, they are built anew.
    store.open(&third).unwrap();
    schemas.sql(
        "BEGIN; DROP TABLE orders_v3 CASCADE; DELETE FROM row_table WHERE name = 'orders' AND version = 3; COMMIT",
    );
    assert!(store.get(&third, "o1").is_err());
    assert_eq!(store.open(&third).unwrap(), None);
    assert_eq!(store.get(&third, "o1").unwrap(), None);
}
