//! The words and rules of Factum. Pure: no clock, no randomness, no I/O, no async.

pub mod payload;
pub mod rejection;
pub mod row;
