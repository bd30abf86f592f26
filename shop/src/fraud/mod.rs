//! The fraud room: whether an order looks like fraud, from how much and how often its customer orders.

pub mod http;
pub mod reactions;
pub mod views;

use factum::prelude::*;

use crate::contracts::process::Process;

/// The fraud service.
pub fn service(policy: reactions::Policy, process: Process) -> Service {
    Service::new("fraud")
        .source("fraud-service")
        .owns("check")
        .folding(reactions::velocity(policy, process))
        .view(1, views::checks)
        .routes(http::routes())
}
