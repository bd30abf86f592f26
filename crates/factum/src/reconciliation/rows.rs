//! What is shown of reconciliations.

use factum_core::{Timestamp, envelope::Recorded, view::Rows};
use factum_macros::Row;

use super::messages::{Mismatch, MismatchFound, MismatchGone, ReconciliationEvent};

/// A reconciliation, and how its last comparison ended.
#[derive(Clone, Debug, PartialEq, Row)]
#[row("factum_reconciliations")]
pub struct ReconciliationRow {
    /// `<service>.<name>`.
    #[key]
    pub name: String,
    /// Comparisons so far.
    pub runs: u64,
    /// When the one under way was begun.
    pub under_way_since: Option<Timestamp>,
    /// The business transaction of the last one.
    pub correlation_id: Option<String>,
    /// When the last one ended.
    pub ended_at: Option<Timestamp>,
    /// Keys that it compared.
    pub compared: u64,
    /// Keys on which the sources differed.
    pub mismatches: u64,
    /// What differed and had moved when it was read again.
    pub unsettled: u64,
    /// Why a person must look at it.
    #[index]
    pub needs_person: Option<String>,
}

/// A key on which the sources differ.
#[derive(Clone, Debug, PartialEq, Row)]
#[row("factum_mismatches")]
pub struct MismatchRow {
    /// `<service>.<name>/<key>`.
    #[key]
    pub id: String,
    /// `<service>.<name>`.
    #[index]
    pub reconciliation: String,
    /// What differs, and how.
    pub mismatch: Mismatch,
    /// When it was found to be so.
    pub found_at: Timestamp,
}

impl ReconciliationRow {
    /// One that has never run.
    pub(super) fn blank(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            runs: 0,
            under_way_since: None,
            correlation_id: None,
            ended_at: None,
            compared: 0,
            mismatches: 0,
            unsettled: 0,
            needs_person: None,
        }
    }
}

fn id(reconciliation: &str, key: &str) -> String {
    format!("{reconciliation}/{key}")
}

pub(super) fn reconciliations(rows: &mut Rows<'_, ReconciliationRow>, event: &Recorded<'_, ReconciliationEvent>) {
    use ReconciliationEvent as E;
    let name = match &event.data {
        E::Begun(e) => &e.reconciliation,
        E::Finished(e) => &e.reconciliation,
        E::Failed(e) => &e.reconciliation,
        E::MismatchFound(_) | E::MismatchGone(_) => return,
    };
    let at = event.at();
    rows.upsert(
        name,
        || ReconciliationRow::blank(name),
        |row| match &event.data {
            E::Begun(e) => {
                (row.runs, row.under_way_since) = (e.run, Some(at));
                row.correlation_id = Some(event.stored.envelope().correlation_id.to_string());
            }
            E::Finished(e) => {
                (row.under_way_since, row.ended_at) = (None, Some(at));
                (row.compared, row.mismatches, row.unsettled) = (e.compared, e.mismatches, e.unsettled);
                let keys = if e.mismatches == 1 { "key" } else { "keys" };
                row.needs_person = (e.mismatches > 0)
                    .then(|| format!("the sources differ on {} {keys} of {}", e.mismatches, e.compared));
            }
            E::Failed(e) => {
                (row.under_way_since, row.ended_at) = (None, Some(at));
                row.needs_person = Some(format!("the sources could not be compared: {}", e.reason));
            }
            E::MismatchFound(_) | E::MismatchGone(_) => {}
        },
    );
}

pub(super) fn mismatches(rows: &mut Rows<'_, MismatchRow>, event: &Recorded<'_, ReconciliationEvent>) {
    match &event.data {
        ReconciliationEvent::MismatchFound(MismatchFound { reconciliation, mismatch }) => rows.put(MismatchRow {
            id: id(reconciliation, &mismatch.key),
            reconciliation: reconciliation.clone(),
            mismatch: mismatch.clone(),
            found_at: event.at(),
        }),
        ReconciliationEvent::MismatchGone(MismatchGone { reconciliation, key }) => {
            rows.remove(&id(reconciliation, key))
        }
        _ => {}
    }
}
