//! What the services of the sample know of each other: events, then commands.

use factum_macros::{Command, Event};
use serde::{Deserialize, Serialize};

/// What the provider is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Act {
    Authorize,
    Capture,
    Void,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Outcome {
    Done,
    Refused,
    Unknown,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.placed")]
pub struct OrderPlaced {
    pub order_id: String,
    pub customer: String,
    pub sku: String,
    pub quantity: i64,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.amended")]
pub struct OrderAmended {
    pub order_id: String,
    pub note: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.cancelled")]
pub struct OrderCancelled {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.confirmed")]
pub struct OrderConfirmed {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.failed")]
pub struct OrderFailed {
    pub order_id: String,
    pub reason: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.nudged")]
pub struct OrderNudged {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.closed")]
pub struct OrderClosed {
    pub order_id: String,
    pub customer: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("stock.reserved")]
pub struct StockReserved {
    pub order_id: String,
    pub sku: String,
    pub quantity: i64,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("stock.released")]
pub struct StockReleased {
    pub order_id: String,
    pub sku: String,
    pub quantity: i64,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.opened")]
pub struct PaymentOpened {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.authorized")]
pub struct PaymentAuthorized {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.failed")]
pub struct PaymentFailed {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.capture_opened")]
pub struct CaptureOpened {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.captured")]
pub struct PaymentCaptured {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.void_opened")]
pub struct VoidOpened {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.voided")]
pub struct PaymentVoided {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("parcel.opened")]
pub struct ParcelOpened {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("parcel.dispatched")]
pub struct ParcelDispatched {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("parcel.delayed")]
pub struct ParcelDelayed {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("parcel.returned")]
pub struct ParcelReturned {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("parcel.delivered")]
pub struct ParcelDelivered {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("customer.rewarded")]
pub struct CustomerRewarded {
    pub customer: String,
    pub number: i64,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.place")]
pub struct PlaceOrder {
    pub order_id: String,
    pub customer: String,
    pub sku: String,
    pub quantity: i64,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.amend")]
pub struct AmendOrder {
    pub order_id: String,
    pub note: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.cancel")]
pub struct CancelOrder {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.confirm")]
pub struct ConfirmOrder {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.fail")]
pub struct FailOrder {
    pub order_id: String,
    pub reason: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.nudge")]
pub struct NudgeOrder {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.close")]
pub struct CloseOrder {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("stock.reserve")]
pub struct ReserveStock {
    pub order_id: String,
    pub sku: String,
    pub quantity: i64,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("stock.release")]
pub struct ReleaseStock {
    pub order_id: String,
    pub sku: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.authorize")]
pub struct AuthorizePayment {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.capture")]
pub struct CapturePayment {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.void")]
pub struct VoidPayment {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.record")]
pub struct RecordPayment {
    pub order_id: String,
    pub act: Act,
    pub outcome: Outcome,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("parcel.dispatch")]
pub struct DispatchParcel {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("parcel.record")]
pub struct RecordParcel {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("parcel.delay")]
pub struct DelayParcel {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("parcel.return")]
pub struct ReturnParcel {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("parcel.deliver")]
pub struct DeliverParcel {
    pub order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("customer.reward")]
pub struct RewardCustomer {
    pub customer: String,
    pub number: i64,
}
