//! The figures: rows by hour, country, article and customer, the funnel and the times. Every row has a bounded size; money is
//! summed in the currency of the row's first event, the shop's.

use std::collections::BTreeMap;

use factum::{money::Currency, prelude::*};
use jiff::{RoundMode, TimestampRound, Unit};
use serde::{Deserialize, Serialize};

use crate::{
    contracts::{
        analytics::CustomerTotalsUpdated,
        ids::{CustomerId, OrderId, Sku},
        inventory::StockShipped,
        order::*,
        payment::PaymentRefunded,
        shapes::LineKind,
    },
    money::pence,
};

/// Where an order goes that does not say.
const NOWHERE: &str = "Unspecified";

/// What happened within an hour (UTC).
#[derive(Clone, Debug, Row)]
#[row("analytics_hours")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct HourRow {
    #[key]
    pub hour: Timestamp,
    pub orders: u64,
    pub ordered: Money,
    pub paid: Money,
    pub refunded: Money,
    pub shipped: u64,
    pub delivered: u64,
    pub cancelled: u64,
    pub returns: u64,
}

/// What an hour counts.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
pub enum OfHour {
    Created(OrderHead),
    Paid(OrderPaid),
    Shipped(OrderShipped),
    Delivered(OrderDelivered),
    Cancelled(OrderCancelled),
    Returned(OrderReturned),
    Refunded(PaymentRefunded),
}

/// Counts each event in the hour in which it happened, however late it is told.
pub fn hours(rows: &mut Rows<HourRow>, event: &Recorded<OfHour>) {
    let hour = hour_of(event.at());
    let blank = || HourRow {
        hour,
        orders: 0,
        ordered: pence(0),
        paid: pence(0),
        refunded: pence(0),
        shipped: 0,
        delivered: 0,
        cancelled: 0,
        returns: 0,
    };
    rows.upsert(&hour, blank, |row| match &event.data {
        OfHour::Created(e) => {
            row.orders += 1;
            add(&mut row.ordered, e.total);
        }
        OfHour::Paid(e) => add(&mut row.paid, e.amount),
        OfHour::Shipped(_) => row.shipped += 1,
        OfHour::Delivered(_) => row.delivered += 1,
        OfHour::Cancelled(_) => row.cancelled += 1,
        OfHour::Returned(_) => row.returns += 1,
        OfHour::Refunded(e) => add(&mut row.refunded, e.amount),
    });
}

/// The hour in which a time lies.
pub fn hour_of(at: Timestamp) -> Timestamp {
    at.round(TimestampRound::new().smallest(Unit::Hour).mode(RoundMode::Floor)).unwrap_or(at)
}

fn add(sum: &mut Money, amount: Money) {
    sum.amount = sum.amount.saturating_add(amount.amount);
}

/// What was ordered to a country.
#[derive(Clone, Debug, Row)]
#[row("analytics_countries")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct CountryRow {
    #[key]
    pub country: String,
    #[index]
    pub orders: u64,
    /// In minor units of the currency.
    #[index]
    pub revenue: i64,
    pub currency: Currency,
}

/// Counts the orders of each country.
pub fn countries(rows: &mut Rows<CountryRow>, event: &Recorded<OrderHead>) {
    let country = event.shipping_address.as_ref().map_or(NOWHERE, |address| address.country.as_str()).to_owned();
    let currency = event.total.currency;
    let blank = || CountryRow { country: country.clone(), orders: 0, revenue: 0, currency };
    rows.upsert(&country, blank, |row| {
        row.orders += 1;
        row.revenue = row.revenue.saturating_add(event.total.amount);
    });
}

/// What was sold of an article.
#[derive(Clone, Debug, Row)]
#[row("analytics_articles")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct ArticleRow {
    #[key]
    pub sku: Sku,
    /// Units that were ordered.
    pub ordered: i64,
    /// What they come to, in minor units of the currency.
    #[index]
    pub revenue: i64,
    pub currency: Currency,
    /// Units that have left the warehouse.
    #[index]
    pub units: i64,
    /// Units that came back.
    pub returned: i64,
}

/// What an article counts.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
pub enum OfArticle {
    Created(OrderCreated),
    Shipped(StockShipped),
    Returned(OrderReturned),
}

/// Counts what is ordered, leaves and comes back of each article.
pub fn articles(rows: &mut Rows<ArticleRow>, event: &Recorded<OfArticle>) {
    let mut change = |sku: &Sku, change: &dyn Fn(&mut ArticleRow)| {
        let currency = pence(0).currency;
        let blank = || ArticleRow { sku: sku.clone(), ordered: 0, revenue: 0, currency, units: 0, returned: 0 };
        rows.upsert(sku, blank, change);
    };
    match &event.data {
        OfArticle::Created(e) => {
            for line in e.items.iter().filter(|line| line.kind == LineKind::Goods) {
                change(&line.sku, &|row| {
                    row.ordered = row.ordered.saturating_add(line.quantity);
                    row.revenue = row.revenue.saturating_add(line.amount.amount);
                });
            }
        }
        OfArticle::Shipped(e) => {
            for item in &e.items {
                change(&item.sku, &|row| row.units = row.units.saturating_add(item.quantity));
            }
        }
        OfArticle::Returned(e) => {
            for item in &e.items {
                change(&item.sku, &|row| row.returned = row.returned.saturating_add(item.quantity));
            }
        }
    }
}

/// How far orders have come: one row.
#[derive(Clone, Debug, Default, Row)]
#[row("analytics_funnel")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct FunnelRow {
    #[key]
    pub of: String,
    pub created: u64,
    pub validated: u64,
    pub paid: u64,
    pub shipped: u64,
    pub delivered: u64,
    pub rejected: u64,
    /// By reason; what people wrote themselves stands under `other`.
    pub cancelled: BTreeMap<String, u64>,
}

/// The key of the only row.
pub const ALL: &str = "all";

/// Reasons that have a number of their own.
const REASONS: [&str; 6] = ["payment_failed", "out_of_stock", "undeliverable", "customer", "fraud", "not_possible"];

/// What the funnel counts.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
pub enum OfFunnel {
    Created(OrderHead),
    Validated(OrderValidated),
    Paid(OrderPaid),
    Shipped(OrderShipped),
    Delivered(OrderDelivered),
    Rejected(OrderRejected),
    Cancelled(OrderCancelled),
}

/// Counts the orders that have come to each step.
pub fn funnel(rows: &mut Rows<FunnelRow>, event: &Recorded<OfFunnel>) {
    let blank = || FunnelRow { of: ALL.to_owned(), ..FunnelRow::default() };
    rows.upsert(&ALL.to_owned(), blank, |row| match &event.data {
        OfFunnel::Created(_) => row.created += 1,
        OfFunnel::Validated(_) => row.validated += 1,
        OfFunnel::Paid(_) => row.paid += 1,
        OfFunnel::Shipped(_) => row.shipped += 1,
        OfFunnel::Delivered(_) => row.delivered += 1,
        OfFunnel::Rejected(_) => row.rejected += 1,
        OfFunnel::Cancelled(e) => {
            *row.cancelled.entry(reason(&e.reason).to_owned()).or_default() += 1;
        }
    });
}

/// Under which reason a cancelled order is counted.
fn reason(said: &str) -> &'static str {
    REASONS.into_iter().find(|reason| *reason == said).unwrap_or("other")
}

/// How long orders take; and of each order that is under way, what its times will be computed from.
#[derive(Clone, Debug, Default, Row)]
#[row("analytics_fulfilment")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct FulfilmentRow {
    /// [`ALL`] of the only row with times, else an order.
    #[key]
    pub of: String,
    pub created_at: Option<Timestamp>,
    pub shipped_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub created_to_shipped: Times,
    pub shipped_to_delivered: Times,
}

/// Upper ends of the buckets, in seconds; the last bucket has none.
pub const UP_TO_SECS: [u64; 14] =
    [1, 10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 172_800, 259_200, 432_000, 604_800, 1_209_600];

/// How long something took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// How often it was measured.
    pub count: u64,
    /// All of it together, in milliseconds.
    pub sum_ms: u64,
    /// How often it took up to each of [`UP_TO_SECS`] and longer than the one before, then how often longer than all. Empty if
    /// it was never measured.
    pub buckets: Vec<u64>,
}

impl Times {
    /// Takes one in; what ends before it begins took no time.
    fn take(&mut self, from: Timestamp, to: Timestamp) {
        let took = u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0);
        self.count += 1;
        self.sum_ms = self.sum_ms.saturating_add(took);
        self.buckets.resize(UP_TO_SECS.len() + 1, 0);
        let bucket = UP_TO_SECS.partition_point(|up_to| up_to * 1_000 < took);
        self.buckets[bucket] += 1;
    }

    /// The upper end, in seconds, of the bucket in which so many of a hundred are reached; none if that bucket has no end, or
    /// nothing was measured.
    pub fn percentile(&self, of_hundred: u64) -> Option<u64> {
        let wanted = (u128::from(self.count) * u128::from(of_hundred)).div_ceil(100);
        let mut seen = 0;
        let reached = self.buckets.iter().position(|count| {
            seen += u128::from(*count);
            seen >= wanted
        });
        reached.and_then(|bucket| UP_TO_SECS.get(bucket)).copied()
    }
}

/// What tells how long an order takes.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
pub enum OfFulfilment {
    Created(OrderHead),
    Shipped(OrderShipped),
    Delivered(OrderDelivered),
    Rejected(OrderRejected),
    Cancelled(OrderCancelled),
    Returned(OrderReturned),
}

/// Measures an order's ways as soon as both ends are known, in whatever order they come. What is through is forgotten.
pub fn fulfilment(rows: &mut Rows<FulfilmentRow>, event: &Recorded<OfFulfilment>) {
    let at = Some(event.at());
    match &event.data {
        OfFulfilment::Created(e) => measure(rows, &e.order_id, |row| row.created_at = at),
        OfFulfilment::Shipped(e) => measure(rows, &e.order_id, |row| row.shipped_at = at),
        OfFulfilment::Delivered(e) => measure(rows, &e.order_id, |row| row.delivered_at = Some(e.delivered_at)),
        OfFulfilment::Rejected(e) => rows.remove(&of(&e.order_id)),
        OfFulfilment::Cancelled(e) => rows.remove(&of(&e.order_id)),
        // A lost parcel is never delivered.
        OfFulfilment::Returned(e) => rows.remove(&of(&e.order_id)),
    }
}

fn of(order: &OrderId) -> String {
    format!("order {order}")
}

fn measure(rows: &mut Rows<FulfilmentRow>, order: &OrderId, learn: impl FnOnce(&mut FulfilmentRow)) {
    let key = of(order);
    let before = rows.get(&key).unwrap_or_else(|| FulfilmentRow { of: key.clone(), ..FulfilmentRow::default() });
    let mut after = before.clone();
    learn(&mut after);
    let shipped = new(before.created_at.zip(before.shipped_at), after.created_at.zip(after.shipped_at));
    let delivered = new(before.shipped_at.zip(before.delivered_at), after.shipped_at.zip(after.delivered_at));
    if shipped.is_some() || delivered.is_some() {
        let blank = || FulfilmentRow { of: ALL.to_owned(), ..FulfilmentRow::default() };
        rows.upsert(&ALL.to_owned(), blank, |row| {
            if let Some((from, to)) = shipped {
                row.created_to_shipped.take(from, to);
            }
            if let Some((from, to)) = delivered {
                row.shipped_to_delivered.take(from, to);
            }
        });
    }
    let through = after.created_at.is_some() && after.shipped_at.is_some() && after.delivered_at.is_some();
    if through {
        rows.remove(&key);
    } else {
        rows.put(after);
    }
}

/// What is known now and was not before.
fn new<T>(before: Option<T>, after: Option<T>) -> Option<T> {
    if before.is_some() { None } else { after }
}

/// What a customer has ordered so far.
#[derive(Clone, Debug, Row)]
#[row("analytics_customers")]
#[allow(missing_docs, reason = "the fields are those of the contract")]
pub struct CustomerTotalsRow {
    #[key]
    pub customer_id: CustomerId,
    pub order_count: u64,
    pub total: Money,
    pub updated_at: Timestamp,
}

/// Keeps the customers' totals.
pub fn customers(rows: &mut Rows<CustomerTotalsRow>, event: &Recorded<CustomerTotalsUpdated>) {
    let (customer_id, order_count, total) = (event.customer_id.clone(), event.order_count, event.total);
    rows.put(CustomerTotalsRow { customer_id, order_count, total, updated_at: event.at() });
}

#[cfg(test)]
mod tests;
