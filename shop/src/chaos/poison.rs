//! A service with a handler that some orders are poison to: it panics on their first event, until the program is mended. Their
//! later ones wait for it.

use factum::{chaos::drawn, prelude::*};

use crate::contracts::{
    ids::OrderId,
    order::{OrderCancelled, OrderDelivered, OrderHead, OrderPaid, OrderReturned, OrderShipped, OrderValidated},
};

/// The consumer whose letters they are.
pub const CONSUMER: &str = "chaos.look";
/// What it says of each event of an order that it has looked at.
pub const LOOKED: &str = "chaos.looked";
/// The category of its streams.
const LOOKS: &str = "chaos_looks";

/// An event of an order was looked at.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("chaos.looked", own)]
pub struct Looked {
    /// Of which.
    pub order_id: OrderId,
    /// Where in the log it is.
    pub position: u64,
}

/// What of an order is looked at: most of what everybody may hear of it.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum OfOrder {
    Created(OrderHead),
    Validated(OrderValidated),
    Paid(OrderPaid),
    Shipped(OrderShipped),
    Delivered(OrderDelivered),
    Cancelled(OrderCancelled),
    Returned(OrderReturned),
}

impl OfOrder {
    /// Which order it is of.
    pub fn order(&self) -> &OrderId {
        match self {
            Self::Created(e) => &e.order_id,
            Self::Validated(e) => &e.order_id,
            Self::Paid(e) => &e.order_id,
            Self::Shipped(e) => &e.order_id,
            Self::Delivered(e) => &e.order_id,
            Self::Cancelled(e) => &e.order_id,
            Self::Returned(e) => &e.order_id,
        }
    }
}

/// Whether an order is poison.
pub fn is_poison(seed: u64, share: f64, order: &str) -> bool {
    drawn(seed, &["poison", order]).f64() < share
}

/// Looks at each such event of an order once, in order. As long as it is not mended it panics on this share of orders.
pub fn service(seed: u64, share: f64, mended: bool) -> Service {
    let look = move |event: &Recorded<OfOrder>, fx: &mut Effects| {
        let order_id = event.data.order().clone();
        let is_first = matches!(event.data, OfOrder::Created(_));
        let is_poison = is_first && !mended && is_poison(seed, share, order_id.as_str());
        assert!(!is_poison, "the order {order_id} is poison, as it was asked for");
        fx.emit(LOOKS, &order_id, Looked { order_id: order_id.clone(), position: event.position().0 });
    };
    Service::new("chaos").owns(LOOKS).reaction(Reaction::new("look", look).by("orderId").emits::<Looked>(LOOKS))
}
