//! Units on the bench, with a broker in memory between them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use factum_core::{
    cell::CellKey,
    envelope::{Defaults, Kind, NoId, Recorded, Spellings, Stored, read},
    id::Name,
    memory_transport::MemoryTransport,
    ports::transport::TransportError,
    reaction::{Effects, Folding},
    rejection::Refused,
    service::Service,
};
use factum_runtime::{
    between::{Arrivals, Arrived, Between, BetweenShown, Neighbours, Relay, RelayError},
    import::Door,
    inbox::Input,
};
use tokio::sync::oneshot;

use super::super::{bank::*, bench::*};

/// Orders a note in each account's book, and the opposite if the book refuses it.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Desk(BTreeMap<String, i64>);

fn remember(desk: &mut Desk, paid: &Recorded<'_, Paid>) {
    desk.0.insert(paid.id.clone(), paid.cents);
}

fn order(_: &Desk, paid: &Recorded<'_, Paid>, fx: &mut Effects) {
    fx.send(Note { id: paid.id.clone(), cents: paid.cents });
}

fn refused(_: &Desk, refused: &Refused, stored: &Stored, fx: &mut Effects) {
    assert_eq!(refused.code, "negative");
    let id = stored.stream.key().to_owned();
    fx.send(Note { id, cents: 1 });
}

pub fn desk() -> Service {
    Service::new("desk").folding(Folding::<Desk>::new("orders", 1).fold(remember).react(order).rejected(refused))
}

pub fn ledger() -> Service {
    Service::new("books").decider::<Book>()
}

pub type Services = fn() -> Vec<Service>;

/// The units, and what runs in each.
pub const UNITS: [(&str, Services); 3] =
    [("money", || vec![accounts()]), ("desk", || vec![desk()]), ("ledger", || vec![ledger()])];

/// Draws numbers that are the same in every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

pub fn between(unit: &'static str, transport: &MemoryTransport) -> Between {
    let others: Vec<Service> =
        UNITS.iter().filter(|(name, _)| *name != unit).flat_map(|(_, services)| services()).collect();
    Between {
        unit: Name::Static(unit),
        neighbours: Neighbours::of(&others).unwrap(),
        transport: Arc::new(transport.clone()),
        lanes: 3,
        read: Arc::new(|delivery| {
            let spellings = Spellings::new();
            let defaults = Defaults {
                spellings: &spellings,
                kind: Kind::Event,
                source: Name::Static("elsewhere"),
                timestamp: NOW,
                id: NoId::Refused,
                type_name: None,
                correlation_id: None,
            };
            read(&delivery.parcel.body, &defaults)
        }),
    }
}

pub struct Node {
    pub services: Services,
    pub between: Between,
    pub bench: Option<Bench>,
    pub relay: Option<Relay>,
    /// What a relay was, whose process believes that it still leads.
    pub former: Option<Relay>,
    pub arrivals: Option<Arrivals>,
    /// How far the relay is, not written yet.
    pub owed: Option<(CellKey, Vec<u8>)>,
    pub again: u64,
}

impl Node {
    pub fn new((name, services): (&'static str, Services), transport: &MemoryTransport) -> Self {
        let between = between(name, transport);
        let bench = Some(Bench::among(services(), between.neighbours.clone()));
        Self { services, between, bench, relay: None, former: None, arrivals: None, owed: None, again: 0 }
    }

    pub fn bench(&mut self) -> &mut Bench {
        self.bench.as_mut().unwrap()
    }

    /// The process ends, whatever it was about.
    pub fn restart(&mut self) {
        self.again += self.shown().again;
        let bench = self.bench.take().unwrap();
        self.bench = Some(bench.restart((self.services)()));
        self.former = self.relay.take();
        (self.arrivals, self.owed) = (None, None);
    }

    pub fn shown(&self) -> BetweenShown {
        let mut shown = BetweenShown::default();
        if let Some(arrivals) = &self.arrivals {
            shown.arrivals(arrivals);
        }
        shown
    }

    /// Publishes; says whether there was anything.
    pub fn relay(&mut self) -> Result<bool, RelayError> {
        let (bench, between) = (self.bench.as_ref().unwrap(), self.between.clone());
        let (registry, reader) = (bench.registry.clone(), bench.committer.plain_reader());
        let head = bench.committer.tail().head();
        let relay = match &mut self.relay {
            Some(relay) => relay,
            None => self.relay.insert(Relay::open(registry, reader, between)?),
        };
        let before = relay.position();
        match relay.round(head) {
            Ok(kept) => {
                let moved = relay.position() > before;
                self.owed = kept.or(self.owed.take());
                Ok(moved)
            }
            Err(error) => {
                self.relay = None;
                Err(error)
            }
        }
    }

    /// The same; a former process that has begun to publish again is fenced off in turn.
    pub fn publish(&mut self) -> bool {
        match self.relay() {
            Err(RelayError::Transport(TransportError::Fenced(_))) => self.relay().unwrap(),
            other => other.unwrap(),
        }
    }

    /// Writes down how far the relay is.
    pub fn keep(&mut self) {
        if let Some(cell) = self.owed.take() {
            self.send(Arrived::only(cell));
            self.bench().run();
        }
    }

    pub fn send(&mut self, arrived: Arrived) -> oneshot::Receiver<()> {
        let (reply, told) = oneshot::channel();
        self.bench().inbox.try_send(Input::Between(Box::new(arrived), reply)).unwrap();
        told
    }

    /// Takes in what has come on one lane; says whether anything has. `dies` before it is written.
    pub fn take_in(&mut self, dies: bool) -> bool {
        let (bench, between) = (self.bench.as_ref().unwrap(), self.between.clone());
        let arrivals = match &mut self.arrivals {
            Some(arrivals) => arrivals,
            None => {
                let door = Arc::new(Door::of(&bench.registry, 64));
                let opened = Arrivals::open(bench.registry.clone(), door, &bench.store, between);
                self.arrivals.insert(opened.unwrap())
            }
        };
        let Some(arrived) = arrivals.next(Duration::ZERO).unwrap() else { return false };
        let through = arrived.through.clone();
        let mut told = self.send(arrived);
        if dies {
            self.restart();
            return true;
        }
        self.bench().run();
        told.try_recv().expect("what has come is written");
        if let (Some(arrivals), Some(through)) = (&mut self.arrivals, through) {
            arrivals.settle(&through);
        }
        true
    }
}

/// All units, until nothing moves any more.
pub fn settle(nodes: &mut [Node]) {
    loop {
        let mut moved = false;
        for node in nodes.iter_mut() {
            node.bench().run();
            moved |= node.publish();
            node.keep();
            while node.take_in(false) {
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
}

pub fn nodes(transport: &MemoryTransport) -> Vec<Node> {
    UNITS.into_iter().map(|unit| Node::new(unit, transport)).collect()
}

pub fn broker() -> MemoryTransport {
    let clock = factum_runtime::clock::DataClock::default();
    clock.advance(NOW);
    MemoryTransport::new(Arc::new(clock))
}
