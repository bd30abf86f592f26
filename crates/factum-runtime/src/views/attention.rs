//! Rows that a person must see to: counted when a row among them changed, so that whoever asks for health waits for no query.

use factum_core::{
    ports::{Query, RowReader, TableBatch},
    row::IndexValue,
    view::Attention,
};

use super::{Follow, NeedsPerson, ViewError};
use crate::registry::Registry;

/// Rows that are named.
const NAMED: u64 = 3;

/// One of a view's declarations, and how it stands.
pub(super) struct Attended {
    declared: Attention,
    /// Which of the table's indexes it is.
    index: usize,
    /// It is looked at again.
    pub(super) look: bool,
    found: NeedsPerson,
}

/// Gives each view what its service declares of its rows.
pub(super) fn declared(registry: &Registry, runs: &mut [Follow]) -> Result<(), ViewError> {
    for (at, service) in registry.services.iter().enumerate() {
        for declared in &service.attention {
            let run = runs.iter_mut().find(|run| run.service == at && run.table.name == declared.table);
            let index = |run: &Follow| run.table.indexes.iter().position(|index| *index == declared.field);
            let Some((index, run)) = run.and_then(|run| Some((index(run)?, run))) else {
                let (service, table, field) = (service.name.clone(), declared.table, declared.field);
                return Err(ViewError::Attention { service, table, field });
            };
            let found = NeedsPerson { count: 0, who: Vec::new(), hint: declared.hint };
            run.attention.push(Attended { declared: declared.clone(), index, look: true, found });
        }
    }
    Ok(())
}

impl Follow {
    /// Counts again what these batches may have changed.
    pub(super) fn attend(&mut self, batches: &[TableBatch], rows: &dyn RowReader) -> Result<(), ViewError> {
        if self.attention.is_empty() || !self.live {
            return Ok(());
        }
        let changed = batches.iter().find(|batch| batch.table == self.table);
        for attended in &mut self.attention {
            let says = |values: &Vec<IndexValue>| values.get(attended.index).is_some_and(|it| *it != IndexValue::Null);
            let touched = changed.is_some_and(|batch| {
                attended.found.count > 0
                    || batch.changes.iter().any(|change| change.row.as_ref().is_some_and(|(_, values)| says(values)))
            });
            if !std::mem::take(&mut attended.look) && !touched {
                continue;
            }
            // It is looked at until it could be.
            attended.look = true;
            let range = Some((attended.declared.field.to_owned(), Some(IndexValue::Integer(i64::MIN)), None));
            let page = rows.page(self.table.name, &Query { range, limit: NAMED, ..Query::default() })?;
            attended.look = false;
            let before = attended.found.count;
            attended.found.count = page.total;
            attended.found.who = page.rows.iter().filter_map(|body| (attended.declared.key)(body)).collect();
            if page.total > before {
                let (table, hint) = (self.table.name, attended.declared.hint);
                tracing::warn!(table, count = page.total, who = ?attended.found.who, hint, "a person is needed");
            }
        }
        Ok(())
    }

    pub(super) fn needs_person(&self) -> Vec<NeedsPerson> {
        let waits = |attended: &&Attended| attended.found.count > 0;
        self.attention.iter().filter(waits).map(|attended| attended.found.clone()).collect()
    }
}
