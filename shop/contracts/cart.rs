//! cart-service: what customers put aside before they order. Stream `cart-<cartId>`.

use super::ids::{CartId, CustomerId, PaymentMethod, Sku};
use super::shapes::{Address, Line};
use factum::money::UnitPrice;
use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Own. Published when a cart is opened.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("cart.created", own)]
pub struct CartCreated {
    /// The cart.
    pub cart_id: CartId,
    /// Whose it is; absent for a guest.
    pub customer_id: Option<CustomerId>,
}

/// Own. Published when an item goes in. Of an article that is in the cart there are so many more, and all of them have the
/// name and the price that they are put in with now.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("cart.item_added", own)]
pub struct CartItemAdded {
    /// The cart.
    pub cart_id: CartId,
    /// What goes in: so many more pieces, at the price of the moment.
    pub item: Line,
}

/// Own. Published when an item goes out.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("cart.item_removed", own)]
pub struct CartItemRemoved {
    /// The cart.
    pub cart_id: CartId,
    /// The article.
    pub sku: Sku,
    /// How many pieces; absent if all of them.
    pub quantity: Option<i64>,
}

/// Published when the customer checks out, once in a cart's life. The order service makes one order of it, whose id follows from
/// the cart's; analytics counts it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("cart.checked_out")]
pub struct CartCheckedOut {
    /// The cart.
    pub cart_id: CartId,
    /// Who orders; absent for a guest.
    pub customer_id: Option<CustomerId>,
    /// What is ordered, at the prices of now.
    pub items: Vec<Line>,
    /// The lines' sum.
    pub subtotal: Money,
    /// What is taken off.
    pub discount: Option<Money>,
    /// The tax on it.
    pub tax: Option<Money>,
    /// What is to be paid.
    pub total: Money,
    /// Where it goes.
    #[personal(subject = cart_id)]
    pub shipping_address: Option<Address>,
    /// How it is paid.
    pub payment_method: Option<PaymentMethod>,
}

/// The reason of a cart that nobody has changed for the configured time.
pub const TIMED_OUT: &str = "timed_out";

/// Published when a cart is given up: nobody changed it for the configured time, or the customer says so. Notification reminds
/// the customer of the first kind, analytics counts both.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("cart.abandoned")]
pub struct CartAbandoned {
    /// The cart.
    pub cart_id: CartId,
    /// Whose it was; absent for a guest.
    pub customer_id: Option<CustomerId>,
    /// `timed_out`, `customer` or another word.
    pub reason: String,
    /// What was in it.
    #[serde(default)]
    pub items: Vec<Line>,
}

/// Asks for a cart; answered by `cart.created`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("cart.create")]
pub struct CreateCart {
    /// The cart.
    pub cart_id: CartId,
    /// Whose it is; absent for a guest.
    pub customer_id: Option<CustomerId>,
}

/// Asks to put an item in, priced by the edge; answered by `cart.item_added`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("cart.add_item")]
pub struct AddItem {
    /// The cart.
    pub cart_id: CartId,
    /// The article.
    pub sku: Sku,
    /// How many pieces more.
    pub quantity: i64,
    /// What the catalogue says of it now; absent if it does not know the article.
    pub offer: Option<Offer>,
}

/// An article as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// What the customer reads.
    pub name: String,
    /// What one piece costs.
    pub unit_price: UnitPrice,
    /// Whether it is for sale.
    pub active: bool,
}

/// Asks to take an item out; answered by `cart.item_removed`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("cart.remove_item")]
pub struct RemoveItem {
    /// The cart.
    pub cart_id: CartId,
    /// The article.
    pub sku: Sku,
    /// How many pieces; all of them if it is not said.
    pub quantity: Option<i64>,
}

/// What an article costs now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceNow {
    /// The article.
    pub sku: Sku,
    /// What the customer reads.
    pub name: String,
    /// What one piece costs.
    pub unit_price: UnitPrice,
}

/// Asks to order what is in a cart, at the prices of now; answered by `cart.checked_out`, and by nothing if it is checked out
/// already.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("cart.check_out")]
pub struct CheckOutCart {
    /// The cart.
    pub cart_id: CartId,
    /// Who orders, if the cart does not say.
    pub customer_id: Option<CustomerId>,
    /// What the articles cost now; one that is not among them costs what it did when it was put in.
    #[serde(default)]
    pub prices: Vec<PriceNow>,
    /// What the customer agrees to pay; what the cart shows, if it is not said.
    pub total: Option<Money>,
    /// Where it goes.
    #[personal(subject = cart_id)]
    pub shipping_address: Option<Address>,
    /// How it is paid.
    pub payment_method: Option<PaymentMethod>,
}

/// Asks to give a cart up; answered by `cart.abandoned`, and by nothing if it is given up already or has changed since.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("cart.abandon")]
pub struct AbandonCart {
    /// The cart.
    pub cart_id: CartId,
    /// `customer`, `timed_out` or another word.
    pub reason: String,
    /// Only if it has not changed since.
    pub unchanged_since: Option<Timestamp>,
}

/// What can happen to a cart.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum CartEvent {
    Created(CartCreated),
    ItemAdded(CartItemAdded),
    ItemRemoved(CartItemRemoved),
    CheckedOut(CartCheckedOut),
    Abandoned(CartAbandoned),
}

/// What a cart can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum CartCommand {
    Create(CreateCart),
    AddItem(AddItem),
    RemoveItem(RemoveItem),
    CheckOut(CheckOutCart),
    Abandon(AbandonCart),
}
