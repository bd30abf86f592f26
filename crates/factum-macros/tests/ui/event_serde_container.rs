//! Serde options that would change the wire shape of a whole struct.

use factum_macros::Event;

#[derive(Event)]
#[event("order.created")]
#[serde(rename_all = "snake_case")]
struct Renamed {}

#[derive(Event)]
#[event("order.created")]
#[serde(deny_unknown_fields)]
struct Strict {}

#[derive(Event)]
#[event("order.created")]
#[serde(default)]
struct Defaults {}

fn main() {}
