//! Attributes that do not say what they should.

use factum_macros::Event;

#[derive(Event)]
#[event]
struct Bare {}

#[derive(Event)]
#[event = "order.created"]
struct Assigned {}

#[derive(Event)]
#[event()]
struct Empty {}

#[derive(Event)]
#[event(order.created)]
struct Unquoted {}

#[derive(Event)]
#[event("order.created", since = "1.0.0")]
struct OtherOption {}

#[derive(Event)]
#[event("order.created")]
#[event("order.placed")]
struct Twice {}

fn main() {}
