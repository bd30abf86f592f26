//! The shop: services that run the whole life of an order on Factum. One room per service; rooms know each other only by
//! [`contracts`].

#[path = "../contracts/mod.rs"]
pub mod contracts;

pub mod analytics;
pub mod cart;
pub mod catalog;
pub mod customer;
pub mod data;
pub mod fraud;
pub mod inventory;
pub mod loyalty;
pub mod notification;
pub mod order;
pub mod payment;
pub mod shipping;

#[cfg(unix)]
pub mod chaos;
pub mod check;
pub mod http;
pub mod import;
pub mod money;
pub mod partners;
pub mod plain;
pub mod plural;
pub mod reconciliations;
pub mod report;
pub mod serve;
pub mod services;
