//! What can be asked about products.

use factum::{money::UnitPrice, prelude::*};

use crate::contracts::{catalog::ProductEvent, ids::Sku};

/// A product.
#[derive(Clone, Debug, Row)]
#[row("products")]
#[allow(missing_docs, reason = "the fields are those of the contract")]
pub struct ProductRow {
    #[key]
    pub sku: Sku,
    #[index]
    pub name: String,
    pub price: UnitPrice,
    #[index]
    pub active: bool,
}

/// Follows the products.
pub fn products(rows: &mut Rows<ProductRow>, event: &Recorded<ProductEvent>) {
    match &event.data {
        ProductEvent::Registered(e) => {
            rows.put(ProductRow { sku: e.sku.clone(), name: e.name.clone(), price: e.price.clone(), active: e.active })
        }
        ProductEvent::Changed(e) => {
            _ = rows.update(&e.sku, |row| {
                row.name = e.name.clone().unwrap_or_else(|| row.name.clone());
                row.price = e.price.clone().unwrap_or_else(|| row.price.clone());
                row.active = e.active.unwrap_or(row.active);
            })
        }
    }
}
