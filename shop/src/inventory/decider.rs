//! What may happen in a warehouse. One stream holds all its articles, so that an order is reserved whole or not at all.
//!
//! ```text
//!  of an order:  – ─► reserved ─► shipped
//!                │        └─────► released
//!                ├──► failed
//!                └──► released (before it was reserved: the late reservation is refused)
//! ```
//!
//! What is over is forgotten 30 days later, by the newest event; until then whatever is said of it again changes nothing.

use std::{borrow::Cow, collections::BTreeMap};

use factum::prelude::*;
use jiff::SignedDuration;
use rpds::{QueueSync, RedBlackTreeMapSync};
use serde::{Deserialize, Serialize};

use crate::contracts::{
    ids::{InvalidId, OrderId, ReservationId, Sku, WarehouseId},
    inventory::*,
    shapes::{Quantity, Reservation, Shortage},
};

/// Where goods lie if nothing else is said.
pub const DEFAULT_WAREHOUSE: &str = "main";
/// One movement is of no more units: sums of many still fit their numbers.
pub const MOST_UNITS: i64 = 1_000_000_000;
/// An article with this many units left, or fewer, is short.
pub const LOW_STOCK: i64 = 10;

/// How long what is over is remembered.
pub const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A warehouse. Kept in snapshots: raise the version in `mod.rs` when `evolve_at` changes what it means. The orders are
/// many, in maps whose copies share what is in them: a copy is taken for each snapshot.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Warehouse {
    stock: BTreeMap<Sku, Stock>,
    reserved: BTreeMap<OrderId, Vec<Quantity>>,
    over: RedBlackTreeMapSync<OrderId, Over>,
    /// Those, the first to be forgotten first, each with the newest time that was known when it was over.
    ends: QueueSync<(Timestamp, OrderId)>,
    newest: Option<Timestamp>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Stock {
    available: i64,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Over {
    Shipped,
    Released,
    Failed,
}

/// Why the warehouse says no.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum InventoryRejection {
    #[rejection("bad_quantity", "{quantity} of {sku} is no quantity: use 1 to 1000000000", invalid)]
    BadQuantity { sku: Sku, quantity: i64 },
    #[rejection("bad_sku", "that is no article number: {problem}", invalid)]
    BadSku { problem: InvalidId },
    #[rejection("not_in_stock", "{sku} has {available} units; {wanted} cannot be written off", invalid)]
    NotInStock { sku: Sku, available: i64, wanted: i64 },
    #[rejection("already_released", "the reservation of order {order} was released before it came")]
    AlreadyReleased { order: OrderId },
    #[rejection("already_shipped", "the goods of order {order} are shipped: use a return")]
    AlreadyShipped { order: OrderId },
    #[rejection("not_reserved", "nothing is reserved for order {order}")]
    NotReserved { order: OrderId },
}

impl Decider for Warehouse {
    const CATEGORY: &'static str = "warehouse";
    type Id = WarehouseId;
    type Command = InventoryCommand;
    type Event = InventoryEvent;
    type Rejection = InventoryRejection;

    fn address(command: &InventoryCommand, _: &Envelope) -> WarehouseId {
        use InventoryCommand as C;
        let named = match command {
            C::Receive(c) => return c.warehouse_id.clone(),
            C::Reserve(c) => &c.warehouse_id,
            C::Release(c) => &c.warehouse_id,
            C::Adjust(c) => &c.warehouse_id,
            C::Ship(c) => &c.warehouse_id,
            C::Restock(c) => &c.warehouse_id,
        };
        named.clone().unwrap_or_else(|| WarehouseId::from(DEFAULT_WAREHOUSE))
    }

    fn decide(
        &self,
        _: &WarehouseId,
        command: InventoryCommand,
        _: &Context,
    ) -> Result<Vec<InventoryEvent>, InventoryRejection> {
        use InventoryCommand as C;
        match command {
            C::Receive(c) => {
                known_as(&c.sku)?;
                at_least_one(&c.sku, c.quantity)?;
                let (sku, quantity, warehouse_id) = (c.sku, c.quantity, c.warehouse_id);
                Ok(vec![InventoryEvent::StockReceived(StockReceived { sku, quantity, warehouse_id })])
            }
            C::Adjust(c) => self.adjust(c),
            C::Reserve(c) => self.reserve(c),
            C::Release(c) => self.release(c),
            C::Ship(c) => self.ship(c),
            C::Restock(c) => Self::restock(c),
        }
    }

    fn evolve(&mut self, event: &InventoryEvent) {
        use InventoryEvent as E;
        match event {
            E::StockReceived(e) => self.add(&e.sku, e.quantity),
            E::StockAdjusted(e) => self.add(&e.sku, e.quantity),
            E::Reserved(e) => {
                for item in &e.items {
                    self.add(&item.sku, -item.quantity);
                }
                let items = e.items.iter().map(|item| Quantity { sku: item.sku.clone(), quantity: item.quantity });
                self.reserved.insert(e.order_id.clone(), items.collect());
            }
            E::ReservationFailed(e) => self.end(&e.order_id, Over::Failed),
            E::Released(e) => {
                for item in &e.items {
                    self.add(&item.sku, item.quantity);
                }
                self.end(&e.order_id, Over::Released);
            }
            E::StockShipped(e) => self.end(&e.order_id, Over::Shipped),
            E::StockReturned(e) => {
                for item in &e.items {
                    self.add(&item.sku, item.quantity);
                }
            }
            E::LowStockDetected(_) | E::ReorderPlaced(_) => {}
        }
    }

    fn evolve_at(&mut self, event: &InventoryEvent, at: Timestamp) {
        let newest = self.newest.map_or(at, |newest| newest.max(at));
        self.newest = Some(newest);
        self.evolve(event);
        self.forget(newest);
    }

    /// One stream holds all articles: what is sent again for one is known however much came for the others.
    fn repeat_key(command: &InventoryCommand) -> Option<Cow<'_, str>> {
        match command {
            InventoryCommand::Receive(c) => Some(c.sku.as_str().into()),
            InventoryCommand::Adjust(c) => Some(c.sku.as_str().into()),
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + 128 * (self.stock.len() + self.reserved.len()) + 256 * self.over.size()
    }
}

impl Warehouse {
    fn add(&mut self, sku: &Sku, quantity: i64) {
        match self.stock.get_mut(sku) {
            Some(stock) => stock.available += quantity,
            None => _ = self.stock.insert(sku.clone(), Stock { available: quantity }),
        }
    }

    /// An order is over; one that is so already may end otherwise, and is forgotten no later.
    fn end(&mut self, order: &OrderId, how: Over) {
        self.reserved.remove(order);
        if let Some(newest) = self.newest
            && !self.over.contains_key(order)
        {
            self.ends.enqueue_mut((newest, order.clone()));
        }
        self.over.insert_mut(order.clone(), how);
    }

    fn forget(&mut self, newest: Timestamp) {
        while let Some((since, order)) = self.ends.peek()
            && newest.duration_since(*since) > REMEMBERED
        {
            self.over.remove_mut(order);
            self.ends.dequeue_mut();
        }
    }

    fn available(&self, sku: &Sku) -> i64 {
        self.stock.get(sku).map_or(0, |stock| stock.available)
    }

    fn adjust(&self, adjust: AdjustStock) -> Result<Vec<InventoryEvent>, InventoryRejection> {
        known_as(&adjust.sku)?;
        if adjust.quantity.unsigned_abs() > MOST_UNITS.unsigned_abs() {
            let (sku, quantity) = (adjust.sku, adjust.quantity);
            return Err(InventoryRejection::BadQuantity { sku, quantity });
        }
        let available = self.available(&adjust.sku);
        if available + adjust.quantity < 0 {
            let (sku, wanted) = (adjust.sku, -adjust.quantity);
            return Err(InventoryRejection::NotInStock { sku, available, wanted });
        }
        if adjust.quantity == 0 {
            return Ok(vec![]);
        }
        let low = self.low(&adjust.sku, -adjust.quantity);
        let (sku, quantity, reason) = (adjust.sku, adjust.quantity, adjust.reason);
        let mut events = vec![InventoryEvent::StockAdjusted(StockAdjusted { sku, quantity, reason })];
        events.extend(low);
        Ok(events)
    }

    fn reserve(&self, reserve: ReserveStock) -> Result<Vec<InventoryEvent>, InventoryRejection> {
        let order_id = reserve.order_id;
        match self.over.get(&order_id) {
            Some(Over::Released) => return Err(InventoryRejection::AlreadyReleased { order: order_id }),
            Some(Over::Shipped | Over::Failed) => return Ok(vec![]),
            None if self.reserved.contains_key(&order_id) => return Ok(vec![]),
            None => {}
        }
        let mut wanted: BTreeMap<&Sku, i64> = BTreeMap::new();
        for item in &reserve.items {
            at_least_one(&item.sku, item.quantity)?;
            let sum = wanted.entry(&item.sku).or_default();
            *sum = sum.saturating_add(item.quantity);
        }
        let short = wanted.iter().filter(|(sku, quantity)| self.available(sku) < **quantity);
        let items: Vec<Shortage> = short
            .map(|(sku, quantity)| Shortage {
                sku: (*sku).clone(),
                requested: *quantity,
                available: self.available(sku),
            })
            .collect();
        if !items.is_empty() {
            let reason = "out_of_stock".to_owned();
            return Ok(vec![InventoryEvent::ReservationFailed(ReservationFailed { order_id, items, reason })]);
        }
        let low: Vec<InventoryEvent> = wanted.iter().filter_map(|(sku, quantity)| self.low(sku, *quantity)).collect();
        let numbered = (1..).zip(reserve.items);
        let items: Vec<Reservation> = numbered
            .map(|(line, item): (u32, Quantity)| Reservation {
                sku: item.sku,
                quantity: item.quantity,
                reservation_id: ReservationId::from(format!("{order_id}/{line}")),
            })
            .collect();
        let mut events = vec![InventoryEvent::Reserved(InventoryReserved { order_id, items })];
        events.extend(low);
        Ok(events)
    }

    fn release(&self, release: ReleaseStock) -> Result<Vec<InventoryEvent>, InventoryRejection> {
        let (order_id, reason) = (release.order_id, release.reason);
        match self.over.get(&order_id) {
            Some(Over::Released) => return Ok(vec![]),
            Some(Over::Shipped) => return Err(InventoryRejection::AlreadyShipped { order: order_id }),
            Some(Over::Failed) | None => {}
        }
        // Undone before it was done: noted, so that the late reservation is refused.
        let items = self.reserved.get(&order_id).cloned().unwrap_or_default();
        Ok(vec![InventoryEvent::Released(InventoryReleased { order_id, items, reason })])
    }

    fn ship(&self, ship: ShipStock) -> Result<Vec<InventoryEvent>, InventoryRejection> {
        let order_id = ship.order_id;
        if let Some(items) = self.reserved.get(&order_id) {
            let items = items.clone();
            return Ok(vec![InventoryEvent::StockShipped(StockShipped { order_id, items })]);
        }
        match self.over.get(&order_id) {
            Some(Over::Shipped) => Ok(vec![]),
            _ => Err(InventoryRejection::NotReserved { order: order_id }),
        }
    }

    /// Whether so much of the order can come back is for the order itself to say: it knows its pieces for ever.
    fn restock(restock: Restock) -> Result<Vec<InventoryEvent>, InventoryRejection> {
        let (order_id, items) = (restock.order_id, restock.items);
        for item in &items {
            at_least_one(&item.sku, item.quantity)?;
        }
        Ok(vec![InventoryEvent::StockReturned(StockReturned { order_id, items })])
    }

    /// Whether taking so many crosses the threshold; once per crossing.
    fn low(&self, sku: &Sku, taken: i64) -> Option<InventoryEvent> {
        let before = self.available(sku);
        let left = before - taken;
        (before > LOW_STOCK && left <= LOW_STOCK).then(|| {
            let (sku, current_quantity, threshold) = (sku.clone(), left, LOW_STOCK);
            InventoryEvent::LowStockDetected(LowStockDetected { sku, current_quantity, threshold })
        })
    }
}

/// What runs short is ordered in a stream of its own, so that its number must be able to name one.
fn known_as(sku: &Sku) -> Result<(), InventoryRejection> {
    sku.check().map_err(|problem| InventoryRejection::BadSku { problem })
}

fn at_least_one(sku: &Sku, quantity: i64) -> Result<(), InventoryRejection> {
    if !(1..=MOST_UNITS).contains(&quantity) {
        return Err(InventoryRejection::BadQuantity { sku: sku.clone(), quantity });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
