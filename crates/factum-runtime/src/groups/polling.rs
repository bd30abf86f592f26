//! Polls: reading ahead in the log, giving out leases, and waiting for what comes. Outside the engine's thread.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use factum_core::{
    envelope::{Kind, Stored},
    error::StoreError,
    group::Group,
    id::MessageId,
    ports::{Clock, Reader, Scan},
    stream::Position,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use super::{
    leases::{Ahead, Leases, Offer, Ticket},
    settled::Settle,
    told::ToldAll,
};
use crate::{
    engine::message_at,
    inbox::{ExecuteError, Sender},
    letters::written,
    registry::{ConsumerId, Registry},
    tail::Tail,
};

/// Messages that one poll answers at most.
pub const MAX_POLL: usize = 1_000;
/// How long a poll waits at most.
pub const MAX_WAIT: Duration = Duration::from_secs(20);
/// Bytes of messages that one poll answers, about; one message more may be.
const MAX_POLL_BYTES: usize = 4 << 20;
/// Bytes of the log that are read at once.
const SCAN_BYTES: usize = 1 << 20;
/// How often that is done in a row.
const SCANS: usize = 16;

/// Why a poll or a settlement comes to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GroupError {
    /// The program has no such group.
    #[error("there is no group {0}: GET /factum/v1/groups lists those that are")]
    NoGroup(String),
    /// Something that is no token.
    #[error("`{0}` is no token: send those of the answer to a poll as they are")]
    NoToken(String),
    /// Leases that are not the worker's any more. All others of the request are settled.
    #[error(
        "{} of the leases ran out and went to others, or are of an earlier start of the program: what they were about is \
         delivered again, or was settled by somebody else; drop them",
        .0.len()
    )]
    Stale(Vec<String>),
    /// The same is being settled already.
    #[error("this is being settled just now: ask again in a moment")]
    UnderWay,
    /// The group gives out nothing.
    #[error("the group has stopped: {0}")]
    Stopped(String),
    /// The engine.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A message that a worker has until its lease runs out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// By this it is settled. It says nothing beside that.
    pub token: String,
    /// How often it has failed, and one. A repeat after a restart of the program bears the number that it had.
    pub attempt: u32,
    /// The lease runs out then.
    pub leased_until: Timestamp,
    /// The message, in the public form of an envelope.
    pub message: Value,
}

/// What looking at a group has come to.
#[derive(Debug, Default)]
pub struct Look {
    /// What is given out.
    pub deliveries: Vec<Delivery>,
    /// What must go to the engine: leases that have run out, a cursor that may move.
    pub settle: Option<Settle>,
    /// When there may be something without anything else happening.
    pub next: Option<Timestamp>,
    /// The log was not read to its end, although there is room.
    pub more: bool,
    /// Why the group gives out nothing.
    pub stopped: Option<String>,
}

/// What groups work on.
pub struct Parts {
    /// Who handles what.
    pub registry: Arc<Registry>,
    /// The log.
    pub reader: Arc<dyn Reader>,
    /// Says when there is more of it.
    pub tail: Arc<Tail>,
    /// To the engine.
    pub inbox: Sender,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What the engine tells.
    pub told: Arc<ToldAll>,
    /// Tells this start of the program from all others: tokens of others are refused.
    pub start: MessageId,
}

/// The pull groups of a unit, as their workers see them.
pub struct Groups {
    pub(super) registry: Arc<Registry>,
    pub(super) reader: Arc<dyn Reader>,
    pub(super) tail: Arc<Tail>,
    pub(super) inbox: Sender,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) told: Arc<ToldAll>,
    start: String,
    groups: BTreeMap<ConsumerId, Out>,
    stopping: watch::Sender<bool>,
}

/// What is out of one group.
pub(super) struct Out {
    /// One reads ahead at a time.
    reading: Mutex<()>,
    pub(super) leases: Mutex<Leases>,
    /// Polls under way.
    pub(super) polls: AtomicUsize,
}

impl Groups {
    /// Nothing is leased.
    pub fn new(parts: Parts) -> Self {
        let Parts { registry, reader, tail, inbox, clock, told, start } = parts;
        let out = |group: &Group| Out {
            reading: Mutex::default(),
            leases: Mutex::new(Leases::new(group)),
            polls: AtomicUsize::new(0),
        };
        let groups = registry.groups().map(|(id, group)| (id, out(group))).collect();
        let (start, stopping) = (start.to_string().replace('-', ""), watch::Sender::new(false));
        Self { registry, reader, tail, inbox, clock, told, start, groups, stopping }
    }

    /// Polls that wait answer with what there is: nothing.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// What the group has for a worker, at most so much. If there is nothing, and nothing comes within `wait`, it is empty.
    ///
    /// # Errors
    /// [`GroupError`]; nothing is leased then.
    pub async fn poll(self: &Arc<Self>, name: &str, most: usize, wait: Duration) -> Result<Vec<Delivery>, GroupError> {
        let id = self.named(name)?;
        let _polls = self.groups.get(&id).map(|out| Polls::begin(&out.polls));
        let deadline = Instant::now() + wait.min(MAX_WAIT);
        let (mut head, mut changes) = (self.tail.watch(), self.told.watch());
        let mut stopping = self.stopping.subscribe();
        loop {
            (_, _) = (head.borrow_and_update(), changes.borrow_and_update());
            let this = self.clone();
            let looked = tokio::task::spawn_blocking(move || this.look(id, most)).await;
            let look = looked.map_err(|ended| StoreError::Transient(ended.to_string()))??;
            let sent = look.settle.map(|settle| tokio::spawn(self.clone().send(settle)));
            if !look.deliveries.is_empty() {
                return Ok(look.deliveries);
            }
            if let Some(reason) = look.stopped {
                return Err(GroupError::Stopped(reason));
            }
            if let Some(sent) = sent {
                sent.await.map_err(|ended| ExecuteError::Stopped(ended.to_string()))??;
                continue;
            }
            if look.more {
                continue;
            }
            if Instant::now() >= deadline || *stopping.borrow_and_update() {
                return Ok(Vec::new());
            }
            let in_time = look.next.and_then(|due| self.clock.until(due));
            let pause = in_time.map_or(deadline, |wait| deadline.min(Instant::now() + wait));
            tokio::select! {
                // What they watch lives as long as this.
                _ = head.changed() => {}
                _ = changes.changed() => {}
                _ = stopping.changed() => {}
                () = tokio::time::sleep_until(pause) => {}
            }
        }
    }

    /// Looks once what the group has, reading ahead where there is room. May wait for the store.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read; nothing is leased then.
    pub fn look(&self, id: ConsumerId, most: usize) -> Result<Look, StoreError> {
        let (Some(out), Some(group)) = (self.groups.get(&id), self.registry.group(id)) else {
            return Ok(Look::default());
        };
        let _reading = lock(&out.reading);
        let mut look = Look { stopped: self.told.with(id, |told| told.stopped.clone()), ..Look::default() };
        let now = self.clock.mark();
        let mut settle = Settle::of(id);
        settle.failed = lock(&out.leases).run_out(now);
        let (mut offers, mut read): (Vec<Offer>, BTreeMap<Position, Stored>) = Default::default();
        // What has run out must be counted before anything else of its key is given out.
        if look.stopped.is_none() && settle.failed.is_empty() {
            for scans in 0.. {
                self.told.with(id, |told| {
                    let mut leases = lock(&out.leases);
                    leases.hears(told);
                    offers.extend(leases.offer(told, now, group.lease_time(), most.saturating_sub(offers.len())));
                });
                look.more = scans >= SCANS;
                if offers.len() >= most || look.more {
                    break;
                }
                match self.read_ahead(id, out, &mut read) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        let mut leases = lock(&out.leases);
                        offers.iter().for_each(|offer| leases.take_back(offer.ticket));
                        return Err(error);
                    }
                }
            }
        }
        look.deliveries = self.delivered(out, offers, &read)?;
        self.told.with(id, |told| {
            let mut leases = lock(&out.leases);
            leases.hears(told);
            settle.passing = leases.moves(told);
            look.next = leases.next(told, now);
        });
        look.settle = (settle.passing.is_some() || !settle.failed.is_empty()).then_some(settle);
        Ok(look)
    }

    /// Reads ahead once, so that what is said of a group is about its newest messages as far as there is room.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub(super) fn catch_up(&self, id: ConsumerId) -> Result<(), StoreError> {
        let Some(out) = self.groups.get(&id) else { return Ok(()) };
        let _reading = lock(&out.reading);
        for _ in 0..SCANS {
            self.told.with(id, |told| lock(&out.leases).hears(told));
            if !self.read_ahead(id, out, &mut BTreeMap::new())? {
                break;
            }
        }
        Ok(())
    }

    /// Reads on; says whether there was anything to read, and room for it.
    fn read_ahead(&self, id: ConsumerId, out: &Out, read: &mut BTreeMap<Position, Stored>) -> Result<bool, StoreError> {
        let head = self.tail.head();
        let room = self.told.with(id, |told| lock(&out.leases).room(told));
        let Some((after, room)) = room.filter(|(after, _)| *after < head) else { return Ok(false) };
        let wanted = |name: &str| self.registry.reads(id, name);
        let scanned = self.reader.scan(&Scan { after, until: head, bytes: SCAN_BYTES, types: Some(&wanted) })?;
        let mut through = if scanned.through <= after { head } else { scanned.through };
        let mut events: Vec<Stored> =
            scanned.messages.into_iter().filter(|stored| stored.envelope().kind == Kind::Event).collect();
        if events.len() > room {
            through = Position(events[room].position.0 - 1);
            events.truncate(room);
        }
        let ahead = |stored: &Stored| {
            let envelope = stored.envelope();
            (stored.position, Ahead { key: Arc::from(&*envelope.partition_key), at: envelope.timestamp })
        };
        lock(&out.leases).reads(events.iter().map(ahead), through);
        read.extend(events.into_iter().map(|stored| (stored.position, stored)));
        Ok(true)
    }

    /// The messages of what is given out, as many as an answer may hold; what it cannot hold is taken back.
    fn delivered(
        &self,
        out: &Out,
        offers: Vec<Offer>,
        read: &BTreeMap<Position, Stored>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (mut deliveries, mut bytes) = (Vec::with_capacity(offers.len()), 0);
        let mut outcome = Ok(());
        for Offer { ticket, attempt, until } in offers {
            if outcome.is_err() || bytes >= MAX_POLL_BYTES {
                lock(&out.leases).take_back(ticket);
                continue;
            }
            let found = match read.get(&ticket.position) {
                Some(stored) => Ok(stored.clone()),
                None => message_at(&*self.reader, ticket.position),
            };
            match found {
                Ok(stored) => {
                    bytes += stored.message.bytes();
                    let (token, message) = (self.token(ticket), written(&stored));
                    deliveries.push((ticket, Delivery { token, attempt, leased_until: until, message }));
                }
                Err(error) => {
                    lock(&out.leases).take_back(ticket);
                    outcome = Err(error);
                }
            }
        }
        if let Err(error) = outcome {
            let mut leases = lock(&out.leases);
            deliveries.iter().for_each(|(ticket, _)| leases.take_back(*ticket));
            return Err(error);
        }
        Ok(deliveries.into_iter().map(|(_, delivery)| delivery).collect())
    }

    pub(super) fn named(&self, name: &str) -> Result<ConsumerId, GroupError> {
        let found = self.registry.groups().find(|(_, group)| group.name() == name);
        found.map(|(id, _)| id).ok_or_else(|| GroupError::NoGroup(name.to_owned()))
    }

    pub(super) fn out(&self, id: ConsumerId) -> Option<&Out> {
        self.groups.get(&id)
    }

    fn token(&self, Ticket { position, number }: Ticket) -> String {
        format!("{}-{position}-{number}", self.start)
    }

    /// What a token is about; nothing if it is of another start of the program.
    pub(super) fn ticket(&self, token: &str) -> Result<Option<Ticket>, GroupError> {
        let wrong = || GroupError::NoToken(factum_core::letter::short(token, 128));
        let mut parts = token.split('-');
        let (Some(start), Some(position), Some(number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        // It is told back, so it must be what it looks like.
        if start.len() > 64 || !start.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(wrong());
        }
        let position = Position(position.parse().map_err(|_| wrong())?);
        let number = number.parse().map_err(|_| wrong())?;
        Ok((start == self.start).then_some(Ticket { position, number }))
    }
}

/// Counts a poll as long as it is under way, also one that is given up.
struct Polls<'a>(&'a AtomicUsize);

impl<'a> Polls<'a> {
    fn begin(polls: &'a AtomicUsize) -> Self {
        polls.fetch_add(1, Ordering::AcqRel);
        Self(polls)
    }
}

impl Drop for Polls<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is leased is only ever less than what is open.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
