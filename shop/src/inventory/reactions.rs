//! What the warehouse does when others say something.

use factum::prelude::*;

use crate::contracts::{
    inventory::{LowStockDetected, ReorderPlaced, Restock, ShipStock},
    order::{LOST, OrderReturned, OrderShipped},
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

#[cfg(test)]
mod tests;
