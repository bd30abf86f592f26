//! What each service publishes and accepts: the only thing that the rooms know of each other.
//!
//! One file per service, events first, then commands. An event or command has one owner, the file it stands in; "own"
//! in its description means that no other service reads or sends it. Every type is at version 1.0.0.
//! What other systems call all this stands in [`spellings`].

pub mod analytics;
pub mod cart;
pub mod catalog;
pub mod customer;
pub mod fraud;
pub mod ids;
pub mod inventory;
pub mod loyalty;
pub mod notification;
pub mod order;
pub mod payment;
pub mod process;
pub mod shapes;
pub mod shipping;
pub mod spellings;

#[cfg(test)]
mod tests;
