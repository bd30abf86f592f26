//! Enums whose variants are not newtypes, are none, or that have a name of their own.

use factum_macros::Event;

#[derive(Event)]
#[event("order.created")]
struct OrderCreated {}

#[derive(Event)]
enum Named {
    Created { order: OrderCreated },
}

#[derive(Event)]
enum Two {
    Created(OrderCreated, OrderCreated),
}

#[derive(Event)]
enum Unit {
    Created,
}

#[derive(Event)]
enum Empty {}

#[derive(Event)]
#[event("order.created")]
enum WithName {
    Created(OrderCreated),
}

#[derive(Event)]
enum Generic<T> {
    Created(T),
}

fn main() {}
