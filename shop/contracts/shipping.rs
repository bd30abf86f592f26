//! shipping-service: parcels and their carriers. Stream `shipment-<shipmentId>`, ordered by order.
//!
//! The carrier is asked outside the decider: `shipping.opened` says that it will be, `shipping.record` brings its news.

use super::ids::{OrderId, ShipmentId, WarehouseId};
use super::shapes::{Address, Quantity};
use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Own. Published when a shipment is accepted and a carrier is to be asked for a label.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("shipping.opened", own)]
pub struct ShippingOpened {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Whose goods.
    pub order_id: OrderId,
    /// What is in it.
    pub items: Vec<Quantity>,
    /// Where it goes, if the order says so.
    #[personal(subject = order_id)]
    pub shipping_address: Option<Address>,
    /// Where it leaves.
    pub warehouse_id: WarehouseId,
}

/// Published when the label is made.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("shipping.created")]
pub struct ShippingCreated {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Whose goods.
    pub order_id: OrderId,
    /// Who brings it.
    pub carrier: String,
    /// The carrier's name for it.
    pub tracking_number: String,
    /// Where it leaves.
    pub warehouse_id: WarehouseId,
    /// When it should arrive.
    pub estimated_delivery: Timestamp,
    /// Where the label is found.
    pub label_ref: String,
}

/// Published when no carrier takes it; and with the reason `lost`, always behind `shipping.dispatched`, when the carrier
/// says that a parcel on its way will not arrive.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("shipping.failed")]
pub struct ShippingFailed {
    /// Whose goods.
    pub order_id: OrderId,
    /// A word such as `undeliverable`, `carrier_unavailable`, `lost`.
    pub reason: String,
}

/// Own. Published when the carrier's news comes before what it follows on, such as a delivery before the label's answer, or
/// before the shop has handed the parcel over. It counts as soon as it fits. Of a parcel that was cancelled: it was brought all the
/// same, and is not to be dropped any more.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("shipping.news_kept", own)]
pub struct ShippingNewsKept {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Whose goods.
    pub order_id: OrderId,
    /// `dispatched`, `delivered` or `failed`.
    pub state: ShipmentState,
    /// Since when, by the carrier's clock.
    pub at: Timestamp,
}

/// Published when the carrier has it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("shipping.dispatched")]
pub struct ShippingDispatched {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Whose goods.
    pub order_id: OrderId,
    /// When it was handed over.
    pub dispatched_at: Timestamp,
}

/// Published when it has arrived.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("shipping.delivered")]
pub struct ShippingDelivered {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Whose goods.
    pub order_id: OrderId,
    /// When it arrived.
    pub delivered_at: Timestamp,
}

/// Published when a shipment will not happen.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("shipping.cancelled")]
pub struct ShippingCancelled {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Whose goods.
    pub order_id: OrderId,
    /// A word such as `payment_failed`, `customer`.
    pub reason: String,
}

/// Own. Published when the carrier is to be asked to drop a parcel that it has, or may have, in its books.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("shipping.recall_opened", own)]
pub struct ShippingRecallOpened {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Whose goods.
    pub order_id: OrderId,
}

/// Own. Published when the carrier has dropped it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("shipping.recalled", own)]
pub struct ShippingRecalled {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Whose goods.
    pub order_id: OrderId,
}

/// Own. Published when the carrier does not drop it, or was not heard of for days: a person must see to it.
/// `shipping.cancel` asks it once more.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("shipping.recall_failed", own)]
pub struct ShippingRecallFailed {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Whose goods.
    pub order_id: OrderId,
    /// Why, in the carrier's words.
    pub reason: String,
}

/// Asks the shipping service for a carrier and a label; answered by `shipping.created` or `shipping.failed`, undone by
/// `shipping.cancel`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("shipping.create")]
pub struct CreateShipment {
    /// Whose goods.
    pub order_id: OrderId,
    /// What is in it; may be empty.
    pub items: Vec<Quantity>,
    /// Where it goes, if the order says so.
    #[personal(subject = order_id)]
    pub shipping_address: Option<Address>,
    /// Where it leaves; the service chooses if nothing is said.
    pub warehouse_id: Option<WarehouseId>,
}

/// Asks the shipping service to hand the parcel over; answered by `shipping.dispatched`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("shipping.dispatch")]
pub struct DispatchShipment {
    /// Whose goods.
    pub order_id: OrderId,
}

/// Own. Tells the shipping service the carrier's news; answered by the event that they amount to, by none if it knows
/// something later already.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("shipping.record", own)]
pub struct RecordShipment {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// How far it is.
    pub state: ShipmentState,
    /// Since when, by the carrier's clock.
    pub at: Timestamp,
    /// With `created`: who brings it.
    pub carrier: Option<String>,
    /// With `created`: the carrier's name for it.
    pub tracking_number: Option<String>,
    /// With `created`: when it should arrive.
    pub estimated_delivery: Option<Timestamp>,
    /// With `created`: where the label is found.
    pub label_ref: Option<String>,
    /// With `failed`, `unknown` and `not_cancelled`: why.
    pub reason: Option<String>,
}

/// How far a shipment is, as its carrier tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShipmentState {
    /// The label is made.
    Created,
    /// The carrier does not take it, for good; of a parcel on its way, that it will not arrive.
    Failed,
    /// The carrier has it.
    Dispatched,
    /// It has arrived.
    Delivered,
    /// The carrier has dropped it from its books, as asked.
    Cancelled,
    /// The carrier has not dropped it, although it was asked to.
    NotCancelled,
    /// Nobody knows: the carrier has to be asked before anything is tried again.
    Unknown,
}

/// Asks the shipping service to stop a parcel that has not left; answered by `shipping.cancelled`. A carrier that may have it
/// in its books is asked to drop it, for days if need be; nobody waits for that.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("shipping.cancel")]
pub struct CancelShipment {
    /// Whose goods.
    pub order_id: OrderId,
    /// A word such as `payment_failed`, `customer`.
    pub reason: String,
}

/// Asks to have the carrier asked once more to drop a parcel that it did not drop; answered by `shipping.recall_opened`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("shipping.recall")]
pub struct RecallShipment {
    /// The shipment.
    pub shipment_id: ShipmentId,
}

/// What can happen to a shipment.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ShippingEvent {
    Opened(ShippingOpened),
    Created(ShippingCreated),
    Failed(ShippingFailed),
    Dispatched(ShippingDispatched),
    Delivered(ShippingDelivered),
    Cancelled(ShippingCancelled),
    NewsKept(ShippingNewsKept),
    RecallOpened(ShippingRecallOpened),
    Recalled(ShippingRecalled),
    RecallFailed(ShippingRecallFailed),
}

/// What a shipment can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ShippingCommand {
    Create(CreateShipment),
    Dispatch(DispatchShipment),
    Record(RecordShipment),
    Cancel(CancelShipment),
    Recall(RecallShipment),
}
