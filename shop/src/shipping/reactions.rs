//! What the shipping service does when something happens: it asks the carrier, and waits for its news.

use std::time::Duration;

use factum::prelude::*;

use super::gateway::{self, CarrierRequest};
use crate::contracts::shipping::{ShipmentState, ShippingDispatched, ShippingOpened};

/// Asks the carrier for a label.
pub fn ask_carrier(event: &Recorded<ShippingOpened>, fx: &mut Effects) {
    let request = CarrierRequest {
        shipment_id: event.shipment_id.clone(),
        pieces: event.items.iter().map(|item| item.quantity).sum(),
        address: event.shipping_address.clone(),
    };
    fx.call(gateway::CARRIER, request);
}

/// The simulated carrier's news is a timer: the parcel is there after so many of its days as it takes.
pub fn await_news(day: Duration) -> impl Fn(&Recorded<ShippingDispatched>, &mut Effects) + Send + Sync {
    move |event, fx| {
        let takes = gateway::days(&event.shipment_id) * day;
        let Ok(at) = event.dispatched_at.checked_add(takes) else { return };
        fx.after("delivered", takes, gateway::record(&event.shipment_id, at, ShipmentState::Delivered));
    }
}

#[cfg(test)]
mod tests;
