//! inventory-service: what lies in the warehouses, and for whom it is kept. Stream `warehouse-<warehouseId>`.
//!
//! Where a command names no warehouse, the service's default one is meant.

use super::ids::{OrderId, Sku, WarehouseId};
use super::shapes::{Quantity, Reservation, Shortage};
use factum::prelude::*;

/// Published when goods arrive.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("inventory.stock_received")]
pub struct StockReceived {
    /// The article.
    pub sku: Sku,
    /// How many pieces came.
    pub quantity: i64,
    /// Where they lie.
    pub warehouse_id: WarehouseId,
}

/// Published when the stock turns out to be another than it was: found (more), lost or damaged (less).
#[derive(Event, Clone, Debug, PartialEq)]
#[event("inventory.stock_adjusted")]
pub struct StockAdjusted {
    /// The article.
    pub sku: Sku,
    /// How many pieces more, or less (negative).
    pub quantity: i64,
    /// A word such as `found`, `lost`, `damaged`.
    pub reason: String,
}

/// Published when all goods of an order are kept for it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("inventory.reserved")]
pub struct InventoryReserved {
    /// For whom.
    pub order_id: OrderId,
    /// What is kept.
    pub items: Vec<Reservation>,
}

/// Published when at least one line of an order cannot be had; nothing stays reserved.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("inventory.reservation_failed")]
pub struct ReservationFailed {
    /// For whom.
    pub order_id: OrderId,
    /// What there is not enough of.
    pub items: Vec<Shortage>,
    /// A word such as `out_of_stock`.
    pub reason: String,
}

/// Published when goods are no longer kept for an order: it was undone or cancelled. What is kept does not expire by itself:
/// the order's own process has the limits, and whoever ran out of time there asks for the release.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("inventory.released")]
pub struct InventoryReleased {
    /// For whom they were kept.
    pub order_id: OrderId,
    /// What is free again.
    pub items: Vec<Quantity>,
    /// A word such as `payment_failed`, `customer`, `undone`.
    pub reason: String,
}

/// Published when an order's goods have left the warehouse, on `order.shipped`.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("inventory.stock_shipped")]
pub struct StockShipped {
    /// Whose goods.
    pub order_id: OrderId,
    /// What left.
    pub items: Vec<Quantity>,
}

/// Published when goods have come back, on `order.returned`.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("inventory.stock_returned")]
pub struct StockReturned {
    /// Whose goods.
    pub order_id: OrderId,
    /// What came back.
    pub items: Vec<Quantity>,
}

/// Published when an article's stock falls to its threshold, once per crossing.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("inventory.low_stock_detected")]
pub struct LowStockDetected {
    /// The article.
    pub sku: Sku,
    /// How many pieces are left.
    pub current_quantity: i64,
    /// From how many on it is low.
    pub threshold: i64,
}

/// Published when new stock has been ordered, in answer to a low one.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("inventory.reorder_placed")]
pub struct ReorderPlaced {
    /// The article.
    pub sku: Sku,
    /// How many pieces.
    pub quantity: i64,
    /// From whom.
    pub supplier: Option<String>,
}

/// Asks the inventory to keep an order's goods, all or none; answered by `inventory.reserved` or
/// `inventory.reservation_failed`, undone by `inventory.release`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("inventory.reserve")]
pub struct ReserveStock {
    /// For whom.
    pub order_id: OrderId,
    /// What to keep.
    pub items: Vec<Quantity>,
    /// From where.
    pub warehouse_id: Option<WarehouseId>,
}

/// Asks the inventory to keep an order's goods no longer; answered by `inventory.released`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("inventory.release")]
pub struct ReleaseStock {
    /// For whom they are kept.
    pub order_id: OrderId,
    /// A word such as `payment_failed`, `customer`, `undone`.
    pub reason: String,
    /// Where they are kept.
    pub warehouse_id: Option<WarehouseId>,
}

/// Asks the inventory to book goods that arrived; answered by `inventory.stock_received`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("inventory.receive")]
pub struct ReceiveStock {
    /// The article.
    pub sku: Sku,
    /// How many pieces came.
    pub quantity: i64,
    /// Where they lie.
    pub warehouse_id: WarehouseId,
}

/// Asks the inventory to correct its books; answered by `inventory.stock_adjusted`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("inventory.adjust")]
pub struct AdjustStock {
    /// The article.
    pub sku: Sku,
    /// How many pieces more, or less (negative).
    pub quantity: i64,
    /// A word such as `found`, `lost`, `damaged`.
    pub reason: String,
    /// Where.
    pub warehouse_id: Option<WarehouseId>,
}

/// Asks the inventory to book an order's goods out; answered by `inventory.stock_shipped`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("inventory.ship")]
pub struct ShipStock {
    /// Whose goods: all that are kept for it.
    pub order_id: OrderId,
    /// From where.
    pub warehouse_id: Option<WarehouseId>,
}

/// Asks the inventory to take returned goods back; answered by `inventory.stock_returned`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("inventory.restock")]
pub struct Restock {
    /// Whose goods.
    pub order_id: OrderId,
    /// What came back.
    pub items: Vec<Quantity>,
    /// Where to.
    pub warehouse_id: Option<WarehouseId>,
}

/// What can happen in a warehouse.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum InventoryEvent {
    StockReceived(StockReceived),
    StockAdjusted(StockAdjusted),
    Reserved(InventoryReserved),
    ReservationFailed(ReservationFailed),
    Released(InventoryReleased),
    StockShipped(StockShipped),
    StockReturned(StockReturned),
    LowStockDetected(LowStockDetected),
    ReorderPlaced(ReorderPlaced),
}

/// What a warehouse can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum InventoryCommand {
    Reserve(ReserveStock),
    Release(ReleaseStock),
    Receive(ReceiveStock),
    Adjust(AdjustStock),
    Ship(ShipStock),
    Restock(Restock),
}
