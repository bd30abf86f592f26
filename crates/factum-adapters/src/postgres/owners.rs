//! Which categories the services of the unit own, for those that write beside it.

use factum_core::{commit::Owners, error::StoreError, id::Name};
use tokio_postgres::{Client, GenericClient};

use super::error::{at_open, nothing_written};

/// Notes them in the place of those from before, as the process that leads in this term. Answers whose term it is; another
/// one's notes are left.
pub(super) async fn put(client: &Client, term: i64, owners: &Owners) -> Result<i64, StoreError> {
    let (categories, services): (Vec<&str>, Vec<&str>) =
        owners.iter().map(|(category, service)| (category, service.as_str())).unzip();
    client.batch_execute("BEGIN").await.map_err(at_open)?;
    // Whoever writes beside the unit reads them behind the same lock.
    let now: i64 = client.query_one("SELECT term FROM unit FOR UPDATE", &[]).await.map_err(at_open)?.get(0);
    if now == term {
        client.execute("DELETE FROM owner", &[]).await.map_err(nothing_written)?;
        let put = "INSERT INTO owner (category, service) SELECT * FROM unnest($1::text[], $2::text[])";
        client.execute(put, &[&categories, &services]).await.map_err(nothing_written)?;
    }
    client.batch_execute("COMMIT").await.map_err(nothing_written)?;
    Ok(now)
}

/// Those that are noted, for one who writes beside the unit: it is none of them, whatever it calls itself.
pub(super) async fn get(client: &(impl GenericClient + Sync)) -> Result<Owners, StoreError> {
    let mut owners = Owners::default();
    for row in client.query_typed("SELECT category, service FROM owner", &[]).await.map_err(nothing_written)? {
        // No service can have such a name.
        let owner = format!("the unit's {}", row.get::<_, &str>(1));
        // Each category stands there once.
        let _ = owners.claim(row.get(0), &Name::Shared(owner.into()));
    }
    Ok(owners)
}
