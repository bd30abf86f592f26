//! catalog-service: products, and the check of an order's products. Streams `product-<SKU>`, `validation-<orderId>`.

use super::ids::{OrderId, Sku};
use super::shapes::{InvalidItem, Quantity};
use factum::money::UnitPrice;
use factum::prelude::*;

/// Published when a product enters the catalogue.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("product.registered")]
pub struct ProductRegistered {
    /// The article's number.
    pub sku: Sku,
    /// What customers read.
    pub name: String,
    /// What one piece costs.
    pub price: UnitPrice,
    /// Whether it can be ordered.
    pub active: bool,
}

/// Published when a product's name, price or availability for sale changes. What did not change is absent.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("product.changed")]
pub struct ProductChanged {
    /// The article's number.
    pub sku: Sku,
    /// Names of the changed fields.
    pub fields: Vec<String>,
    /// The new name.
    pub name: Option<String>,
    /// The new price of one piece.
    pub price: Option<UnitPrice>,
    /// Whether it can be ordered from now on.
    pub active: Option<bool>,
}

/// Published when an order's products have been checked against the catalogue as it was at the order's time.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("product.validation_completed")]
pub struct ValidationCompleted {
    /// Whose products.
    pub order_id: OrderId,
    /// Whether all of them can be sold.
    pub is_valid: bool,
    /// Those that cannot.
    pub invalid_items: Vec<InvalidItem>,
}

/// Asks the catalogue to take up a product; answered by `product.registered`, for a known one by `product.changed`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("product.register")]
pub struct RegisterProduct {
    /// The article's number.
    pub sku: Sku,
    /// What customers read.
    pub name: String,
    /// What one piece costs.
    pub price: UnitPrice,
    /// Whether it can be ordered.
    pub active: bool,
}

/// Asks the catalogue to check an order's products; answered by `product.validation_completed`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("product.validate")]
pub struct ValidateProducts {
    /// Whose products.
    pub order_id: OrderId,
    /// The goods of the order.
    pub items: Vec<Quantity>,
}

/// What can happen to a product.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ProductEvent {
    Registered(ProductRegistered),
    Changed(ProductChanged),
}

/// What a product can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ProductCommand {
    Register(RegisterProduct),
}

/// What can happen to the check of an order's products.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ValidationEvent {
    Completed(ValidationCompleted),
}

/// What the check of an order's products can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ValidationCommand {
    Validate(ValidateProducts),
}
