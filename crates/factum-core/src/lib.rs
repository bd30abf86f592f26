//! The words and rules of Factum. Pure: no clock, no randomness, no I/O, no async.

pub mod money;
pub mod payload;
pub mod rejection;
pub mod row;

/// What the derives' generated code reaches; no part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate as core;
    pub use {schemars, serde, serde_json};
}
