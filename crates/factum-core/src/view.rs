//! Views: typed rows written from events, and from nothing else. Rebuilt at any time.

use std::{any::Any, collections::BTreeMap, marker::PhantomData};

use crate::{
    envelope::{Recorded, Stored},
    error::{HandlerError, RowError},
    payload::{Event, TypeInfo},
    ports::{RowChange, TableSpec},
    row::Row,
};

/// Reads the stored body of a row that this batch has not touched yet.
pub type Load<'a> = &'a mut dyn FnMut(&str) -> Result<Option<Vec<u8>>, RowError>;

/// The rows of a view, as its handler sees them: reads see earlier writes of the same batch, and each row is written
/// once per batch however often it changed.
pub struct Rows<'a, R: Row> {
    touched: &'a mut BTreeMap<String, Touched<R>>,
    load: Load<'a>,
    problem: &'a mut Option<HandlerError>,
}

struct Touched<R> {
    row: Option<R>,
    changed: bool,
}

impl<R: Row> Rows<'_, R> {
    /// A row, if there is one.
    pub fn get(&mut self, key: &R::Key) -> Option<R> {
        self.touch(&key.to_string()).row.clone()
    }

    /// Writes a row, whether or not there was one.
    pub fn put(&mut self, row: R) {
        self.touched.insert(row.key(), Touched { row: Some(row), changed: true });
    }

    /// Changes a row in place; answers whether there is one.
    pub fn update(&mut self, key: &R::Key, change: impl FnOnce(&mut R)) -> bool {
        let touched = self.touch(&key.to_string());
        let Some(row) = &mut touched.row else { return false };
        change(row);
        touched.changed = true;
        true
    }

    /// Changes a row, made by `new` first if there is none.
    pub fn upsert(&mut self, key: &R::Key, new: impl FnOnce() -> R, change: impl FnOnce(&mut R)) {
        let touched = self.touch(&key.to_string());
        touched.changed = true;
        change(touched.row.get_or_insert_with(new));
    }

    /// Removes a row.
    pub fn remove(&mut self, key: &R::Key) {
        self.touched.insert(key.to_string(), Touched { row: None, changed: true });
    }

    fn touch(&mut self, key: &str) -> &mut Touched<R> {
        if !self.touched.contains_key(key) {
            let row = match (self.load)(key) {
                Ok(None) => None,
                Ok(Some(body)) => match serde_json::from_slice(&body) {
                    Ok(row) => Some(row),
                    Err(error) => {
                        let table = R::TABLE;
                        let reason =
                            format!("row {key} of {table} does not fit its type ({error}): raise the view's version");
                        self.problem.get_or_insert(HandlerError::Failed(reason));
                        None
                    }
                },
                Err(error) => {
                    self.problem.get_or_insert(HandlerError::Failed(error.to_string()));
                    None
                }
            };
            self.touched.insert(key.to_owned(), Touched { row, changed: false });
        }
        self.touched.entry(key.to_owned()).or_insert(Touched { row: None, changed: false })
    }
}

/// Rows that a person must see to: those in which an indexed field says something.
#[derive(Clone, Debug)]
pub struct Attention {
    /// The table.
    pub table: &'static str,
    /// The field (JSON name), which is absent in all other rows.
    pub field: &'static str,
    /// What such a person may do, such as a command line that lists them.
    pub hint: &'static str,
    /// The key of a row's body, if that fits the type.
    pub key: fn(&[u8]) -> Option<String>,
}

impl Attention {
    /// What [`Service::needs_person`](crate::service::Service::needs_person) declares.
    pub fn of<R: Row>(field: &'static str, hint: &'static str) -> Self {
        let key = |body: &[u8]| serde_json::from_slice::<R>(body).ok().map(|row| row.key());
        Self { table: R::TABLE, field, hint, key }
    }
}

/// A view without its types, as the view loop holds it.
pub trait AnyView: Send + Sync {
    /// Its table.
    fn table(&self) -> TableSpec;
    /// Whether it leaves out events that it fails on, with a letter, instead of stopping in front of them.
    fn skips(&self) -> bool;
    /// Types it reads.
    fn types(&self) -> Vec<TypeInfo>;
    /// Starts a batch: an empty set of touched rows.
    fn batch(&self) -> Box<dyn Any + Send>;
    /// Takes one event in.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit or a row cannot be read.
    fn apply(&self, batch: &mut dyn Any, load: Load<'_>, stored: &Stored) -> Result<(), HandlerError>;
    /// The rows that changed.
    ///
    /// # Errors
    /// [`HandlerError`] if a row has no JSON form.
    fn changes(&self, batch: Box<dyn Any + Send>) -> Result<Vec<RowChange>, HandlerError>;
}

/// Takes a view's types away.
pub fn erase<R: Row, E: Event>(
    version: u32,
    skips: bool,
    handler: impl Fn(&mut Rows<'_, R>, &Recorded<'_, E>) + Send + Sync + 'static,
) -> Box<dyn AnyView> {
    Box::new(Typed { version, skips, handler, marker: PhantomData::<fn() -> (R, E)> })
}

struct Typed<R, E, F> {
    version: u32,
    skips: bool,
    handler: F,
    marker: PhantomData<fn() -> (R, E)>,
}

impl<R, E, F> AnyView for Typed<R, E, F>
where
    R: Row,
    E: Event,
    F: Fn(&mut Rows<'_, R>, &Recorded<'_, E>) + Send + Sync + 'static,
{
    fn table(&self) -> TableSpec {
        TableSpec { name: R::TABLE, version: self.version, indexes: R::INDEXES }
    }

    fn skips(&self) -> bool {
        self.skips
    }

    fn types(&self) -> Vec<TypeInfo> {
        E::types()
    }

    fn batch(&self) -> Box<dyn Any + Send> {
        Box::new(BTreeMap::<String, Touched<R>>::new())
    }

    fn apply(&self, batch: &mut dyn Any, load: Load<'_>, stored: &Stored) -> Result<(), HandlerError> {
        let touched = batch.downcast_mut().ok_or_else(|| HandlerError::failed("a view was given a foreign batch"))?;
        let mut problem = None;
        let mut rows = Rows { touched, load, problem: &mut problem };
        (self.handler)(&mut rows, &Recorded::<E>::read(stored)?);
        problem.map_or(Ok(()), Err)
    }

    fn changes(&self, batch: Box<dyn Any + Send>) -> Result<Vec<RowChange>, HandlerError> {
        let touched = batch
            .downcast::<BTreeMap<String, Touched<R>>>()
            .map_err(|_| HandlerError::failed("a view was given a foreign batch"))?;
        let changed = touched.into_iter().filter(|(_, touched)| touched.changed);
        changed
            .map(|(key, touched)| {
                let Some(row) = touched.row else { return Ok(RowChange { key, row: None }) };
                let body = serde_json::to_vec(&row).map_err(HandlerError::failed)?;
                Ok(RowChange { key, row: Some((body, row.indexed())) })
            })
            .collect()
    }
}
