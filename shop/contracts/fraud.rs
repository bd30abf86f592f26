//! fraud-service: whether an order looks like fraud. Stream `check-<orderId>`.

use super::ids::{CustomerId, OrderId};
use super::shapes::Verdict;
use factum::prelude::*;

/// Published when an order has been checked. It is checked once, before anything is kept or paid for it; whether a card is
/// good the provider says.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("fraud.transaction_checked")]
pub struct TransactionChecked {
    /// The order.
    pub order_id: OrderId,
    /// What was found; a flagged order is held until a person decides.
    pub verdict: Verdict,
    /// How suspicious it is: 0 (not at all) to 100.
    pub score: u32,
    /// Words such as `velocity`, `amount`, `new_customer`.
    pub reasons: Vec<String>,
}

/// Asks the fraud service for a verdict; answered by `fraud.transaction_checked`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("fraud.check")]
pub struct CheckTransaction {
    /// The order.
    pub order_id: OrderId,
    /// Who orders; absent for a guest.
    pub customer_id: Option<CustomerId>,
    /// The order's total.
    pub amount: Money,
}

/// What can happen to a check.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum FraudEvent {
    TransactionChecked(TransactionChecked),
}

/// What a check can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum FraudCommand {
    Check(CheckTransaction),
}
