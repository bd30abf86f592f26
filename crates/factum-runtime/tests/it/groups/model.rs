//! Groups over seeds: workers that are done, fail, are too slow or gone; a program that ends at any time; a store that fails; a
//! person who ends letters. A model knows what each message has come to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use factum_core::{
    letter::{Key, Subject},
    ports::{Clock, Reader},
    stream::Position,
};
use factum_runtime::{
    acts::What,
    engine::{Engine, Step},
    groups::{Delivery, Settle, Settled, Settlement, Verdict},
};
use fastrand::Rng;
use tokio::sync::oneshot;

use super::{NAME, Workers, paid, send, with};
use crate::{bank::*, bench::*};

/// Attempts of [`paid`].
const ATTEMPTS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    /// It must be handled.
    Open,
    /// It is a letter; what is of its key waits, or not any more.
    Dead { released: bool },
    /// Handled, and its worker has heard that this is durable; or discarded.
    Over,
    /// Its worker has not heard what became of its word, and never will.
    Unknown,
}

#[derive(Debug)]
struct Message {
    key: String,
    is: Is,
    /// How often it has failed; unknown behind an end of the program in between.
    failures: Option<u32>,
}

struct Lease {
    token: String,
    position: u64,
}

struct World {
    bench: Bench,
    workers: Workers,
    random: Rng,
    ordered: bool,
    messages: BTreeMap<u64, Message>,
    out: Vec<Lease>,
    flights: Vec<(Settle, oneshot::Receiver<()>)>,
    old_tokens: Vec<String>,
    starts: u64,
    paid: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let ordered = random.u8(..) > 60;
        let group = if ordered { paid() } else { paid().unordered() };
        let how = if random.bool() { How::default() } else { How::shuffled(seed) };
        let bench = Bench::with(with(group), how);
        let bench = if random.bool() { bench.flying() } else { bench };
        let workers = Workers::of(&bench, 1);
        let (messages, out, flights, old_tokens) = Default::default();
        Self { bench, workers, random, ordered, messages, out, flights, old_tokens, starts: 1, paid: 0 }
    }

    fn restart(self) -> Self {
        let Self { bench, random, ordered, mut messages, out, flights, mut old_tokens, starts, paid: sum, .. } = self;
        for settle in flights.into_iter().map(|(settle, _)| settle) {
            for (position, _) in settle.done {
                messages.get_mut(&position.0).unwrap().is = Is::Unknown;
            }
            for failure in settle.failed {
                let message = messages.get_mut(&failure.position.0).unwrap();
                message.failures = None;
            }
        }
        old_tokens.extend(out.into_iter().map(|lease| lease.token));
        let group = if ordered { paid() } else { paid().unordered() };
        let flies = bench.flight.is_some();
        let bench = bench.restart(with(group));
        let bench = if flies { bench.flying() } else { bench };
        let workers = Workers::of(&bench, starts + 1);
        let mut world = Self {
            bench,
            workers,
            random,
            ordered,
            messages,
            out: Vec::new(),
            flights: Vec::new(),
            old_tokens,
            starts: starts + 1,
            paid: sum,
        };
        world.letters_found();
        world
    }

    /// What has become a letter while nobody heard of it.
    fn letters_found(&mut self) {
        let letters = self.letters();
        for (position, message) in self.messages.iter_mut().filter(|(_, message)| message.failures.is_none()) {
            if letters.contains(position) && message.is == Is::Open {
                message.is = Is::Dead { released: !self.ordered };
            }
        }
    }

    fn letters(&self) -> BTreeSet<u64> {
        let position = |subject: &Subject| match subject {
            Subject::Message(position) => position.0,
            other => panic!("a letter about {other:?}"),
        };
        self.bench.letters().iter().map(|letter| position(&letter.id.subject)).collect()
    }

    fn pay(&mut self) {
        let key = ["a", "b", "c"][self.random.usize(..3)];
        self.paid += 1;
        let receipt = self.bench.ask(&format!("p{}", self.paid), pay(key, 1)).unwrap();
        let message = Message { key: key.to_owned(), is: Is::Open, failures: Some(0) };
        self.messages.insert(receipt.position.0, message);
        self.hear();
    }

    fn poll(&mut self, most: usize) {
        let look = self.workers.groups.look(self.workers.id, most).unwrap();
        if let Some(settle) = look.settle {
            self.out.retain(|lease| !settle.failed.iter().any(|failure| failure.position.0 == lease.position));
            self.flights.push((settle.clone(), send(&self.bench, &settle)));
        }
        look.deliveries.into_iter().for_each(|delivery| self.delivered(delivery));
    }

    fn delivered(&mut self, delivery: Delivery) {
        let position = delivery.message["position"].as_u64().unwrap();
        let message = &self.messages[&position];
        let open = matches!(message.is, Is::Open | Is::Unknown);
        assert!(open, "I6: {position} is given out again, although it is {:?}", message.is);
        if let Some(failures) = message.failures.filter(|_| message.is == Is::Open) {
            assert_eq!(delivery.attempt, failures + 1, "I6: attempts of {position}");
        }
        let under_way = self.flights.iter().flat_map(|(settle, _)| {
            let failed = settle.failed.iter().map(|failure| failure.position.0);
            settle.done.iter().map(|(position, _)| position.0).chain(failed)
        });
        let busy: Vec<u64> = self.out.iter().map(|lease| lease.position).chain(under_way).collect();
        assert!(!busy.contains(&position), "I6: {position} is out twice");
        if self.ordered {
            let same = busy.iter().find(|other| self.messages[other].key == message.key);
            assert_eq!(same, None, "I2: {position} is out with another of its key");
            let first = self.messages.range(..position).find(|(_, other)| {
                other.key == message.key && matches!(other.is, Is::Open | Is::Dead { released: false })
            });
            assert!(first.is_none(), "I2: {position} is given out before {first:?}");
        }
        self.out.push(Lease { token: delivery.token, position });
    }

    fn say(&mut self, verdict: Verdict) {
        if self.out.is_empty() {
            return;
        }
        let lease = self.out.swap_remove(self.random.usize(..self.out.len()));
        let tokens = vec![lease.token.clone()];
        let (settle, stale) = self.workers.groups.take(NAME, &Settlement { tokens, verdict }).unwrap();
        assert!(stale.is_empty(), "its lease is good until another has it");
        match settle {
            None => self.out.push(lease),
            Some(settle) => self.flights.push((settle.clone(), send(&self.bench, &settle))),
        }
    }

    fn stale(&mut self) {
        let Some(token) = self.old_tokens.pop() else { return };
        let settlement = Settlement { tokens: vec![token.clone()], verdict: Verdict::Done };
        let (settle, stale) = self.workers.groups.take(NAME, &settlement).unwrap();
        assert!(settle.is_none() && stale == [token], "a token of an earlier start");
    }

    /// Callers hear what is durable.
    fn hear(&mut self) {
        for (settle, mut durable) in std::mem::take(&mut self.flights) {
            match durable.try_recv() {
                Ok(()) => {
                    self.workers.groups.answered(&settle, true);
                    self.heard(&settle);
                }
                Err(_) => self.flights.push((settle, durable)),
            }
        }
        self.check_cursor();
    }

    fn heard(&mut self, settle: &Settle) {
        for (position, _) in &settle.done {
            self.messages.get_mut(&position.0).unwrap().is = Is::Over;
        }
        for failure in &settle.failed {
            let message = self.messages.get_mut(&failure.position.0).unwrap();
            let failures = message.failures.map(|failures| failures + 1);
            let dead = failures.is_some_and(|failures| failures >= ATTEMPTS)
                || failures.is_none() && {
                    let id = Subject::Message(failure.position);
                    self.bench.letters().iter().any(|letter| letter.id.subject == id)
                };
            message.failures = failures;
            if dead {
                message.is = Is::Dead { released: !self.ordered };
            }
        }
    }

    /// The cursor never passes what is not settled, but for what waits behind a held key.
    fn check_cursor(&self) {
        let told = self.workers.told(&self.bench);
        let held = self.bench.held();
        for (position, message) in self.messages.range(..=told.settled.cursor.0) {
            let at = Position(*position);
            let waits = held.iter().any(|held| {
                held.key == Key::Ordered(message.key.clone())
                    && (held.passed.contains(&at) || held.more_from.is_some_and(|from| from <= at))
            });
            let said = |settle: &Settle| {
                settle.done.iter().any(|(done, _)| *done == at) || settle.failed.iter().any(|it| it.position == at)
            };
            let unheard = self.flights.iter().any(|(settle, _)| said(settle));
            let passed = message.is == Is::Open && !waits && !unheard;
            assert!(
                !passed,
                "I6: the cursor passes {position}, which is {message:?}: {told:?} {held:?} {:?}",
                self.bench.letters()
            );
        }
    }

    /// One step of the engine; the program ends if it must.
    fn step(mut self) -> Self {
        let stepped = self.bench.engine.step();
        if self.random.bool() {
            self.bench.carry_out();
        }
        self.hear();
        match stepped {
            Ok(_) => self,
            Err(error) if Engine::may_recover(&error) => self,
            Err(_) => self.restart(),
        }
    }

    fn run(mut self) -> Self {
        for _ in 0..10_000 {
            let stepped = self.bench.engine.step();
            self.hear();
            match stepped {
                Ok(Step::Rest) => return self,
                Ok(Step::InFlight) => _ = self.bench.carry_out(),
                Ok(Step::Worked) => {}
                Err(error) if Engine::may_recover(&error) => {}
                Err(_) => self = self.restart(),
            }
        }
        panic!("the engine does not come to rest");
    }

    /// A person ends a letter, in one of three ways.
    fn act(self, wanted: u8) -> Self {
        let mut world = self.run();
        let letters = world.bench.letters();
        if letters.is_empty() {
            return world;
        }
        let letter = &letters[world.random.usize(..letters.len())].id;
        let Subject::Message(position) = letter.subject else { panic!("a letter about {letter}") };
        let (what, is) = match wanted {
            0 => (What::Redrive(letter.clone()), Is::Open),
            1 => (What::Discard(letter.clone()), Is::Over),
            _ => (What::Release(letter.clone()), Is::Dead { released: true }),
        };
        world.bench.act(what).unwrap();
        let message = world.messages.get_mut(&position.0).unwrap();
        (message.is, message.failures) = (is, Some(0));
        world.hear();
        world
    }

    fn op(mut self) -> Self {
        match self.random.u8(..100) {
            0..20 => self.pay(),
            20..40 => {
                let most = self.random.usize(1..5);
                self.poll(most);
            }
            40..55 => self.say(Verdict::Done),
            55..67 => {
                let delay = [None, Some(Duration::ZERO), Some(Duration::from_secs(40))][self.random.usize(..3)];
                self.say(Verdict::Failed { delay, reason: "as asked".to_owned() });
            }
            67..70 => self.say(Verdict::Longer(None)),
            70..75 => {
                let to = self.bench.clock.mark() + Duration::from_secs(self.random.u64(1..60));
                self.bench.clock.advance(to);
            }
            75..77 => self.stale(),
            77..82 => {
                let wanted = self.random.u8(..3);
                return self.act(wanted);
            }
            82..84 => return self.restart(),
            84..88 if !self.flights.is_empty() => {
                let fault = [Fault::Transient, Fault::Transient, Fault::UnknownLost, Fault::UnknownWritten];
                let next = self.bench.faults.writes() + 1;
                self.bench.faults.at(next, fault[self.random.usize(..4)]);
                return self.run();
            }
            _ => return self.step(),
        }
        self
    }

    /// All is well from now on: workers do what they get, and letters are redriven.
    fn drained(mut self) -> Self {
        for _ in 0..1_000 {
            self = self.run();
            let to = self.bench.clock.mark() + Duration::from_secs(13 * 3_600);
            self.bench.clock.advance(to);
            self.poll(1_000);
            self = self.run();
            self.poll(1_000);
            while !self.out.is_empty() {
                self.say(Verdict::Done);
            }
            self = self.run();
            let open = |message: &Message| matches!(message.is, Is::Open | Is::Dead { .. });
            if self.letters().is_empty() && !self.messages.values().any(open) {
                return self;
            }
            self = self.act(0);
        }
        let left: Vec<_> = self.messages.iter().filter(|(_, message)| message.is != Is::Over).collect();
        panic!("I6: never handled: {left:?}");
    }

    /// At rest everything is in one number.
    fn check_rest(&self) {
        let told = self.workers.told(&self.bench);
        let group = self.bench.store.cell(&Settled::cell(NAME)).unwrap().unwrap().value;
        assert!(group.len() < 100, "a group at rest has a small cell: {}", String::from_utf8_lossy(&group));
        assert!(told.settled.beyond.is_empty() && told.settled.failed.is_empty(), "I6: {told:?}");
        assert_eq!(self.bench.held().len(), 0, "I6: held without a letter");
    }
}

/// Every message is handled, in the order of its key, by one worker at a time, and never again behind its ack; whatever happens.
#[test]
fn each_message_of_a_group_is_handled_in_its_order_whatever_happens() {
    let seeds = std::env::var("FACTUM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(150_u64);
    let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..seeds, |seed: u64| seed..seed + 1) {
        let told = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..250 {
                world = world.op();
            }
            let mut world = world.drained();
            world.pay();
            world = world.drained();
            world.check_rest();
        });
        if let Err(panic) = told {
            eprintln!("seed {seed}: replay it with SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
