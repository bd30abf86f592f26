//! Shapes that several contracts share: lines of an order, quantities, addresses.

use super::ids::{ReservationId, Sku};
use factum::money::{MoneyError, UnitPrice};
use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line of a cart, an order or a credit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Its number within the order, from 1.
    pub line: u32,
    /// What is sold; only goods are checked, reserved and shipped.
    pub kind: LineKind,
    /// The article, or the number under which carriage or a manual entry is booked.
    pub sku: Sku,
    /// What the customer reads.
    pub name: String,
    /// How many pieces.
    pub quantity: i64,
    /// What one piece costs, if the line has a price by the piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<UnitPrice>,
    /// What the line costs: quantity times unit price, rounded half to even.
    pub amount: Money,
}

impl Line {
    /// A line of goods, priced by the piece.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] if the amount does not fit.
    pub fn goods(line: u32, sku: Sku, name: &str, quantity: i64, unit_price: UnitPrice) -> Result<Self, MoneyError> {
        let amount = unit_price.times(quantity)?;
        let (kind, name) = (LineKind::Goods, name.to_owned());
        Ok(Self { line, kind, sku, name, quantity, unit_price: Some(unit_price), amount })
    }
}

/// What a line sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Articles with a stock.
    Goods,
    /// Postage and carriage.
    Carriage,
    /// An entry by hand without a stock: a discount, a sample, an adjustment.
    #[serde(alias = "discount", alias = "sample")]
    Manual,
}

/// So many pieces of an article.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quantity {
    /// The article.
    pub sku: Sku,
    /// How many pieces.
    pub quantity: i64,
}

/// So many pieces of an article that come back out of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReturnItem {
    /// The article.
    pub sku: Sku,
    /// How many pieces.
    pub quantity: i64,
    /// Of which of the order's lines; of the first ones that have any left, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl From<Quantity> for ReturnItem {
    fn from(Quantity { sku, quantity }: Quantity) -> Self {
        Self { sku, quantity, line: None }
    }
}

impl From<ReturnItem> for Quantity {
    fn from(ReturnItem { sku, quantity, .. }: ReturnItem) -> Self {
        Self { sku, quantity }
    }
}

/// So many pieces of an article, kept for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// The article.
    pub sku: Sku,
    /// How many pieces.
    pub quantity: i64,
    /// Under which they are kept.
    pub reservation_id: ReservationId,
}

/// An article of which there is not enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shortage {
    /// The article.
    pub sku: Sku,
    /// How many pieces were asked for.
    pub requested: i64,
    /// How many there are.
    pub available: i64,
}

/// An article that cannot be sold, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvalidItem {
    /// The article.
    pub sku: Sku,
    /// A word such as `unknown`, `inactive`, `price_changed`.
    pub reason: String,
}

/// Where something goes. Only the country is always known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// The country, as its code or its name.
    pub country: String,
    /// Who receives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Street and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// Town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// State, county or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postcode: Option<String>,
}

/// How to reach the customer of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// The customer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address for mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Number for calls and texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// What the fraud check found, or a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing stands against the order.
    Cleared,
    /// Something does.
    Flagged,
}
