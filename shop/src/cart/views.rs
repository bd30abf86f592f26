//! What can be asked about carts.

use factum::{money::UnitPrice, prelude::*};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decider::{put_in, take_out, total};
use crate::{
    contracts::{
        cart::CartEvent,
        catalog::ProductEvent,
        ids::{CartId, CustomerId, OrderId, Sku},
        shapes::Line,
    },
    money::pence,
};

/// How far a cart is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CartStatus {
    /// It can be changed.
    Open,
    /// It is an order.
    CheckedOut,
    /// It was given up.
    Abandoned,
}

/// A cart.
#[derive(Clone, Debug, Row)]
#[row("carts")]
#[allow(missing_docs, reason = "the fields are those of the contract")]
pub struct CartRow {
    #[key]
    pub cart_id: CartId,
    #[index]
    pub customer_id: Option<CustomerId>,
    #[index]
    pub status: CartStatus,
    pub items: Vec<Line>,
    pub total: Money,
    /// The order that it became.
    pub order_id: Option<OrderId>,
    /// Why it was given up.
    pub reason: Option<String>,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
}

/// Follows the carts.
pub fn carts(rows: &mut Rows<CartRow>, event: &Recorded<CartEvent>) {
    let at = event.at();
    let mut change = |cart: &CartId, change: &dyn Fn(&mut CartRow)| {
        rows.update(cart, |row| {
            change(row);
            row.total = total(&row.items).unwrap_or(row.total);
            row.changed_at = at;
        });
    };
    match &event.data {
        CartEvent::Created(e) => rows.put(CartRow {
            cart_id: e.cart_id.clone(),
            customer_id: e.customer_id.clone(),
            status: CartStatus::Open,
            items: Vec::new(),
            total: pence(0),
            order_id: None,
            reason: None,
            created_at: at,
            changed_at: at,
        }),
        CartEvent::ItemAdded(e) => change(&e.cart_id, &|row| put_in(&mut row.items, &e.item)),
        CartEvent::ItemRemoved(e) => change(&e.cart_id, &|row| take_out(&mut row.items, &e.sku, e.quantity)),
        CartEvent::CheckedOut(e) => change(&e.cart_id, &|row| {
            row.status = CartStatus::CheckedOut;
            row.customer_id.clone_from(&e.customer_id);
            row.items.clone_from(&e.items);
            row.order_id = Some(OrderId::of_cart(&e.cart_id));
        }),
        CartEvent::Abandoned(e) => change(&e.cart_id, &|row| {
            row.status = CartStatus::Abandoned;
            row.reason = Some(e.reason.clone());
        }),
    }
}

/// What an article costs, and whether it is for sale, from the catalogue's events.
#[derive(Clone, Debug, Row)]
#[row("cart_prices")]
#[allow(missing_docs, reason = "the fields are those of the contract")]
pub struct CartPriceRow {
    #[key]
    pub sku: Sku,
    pub name: String,
    pub price: UnitPrice,
    pub active: bool,
}

/// Follows the catalogue.
pub fn cart_prices(rows: &mut Rows<CartPriceRow>, event: &Recorded<ProductEvent>) {
    match &event.data {
        ProductEvent::Registered(e) => rows.put(CartPriceRow {
            sku: e.sku.clone(),
            name: e.name.clone(),
            price: e.price.clone(),
            active: e.active,
        }),
        ProductEvent::Changed(e) => {
            rows.update(&e.sku, |row| {
                row.name = e.name.clone().unwrap_or_else(|| row.name.clone());
                row.price = e.price.clone().unwrap_or_else(|| row.price.clone());
                row.active = e.active.unwrap_or(row.active);
            });
        }
    }
}
