//! The key of a unit's digests, in a schema of its own: a dump of the unit's schema does not hold it, and whoever may read the
//! unit's tables may not read this one.

use factum_core::{digest_key::DigestKey, error::StoreError};
use uuid::Uuid;

use super::{
    driver::{Driver, quoted},
    error::at_open,
};

/// The schema of a unit's key.
pub(super) fn schema(unit: &str) -> String {
    format!("{unit}_secret")
}

/// The key; if there is none, makes one. Only the process that leads the unit asks, and who makes its tables.
///
/// # Errors
/// [`StoreError`] if it cannot be read or kept.
pub(super) fn digest_key(driver: &Driver) -> Result<DigestKey, StoreError> {
    let client = driver.connect()?;
    let schema = schema(&driver.schema);
    let (name, schema_of_key) = (quoted(&schema), schema.clone());
    let bytes: Vec<u8> = driver.wait(async move {
        // Who may not make it may use the one that is there.
        let there = "SELECT EXISTS (SELECT FROM pg_namespace JOIN pg_class ON relnamespace = pg_namespace.oid \
                     WHERE nspname = $1 AND relname = 'digest_key')";
        let table = format!("{name}.digest_key");
        if !client.query_one(there, &[&schema_of_key]).await.map_err(at_open)?.get::<_, bool>(0) {
            client
                .batch_execute(&format!(
                    "CREATE SCHEMA IF NOT EXISTS {name}; \
                     CREATE TABLE IF NOT EXISTS {table} \
                     (alone boolean PRIMARY KEY DEFAULT true CHECK (alone), key bytea NOT NULL)"
                ))
                .await
                .map_err(at_open)?;
        }
        let get = format!("SELECT key FROM {table}");
        if let Some(row) = client.query_opt(&get, &[]).await.map_err(at_open)? {
            return Ok(row.get(0));
        }
        // Of its 16 bytes 122 bits are random.
        let fresh = Uuid::new_v4().into_bytes().to_vec();
        let put = format!("INSERT INTO {table} (key) VALUES ($1) ON CONFLICT DO NOTHING");
        client.execute(&put, &[&fresh]).await.map_err(at_open)?;
        Ok::<_, StoreError>(client.query_one(&get, &[]).await.map_err(at_open)?.get(0))
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
