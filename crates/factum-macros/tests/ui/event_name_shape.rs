//! Names that are not `domain.name` in lower snake case.

use factum_macros::Event;

#[derive(Event)]
#[event("created")]
struct NoDomain {}

#[derive(Event)]
#[event("OrderCreated")]
struct Pascal {}

#[derive(Event)]
#[event("order.item-added")]
struct Hyphen {}

#[derive(Event)]
#[event("order.item.added")]
struct TwoDots {}

fn main() {}
