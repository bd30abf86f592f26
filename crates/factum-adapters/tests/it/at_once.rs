//! A commit in one round trip, by what its writer supposes: it stands as if it had been looked up first.

use factum_adapters::postgres::{self, Options, outbox::Outbox, upkeep};
use factum_core::{
    cell::{CellChange, CellKey, CellKind, ExpectedRevision},
    commit::{Commit, Owners, Wanted, check},
    error::{CommitError, Refusal, StoreError},
    ports::Backend,
    stream::{ExpectedVersion, Position, StreamId, StreamVersion},
};
use factum_testing::engines::line::{Cut, Line};

use super::{
    outbox::{append, session},
    postgres::{Schemas, eventually},
};

/// What became of a commit.
#[derive(Debug, PartialEq, Eq)]
struct Stands {
    last: Position,
    /// The version of the first message of each append.
    firsts: Vec<u64>,
    /// How often it was asked what may be written: once if it went by what was supposed.
    asked: u32,
}

fn commit(store: &mut dyn Backend, commit: &Commit) -> Result<Stands, CommitError> {
    let wanted = Wanted { supposed: Some(commit.supposed()), ..commit.wanted() };
    let (mut asked, mut refused) = (0, None);
    let written = store.transact(&wanted, &mut |found| {
        asked += 1;
        refused = None;
        check(&Owners::default(), &found, commit.clone())
            .map_err(|refusal| refused = Some(refusal))
            .into_iter()
            .collect()
    })?;
    match (written, refused) {
        (Some(written), None) => {
            let firsts = written.plans.iter().flat_map(|plan| &plan.appends).map(|append| append.first.0).collect();
            Ok(Stands { last: written.last, firsts, asked })
        }
        (_, refused) => Err(refused.unwrap().into()),
    }
}

/// Appends of so many messages each.
fn appends<'a>(wanted: impl IntoIterator<Item = (&'a str, ExpectedVersion, usize)>) -> Commit {
    let of =
        |(stream, expected, count): (&str, _, usize)| append(stream, expected, (0..count).map(|n| format!("[{n}]")));
    Commit { appends: wanted.into_iter().map(of).collect(), cells: Vec::new() }
}

const ANY: ExpectedVersion = ExpectedVersion::Any;

fn exact(version: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(StreamVersion(version))
}

fn stands(last: u64, firsts: &[u64], asked: u32) -> Stands {
    Stands { last: Position(last), firsts: firsts.to_vec(), asked }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_supposed_and_not_so_is_looked_up() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    let store: &mut dyn Backend = &mut store;
    // The first commit looks, for nothing is known yet; the others do not.
    assert_eq!(commit(store, &appends([("a-1", exact(0), 2)])).unwrap(), stands(2, &[1], 1));
    let next = appends([("a-1", exact(2), 1), ("b-1", ExpectedVersion::NoStream, 3), ("a-1", exact(3), 1)]);
    assert_eq!(commit(store, &next).unwrap(), stands(7, &[3, 1, 4], 1));
    // Of what nothing is supposed the right versions are told.
    let mixed = appends([("c-1", ANY, 1), ("a-1", ANY, 2), ("b-1", exact(3), 1), ("a-1", ANY, 1)]);
    assert_eq!(commit(store, &mixed).unwrap(), stands(12, &[1, 5, 4, 7], 1));
    // What is not so is told by what is there, and nothing is written.
    let wrong = appends([("c-1", ANY, 1), ("a-1", exact(6), 1)]);
    match commit(store, &wrong) {
        Err(CommitError::Refused(Refusal::Conflict { stream, actual, .. })) => {
            assert_eq!((stream, actual), (StreamId::parse("a-1").unwrap(), StreamVersion(7)));
        }
        other => panic!("I3: what is not so must be refused: {other:?}"),
    }
    let there = appends([("b-1", ExpectedVersion::NoStream, 1)]);
    assert!(matches!(commit(store, &there), Err(CommitError::Refused(_))));
    // Also of a stream that gets nothing.
    assert!(matches!(commit(store, &appends([("b-1", exact(1), 0), ("a-1", ANY, 1)])), Err(CommitError::Refused(_))));
    // What can only be judged by what is there is looked up.
    let some = appends([("b-1", ExpectedVersion::StreamExists, 1)]);
    assert_eq!(commit(store, &some).unwrap(), stands(13, &[5], 2));
    let behind = appends([("a-1", ANY, 1), ("a-1", exact(8), 1)]);
    assert_eq!(commit(store, &behind).unwrap(), stands(15, &[8, 9], 2));
    // Others write between.
    let outbox = Outbox::open(&schemas.url(), "bills").await.unwrap();
    let mut session = session(&schemas.server.url()).await;
    let other = appends([("bill-1", ANY, 5), ("c-1", ANY, 1)]);
    outbox.commit_with(session.transaction().await.unwrap(), other).await.unwrap();
    let next = appends([("c-1", ANY, 1), ("a-1", exact(9), 1)]);
    assert_eq!(commit(store, &next).unwrap(), stands(23, &[3, 10], 1));
    // Cells go along; one of which something is expected is looked up.
    let key = CellKey::new(CellKind::Cursor, "engine");
    let put = |expected, value: Option<&[u8]>| {
        let change = CellChange { key: key.clone(), expected, value: value.map(<[u8]>::to_vec) };
        Commit { cells: vec![change], ..appends([("a-2", ANY, 1)]) }
    };
    assert_eq!(commit(store, &put(ExpectedRevision::Any, Some(b"1"))).unwrap(), stands(24, &[1], 1));
    assert_eq!(commit(store, &put(ExpectedRevision::Any, Some(b"2"))).unwrap(), stands(25, &[2], 1));
    assert_eq!(store.reader().cell(&key).unwrap().unwrap().value, b"2");
    assert!(commit(store, &put(ExpectedRevision::Absent, Some(b"3"))).is_err());
    assert_eq!(commit(store, &put(ExpectedRevision::Any, None)).unwrap(), stands(26, &[3], 1));
    assert_eq!(store.reader().cell(&key).unwrap(), None);
    let findings = upkeep::verify(&schemas.url(), &mut |_, _| {}).unwrap();
    assert!(findings.damage.is_empty(), "{:?}", findings.damage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_at_once_whose_answer_is_lost_is_found_again() {
    let Some(schemas) = Schemas::start() else { return };
    let line = Line::to(schemas.server.port()).unwrap();
    let url = format!("postgres://factum@127.0.0.1:{}/postgres?schema=unit_0", line.port());
    let mut store = postgres::open(&url, Options::default()).unwrap();
    commit(&mut store, &appends([("a-1", exact(0), 1), ("b-1", ANY, 2)])).unwrap();
    let outbox = Outbox::open(&schemas.url(), "bills").await.unwrap();
    let mut session = session(&schemas.server.url()).await;
    let (mut last, mut a, mut b) = (3, 1, 2);
    for round in 0..4 {
        let other = appends([("bill-1", ANY, 3)]);
        outbox.commit_with(session.transaction().await.unwrap(), other).await.unwrap();
        let next = appends([("b-1", ANY, 2), ("a-1", exact(a), 1)]);
        line.cut(Cut::Behind);
        let told = eventually(|| again(commit(&mut store, &next)));
        (last, a, b) = (last + 6, a + 1, b + 2);
        assert_eq!(told.unwrap(), stands(last, &[b - 1, a], 1), "I1: round {round}: it stands, and where");
        let next = appends([("b-1", ANY, 1), ("a-1", exact(a), 1)]);
        line.cut(Cut::Before);
        let told = eventually(|| again(commit(&mut store, &next))).unwrap_err().to_string();
        assert!(told.contains("nothing was written") && line.was_cut(), "round {round}: {told}");
    }
    let findings = upkeep::verify(&schemas.url(), &mut |_, _| {}).unwrap();
    assert!(findings.damage.is_empty() && findings.head == Position(last), "{findings:?}");
}

/// What is to be tried again: the session is lost, and there is no new one yet.
fn again(outcome: Result<Stands, CommitError>) -> Result<Result<Stands, CommitError>, CommitError> {
    match outcome {
        Err(CommitError::Store(StoreError::Transient(why))) if !why.contains("nothing was written") => {
            Err(StoreError::Transient(why).into())
        }
        other => Ok(other),
    }
}
