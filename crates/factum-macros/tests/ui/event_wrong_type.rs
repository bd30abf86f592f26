//! Types that cannot be one JSON object under one name.

use factum_macros::Event;

#[derive(Event)]
#[event("order.created")]
struct Tuple(String);

#[derive(Event)]
#[event("order.created")]
struct Generic<T> {
    value: T,
}

#[derive(Event)]
#[event("order.created")]
struct Borrowed<'a> {
    value: &'a str,
}

#[derive(Event)]
#[event("order.created")]
union Union {
    value: u8,
}

fn main() {}
