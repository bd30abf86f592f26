//! The loyalty room: what customers earn with what they pay for goods and keep.

pub mod decider;
pub mod http;
pub mod reactions;
pub mod views;

use factum::prelude::*;

/// The loyalty service.
pub fn service(policy: reactions::Policy) -> Service {
    Service::new("loyalty")
        .source("loyalty-service")
        .decider::<decider::Account>()
        .folding(reactions::points(policy))
        .view(1, views::accounts)
        .view(1, views::entries)
        .routes(http::routes())
}
