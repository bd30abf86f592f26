//! The log from outside: what it keeps, what it refuses, and what it does when the disk or the bytes fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod append;
mod backup;
mod beside;
mod checkpoint;
mod damage;
mod disk;
mod fixture;
mod model;
mod newest;
mod support;
mod torn;
