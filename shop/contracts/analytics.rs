//! analytics-service: what the shop's figures are. Stream `customer_order_totals-<customerId>`.

use super::ids::CustomerId;
use factum::prelude::*;

/// Published for each `order.created` of a customer, with that order in it; guests have no totals. Anyone may follow it who
/// wants to know what a customer has ordered so far, whatever became of it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("analytics.customer_totals_updated")]
pub struct CustomerTotalsUpdated {
    /// Whose totals they are.
    pub customer_id: CustomerId,
    /// How many orders there are.
    pub order_count: u64,
    /// What they come to.
    pub total: Money,
}

/// What can happen to figures.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum AnalyticsEvent {
    CustomerTotalsUpdated(CustomerTotalsUpdated),
}
