//! Rows in memory: the model that every other row store is tested against. Nothing survives the process.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    error::RowError,
    ports::{Page, Query, RowReader, RowStore, TableBatch, TableSpec},
    row::IndexValue,
    stream::Cursor,
};

/// Rows in memory. Clones share them, so that a test can "restart" over the same data.
#[derive(Clone, Default)]
pub struct MemoryRows {
    tables: Arc<RwLock<BTreeMap<String, Versions>>>,
}

#[derive(Default)]
struct Versions {
    active: Option<u32>,
    tables: BTreeMap<u32, Table>,
}

struct Table {
    indexes: &'static [&'static str],
    rows: BTreeMap<String, Row>,
    cursor: Option<Cursor>,
}

struct Row {
    body: Vec<u8>,
    values: BTreeMap<&'static str, IndexValue>,
}

impl MemoryRows {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    // Every change is checked before the first row is touched, so a panic leaves no half of one behind.

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Versions>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Versions>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Versions {
    /// The version that queries read: the active one, else the oldest, since a newer one is still being built.
    fn queried(&self) -> Option<&Table> {
        let active = self.active.and_then(|version| self.tables.get(&version));
        active.or_else(|| self.tables.values().next())
    }
}

impl Row {
    fn value(&self, field: &str) -> &IndexValue {
        self.values.get(field).unwrap_or(&IndexValue::Null)
    }
}

impl RowStore for MemoryRows {
    fn open(&mut self, spec: &TableSpec) -> Result<Option<Cursor>, RowError> {
        let mut tables = self.change();
        let versions = tables.entry(spec.name.to_owned()).or_default();
        let new = || Table { indexes: spec.indexes, rows: BTreeMap::new(), cursor: None };
        let table = versions.tables.entry(spec.version).or_insert_with(new);
        spec.check_indexes(table.indexes)?;
        Ok(table.cursor)
    }

    fn get(&mut self, spec: &TableSpec, key: &str) -> Result<Option<Vec<u8>>, RowError> {
        let tables = self.read();
        let table = tables.get(spec.name).and_then(|versions| versions.tables.get(&spec.version));
        let table = table.ok_or_else(|| spec.not_open())?;
        Ok(table.rows.get(key).map(|row| row.body.clone()))
    }

    fn write(&mut self, batches: &[TableBatch]) -> Result<(), RowError> {
        let mut tables = self.change();
        for TableBatch { table: spec, changes, .. } in batches {
            let known = tables.get(spec.name).is_some_and(|versions| versions.tables.contains_key(&spec.version));
            if !known {
                return Err(spec.not_open());
            }
            changes.iter().try_for_each(|change| spec.check_change(change))?;
        }
        for TableBatch { table: spec, changes, cursor } in batches {
            let table = tables.get_mut(spec.name).and_then(|versions| versions.tables.get_mut(&spec.version));
            let Some(table) = table else { continue };
            for change in changes {
                match &change.row {
                    Some((body, values)) => {
                        // By name: the order of the fields may have changed since the table was made.
                        let values = spec.indexes.iter().copied().zip(values.iter().cloned()).collect();
                        table.rows.insert(change.key.clone(), Row { body: body.clone(), values })
                    }
                    None => table.rows.remove(&change.key),
                };
            }
            table.cursor = Some(*cursor);
        }
        Ok(())
    }

    fn activate(&mut self, spec: &TableSpec) -> Result<(), RowError> {
        let mut tables = self.change();
        let versions = tables.get_mut(spec.name).filter(|versions| versions.tables.contains_key(&spec.version));
        let versions = versions.ok_or_else(|| spec.not_open())?;
        versions.active = Some(spec.version);
        versions.tables.retain(|version, _| *version >= spec.version);
        Ok(())
    }

    fn discard(&mut self, spec: &TableSpec) -> Result<(), RowError> {
        let mut tables = self.change();
        let Some(versions) = tables.get_mut(spec.name) else { return Ok(()) };
        versions.tables.remove(&spec.version);
        versions.active = versions.active.filter(|version| *version != spec.version);
        Ok(())
    }

    fn reader(&self) -> Arc<dyn RowReader> {
        Arc::new(self.clone())
    }
}

impl RowReader for MemoryRows {
    fn stand(&self, names: &[&str]) -> Result<Vec<Option<Cursor>>, RowError> {
        let tables = self.read();
        Ok(names.iter().map(|name| tables.get(*name)?.queried()?.cursor).collect())
    }

    fn get(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>, RowError> {
        let tables = self.read();
        let row = tables.get(table).and_then(Versions::queried).and_then(|table| table.rows.get(key));
        Ok(row.map(|row| row.body.clone()))
    }

    fn page(&self, table: &str, query: &Query) -> Result<Page, RowError> {
        let tables = self.read();
        let Some(found) = tables.get(table).and_then(Versions::queried) else { return Ok(Page::default()) };
        query.check_indexes(table, found.indexes)?;
        let behind = query.behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = found.rows.range::<str, _>((behind, Bound::Unbounded));
        let mut fitting: Vec<&Row> = rows.map(|(_, row)| row).filter(|row| fits(query, row)).collect();
        if let Some(field) = query.order_by.as_deref() {
            // Stable: rows of one value stay in the order of their keys.
            fitting.sort_by(|a, b| order(a.value(field), b.value(field)));
        }
        if query.descending {
            fitting.reverse();
        }
        let total = fitting.len() as u64;
        let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let rows = fitting.into_iter().skip(offset).take(limit).map(|row| row.body.clone()).collect();
        Ok(Page { rows, total })
    }
}

fn order(a: &IndexValue, b: &IndexValue) -> Ordering {
    // There is no pair without an order: no floating point.
    a.partial_cmp(b).unwrap_or(Ordering::Equal)
}

fn fits(query: &Query, row: &Row) -> bool {
    let equal = query.equal.iter().all(|(field, wanted)| row.value(field) == wanted);
    let Some((field, from, to)) = &query.range else { return equal };
    // What is absent lies in no range, and nothing lies beyond what is absent.
    let bound = |bound: &Option<IndexValue>, side: fn(Ordering) -> bool| match (row.value(field), bound) {
        (_, None) => true,
        (IndexValue::Null, _) | (_, Some(IndexValue::Null)) => false,
        (value, Some(bound)) => side(order(value, bound)),
    };
    equal && bound(from, Ordering::is_ge) && bound(to, Ordering::is_lt)
}
