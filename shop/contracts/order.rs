//! order-service: orders from the first click to the last return. Streams `order-<orderId>`, `credit-<creditId>`.

mod process;

pub use process::*;

use super::ids::{CartId, CreditId, CustomerId, OrderId, PaymentId, PaymentMethod, ShipmentId};
use super::shapes::{Address, Contact, InvalidItem, Line, Quantity, Reservation, ReturnItem, Verdict};
use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Published when an order is accepted.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.created", version = "1.1.0", was = "OrderPlaced")]
pub struct OrderCreated {
    /// The order.
    pub order_id: OrderId,
    /// Who orders; absent for a guest.
    pub customer_id: Option<CustomerId>,
    /// The cart it was.
    pub cart_id: Option<CartId>,
    /// What is ordered.
    pub items: Vec<Line>,
    /// The lines' sum.
    pub subtotal: Option<Money>,
    /// What is taken off.
    pub discount: Option<Money>,
    /// The tax on it.
    pub tax: Option<Money>,
    /// What sending it costs.
    pub shipping_charge: Option<Money>,
    /// What is to be paid.
    pub total: Money,
    /// Where it goes.
    #[personal(subject = order_id)]
    pub shipping_address: Option<Address>,
    /// How it is paid.
    pub payment_method: Option<PaymentMethod>,
    /// Always `pending_validation`.
    pub status: OrderStatus,
    /// Where it came in; since 1.1.0.
    #[serde(default)]
    pub channel: SalesChannel,
}

/// What most readers need of `order.created`: whose it is, where it goes and what it comes to. Its lines are left unread, which are
/// most of it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.created", version = "1.1.0", was = "OrderPlaced")]
pub struct OrderHead {
    /// The order.
    pub order_id: OrderId,
    /// Who orders; absent for a guest.
    pub customer_id: Option<CustomerId>,
    /// What is to be paid.
    pub total: Money,
    /// Where it goes.
    #[personal(subject = order_id)]
    pub shipping_address: Option<Address>,
}

/// Where an order came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SalesChannel {
    /// Over HTTP.
    Api,
    /// From a cart that was checked out.
    Cart,
    /// From an imported file.
    File,
    /// Nobody noted it.
    #[default]
    Unknown,
}

/// The states of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Accepted; products and fraud are being checked.
    #[default]
    PendingValidation,
    /// The products are valid.
    Validated,
    /// The products are not; the end.
    Rejected,
    /// Suspicious; a person decides.
    Held,
    /// Given up, and everything undone; the end.
    Cancelled,
    /// Its goods are kept.
    Reserved,
    /// From here it only goes forward.
    Confirmed,
    /// The money is taken.
    Paid,
    /// The parcel may leave.
    ReadyForShipping,
    /// The carrier has it.
    Shipped,
    /// The customer has it.
    Delivered,
    /// Some or all of it has come back.
    Returned,
}

/// Published when the order's products are found valid.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.validated")]
pub struct OrderValidated {
    /// The order.
    pub order_id: OrderId,
}

/// Published when the order's products are found invalid.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.rejected")]
pub struct OrderRejected {
    /// The order.
    pub order_id: OrderId,
    /// A word such as `invalid_products`.
    pub reason: String,
    /// What cannot be sold.
    pub invalid_items: Vec<InvalidItem>,
}

/// Published when an order is changed by command, or its contact by `customer.updated`. What did not change is absent. The
/// lines of an order never change: they were priced, checked and kept for it as they are.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.updated")]
pub struct OrderUpdated {
    /// The order.
    pub order_id: OrderId,
    /// Names of the changed fields.
    pub fields: Vec<String>,
    /// The new contact.
    #[personal(subject = order_id)]
    pub contact: Option<Contact>,
    /// The new address.
    #[personal(subject = order_id)]
    pub shipping_address: Option<Address>,
}

/// Own. Published when `inventory.reserved` is seen.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.stock_reserved", own)]
pub struct OrderStockReserved {
    /// The order.
    pub order_id: OrderId,
    /// What is kept for it.
    pub items: Vec<Reservation>,
}

/// Own. Published at the pivot: from here a cancel is refused.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.confirmed", own)]
pub struct OrderConfirmed {
    /// The order.
    pub order_id: OrderId,
}

/// Published when `payment.captured` is seen.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.paid")]
pub struct OrderPaid {
    /// The order.
    pub order_id: OrderId,
    /// Its payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// By which means, if it is known.
    pub payment_method: Option<PaymentMethod>,
}

/// Published when fraud flags the order; a person answers within 24 hours.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.held")]
pub struct OrderHeld {
    /// The order.
    pub order_id: OrderId,
    /// Why.
    pub reason: String,
}

/// Published when a person clears a held order.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.hold_released")]
pub struct OrderHoldReleased {
    /// The order.
    pub order_id: OrderId,
    /// Who; `review` if nobody was named.
    pub by: String,
}

/// Published when the order is paid, its goods are kept and nobody holds it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.released_for_shipping")]
pub struct OrderReleasedForShipping {
    /// The order.
    pub order_id: OrderId,
    /// The goods; may be empty.
    pub items: Vec<Quantity>,
    /// Where they go, if the order says so.
    #[personal(subject = order_id)]
    pub shipping_address: Option<Address>,
    /// Under which they are kept.
    pub reservations: Vec<Reservation>,
}

/// Published when the carrier has it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.shipped")]
pub struct OrderShipped {
    /// The order.
    pub order_id: OrderId,
    /// Its shipment.
    pub shipment_id: ShipmentId,
    /// The carrier's name for it.
    pub tracking_number: String,
    /// Who brings it.
    pub carrier: String,
    /// When it should arrive.
    pub estimated_delivery: Option<Timestamp>,
}

/// Published when the carrier says that it has arrived.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.delivered")]
pub struct OrderDelivered {
    /// The order.
    pub order_id: OrderId,
    /// When.
    pub delivered_at: Timestamp,
}

/// Published when an order is given up; what was done for it is undone.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.cancelled")]
pub struct OrderCancelled {
    /// The order.
    pub order_id: OrderId,
    /// `payment_failed`, `out_of_stock`, `undeliverable`, `customer`, `fraud` or another word.
    pub reason: String,
}

/// The reason of a return that the carrier has lost on its way: nothing of it comes to the warehouse.
pub const LOST: &str = "lost";

/// Published when goods come back, whole or in part, more than once.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.returned")]
pub struct OrderReturned {
    /// The order.
    pub order_id: OrderId,
    /// The credit that it was booked under.
    pub credit_id: Option<CreditId>,
    /// What came back.
    pub items: Vec<ReturnItem>,
    /// What is given back for it.
    pub amount: Money,
    /// What is not, because no more was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_due: Option<Money>,
    /// Why.
    pub reason: String,
}

/// Published for a credit whose order is unknown, in a stream of its own.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.credited")]
pub struct OrderCredited {
    /// The credit.
    pub credit_id: CreditId,
    /// Who gets it, if it is known.
    pub customer_id: Option<CustomerId>,
    /// For what.
    pub items: Vec<Line>,
    /// How much.
    pub amount: Money,
    /// The order that it is for, if that was never paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// What is not given back, because it was never paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_due: Option<Money>,
    /// Why.
    pub reason: String,
}

/// Asks for an order, priced by the edge; answered by `order.created`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.create")]
pub struct CreateOrder {
    /// The order.
    pub order_id: OrderId,
    /// Who orders; absent for a guest.
    pub customer_id: Option<CustomerId>,
    /// The cart it was.
    pub cart_id: Option<CartId>,
    /// What is ordered.
    pub items: Vec<Line>,
    /// The lines' sum.
    pub subtotal: Option<Money>,
    /// What is taken off.
    pub discount: Option<Money>,
    /// The tax on it.
    pub tax: Option<Money>,
    /// What sending it costs.
    pub shipping_charge: Option<Money>,
    /// What is to be paid.
    pub total: Money,
    /// Where it goes.
    #[personal(subject = order_id)]
    pub shipping_address: Option<Address>,
    /// How it is paid.
    pub payment_method: Option<PaymentMethod>,
    /// Where it comes in.
    #[serde(default)]
    pub channel: SalesChannel,
}

/// Asks to change an order; answered by `order.updated`. What is absent stays as it is. Who wants other lines cancels the
/// order and places another.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.update")]
pub struct UpdateOrder {
    /// The order.
    pub order_id: OrderId,
    /// The new contact.
    #[personal(subject = order_id)]
    pub contact: Option<Contact>,
    /// The new address.
    #[personal(subject = order_id)]
    pub shipping_address: Option<Address>,
    /// Refused if it is there: lines do not change.
    pub items: Option<Vec<Line>>,
}

/// Asks to give an order up; answered by `order.cancelled`, refused after the pivot.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.cancel")]
pub struct CancelOrder {
    /// The order.
    pub order_id: OrderId,
    /// Why.
    pub reason: String,
}

/// Own. Gives an order up whose money the provider has refused to take; answered by `order.cancelled`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.fail", own)]
pub struct FailOrder {
    /// The order.
    pub order_id: OrderId,
    /// Why.
    pub reason: String,
}

/// Own. Books a parcel that was lost as come back, all of it; answered by `order.returned` with the reason `lost`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.lose", own)]
pub struct LoseOrder {
    /// The order.
    pub order_id: OrderId,
}

/// Asks to book goods that come back; answered by `order.returned`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.return")]
pub struct ReturnOrder {
    /// The order.
    pub order_id: OrderId,
    /// The credit that it is booked under.
    pub credit_id: Option<CreditId>,
    /// What comes back.
    pub items: Vec<ReturnItem>,
    /// What is to be given back for it; what its pieces are worth, if it is not said. Never more than was paid and not given
    /// back yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// Why.
    pub reason: String,
}

/// Asks to book a credit whose order is unknown; answered by `order.credited`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.credit")]
pub struct CreditOrder {
    /// The credit.
    pub credit_id: CreditId,
    /// Who gets it, if it is known.
    pub customer_id: Option<CustomerId>,
    /// For what.
    pub items: Vec<Line>,
    /// How much.
    pub amount: Money,
    /// The order that it is for, if that was never paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// What is not given back, because it was never paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_due: Option<Money>,
    /// Why.
    pub reason: String,
}

/// A person's answer about a held order; answered by `order.hold_released` or `order.cancelled`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.release_hold")]
pub struct ReleaseHold {
    /// The order.
    pub order_id: OrderId,
    /// `cleared` lets it go on, `flagged` cancels it.
    pub verdict: Verdict,
    /// Who says so.
    pub by: Option<String>,
}

/// What can happen to an order.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum OrderEvent {
    Created(OrderCreated),
    Validated(OrderValidated),
    Rejected(OrderRejected),
    Updated(OrderUpdated),
    StockReserved(OrderStockReserved),
    Confirmed(OrderConfirmed),
    Paid(OrderPaid),
    Held(OrderHeld),
    HoldReleased(OrderHoldReleased),
    ReleasedForShipping(OrderReleasedForShipping),
    Shipped(OrderShipped),
    Delivered(OrderDelivered),
    Cancelled(OrderCancelled),
    Returned(OrderReturned),
}

/// What an order can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum OrderCommand {
    Create(CreateOrder),
    Update(UpdateOrder),
    Cancel(CancelOrder),
    Fail(FailOrder),
    Lose(LoseOrder),
    Return(ReturnOrder),
    ReleaseHold(ReleaseHold),
    MarkValidated(MarkValidated),
    Reject(RejectOrder),
    Hold(HoldOrder),
    MarkReserved(MarkReserved),
    Confirm(ConfirmOrder),
    MarkPaid(MarkPaid),
    ReleaseForShipping(ReleaseForShipping),
    MarkShipped(MarkShipped),
    MarkDelivered(MarkDelivered),
}

/// What can happen to a credit without an order.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum CreditEvent {
    Credited(OrderCredited),
}

/// What a credit without an order can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum CreditCommand {
    Credit(CreditOrder),
}
