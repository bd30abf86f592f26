//! A service with a handler that some orders are poison to: it panics on them, until the program is mended.

use factum::{chaos::drawn, prelude::*};

use crate::contracts::{ids::OrderId, order::OrderHead};

/// The consumer whose letters they are.
pub const CONSUMER: &str = "chaos.look";
/// What it says of each order that it has looked at.
pub const LOOKED: &str = "chaos.looked";
/// The category of its streams.
const LOOKS: &str = "chaos_looks";

/// An order was looked at.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("chaos.looked", own)]
pub struct Looked {
    /// Which.
    pub order_id: OrderId,
}

/// Whether an order is poison.
pub fn is_poison(seed: u64, share: f64, order: &str) -> bool {
    drawn(seed, &["poison", order]).f64() < share
}

/// Looks at each order once. As long as it is not mended it panics on this share of them.
pub fn service(seed: u64, share: f64, mended: bool) -> Service {
    let look = move |event: &Recorded<OrderHead>, fx: &mut Effects| {
        let order_id = event.order_id.clone();
        let is_poison = !mended && is_poison(seed, share, order_id.as_str());
        assert!(!is_poison, "the order {order_id} is poison, as it was asked for");
        fx.emit(LOOKS, &order_id, Looked { order_id: order_id.clone() });
    };
    Service::new("chaos").owns(LOOKS).reaction(Reaction::new("look", look).by("orderId").emits::<Looked>(LOOKS))
}
