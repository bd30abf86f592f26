//! What the shipping service does when something happens: it asks the carrier, and waits for its news.

use std::{collections::BTreeSet, time::Duration};

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use super::gateway::{self, CarrierRequest, RecallRequest};
use crate::contracts::{
    ids::OrderId,
    order::{OrderCancelled, OrderReleasedForShipping},
    shipping::{
        CancelShipment, CreateShipment, DispatchShipment, RecordShipment, ShipmentState, ShippingCancelled,
        ShippingCreated, ShippingDelivered, ShippingDispatched, ShippingFailed, ShippingOpened, ShippingRecallOpened,
    },
};

/// When the simulated carrier's news is there.
const DELIVERED: TimerTo<RecordShipment> = TimerTo::new("delivered");

/// Asks the carrier for a label.
pub fn asking() -> Reaction {
    Reaction::new("ask-carrier", ask_carrier).calls(gateway::CARRIER)
}

fn ask_carrier(event: &Recorded<ShippingOpened>, fx: &mut Effects) {
    let request = CarrierRequest {
        shipment_id: event.shipment_id.clone(),
        pieces: event.items.iter().map(|item| item.quantity).sum(),
        address: event.shipping_address.clone(),
    };
    fx.call(gateway::CARRIER, request);
}

/// Asks the carrier to drop a parcel.
pub fn recalling() -> Reaction {
    Reaction::new("recall-parcel", recall_parcel).calls(gateway::RECALL)
}

fn recall_parcel(event: &Recorded<ShippingRecallOpened>, fx: &mut Effects) {
    fx.call(gateway::RECALL, RecallRequest { shipment_id: event.shipment_id.clone() });
}

/// The simulated carrier's news is a timer: the parcel is there after so many of its days as it takes.
pub fn awaiting(day: Duration) -> Reaction {
    let await_news = move |event: &Recorded<ShippingDispatched>, fx: &mut Effects| {
        let takes = gateway::days(&event.shipment_id) * day;
        let Ok(at) = event.dispatched_at.checked_add(takes) else { return };
        fx.after(DELIVERED, takes, gateway::record(&event.shipment_id, at, ShipmentState::Delivered));
    };
    Reaction::new("await-news", await_news).sets(DELIVERED)
}

/// Orders whose parcels are under way, where no saga asks for them.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Released {
    orders: BTreeSet<OrderId>,
}

/// What an order says, and what becomes of its parcel.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum Sent {
    Released(OrderReleasedForShipping),
    OrderCancelled(OrderCancelled),
    Created(ShippingCreated),
    Delivered(ShippingDelivered),
    Cancelled(ShippingCancelled),
    Failed(ShippingFailed),
}

/// Sends what is released, and drops what is cancelled.
pub fn sending() -> Folding<Released> {
    Folding::new("send-orders", 1).by("orderId").fold(note_release).react(send).snapshots()
}

fn note_release(released: &mut Released, event: &Recorded<Sent>) {
    match &event.data {
        Sent::Released(e) => _ = released.orders.insert(e.order_id.clone()),
        Sent::Delivered(ShippingDelivered { order_id, .. })
        | Sent::Cancelled(ShippingCancelled { order_id, .. })
        | Sent::Failed(ShippingFailed { order_id, .. }) => _ = released.orders.remove(order_id),
        Sent::OrderCancelled(_) | Sent::Created(_) => {}
    }
}

fn send(released: &Released, event: &Recorded<Sent>, fx: &mut Effects) {
    match &event.data {
        Sent::Released(e) => fx.send(CreateShipment {
            order_id: e.order_id.clone(),
            items: e.items.clone(),
            shipping_address: e.shipping_address.clone(),
            warehouse_id: None,
        }),
        Sent::Created(e) if released.orders.contains(&e.order_id) => {
            fx.send(DispatchShipment { order_id: e.order_id.clone() });
        }
        Sent::OrderCancelled(e) if released.orders.contains(&e.order_id) => {
            fx.send(CancelShipment { order_id: e.order_id.clone(), reason: e.reason.clone() });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
