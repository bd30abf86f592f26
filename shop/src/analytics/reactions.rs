//! What each customer has ordered so far, told with every order.

use factum::prelude::*;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use crate::contracts::{analytics::CustomerTotalsUpdated, ids::CustomerId, order::OrderHead};

/// The category of its streams.
pub const TOTALS: &str = "customer_order_totals";

/// What the customers have ordered.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Totals {
    customers: RedBlackTreeMapSync<CustomerId, Total>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Total {
    orders: u64,
    total: Money,
}

/// Counts the orders of each customer, and says so.
pub fn customer_totals() -> Folding<Totals> {
    Folding::new("customer-totals", 1)
        .fold(count)
        .react(tell)
        .emits::<CustomerTotalsUpdated>(TOTALS)
        .from_start()
        .snapshots()
}

fn count(totals: &mut Totals, event: &Recorded<OrderHead>) {
    let Some(customer) = &event.customer_id else { return };
    let before = totals.customers.get(customer).copied();
    let before = before.unwrap_or(Total { orders: 0, total: Money::zero(event.total.currency) });
    let amount = before.total.amount.saturating_add(event.total.amount);
    let after = Total { orders: before.orders + 1, total: Money { amount, ..before.total } };
    totals.customers.insert_mut(customer.clone(), after);
}

fn tell(totals: &Totals, event: &Recorded<OrderHead>, fx: &mut Effects) {
    let Some(customer) = &event.customer_id else { return };
    let Some(Total { orders, total }) = totals.customers.get(customer).copied() else { return };
    let customer_id = customer.clone();
    fx.emit(TOTALS, customer, CustomerTotalsUpdated { customer_id, order_count: orders, total });
}

#[cfg(test)]
mod tests;
