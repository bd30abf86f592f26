//! Snapshots of folded states in the unit's schema: the port [`Snapshots`].
//!
//! | promise of the port | how it is kept here |
//! |---|---|
//! | whole or nothing | one row each, with a checksum over name and content |
//! | a later `put` replaces | the name is the primary key; of two puts at once either may win |
//! | unreadable is nothing | a row whose checksum does not fit, or that the server cannot read |
//! | removed is gone | the row is |
//! | names are told apart | names are far below what an index takes |
//!
//! ```text
//! snapshot     name, log_id, epoch, position, sealed
//! ```
//!
//! `sealed` is [`Snapshot::seal`]'s. A commit does not wait for the disk, since each may be lost. Everything in the table is
//! derived: to start anew, empty it, also under a running program.

use std::fmt;

use factum_core::{
    error::StoreError,
    ports::{SnapshotError, Snapshots},
    snapshot::Snapshot,
    stream::{Lineage, Position},
};
use uuid::Uuid;

use super::{
    Options,
    pool::{Derived, Pool},
    roles::Use,
    text::fitted,
};

/// Snapshots of a unit in its schema.
pub struct SnapshotTable {
    pool: Pool<Derived>,
    schema: String,
}

/// Opens the snapshots of a unit in its schema, which is made if it is missing. The URL is
/// `postgres://user:password@host:port/database`.
///
/// # Errors
/// [`SnapshotError::Store`] if the server is away, or for what a person must mend. No error holds the password.
pub fn open(url: &str, options: Options) -> Result<SnapshotTable, SnapshotError> {
    let pool = Pool::of_schema(url, &options, Use::Snapshots).map_err(failed)?;
    let schema = pool.driver.schema.clone();
    Ok(SnapshotTable { pool, schema })
}

impl Snapshots for SnapshotTable {
    fn get(&self, name: &str) -> Result<Option<Snapshot>, SnapshotError> {
        let key = fitted(name).into_owned();
        let row = self.pool.run(|session| async move {
            let statement = session.statement("SELECT sealed FROM snapshot WHERE name = $1").await?;
            session.client.query_opt(&statement, &[&key]).await
        });
        match row {
            Ok(row) => Ok(row.and_then(|row| Snapshot::unseal(name, row.get(0)))),
            Err(StoreError::Corrupt(_)) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn put(&self, name: &str, snapshot: Snapshot) -> Result<(), SnapshotError> {
        SnapshotError::check(&snapshot)?;
        let (key, sealed) = (fitted(name).into_owned(), snapshot.seal(name));
        let Lineage { log_id, epoch } = snapshot.at.lineage;
        let (log_id, epoch, position) =
            (Uuid::from_bytes(log_id), i64::from(epoch), snapshot.at.position.0.to_string());
        drop(snapshot);
        let put = "INSERT INTO snapshot (name, log_id, epoch, position, sealed) VALUES ($1, $2, $3, $4::text::numeric, $5) \
                   ON CONFLICT (name) DO UPDATE SET log_id = excluded.log_id, epoch = excluded.epoch, \
                   position = excluded.position, sealed = excluded.sealed";
        let put = self.pool.run(|session| async move {
            let statement = session.statement(put).await?;
            session.client.execute(&statement, &[&key, &log_id, &epoch, &position, &sealed]).await
        });
        put.map(|_| ()).map_err(failed)
    }

    fn remove(&self, name: &str) -> Result<(), SnapshotError> {
        let key = fitted(name).into_owned();
        let gone = self.pool.run(|session| async move {
            session.client.execute("DELETE FROM snapshot WHERE name = $1", &[&key]).await
        });
        gone.map(|_| ()).map_err(failed)
    }

    fn retain(&self, lineage: Lineage, head: Position) -> Result<(), SnapshotError> {
        let (log_id, epoch) = (Uuid::from_bytes(lineage.log_id), i64::from(lineage.epoch));
        let gone = "DELETE FROM snapshot \
                    WHERE log_id != $1 OR epoch != $2 OR position > $3::text::numeric";
        let gone = self
            .pool
            .run(|session| async move { session.client.execute(gone, &[&log_id, &epoch, &head.0.to_string()]).await });
        gone.map(|_| ()).map_err(failed)
    }
}

fn failed(error: StoreError) -> SnapshotError {
    SnapshotError::Store(error.to_string())
}

impl fmt::Debug for SnapshotTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotTable").field("schema", &self.schema).finish_non_exhaustive()
    }
}
