//! The tail of a log to which others write, too: what it was not handed is read from the store.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use factum_core::{
    commit::{Owners, Plan, PlannedAppend, Wanted},
    digest_key::DigestKey,
    envelope::{Kind, Message, Outgoing},
    error::StoreError,
    id::{MessageId, Name},
    memory::Memory,
    memory_notes::MemoryNotes,
    memory_rows::MemoryRows,
    memory_snapshots::MemorySnapshots,
    ports::{Backend, Clock, Judge, Others, Reader, Written},
    stream::{Position, StreamId, StreamVersion},
};
use factum_runtime::{
    clock::LiveClock,
    engine::{Arrange, Limits},
    ids::UuidSource,
    supervisor::{Unit, UnitParts},
    tail::{Behind, Tail},
};

use super::bank::*;
use super::bench::*;

#[test]
fn what_others_wrote_between_two_frames_is_behind() {
    let mut bench = Bench::new(bank());
    for number in 0..8 {
        bench.ask(&format!("p{number}"), pay("a", 1)).unwrap();
    }
    let log = bench.log();
    let tail = Tail::new(Position::START);
    let through = |after: u64| {
        let frame = tail.after(Position(after))?;
        Ok(frame.map(|frame| (frame.after.0, frame.through.0)))
    };
    tail.push(log[..2].to_vec());
    // Others wrote two.
    tail.push(log[4..6].to_vec());
    assert_eq!(through(0), Ok(Some((0, 2))));
    assert_eq!((through(2), through(3)), (Err(Behind), Err(Behind)));
    assert_eq!((through(4), through(6)), (Ok(Some((4, 6))), Ok(None)));
    assert_eq!(tail.head(), Position(6));
    tail.move_to(Position(8));
    tail.move_to(Position(7));
    assert_eq!((tail.head(), through(6), through(8)), (Position(8), Err(Behind), Ok(None)));
}

#[test]
fn a_head_that_others_moved_wakes_those_who_follow() {
    let tail = Tail::new(Position::START);
    let mut follows = tail.watch();
    tail.move_to(Position::START);
    assert!(!follows.has_changed().unwrap());
    tail.move_to(Position(1));
    assert!(follows.has_changed().unwrap());
    assert_eq!(*follows.borrow_and_update(), Position(1));
}

/// A log in memory to which others write, too.
#[derive(Clone, Default)]
struct Shared {
    log: Memory,
    owned: Arc<Mutex<BTreeSet<String>>>,
    /// How often the head cannot be asked for.
    fails: Arc<AtomicU32>,
    gone: Arc<AtomicBool>,
}

impl Backend for Shared {
    fn transact(&mut self, wanted: &Wanted, judge: &mut Judge<'_>) -> Result<Option<Written>, StoreError> {
        self.log.transact(wanted, judge)
    }
    fn owns(&mut self, owners: &Owners) -> Result<(), StoreError> {
        *self.owned.lock().unwrap() = owners.iter().map(|(category, _)| category.to_owned()).collect();
        Ok(())
    }
    fn others(&self) -> Option<Box<dyn Others>> {
        Some(Box::new(Polled(self.clone())))
    }
    fn reader(&self) -> Arc<dyn Reader> {
        Backend::reader(&self.log)
    }
    fn durability(&self) -> &'static str {
        "memory"
    }
}

/// Asks for the head.
struct Polled(Shared);

impl Others for Polled {
    fn wait(&mut self, _: Duration) -> Result<Position, StoreError> {
        std::thread::yield_now();
        let fails = self.0.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match fails {
            Ok(_) => Err(StoreError::Transient("as told".to_owned())),
            Err(_) => Ok(Backend::reader(&self.0.log).head()),
        }
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::SeqCst);
    }
}

/// Payments into an account that no service here owns, as others write them: the books read them all the same.
fn others_write(log: &mut Memory, number: u64) {
    let paid = Paid { id: "a".to_owned(), cents: 1, note: String::new() };
    let (stream, id) = (StreamId::parse("elsewhere-a").unwrap(), MessageId::derived(&["others", &number.to_string()]));
    let at = LiveClock::default().mark();
    let outgoing = Outgoing::event(&Name::Static("elsewhere"), stream.clone(), &paid, id, at).unwrap();
    let messages: Vec<Message> = factum_core::commit::Append::from(outgoing).messages;
    assert_eq!(messages[0].envelope.kind, Kind::Event);
    let append = PlannedAppend { stream, first: StreamVersion(number), messages };
    let plan = Plan { appends: vec![append], cells: Vec::new() };
    log.transact(&Wanted::default(), &mut |_| vec![plan.clone()]).unwrap();
}

fn start(store: &Shared) -> Unit {
    Unit::start(UnitParts {
        services: bank(),
        backend: Box::new(store.clone()),
        rows: Box::new(MemoryRows::new()),
        snapshots: Arc::new(MemorySnapshots::new()),
        notes: Arc::new(MemoryNotes::new()),
        digest_key: DigestKey::KNOWN,
        program: "test".to_owned(),
        clock: Arc::new(LiveClock::default()),
        ids: Box::new(UuidSource::seeded(1)),
        hold_unknown: false,
        about: Default::default(),
        arrange: Arrange::AsTaken,
        limits: Limits::default(),
        between: None,
    })
    .unwrap()
}

/// What a store's reactions noted of the payments of others and of the unit's own, once each.
async fn notes(store: &Shared, wanted: usize) {
    let book = StreamId::parse("book-a").unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let noted = Backend::reader(&store.log).stream(&book, StreamVersion(0)).unwrap().len();
        assert!(noted <= wanted && Instant::now() < until, "{noted} notes, and {wanted} payments");
        if noted == wanted {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_beside_a_running_unit_is_handled_once() {
    let store = Shared::default();
    let unit = start(&store);
    assert!(store.owned.lock().unwrap().contains("account"), "others are told what they leave alone");
    let mut log = store.log.clone();
    for number in 1..=50 {
        others_write(&mut log, number);
        if number % 5 == 0 {
            unit.execute(vec![request(&format!("p{number}"), pay("a", 1))]).await.unwrap();
        }
    }
    notes(&store, 60).await;
    unit.rest().await.unwrap();
    notes(&store, 60).await;
    assert_eq!(unit.head(), Backend::reader(&store.log).head());
    unit.stop().await;
    assert!(store.gone.load(Ordering::SeqCst), "nobody follows behind the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_cannot_be_asked_for_is_asked_for_again() {
    let store = Shared::default();
    store.fails.store(3, Ordering::SeqCst);
    let unit = start(&store);
    others_write(&mut store.log.clone(), 1);
    notes(&store, 1).await;
    assert_eq!(store.fails.load(Ordering::SeqCst), 0);
    drop(unit);
    assert!(store.gone.load(Ordering::SeqCst));
}
