//! The cart room: what customers put aside, until they check out or leave it.

pub mod decider;
pub mod http;
pub mod reactions;
pub mod views;

use std::time::Duration;

use factum::prelude::*;

/// The cart service: a cart that nobody changes for so long is abandoned.
pub fn service(abandoned_after: Duration) -> Service {
    Service::new("cart")
        .source("cart-service")
        .decider::<decider::Cart>()
        .reaction(reactions::abandoning(abandoned_after))
        .view(1, views::carts)
        .view(1, views::cart_prices)
        .routes(http::routes())
}
