//! What only the order's own process sends. Own, all of it.

use super::super::ids::{OrderId, PaymentId, PaymentMethod, ShipmentId};
use super::super::shapes::{InvalidItem, Reservation};
use factum::prelude::*;

/// Own. The products are valid; answered by `order.validated`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.mark_validated", own)]
pub struct MarkValidated {
    /// The order.
    pub order_id: OrderId,
}

/// Own. The products are not valid; answered by `order.rejected`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.reject", own)]
pub struct RejectOrder {
    /// The order.
    pub order_id: OrderId,
    /// A word such as `invalid_products`.
    pub reason: String,
    /// What cannot be sold.
    pub invalid_items: Vec<InvalidItem>,
}

/// Own. Fraud flagged it; answered by `order.held`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.hold", own)]
pub struct HoldOrder {
    /// The order.
    pub order_id: OrderId,
    /// Why.
    pub reason: String,
}

/// Own. The goods are kept; answered by `order.stock_reserved`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.mark_reserved", own)]
pub struct MarkReserved {
    /// The order.
    pub order_id: OrderId,
    /// What is kept for it.
    pub items: Vec<Reservation>,
}

/// Own. The pivot; answered by `order.confirmed`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.confirm", own)]
pub struct ConfirmOrder {
    /// The order.
    pub order_id: OrderId,
}

/// The money is taken; answered by `order.paid`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.mark_paid")]
pub struct MarkPaid {
    /// The order.
    pub order_id: OrderId,
    /// Its payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// By which means, if it is known.
    pub payment_method: Option<PaymentMethod>,
}

/// Own. The parcel may leave; answered by `order.released_for_shipping`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.release_for_shipping", own)]
pub struct ReleaseForShipping {
    /// The order.
    pub order_id: OrderId,
    /// Under which its goods are kept.
    pub reservations: Vec<Reservation>,
}

/// Own. The carrier has it; answered by `order.shipped`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.mark_shipped", own)]
pub struct MarkShipped {
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

/// Own. The customer has it; answered by `order.delivered`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.mark_delivered", own)]
pub struct MarkDelivered {
    /// The order.
    pub order_id: OrderId,
    /// When.
    pub delivered_at: Timestamp,
}
