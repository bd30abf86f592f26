//! User code that fails where nobody thinks of it, and who waits for what: each fault stays where it is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use factum_core::{
    cell::{CellKey, CellKind},
    commit::Wanted,
    decider::{Context, Decider},
    digest_key::DigestKey,
    envelope::{Envelope, Recorded},
    error::StoreError,
    memory::Memory,
    memory_notes::MemoryNotes,
    memory_rows::MemoryRows,
    memory_snapshots::MemorySnapshots,
    ports::{Backend, Judge, Reader, Written},
    reaction::{Effects, Folding, Reaction},
    rejection::Never,
    service::Service,
    stream::Position,
    timer::TimerTo,
    view::Rows,
};
use factum_macros::{Command, Event, Row};
use factum_runtime::{
    acts::What,
    clock::LiveClock,
    engine::{Arrange, Limits},
    ids::UuidSource,
    outward::Outward,
    registry::{Registry, RegistryError},
    supervisor::{Unit, UnitParts},
    views::{Parts, Views},
};
use serde::{Serialize, Serializer};

use super::bank::*;
use super::bench::*;

#[derive(Event)]
#[event("touchy.touched")]
struct Touched {
    id: String,
    large: u64,
}

#[derive(Command)]
#[command("touchy.touch")]
struct Touch {
    id: String,
    large: u64,
}

/// Its size, and how it begins, are user code too.
struct Touchy {
    large: u64,
}

static NO_DEFAULT: AtomicBool = AtomicBool::new(false);

impl Default for Touchy {
    fn default() -> Self {
        assert!(!NO_DEFAULT.load(Ordering::SeqCst), "no default, as asked");
        Self { large: 0 }
    }
}

impl Decider for Touchy {
    const CATEGORY: &'static str = "touchy";
    type Id = String;
    type Command = Touch;
    type Event = Touched;
    type Rejection = Never;

    fn address(command: &Touch, _: &Envelope) -> String {
        command.id.clone()
    }
    fn decide(&self, _: &String, Touch { id, large }: Touch, _: &Context) -> Result<Vec<Touched>, Never> {
        Ok(vec![Touched { id, large }])
    }
    fn evolve(&mut self, event: &Touched) {
        self.large = event.large;
    }
    fn bytes(&self) -> usize {
        assert!(self.large != u64::MAX, "no size, as asked");
        self.large as usize
    }
}

#[test]
fn an_aggregate_whose_size_or_beginning_panics_is_its_own_trouble() {
    let services = || vec![Service::new("touchy").decider::<Touchy>(), accounts()];
    let mut bench = Bench::new(services());
    bench.ask("t1", Touch { id: "a".to_owned(), large: u64::MAX }).unwrap();
    bench.ask("t2", Touch { id: "a".to_owned(), large: 1 }).unwrap();
    NO_DEFAULT.store(true, Ordering::SeqCst);
    let refused = bench.ask("t3", Touch { id: "b".to_owned(), large: 1 }).unwrap_err().to_string();
    NO_DEFAULT.store(false, Ordering::SeqCst);
    assert!(refused.contains("no default, as asked"), "{refused}");
    bench.ask("p1", pay("a", 1)).unwrap();
    bench.ask("t4", Touch { id: "b".to_owned(), large: 1 }).unwrap();
}

#[test]
fn an_aggregate_that_is_larger_than_the_cache_does_not_drive_out_the_others() {
    let services = || vec![Service::new("touchy").decider::<Touchy>(), accounts()];
    let mut bench = Bench::with(services(), How::limits(|limits| limits.state_bytes = 100_000));
    for number in 0..20 {
        bench.ask(&format!("p{number}"), pay(&format!("a{number}"), 1)).unwrap();
    }
    bench.ask("large", Touch { id: "a".to_owned(), large: 1_000_000 }).unwrap();
    assert!(bench.health().state_bytes <= 100_000, "I16: {}", bench.health().state_bytes);
    let reads = bench.faults.reads();
    for number in 0..20 {
        bench.ask(&format!("q{number}"), pay(&format!("a{number}"), 1)).unwrap();
    }
    assert_eq!(bench.faults.reads(), reads, "they are still in the cache");
}

struct Row13(i64);

impl Serialize for Row13 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 != 13, "no JSON, as asked");
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Row13 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self)
    }
}

impl Clone for Row13 {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

#[derive(Clone, Row)]
#[row("touchy_rows")]
struct TouchyRow {
    #[key]
    id: String,
    cents: Row13,
}

#[derive(Clone, Debug, Row)]
#[row("plain_rows")]
struct PlainRow {
    #[key]
    id: String,
}

#[test]
fn a_row_that_cannot_be_written_stops_its_view_in_front_of_its_event_and_no_other() {
    let touchy = |rows: &mut Rows<'_, TouchyRow>, event: &Recorded<'_, Paid>| {
        rows.put(TouchyRow { id: event.id.clone(), cents: Row13(event.cents) });
    };
    let plain = |rows: &mut Rows<'_, PlainRow>, event: &Recorded<'_, Paid>| rows.put(PlainRow { id: event.id.clone() });
    let service = || Service::new("accounts").decider::<Account>().view(1, touchy).view(1, plain);
    let mut bench = Bench::new(vec![service()]);
    for (number, cents) in [1, 2, 13, 4].into_iter().enumerate() {
        bench.ask(&format!("p{number}"), pay(&format!("a{number}"), cents)).unwrap();
    }
    let registry = Arc::new(Registry::new(vec![service()]).unwrap());
    let store = Box::new(MemoryRows::new());
    let mut views =
        Views::open(Parts::alone(registry, store, bench.committer.reader(), bench.committer.tail())).unwrap();
    for _ in 0..20 {
        views.step().unwrap();
    }
    let all = views.progress().all();
    assert_eq!((all["touchy_rows"].position, all["plain_rows"].position), (Position(2), Position(4)));
    let why = all["touchy_rows"].stopped.clone().unwrap();
    assert!(why.contains("position 3") && why.contains("no JSON, as asked"), "{why}");
}

/// A view that was declared so leaves the event out, with a letter, and says from where on its rows lack something.
#[test]
fn a_view_that_skips_goes_on_behind_a_letter_and_says_that_its_rows_are_incomplete() {
    let view = |rows: &mut Rows<'_, PlainRow>, event: &Recorded<'_, Paid>| {
        assert!(event.cents != 13, "as asked");
        rows.put(PlainRow { id: event.id.clone() });
    };
    let mended = |rows: &mut Rows<'_, PlainRow>, event: &Recorded<'_, Paid>| {
        assert!(event.cents != 14, "one is left");
        rows.put(PlainRow { id: event.id.clone() });
    };
    let service = |version| match version {
        1 => Service::new("accounts").decider::<Account>().view_skipping(1, view),
        _ => Service::new("accounts").decider::<Account>().view_skipping(version, mended),
    };
    let mut bench = Bench::new(vec![service(1)]);
    for (number, cents) in [1, 13, 3, 14].into_iter().enumerate() {
        bench.ask(&format!("p{number}"), pay(&format!("a{number}"), cents)).unwrap();
    }
    let rows = MemoryRows::new();
    let open = |bench: &Bench, rows: &MemoryRows, version| {
        let registry = Arc::new(Registry::new(vec![service(version)]).unwrap());
        let parts = Parts::alone(registry, Box::new(rows.clone()), bench.committer.reader(), bench.committer.tail());
        Views::open(Parts { inbox: Some(bench.inbox.clone()), most_letters: 2, ..parts }).unwrap()
    };
    let mut views = open(&bench, &rows, 1);
    views.step().unwrap();
    assert_eq!(views.progress().all()["plain_rows"].position, Position(1), "it waits until its letter is durable");
    for _ in 0..10 {
        bench.run();
        views.step().unwrap();
    }
    let state = views.progress().all()["plain_rows"].clone();
    assert_eq!((state.position, state.stopped, state.incomplete_from), (Position(4), None, Some(Position(2))));
    assert_eq!(bench.letter().to_string(), "view:plain_rows@2");
    // A start knows it too.
    let views = open(&bench, &rows, 1);
    assert_eq!(views.progress().all()["plain_rows"].incomplete_from, Some(Position(2)));
    // Built anew, its letters are those of the new rows.
    let mut views = open(&bench, &rows, 2);
    assert_eq!(views.progress().all()["plain_rows"].incomplete_from, None);
    for _ in 0..10 {
        views.step().unwrap();
        bench.run();
    }
    let state = views.progress().all()["plain_rows"].clone();
    assert_eq!((state.position, state.live, state.incomplete_from), (Position(4), true, Some(Position(4))));
    assert_eq!(bench.letter().to_string(), "view:plain_rows@4");
    let health = bench.engine.health().lock().unwrap().clone();
    let counted: Vec<_> = health.consumers.iter().map(|it| (it.name.as_str(), it.letters)).collect();
    assert_eq!(counted, [("view:plain_rows", 1)]);
    views.save_cursors().unwrap();
    let views = open(&bench, &rows, 2);
    assert_eq!(views.progress().all()["plain_rows"].incomplete_from, Some(Position(4)), "a later start agrees");
    let again = bench.act(What::Redrive(bench.letter())).unwrap_err().to_string();
    assert!(again.contains("raise its version"), "{again}");
    // It has room for one more, and then it stops instead of leaving out everything.
    let mut views = open(&bench, &rows, 2);
    for number in 5..8 {
        bench.ask(&format!("p{number}"), pay("z", 14)).unwrap();
    }
    for _ in 0..10 {
        views.step().unwrap();
        bench.run();
    }
    let state = views.progress().all()["plain_rows"].clone();
    assert_eq!((bench.letters().len(), state.position), (2, Position(5)));
    assert!(state.stopped.unwrap().contains("it has 2 letters"));
    // A person may end them, too.
    bench.act(What::Discard(bench.letters().remove(1).id)).unwrap();
    bench.act(What::Discard(bench.letter())).unwrap();
    assert!(bench.letters().is_empty());
}

#[test]
fn handlers_whose_streams_would_be_one_and_names_of_the_platform_are_refused() {
    let nothing = |_: &Recorded<'_, Paid>, _: &mut Effects| {};
    let twice = Service::new("books").react("a-b", nothing).react("a_b", nothing);
    let Err(RegistryError::SameStreams { one, other }) = Registry::new(vec![twice]) else { panic!("it was taken") };
    assert_eq!((one.as_str(), other.as_str()), ("books.a-b", "books.a_b"));
    assert!(matches!(Registry::new(vec![Service::new("factum")]), Err(RegistryError::Reserved)));
    let letters = Service::new("post").owns("letter");
    assert!(matches!(Registry::new(vec![letters]), Err(RegistryError::TwoOwners { .. })));
    let long: &'static str = "x".repeat(100).leak();
    assert!(matches!(Registry::new(vec![Service::new(long).react(long, nothing)]), Err(RegistryError::Name(_))));
}

/// The cell of a stopped consumer is written when it changes, not with every commit.
#[test]
fn a_stopped_consumer_costs_nothing_with_each_commit() {
    let folding = Folding::<i64>::new("count", 1)
        .fold(|_: &mut i64, _: &Recorded<'_, Paid>| panic!("{}", "as asked ".repeat(100_000)));
    let mut bench = Bench::new(vec![accounts(), Service::new("odd").folding(folding)]);
    bench.ask("p0", pay("a", 1)).unwrap();
    let cell = |bench: &Bench| bench.store.cell(&CellKey::new(CellKind::Cursor, "odd.count")).unwrap().unwrap();
    let before = cell(&bench);
    assert!(before.value.len() < 2_000, "{} bytes", before.value.len());
    for number in 1..5 {
        bench.ask(&format!("p{number}"), pay("a", 1)).unwrap();
    }
    assert_eq!(cell(&bench).revision, before.revision);
}

/// What a saga sends is as deep as its start, however long it is; an answer counts as its call.
#[test]
fn a_long_line_of_timers_and_steps_is_no_loop() {
    let again = |event: &Recorded<'_, Noted>, fx: &mut Effects| {
        if event.sum < 200 {
            fx.after(AGAIN, std::time::Duration::from_secs(1), Note { id: event.id.clone(), cents: 1 });
        }
    };
    const AGAIN: TimerTo<Note> = TimerTo::new("again");
    let again = Reaction::new("again", again).sets(AGAIN);
    let services = vec![accounts(), Service::new("books").decider::<Book>().react("note", note).reaction(again)];
    let mut bench = Bench::with(services, How::limits(|limits| limits.depth = 6));
    bench.ask("p1", pay("a", 1)).unwrap();
    for second in 1..250 {
        bench.advance(NOW + std::time::Duration::from_secs(second));
    }
    assert_eq!((bench.stream("book-a").len(), bench.letters().len()), (200, 0), "time paces it");
}

/// A store whose writes take as long as the test wants.
struct Slow {
    inner: Memory,
    shut: Arc<AtomicBool>,
}

impl Backend for Slow {
    fn transact(&mut self, wanted: &Wanted, judge: &mut Judge<'_>) -> Result<Option<Written>, StoreError> {
        while self.shut.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        self.inner.transact(wanted, judge)
    }
    fn reader(&self) -> Arc<dyn Reader> {
        Backend::reader(&self.inner)
    }
    fn durability(&self) -> &'static str {
        "memory"
    }
}

/// If any of these waited for the disk, this test would never end.
#[tokio::test]
async fn health_lineage_positions_and_readers_do_not_wait_for_a_write() {
    let shut = Arc::new(AtomicBool::new(false));
    let unit = Arc::new(
        Unit::start(UnitParts {
            services: bank(),
            backend: Box::new(Slow { inner: Memory::new(), shut: shut.clone() }),
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
        .unwrap(),
    );
    shut.store(true, Ordering::SeqCst);
    let paying = tokio::spawn({
        let unit = unit.clone();
        async move { unit.execute(vec![request("p1", pay("a", 1))]).await }
    });
    for _ in 0..100 {
        assert!(unit.health().is_ready());
        assert_eq!((unit.head(), unit.reader().lineage()), (Position(0), unit.plain_reader().lineage()));
        assert!(!unit.consumers().is_empty());
        tokio::task::yield_now().await;
    }
    shut.store(false, Ordering::SeqCst);
    paying.await.unwrap().unwrap();
    unit.stop().await;
}

/// Open calls of one stream are found by one reading of it.
#[test]
fn a_start_reads_each_stream_of_open_calls_once() {
    let ask = |event: &Recorded<'_, Paid>, fx: &mut Effects| fx.call(ASK, event.cents);
    let never =
        |_: factum_core::call::Call<i64>| async { factum_core::call::Answer::<Note>::Again(String::new(), None) };
    let call = || {
        let last = |_: i64, _: &str| Note { id: "a".to_owned(), cents: 1 };
        factum_core::call::CallSpec::new(ASK, never, last)
    };
    const ASK: factum_core::call::CallTo<i64, Note> = factum_core::call::CallTo::new("ask");
    let asks = Service::new("asks").reaction(Reaction::new("ask", ask).calls(ASK)).call(call());
    let mut bench = Bench::new(vec![accounts(), Service::new("books").decider::<Book>(), asks]);
    for number in 0..50 {
        bench.ask(&format!("p{number}"), pay("a", 1)).unwrap();
    }
    assert_eq!(bench.cells(CellKind::Call), 50);
    let before = bench.faults.reads();
    Outward::open(bench.outward_parts()).unwrap();
    assert_eq!(bench.faults.reads() - before, 2, "the cells, and one stream");
}
