//! A broker in memory: the model that others are tested against, and a broker for tests. Clones share it.
//!
//! It keeps what it carries as long as it lives, or until [`MemoryTransport::drop_before`] takes it away as a retention would.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::ports::{
    Clock,
    transport::{
        Abilities, Consumer, Delivery, Durability, Lane, Offset, Parcel, Publisher, Start, TopicSpec, Transport,
        TransportError,
    },
};

/// All that a broker can do.
pub const ALL: Abilities = Abilities {
    ordered: true,
    replays: true,
    fences: true,
    delays: true,
    largest: 1 << 20,
    durability: Durability::Memory,
};

/// See the module.
#[derive(Clone)]
pub struct MemoryTransport {
    abilities: Abilities,
    clock: Arc<dyn Clock>,
    broker: Arc<(Mutex<Broker>, Condvar)>,
}

#[derive(Default)]
struct Broker {
    topics: BTreeMap<Arc<str>, u32>,
    lanes: BTreeMap<Lane, Log>,
    /// The newest publisher of each name.
    publishers: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Log {
    /// The offset of the first that is there.
    first: u64,
    entries: Vec<Entry>,
}

struct Entry {
    parcel: Parcel,
    at: Timestamp,
    due: Timestamp,
}

impl Log {
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

impl MemoryTransport {
    /// One that can do everything.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::able(ALL, clock)
    }

    /// One that can only do so much.
    pub fn able(abilities: Abilities, clock: Arc<dyn Clock>) -> Self {
        Self { abilities, clock, broker: Arc::default() }
    }

    /// Drops what stands before an offset, as a retention does.
    pub fn drop_before(&self, lane: &Lane, offset: u64) {
        if let Some(log) = self.lock().lanes.get_mut(lane) {
            let gone = offset.min(log.end()).saturating_sub(log.first);
            log.entries.drain(..usize::try_from(gone).unwrap_or(usize::MAX));
            log.first += gone;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Broker> {
        // Nothing in here panics between two changes that belong together.
        self.broker.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_lane(lane: &Lane) -> TransportError {
    TransportError::Permanent(format!("there is no lane {lane}: make its topic first"))
}

fn lacks(what: &str) -> TransportError {
    TransportError::Permanent(format!("this broker {what}"))
}

impl Transport for MemoryTransport {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn abilities(&self) -> Abilities {
        self.abilities
    }

    fn topic(&self, wanted: &TopicSpec) -> Result<u32, TransportError> {
        let mut broker = self.lock();
        let lanes = *broker.topics.entry(wanted.name.clone()).or_insert(wanted.lanes.max(1));
        for number in 0..lanes {
            broker.lanes.entry(Lane { topic: wanted.name.clone(), number }).or_default();
        }
        Ok(lanes)
    }

    fn lane_of(&self, key: &str, lanes: u32) -> u32 {
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
        u32::try_from(hash % u64::from(lanes.max(1))).unwrap_or_default()
    }

    fn publisher(&self, name: &str) -> Result<Box<dyn Publisher>, TransportError> {
        let mut broker = self.lock();
        let newest = broker.publishers.entry(name.to_owned()).or_default();
        *newest += 1;
        Ok(Box::new(MemoryPublisher { broker: self.clone(), name: name.to_owned(), number: *newest }))
    }

    fn consumer(&self, _: &str, lanes: &[(Lane, Start)]) -> Result<Box<dyn Consumer>, TransportError> {
        let broker = self.lock();
        let mut reading = BTreeMap::new();
        for (lane, start) in lanes {
            let log = broker.lanes.get(lane).ok_or_else(|| no_lane(lane))?;
            let next = match start {
                Start::Latest => log.end(),
                _ if !self.abilities.replays => {
                    return Err(lacks("keeps nothing for who comes later: begin with the latest"));
                }
                Start::Earliest => log.first,
                Start::At(time) => log.first + log.entries.partition_point(|entry| entry.at < *time) as u64,
                Start::After(offset) => behind(lane, log, offset)?,
            };
            reading.insert(lane.clone(), Reading { next, paused: false });
        }
        drop(broker);
        Ok(Box::new(MemoryConsumer { broker: self.clone(), reading }))
    }
}

fn behind(lane: &Lane, log: &Log, offset: &Offset) -> Result<u64, TransportError> {
    let number: Option<u64> = offset.0.parse().ok();
    let next = number.filter(|number| *number < log.end()).map(|number| number + 1);
    let next = next.ok_or_else(|| TransportError::Permanent(format!("lane {lane} has no offset {offset}")))?;
    match next >= log.first {
        true => Ok(next),
        false => Err(gone(lane, next, log)),
    }
}

fn gone(lane: &Lane, next: u64, log: &Log) -> TransportError {
    TransportError::Gone { lane: lane.clone(), after: numbered(next.saturating_sub(1)), earliest: numbered(log.first) }
}

fn numbered(offset: u64) -> Offset {
    Offset(offset.to_string().into())
}

struct MemoryPublisher {
    broker: MemoryTransport,
    name: String,
    number: u64,
}

impl Publisher for MemoryPublisher {
    fn publish(&mut self, batch: &[(Lane, Parcel)]) -> Result<Vec<Option<Offset>>, TransportError> {
        let Abilities { largest, delays, fences, .. } = self.broker.abilities;
        let mut broker = self.broker.lock();
        if fences && broker.publishers.get(&self.name) != Some(&self.number) {
            return Err(TransportError::Fenced(format!("`{}`", self.name)));
        }
        for (at, (lane, parcel)) in batch.iter().enumerate() {
            let bytes = parcel.bytes();
            if bytes > largest {
                return Err(TransportError::TooLarge { at, bytes, largest });
            }
            if parcel.delay.is_some() && !delays {
                return Err(lacks("holds nothing back: use a timer"));
            }
            if !broker.lanes.contains_key(lane) {
                return Err(no_lane(lane));
            }
        }
        let at = self.broker.clock.mark();
        let mut offsets = Vec::with_capacity(batch.len());
        for (lane, parcel) in batch {
            let log = broker.lanes.entry(lane.clone()).or_default();
            offsets.push(Some(numbered(log.end())));
            let due = parcel.delay.and_then(|delay| at.checked_add(delay).ok()).unwrap_or(at);
            log.entries.push(Entry { parcel: Parcel { delay: None, ..parcel.clone() }, at, due });
        }
        drop(broker);
        self.broker.broker.1.notify_all();
        Ok(offsets)
    }
}

struct Reading {
    next: u64,
    paused: bool,
}

struct MemoryConsumer {
    broker: MemoryTransport,
    reading: BTreeMap<Lane, Reading>,
}

/// Messages of a lane to answer at once.
const ONCE: usize = 1_000;

impl MemoryConsumer {
    /// What is there, and when something that is held back is due.
    fn take(&mut self, broker: &Broker) -> Result<(Vec<Delivery>, Option<Timestamp>), TransportError> {
        let (now, mut came, mut due) = (self.broker.clock.mark(), Vec::new(), None);
        for (lane, reading) in self.reading.iter_mut().filter(|(_, reading)| !reading.paused) {
            let log = broker.lanes.get(lane).ok_or_else(|| no_lane(lane))?;
            let Some(skipped) = reading.next.checked_sub(log.first) else { return Err(gone(lane, reading.next, log)) };
            let waiting = log.entries.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX)).take(ONCE);
            for entry in waiting {
                // A lane is in order: what is held back holds what stands behind it.
                if entry.due > now {
                    due = Some(due.map_or(entry.due, |due: Timestamp| due.min(entry.due)));
                    break;
                }
                let (lane, offset, parcel) = (lane.clone(), numbered(reading.next), entry.parcel.clone());
                came.push(Delivery { lane, offset, at: Some(entry.at), parcel });
                reading.next += 1;
            }
        }
        Ok((came, due))
    }
}

impl Consumer for MemoryConsumer {
    fn poll(&mut self, long: Duration) -> Result<Vec<Delivery>, TransportError> {
        let (shared, clock) = (self.broker.broker.clone(), self.broker.clock.clone());
        let broker = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (came, due) = self.take(&broker)?;
        if !came.is_empty() || long.is_zero() {
            return Ok(came);
        }
        let wait = due.and_then(|due| clock.until(due)).map_or(long, |due| due.min(long));
        let broker = shared.1.wait_timeout(broker, wait).unwrap_or_else(PoisonError::into_inner).0;
        Ok(self.take(&broker)?.0)
    }

    fn pause(&mut self, lanes: &[Lane], paused: bool) -> Result<(), TransportError> {
        for lane in lanes {
            self.reading.get_mut(lane).ok_or_else(|| no_lane(lane))?.paused = paused;
        }
        Ok(())
    }

    fn settle(&mut self, through: &[(Lane, Offset)]) -> Result<(), TransportError> {
        through.iter().try_for_each(|(lane, _)| self.reading.get(lane).map(|_| ()).ok_or_else(|| no_lane(lane)))
    }
}
