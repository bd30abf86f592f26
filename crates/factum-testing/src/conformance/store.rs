//! What every store must do: the promises of [`Backend`] and [`Reader`](factum_core::ports::Reader), one case each.

mod cells;
mod contents;
mod reading;

use std::collections::BTreeSet;

use factum_core::{
    cell::{CellChange, CellKey, CellKind, ExpectedRevision},
    commit::{Commit, Plan, Wanted},
    envelope::Stored,
    error::{CommitError, Refusal, StoreError},
    ports::Backend,
    stream::{ExpectedVersion, Position, StreamVersion},
};

use super::{
    Cannot, Run,
    drive::{Driven, append, event, events},
    left_out,
};

/// Makes the store under test.
pub trait Subject {
    /// A new, empty store. Whatever was handed out before has been dropped.
    fn fresh(&mut self) -> Box<dyn Backend>;

    /// The store that was handed out last, which has been dropped, opened again over the same data.
    ///
    /// # Errors
    /// [`Cannot`] if nothing of it is left.
    fn reopen(&mut self) -> Result<Box<dyn Backend>, Cannot>;
}

/// Writes plans, without looking what is there; answers the last position.
///
/// # Errors
/// [`StoreError`] as the store says.
pub fn write(store: &mut dyn Backend, plans: &[Plan]) -> Result<Option<Position>, StoreError> {
    let written = store.transact(&Wanted::default(), &mut |_| plans.to_vec())?;
    Ok(written.map(|written| written.last))
}

/// A case: its name and what it does with a subject.
pub type Case = (&'static str, fn(&mut dyn Subject));

/// Runs all cases on a store.
///
/// # Panics
/// If a case failed; the message names all that did, and each has printed what it found.
pub fn run(subject: &mut dyn Subject) {
    let mut run = Run::default();
    for (name, case) in cases() {
        run.case(name, || case(subject));
    }
    run.end();
}

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![
        ("an empty store has nothing", empty),
        ("positions are gapless and in the order of the batch", positions),
        ("versions count from one in each stream", versions),
        ("several plans are written at once", several_plans),
        ("a commit that a rule refuses leaves nothing behind", refused),
        ("no stream, stream exists and exact are judged by what is there", expectations),
        ("two appends to one stream in a commit follow each other", two_appends),
        ("a write without messages moves no position", no_messages),
        ("cells are put, replaced and deleted", cells::cells),
        ("a cell's revision changes with every write", cells::revisions),
        ("absent and exact are judged by the cell that is there", cells::cell_expectations),
        ("cells come by kind, in the order of their names", cells::cell_order),
        ("one cell is read by its key, and no other", cells::one_cell),
        ("a cell holds any bytes, also none", cells::cell_bytes),
        ("a scan answers about as many bytes as asked for, and at least one message", reading::scan_bytes),
        ("a scan stops at its end", reading::scan_until),
        ("a scan filters by type and says how far it looked", reading::scan_types),
        ("a scan finds a rare type behind many others", reading::scan_rare),
        ("a scan behind the head answers nothing", reading::scan_behind),
        ("a stream is read behind a version", reading::stream_after),
        ("several streams are read at once", reading::streams),
        ("streams whose names begin alike are kept apart", reading::alike),
        ("a reader sees a write when it returns, and not before", reading::visible),
        ("a reader beside the writer sees only whole writes", reading::beside),
        ("idle changes nothing", idle),
        ("opening again finds everything, of the same lineage", reopened),
        ("opening again goes on counting", goes_on),
        ("messages near the limit come back whole", contents::large),
        ("whatever is allowed by its size can be stored", contents::allowed),
        ("names hold every script", contents::unicode),
        ("an object without fields comes back", contents::no_fields),
        ("two thousand streams are told apart", contents::many_streams),
        ("hundreds of types are told apart", contents::many_types),
        ("every field of an envelope comes back", contents::every_field),
    ]
}

fn texts(messages: &[Stored]) -> Vec<&str> {
    messages.iter().map(|stored| std::str::from_utf8(&stored.message.data).expect("data is JSON")).collect()
}

fn positions_of(messages: &[Stored]) -> Vec<u64> {
    messages.iter().map(|stored| stored.position.0).collect()
}

fn empty(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    assert_eq!(store.reader.head(), Position::START);
    assert!(store.all().is_empty() && store.stream("order-1", 0).is_empty());
    assert_eq!(store.version("order-1"), StreamVersion(0));
    assert_eq!(store.revision(CellKind::Timer, "a").0, 0);
    assert!(CellKind::ALL.iter().all(|kind| store.reader.cells(*kind).expect("cells can be read").is_empty()));
    assert!(!store.backend().durability().is_empty(), "durability is a word");
}

fn positions(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let appends = ["b-1", "a-1", "c-1"].map(|stream| append(stream, ExpectedVersion::Any, events("t.made", 2)));
    store.commit(Commit { appends: appends.to_vec(), cells: Vec::new() }).expect("nothing stands in the way");
    store.append("a-1", events("t.made", 3));
    let all = store.all();
    assert_eq!(positions_of(&all), (1..=9).collect::<Vec<_>>());
    let streams: Vec<&str> = all.iter().map(|stored| stored.stream.as_str()).collect();
    assert_eq!(streams, ["b-1", "b-1", "a-1", "a-1", "c-1", "c-1", "a-1", "a-1", "a-1"]);
}

fn versions(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    store.append("order-1", events("t.made", 2));
    store.append("order-2", events("t.made", 1));
    store.append("order-1", events("t.made", 1));
    let versions: Vec<u64> = store.stream("order-1", 0).iter().map(|stored| stored.version.0).collect();
    assert_eq!(versions, [1, 2, 3]);
    assert_eq!(positions_of(&store.stream("order-1", 0)), [1, 2, 4]);
    assert_eq!((store.version("order-1"), store.version("order-2")), (StreamVersion(3), StreamVersion(1)));
}

fn several_plans(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let commit =
        |stream, expected| Commit { appends: vec![append(stream, expected, events("t.made", 2))], cells: Vec::new() };
    let outcomes = store.commit_all(vec![
        commit("order-1", ExpectedVersion::NoStream),
        commit("order-2", ExpectedVersion::NoStream),
        commit("order-1", ExpectedVersion::NoStream),
        commit("order-1", ExpectedVersion::Exact(StreamVersion(2))),
    ]);
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!(positions_of(&store.stream("order-1", 0)), [1, 2, 5, 6]);
    assert_eq!(store.version("order-1"), StreamVersion(4));
}

fn refused(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    store.append("order-1", events("t.made", 1));
    let appends = vec![
        append("order-2", ExpectedVersion::NoStream, events("t.made", 1)),
        append("order-1", ExpectedVersion::NoStream, events("t.made", 1)),
    ];
    let change =
        CellChange { key: CellKey::new(CellKind::Timer, "a"), expected: ExpectedRevision::Any, value: Some(vec![1]) };
    let outcome = store.commit(Commit { appends, cells: vec![change] });
    assert!(matches!(outcome, Err(CommitError::Refused(Refusal::Conflict { .. }))), "{outcome:?}");
    assert_eq!((store.reader.head(), store.version("order-2")), (Position(1), StreamVersion(0)));
    assert_eq!(store.revision(CellKind::Timer, "a").0, 0);
}

fn expectations(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let mut attempt = |expected| {
        let appends = vec![append("order-1", expected, events("t.made", 1))];
        match store.commit(Commit { appends, cells: Vec::new() }) {
            Ok(()) => true,
            Err(CommitError::Refused(Refusal::Conflict { .. })) => false,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(!attempt(ExpectedVersion::StreamExists));
    assert!(!attempt(ExpectedVersion::Exact(StreamVersion(1))));
    assert!(attempt(ExpectedVersion::NoStream));
    assert!(!attempt(ExpectedVersion::NoStream));
    assert!(attempt(ExpectedVersion::StreamExists));
    assert!(attempt(ExpectedVersion::Exact(StreamVersion(2))));
    assert!(!attempt(ExpectedVersion::Exact(StreamVersion(2))));
    assert!(attempt(ExpectedVersion::Any));
    assert_eq!(store.version("order-1"), StreamVersion(4));
}

fn two_appends(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let appends = vec![
        append("order-1", ExpectedVersion::NoStream, vec![event("t.made", r#"{"n":1}"#)]),
        append("order-2", ExpectedVersion::NoStream, vec![event("t.made", r#"{"n":2}"#)]),
        append("order-1", ExpectedVersion::Exact(StreamVersion(1)), vec![event("t.made", r#"{"n":3}"#)]),
    ];
    store.commit(Commit { appends, cells: Vec::new() }).expect("each follows the one before");
    assert_eq!(texts(&store.stream("order-1", 0)), [r#"{"n":1}"#, r#"{"n":3}"#]);
    assert_eq!(positions_of(&store.stream("order-1", 0)), [1, 3]);
}

fn no_messages(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    store.append("order-1", events("t.made", 2));
    assert!(write(store.backend(), &[]).expect("nothing can be written").is_none());
    let none = write(store.backend(), &[Plan::default()]).expect("a plan without messages can be written");
    assert_eq!(none, Some(Position(2)));
    store.change(CellKind::Cursor, "engine", ExpectedRevision::Any, Some(b"2")).expect("a cell can be written alone");
    store.commit(Commit::default()).expect("an empty commit changes nothing");
    store.append("order-1", events("t.made", 1));
    assert_eq!(positions_of(&store.all()), [1, 2, 3]);
}

fn idle(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    store.backend().idle().expect("an empty store may be idle");
    store.append("order-1", events("t.made", 2));
    let before = store.all();
    store.backend().idle().expect("a store may be idle");
    store.backend().idle().expect("a store may be idle twice");
    assert_eq!(store.all(), before);
    store.append("order-1", events("t.made", 1));
    assert_eq!(positions_of(&store.all()), [1, 2, 3]);
}

fn reopened(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    for round in 0..20 {
        store.append(&format!("order-{}", round % 3), events("t.made", 3));
        let name = format!("timer-{}", round % 5);
        store.change(CellKind::Timer, &name, ExpectedRevision::Any, Some(&[round])).expect("nothing is expected");
    }
    store.change(CellKind::Timer, "timer-1", ExpectedRevision::Any, None).expect("nothing is expected");
    let seen = |store: &mut Driven<'_>| {
        let cells = store.reader.cells(CellKind::Timer).expect("cells can be read");
        (store.reader.lineage(), store.all(), cells, store.stream("order-1", 4), store.version("order-2"))
    };
    let before = seen(&mut store);
    for _ in 0..2 {
        match store.reopen() {
            Ok(()) => assert!(seen(&mut store) == before, "opening again has changed what is there"),
            Err(cannot) => return left_out("opening again finds everything", cannot),
        }
    }
}

fn goes_on(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let mut revisions = BTreeSet::new();
    for round in 1..=4 {
        let expected = ExpectedVersion::Exact(StreamVersion((round - 1) * 2));
        let appends = vec![append("order-1", expected, events("t.made", 2))];
        store.commit(Commit { appends, cells: Vec::new() }).expect("the version is known");
        assert_eq!(store.reader.head(), Position(round * 2));
        store.change(CellKind::Timer, "a", ExpectedRevision::Any, Some(b"v")).expect("nothing is expected");
        assert!(revisions.insert(store.revision(CellKind::Timer, "a")), "a revision was given twice");
        if let Err(cannot) = store.reopen() {
            return left_out("opening again goes on counting", cannot);
        }
    }
    assert_eq!(positions_of(&store.all()), (1..=8).collect::<Vec<_>>());
}
