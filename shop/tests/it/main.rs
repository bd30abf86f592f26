//! The shop from outside.

mod http;
mod imports;
mod orders;
mod shop;
mod stop;
