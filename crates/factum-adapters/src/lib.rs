//! What lies behind the ports: one folder and one feature per technology, all of one shape.
//!
//! | folder | ports | for |
//! |---|---|---|
//! | `embedded` | `Backend`, `Reader` | a unit's store as a log in a directory, without a server; the key of its digests beside it |
//! | `files` | `Snapshots` | folded states, one file each |
//! | `kafka` | `Transport` | messages between units |
//! | `postgres` | `Backend`, `Others`, `Reader`; in `rows` `RowStore`, `RowReader`; in `snapshots` `Snapshots` | a unit's store, its rows and its snapshots in a schema of PostgreSQL; outbox and inbox for services beside it |
//! | `sqlite` | `RowStore`, `RowReader` | rows of read models in one file |
//!
//! Each folder's first page maps every promise of its port to its technology. Each runs the whole conformance suite of
//! its ports in `tests/it`.

#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
