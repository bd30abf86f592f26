//! Checking an order's products against the catalogue. What the log has registered is for sale, whatever the clock said
//! then; whether it was switched off goes by the order's time.

use std::collections::BTreeMap;

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    catalog::{ProductEvent, ValidateProducts, ValidationCompleted},
    ids::Sku,
    shapes::InvalidItem,
};

/// Since when each product can or cannot be ordered; oldest first.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Products {
    history: BTreeMap<Sku, Vec<(Timestamp, bool)>>,
}

/// Answers `product.validate` from the folded products.
pub fn validation() -> Folding<Products> {
    Folding::new("products", 1).fold(follow).answer(validate).emits::<ValidationCompleted>("validation").snapshots()
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
    let mut invalid_items: Vec<InvalidItem> = Vec::new();
    for item in &order.items {
        if let Some(reason) = products.problem(&item.sku, context.now)
            && !invalid_items.iter().any(|invalid| invalid.sku == item.sku)
        {
            invalid_items.push(InvalidItem { sku: item.sku.clone(), reason: reason.to_owned() });
        }
    }
    let (order_id, is_valid) = (order.order_id.clone(), invalid_items.is_empty());
    fx.emit("validation", &order.order_id, ValidationCompleted { order_id, is_valid, invalid_items });
    Ok(())
}

impl Products {
    fn problem(&self, sku: &Sku, at: Timestamp) -> Option<&'static str> {
        let Some(history) = self.history.get(sku) else { return Some("unknown_product") };
        // Before its first news it was as that says: it was registered under a clock that was ahead.
        let known = history.iter().rev().find(|(since, _)| *since <= at).or(history.first());
        known.is_some_and(|(_, active)| !active).then_some("not_for_sale")
    }
}

#[cfg(test)]
mod tests;
