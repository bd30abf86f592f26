//! A whole service under the delivery contract: each message twice, and every order that is allowed, come to the same.
//!
//! ```text
//! let script = script().command(create()).command(pay()).passes(1.hours());
//! deliver_twice(|| vec![order::service()], &script);
//! reorder(|| vec![order::service()], &script, 100);
//! ```
//!
//! The services run in memory, on data time that begins at [`NOW`], on one thread: nothing sleeps. What partners would say
//! is in the script; calls go to what the services declare for them, so give those a partner made for tests, anew for each
//! run. Compared is what stands in the streams, without ids and times, and what each command was answered; so the calls
//! that were made are compared too. Ids that handlers make themselves look alike here.
#![allow(clippy::panic, reason = "an assertion library: a panic is how a test says what it found")]

mod contents;
mod node;

use std::time::Duration;

use factum_core::{
    envelope::Draft,
    payload::{Command, Event},
    service::Service,
    stream::StreamId,
};

use self::{
    contents::Told,
    node::{How, Node},
};
pub use crate::scenario::NOW;
use crate::scenario::{again, draft};

/// What comes to the services, in order.
#[derive(Clone, Debug, Default)]
pub struct Script {
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
enum Item {
    Command(Draft),
    Event { source: String, stream: StreamId, event: Draft },
    Passes(Duration),
}

/// A script in which nothing comes yet.
pub fn script() -> Script {
    Script::default()
}

impl Script {
    /// A command from outside. Each has a key of its own, under which it may come again.
    #[must_use]
    #[track_caller]
    pub fn command<C: Command>(mut self, command: C) -> Self {
        self.items.push(Item::Command(draft(&again(&command))));
        self
    }

    /// An event of a partner that is not among the services: from this source, on a stream such as `payment-7`.
    ///
    /// # Panics
    /// If that is no stream's name.
    #[must_use]
    #[track_caller]
    pub fn event<E: Event>(mut self, source: &str, stream: &str, event: E) -> Self {
        let stream = StreamId::parse(stream).unwrap_or_else(|error| panic!("{error}"));
        self.items.push(Item::Event { source: source.to_owned(), stream, event: draft(&again(&event)) });
        self
    }

    /// Everything comes to rest, then so much time passes: timers fire, limits pass.
    #[must_use]
    pub fn passes(mut self, time: Duration) -> Self {
        self.items.push(Item::Passes(time));
        self
    }
}

/// Runs the services once as usual, and once so that each delivery is made twice: each batch is handled, its commit fails,
/// and it is handled again; behind each commit the program ends and starts again; each command comes a second time under
/// its key; each call is made twice by its key, and answered twice.
///
/// What does not come to the same keeps something beside its state, does not compute alike twice, or is not known again.
///
/// # Panics
/// With the first difference.
#[track_caller]
pub fn deliver_twice(services: impl Fn() -> Vec<Service>, script: &Script) {
    let usual = run(&services, script, &How::default());
    let twice = run(&services, script, &How { twice: true, seed: None });
    if let Some(difference) = usual.differs_in_order(&twice) {
        panic!("delivered twice is not the same as once: {difference}");
    }
}

/// Runs the services once as usual, and once in each of so many seeded orders. What comes between two
/// [`passes`](Script::passes) comes at once, in any order that keeps that of each key and source, and so does all that
/// follows from it; nothing more is promised in production.
///
/// A script says what may overtake what: put `passes` between messages that must not. What stands in one stream may stand
/// there in another order.
///
/// # Panics
/// With the first seed that comes to something else, and the difference.
#[track_caller]
pub fn reorder(services: impl Fn() -> Vec<Service>, script: &Script, seeds: u64) {
    let usual = run(&services, script, &How::default());
    for seed in 0..seeds {
        let other = run(&services, script, &How { twice: false, seed: Some(seed) });
        if let Some(difference) = usual.differs(&other) {
            panic!("order {seed} does not come to the same: {difference}");
        }
    }
}

#[track_caller]
fn run(services: &dyn Fn() -> Vec<Service>, script: &Script, how: &How) -> Told {
    let mut node = Node::start(services, how);
    let mut numbered = script.items.iter().enumerate().peekable();
    while numbered.peek().is_some() {
        let mut at_once = Vec::new();
        while let Some((number, item)) = numbered.next_if(|(_, item)| !matches!(item, Item::Passes(_))) {
            at_once.push((number, item));
        }
        if let Some(seed) = how.seed {
            at_once = node.shuffle(at_once, seed);
        }
        for (number, item) in at_once {
            match item {
                Item::Command(command) => node.post(number, command),
                Item::Event { source, stream, event } => node.append(number, source, stream, event),
                Item::Passes(_) => {}
            }
            if how.seed.is_none() {
                node.settle();
            }
        }
        node.settle();
        if let Some((_, Item::Passes(time))) = numbered.next() {
            node.pass(*time);
        }
    }
    node.told()
}
