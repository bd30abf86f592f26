//! What every store of snapshots must do: the promises of [`Snapshots`], one case each, and a random program against the
//! model.

use std::{collections::BTreeMap, sync::Arc};

use factum_core::{
    ports::{MAX_STATE_BYTES, SnapshotError, Snapshots},
    snapshot::Snapshot,
    stream::{Cursor, Lineage, Position},
};

use super::{Cannot, Run, left_out};

/// Makes the store of snapshots under test.
pub trait Subject {
    /// A new, empty store. Whatever was handed out before has been dropped.
    fn fresh(&mut self) -> Arc<dyn Snapshots>;

    /// The store that was handed out last, which has been dropped, opened again over the same data.
    ///
    /// # Errors
    /// [`Cannot`] if nothing of it is left.
    fn reopen(&mut self) -> Result<Arc<dyn Snapshots>, Cannot>;
}

/// A case: its name and what it does with a subject.
pub type Case = (&'static str, fn(&mut dyn Subject));

/// Runs all cases on a store of snapshots, which does what it is told before it returns.
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
        ("a name under which nothing was put has nothing", empty),
        ("a snapshot comes back as it was, and a later one replaces it", put),
        ("what was removed is gone, also if it never was there", removed),
        ("names are told apart, whatever text they are", names),
        ("what is of another log, or ahead of this one, is removed", retained),
        ("a state over the limit is refused and the one before may be gone", too_large),
        ("opening again finds what was put", reopened),
        ("readers and writers at once see whole snapshots", beside),
        ("a random program runs as on the model", random),
    ]
}

const LOG: Lineage = Lineage { log_id: [7; 16], epoch: 3 };

fn snapshot(position: u64, state: &[u8]) -> Snapshot {
    Snapshot {
        model: position.wrapping_mul(3),
        at: Cursor { lineage: LOG, position: Position(position) },
        state: state.to_vec(),
    }
}

fn found(store: &dyn Snapshots, name: &str) -> Option<Snapshot> {
    store.get(name).expect("a snapshot can be looked for")
}

fn keep(store: &dyn Snapshots, name: &str, snapshot: &Snapshot) {
    store.put(name, snapshot.clone()).expect("a snapshot can be put");
}

fn empty(subject: &mut dyn Subject) {
    assert_eq!(found(&*subject.fresh(), "fold/a"), None);
}

fn put(subject: &mut dyn Subject) {
    let store = subject.fresh();
    let large: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    for (position, state) in [(4, &b"one"[..]), (9, b""), (2, &large), (u64::MAX, b"\0\xff")] {
        keep(&*store, "fold/a", &snapshot(position, state));
        assert_eq!(found(&*store, "fold/a"), Some(snapshot(position, state)));
    }
}

fn removed(subject: &mut dyn Subject) {
    let store = subject.fresh();
    for name in ["a", "b"] {
        keep(&*store, name, &snapshot(1, name.as_bytes()));
    }
    for name in ["a", "a", "never there"] {
        store.remove(name).expect("a snapshot can be removed");
    }
    assert_eq!((found(&*store, "a"), found(&*store, "b")), (None, Some(snapshot(1, b"b"))));
    keep(&*store, "a", &snapshot(2, b"again"));
    assert_eq!(found(&*store, "a"), Some(snapshot(2, b"again")));
}

fn names(subject: &mut dyn Subject) {
    let store = subject.fresh();
    let long = "n".repeat(511);
    let longer = "n".repeat(512);
    let names =
        ["a", "A", "a ", "a/b", "a\\b", "../a", ".", "..", "a.b", "con", "ä", "a\u{308}", "%61", &long, &longer];
    for (position, name) in (1..).zip(names) {
        keep(&*store, name, &snapshot(position, name.as_bytes()));
    }
    for (position, name) in (1..).zip(names) {
        assert_eq!(found(&*store, name), Some(snapshot(position, name.as_bytes())), "{name}");
    }
}

fn retained(subject: &mut dyn Subject) {
    let store = subject.fresh();
    let other = |lineage| Snapshot { at: Cursor { lineage, position: Position(1) }, ..snapshot(1, b"x") };
    keep(&*store, "behind", &snapshot(9, b"x"));
    keep(&*store, "at the head", &snapshot(10, b"x"));
    keep(&*store, "ahead", &snapshot(11, b"x"));
    keep(&*store, "another log", &other(Lineage { log_id: [8; 16], ..LOG }));
    keep(&*store, "an earlier epoch", &other(Lineage { epoch: 2, ..LOG }));
    keep(&*store, "a later epoch", &other(Lineage { epoch: 4, ..LOG }));
    store.retain(LOG, Position(10)).expect("snapshots can be sifted");
    let stay = ["behind", "at the head", "ahead", "another log", "an earlier epoch", "a later epoch"];
    let stay: Vec<&str> = stay.into_iter().filter(|name| found(&*store, name).is_some()).collect();
    assert_eq!(stay, ["behind", "at the head"]);
    store.retain(LOG, Position(9)).expect("snapshots can be sifted");
    store.retain(LOG, Position(10)).expect("snapshots can be sifted");
    assert_eq!(found(&*store, "at the head"), None, "what was ahead once does not come back");
}

fn too_large(subject: &mut dyn Subject) {
    let store = subject.fresh();
    keep(&*store, "a", &snapshot(1, b"small"));
    let refused = store.put("a", snapshot(2, &vec![0; MAX_STATE_BYTES + 1]));
    assert_eq!(refused, Err(SnapshotError::TooLarge { bytes: MAX_STATE_BYTES + 1 }));
    assert!(found(&*store, "a").is_none_or(|found| found == snapshot(1, b"small")));
    keep(&*store, "a", &snapshot(3, &vec![1; MAX_STATE_BYTES]));
    assert_eq!(found(&*store, "a").map(|found| found.state.len()), Some(MAX_STATE_BYTES));
}

fn reopened(subject: &mut dyn Subject) {
    let store = subject.fresh();
    keep(&*store, "a", &snapshot(1, b"one"));
    keep(&*store, "b", &snapshot(2, b"two"));
    store.remove("b").expect("a snapshot can be removed");
    drop(store);
    match subject.reopen() {
        Err(cannot) => left_out("opening again finds what was put", cannot),
        Ok(store) => assert_eq!((found(&*store, "a"), found(&*store, "b")), (Some(snapshot(1, b"one")), None)),
    }
}

fn beside(subject: &mut dyn Subject) {
    let store = subject.fresh();
    let of = |number: u64| snapshot(number, &vec![number as u8; 50_000 + number as usize]);
    keep(&*store, "a", &of(0));
    std::thread::scope(|scope| {
        let writers = [1, 2].map(|first| {
            let store = &store;
            scope.spawn(move || (0..50).for_each(|turn| keep(&**store, "a", &of(first + 2 * turn))))
        });
        let mut looked = 0;
        while looked < 50 || writers.iter().any(|writer| !writer.is_finished()) {
            let seen = found(&*store, "a").expect("one of them is always there");
            assert_eq!(seen, of(seen.at.position.0));
            looked += 1;
        }
    });
    let last = found(&*store, "a").map(|last| last.at.position.0);
    assert!(matches!(last, Some(99 | 100)), "the last of one of the two writers stays: {last:?}");
}

fn random(subject: &mut dyn Subject) {
    for seed in super::random::seeds(8) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut store = subject.fresh();
        let mut model: BTreeMap<String, Snapshot> = BTreeMap::new();
        for step in 0..150 {
            let name = format!("n{}", rng.u32(0..6));
            let at = format!("step {step} of seed {seed}; FACTUM_SEED={seed} runs it again");
            match rng.u32(0..10) {
                0..4 => {
                    let new = snapshot(rng.u64(0..50), &vec![rng.u8(..); rng.usize(0..3_000)]);
                    keep(&*store, &name, &new);
                    model.insert(name, new);
                }
                4 => {
                    store.remove(&name).expect("a snapshot can be removed");
                    model.remove(&name);
                }
                5 => {
                    let head = Position(rng.u64(25..60));
                    store.retain(LOG, head).expect("snapshots can be sifted");
                    model.retain(|_, snapshot| snapshot.at.position <= head);
                }
                6 => {
                    drop(store);
                    store = subject.reopen().unwrap_or_else(|_| {
                        model.clear();
                        subject.fresh()
                    });
                }
                _ => assert_eq!(found(&*store, &name), model.get(&name).cloned(), "{at}"),
            }
        }
    }
}
