//! What each customer has ordered so far, told with every order.

use factum::{
    pipeline::{Pipeline, Window},
    prelude::*,
};
use serde::{Deserialize, Serialize};

use crate::{
    contracts::{analytics::CustomerTotalsUpdated, ids::CustomerId, order::OrderHead},
    money::pence,
};

/// The category of its streams.
pub const TOTALS: &str = "customer_order_totals";

/// What a customer has ordered.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Totals {
    orders: u64,
    /// Nothing before the first order, which says the currency.
    total: Option<Money>,
}

/// Counts the orders of each customer, and says so. Guests have no totals.
pub fn customer_totals() -> Pipeline<Totals> {
    Pipeline::over::<OrderHead>("customer-totals", 1)
        .filter_map(|order| Some((order.customer_id.clone()?, order.total)))
        .by(|(customer, _)| customer.clone())
        .aggregate(count)
        .emits(TOTALS, told)
        .from_start()
}

fn count(totals: &mut Totals, (_, ordered): &(CustomerId, Money)) {
    let before = totals.total.unwrap_or(Money::zero(ordered.currency));
    let amount = before.amount.saturating_add(ordered.amount);
    *totals = Totals { orders: totals.orders + 1, total: Some(Money { amount, ..before }) };
}

fn told(customer: &str, _: Option<Window>, totals: &Totals) -> CustomerTotalsUpdated {
    let total = totals.total.unwrap_or(pence(0));
    CustomerTotalsUpdated { customer_id: CustomerId::from(customer), order_count: totals.orders, total }
}

#[cfg(test)]
mod tests;
