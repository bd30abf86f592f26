//! Names that a type had before, and names that others gave.

use factum_macros::{Command, Event};

#[derive(Event)]
#[event("order.placed", was = "order.placed")]
struct Same {}

#[derive(Event)]
#[event("order.placed", was = "order.made", was = "order.made")]
struct Twice {}

#[derive(Event)]
#[event("order.placed", was = "order made")]
struct Spaced {}

#[derive(Event)]
#[event("order/created", adopted)]
struct Slashed {}

#[derive(Event)]
#[event("OrderCreated")]
struct NotAdopted {}

#[derive(Command)]
#[command("order.place", adopted = true)]
struct Assigned {}

fn main() {}
