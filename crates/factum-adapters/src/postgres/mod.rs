//! A unit's store in a schema of PostgreSQL: the ports [`Backend`](factum_core::ports::Backend) and
//! [`Reader`](factum_core::ports::Reader) over `tokio-postgres`. Its rows are in [`rows`], its snapshots in [`snapshots`].
//!
//! | promise of the port | how it is kept here |
//! |---|---|
//! | one transaction | the row of the counter is locked first, then everything is looked up, judged and written behind that lock |
//! | durable on return | `synchronous_commit = on`, whatever the role's or the server's setting is |
//! | positions are gapless, in the order of the transactions | they are counted in the locked row: no sequence, which skips and overtakes |
//! | the judge is asked once | a transaction that fails behind it is told, not repeated |
//! | if nothing is let through nothing is locked | the transaction is rolled back |
//! | nothing is visible before it is durable | other sessions see what is committed |
//! | an unknown outcome is told as one | a commit whose answer is lost is looked up behind the lock of the counter's row, by the number that its transaction bore; only if the server stays away it is unknown |
//! | a cell's revision changes with every write | it is the number of the transaction that wrote it |
//! | what `check` allows fits | names are far below the 2,704 bytes that an index takes, bodies below the gigabyte of a `bytea` |
//!
//! ```text
//! unit        log_id, epoch, place, term, leader, renewed, position, commits    one row: the counter, and who leads;
//!             arriving, moved                                                   what is noted of a move
//! message     position, stream, version, type, source, size, head, data     partitioned by position
//! stream      stream, version                               the last version of each
//! type        name                                          types that there are, so that a scan can choose
//! cell        kind, name, revision, value
//! note        name, value                                   what a process was about when it ended; not logged
//! owner       category, service                             what only the unit writes
//! migration   version, applied
//! ```
//!
//! Beside the unit's schema `unit` lies `unit_secret` with the key of its digests, so that a dump of the one is none of the other.
//!
//! `data` is the JSON of a message as bytes (`convert_from(data, 'UTF8')::json`), `head` its envelope in the form of
//! [`factum_core::envelope::binary`].
//!
//! A database that was restored, or has failed over, may hold other messages at positions that somebody has kept: `place` tells
//! that, and a new epoch begins with the next lease. Who may do what is in [`roles`].
//!
//! One process leads a unit at a time; how it is found, and how another takes over, is in `lease.rs`. Who comes back from a lost
//! session under another's term is fenced, and writes nothing. Services with tables of their own write beside it, in their own
//! transactions and in other streams: [`outbox`]; behind the same lock, so that the promises hold for all. The unit hears of them
//! by `others.rs`.
//!
//! A round trip looks up, a second one writes and commits. The client is asynchronous and has a thread of its own here, because
//! the port blocks and may be called from anywhere.

mod address;
mod driver;
mod error;
mod follower;
pub mod inbox;
mod lease;
pub mod moving;
mod notes;
mod others;
pub mod outbox;
mod owners;
mod pool;
mod reader;
pub mod roles;
pub mod rows;
mod sabotage;
mod schema;
mod secret;
pub mod snapshots;
mod store;
mod text;
mod tls;
pub mod upkeep;
mod writing;

use std::time::Duration;

use factum_core::error::StoreError;

pub use address::shown;
pub use follower::{Follower, follow};
pub use lease::Leads;
pub use store::Postgres;
/// What [`outbox`] and [`inbox`] take transactions of.
pub use tokio_postgres;

/// How long an attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Longer than a call to the outside usually may take, shorter than people like to wait. Only who stands still or is cut off is
/// waited for so long: of a process that has ended the server knows.
const LEASE: Duration = Duration::from_secs(15);

/// How a unit's store is used. Where it is, its URL says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shown in `pg_stat_activity`.
    pub application: String,
    /// How long a statement may take before the server ends it.
    pub statement: Duration,
    /// What this process calls itself to others that want to lead the unit, such as the address that it serves.
    pub leader: String,
    /// How long it leads without a sign of life. Calls to the outside must not take longer.
    pub lease: Duration,
    /// How long a commit whose answer was lost is looked up before its outcome is said to be unknown.
    pub dark: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            application: "factum".to_owned(),
            leader: format!("process {}", std::process::id()),
            lease: LEASE,
            statement: Duration::from_secs(60),
            dark: Duration::from_secs(60),
        }
    }
}

/// Opens the store of a unit, or makes one if its schema is missing or empty. The URL is
/// `postgres://user:password@host:port/database?schema=unit`; without a schema it is `factum`. `sslmode`, `sslrootcert`, `sslcert`
/// and `sslkey` in it mean what they mean to `psql`.
///
/// # Errors
/// [`StoreError::Permanent`] for what a person must mend: a wrong URL or password, missing rights, a schema of something else, a
/// server that is too old or only reads, another process that writes. [`StoreError::Transient`] if the server is away. No error
/// holds the password.
pub fn open(url: &str, options: Options) -> Result<Postgres, StoreError> {
    Postgres::open(url, options, &moving::Opening::Usual(shown(url)))
}
