//! What the shipping service does when something happens: it asks the carrier, and waits for its news.

use std::time::Duration;

use factum::prelude::*;

use super::gateway::{self, CarrierRequest, RecallRequest};
use crate::contracts::shipping::{
    RecordShipment, ShipmentState, ShippingDispatched, ShippingOpened, ShippingRecallOpened,
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

#[cfg(test)]
mod tests;
