//! What a store does with cells.

use std::collections::BTreeSet;

use factum_core::{
    cell::{CellKey, CellKind, ExpectedRevision, Revision},
    error::{CommitError, Refusal},
};

use super::{
    super::drive::{Driven, events},
    Subject,
};

pub(super) fn cells(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let value = |store: &Driven<'_>| {
        let cells = store.reader.cells(CellKind::Timer).expect("cells can be read");
        cells.into_iter().map(|cell| (cell.key.name, cell.value)).collect::<Vec<_>>()
    };
    store.change(CellKind::Timer, "a", ExpectedRevision::Absent, Some(b"1")).expect("there is none");
    store.change(CellKind::Timer, "b", ExpectedRevision::Any, Some(b"2")).expect("nothing is expected");
    store.change(CellKind::Timer, "a", ExpectedRevision::Any, Some(b"3")).expect("nothing is expected");
    assert_eq!(value(&store), [("a".to_owned(), b"3".to_vec()), ("b".to_owned(), b"2".to_vec())]);
    store.change(CellKind::Timer, "a", ExpectedRevision::Any, None).expect("nothing is expected");
    store.change(CellKind::Timer, "c", ExpectedRevision::Any, None).expect("what is not there can be deleted");
    assert_eq!(value(&store), [("b".to_owned(), b"2".to_vec())]);
}

pub(super) fn one_cell(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    for (name, value) in [("a", "1"), ("ab", "2"), ("a/b", "3")] {
        store.change(CellKind::Timer, name, ExpectedRevision::Absent, Some(value.as_bytes())).expect("there is none");
        store.change(CellKind::Call, name, ExpectedRevision::Absent, Some(b"another kind")).expect("there is none");
    }
    let read = |store: &Driven<'_>, name: &str| {
        let cell = store.reader.cell(&CellKey::new(CellKind::Timer, name)).expect("cells can be read");
        cell.map(|cell| (cell.key.name, String::from_utf8_lossy(&cell.value).into_owned(), cell.revision.0 > 0))
    };
    assert_eq!(read(&store, "a"), Some(("a".to_owned(), "1".to_owned(), true)));
    assert_eq!(read(&store, "a/b"), Some(("a/b".to_owned(), "3".to_owned(), true)));
    assert_eq!(read(&store, "b"), None);
    store.change(CellKind::Timer, "a", ExpectedRevision::Any, None).expect("nothing is expected");
    assert_eq!(read(&store, "a"), None);
}

pub(super) fn revisions(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let mut seen = BTreeSet::new();
    for round in 0..6 {
        // The same value again, and a new cell under an old name, are writes too.
        let value: Option<&[u8]> = if round == 3 { None } else { Some(b"same") };
        store.change(CellKind::Timer, "a", ExpectedRevision::Any, value).expect("nothing is expected");
        let revision = store.revision(CellKind::Timer, "a");
        assert_eq!(revision.0 == 0, value.is_none(), "0 means that there is no cell");
        assert!(revision.0 == 0 || seen.insert(revision), "revision {revision:?} was given twice");
        let read = store.reader.cells(CellKind::Timer).expect("cells can be read");
        assert!(read.iter().all(|cell| cell.revision == revision), "find and cells agree on the revision");
        store.append("order-1", events("t.made", 1));
        assert_eq!(store.revision(CellKind::Timer, "a"), revision, "another write leaves the cell alone");
    }
}

pub(super) fn cell_expectations(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let mut put = |expected: fn(u64, u64) -> ExpectedRevision, stale: u64| {
        let now = store.revision(CellKind::Call, "a").0;
        let outcome = store.change(CellKind::Call, "a", expected(now, stale), Some(b"v"));
        let allowed = match outcome {
            Ok(()) => true,
            Err(CommitError::Refused(Refusal::CellConflict { .. })) => false,
            Err(other) => panic!("{other}"),
        };
        (allowed, now)
    };
    let exact = |now, _| ExpectedRevision::Exact(Revision(now));
    let stale = |_, stale| ExpectedRevision::Exact(Revision(stale));
    assert!(!put(stale, 17).0, "a cell that does not exist has no revision");
    assert!(put(|_, _| ExpectedRevision::Absent, 0).0);
    assert!(!put(|_, _| ExpectedRevision::Absent, 0).0);
    let (allowed, first) = put(exact, 0);
    assert!(allowed);
    assert!(!put(stale, first).0, "the revision from before the last write is not the cell's any more");
    assert!(put(exact, 0).0);
}

pub(super) fn cell_order(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    for name in ["b", "a/2", "é", "a", "Z", "a/10", ""] {
        store.change(CellKind::Timer, name, ExpectedRevision::Any, Some(name.as_bytes())).expect("nothing is expected");
        store.change(CellKind::Cursor, name, ExpectedRevision::Any, Some(b"other")).expect("nothing is expected");
    }
    let cells = store.reader.cells(CellKind::Timer).expect("cells can be read");
    let names: Vec<&str> = cells.iter().map(|cell| cell.key.name.as_str()).collect();
    assert_eq!(names, ["", "Z", "a", "a/10", "a/2", "b", "é"]);
    assert!(cells.iter().all(|cell| cell.key.kind == CellKind::Timer && cell.value == cell.key.name.as_bytes()));
    assert!(store.reader.cells(CellKind::Call).expect("cells can be read").is_empty());
}

pub(super) fn cell_bytes(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let values: [Vec<u8>; 3] = [Vec::new(), (0..=255).collect(), vec![0; 300_000]];
    for (name, value) in ["none", "all", "many"].iter().zip(&values) {
        store.change(CellKind::Call, name, ExpectedRevision::Absent, Some(value)).expect("there is none");
    }
    let read = store.reader.cells(CellKind::Call).expect("cells can be read");
    let read: Vec<&[u8]> = read.iter().map(|cell| cell.value.as_slice()).collect();
    assert!(read == [&values[1][..], &values[2], &values[0]], "a cell's bytes come back as they were");
    assert!(store.revision(CellKind::Call, "none").0 > 0, "a cell without bytes exists");
}
