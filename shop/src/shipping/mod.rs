//! The shipping room: parcels and their carriers.

pub mod decider;
pub mod gateway;
pub mod http;
pub mod reactions;
pub mod signature;
pub mod views;

use factum::prelude::*;

use crate::contracts::{
    process::Process,
    shipping::{
        CancelShipment, CreateShipment, DispatchShipment, ShippingCancelled, ShippingCreated, ShippingDispatched,
        ShippingFailed,
    },
};

/// The shipping service, over a carrier. Only the simulated one's news come by timer, and only another's over HTTP, if it
/// signs them.
pub fn service(carrier: gateway::Carrier, signs: Option<signature::Secret>, process: Process) -> Service {
    let service = Service::new("shipping")
        .source("shipping-service")
        .decider::<decider::Shipment>()
        .answers(
            Replies::to::<CreateShipment>()
                .done::<ShippingCreated>()
                .refused::<ShippingFailed>(|e| e.reason.clone())
                .undone_by::<CancelShipment>(),
        )
        .answers(Replies::to::<CancelShipment>().done::<ShippingCancelled>().nothing_to_undo())
        .answers(Replies::to::<DispatchShipment>().done::<ShippingDispatched>())
        .reaction(reactions::asking())
        .reaction(reactions::recalling());
    let service = match process {
        Process::Orchestrated => service,
        Process::Choreographed => service.folding(reactions::sending()),
    };
    let service = match &carrier {
        gateway::Carrier::Simulated { day, .. } => service.reaction(reactions::awaiting(*day)),
        gateway::Carrier::Http { .. } => service,
    };
    service
        .call(gateway::call(carrier.clone()))
        .call(gateway::recall(carrier))
        .view(3, views::shipments)
        .needs_person::<views::ShipmentRow>(
            "recallReason",
            "the carrier goes on with it: `GET /shipments?recall=failed`",
        )
        .routes(http::routes(signs))
}
