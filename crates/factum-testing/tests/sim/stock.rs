//! Stock of an article: reserved for orders, released again; a release before its reservation refuses the late one.

use std::collections::{BTreeMap, BTreeSet};

use factum_core::{
    decider::{Context, Decider},
    envelope::Envelope,
    service::Service,
};
use factum_macros::{Command, Event, Rejection};
use serde::{Deserialize, Serialize};

use super::contracts::*;

/// Of each article.
pub const ON_HAND: i64 = 12;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Stock {
    reserved: BTreeMap<String, i64>,
    released: BTreeSet<String>,
}

#[derive(Command)]
enum StockCommand {
    Reserve(ReserveStock),
    Release(ReleaseStock),
}

#[derive(Event)]
enum StockEvent {
    Reserved(StockReserved),
    Released(StockReleased),
}

#[derive(Debug, Rejection)]
enum StockRejection {
    #[rejection("out_of_stock", "there is not enough of {sku}")]
    OutOfStock { sku: String },
    #[rejection("too_late", "order {order} was released before")]
    TooLate { order: String },
}

impl Decider for Stock {
    const CATEGORY: &'static str = "stock";
    type Id = String;
    type Command = StockCommand;
    type Event = StockEvent;
    type Rejection = StockRejection;

    fn address(command: &StockCommand, _: &Envelope) -> String {
        match command {
            StockCommand::Reserve(c) => c.sku.clone(),
            StockCommand::Release(c) => c.sku.clone(),
        }
    }

    fn decide(&self, _: &String, command: StockCommand, _: &Context) -> Result<Vec<StockEvent>, StockRejection> {
        match command {
            StockCommand::Reserve(c) if self.released.contains(&c.order_id) => {
                Err(StockRejection::TooLate { order: c.order_id })
            }
            StockCommand::Reserve(c) if self.reserved.contains_key(&c.order_id) => Ok(vec![]),
            StockCommand::Reserve(c) if self.reserved.values().sum::<i64>() + c.quantity > ON_HAND => {
                Err(StockRejection::OutOfStock { sku: c.sku })
            }
            StockCommand::Reserve(c) => {
                Ok(vec![StockEvent::Reserved(StockReserved { order_id: c.order_id, sku: c.sku, quantity: c.quantity })])
            }
            StockCommand::Release(c) if self.released.contains(&c.order_id) => Ok(vec![]),
            StockCommand::Release(c) => {
                let quantity = self.reserved.get(&c.order_id).copied().unwrap_or_default();
                Ok(vec![StockEvent::Released(StockReleased { order_id: c.order_id, sku: c.sku, quantity })])
            }
        }
    }

    fn evolve(&mut self, event: &StockEvent) {
        match event {
            StockEvent::Reserved(e) => _ = self.reserved.insert(e.order_id.clone(), e.quantity),
            StockEvent::Released(e) => {
                self.reserved.remove(&e.order_id);
                self.released.insert(e.order_id.clone());
            }
        }
    }
}

pub fn service(version: u32) -> Service {
    Service::new("stock").decider_with_snapshots::<Stock>(version)
}
