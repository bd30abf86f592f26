//! The key of a unit's digests, in a schema of its own: a dump of the unit's schema does not hold it, and whoever may read the
//! unit's tables may not read this one.

use factum_core::{digest_key::DigestKey, error::StoreError};
use uuid::Uuid;

use super::{
    driver::{Driver, quoted},
    error::at_open,
};

/// The key; if there is none, makes one. Only the process that leads the unit asks.
///
/// # Errors
/// [`StoreError`] if it cannot be read or kept.
pub(super) fn digest_key(driver: &Driver) -> Result<DigestKey, StoreError> {
    let client = driver.connect()?;
    let schema = format!("{}_secret", driver.schema);
    let name = quoted(&schema);
    let bytes: Vec<u8> = driver.wait(async move {
        // Who may not make a schema may use the one that is there.
        let there = "SELECT to_regclass($1) IS NOT NULL";
        let table = format!("{name}.digest_key");
        if !client.query_one(there, &[&table]).await.map_err(at_open)?.get::<_, bool>(0) {
            client
                .batch_execute(&format!(
                    "CREATE SCHEMA IF NOT EXISTS {name}; \
                     CREATE TABLE IF NOT EXISTS {table} \
                     (alone boolean PRIMARY KEY DEFAULT true CHECK (alone), key bytea NOT NULL)"
                ))
                .await
                .map_err(at_open)?;
        }
        // Of its 16 bytes 122 bits are random.
        let fresh = Uuid::new_v4().into_bytes().to_vec();
        let put = format!("INSERT INTO {table} (key) VALUES ($1) ON CONFLICT DO NOTHING");
        client.execute(&put, &[&fresh]).await.map_err(at_open)?;
        let row = client.query_one(&format!("SELECT key FROM {table}"), &[]).await.map_err(at_open)?;
        Ok::<_, StoreError>(row.get(0))
    })??;
    let bytes = <[u8; DigestKey::BYTES]>::try_from(bytes.as_slice()).map_err(|_| {
        StoreError::Permanent(format!(
            "the key of digests in schema {schema} has {} bytes and not {}: put it back from where it was copied to, or \
             remove its row, which makes another; then commands that are sent again from before are told by their senders' \
             keys alone",
            bytes.len(),
            DigestKey::BYTES
        ))
    })?;
    Ok(DigestKey::new(bytes))
}
