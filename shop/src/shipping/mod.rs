//! The shipping room: parcels and their carriers.

pub mod decider;
pub mod gateway;
pub mod http;
pub mod reactions;
pub mod views;

use factum::prelude::*;

/// The shipping service, over a carrier.
pub fn service(carrier: gateway::Carrier) -> Service {
    Service::new("shipping")
        .source("shipping-service")
        .decider::<decider::Shipment>()
        .react("ask-carrier", reactions::ask_carrier)
        .react("await-news", reactions::await_news(carrier))
        .call(gateway::call(carrier))
        .view(1, views::shipments)
}
