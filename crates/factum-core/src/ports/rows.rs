//! The port of read models: typed rows in tables, each table with the cursor up to which it was built.

use std::sync::Arc;

use crate::{error::RowError, row::IndexValue, stream::Cursor};

/// A table of one view at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name; queries use it without the version.
    pub name: &'static str,
    /// The view's version; each has rows of its own.
    pub version: u32,
    /// JSON names of the indexed fields.
    pub indexes: &'static [&'static str],
}

/// Rows of one table to be read together.
#[derive(Clone, Debug)]
pub struct TableKeys {
    /// The table.
    pub table: TableSpec,
    /// Their keys.
    pub keys: Vec<String>,
}

/// One row's change.
#[derive(Clone, Debug)]
pub struct RowChange {
    /// The row's key.
    pub key: String,
    /// Its new body (JSON) and the values of the indexed fields; `None` removes it.
    pub row: Option<(Vec<u8>, Vec<IndexValue>)>,
}

impl TableSpec {
    /// Refuses names that are not to get into SQL: they are `[a-z][A-Za-z0-9_]*`; for implementations.
    ///
    /// # Errors
    /// [`RowError::Store`], which names the first that is none.
    pub fn check_names(&self) -> Result<(), RowError> {
        let fields = self.indexes.iter().map(|field| ("an indexed field", *field));
        for (what, name) in std::iter::once(("a table", self.name)).chain(fields) {
            let starts_well = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
            if !starts_well || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(RowError::Store(format!(
                    "`{name}` is no name for {what}: start with a-z, go on with letters, digits and `_`"
                )));
            }
        }
        Ok(())
    }

    /// Refuses a declaration of other indexes than the table of this version has; for implementations.
    ///
    /// # Errors
    /// [`RowError::Store`], which says to raise the view's version.
    pub fn check_indexes<T: AsRef<str>>(&self, existing: &[T]) -> Result<(), RowError> {
        let same = existing.len() == self.indexes.len()
            && self.indexes.iter().all(|index| existing.iter().any(|known| known.as_ref() == *index));
        if same {
            return Ok(());
        }
        Err(RowError::Store(format!(
            "the rows of {} version {} have the indexes ({}), the view declares ({}): raise the view's version, so that \
             they are built anew",
            self.name,
            self.version,
            list(existing),
            list(self.indexes),
        )))
    }

    /// Refuses a change that has not exactly one value for each index; for implementations.
    ///
    /// # Errors
    /// [`RowError::Store`], which names the row.
    pub fn check_change(&self, change: &RowChange) -> Result<(), RowError> {
        let Some((_, values)) = &change.row else { return Ok(()) };
        if values.len() == self.indexes.len() {
            return Ok(());
        }
        let (name, key, wanted, given) = (self.name, &change.key, self.indexes.len(), values.len());
        Err(RowError::Store(format!("row {key} of {name} has {given} index values for {wanted} indexes")))
    }

    /// The answer to a use of a table that was not opened.
    pub fn not_open(&self) -> RowError {
        RowError::Store(format!("the rows of {} version {} were not opened: open them first", self.name, self.version))
    }
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// All changes of one table in a batch, with the cursor behind them.
#[derive(Clone, Debug)]
pub struct TableBatch {
    /// The table.
    pub table: TableSpec,
    /// Each key at most once.
    pub changes: Vec<RowChange>,
    /// What the rows stand for now.
    pub cursor: Cursor,
}

/// The writing side; one owner, the view loop.
///
/// An implementation keeps these promises:
///
/// - `write` is one transaction: rows and cursors change together, for all tables of the batch, or not at all.
/// - A row or cursor that was written is read back by the next `get`.
/// - Queries see the version that was last `activate`d, or the oldest one if none was, never a mixture.
/// - A table is `open`ed before it is used otherwise; anything else is refused whole, also a declaration of other indexes
///   at the same version.
/// - Rows are only moved on from where they stood when this owner opened or wrote them last: where several processes can reach
///   them, one whose rows another has written meanwhile is refused, whole.
/// - Behind a failed `write` it is `open` that tells where the rows stand: the batch may have been written all the same, and
///   another owner's too.
pub trait RowStore: Send {
    /// Makes the table of this version if it is missing; answers how far it was built.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn open(&mut self, table: &TableSpec) -> Result<Option<Cursor>, RowError>;

    /// A row's body.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn get(&mut self, table: &TableSpec, key: &str) -> Result<Option<Vec<u8>>, RowError>;

    /// Bodies of rows, read together: for each table its rows in the order of the keys, `None` for one that is not there.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn get_many(&mut self, wanted: &[TableKeys]) -> Result<Vec<Vec<Option<Vec<u8>>>>, RowError> {
        let mut read = |TableKeys { table, keys }: &TableKeys| keys.iter().map(|key| self.get(table, key)).collect();
        wanted.iter().map(&mut read).collect()
    }

    /// Whether a call costs so much more than a row that it pays to find out first which rows a batch of views needs, and to
    /// ask for them together.
    fn is_far(&self) -> bool {
        false
    }

    /// Writes rows and cursors in one transaction.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn write(&mut self, batches: &[TableBatch]) -> Result<(), RowError>;

    /// Queries read this version from now on; older ones are dropped.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn activate(&mut self, table: &TableSpec) -> Result<(), RowError>;

    /// Removes the table of this version with its cursor, so that it is built anew.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn discard(&mut self, table: &TableSpec) -> Result<(), RowError>;

    /// The reading side.
    fn reader(&self) -> Arc<dyn RowReader>;
}

/// What rows to answer, all conditions together.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Indexed field = value.
    pub equal: Vec<(String, IndexValue)>,
    /// Indexed field from (inclusive) and to (exclusive); an absent value lies in no range.
    pub range: Option<(String, Option<IndexValue>, Option<IndexValue>)>,
    /// Only rows whose key is greater than this one, byte by byte: to go on where a walk by key stands, whatever has come and
    /// gone meanwhile.
    pub behind: Option<String>,
    /// Indexed field to sort by, and rows of one value by key; else by key. Absent before numbers before text.
    pub order_by: Option<String>,
    /// Largest first.
    pub descending: bool,
    /// Rows to pass over.
    pub offset: u64,
    /// Rows to answer at most.
    pub limit: u64,
}

impl Query {
    /// Refuses a field without an index; for implementations.
    ///
    /// # Errors
    /// [`RowError::NotIndexed`], which lists what is indexed.
    pub fn check_indexes<T: AsRef<str>>(&self, table: &str, indexed: &[T]) -> Result<(), RowError> {
        let equal = self.equal.iter().map(|(field, _)| field);
        let mut fields = equal.chain(self.range.iter().map(|(field, ..)| field)).chain(&self.order_by);
        match fields.find(|field| !indexed.iter().any(|known| known.as_ref() == *field)) {
            None => Ok(()),
            Some(field) => Err(RowError::NotIndexed {
                table: table.to_owned(),
                field: field.clone(),
                indexed: if indexed.is_empty() { "none".to_owned() } else { list(indexed) },
            }),
        }
    }
}

/// A page of rows.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Bodies (JSON), in order.
    pub rows: Vec<Vec<u8>>,
    /// Rows that fit the conditions, on all pages.
    pub total: u64,
}

/// The reading side; usable from any thread. Calls block: keep them off an async executor.
pub trait RowReader: Send + Sync {
    /// A row's body.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn get(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>, RowError>;

    /// Bodies of rows, read together, in the order of the keys: `None` for one that is not there.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn get_many(&self, table: &str, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, RowError> {
        keys.iter().map(|key| self.get(table, key)).collect()
    }

    /// Rows that fit a query.
    ///
    /// # Errors
    /// [`RowError::NotIndexed`] for a field without index, [`RowError::Store`] if the store fails.
    fn page(&self, table: &str, query: &Query) -> Result<Page, RowError>;

    /// How far the rows are built that queries of these tables read; `None` for a table that is not there, or that nothing was
    /// written to yet.
    ///
    /// # Errors
    /// [`RowError`] if the store fails.
    fn stand(&self, tables: &[&str]) -> Result<Vec<Option<Cursor>>, RowError>;
}
