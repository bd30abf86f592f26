//! A seeded random program of batches, queries, versions and reopenings, which a row store must run as the model does.

use factum_core::{
    memory_rows::MemoryRows,
    ports::{Query, RowChange, RowReader, RowStore, TableSpec},
    row::IndexValue,
};
use fastrand::Rng;

use super::{ORDERS, ORDERS_2, PLAIN, Subject, batch, text};

pub(super) fn random(subject: &mut dyn Subject) {
    for seed in super::super::random::seeds(8) {
        let mut rng = Rng::with_seed(seed);
        let mut store = subject.fresh();
        let mut model = MemoryRows::new();
        let tables = [ORDERS, ORDERS_2, PLAIN];
        for step in 0..120 {
            let table = &tables[rng.usize(0..3)];
            let at = format!("step {step} of seed {seed}; FACTUM_SEED={seed} runs it again");
            match rng.u32(0..20) {
                0..3 => assert_eq!(store.open(table).ok(), RowStore::open(&mut model, table).ok(), "{at}"),
                3..10 => {
                    let count = rng.usize(0..40);
                    let first = rng.usize(0..60);
                    let changes = (0..count).map(|n| random_change(&mut rng, first + n, table)).collect();
                    let batches = [batch(table, rng.u64(0..1_000), changes)];
                    assert_eq!(store.write(&batches).is_ok(), model.write(&batches).is_ok(), "{at}");
                }
                10 => assert_eq!(store.activate(table).is_ok(), model.activate(table).is_ok(), "{at}"),
                11 => assert_eq!(store.discard(table).is_ok(), model.discard(table).is_ok(), "{at}"),
                12 => {
                    drop(store);
                    store = match subject.reopen() {
                        Ok(store) => store,
                        Err(_) => {
                            model = MemoryRows::new();
                            subject.fresh()
                        }
                    };
                    for table in &tables {
                        assert_eq!(store.open(table).ok(), RowStore::open(&mut model, table).ok(), "{at}");
                    }
                }
                _ => {
                    let query = random_query(&mut rng);
                    let found = store.reader().page(table.name, &query).map(|page| (page.rows, page.total));
                    let expected = model.page(table.name, &query).map(|page| (page.rows, page.total));
                    assert_eq!(found.ok(), expected.ok(), "{at}: {query:?}");
                    let key = format!("k{}", rng.u32(0..60));
                    let found = store.reader().get(table.name, &key).ok();
                    assert_eq!(found, RowReader::get(&model, table.name, &key).ok(), "{at}");
                }
            }
        }
    }
}

fn random_value(rng: &mut Rng) -> IndexValue {
    match rng.u32(0..5) {
        0 => IndexValue::Null,
        1 | 2 => IndexValue::Integer(rng.i64(-3..4)),
        _ => text(["", "a", "b", "B", "é"][rng.usize(0..5)]),
    }
}

fn random_change(rng: &mut Rng, n: usize, table: &TableSpec) -> RowChange {
    // Each key at most once in a batch, as the port says.
    let key = format!("k{}", n % 60);
    let body = format!(r#"{{"key":"{key}","n":{}}}"#, rng.u32(..)).into_bytes();
    let values = table.indexes.iter().map(|_| random_value(rng)).collect();
    RowChange { key, row: rng.bool().then_some((body, values)) }
}

fn random_query(rng: &mut Rng) -> Query {
    let field = |rng: &mut Rng| ["status", "total"][rng.usize(0..2)].to_owned();
    let bound = |rng: &mut Rng| rng.bool().then(|| random_value(rng));
    let equal = (0..rng.usize(0..3).saturating_sub(1)).map(|_| (field(rng), random_value(rng))).collect();
    let range = rng.bool().then(|| (field(rng), bound(rng), bound(rng)));
    let order_by = rng.bool().then(|| field(rng));
    let behind = rng.bool().then(|| format!("k{}", rng.u32(..60)));
    Query { equal, range, behind, order_by, descending: rng.bool(), offset: rng.u64(0..6), limit: rng.u64(0..30) }
}
