//! Rivals: what others would keep events in, each with the simplest schema that an expert of it would write.
//!
//! All have the events by position, and an index from stream and version to the position: a log is read in order and
//! written at its end. What each promises, and what not, is in `docs/benchmarks.md`.

mod evento;
mod fjall;
pub mod postgres;
mod redb;
pub mod singly;
mod sqlite;
#[cfg(test)]
mod tests;
mod umadb;

use std::collections::HashMap;

use factum_core::stream::StreamId;

use crate::subject::Subject;

/// Memory for a rival's cache, where it is to be said.
const CACHE_BYTES: usize = 256 << 20;

/// All rivals.
pub fn all() -> Vec<Subject> {
    vec![
        Subject { name: "fjall", version: locked("fjall"), open: fjall::open },
        Subject { name: "redb", version: locked("redb"), open: redb::open },
        Subject { name: "SQLite", version: Some(rusqlite::version().to_owned()), open: sqlite::open },
        Subject { name: "UmaDB", version: locked("umadb-core"), open: umadb::open },
        Subject { name: "evento", version: locked("evento"), open: evento::open },
        Subject { name: "PostgreSQL", version: postgres::version(), open: postgres::open },
    ]
}

/// The version of a crate that this program is built with.
fn locked(name: &str) -> Option<String> {
    let lines: Vec<&str> = include_str!("../../../Cargo.lock").lines().collect();
    let wanted = format!("name = \"{name}\"");
    let at = lines.iter().position(|line| *line == wanted)?;
    Some(lines.get(at + 1)?.strip_prefix("version = ")?.trim_matches('"').to_owned())
}

/// The versions that streams have after what stands before in the same batch.
#[derive(Default)]
struct Heads(HashMap<StreamId, u64>);

impl Heads {
    /// Whether the batch itself made this version.
    fn follows(&self, stream: &StreamId, version: u64) -> bool {
        self.0.get(stream) == Some(&version)
    }

    fn set(&mut self, stream: StreamId, version: u64) {
        self.0.insert(stream, version);
    }
}
