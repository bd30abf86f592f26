//! Who has what: messages that were read ahead, and leases. Memory only; pure, so that a test owns time and order.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use factum_core::{group::Group, stream::Position};
use jiff::{SignedDuration, Timestamp};

use super::{
    settled::{Failure, Passing},
    told::Told,
};
use crate::sabotage;

/// Messages of a group behind its cursor that may be known: settled, leased or waiting. Further ones are not given out until the
/// first of those is settled.
pub const MOST_AHEAD: usize = 1_024;
/// Settled leases that are remembered, so that a worker that settles one again hears yes.
const MOST_DONE: usize = 4_096;
/// The cursor is worth a write of its own when it can pass so many messages, or so much of the log.
const WORTH_MESSAGES: usize = MOST_AHEAD / 4;
const WORTH_POSITIONS: u64 = 16_384;

/// A lease, by what a worker shows: the message's position and the lease's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) position: Position,
    pub(super) number: u64,
}

/// A message that is given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) ticket: Ticket,
    pub(super) attempt: u32,
    pub(super) until: Timestamp,
}

/// What is known of a message that was read ahead.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    pub(super) key: Arc<str>,
    pub(super) at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A worker has it.
    Out,
    /// It is on its way to the engine: it does not run out, and nobody else gets it.
    Done,
    /// The same, as failed.
    Failed,
}

#[derive(Clone, Debug)]
struct Lease {
    number: u64,
    key: Arc<str>,
    until: Timestamp,
    state: State,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Leases {
    ordered: bool,
    /// Everything up to here was read.
    read: Position,
    /// What of it is not known to be settled.
    ahead: BTreeMap<Position, Ahead>,
    leases: BTreeMap<Position, Lease>,
    numbers: u64,
    done: VecDeque<Ticket>,
    /// The cursor is on its way to the engine by itself.
    moving: bool,
}

impl Leases {
    pub(super) fn new(group: &Group) -> Self {
        Self { ordered: group.is_ordered(), ..Self::default() }
    }

    /// Forgets what is settled.
    pub(super) fn hears(&mut self, told: &Told) {
        let settled = &told.settled;
        self.read = self.read.max(settled.cursor);
        while let Some(first) = self.ahead.first_entry().filter(|first| *first.key() <= settled.cursor) {
            first.remove();
        }
        for position in &settled.beyond {
            self.ahead.remove(position);
        }
    }

    /// Where to read on, and how many messages there is room for; nothing if there is none.
    pub(super) fn room(&self, told: &Told) -> Option<(Position, usize)> {
        let known = self.ahead.len() + told.settled.beyond.len();
        (known < MOST_AHEAD).then(|| (self.read, MOST_AHEAD - known))
    }

    /// Takes in what was read, in order; everything up to `through` was looked at.
    pub(super) fn reads(&mut self, messages: impl IntoIterator<Item = (Position, Ahead)>, through: Position) {
        self.ahead.extend(messages);
        self.read = self.read.max(through);
    }

    /// Gives out what may be given out, at most so many: what is released first, then in the order of the log.
    pub(super) fn offer(&mut self, told: &Told, now: Timestamp, lease: Duration, most: usize) -> Vec<Offer> {
        let mut busy: BTreeSet<Arc<str>> = self.leases.values().map(|lease| lease.key.clone()).collect();
        let free = |leases: &BTreeMap<Position, Lease>, position| !leases.contains_key(position);
        let waits = |position| told.settled.failed.get(position).is_some_and(|tries| tries.until > now);
        let mut found: Vec<(Position, Arc<str>)> = Vec::new();
        // What fails of these stands in the group's cell, whose size is bounded.
        let mut room = (2 * MOST_AHEAD).saturating_sub(told.settled.failed.len() + self.leases.len());
        for (key, position) in &told.released {
            if found.len() >= most {
                break;
            }
            let again = told.settled.failed.contains_key(position);
            let is_busy = self.ordered && busy.contains(&**key);
            if is_busy || !free(&self.leases, position) || waits(position) || (room == 0 && !again) {
                continue;
            }
            room = room.saturating_sub(usize::from(!again));
            let key: Arc<str> = Arc::from(&**key);
            busy.insert(key.clone());
            found.push((*position, key));
        }
        for (position, Ahead { key, .. }) in &self.ahead {
            if found.len() >= most {
                break;
            }
            if !free(&self.leases, position) {
                continue;
            }
            let blocked = busy.contains(key) && !sabotage::is("second-lease-of-a-key");
            if self.ordered && (blocked || told.held.contains(&**key)) {
                continue;
            }
            busy.insert(key.clone());
            if !waits(position) {
                found.push((*position, key.clone()));
            }
        }
        found.into_iter().map(|(position, key)| self.lease(told, position, key, later(now, lease))).collect()
    }

    fn lease(&mut self, told: &Told, position: Position, key: Arc<str>, until: Timestamp) -> Offer {
        self.numbers += 1;
        let ticket = Ticket { position, number: self.numbers };
        self.leases.insert(position, Lease { number: self.numbers, key, until, state: State::Out });
        let attempts = told.settled.failed.get(&position).map_or(0, |tries| tries.attempts);
        Offer { ticket, attempt: attempts.saturating_add(1), until }
    }

    /// What was given out did not reach anybody.
    pub(super) fn take_back(&mut self, ticket: Ticket) {
        if self.leases.get(&ticket.position).is_some_and(|lease| lease.number == ticket.number) {
            self.leases.remove(&ticket.position);
        }
    }

    /// What nobody has settled in time: it has failed, and is on its way to the engine.
    pub(super) fn run_out(&mut self, now: Timestamp) -> Vec<Failure> {
        let mut failed = Vec::new();
        for (position, lease) in &mut self.leases {
            if lease.state == State::Out && lease.until <= now {
                lease.state = State::Failed;
                let reason = "its lease ran out: no worker settled it in time".to_owned();
                failed.push(Failure { position: *position, key: lease.key.clone(), reason, until: now });
            }
        }
        failed
    }

    /// Whether a lease is its worker's; one that has run out still is, as long as nobody has noticed.
    pub(super) fn holds(&self, ticket: Ticket) -> bool {
        let lease = self.leases.get(&ticket.position);
        lease.is_some_and(|lease| lease.number == ticket.number && lease.state == State::Out)
    }

    /// Whether what a worker said of a lease is on its way to the engine.
    pub(super) fn is_on_its_way(&self, ticket: Ticket) -> bool {
        let lease = self.leases.get(&ticket.position);
        lease.is_some_and(|lease| lease.number == ticket.number && lease.state != State::Out)
    }

    /// Whether a lease was settled as done, and that is durable.
    pub(super) fn was_done(&self, ticket: Ticket) -> bool {
        self.done.contains(&ticket)
    }

    /// A worker is done: from here on it is on its way to the engine. Answers its key.
    pub(super) fn is_done(&mut self, ticket: Ticket) -> Option<Arc<str>> {
        self.leaves(ticket, State::Done)
    }

    /// A worker has failed.
    pub(super) fn has_failed(&mut self, ticket: Ticket) -> Option<Arc<str>> {
        self.leaves(ticket, State::Failed)
    }

    fn leaves(&mut self, ticket: Ticket, state: State) -> Option<Arc<str>> {
        if !self.holds(ticket) {
            return None;
        }
        let lease = self.leases.get_mut(&ticket.position)?;
        lease.state = state;
        Some(lease.key.clone())
    }

    /// A worker needs more time.
    pub(super) fn extend(&mut self, ticket: Ticket, until: Timestamp) -> bool {
        let holds = self.holds(ticket);
        if let Some(lease) = self.leases.get_mut(&ticket.position).filter(|_| holds) {
            lease.until = until;
        }
        holds
    }

    /// The engine has answered: what was on its way is durable, or came to nothing. Then its worker has it still.
    pub(super) fn answered(&mut self, positions: impl IntoIterator<Item = Position>, durable: bool) {
        for position in positions {
            match self.leases.get_mut(&position) {
                Some(lease) if durable => {
                    if lease.state == State::Done {
                        self.done.push_back(Ticket { position, number: lease.number });
                    }
                    self.leases.remove(&position);
                }
                Some(lease) => lease.state = State::Out,
                None => {}
            }
        }
        while self.done.len() > MOST_DONE {
            self.done.pop_front();
        }
    }

    /// How far the cursor may move, if at all.
    pub(super) fn passing(&self, told: &Told) -> Option<Passing> {
        let mut passing = Passing { messages: Vec::new(), to: self.read };
        for (position, Ahead { key, .. }) in &self.ahead {
            let done = match self.leases.get(position) {
                Some(lease) => lease.state == State::Done || sabotage::is("cursor-passes-what-is-leased"),
                None => self.ordered && told.held.contains(&**key),
            };
            if !done {
                passing.to = Position(position.0 - 1);
                break;
            }
            passing.messages.push((*position, key.clone()));
        }
        (passing.to > told.settled.cursor).then_some(passing)
    }

    /// The same, if it is worth a write of its own; once at a time.
    pub(super) fn moves(&mut self, told: &Told) -> Option<Passing> {
        let passing = self.passing(told).filter(|_| !self.moving)?;
        let far = passing.to.0 - told.settled.cursor.0 >= WORTH_POSITIONS;
        let worth = far || passing.messages.len() + told.settled.beyond.len() >= WORTH_MESSAGES;
        self.moving = worth;
        worth.then_some(passing)
    }

    /// The cursor has arrived, or not.
    pub(super) fn moved(&mut self) {
        self.moving = false;
    }

    /// When something may be given out that may not now, by the passing of time alone.
    pub(super) fn next(&self, told: &Told, now: Timestamp) -> Option<Timestamp> {
        let out = self.leases.values().filter(|lease| lease.state == State::Out).map(|lease| lease.until);
        let waiting = told.settled.failed.iter().filter(|(position, _)| !self.leases.contains_key(position));
        out.chain(waiting.map(|(_, tries)| tries.until)).filter(|due| *due > now).min()
    }

    /// How many are leased.
    pub(super) fn leased(&self) -> usize {
        self.leases.len()
    }

    /// How far the log was read, how many messages of what was read are not settled, and the time of the first.
    pub(super) fn unsettled(&self) -> (Position, usize, Option<Timestamp>) {
        (self.read, self.ahead.len(), self.ahead.values().next().map(|ahead| ahead.at))
    }
}

/// So much later.
pub(super) fn later(now: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}
