//! Commands without a name, in the past tense, or out of shape.

use factum_macros::Command;

#[derive(Command)]
struct NoName {}

#[derive(Command)]
#[command("order.created")]
struct Past {}

#[derive(Command)]
#[command("order.paid")]
struct IrregularPast {}

#[derive(Command)]
#[command("createOrder")]
struct Shape {}

#[derive(Command)]
#[command("order.create", version = "1.0")]
struct Version {}

#[derive(Command)]
#[command("order.create")]
struct Tuple(String);

#[derive(Command)]
enum NotNewtype {
    Create,
}

fn main() {}
