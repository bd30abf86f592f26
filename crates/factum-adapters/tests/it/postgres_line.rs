//! The line to a store in PostgreSQL: what may stand in between.

use std::time::Duration;

use factum_adapters::postgres::{self, Options};
use factum_core::{commit::Plan, error::StoreError, ports::Backend};
use factum_testing::conformance::store::write;

use super::postgres::Schemas;

#[test]
fn a_pooler_that_shares_sessions_is_refused_with_a_sentence() {
    let Some(schemas) = Schemas::start() else { return };
    let pooler = match schemas.server.pooled("transaction") {
        Ok(pooler) => pooler,
        Err(why) => return eprintln!("left out: {why}"),
    };
    let told = postgres::open(&pooler.url(), Options::default()).unwrap_err();
    assert!(matches!(told, StoreError::Permanent(_)), "{told}");
    assert!(told.to_string().contains("a pooler in session mode"), "{told}");
    assert_eq!(schemas.server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'factum'").unwrap(), "0");
}

#[test]
fn a_pooler_that_leaves_each_its_session_is_none_the_worse() {
    let Some(schemas) = Schemas::start() else { return };
    let pooler = match schemas.server.pooled("session") {
        Ok(pooler) => pooler,
        Err(why) => return eprintln!("left out: {why}"),
    };
    let mut store = postgres::open(&pooler.url(), Options::default()).unwrap();
    write(&mut store, &[Plan::default()]).unwrap();
    store.others().unwrap().wait(Duration::ZERO).unwrap();
    assert!(store.lease().unwrap().lasts(Duration::from_secs(1)));
    drop(store);
    // What the session held goes with it, though the pooler keeps the server's.
    postgres::open(&pooler.url(), Options::default()).unwrap();
}
