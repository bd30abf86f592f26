//! The catalog room: products, and whether an order's products exist.

pub mod decider;
pub mod http;
pub mod reactions;
pub mod views;

use factum::prelude::*;

use crate::contracts::process::Process;

/// The catalog service.
pub fn service(process: Process) -> Service {
    Service::new("catalog")
        .source("catalog-service")
        .decider::<decider::Product>()
        .owns("validation")
        .folding(reactions::validation(process))
        .view(1, views::products)
        .routes(http::routes())
}
