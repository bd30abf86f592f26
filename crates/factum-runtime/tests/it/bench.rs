//! An engine on the bench: started, fed, stepped and started again over the same store.

use std::{collections::BTreeMap, sync::Arc};

use factum_core::{
    Timestamp,
    cell::CellKind,
    digest_key::DigestKey,
    envelope::{Draft, Kind, Stored},
    id::MessageId,
    letter::{Held, Letter, LetterId},
    memory::Memory,
    memory_notes::MemoryNotes,
    memory_snapshots::MemorySnapshots,
    payload::{Command, Payload},
    ports::{Clock, Note, Notes, Reader, Scan, Snapshots},
    service::Service,
    stream::{Position, StreamId, StreamVersion},
};
use factum_runtime::{
    acts::{Act, ActError, By, Outcome, What},
    between::Neighbours,
    clock::DataClock,
    committer::Committer,
    engine::{Arrange, Engine, EngineHealth, Flight, Limits, Parts, Step},
    ids::UuidSource,
    inbox::{ExecuteError, Input, Receipt, Request, Sender},
    outward,
    plans::{Making, Selection},
    registry::Registry,
    signal::Signal,
    survey::{Known, Survey},
};
use tokio::sync::oneshot;

pub use super::faults::{Fault, Faults, UNFIT, faulty};

/// 2026-01-02T03:04:05Z.
pub const NOW: Timestamp = Timestamp::constant(1_767_323_045, 0);

/// More steps than any test needs: behind that lies a loop.
const MOST_STEPS: usize = 20_000;

/// The clock of an outward loop whose waits are tokio's, which tests pause.
struct Walking(DataClock);

impl Clock for Walking {
    fn mark(&self) -> Timestamp {
        self.0.mark()
    }
    fn stamp(&self, cause: Timestamp) -> Timestamp {
        self.0.stamp(cause)
    }
    fn until(&self, _: Timestamp) -> Option<std::time::Duration> {
        Some(std::time::Duration::ZERO)
    }
}

/// A clock that passes by itself, as far as anybody can tell, and is moved by the test.
struct Passing(DataClock);

impl Clock for Passing {
    fn mark(&self) -> Timestamp {
        self.0.mark()
    }
    fn stamp(&self, cause: Timestamp) -> Timestamp {
        self.mark().max(cause)
    }
    fn until(&self, due: Timestamp) -> Option<std::time::Duration> {
        Some(std::time::Duration::try_from(due.duration_since(self.mark())).unwrap_or_default())
    }
}

/// How an engine is started.
#[derive(Clone, Copy, Default)]
pub struct How {
    pub seed: Option<u64>,
    pub live: bool,
    pub limits: Limits,
    pub hold_unknown: bool,
    /// 16 of these are the key of digests.
    pub key: u8,
    /// The store is far away.
    pub far: bool,
}

impl How {
    pub fn shuffled(seed: u64) -> Self {
        Self { seed: Some(seed), ..Self::default() }
    }
    pub fn limits(change: impl FnOnce(&mut Limits)) -> Self {
        let mut how = Self::default();
        change(&mut how.limits);
        how
    }
}

pub struct Bench {
    pub store: Memory,
    pub faults: Faults,
    pub snapshots: MemorySnapshots,
    pub notes: MemoryNotes,
    pub clock: DataClock,
    pub how: How,
    pub registry: Arc<Registry>,
    pub committer: Arc<Committer>,
    pub inbox: Sender,
    pub engine: Engine,
    /// What carries commits out, if the engine does not.
    pub flight: Option<Arc<Flight>>,
    /// What the next start calls itself.
    pub program: String,
    /// The services of other units.
    pub neighbours: Neighbours,
    starts: u64,
}

type Answer = oneshot::Receiver<Result<Vec<Receipt>, ExecuteError>>;

impl Bench {
    pub fn new(services: Vec<Service>) -> Self {
        Self::with(services, How::default())
    }

    pub fn with(services: Vec<Service>, how: How) -> Self {
        let clock = DataClock::default();
        clock.advance(NOW);
        let snapshots = MemorySnapshots::new();
        let store = if how.far { Memory::new().far() } else { Memory::new() };
        let kept = (store, Faults::default(), snapshots.clone(), MemoryNotes::new());
        Self::start(services, how, kept, Arc::new(snapshots), clock, ("test".to_owned(), 1, Neighbours::default()))
    }

    /// One unit of several.
    pub fn among(services: Vec<Service>, neighbours: Neighbours) -> Self {
        let clock = DataClock::default();
        clock.advance(NOW);
        let snapshots = MemorySnapshots::new();
        let kept = (Memory::new(), Faults::default(), snapshots.clone(), MemoryNotes::new());
        let begun = ("test".to_owned(), 1, neighbours);
        Self::start(services, How::default(), kept, Arc::new(snapshots), clock, begun)
    }

    fn start(
        services: Vec<Service>,
        how: How,
        (store, faults, snapshots, notes): (Memory, Faults, MemorySnapshots, MemoryNotes),
        keeper: Arc<dyn Snapshots>,
        clock: DataClock,
        (program, starts, neighbours): (String, u64, Neighbours),
    ) -> Self {
        let mut registry = Registry::among(services, false, neighbours.clone()).unwrap();
        let shapes = registry.meets(&store, how.hold_unknown).unwrap();
        let registry = Arc::new(registry);
        let committer = Committer::new(faulty(&store, &faults), registry.owners.clone());
        let committer = Arc::new(committer.upcasting(&registry.upcasters));
        let (inbox, receiver) = Sender::new(Arc::new(Signal::default()));
        let engine = Engine::new(Parts {
            registry: registry.clone(),
            committer: committer.clone(),
            inbox: receiver,
            snapshots: keeper,
            notes: Arc::new(notes.clone()),
            digest_key: DigestKey::new([how.key; 16]),
            program: program.clone(),
            clock: if how.live { Arc::new(Passing(clock.clone())) } else { Arc::new(clock.clone()) },
            ids: Box::new(UuidSource::seeded(starts)),
            shapes,
            arrange: how.seed.map_or(Arrange::AsTaken, |seed| Arrange::shuffled(seed + starts)),
            limits: how.limits,
        })
        .unwrap();
        let flight = None;
        Self {
            store,
            faults,
            snapshots,
            notes,
            clock,
            how,
            registry,
            committer,
            inbox,
            engine,
            flight,
            program,
            neighbours,
            starts,
        }
    }

    /// From now on commits stay in flight until they are carried out.
    pub fn flying(mut self) -> Self {
        self.flight = Some(self.engine.apart(Arc::default(), Arc::default()));
        self
    }

    /// Carries out what is in flight; says whether there was anything.
    pub fn carry_out(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.carry_out())
    }

    /// The program ends, whatever it was doing, and starts again.
    pub fn restart(self, services: Vec<Service>) -> Self {
        let snapshots = Arc::new(self.snapshots.clone());
        self.restart_with(services, snapshots)
    }

    /// The same, with other snapshots.
    pub fn restart_with(self, services: Vec<Service>, keeper: Arc<dyn Snapshots>) -> Self {
        let Self { store, faults, snapshots, notes, clock, how, program, starts, neighbours, .. } = self;
        let begun = (program, starts + 1, neighbours);
        Self::start(services, how, (store, faults, snapshots, notes), keeper, clock, begun)
    }

    /// The same, with other bounds.
    pub fn restart_as(mut self, services: Vec<Service>, how: How) -> Self {
        self.how = how;
        self.restart(services)
    }

    /// The process ends while this is being handled: nothing is written any more, but what the note says stays.
    pub fn dies_in(&self, delivery: &str) {
        let note = self.notes.get("engine").unwrap();
        self.notes.put("engine", &Note { running: Some(delivery.to_owned()), ..note });
    }

    /// The program ends in order, and starts again.
    pub fn stop_and_start(mut self, services: Vec<Service>) -> Self {
        self.run();
        self.engine.save_cursor().unwrap();
        self.engine.end();
        self.restart(services)
    }

    /// The store loses all cells of a kind, as if nothing had ever written one.
    pub fn forget_cells(&mut self, kind: CellKind) {
        let cells = self.store.cells(kind).unwrap().into_iter().map(|cell| factum_core::cell::CellChange {
            key: cell.key,
            expected: factum_core::cell::ExpectedRevision::Any,
            value: None,
        });
        let commit = factum_core::commit::Commit { appends: vec![], cells: cells.collect() };
        self.committer.commit(commit).unwrap();
    }

    /// All letters, by name.
    pub fn letters(&self) -> Vec<Letter> {
        let cells = self.store.cells(CellKind::Letter).unwrap();
        cells.iter().map(|cell| Letter::decode(&cell.value).unwrap()).collect()
    }

    /// All held keys, by name.
    pub fn held(&self) -> Vec<Held> {
        let cells = self.store.cells(CellKind::Held).unwrap();
        cells.iter().map(|cell| Held::decode(&cell.value).unwrap()).collect()
    }

    /// Does something about a letter or a consumer, and lets follow what follows.
    pub fn act(&mut self, what: What) -> Result<Outcome, ActError> {
        self.act_by(By::new("mara", "mended"), what)
    }

    /// What an outward loop works on.
    pub fn outward_parts(&self) -> outward::Parts {
        outward::Parts {
            registry: self.registry.clone(),
            reader: self.committer.reader(),
            tail: self.committer.tail(),
            inbox: self.inbox.clone(),
            clock: Arc::new(Walking(self.clock.clone())),
            reads_aside: true,
        }
    }

    /// Makes a plan.
    pub fn make_plan(&mut self, making: Making) -> Result<Outcome, ActError> {
        let stands = Position(self.health().cursor);
        let reader = self.committer.reader();
        let schedule = match &making.selection {
            Selection::Backfill(fill) => Some(super::schedules::state(self, &fill.schedule)),
            _ => None,
        };
        let known = Known { stands, schedule };
        let survey = Survey::of(&*reader, &self.registry, &self.program, making, known).unwrap();
        self.act(What::MakePlan(Box::new(survey)))
    }

    /// The same, by somebody.
    pub fn act_by(&mut self, by: By, what: What) -> Result<Outcome, ActError> {
        let mut answer = self.begin_by(by, what);
        self.run();
        answer.try_recv().expect("an engine at rest has answered")
    }

    /// Only puts it into the inbox.
    pub fn begin(&self, what: What) -> oneshot::Receiver<Result<Outcome, ActError>> {
        self.begin_by(By::new("mara", "mended"), what)
    }

    fn begin_by(&self, by: By, what: What) -> oneshot::Receiver<Result<Outcome, ActError>> {
        let (reply, answer) = oneshot::channel();
        self.inbox.try_send(Input::Act(Act { what, by, reply })).unwrap();
        answer
    }

    /// The name of the only letter.
    pub fn letter(&self) -> LetterId {
        let letters = self.letters();
        assert_eq!(letters.len(), 1, "{letters:?}");
        letters[0].id.clone()
    }

    /// Puts commands into the inbox that are carried out together.
    pub fn post(&self, requests: Vec<Request>) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.inbox.try_send(Input::Commands(requests, reply)).unwrap();
        answer
    }

    /// Posts one command with an id.
    pub fn post_as<C: Command>(&self, id: &str, command: C) -> Answer {
        self.post(vec![request(id, command)])
    }

    /// Posts one command whose answer nobody waits for.
    pub fn send<C: Command>(&self, id: &str, command: C) {
        drop(self.post_as(id, command));
    }

    /// Steps until there is nothing more to do.
    pub fn run(&mut self) {
        for _ in 0..MOST_STEPS {
            match self.engine.step().unwrap() {
                Step::Rest => return,
                Step::InFlight => _ = self.carry_out(),
                Step::Worked => {}
            }
        }
        panic!("the engine does not come to rest");
    }

    /// Carries out one command, and everything that follows from it.
    pub fn ask<C: Command>(&mut self, id: &str, command: C) -> Result<Receipt, ExecuteError> {
        self.ask_all(vec![request(id, command)]).map(|mut receipts| receipts.remove(0))
    }

    pub fn ask_all(&mut self, requests: Vec<Request>) -> Result<Vec<Receipt>, ExecuteError> {
        let mut answer = self.post(requests);
        self.run();
        answer.try_recv().expect("an engine at rest has answered")
    }

    /// Time passes, and what is due happens.
    pub fn advance(&mut self, to: Timestamp) {
        self.clock.advance(to);
        self.run();
    }

    pub fn log(&self) -> Vec<Stored> {
        let scan = Scan { after: Position::START, until: Position(u64::MAX), bytes: usize::MAX, types: None };
        self.store.scan(&scan).unwrap().messages
    }

    /// The events of the types of `E`, in order.
    pub fn events<E: Payload>(&self) -> Vec<E> {
        self.of_kind(Kind::Event)
    }

    pub fn of_kind<P: Payload>(&self, kind: Kind) -> Vec<P> {
        let known = |stored: &&Stored| P::types().iter().any(|info| info.name == stored.type_name());
        let log = self.log();
        let of_kind = log.iter().filter(|stored| stored.envelope().kind == kind);
        of_kind.filter(known).map(|stored| stored.decode().unwrap()).collect()
    }

    pub fn stream(&self, name: &str) -> Vec<Stored> {
        self.store.stream(&StreamId::parse(name).unwrap(), StreamVersion(0)).unwrap()
    }

    pub fn cells(&self, kind: CellKind) -> usize {
        self.store.cells(kind).unwrap().len()
    }

    pub fn health(&self) -> EngineHealth {
        self.engine.health().lock().unwrap().clone()
    }

    /// What stands in each stream, without ids and positions, which differ from run to run.
    pub fn contents(&self) -> BTreeMap<String, Vec<String>> {
        let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for stored in self.log() {
            let (kind, data) = (stored.envelope().kind, String::from_utf8_lossy(&stored.message.data).into_owned());
            let line = format!("{kind:?} {} {data}", stored.type_name());
            streams.entry(stored.stream.to_string()).or_default().push(line);
        }
        streams
    }

    /// The versions of every stream are gapless, also where rejections and commands stand among events.
    pub fn check_versions(&self) {
        let mut last: BTreeMap<StreamId, u64> = BTreeMap::new();
        for stored in self.log() {
            let version = last.entry(stored.stream.clone()).or_default();
            *version += 1;
            assert_eq!(stored.version.0, *version, "{} at {}", stored.stream, stored.position);
        }
    }
}

pub fn request<C: Command>(id: &str, command: C) -> Request {
    Request { id: Some(MessageId::parse(id).unwrap()), at: Some(NOW), ..Request::new(Draft::of(&command).unwrap()) }
}
