//! The classical inbox: one message is done once, whoever brings it how often.

use factum_adapters::postgres::inbox;
use factum_core::{Timestamp, error::StoreError};

use super::{outbox::session, postgres::Schemas};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_taken_once_by_each_consumer() {
    let Some(schemas) = Schemas::start() else { return };
    let mut client = session(&schemas.server.url()).await;
    for _ in 0..2 {
        inbox::prepare(&client).await.unwrap();
    }
    let tx = client.transaction().await.unwrap();
    assert!(inbox::once(&tx, "bills", "shop", "m-1").await.unwrap());
    assert!(!inbox::once(&tx, "bills", "shop", "m-1").await.unwrap());
    assert!(inbox::once(&tx, "mails", "shop", "m-1").await.unwrap());
    assert!(inbox::once(&tx, "bills", "web", "m-1").await.unwrap());
    tx.commit().await.unwrap();
    let tx = client.transaction().await.unwrap();
    assert!(!inbox::once(&tx, "bills", "shop", "m-1").await.unwrap());
    assert!(inbox::once(&tx, "bills", "shop", "m-2").await.unwrap());
    tx.rollback().await.unwrap();
    let tx = client.transaction().await.unwrap();
    assert!(inbox::once(&tx, "bills", "shop", "m-2").await.unwrap(), "what was rolled back was not done");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_the_first_is_at_work_waits_for_its_end() {
    let Some(schemas) = Schemas::start() else { return };
    let mut first = session(&schemas.server.url()).await;
    inbox::prepare(&first).await.unwrap();
    for (id, stands) in [("m-1", true), ("m-2", false)] {
        let tx = first.transaction().await.unwrap();
        assert!(inbox::once(&tx, "bills", "shop", id).await.unwrap());
        let mut second = session(&schemas.server.url()).await;
        let waiting = tokio::spawn(async move {
            let tx = second.transaction().await.unwrap();
            let is_first = inbox::once(&tx, "bills", "shop", id).await.unwrap();
            tx.commit().await.unwrap();
            is_first
        });
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        while schemas.server.sql(waits).unwrap() != "1" {
            assert!(!waiting.is_finished(), "it did not wait");
        }
        if stands { tx.commit().await } else { tx.rollback().await }.unwrap();
        assert_eq!(waiting.await.unwrap(), !stands);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_forgotten_up_to_a_bound() {
    let Some(schemas) = Schemas::start() else { return };
    let mut client = session(&schemas.server.url()).await;
    inbox::prepare(&client).await.unwrap();
    let old = "INSERT INTO factum_inbox SELECT 'bills', 'shop', n::text, '2026-01-01T00:00:00Z'::timestamptz \
               FROM generate_series(1, 10001) n";
    client.batch_execute(old).await.unwrap();
    let before: Timestamp = "2026-01-01T00:00:01Z".parse().unwrap();
    let tx = client.transaction().await.unwrap();
    assert!(inbox::once(&tx, "bills", "shop", "new").await.unwrap());
    let mut forgotten = Vec::new();
    for _ in 0..3 {
        forgotten.push(inbox::forget(&tx, before).await.unwrap());
    }
    assert_eq!(forgotten, [u64::from(inbox::FORGOTTEN_AT_ONCE), 1, 0]);
    assert!(!inbox::once(&tx, "bills", "shop", "new").await.unwrap());
    assert!(inbox::once(&tx, "bills", "shop", "7").await.unwrap(), "it comes later than it was to be kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_ids_that_break_the_rules_are_refused_before_the_database_sees_them() {
    let Some(schemas) = Schemas::start() else { return };
    let mut client = session(&schemas.server.url()).await;
    let tx = client.transaction().await.unwrap();
    let long = "x".repeat(129);
    for (consumer, source, id) in [
        ("", "shop", "1"),
        ("Bills", "shop", "1"),
        ("bills", "s h", "1"),
        ("bills", "shop", ""),
        ("bills", "shop", long.as_str()),
    ] {
        let refused = inbox::once(&tx, consumer, source, id).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unfit(_)), "{refused:?}");
    }
    let missing = inbox::once(&tx, "bills", "shop", "1").await.unwrap_err();
    assert!(matches!(&missing, StoreError::Permanent(why) if why.contains("factum_inbox")), "{missing:?}");
}
