//! Checking an order's products against the catalogue. What the log has registered is for sale, whatever the clock said
//! then; whether it was switched off goes by the order's time.

use std::{collections::BTreeMap, time::Duration};

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    catalog::{ProductEvent, ValidateProducts, ValidationCompleted},
    ids::{OrderId, Sku},
    order::OrderCreated,
    process::Process,
    shapes::{InvalidItem, LineKind, Quantity},
};

/// Since when each product can or cannot be ordered; oldest first.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Products {
    history: BTreeMap<Sku, Vec<(Timestamp, bool)>>,
}

/// When an order is looked at again that names what is not known.
const LOOK_AGAIN: TimerTo<ValidateProducts> = TimerTo::new("look-again");
/// So long a product may be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// Answers `product.validate` from the folded products; where no saga sends it, what is placed is validated unasked.
pub fn validation(process: Process) -> Folding<Products> {
    let folding = Folding::new("products", 1).fold(follow).answer(validate).emits::<ValidationCompleted>("validation");
    let folding = if process.is_choreographed() { folding.react(placed).sets(LOOK_AGAIN) } else { folding };
    folding.snapshots()
}

fn follow(products: &mut Products, event: &Recorded<ProductEvent>) {
    let (sku, active) = match &event.data {
        ProductEvent::Registered(e) => (&e.sku, Some(e.active)),
        ProductEvent::Changed(e) => (&e.sku, e.active),
    };
    if let Some(active) = active {
        let history = products.history.entry(sku.clone()).or_default();
        // Recorded data may come late: what counts is when it happened.
        let place = history.partition_point(|(since, _)| *since <= event.at());
        history.insert(place, (event.at(), active));
    }
}

fn validate(products: &Products, order: &ValidateProducts, context: &Context, fx: &mut Effects) -> Result<(), Never> {
    products.validate(&order.order_id, order.items.iter().map(|item| &item.sku), context.now, fx);
    Ok(())
}

fn placed(products: &Products, order: &Recorded<OrderCreated>, fx: &mut Effects) {
    let goods = || order.items.iter().filter(|line| line.kind == LineKind::Goods);
    if goods().all(|line| products.history.contains_key(&line.sku)) {
        return products.validate(&order.order_id, goods().map(|line| &line.sku), order.at(), fx);
    }
    // An order and the products that it names are told by two services, in no order: what is not known may be on its way.
    let items = goods().map(|line| Quantity { sku: line.sku.clone(), quantity: line.quantity }).collect();
    fx.after(LOOK_AGAIN, ON_ITS_WAY, ValidateProducts { order_id: order.order_id.clone(), items });
}

impl Products {
    fn validate<'a>(&self, order: &OrderId, skus: impl Iterator<Item = &'a Sku>, at: Timestamp, fx: &mut Effects) {
        let mut invalid_items: Vec<InvalidItem> = Vec::new();
        for sku in skus {
            if let Some(reason) = self.problem(sku, at)
                && !invalid_items.iter().any(|invalid| invalid.sku == *sku)
            {
                invalid_items.push(InvalidItem { sku: sku.clone(), reason: reason.to_owned() });
            }
        }
        let (order_id, is_valid) = (order.clone(), invalid_items.is_empty());
        fx.emit("validation", order, ValidationCompleted { order_id, is_valid, invalid_items });
    }

    fn problem(&self, sku: &Sku, at: Timestamp) -> Option<&'static str> {
        let Some(history) = self.history.get(sku) else { return Some("unknown_product") };
        // Before its first news it was as that says: it was registered under a clock that was ahead.
        let known = history.iter().rev().find(|(since, _)| *since <= at).or(history.first());
        known.is_some_and(|(_, active)| !active).then_some("not_for_sale")
    }
}

#[cfg(test)]
mod tests;
