//! The payment room: money that is held, taken and given back.

pub mod decider;
pub mod gateway;
pub mod http;
pub mod reactions;
pub mod views;

use factum::prelude::*;

/// The payment service, over a provider.
pub fn service(provider: gateway::Provider) -> Service {
    Service::new("payment")
        .source("payment-service")
        .decider::<decider::Payment>()
        .reaction(reactions::asking())
        .react("give-back", reactions::give_back)
        .call(gateway::call(provider))
        .view(3, views::payments)
        .routes(http::routes())
}
