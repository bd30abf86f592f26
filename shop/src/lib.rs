//! The shop: eleven services that run the whole life of an order on Factum.

#[path = "../contracts/mod.rs"]
pub mod contracts;
pub mod import;
