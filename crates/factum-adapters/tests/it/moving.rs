//! Stores that move: a given identity, the marks, and who is refused by them.

use factum_adapters::{
    embedded,
    postgres::{
        self, Options,
        moving::{self, empty},
        outbox::{Outbox, OutboxError},
    },
};
use factum_core::{
    digest_key::DigestKey,
    error::StoreError,
    moving::Marks,
    ports::Backend,
    stream::{ExpectedVersion, Lineage, Position},
};
use factum_testing::conformance::store::write;

use super::{
    faults::plan,
    outbox::{append, session},
    postgres::Schemas,
};

const LINEAGE: Lineage = Lineage { log_id: [7; 16], epoch: 3 };
const FROM: &str = "/srv/shop";

fn arriving() -> Marks {
    Marks { arriving: Some(FROM.to_owned()), moved: None }
}

fn moved() -> Marks {
    Marks { arriving: None, moved: Some("/srv/other".to_owned()) }
}

fn permanent<T>(refused: Result<T, StoreError>, why: &str) {
    let refused = refused.err();
    assert!(matches!(&refused, Some(StoreError::Permanent(said)) if said.contains(why)), "{why}: {refused:?}");
}

type Opened = Result<Box<dyn Backend>, StoreError>;

/// The life of a store that is filled, opened, sealed and filled again; `usual` opens it as whoever works on it, `fills` as a move.
fn a_life(usual: &dyn Fn() -> Opened, fills: &dyn Fn() -> Opened) {
    for _ in 0..2 {
        let mut store = fills().unwrap();
        assert_eq!((store.reader().lineage(), store.marks()), (LINEAGE, arriving()));
        drop(store);
        store = fills().unwrap();
        let before = store.reader().head();
        write(&mut *store, &[plan(before.0 + 1)]).unwrap();
        drop(store);
        permanent(usual(), "is not whole");
    }
    let mut store = fills().unwrap();
    assert_eq!(store.reader().head(), Position(2));
    let early = store.mark(&Marks::default(), Position(1));
    assert!(matches!(early, Err(StoreError::Conflict(_))), "{early:?}");
    assert_eq!(store.marks(), arriving(), "nothing is noted");
    store.mark(&Marks::default(), Position(2)).unwrap();
    drop(store);
    // It is whole: whoever works on it seals it.
    let mut store = usual().unwrap();
    write(&mut *store, &[plan(3)]).unwrap();
    for _ in 0..2 {
        store.mark(&moved(), Position(3)).unwrap();
        permanent(write(&mut *store, &[plan(4)]), "has moved to /srv/other");
    }
    drop(store);
    permanent(usual(), "has moved to /srv/other");
    // The way back.
    let mut store = fills().unwrap();
    assert_eq!((store.reader().lineage(), store.marks()), (LINEAGE, moved()));
    permanent(write(&mut *store, &[plan(4)]), "has moved to /srv/other");
    store.mark(&Marks { arriving: Some(FROM.to_owned()), ..moved() }, Position(3)).unwrap();
    write(&mut *store, &[plan(4)]).unwrap();
    drop(store);
    permanent(usual(), "has moved to /srv/other");
    let mut store = fills().unwrap();
    store.mark(&Marks::default(), Position(4)).unwrap();
    drop(store);
    write(&mut *usual().unwrap(), &[plan(5)]).unwrap();
}

#[test]
fn a_directory_that_is_filled_and_sealed_is_opened_by_nothing_but_the_move() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let fills = || -> Opened {
        let store = embedded::open_moving(&log, embedded::Options::default(), Some((LINEAGE, FROM)))?;
        Ok(Box::new(store))
    };
    permanent(embedded::open_moving(&log, embedded::Options::default(), None), "does not exist");
    a_life(&|| Ok(Box::new(embedded::open(&log)?.0)), &fills);
}

#[test]
fn a_directory_whose_move_ended_before_there_was_a_log_is_no_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    drop(embedded::open_moving(&log, embedded::Options::default(), Some((LINEAGE, FROM))).unwrap());
    for file in std::fs::read_dir(&log).unwrap().map(|file| file.unwrap().path()) {
        if !file.ends_with("note.json") {
            std::fs::remove_file(file).unwrap();
        }
    }
    permanent(embedded::open(&log), "is not whole");
    assert_eq!(std::fs::read_dir(&log).unwrap().count(), 1, "nothing was made");
    let store = embedded::open_moving(&log, embedded::Options::default(), Some((LINEAGE, FROM))).unwrap();
    assert_eq!((store.reader().lineage(), store.marks()), (LINEAGE, arriving()));
    permanent(embedded::remove_arriving(&log), "is being filled");
    drop(store);
    embedded::remove_arriving(&log).unwrap();
    assert!(!log.exists());
    drop(embedded::open(&log).unwrap());
    permanent(embedded::remove_arriving(&log), "is a whole store");
}

#[test]
fn a_note_that_cannot_be_read_refuses_the_store() {
    let dir = tempfile::tempdir().unwrap();
    drop(embedded::open(dir.path()).unwrap());
    for wrong in ["", "{", r#"{"moved":3}"#, r#"{"elsewhere":"x"}"#] {
        std::fs::write(dir.path().join("note.json"), wrong).unwrap();
        permanent(embedded::open(dir.path()), "says whether this store has moved, and cannot be read");
    }
}

#[test]
fn a_unit_that_is_filled_and_sealed_is_opened_by_nothing_but_the_move() {
    let Some(schemas) = Schemas::start() else { return };
    let fills = || -> Opened { Ok(Box::new(moving::open(&schemas.url(), Options::default(), Some((LINEAGE, FROM)))?)) };
    permanent(moving::open(&schemas.url(), Options::default(), None), "holds no store");
    a_life(&|| Ok(Box::new(schemas.open()?)), &fills);
}

#[test]
fn a_unit_that_is_given_up_is_an_empty_one() {
    let Some(mut schemas) = Schemas::start() else { return };
    let fills = |schemas: &Schemas| moving::open(&schemas.url(), Options::default(), Some((LINEAGE, FROM)));
    let mut store = fills(&schemas).unwrap();
    write(&mut store, &[plan(1)]).unwrap();
    moving::keep_digest_key(&schemas.url(), &DigestKey::new([9; 16])).unwrap();
    assert_eq!(moving::digest_key(&schemas.url()).unwrap(), DigestKey::new([9; 16]));
    drop(store);
    empty(&schemas.url()).unwrap();
    let store = schemas.open().unwrap();
    assert_eq!((store.reader().head(), store.marks()), (Position(0), Marks::default()));
    assert_ne!(store.reader().lineage(), LINEAGE);
    assert_ne!(moving::digest_key(&schemas.url()).unwrap(), DigestKey::new([9; 16]));
    drop(store);
    permanent(empty(&schemas.url()), "is a whole store");
    // A unit in which something stands does not become another one.
    schemas.next();
    let mut store = schemas.open().unwrap();
    write(&mut store, &[plan(1)]).unwrap();
    let lineage = store.reader().lineage();
    drop(store);
    let store = fills(&schemas).unwrap();
    assert_eq!((store.reader().lineage(), store.marks()), (lineage, Marks::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn others_who_write_beside_a_unit_are_locked_out_by_the_seal() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = tokio::task::block_in_place(|| schemas.open()).unwrap();
    write(&mut store, &[plan(1)]).unwrap();
    let outbox = Outbox::open(&schemas.url(), "bills").await.unwrap();
    let mut client = session(&schemas.server.url()).await;
    let bill = |key: &str| append(&format!("bill-{key}"), ExpectedVersion::NoStream, ["{}".to_owned()]);
    let commit = |key: &str| factum_core::commit::Commit { appends: vec![bill(key)], cells: Vec::new() };
    outbox.commit_with(client.transaction().await.unwrap(), commit("a")).await.unwrap();
    // They were faster: the seal waits for what they wrote.
    let early = store.mark(&moved(), Position(1));
    assert!(matches!(early, Err(StoreError::Conflict(_))), "{early:?}");
    assert_eq!(store.reader().head(), Position(2), "which is seen then");
    store.mark(&moved(), Position(2)).unwrap();
    let refused = outbox.commit_with(client.transaction().await.unwrap(), commit("b")).await;
    match refused {
        Err(OutboxError::Store(StoreError::Permanent(why))) => {
            assert!(why.contains("has moved to /srv/other"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(schemas.server.sql("SELECT position FROM unit_0.unit").unwrap(), "2");
    drop(store);
    let Err(StoreError::Permanent(why)) = postgres::open(&schemas.url(), Options::default()) else {
        panic!("it opens")
    };
    assert!(why.contains("has moved to /srv/other"), "{why}");
}
