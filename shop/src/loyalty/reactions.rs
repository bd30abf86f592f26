//! What orders are worth in points: a point for each whole pound that was paid for goods and has not been given back.
//!
//! All that has been said of an order stands in the folded state, in whatever order it was said: what is due is computed from
//! that, so that a delivery waits for its order's customer, and pieces that come back one by one take as many points as all at
//! once. If nothing of the order is left with the customer, no point is.

use std::collections::BTreeMap;

use factum::prelude::*;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    ids::{CustomerId, OrderId},
    loyalty::{AwardPoints, PointsAwarded, RevokePoints},
    order::*,
    shapes::LineKind,
};

/// What brings a point, in minor units.
const A_POINT: i64 = 100;

/// When points are awarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// When the order is delivered.
    #[default]
    Delivered,
    /// When it is paid; at the latest when it is delivered.
    Paid,
}

/// What is known of the orders, also of those that nobody has told the customer of yet.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Orders {
    orders: RedBlackTreeMapSync<OrderId, Known>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Known {
    /// Absent for a guest, and as long as the order has not been seen.
    customer: Option<CustomerId>,
    /// What was paid for its goods, in minor units.
    goods: i64,
    /// Pieces that the customer has: less than none, if they came back before the order was seen.
    pieces: i64,
    /// What was given back for those that came back, or would have been if it had been paid.
    back: i64,
    paid: bool,
    delivered: bool,
    cancelled: bool,
    awarded: bool,
}

/// Awards the points of orders, and revokes those of what comes back or is cancelled.
pub fn points(policy: Policy) -> Folding<Orders> {
    Folding::new("points", 1)
        .fold(Orders::learn)
        .fold(awarded)
        .react(move |orders: &Orders, event: &Recorded<OfOrder>, fx: &mut Effects| settle(policy, orders, event, fx))
        .from_start()
        .snapshots()
}

/// What changes the points of an order.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
pub enum OfOrder {
    Created(OrderCreated),
    Paid(OrderPaid),
    Delivered(OrderDelivered),
    Returned(OrderReturned),
    Cancelled(OrderCancelled),
}

impl OfOrder {
    fn order(&self) -> &OrderId {
        match self {
            Self::Created(e) => &e.order_id,
            Self::Paid(e) => &e.order_id,
            Self::Delivered(e) => &e.order_id,
            Self::Returned(e) => &e.order_id,
            Self::Cancelled(e) => &e.order_id,
        }
    }
}

fn awarded(orders: &mut Orders, event: &Recorded<PointsAwarded>) {
    orders.change(&event.order_id, |known| known.awarded = true);
}

/// The lines of goods, less the discounts; postage brings nothing.
fn paid_for_goods(order: &OrderCreated) -> i64 {
    let counts = order.items.iter().filter(|line| line.kind == LineKind::Goods || line.amount.amount < 0);
    let sum: i128 = counts.map(|line| i128::from(line.amount.amount)).sum();
    i64::try_from(sum.max(0)).unwrap_or(i64::MAX)
}

impl Orders {
    /// Takes an event of an order in.
    pub fn learn(&mut self, event: &Recorded<OfOrder>) {
        self.change(event.order(), |known| known.take(&event.data));
    }

    /// What customers' orders are worth to them now; who has no points is left out.
    pub fn balances(&self, policy: Policy) -> BTreeMap<String, i64> {
        let mut balances = BTreeMap::new();
        for (_, known) in self.orders.iter().filter(|(_, known)| known.is_due(policy)) {
            if let (Some(customer), kept) = (&known.customer, known.kept())
                && kept != 0
            {
                *balances.entry(customer.to_string()).or_default() += kept;
            }
        }
        balances
    }

    fn change(&mut self, order: &OrderId, change: impl FnOnce(&mut Known)) {
        match self.orders.get_mut(order) {
            Some(known) => change(known),
            None => {
                let mut known = Known::default();
                change(&mut known);
                self.orders.insert_mut(order.clone(), known);
            }
        }
    }
}

impl Known {
    fn take(&mut self, event: &OfOrder) {
        match event {
            OfOrder::Created(e) => {
                self.customer.clone_from(&e.customer_id);
                self.goods = paid_for_goods(e);
                let goods = e.items.iter().filter(|line| line.kind == LineKind::Goods);
                self.pieces = goods.fold(self.pieces, |sum, line| sum.saturating_add(line.quantity));
            }
            OfOrder::Paid(_) => self.paid = true,
            OfOrder::Delivered(_) => self.delivered = true,
            OfOrder::Returned(e) => {
                self.pieces = e.items.iter().fold(self.pieces, |sum, item| sum.saturating_sub(item.quantity));
                let not_due = e.not_due.map_or(0, |money| money.amount);
                self.back = self.back.saturating_add(e.amount.amount).saturating_add(not_due);
            }
            OfOrder::Cancelled(_) => self.cancelled = true,
        }
    }

    /// Points that the order has brought, or would bring.
    fn points(&self) -> i64 {
        self.goods / A_POINT
    }

    /// Points that are left of them.
    fn kept(&self) -> i64 {
        if self.cancelled || self.pieces <= 0 {
            return 0;
        }
        self.goods.saturating_sub(self.back).clamp(0, self.goods) / A_POINT
    }

    fn is_due(&self, policy: Policy) -> bool {
        self.delivered || policy == Policy::Paid && self.paid
    }
}

fn settle(policy: Policy, orders: &Orders, event: &Recorded<OfOrder>, fx: &mut Effects) {
    let order_id = event.order();
    let Some(known) = orders.orders.get(order_id) else { return };
    let Some(customer_id) = &known.customer else { return };
    let (points, kept) = (known.points(), known.kept());
    if points == 0 || !(known.awarded || known.is_due(policy)) {
        return;
    }
    let takes = matches!(event.data, OfOrder::Returned(_) | OfOrder::Cancelled(_));
    if !takes {
        if known.awarded || kept == 0 {
            return;
        }
        fx.send(AwardPoints { customer_id: customer_id.clone(), order_id: order_id.clone(), points });
    }
    if kept < points {
        let gone = points - kept;
        fx.send(RevokePoints { customer_id: customer_id.clone(), order_id: order_id.clone(), gone });
    }
}

#[cfg(test)]
mod tests;
