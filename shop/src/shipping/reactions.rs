//! What the shipping service does when something happens: it asks the carrier, and waits for its news.

use factum::prelude::*;

use super::gateway::{self, Carrier, CarrierRequest};
use crate::contracts::shipping::{RecordShipment, ShipmentState, ShippingDispatched, ShippingOpened};

/// Asks the carrier for a label.
pub fn ask_carrier(event: &Recorded<ShippingOpened>, fx: &mut Effects) {
    let request = CarrierRequest {
        shipment_id: event.shipment_id.clone(),
        pieces: event.items.iter().map(|item| item.quantity).sum(),
        address: event.shipping_address.clone(),
    };
    fx.call(gateway::CARRIER, request);
}

/// The simulated carrier's news is a timer: the parcel is there after the days that it takes.
pub fn await_news(carrier: Carrier) -> impl Fn(&Recorded<ShippingDispatched>, &mut Effects) + Send + Sync {
    move |event, fx| {
        let Carrier::Simulated { day, .. } = carrier;
        let takes = gateway::days(&event.shipment_id) * day;
        let Ok(at) = event.dispatched_at.checked_add(takes) else { return };
        let news = RecordShipment {
            shipment_id: event.shipment_id.clone(),
            state: ShipmentState::Delivered,
            at,
            carrier: None,
            tracking_number: None,
            estimated_delivery: None,
            label_ref: None,
            reason: None,
        };
        fx.after("delivered", takes, news);
    }
}

#[cfg(test)]
mod tests;
