//! The services on one thread: an engine over a store in memory, and calls made one after the other.
#![allow(clippy::panic, reason = "an assertion library: a panic is how a test says what it found")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use factum_core::{
    call::{Answer, AnyCall},
    cell::{CellKey, CellKind},
    commit::{Append, Commit, Wanted},
    digest_key::DigestKey,
    envelope::{Draft, Kind, Stored},
    error::{CommitError, StoreError},
    id::{MessageId, Name},
    memory::Memory,
    memory_notes::MemoryNotes,
    memory_snapshots::MemorySnapshots,
    ports::{Backend, Clock, Judge, Reader, Scan, Written},
    saga::{CallAnswer, How as Ended, Versions},
    service::Service,
    stream::{ExpectedVersion, Position, StreamId},
};
use factum_runtime::{
    clock::DataClock,
    committer::Committer,
    engine::{Arrange, Engine, Limits, Parts, Step},
    ids::UuidSource,
    inbox::{Answered, ExecuteError, Input, Receipt, Request, Sender},
    outward::{OpenCall, messages_of},
    registry::Registry,
    signal::Signal,
};
use serde_json::value::RawValue;
use tokio::{runtime::Runtime, sync::oneshot};

use super::{Item, NOW, Told};
use crate::scenario::message;

/// More steps, or calls, than any script needs: behind that lies a loop.
const MOST: usize = 100_000;

/// How messages are delivered; as usual, if nothing is said.
#[derive(Default)]
pub(super) struct How {
    pub(super) twice: bool,
    pub(super) seed: Option<u64>,
}

type Reply = oneshot::Receiver<Result<Vec<Receipt>, ExecuteError>>;

/// See the module.
pub(super) struct Node<'a> {
    services: &'a dyn Fn() -> Vec<Service>,
    how: &'a How,
    store: Memory,
    notes: MemoryNotes,
    clock: DataClock,
    runtime: Runtime,
    starts: u64,
    running: Running,
    /// Commands that wait for their answer.
    posted: Vec<(usize, Request, Reply)>,
    answers: BTreeMap<usize, String>,
}

struct Running {
    registry: Arc<Registry>,
    committer: Arc<Committer>,
    inbox: Sender,
    engine: Engine,
}

impl<'a> Node<'a> {
    #[track_caller]
    pub(super) fn start(services: &'a dyn Fn() -> Vec<Service>, how: &'a How) -> Self {
        let (store, notes, clock) = (Memory::new().far(), MemoryNotes::default(), DataClock::default());
        clock.advance(NOW);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.unwrap_or_else(|error| panic!("the system gives no runtime: {error}"));
        let running = Running::start(services(), how, &store, &notes, &clock, 1);
        let (posted, answers) = (Vec::new(), BTreeMap::new());
        Self { services, how, store, notes, clock, runtime, starts: 1, running, posted, answers }
    }

    /// A command arrives.
    pub(super) fn post(&mut self, number: usize, command: &Draft) {
        let id = MessageId::derived(&["deliveries", &number.to_string()]);
        let request = Request { id: Some(id), at: Some(self.clock.mark()), ..Request::new(command.clone()) };
        let reply = self.running.send(&request);
        self.posted.push((number, request, reply));
    }

    /// An event of a partner becomes durable.
    #[track_caller]
    pub(super) fn append(&mut self, number: usize, source: &str, stream: &StreamId, event: &Draft) {
        let mut message = message(event.clone(), Kind::Event, self.clock.mark());
        let writer = Name::Shared(source.into());
        message.envelope.id = MessageId::derived(&["deliveries", &number.to_string()]);
        message.envelope.correlation_id = message.envelope.id.clone();
        message.envelope.source = writer.clone();
        message.envelope.partition_key = stream.key().into();
        let (stream, expected) = (stream.clone(), ExpectedVersion::Any);
        let appends = vec![Append { stream, expected, writer, messages: vec![message] }];
        // Its first write may be told to fail.
        for _ in 0..2 {
            match self.running.committer.commit(Commit { appends: appends.clone(), cells: Vec::new() }) {
                Ok(_) => return,
                Err(CommitError::Store(error)) if Engine::may_recover(&error) => {}
                Err(error) => panic!("the event {} of {source} cannot be stored: {error}", event.type_name),
            }
        }
        panic!("the event {} of {source} cannot be stored", event.type_name);
    }

    /// Everything comes to rest, with the calls that are made.
    #[track_caller]
    pub(super) fn settle(&mut self) {
        for _ in 0..MOST {
            self.work();
            let Some((cell, open, stored)) = self.open_call() else { return };
            self.call(&cell, &open, &stored);
        }
        panic!("the services do not come to rest: their calls lead to calls without an end");
    }

    /// Time passes, from one due time to the next.
    #[track_caller]
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.clock.mark() + time;
        while let Some(due) = self.running.engine.next_timer().filter(|due| *due <= until) {
            self.clock.advance(due);
            self.settle();
        }
        self.clock.advance(until);
        self.settle();
    }

    pub(super) fn told(self) -> Told {
        let scan = Scan { after: Position::START, until: self.store.head(), bytes: usize::MAX, types: None };
        let log = self.store.scan(&scan).unwrap_or_else(|error| panic!("{error}"));
        Told::new(&log.messages, self.answers)
    }

    /// Another order of what comes at once, that keeps that of each key and source.
    pub(super) fn shuffle<'i>(&self, items: Vec<(usize, &'i Item)>, seed: u64) -> Vec<(usize, &'i Item)> {
        let mut lanes: BTreeMap<(String, String), std::collections::VecDeque<(usize, &Item)>> = BTreeMap::new();
        for (number, item) in items {
            let lane = match item {
                Item::Event { source, stream, .. } => (stream.to_string(), source.clone()),
                Item::Command(command) => (self.running.address(command), String::new()),
                Item::Passes(_) => continue,
            };
            lanes.entry(lane).or_default().push_back((number, item));
        }
        let mut lanes: Vec<_> = lanes.into_values().collect();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut out = Vec::new();
        while !lanes.is_empty() {
            let lane = random.usize(..lanes.len());
            out.extend(lanes[lane].pop_front());
            lanes.retain(|lane| !lane.is_empty());
        }
        out
    }

    /// The engine works until it rests.
    #[track_caller]
    fn work(&mut self) {
        for _ in 0..MOST {
            let before = self.store.head();
            match self.running.engine.step() {
                Ok(Step::Rest) if self.hear() => return,
                Ok(Step::Rest) => {}
                Ok(Step::Worked | Step::InFlight) => {}
                Err(error) if Engine::may_recover(&error) => {}
                Err(error) => panic!("the store failed: {error}"),
            }
            if self.how.twice && self.store.head() > before {
                self.restart();
            }
        }
        panic!("the services do not come to rest: they send and answer without an end");
    }

    /// The program ends behind a commit; whoever has no answer asks again, and so does whoever has one.
    fn restart(&mut self) {
        self.starts += 1;
        let (services, how) = ((self.services)(), self.how);
        self.running = Running::start(services, how, &self.store, &self.notes, &self.clock, self.starts);
        for (_, request, reply) in &mut self.posted {
            *reply = self.running.send(request);
        }
    }

    /// Takes the answers of commands; whoever is told to try again does. Says whether nobody had to.
    #[track_caller]
    fn hear(&mut self) -> bool {
        let mut all = true;
        let mut waiting = Vec::new();
        for (number, request, mut reply) in std::mem::take(&mut self.posted) {
            let Ok(answer) = reply.try_recv() else {
                waiting.push((number, request, reply));
                continue;
            };
            let said = match answer {
                Ok(_) => "yes".to_owned(),
                Err(ExecuteError::Rejected(refused)) => format!("no, `{}`", refused.code),
                Err(ExecuteError::Commit(CommitError::Store(error))) if Engine::may_recover(&error) => {
                    all = false;
                    let reply = self.running.send(&request);
                    waiting.push((number, request, reply));
                    continue;
                }
                Err(error) => panic!("{} cannot be carried out: {error}", request.draft.type_name),
            };
            self.answers.insert(number, said);
        }
        self.posted = waiting;
        all
    }

    #[track_caller]
    fn open_call(&self) -> Option<(CellKey, OpenCall, Stored)> {
        let reader = self.running.committer.reader();
        let read = || -> Result<_, StoreError> {
            let mut calls = Vec::new();
            for cell in reader.cells(CellKind::Call)? {
                let open = OpenCall::decode(&cell)?;
                if open.is_open() {
                    calls.push((cell.key, open));
                }
            }
            let mut calls = messages_of(&*reader, calls)?;
            calls.sort_by_key(|(_, _, stored)| stored.position);
            Ok(calls.into_iter().next())
        };
        read().unwrap_or_else(|error| panic!("the store failed: {error}"))
    }

    /// Makes a call until it is answered or given up, and tells the engine; twice if everything is.
    #[track_caller]
    fn call(&mut self, cell: &CellKey, open: &OpenCall, stored: &Stored) {
        let registry = self.running.registry.clone();
        let name = stored.type_name();
        let Some(call) = registry.call(name) else { panic!("no service declares the call `{name}`") };
        let key = open.key.clone().unwrap_or_else(|| cell.name.clone());
        let saga = registry.versions(stored.stream.category()).map(Versions::answer_type);
        for _ in 0..=u32::from(self.how.twice) {
            let command = self.runtime.block_on(answer(call, stored, &key, saga.as_deref()));
            let cause = Arc::new(stored.clone());
            let input = Input::Answer(Answered { call: cell.clone(), command, cause });
            if let Err(error) = self.running.inbox.try_send(input) {
                panic!("the answer of the call `{name}` is not taken: {error}");
            }
        }
    }
}

impl Running {
    #[track_caller]
    fn start(
        services: Vec<Service>,
        how: &How,
        store: &Memory,
        notes: &MemoryNotes,
        clock: &DataClock,
        starts: u64,
    ) -> Self {
        let mut registry = Registry::new(services).unwrap_or_else(|error| panic!("{error}"));
        let shapes = registry.meets(store, false).unwrap_or_else(|error| panic!("{error}"));
        let registry = Arc::new(registry);
        let backend: Box<dyn Backend> = match how.twice {
            true => Box::new(Failing { store: store.clone(), failed: false }),
            false => Box::new(store.clone()),
        };
        let committer = Committer::new(backend, registry.owners.clone());
        let committer = Arc::new(committer.upcasting(&registry.upcasters));
        let (inbox, receiver) = Sender::new(Arc::new(Signal::default()));
        let engine = Engine::new(Parts {
            registry: registry.clone(),
            committer: committer.clone(),
            inbox: receiver,
            snapshots: Arc::new(MemorySnapshots::new()),
            notes: Arc::new(notes.clone()),
            digest_key: DigestKey::KNOWN,
            program: "test".to_owned(),
            clock: Arc::new(clock.clone()),
            ids: Box::new(UuidSource::seeded(starts)),
            shapes,
            arrange: how.seed.map_or(Arrange::AsTaken, Arrange::shuffled),
            limits: Limits::default(),
        });
        let engine = engine.unwrap_or_else(|error| panic!("the services do not start: {error}"));
        Self { registry, committer, inbox, engine }
    }

    fn send(&self, request: &Request) -> Reply {
        let (reply, answer) = oneshot::channel();
        // Where there is no room it is heard as no answer.
        let _ = self.inbox.try_send(Input::Commands(vec![request.clone()], reply));
        answer
    }

    /// The stream that a command addresses; its type if a folding answers it.
    fn address(&self, command: &Draft) -> String {
        let mut deciders = self.registry.services.iter().flat_map(|service| &service.deciders);
        let answers = deciders.find(|decider| decider.commands().iter().any(|info| command.type_name == info.name));
        let message = message(command.clone(), Kind::Command, NOW);
        let addressed = answers.and_then(|decider| decider.address(&message).ok());
        addressed.map_or_else(|| command.type_name.to_string(), |addressed| addressed.stream.to_string())
    }
}

/// The command that tells what became of a call.
async fn answer(call: &AnyCall, stored: &Stored, key: &str, saga: Option<&str>) -> Draft {
    let told = |how, data: Option<&Draft>, reason| {
        let data = data.and_then(|draft| serde_json::from_slice::<Box<RawValue>>(&draft.data).ok());
        let answer = CallAnswer { call: call.name.to_owned(), how, data, reason };
        let type_name = Name::Shared(saga.unwrap_or_default().into());
        Draft::named(type_name, &answer).unwrap_or_else(|error| panic!("{error}"))
    };
    let mut last = String::new();
    for attempt in 1..=call.policy.retry.attempts.min(100) {
        let asked = (call.ask)(stored, key.to_owned(), attempt);
        let asked = asked.unwrap_or_else(|error| panic!("the call `{}` cannot be made: {error}", call.name));
        match tokio::time::timeout(call.policy.timeout, asked).await {
            Ok(Answer::Done(done)) if saga.is_some() => return told(Ended::Done, Some(&done), None),
            Ok(Answer::Refused(refused)) if saga.is_some() => return told(Ended::Refused, Some(&refused), None),
            Ok(Answer::Done(command) | Answer::Refused(command)) => return command,
            Ok(Answer::Again(reason, _) | Answer::Unknown(reason)) => last = reason,
            Err(_) => last = format!("no answer within {:?}", call.policy.timeout),
        }
    }
    match (saga, &call.gave_up) {
        (Some(_), _) => told(Ended::GaveUp, None, Some(last)),
        (None, Some(gave_up)) => gave_up(stored, &last).unwrap_or_else(|error| panic!("{error}")),
        (None, None) => panic!("the call `{}` answers the steps of sagas only", call.name),
    }
}

/// A store of which every other write fails, so that each batch is handled twice.
struct Failing {
    store: Memory,
    failed: bool,
}

impl Backend for Failing {
    fn transact(&mut self, wanted: &Wanted, judge: &mut Judge<'_>) -> Result<Option<Written>, StoreError> {
        self.failed = !self.failed;
        match self.failed {
            true => Err(StoreError::Transient("each batch is handled twice".to_owned())),
            false => self.store.transact(wanted, judge),
        }
    }
    fn reader(&self) -> Arc<dyn Reader> {
        Backend::reader(&self.store)
    }
    fn durability(&self) -> &'static str {
        "memory"
    }
}
