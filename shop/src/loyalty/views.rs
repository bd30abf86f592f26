//! What can be asked about points.

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    ids::{CustomerId, OrderId},
    loyalty::LoyaltyEvent,
};

/// The points of a customer.
#[derive(Clone, Debug, Row)]
#[row("loyalty_accounts")]
#[allow(missing_docs, reason = "the fields are those of the contract")]
pub struct AccountRow {
    #[key]
    pub customer_id: CustomerId,
    pub balance: i64,
    pub updated_at: Timestamp,
}

/// Points that came or went.
#[derive(Clone, Debug, Row)]
#[row("loyalty_entries")]
#[allow(missing_docs, reason = "the fields are those of the contract")]
pub struct EntryRow {
    #[key]
    pub entry_id: String,
    #[index]
    pub customer_id: CustomerId,
    #[index]
    pub order_id: OrderId,
    /// Which one of its customer's it is, from 1.
    #[index]
    pub number: u64,
    pub kind: EntryKind,
    pub points: i64,
    pub balance: i64,
    pub at: Timestamp,
}

/// Whether points came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the variants say what they are")]
pub enum EntryKind {
    Awarded,
    Revoked,
}

/// Follows the balances.
pub fn accounts(rows: &mut Rows<AccountRow>, event: &Recorded<LoyaltyEvent>) {
    let (customer_id, balance) = match &event.data {
        LoyaltyEvent::Awarded(e) => (e.customer_id.clone(), e.balance),
        LoyaltyEvent::Revoked(e) => (e.customer_id.clone(), e.balance),
    };
    rows.put(AccountRow { customer_id, balance, updated_at: event.at() });
}

/// Keeps what came and went.
pub fn entries(rows: &mut Rows<EntryRow>, event: &Recorded<LoyaltyEvent>) {
    let (customer_id, order_id, kind, points, balance) = match &event.data {
        LoyaltyEvent::Awarded(e) => (&e.customer_id, &e.order_id, EntryKind::Awarded, e.points, e.balance),
        LoyaltyEvent::Revoked(e) => (&e.customer_id, &e.order_id, EntryKind::Revoked, e.points, e.balance),
    };
    rows.put(EntryRow {
        entry_id: event.envelope().id.to_string(),
        customer_id: customer_id.clone(),
        order_id: order_id.clone(),
        number: event.stored.version.0,
        kind,
        points,
        balance,
        at: event.at(),
    });
}
