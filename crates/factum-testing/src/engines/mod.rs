//! Real servers for tests: private ones, on ports and in directories of their own, which end with the test.
//!
//! What is not installed cannot be started, and says so: such a test prints why it was left out.

pub mod kafka;
pub mod line;
pub mod postgres;
