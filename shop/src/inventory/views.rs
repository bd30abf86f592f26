//! What can be asked about stock.

use factum::prelude::*;

use crate::contracts::{ids::Sku, inventory::InventoryEvent};

/// An article's stock, over all warehouses.
#[derive(Clone, Debug, PartialEq, Row)]
#[row("stock")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct StockRow {
    #[key]
    pub sku: Sku,
    /// Can be reserved.
    #[index]
    pub available: i64,
    pub reserved: i64,
    pub received: i64,
    pub adjusted: i64,
    pub shipped: i64,
    pub returned: i64,
}

/// Follows the warehouses.
pub fn stock(rows: &mut Rows<StockRow>, event: &Recorded<InventoryEvent>) {
    use InventoryEvent as E;
    match &event.data {
        E::StockReceived(e) => change(rows, &e.sku, |row| {
            row.received += e.quantity;
            row.available += e.quantity;
        }),
        E::StockAdjusted(e) => change(rows, &e.sku, |row| {
            row.adjusted += e.quantity;
            row.available += e.quantity;
        }),
        E::Reserved(e) => {
            for item in &e.items {
                change(rows, &item.sku, |row| {
                    row.available -= item.quantity;
                    row.reserved += item.quantity;
                });
            }
        }
        E::Released(e) => {
            for item in &e.items {
                change(rows, &item.sku, |row| {
                    row.available += item.quantity;
                    row.reserved -= item.quantity;
                });
            }
        }
        E::StockShipped(e) => {
            for item in &e.items {
                change(rows, &item.sku, |row| {
                    row.reserved -= item.quantity;
                    row.shipped += item.quantity;
                });
            }
        }
        E::StockReturned(e) => {
            for item in &e.items {
                change(rows, &item.sku, |row| {
                    row.available += item.quantity;
                    row.returned += item.quantity;
                });
            }
        }
        E::ReservationFailed(_) | E::LowStockDetected(_) | E::ReorderPlaced(_) => {}
    }
}

fn change(rows: &mut Rows<StockRow>, sku: &Sku, change: impl FnOnce(&mut StockRow)) {
    let new =
        || StockRow { sku: sku.clone(), available: 0, reserved: 0, received: 0, adjusted: 0, shipped: 0, returned: 0 };
    rows.upsert(sku, new, change);
}
