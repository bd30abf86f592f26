//! Every adapter runs the whole list of its port; what is its own stands beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test subjects and helpers are tests too")]

mod at_once;
mod digest_key;
mod embedded;
mod faults;
mod files;
mod gaps;
mod inbox;
mod kafka;
mod moving;
mod outbox;
mod postgres;
mod postgres_limits;
mod postgres_line;
mod postgres_roles;
mod postgres_rows;
mod postgres_snapshots;
mod postgres_sql;
mod postgres_tls;
mod sqlite;
