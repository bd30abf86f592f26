//! The customer room: who the customers are and how to reach them.

pub mod decider;
pub mod http;
pub mod views;

use factum::prelude::*;

/// The customer service.
pub fn service() -> Service {
    Service::new("customer")
        .source("customer-service")
        .decider::<decider::Customer>()
        .view(1, views::customers)
        .routes(http::routes())
}
