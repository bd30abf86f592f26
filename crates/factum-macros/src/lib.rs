//! The four derives: `Event`, `Command`, `Rejection`, `Row`.
//!
//! What users see of them is re-exported by the `factum` crate. Generated code reaches serde and schemars through the
//! hidden module `__private` of `factum` (or of `factum-core`, for crates below the facade), so that nobody has to
//! depend on them. A crate that uses the derives on itself from examples or documentation tests under the name
//! `factum` says `extern crate self as factum;` in its root.

mod attributes;
mod home;
mod mirror;
mod names;
mod payload;
mod personal;
mod rejection;
mod row;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// A fact in the past tense, with serde (camel case) and a JSON Schema.
///
/// On a struct with named fields: `#[event("order.created")]`, or `#[event("order.created", version = "1.2.0")]`; the
/// version is `1.0.0` if nothing is said. The struct gets `Payload`, `Event`, `Serialize`, `Deserialize` and
/// `JsonSchema`; `Clone` and `Debug` stay yours to derive. `#[serde(…)]` and `#[schemars(…)]` on fields work as usual.
/// An `Option` field is absent when it is `None`, unless the field has a `#[serde(…)]` of its own.
///
/// `#[event("order.placed", was = "order.created")]` reads what was stored under the old name as this type; several `was`
/// may stand there. `#[event("OrderCreated", adopted)]` takes a name that others gave, which need not be `domain.name` and
/// in the past tense: 1 to 128 printable ASCII characters, no space and no `/`.
///
/// `#[event("cart.item_added", own)]` is read by its own service only; all others are public, a contract for other services. A
/// program in which another service reads an own event does not start.
///
/// `#[personal(subject = customer_id)]` on a field says that it tells of a person, and which field beside it says of whom.
///
/// On an enum whose variants each hold one such struct, without an attribute: reads and writes whichever type the
/// message is of, and `From` each struct.
#[proc_macro_derive(Event, attributes(event, personal, serde, schemars))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    finish(payload::expand(payload::Kind::Event, &parse_macro_input!(input as DeriveInput)))
}

/// A request to one service: `#[command("order.create")]`. Everything else is as with [`macro@Event`]; `own` says that only
/// this program sends it, so that it is not taken from other systems.
#[proc_macro_derive(Command, attributes(command, personal, serde, schemars))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    finish(payload::expand(payload::Kind::Command, &parse_macro_input!(input as DeriveInput)))
}

/// Why a command is not accepted, on an enum. Each variant says its code and its sentence, and a third word (`invalid`
/// or `missing`) if it is not a conflict of states:
/// `#[rejection("too_late", "the order is {status}: ask for a return instead")]`.
/// Fields of the variant stand in braces, `{0}` for those without a name.
#[proc_macro_derive(Rejection, attributes(rejection))]
pub fn derive_rejection(input: TokenStream) -> TokenStream {
    finish(rejection::expand(&parse_macro_input!(input as DeriveInput)))
}

/// A row of a read model, on a struct with named fields: `#[row("orders")]` names the table, `#[key]` marks the field
/// that identifies a row, `#[index]` those that queries filter or sort by. Brings serde in camel case, as
/// [`macro@Event`] does.
#[proc_macro_derive(Row, attributes(row, key, index, serde))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    finish(row::expand(&parse_macro_input!(input as DeriveInput)))
}

fn finish(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(|error| error.to_compile_error()).into()
}
