//! Snapshots: states read from them decide as states folded from the log, and whatever is wrong with one costs time only.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use factum_core::{
    envelope::Recorded,
    ports::{MAX_STATE_BYTES, SnapshotError, Snapshots},
    reaction::{Effects, Folding},
    service::Service,
    snapshot::Snapshot,
    stream::{Cursor, Lineage, Position},
};
use factum_runtime::{inbox::ExecuteError, snapshots::Background};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bank::*;
use super::bench::*;

/// Snapshots are taken early and often.
pub fn often() -> How {
    How::limits(|limits| (limits.snapshot_messages, limits.snapshot_positions) = (4, 6))
}

/// What has been noted in all books.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    notes: u32,
    sum: i64,
}

/// Accounts, books and two foldings whose events tell their states; with snapshots or without.
pub fn bank_with(snapshots: bool) -> Vec<Service> {
    let tally = |sums: &Sums, event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.emit("tally", &event.id, Told { id: event.id.clone(), cents: sums.notes.into(), sum: sums.sum });
    };
    // What is folded has no effects, so that the cursor moves over it in memory only.
    let folding = Folding::<Sums>::new("sums", 1)
        .fold(|sums: &mut Sums, event: &Recorded<'_, Noted>| {
            // Its own tallies are of this type too.
            if &*event.envelope().source == "books" {
                (sums.notes, sums.sum) = (sums.notes + 1, sums.sum + event.cents);
            }
        })
        .fold(|_: &mut Sums, event: &Recorded<'_, Paid>| assert!(event.note != "poison", "as asked"))
        .react(tally)
        .emits::<Told>("tally");
    // Its snapshots come and go apart from the other's, so that each is folded on from a place of its own.
    let counting = Folding::<Sums>::new("payments", 1)
        .fold(|count: &mut Sums, _: &Recorded<'_, Paid>| count.notes += 1)
        .react(|count: &Sums, event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.emit("count", &event.id, Told { id: event.id.clone(), cents: 0, sum: count.notes.into() });
        })
        .emits::<Told>("count");
    let tallies = Service::new("tallies").owns("tally").owns("count");
    let (accounts, tallies) = if snapshots {
        let tallies = tallies.folding(folding.snapshots()).folding(counting.snapshots());
        (Service::new("accounts").decider_with_snapshots::<Account>(1), tallies)
    } else {
        (accounts(), tallies.folding(folding).folding(counting))
    };
    vec![accounts, books(), tallies]
}

const ACCOUNT: &str = "stream/account-a";
const SUMS: &str = "fold/tallies.sums";

/// So many payments of 10 cents into account `a`, then a stop in order.
fn paid(payments: u32) -> Bench {
    let mut bench = Bench::with(bank_with(true), often());
    for number in 0..payments {
        bench.ask(&format!("p{number}"), pay("a", 10)).unwrap();
    }
    stop(&mut bench);
    bench
}

fn stop(bench: &mut Bench) {
    bench.engine.save_cursor().unwrap();
    bench.engine.take_snapshots();
}

fn snapshot(bench: &Bench, name: &str) -> Snapshot {
    bench.snapshots.get(name).unwrap().unwrap_or_else(|| panic!("no {name} in {:?}", bench.snapshots.names()))
}

/// Changes the state in a snapshot, so that it can be seen whether it is used.
fn falsify(bench: &Bench, name: &str) {
    let mut snapshot = snapshot(bench, name);
    let at = snapshot.state.windows(5).rposition(|text| text == b"e\":10" || text == b"m\":10").unwrap();
    snapshot.state[at + 3] = b'9';
    bench.snapshots.put(name, snapshot).unwrap();
}

/// The balance of account `a`, asked of its decider by paying too much.
fn balance(bench: &mut Bench) -> i64 {
    match bench.ask("too much", pay("a", 5_000)) {
        Err(ExecuteError::Rejected(refused)) => {
            let number = refused.message.split(' ').nth(4).unwrap();
            number.trim_end_matches(':').parse::<i64>().unwrap() - 5_000
        }
        other => panic!("{other:?}"),
    }
}

/// What the folding says of all notes before this payment.
fn sum(bench: &mut Bench) -> i64 {
    bench.ask(&format!("sum {}", bench.log().len()), pay("b", 1)).unwrap();
    let tallies = bench.stream("tally-b");
    figures(tallies.last().unwrap()).sum
}

#[test]
fn states_are_read_from_snapshots_and_the_rest_of_the_log() {
    let bench = paid(10);
    falsify(&bench, ACCOUNT);
    falsify(&bench, SUMS);
    let mut bench = bench.restart(bank_with(true));
    assert_eq!((balance(&mut bench), sum(&mut bench)), (900, 900), "both were 100: the snapshots are used");
    bench.ask("p10", pay("a", 7)).unwrap();
    // Without a stop: what came since is folded on top.
    let mut bench = bench.restart(bank_with(true));
    assert_eq!((balance(&mut bench), sum(&mut bench)), (907, 908));
    for name in bench.snapshots.names() {
        bench.snapshots.remove(&name).unwrap();
    }
    let mut bench = bench.restart(bank_with(true));
    assert_eq!((balance(&mut bench), sum(&mut bench)), (107, 109), "without snapshots the log alone counts");
}

#[test]
fn what_is_of_another_log_epoch_place_model_or_name_is_not_used() {
    type Change = fn(&mut Snapshot);
    let changes: [(&str, Change); 6] = [
        ("another log", |snapshot| snapshot.at.lineage.log_id[3] ^= 1),
        ("another epoch", |snapshot| snapshot.at.lineage.epoch += 1),
        ("ahead of the log", |snapshot| snapshot.at.position.0 += 1_000),
        ("another model", |snapshot| snapshot.model ^= 1),
        ("torn", |snapshot| snapshot.state.truncate(snapshot.state.len() - 1)),
        ("empty", |snapshot| snapshot.state.clear()),
    ];
    for (what, change) in changes {
        for while_running in [false, true] {
            let mut bench = paid(10);
            if while_running {
                bench = bench.restart(bank_with(true));
            }
            for name in [ACCOUNT, SUMS] {
                falsify(&bench, name);
                let mut changed = snapshot(&bench, name);
                change(&mut changed);
                bench.snapshots.put(name, changed).unwrap();
            }
            if while_running {
                bench.engine.reload().unwrap();
            } else {
                bench = bench.restart(bank_with(true));
            }
            assert_eq!((balance(&mut bench), sum(&mut bench)), (100, 100), "{what}, {while_running}");
            bench.check_versions();
        }
    }
}

#[test]
fn a_snapshot_ahead_of_its_log_does_not_come_true_when_the_log_has_grown() {
    let bench = paid(10);
    for name in [ACCOUNT, SUMS] {
        falsify(&bench, name);
        let mut ahead = snapshot(&bench, name);
        ahead.at.position.0 += 5;
        bench.snapshots.put(name, ahead).unwrap();
    }
    let mut bench = bench.restart(bank_with(true));
    for number in 0..3 {
        bench.ask(&format!("more{number}"), pay("c", 0)).unwrap();
        bench.ask(&format!("and more{number}"), pay("c", 1)).unwrap();
    }
    let mut bench = bench.restart(bank_with(true));
    assert_eq!((balance(&mut bench), sum(&mut bench)), (100, 103));
}

#[test]
fn a_snapshot_of_one_stream_is_not_used_for_another() {
    let mut bench = paid(10);
    for number in 0..10 {
        bench.ask(&format!("c{number}"), pay("c", 20)).unwrap();
    }
    stop(&mut bench);
    bench.snapshots.put(ACCOUNT, snapshot(&bench, "stream/account-c")).unwrap();
    let mut bench = bench.restart(bank_with(true));
    assert_eq!(balance(&mut bench), 100);
}

#[test]
fn a_raised_version_is_folded_from_the_log() {
    let bench = paid(10);
    falsify(&bench, ACCOUNT);
    let raised = vec![Service::new("accounts").decider_with_snapshots::<Account>(2), books()];
    let mut bench = bench.restart(raised);
    assert_eq!(balance(&mut bench), 100);
}

#[test]
fn a_repeated_command_gets_its_first_receipt_also_from_a_snapshot() {
    let mut bench = Bench::with(bank_with(true), often());
    let receipts: Vec<_> = (0..10).map(|number| bench.ask(&format!("p{number}"), pay("a", 10)).unwrap()).collect();
    stop(&mut bench);
    falsify(&bench, ACCOUNT);
    let mut bench = bench.restart(bank_with(true));
    for (number, first) in receipts.iter().enumerate() {
        let again = bench.ask(&format!("p{number}"), pay("a", 10)).unwrap();
        assert!(again.repeated);
        assert_eq!((&again.stream, again.version, again.position), (&first.stream, first.version, first.position));
    }
    let reused = bench.ask("p3", pay("a", 11)).unwrap_err();
    assert!(matches!(reused, ExecuteError::IdReused(_)), "{reused}");
    assert_eq!(balance(&mut bench), 900, "all this was answered from the snapshot");
}

#[test]
fn snapshots_are_taken_at_rest_and_under_load_but_not_of_small_states() {
    let mut bench = Bench::with(bank_with(true), often());
    for number in 0..3 {
        bench.ask(&format!("p{number}"), pay("a", 1)).unwrap();
    }
    assert!(!bench.snapshots.names().contains(&ACCOUNT.to_owned()), "three messages are soon folded");
    bench.ask("p3", pay("a", 1)).unwrap();
    assert!(bench.snapshots.names().contains(&ACCOUNT.to_owned()));
    bench.snapshots.remove(ACCOUNT).unwrap();
    for number in 4..100 {
        bench.send(&format!("p{number}"), pay("a", 1));
        bench.engine.step().unwrap();
    }
    assert!(bench.snapshots.names().contains(&ACCOUNT.to_owned()), "an engine that never rests takes them too");
    bench.run();
    let mut bench = bench.restart(bank_with(true));
    assert_eq!(balance(&mut bench), 100);
}

#[test]
fn a_foldings_snapshot_waits_until_its_cursor_is_stored() {
    let mut bench = Bench::with(bank_with(true), often());
    for number in 0..10 {
        bench.ask(&format!("p{number}"), pay("a", 10)).unwrap();
    }
    let head = bench.engine.health().lock().unwrap().cursor;
    let before = bench.snapshots.get(SUMS).unwrap().map_or(0, |snapshot| snapshot.at.position.0);
    assert!(before < head, "the cursor moved over the last notes in memory only");
    bench.engine.save_cursor().unwrap();
    bench.run();
    assert_eq!(snapshot(&bench, SUMS).at.position, Position(head));
}

#[test]
fn a_foldings_snapshot_is_taken_also_where_rests_are_many_and_no_cursor_is_stored_at_them() {
    let mut bench = Bench::with(bank_with(true), often());
    for number in 0..60 {
        bench.ask(&format!("p{number}"), pay("a", 10)).unwrap();
    }
    assert!(bench.snapshots.names().contains(&SUMS.to_owned()), "{:?}", bench.snapshots.names());
}

#[test]
fn the_state_of_a_folding_that_stopped_is_that_in_front_of_its_stop() {
    let mut bench = paid(6);
    bench.ask("bad", pay_with("a", 10, "poison")).unwrap();
    for number in 0..10 {
        bench.ask(&format!("q{number}"), pay("a", 10)).unwrap();
        stop(&mut bench);
    }
    assert_eq!(bench.health().stopped.len(), 1);
    let at = snapshot(&bench, SUMS).at.position;
    assert!(at.0 < bench.health().stopped[0].position, "{at}");
    let tallies = |bench: &Bench| bench.stream("tally-a").len();
    assert_eq!(tallies(&bench), 6);
    let fixed = || {
        let mut services = bank_with(false);
        let mut folding = Folding::<Sums>::new("sums", 1);
        folding = folding.fold(|sums: &mut Sums, event: &Recorded<'_, Noted>| {
            if &*event.envelope().source == "books" {
                (sums.notes, sums.sum) = (sums.notes + 1, sums.sum + event.cents);
            }
        });
        let folding = folding.fold(|_: &mut Sums, _: &Recorded<'_, Paid>| {});
        let folding = folding.snapshots().react(|sums: &Sums, event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.emit("tally", &event.id, Told { id: event.id.clone(), cents: 0, sum: sums.sum });
        });
        let folding = folding.emits::<Told>("tally");
        services[2] = Service::new("tallies").owns("tally").folding(folding);
        services
    };
    let mut bench = bench.restart(fixed());
    bench.run();
    let sums: Vec<i64> = bench.stream("tally-a").iter().map(|stored| figures(stored).sum).collect();
    assert_eq!(sums, (0..17).map(|payments| payments * 10).collect::<Vec<_>>(), "each tally knows what came before it");
}

/// A state that panics when it is written, or when it is read.
#[derive(Clone, Default)]
struct Touchy(i64);

/// What a [`Touchy`] panics at.
static WRITING: AtomicBool = AtomicBool::new(true);

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!WRITING.load(Ordering::SeqCst), "as asked");
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("as asked")
    }
}

#[test]
fn a_panic_while_a_state_is_written_or_read_costs_time_only() {
    let services = || {
        let folding = Folding::<Touchy>::new("touchy", 1)
            .fold(|seen: &mut Touchy, _: &Recorded<'_, Paid>| seen.0 += 1)
            .react(|seen: &Touchy, event: &Recorded<'_, Paid>, fx: &mut Effects| {
                fx.emit("tally", &event.id, Told { id: event.id.clone(), cents: 0, sum: seen.0 });
            })
            .emits::<Told>("tally")
            .snapshots();
        vec![accounts(), Service::new("tallies").owns("tally").folding(folding)]
    };
    let mut bench = Bench::with(services(), often());
    for number in 0..10 {
        bench.ask(&format!("p{number}"), pay("a", 10)).unwrap();
        stop(&mut bench);
    }
    assert_eq!(bench.snapshots.names(), [""; 0]);
    WRITING.store(false, Ordering::SeqCst);
    stop(&mut bench);
    assert_eq!(bench.snapshots.names(), [""; 0], "what failed once is not tried at every turn");
    let mut bench = bench.restart(services());
    bench.ask("p10", pay("a", 10)).unwrap();
    stop(&mut bench);
    assert_eq!(bench.snapshots.names(), ["fold/tallies.touchy"]);
    let mut bench = bench.restart(services());
    bench.ask("p11", pay("a", 10)).unwrap();
    assert_eq!(figures(bench.stream("tally-a").last().unwrap()).sum, 12);
    assert!(bench.health().stopped.is_empty());
}

/// A store that cannot be used.
struct Broken;

impl Snapshots for Broken {
    fn get(&self, _: &str) -> Result<Option<Snapshot>, SnapshotError> {
        Err(SnapshotError::Store("as told".to_owned()))
    }
    fn put(&self, _: &str, _: Snapshot) -> Result<(), SnapshotError> {
        Err(SnapshotError::Store("as told".to_owned()))
    }
    fn remove(&self, _: &str) -> Result<(), SnapshotError> {
        Err(SnapshotError::Store("as told".to_owned()))
    }
    fn retain(&self, _: Lineage, _: Position) -> Result<(), SnapshotError> {
        Err(SnapshotError::Store("as told".to_owned()))
    }
}

#[test]
fn a_store_of_snapshots_that_cannot_be_used_costs_time_only() {
    let mut bench = paid(10).restart_with(bank_with(true), Arc::new(Broken));
    assert_eq!((balance(&mut bench), sum(&mut bench)), (100, 100));
    stop(&mut bench);
}

/// A state that notes which thread writes it.
#[derive(Clone, Default, Deserialize)]
struct Heavy(i64);

static WRITTEN_BY: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

impl Serialize for Heavy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WRITTEN_BY.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
        self.0.serialize(serializer)
    }
}

#[test]
fn a_state_is_copied_by_the_engine_and_written_by_another_thread() {
    let services = || {
        let folding = Folding::<Heavy>::new("heavy", 1)
            .fold(|seen: &mut Heavy, _: &Recorded<'_, Paid>| seen.0 += 1)
            .react(|seen: &Heavy, event: &Recorded<'_, Paid>, fx: &mut Effects| {
                fx.emit("tally", &event.id, Told { id: event.id.clone(), cents: 0, sum: seen.0 });
            })
            .emits::<Told>("tally")
            .snapshots();
        vec![accounts(), Service::new("tallies").owns("tally").folding(folding)]
    };
    let inner = factum_core::memory_snapshots::MemorySnapshots::new();
    let background = || Arc::new(Background::over(Arc::new(inner.clone())).unwrap());
    let mut bench = Bench::with(services(), often()).restart_with(services(), background());
    for number in 0..10 {
        bench.ask(&format!("p{number}"), pay("a", 10)).unwrap();
    }
    stop(&mut bench);
    let mut bench = bench.restart_with(services(), background());
    assert!(inner.names().contains(&"fold/tallies.heavy".to_owned()), "what waits at the end is written");
    bench.ask("p10", pay("a", 10)).unwrap();
    assert_eq!(figures(bench.stream("tally-a").last().unwrap()).sum, 11);
    let by = WRITTEN_BY.lock().unwrap();
    // Reading one writes it once more, to see that nothing has changed its shape: that is the start's.
    assert!(by.iter().filter(|name| *name == "factum-snapshots").count() >= 1, "{by:?}");
    let here = std::thread::current().name().unwrap_or_default().to_owned();
    assert!(by.iter().filter(|name| **name == here).count() <= 1, "{by:?}");
}

/// A store whose `put` waits until it may go on.
struct Slow {
    may: Arc<std::sync::Barrier>,
    inner: factum_core::memory_snapshots::MemorySnapshots,
}

impl Snapshots for Slow {
    fn get(&self, name: &str) -> Result<Option<Snapshot>, SnapshotError> {
        self.inner.get(name)
    }
    fn put(&self, name: &str, snapshot: Snapshot) -> Result<(), SnapshotError> {
        self.may.wait();
        self.inner.put(name, snapshot)
    }
    fn remove(&self, name: &str) -> Result<(), SnapshotError> {
        self.inner.remove(name)
    }
    fn retain(&self, lineage: Lineage, head: Position) -> Result<(), SnapshotError> {
        self.inner.retain(lineage, head)
    }
}

#[test]
fn a_slow_store_holds_nobody_up_and_what_waits_at_the_end_is_written() {
    let inner = factum_core::memory_snapshots::MemorySnapshots::new();
    let may = Arc::new(std::sync::Barrier::new(2));
    let background = Background::over(Arc::new(Slow { may: may.clone(), inner: inner.clone() })).unwrap();
    let at = Cursor { lineage: Lineage::default(), position: Position(1) };
    let of = |bytes: usize| Snapshot { model: 1, at, state: vec![1; bytes] };
    for name in ["a", "b"] {
        background.put(name, of(MAX_STATE_BYTES / 2)).unwrap();
    }
    assert_eq!(background.put("c", of(1)), Err(SnapshotError::Busy), "full: skipped, not waited for");
    assert_eq!(inner.names(), [""; 0]);
    let go_on = std::thread::spawn(move || (0..2).for_each(|_| _ = may.wait()));
    drop(background);
    go_on.join().unwrap();
    assert_eq!(inner.names(), ["a", "b"]);
}
