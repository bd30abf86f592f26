//! Events that are states, requests or commands.

use factum_macros::Event;

#[derive(Event)]
#[event("order.pending_validation")]
struct PendingValidation {}

#[derive(Event)]
#[event("order.ready_for_shipping")]
struct ReadyForShipping {}

#[derive(Event)]
#[event("order.ship")]
struct Ship {}

#[derive(Event)]
#[event("order.create_requested")]
struct CreateRequested {}

fn main() {}
