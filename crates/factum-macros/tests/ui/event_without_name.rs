//! An event without its attribute.

use factum_macros::Event;

#[derive(Event)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
