//! The shop from outside.

mod http;
mod orders;
mod shop;
mod stop;
