//! Versions that are not three numbers.

use factum_macros::Event;

#[derive(Event)]
#[event("order.created", version = "2")]
struct Short {}

#[derive(Event)]
#[event("order.created", version = "v1.0.0")]
struct Prefixed {}

fn main() {}
