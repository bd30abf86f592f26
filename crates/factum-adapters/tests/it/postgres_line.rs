//! The line to a store in PostgreSQL: what may stand in between.

use factum_adapters::postgres::{self, Options};
use factum_core::error::StoreError;

use super::postgres::Schemas;

#[test]
fn a_pooler_that_shares_sessions_is_refused_with_a_sentence() {
    let Some(schemas) = Schemas::start() else { return };
    let pooler = match schemas.server.pooled() {
        Ok(pooler) => pooler,
        Err(why) => return eprintln!("left out: {why}"),
    };
    let told = postgres::open(&pooler.url(), Options::default()).unwrap_err();
    assert!(matches!(told, StoreError::Permanent(_)), "{told}");
    assert!(told.to_string().contains("a pooler in session mode"), "{told}");
    assert_eq!(schemas.server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'factum'").unwrap(), "0");
}
