//! What the warehouse does when others say something.

use std::collections::BTreeMap;

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    ids::OrderId,
    inventory::{
        InventoryReserved, LowStockDetected, ReleaseStock, ReorderPlaced, ReservationFailed, ReserveStock, Restock,
        ShipStock,
    },
    order::{LOST, OrderCancelled, OrderCreated, OrderRejected, OrderReturned, OrderShipped},
    payment::PaymentCaptured,
    shapes::{LineKind, Quantity},
};

/// How many units a reorder asks for.
const REORDER_UNITS: i64 = 100;

/// What of an order moves goods.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum Moved {
    Shipped(OrderShipped),
    Returned(OrderReturned),
}

/// Shipped goods leave the books, returned ones come back.
pub fn follow_orders(event: &Recorded<Moved>, fx: &mut Effects) {
    match &event.data {
        Moved::Shipped(e) => fx.send(ShipStock { order_id: e.order_id.clone(), warehouse_id: None }),
        // What is lost does not come back.
        Moved::Returned(e) if e.reason == LOST => {}
        Moved::Returned(e) => {
            let items = e.items.iter().cloned().map(Into::into).collect();
            fx.send(Restock { order_id: e.order_id.clone(), items, warehouse_id: None });
        }
    }
}

/// What runs short is ordered again.
pub fn reordering() -> Reaction {
    Reaction::new("reorder", reorder).emits::<ReorderPlaced>("reorder")
}

fn reorder(event: &Recorded<LowStockDetected>, fx: &mut Effects) {
    let reorder = ReorderPlaced { sku: event.sku.clone(), quantity: REORDER_UNITS, supplier: None };
    fx.emit("reorder", &event.sku, reorder);
}

/// What open orders want, where no saga asks for it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Wanted {
    orders: BTreeMap<OrderId, Vec<Quantity>>,
}

/// What an order says, what was paid, and what is reserved.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
pub enum Asked {
    Created(OrderCreated),
    Rejected(OrderRejected),
    Cancelled(OrderCancelled),
    Captured(PaymentCaptured),
    Reserved(InventoryReserved),
    Failed(ReservationFailed),
}

/// Keeps the goods of an order that is paid, and lets go of those of one that is cancelled.
pub fn keeping() -> Folding<Wanted> {
    Folding::new("keep-goods", 1).by("orderId").fold(note_wish).react(keep).snapshots()
}

fn note_wish(wanted: &mut Wanted, event: &Recorded<Asked>) {
    match &event.data {
        Asked::Created(e) => {
            let goods = e.items.iter().filter(|line| line.kind == LineKind::Goods);
            let goods = goods.map(|line| Quantity { sku: line.sku.clone(), quantity: line.quantity });
            wanted.orders.insert(e.order_id.clone(), goods.collect());
        }
        Asked::Rejected(OrderRejected { order_id, .. })
        | Asked::Cancelled(OrderCancelled { order_id, .. })
        | Asked::Reserved(InventoryReserved { order_id, .. })
        | Asked::Failed(ReservationFailed { order_id, .. }) => _ = wanted.orders.remove(order_id),
        Asked::Captured(_) => {}
    }
}

fn keep(wanted: &Wanted, event: &Recorded<Asked>, fx: &mut Effects) {
    match &event.data {
        Asked::Captured(e) => {
            if let Some(items) = wanted.orders.get(&e.order_id).cloned() {
                fx.send(ReserveStock { order_id: e.order_id.clone(), items, warehouse_id: None });
            }
        }
        Asked::Cancelled(e) => {
            let (order_id, reason) = (e.order_id.clone(), e.reason.clone());
            fx.send(ReleaseStock { order_id, reason, warehouse_id: None });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
