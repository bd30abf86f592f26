//! The classical outbox: what a service writes in its own transaction stands with its rows or not at all, and leaves the unit's
//! own alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use factum_adapters::postgres::{
    self, Options,
    outbox::{Outbox, OutboxError, STANDSTILL},
    tokio_postgres::{self, Client, NoTls},
    upkeep,
};
use factum_core::{
    cell::{CellChange, CellKey, CellKind, ExpectedRevision},
    commit::{Append, Commit, MAX_COMMIT_BYTES, Owners, Plan},
    envelope::{Kind, Message},
    error::{Refusal, StoreError},
    id::{MessageId, Name},
    ports::{Backend, Scan},
    stream::{ExpectedVersion, Position, StreamId, StreamVersion},
};
use factum_testing::{
    conformance::store::write,
    engines::line::{Cut, Line},
};

use super::{faults::plan, postgres::Schemas};

/// A session in the database of the units, of a service of its own.
pub async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Messages of data like this for a stream.
pub fn append(stream: &str, expected: ExpectedVersion, data: impl IntoIterator<Item = String>) -> Append {
    let message = plan(1).appends.remove(0).messages.remove(0);
    let of = |data: String| {
        let mut envelope = message.envelope.clone();
        envelope.id = MessageId::derived(&["message", stream, &data]);
        Message { envelope, data: Arc::from(data.into_bytes()) }
    };
    let messages = data.into_iter().map(of).collect();
    Append { stream: StreamId::parse(stream).unwrap(), expected, writer: Name::Static("bills"), messages }
}

/// One message.
fn one(stream: &str, expected: ExpectedVersion) -> Commit {
    Commit { appends: vec![append(stream, expected, ["{}".to_owned()])], cells: Vec::new() }
}

/// A transaction that wrote a bill.
async fn bill(client: &mut Client) -> tokio_postgres::Transaction<'_> {
    let transaction = client.transaction().await.unwrap();
    transaction.execute("INSERT INTO bill DEFAULT VALUES", &[]).await.unwrap();
    transaction
}

const BILLS: &str = "CREATE TABLE bill (id bigint GENERATED ALWAYS AS IDENTITY)";

fn bills(schemas: &Schemas) -> String {
    schemas.server.sql("SELECT (SELECT count(*) FROM bill), (SELECT position FROM unit_0.unit)").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_writes_stands_with_its_own_rows_or_not_at_all() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    write(&mut store, &[Plan::default()]).unwrap();
    schemas.server.sql(BILLS).unwrap();
    let outbox = Outbox::open(&schemas.url(), "bills").await.unwrap();
    let mut client = session(&schemas.server.url()).await;
    let last = outbox.commit_with(bill(&mut client).await, one("bill-1", ExpectedVersion::NoStream)).await.unwrap();
    assert_eq!((last, bills(&schemas).as_str()), (Position(1), "1|1"));
    let refused = outbox.commit_with(bill(&mut client).await, one("bill-1", ExpectedVersion::NoStream)).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(&refused, OutboxError::Refused(Refusal::Conflict { actual: StreamVersion(1), .. })),
        "{refused:?}"
    );
    drop(bill(&mut client).await);
    assert_eq!(bills(&schemas), "1|1");
    let exact = ExpectedVersion::Exact(StreamVersion(1));
    assert_eq!(outbox.commit_with(bill(&mut client).await, one("bill-1", exact)).await.unwrap(), Position(2));
    assert_eq!(store.reader().stream(&StreamId::parse("bill-1").unwrap(), StreamVersion(0)).unwrap().len(), 2);
    let counted = schemas.server.sql("SELECT commits FROM unit_0.unit").unwrap();
    assert_eq!(counted, "1", "I1: by the number of its transactions the unit knows its own again");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_leave_alone_what_is_the_units_own() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    let mut owners = Owners::default();
    owners.claim("order", &Name::Static("orders")).unwrap();
    store.owns(&owners).unwrap();
    schemas.server.sql(BILLS).unwrap();
    let outbox = Outbox::open(&schemas.url(), "bills").await.unwrap();
    let mut client = session(&schemas.server.url()).await;
    let mut commits = vec![(one("order-1", ExpectedVersion::Any), "belongs to the unit's orders")];
    let mut in_its_name = one("order-1", ExpectedVersion::Any);
    in_its_name.appends[0].writer = Name::Static("orders");
    commits.push((in_its_name, "belongs to the unit's orders"));
    let mut with_a_cell = one("bill-1", ExpectedVersion::Any);
    let key = CellKey::new(CellKind::Cursor, "engine");
    with_a_cell.cells.push(CellChange { key, expected: ExpectedRevision::Any, value: Some(vec![1]) });
    commits.push((with_a_cell, "cells are the unit's own"));
    for kind in [Kind::Call, Kind::Rejection, Kind::Receipt] {
        let mut commit = one("bill-1", ExpectedVersion::Any);
        commit.appends[0].messages[0].envelope.kind = kind;
        commits.push((commit, "write events and commands"));
    }
    commits.push((Commit::default(), "commit the transaction itself"));
    let large = || format!("{{\"text\":\"{}\"}}", "x".repeat(1 << 20));
    let too_large = Commit { appends: vec![append("bill-1", ExpectedVersion::Any, [large()])], cells: Vec::new() };
    commits.push((too_large, "store the body elsewhere"));
    let half = || format!("{{\"text\":\"{}\"}}", "x".repeat(1 << 19));
    let many = (0..MAX_COMMIT_BYTES >> 19).map(|_| half());
    let too_many = Commit { appends: vec![append("bill-1", ExpectedVersion::Any, many)], cells: Vec::new() };
    commits.push((too_many, "split it"));
    for (commit, told) in commits {
        let refused = outbox.commit_with(bill(&mut client).await, commit).await.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
        assert_eq!(bills(&schemas), "0|0", "{refused}");
    }
    // The next leader owns something else.
    store.owns(&Owners::default()).unwrap();
    outbox.commit_with(bill(&mut client).await, one("order-1", ExpectedVersion::Any)).await.unwrap();
    assert_eq!(bills(&schemas), "1|1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_is_not_there_or_of_another_version_is_refused() {
    let Some(schemas) = Schemas::start() else { return };
    let told = |refused: Result<Outbox, StoreError>| match refused {
        Err(StoreError::Permanent(told)) => told,
        other => panic!("{other:?}"),
    };
    let url = schemas.url().replace("factum@", "factum:sesame@");
    let refused = told(Outbox::open(&url, "bills").await);
    assert!(refused.contains("start its app first") && !refused.contains("sesame"), "{refused}");
    drop(schemas.open().unwrap());
    let refused = told(Outbox::open(&url, "Bills").await);
    assert!(refused.contains("service"), "{refused}");
    let outbox = Outbox::open(&url, "bills").await.unwrap();
    schemas.server.sql("INSERT INTO unit_0.migration (version) VALUES (1000)").unwrap();
    assert!(told(Outbox::open(&url, "bills").await).contains("use the newer program"));
    let mut client = session(&schemas.server.url()).await;
    let transaction = client.transaction().await.unwrap();
    let refused = outbox.commit_with(transaction, one("bill-1", ExpectedVersion::Any)).await.unwrap_err();
    assert!(refused.to_string().contains("use the newer program"), "{refused}");
    schemas.server.sql("DELETE FROM unit_0.migration WHERE version > 1").unwrap();
    assert!(told(Outbox::open(&url, "bills").await).contains("start the app on it once"));
}

/// The line is cut while the commit is on its way: its answer is lost, and whether it stands is found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_others_whose_answer_is_lost_is_found_out() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    schemas.server.sql(BILLS).unwrap();
    let outbox = Outbox::open(&schemas.url(), "bills").await.unwrap();
    let line = Line::to(schemas.server.port()).unwrap();
    let cut = format!("postgres://factum@127.0.0.1:{}/postgres", line.port());
    for round in 0..5 {
        for (how, stands) in [(Cut::Behind, true), (Cut::Before, false)] {
            let mut client = session(&cut).await;
            let transaction = bill(&mut client).await;
            line.cut(how);
            let lost = outbox.commit_with(transaction, one("bill-1", ExpectedVersion::Any)).await.unwrap_err();
            assert!(line.was_cut());
            let OutboxError::Unknown(unsure) = lost else { panic!("I1: round {round}: told as known: {lost}") };
            assert_eq!(outbox.stands(&unsure).await.unwrap(), stands, "I1: round {round}");
            // Somebody else gets the position that was not taken, and is not taken for it.
            write(&mut store, &[Plan::default()]).unwrap();
            let other = Commit { appends: vec![append("bill-2", ExpectedVersion::Any, ["[]".into()])], cells: vec![] };
            let mut client = session(&schemas.server.url()).await;
            outbox.commit_with(client.transaction().await.unwrap(), other).await.unwrap();
            assert_eq!(outbox.stands(&unsure).await.unwrap(), stands, "I1: round {round}, behind another one");
        }
    }
    assert_eq!(bills(&schemas), "5|15");
    assert!(upkeep::verify(&schemas.url(), &mut |_, _| {}).unwrap().damage.is_empty());
}

/// Who stops between the lock and the commit must not stop all others.
#[tokio::test(flavor = "multi_thread")]
async fn who_stands_still_with_the_lock_loses_it() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    let outbox = Arc::new(Outbox::open(&schemas.url(), "bills").await.unwrap());
    let line = Line::to(schemas.server.port()).unwrap();
    let still = format!("postgres://factum@127.0.0.1:{}/postgres", line.port());
    let mut client = session(&still).await;
    line.cut(Cut::Silent);
    let own = outbox.clone();
    let standing = tokio::spawn(async move {
        let transaction = client.transaction().await.unwrap();
        own.commit_with(transaction, one("bill-1", ExpectedVersion::Any)).await
    });
    while !line.was_cut() {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    write(&mut store, &[Plan::default()]).unwrap();
    let waited = begun.elapsed();
    assert!(waited < STANDSTILL + Duration::from_secs(5), "{waited:?}");
    match standing.await.unwrap().unwrap_err() {
        OutboxError::Store(StoreError::Transient(why)) => assert!(why.contains("idle"), "{why}"),
        // The line was gone before the server's last word came through.
        OutboxError::Unknown(unsure) => assert!(!outbox.stands(&unsure).await.unwrap(), "I1"),
        other => panic!("{other}"),
    }
    assert_eq!(schemas.server.sql("SELECT position, commits FROM unit_0.unit").unwrap(), "0|1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_missing_is_made_by_others_too() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    // A few before the end of the second one.
    schemas.server.sql("UPDATE unit_0.unit SET position = 2 * 4194304 - 5").unwrap();
    let outbox = Outbox::open(&schemas.url(), "bills").await.unwrap();
    let mut client = session(&schemas.server.url()).await;
    let twenty = append("bill-1", ExpectedVersion::Any, (0..20).map(|number| format!("[{number}]")));
    let refused = [twenty.clone(), append("bill-1", ExpectedVersion::NoStream, ["[]".to_owned()])];
    let refused = Commit { appends: refused.into(), cells: Vec::new() };
    outbox.commit_with(client.transaction().await.unwrap(), refused).await.unwrap_err();
    let last =
        outbox.commit_with(client.transaction().await.unwrap(), Commit { appends: vec![twenty], cells: Vec::new() });
    assert_eq!(last.await.unwrap(), Position(2 * 4_194_304 + 15));
    assert_eq!(write(&mut store, &[plan(1)]).unwrap(), Some(Position(2 * 4_194_304 + 16)));
}

/// What a service's own tables find only at the end of a transaction is found before the lock, with its own names.
#[tokio::test(flavor = "multi_thread")]
async fn what_its_tables_put_off_is_found_before_anything_is_written() {
    let Some(schemas) = Schemas::start() else { return };
    drop(schemas.open().unwrap());
    let tables = "CREATE TABLE customer (id int PRIMARY KEY); \
         CREATE TABLE bill (customer int REFERENCES customer DEFERRABLE INITIALLY DEFERRED)";
    schemas.server.sql(tables).unwrap();
    let outbox = Outbox::open(&schemas.url(), "bills").await.unwrap();
    let mut client = session(&schemas.server.url()).await;
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute("INSERT INTO bill VALUES (1)").await.unwrap();
    let refused = outbox.commit_with(transaction, one("bill-1", ExpectedVersion::Any)).await.unwrap_err();
    assert!(matches!(&refused, OutboxError::Store(StoreError::Conflict(why)) if why.contains("bill")), "{refused:?}");
    assert_eq!(schemas.server.sql("SELECT position FROM unit_0.unit").unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unit_hears_of_what_others_wrote() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    let mut others = store.others().unwrap();
    let reader = store.reader();
    let outbox = Outbox::open(&schemas.url(), "bills").await.unwrap();
    let mut client = session(&schemas.server.url()).await;
    // It listens from here on.
    others.wait(Duration::ZERO).unwrap();
    for number in 1..=20 {
        let transaction = client.transaction().await.unwrap();
        outbox.commit_with(transaction, one("bill-1", ExpectedVersion::Any)).await.unwrap();
        let until = Instant::now() + Duration::from_secs(1);
        while others.wait(Duration::from_secs(10)).unwrap() < Position(2 * number - 1) {
            assert!(Instant::now() < until, "it is heard of within a second");
        }
        assert_eq!(reader.head(), Position(2 * number - 1));
        assert_eq!(write(&mut store, &[plan(number)]).unwrap(), Some(Position(2 * number)));
    }
    let scan = Scan { after: Position::START, until: Position(u64::MAX), bytes: usize::MAX, types: None };
    let positions: Vec<u64> = reader.scan(&scan).unwrap().messages.iter().map(|stored| stored.position.0).collect();
    assert_eq!(positions, (1..=40).collect::<Vec<_>>());
}

/// A notification goes with its session, and a server that crashes sends none.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_rang_for_is_seen_too() {
    let Some(mut schemas) = Schemas::start() else { return };
    let store = postgres::open(&schemas.url(), Options::default()).unwrap();
    let mut others = store.others().unwrap();
    assert_eq!(others.wait(Duration::ZERO).unwrap(), Position(0));
    let written = "UPDATE unit_0.unit SET position = position + 1";
    for head in 1..=3 {
        schemas.server.sql(written).unwrap();
        let until = Instant::now() + Duration::from_secs(1);
        while others.wait(Duration::from_secs(10)).unwrap() < Position(head) {
            assert!(Instant::now() < until, "I13: it is seen within a second, whether or not a bell rang");
        }
    }
    schemas.server.kill();
    let error = others.wait(Duration::ZERO).unwrap_err();
    assert!(matches!(error, StoreError::Transient(_)), "{error:?}");
    schemas.server.go_on().unwrap();
    schemas.server.sql(written).unwrap();
    assert_eq!(others.wait(Duration::ZERO).unwrap(), Position(4));
}

/// The rights that the page names, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_its_own_needs_the_rights_that_the_page_names() {
    let Some(schemas) = Schemas::start() else { return };
    drop(schemas.open().unwrap());
    let page = include_str!("../../../../docs/postgres.md");
    let rights: String = page.lines().filter(|line| line.starts_with("GRANT ")).collect();
    assert_eq!(rights.matches("GRANT").count(), 6);
    schemas.server.sql(&format!("CREATE ROLE clerk LOGIN; {}", rights.replace("shop", "unit_0"))).unwrap();
    let clerks = |url: String| url.replace("factum@", "clerk@");
    let outbox = Outbox::open(&clerks(schemas.url()), "bills").await.unwrap();
    let mut client = session(&clerks(schemas.server.url())).await;
    for position in 1..=2 {
        let transaction = client.transaction().await.unwrap();
        let last = outbox.commit_with(transaction, one("bill-1", ExpectedVersion::Any)).await.unwrap();
        assert_eq!(last, Position(position));
    }
    assert!(client.batch_execute("SELECT * FROM unit_0.cell").await.is_err());
}
