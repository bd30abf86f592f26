//! The classical inbox: a service with tables of its own does the work of a message once, whatever comes again.
//!
//! What was taken stands in the table `factum_inbox` beside the service's own tables, written in the transaction of the work, so
//! that both stand or neither. No lock is held by hand and nothing is looked up before: the key of the table is the lock.

use factum_core::{
    Timestamp,
    error::StoreError,
    id::{MessageId, check_name},
};
use tokio_postgres::{GenericClient, Transaction};

use super::error::nothing_written;

/// Rows that [`forget`] takes out at most.
pub const FORGOTTEN_AT_ONCE: u32 = 10_000;

/// Makes the table where the session's search path leads, if it is not there: once, before the service takes anything.
///
/// # Errors
/// [`StoreError`] if it cannot be made.
pub async fn prepare(client: &(impl GenericClient + Sync)) -> Result<(), StoreError> {
    let table = "CREATE TABLE IF NOT EXISTS factum_inbox (
            consumer text COLLATE \"C\" NOT NULL,
            source text COLLATE \"C\" NOT NULL,
            id text COLLATE \"C\" NOT NULL,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (consumer, source, id)
        );
        CREATE INDEX IF NOT EXISTS factum_inbox_at ON factum_inbox (at)";
    client.batch_execute(table).await.map_err(nothing_written)
}

/// Notes in the transaction that a consumer takes a message, told by its source and id. `true`: it is the first, and does the work
/// in this transaction. `false`: the work was done, by a transaction that stands.
///
/// Whoever comes while the first is still at work waits for its end: if it stands the answer is `false`, and if it is rolled back
/// `true`, for then nothing was done.
///
/// # Errors
/// [`StoreError::Unfit`] for names and ids that break the rules, [`StoreError::Conflict`] if the transaction is to be tried again.
pub async fn once(transaction: &Transaction<'_>, consumer: &str, source: &str, id: &str) -> Result<bool, StoreError> {
    let unfit = |error: factum_core::error::NameError| StoreError::Unfit(error.to_string());
    check_name("consumer", consumer).map_err(unfit)?;
    check_name("source", source).map_err(unfit)?;
    let id = MessageId::parse(id).map_err(unfit)?.to_string();
    let take = "INSERT INTO factum_inbox (consumer, source, id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let taken = transaction.execute(take, &[&consumer, &source, &id]).await.map_err(nothing_written)?;
    Ok(taken == 1)
}

/// Forgets what was taken before a moment, up to [`FORGOTTEN_AT_ONCE`] of it; answers how much. What comes again later than that is
/// taken as new, so keep longer than anybody sends again.
///
/// # Errors
/// [`StoreError`] if the database says so.
pub async fn forget(transaction: &Transaction<'_>, before: Timestamp) -> Result<u64, StoreError> {
    let forget = "DELETE FROM factum_inbox WHERE ctid = ANY(ARRAY(SELECT ctid FROM factum_inbox \
         WHERE at < 'epoch'::timestamptz + $1 * interval '1 microsecond' ORDER BY at LIMIT $2))";
    let limit = i64::from(FORGOTTEN_AT_ONCE);
    transaction.execute(forget, &[&(before.as_microsecond() as f64), &limit]).await.map_err(nothing_written)
}
