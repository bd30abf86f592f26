//! Digests of commands that may be sent again: under a key, under another one, and from before there were keys.

use factum_core::{
    cell::CellKind,
    commit::{Append, Commit},
    envelope::{Draft, Envelope, Kind, Message, digest},
    id::{MessageId, Name},
    ports::{Reader, Snapshots},
    stream::{ExpectedVersion, StreamId},
};
use factum_runtime::inbox::{ExecuteError, Receipt};

use super::bench::*;
use super::repeats::{Receive, depots, receive};
use super::snapshots::often;

fn under(key: u8) -> How {
    How { key, ..often() }
}

/// Refused, because the first body under its sender's key was another one.
fn is_reused(asked: Result<Receipt, ExecuteError>) -> bool {
    matches!(asked, Err(ExecuteError::IdReused(_)))
}

/// The value of the cell.
fn in_use(bench: &Bench) -> (String, u64) {
    let cells = bench.store.cells(CellKind::Digests).unwrap();
    let [cell] = cells.as_slice() else { panic!("{cells:?}") };
    let value: serde_json::Value = serde_json::from_slice(&cell.value).unwrap();
    (value["key"].as_str().unwrap().to_owned(), value["since"].as_u64().unwrap())
}

#[test]
fn what_is_stored_of_a_command_can_only_be_computed_with_the_key() {
    let bodies = || [receive("d", "tea", 5), receive("d", "tea", 5), receive("d", "tea", 0), receive("e", "tea", 5)];
    let stored = |key| {
        let mut bench = Bench::with(depots(), under(key));
        for (number, body) in bodies().into_iter().enumerate() {
            bench.ask(&format!("r{number}"), body).unwrap();
        }
        let log = bench.log();
        let stored =
            log.iter().map(|stored| (stored.envelope().digest.unwrap(), stored.envelope().repeat_key.unwrap()));
        stored.collect::<Vec<_>>()
    };
    let (one, other) = (stored(1), stored(2));
    let plain = bodies().map(|body| {
        let draft = Draft::of(&body).unwrap();
        (digest(&draft.type_name, &draft.data), digest("", b"tea"))
    });
    for ((plain, one), other) in plain.iter().zip(&one).zip(&other) {
        for (plain, one, other) in [(plain.0, one.0, other.0), (plain.1, one.1, other.1)] {
            assert!(plain != one && plain != other, "I17: a plain digest of what was sent is stored");
            assert_ne!(one, other, "it is the key's");
        }
    }
    assert_ne!(one[0].0, one[1].0, "the same body under two keys of its sender's");
    assert_eq!(one[0].1, one[1].1, "what is about the same thing is found together");
    assert_ne!(one[0].1, one[3].1, "and not beyond its aggregate");
}

#[test]
fn behind_another_key_the_senders_key_alone_tells_what_was_carried_out() {
    let mut bench = Bench::with(depots(), under(1));
    let first = bench.ask("r1", receive("d", "tea", 5)).unwrap();
    let unchanged = bench.ask("r2", receive("d", "tea", 0)).unwrap();
    (0..4).for_each(|number| _ = bench.ask(&format!("n{number}"), receive("d", "cup", 1)).unwrap());
    let (name, since) = in_use(&bench);
    assert_eq!(since, 0);
    assert!(is_reused(bench.ask("r1", receive("d", "tea", 6))));
    bench.engine.save_cursor().unwrap();
    bench.engine.take_snapshots();
    for from_snapshot in [true, false] {
        if !from_snapshot {
            bench.snapshots.names().iter().for_each(|name| bench.snapshots.remove(name).unwrap());
        }
        let head = bench.log().len();
        let key = if from_snapshot { 2 } else { 3 };
        bench = bench.restart_as(depots(), under(key));
        for (id, first) in [("r1", &first), ("r2", &unchanged)] {
            for units in [5, 0, 6] {
                let again = bench.ask(id, receive("d", "tea", units));
                let again = again.unwrap_or_else(|error| panic!("I1: a repeated command is refused: {error}"));
                assert_eq!((again.version, again.position, again.repeated), (first.version, first.position, true));
            }
        }
        assert_eq!(bench.log().len(), head, "nothing is carried out again");
        let new = format!("new-{key}");
        bench.ask(&new, receive("d", "tea", 5)).unwrap();
        assert!(in_use(&bench) != (name.clone(), 0) && in_use(&bench).1 == head as u64);
        // From the cache, and from the log again: what is behind the change is compared.
        for _ in 0..2 {
            assert!(bench.ask(&new, receive("d", "tea", 5)).unwrap().repeated);
            assert!(is_reused(bench.ask(&new, receive("d", "tea", 6))));
            bench = bench.restart_as(depots(), under(key));
            assert_eq!(bench.ask("r1", receive("d", "tea", 6)).unwrap().position, first.position);
        }
    }
}

#[test]
fn the_same_key_is_in_use_from_the_first_position_on_whatever_fails_and_ends() {
    let mut bench = Bench::with(depots(), under(1));
    bench.faults.at(1, Fault::Transient);
    drop(bench.post_as("r1", receive("d", "tea", 5)));
    assert!(bench.engine.step().is_err());
    assert_eq!((bench.cells(CellKind::Digests), bench.log().len()), (0, 0));
    bench.ask("r1", receive("d", "tea", 5)).unwrap();
    let cell = |bench: &Bench| bench.store.cells(CellKind::Digests).unwrap().remove(0);
    let (known, written) = (in_use(&bench), cell(&bench));
    assert_eq!(known.1, 0);
    let mut bench = bench.restart_as(depots(), under(1));
    assert!(is_reused(bench.ask("r1", receive("d", "tea", 6))));
    bench.ask("r2", receive("d", "tea", 5)).unwrap();
    assert_eq!(cell(&bench), written, "it is not written again");
}

/// It has no position yet.
#[test]
fn what_is_not_stored_yet_is_compared_also_right_behind_a_change_of_the_key() {
    let mut bench = Bench::with(depots(), under(1));
    bench.ask("r1", receive("d", "tea", 5)).unwrap();
    let mut bench = bench.restart_as(depots(), under(2));
    let [mut first, mut second] = [5, 6].map(|units| bench.post_as("r2", receive("d", "tea", units)));
    bench.run();
    assert!(!first.try_recv().unwrap().unwrap()[0].repeated);
    assert!(matches!(second.try_recv().unwrap(), Err(ExecuteError::IdReused(_))));
}

#[test]
fn commands_together_are_one_repeat_also_behind_another_key() {
    let together = |units| vec![request("r1", receive("d", "tea", units)), request("r2", receive("e", "cup", units))];
    let mut bench = Bench::with(depots(), under(1));
    let first = bench.ask_all(together(5)).unwrap();
    let mut bench = bench.restart_as(depots(), under(2));
    for units in [5, 6] {
        let again = bench.ask_all(together(units)).unwrap();
        assert!(again.iter().zip(&first).all(|(again, first)| again.repeated && again.position == first.position));
    }
}

#[test]
fn what_is_about_one_thing_is_remembered_at_least_as_long_behind_another_key() {
    let mut bench = Bench::with(depots(), under(1));
    let send = |bench: &mut Bench, name: &str, count: usize, article: &str| {
        (0..count).for_each(|number| bench.send(&format!("{name}{number}"), receive("d", article, 1)));
        bench.run();
    };
    send(&mut bench, "old", 65, "tea");
    let mut bench = bench.restart_as(depots(), under(2));
    send(&mut bench, "new", 65, "tea");
    send(&mut bench, "other", 2_000, "");
    let sends = |bench: &mut Bench, id: &str| bench.ask(id, receive("d", "tea", 1)).unwrap().repeated;
    for known in ["old1", "old64", "new1", "new64"] {
        assert!(sends(&mut bench, known), "{known}");
    }
    assert!(!sends(&mut bench, "new0"), "the sixty-fifth under this key");
    assert!(!sends(&mut bench, "old0"), "the sixty-fifth under the former");
}

/// A message as programs wrote it that knew no key.
fn plain(id: &str, body: &Receive) -> Append {
    let draft = Draft::of(body).unwrap();
    let cause = MessageId::parse(id).unwrap();
    let envelope = Envelope {
        id: MessageId::derived(&[id]),
        kind: Kind::Receipt,
        type_name: draft.type_name.clone(),
        source: Name::Static("depots"),
        data_version: Name::Static("1.0.0"),
        timestamp: NOW,
        correlation_id: cause.clone(),
        causation_id: Some(cause),
        partition_key: "d".into(),
        user_id: None,
        tenant: None,
        traceparent: None,
        metadata: None,
        depth: 1,
        digest: Some(digest(&draft.type_name, &draft.data)),
        repeat_key: Some(digest("", b"tea")),
    };
    let messages = vec![Message { envelope, data: b"{}".as_slice().into() }];
    let stream = StreamId::parse("depot-d").unwrap();
    Append { stream, expected: ExpectedVersion::Any, writer: Name::Static("depots"), messages }
}

#[test]
fn a_log_from_before_there_were_keys_is_gone_on_with() {
    let body = |units| receive("d", "tea", units);
    let bench = Bench::with(depots(), under(1));
    bench.committer.commit(Commit { appends: vec![plain("r1", &body(0))], cells: vec![] }).unwrap();
    assert_eq!(bench.cells(CellKind::Digests), 0);
    let mut bench = bench.restart(depots());
    for units in [0, 5] {
        let again = bench.ask("r1", body(units)).unwrap();
        assert!(again.repeated && again.position.0 == 1);
    }
    bench.ask("r2", body(5)).unwrap();
    assert_eq!(in_use(&bench).1, 1);
    assert!(is_reused(bench.ask("r2", body(6))));
}
