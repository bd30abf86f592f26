//! What can be asked about checks.

use factum::prelude::*;

use crate::contracts::{fraud::TransactionChecked, ids::OrderId, shapes::Verdict};

/// The check of an order.
#[derive(Clone, Debug, Row)]
#[row("fraud_checks")]
#[allow(missing_docs, reason = "the fields are those of the contract")]
pub struct CheckRow {
    #[key]
    pub order_id: OrderId,
    #[index]
    pub verdict: Verdict,
    #[index]
    pub score: u32,
    pub reasons: Vec<String>,
    pub checked_at: Timestamp,
}

/// Keeps the checks.
pub fn checks(rows: &mut Rows<CheckRow>, event: &Recorded<TransactionChecked>) {
    rows.put(CheckRow {
        order_id: event.order_id.clone(),
        verdict: event.verdict,
        score: event.score,
        reasons: event.reasons.clone(),
        checked_at: event.at(),
    });
}
