//! Arrivals: what other units, and others' programs, have published, on its way into the own log.
//!
//! The own log keeps how far each lane was read and which position of each unit was seen on it, in the commit of what it takes in:
//! so nothing is taken twice or left out, whenever either side ends. A message that is not the next one of its unit is not taken:
//!
//! | it is | what happens |
//! |---|---|
//! | seen already | it is counted |
//! | behind a gap, or of a log that is not known | its unit stands still on this lane, and health says so; other units go on. What is read is read again from here after a restart, until what is missing has come or a person has decided |
//! | not to be understood, or not to be taken | it waits as a letter, with all its bytes, and what follows is taken |
//!
//! What comes without a position, from programs that are no units, is known by its source and id among the last of its stream, as
//! everywhere where others bring events in.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use factum_core::{
    carried,
    envelope::Kind,
    error::StoreError,
    id::Name,
    lane::{Home, Seen, Verdict},
    letter::Raw,
    ports::{
        Reader,
        transport::{Consumer, Delivery, Lane, Offset, Start, TopicSpec, TransportError},
    },
};

use super::{Between, Kept, commands_topic, events_topic, lane_cell};
use crate::{
    import::{Door, Import},
    registry::{PLATFORM, Registry},
    sabotage,
};

/// Messages that one commit takes in at most.
const MOST: usize = 512;
/// Bytes that one commit takes in at most, about.
const BYTES: usize = 2 << 20;

/// Why nothing more is taken in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ArrivalsError {
    /// The broker.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The own log.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came on one lane, to be written in one commit.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// What was read of the lane.
    pub cell: Kept,
    /// Messages of units, each the next one.
    pub taken: Vec<Import>,
    /// Messages of others, to be taken unless they were before.
    pub once: Vec<Import>,
    /// What waits for a person.
    pub letters: Vec<Raw>,
    /// The lane, and up to where it is read when this is durable.
    pub through: Option<(Lane, Offset)>,
}

impl Arrived {
    /// Nothing but what is to be kept.
    pub fn only(cell: Kept) -> Self {
        Self { cell, taken: Vec::new(), once: Vec::new(), letters: Vec::new(), through: None }
    }

    /// Whether nothing came that is for anybody.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.once.is_empty() && self.letters.is_empty()
    }

    /// Bytes of what came.
    pub fn bytes(&self) -> usize {
        let imports = self.taken.iter().chain(&self.once).map(|import| import.message().bytes());
        self.cell.1.len() + imports.sum::<usize>() + self.letters.iter().map(Raw::bytes).sum::<usize>()
    }

    fn is_full(&self) -> bool {
        self.taken.len() + self.once.len() + self.letters.len() >= MOST || self.bytes() >= BYTES
    }
}

/// A unit that stands still on a lane.
#[derive(Clone, Debug)]
pub(super) struct Stuck {
    pub(super) unit: Name,
    pub(super) home: Home,
    pub(super) verdict: Verdict,
    /// The lane was read up to here before it.
    before: Option<Offset>,
}

/// A lane as it is read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    seen: Seen,
    /// The last message that was read, taken or not.
    read: Option<Offset>,
    /// In the order in which they came to a stand.
    pub(super) stuck: Vec<Stuck>,
}

impl Reading {
    /// Up to where the lane need not be read again.
    fn through(&self) -> Option<&Offset> {
        match self.stuck.first() {
            Some(first) => first.before.as_ref(),
            None => self.read.as_ref(),
        }
    }

    /// Whether a message of a unit is to be taken.
    fn takes(&mut self, home: &Home) -> bool {
        let verdict = match self.seen.judge(home) {
            Verdict::Again if sabotage::is("import-without-position") => Verdict::Next,
            verdict => verdict,
        };
        match verdict {
            Verdict::Next => {
                self.seen.take(home);
                let gone = |stuck: &Stuck| stuck.unit == home.unit && self.seen.judge(&stuck.home) == Verdict::Again;
                self.stuck.retain(|stuck| !gone(stuck));
                true
            }
            Verdict::Again => false,
            verdict => {
                if !self.stuck.iter().any(|stuck| stuck.unit == home.unit) {
                    let (unit, before) = (home.unit.clone(), self.read.clone());
                    self.stuck.push(Stuck { unit, home: home.clone(), verdict, before });
                }
                false
            }
        }
    }
}

/// See the module.
pub struct Arrivals {
    registry: Arc<Registry>,
    door: Arc<Door>,
    between: Between,
    consumer: Box<dyn Consumer>,
    lanes: BTreeMap<Lane, Reading>,
    /// What has come, and was not handed out yet.
    waiting: std::collections::VecDeque<Delivery>,
    taken: u64,
    again: u64,
}

impl Arrivals {
    /// Goes on where the own log says that each lane was read to.
    ///
    /// # Errors
    /// [`ArrivalsError`]: of a lane that no longer has what comes next, [`TransportError::Gone`].
    pub fn open(
        registry: Arc<Registry>,
        door: Arc<Door>,
        reader: &dyn Reader,
        between: Between,
    ) -> Result<Self, ArrivalsError> {
        let mut lanes = BTreeMap::new();
        for name in topics(&registry, &door) {
            let wanted = TopicSpec { name: name.clone(), lanes: between.lanes, keeps: None };
            for number in 0..between.transport.topic(&wanted)? {
                let lane = Lane { topic: name.clone(), number };
                let seen = match reader.cell(&lane_cell(&lane))? {
                    None => Seen::nothing(false),
                    Some(cell) => serde_json::from_slice(&cell.value).map_err(|error| {
                        StoreError::Corrupt(format!("what was read of lane {lane} cannot be read: {error}"))
                    })?,
                };
                let read = seen.offset();
                lanes.insert(lane, Reading { seen, read, stuck: Vec::new() });
            }
        }
        let begin = |reading: &Reading| reading.read.clone().map_or(Start::Earliest, Start::After);
        let starts: Vec<_> = lanes.iter().map(|(lane, reading)| (lane.clone(), begin(reading))).collect();
        let consumer = between.transport.consumer(&format!("factum-{}", between.unit), &starts)?;
        let waiting = std::collections::VecDeque::new();
        Ok(Self { registry, door, between, consumer, lanes, waiting, taken: 0, again: 0 })
    }

    /// What has come next, of one lane; waits for so long at most if nothing has. When it is durable it is to be
    /// [`settled`](Self::settle); if it does not get so, all this has to be opened anew.
    ///
    /// # Errors
    /// [`ArrivalsError`]; nothing was skipped.
    pub fn next(&mut self, long: Duration) -> Result<Option<Arrived>, ArrivalsError> {
        if self.waiting.is_empty() {
            self.waiting.extend(self.consumer.poll(long)?);
        }
        let Some(first) = self.waiting.front() else { return Ok(None) };
        let lane = first.lane.clone();
        let mut arrived = Arrived::only((lane_cell(&lane), Vec::new()));
        let mut reading = self.lanes.remove(&lane).unwrap_or_default();
        while !arrived.is_full() && self.waiting.front().is_some_and(|delivery| delivery.lane == lane) {
            let Some(delivery) = self.waiting.pop_front() else { break };
            self.take(&mut reading, &delivery, &mut arrived);
            reading.read = Some(delivery.offset);
        }
        if let Some(through) = reading.through().cloned() {
            reading.seen.through(&through);
            arrived.through = Some((lane.clone(), through));
        }
        let value = serde_json::to_vec(&reading.seen).map_err(|error| StoreError::Unfit(error.to_string()));
        self.lanes.insert(lane, reading);
        arrived.cell.1 = value?;
        Ok(Some(arrived))
    }

    fn take(&mut self, reading: &mut Reading, delivery: &Delivery, arrived: &mut Arrived) {
        let letter = |why: String| Raw {
            lane: delivery.lane.to_string(),
            offset: delivery.offset.to_string(),
            type_name: delivery.parcel.header(carried::EVENT_TYPE).unwrap_or_default().to_owned(),
            key: delivery.parcel.key.as_deref().unwrap_or_default().to_owned(),
            body: delivery.parcel.body.clone(),
            why,
        };
        let home = match carried::home(&delivery.parcel.body) {
            Ok(home) => home,
            Err(error) => return arrived.letters.push(letter(error.to_string())),
        };
        if let Some(home) = &home
            && !reading.takes(home)
        {
            self.again += 1;
            return;
        }
        let incoming = match (self.between.read)(delivery) {
            Ok(incoming) => incoming,
            Err(error) => return arrived.letters.push(letter(error.to_string())),
        };
        let admitted = match &home {
            Some(_) => self.door.carried(&self.registry, incoming),
            None if incoming.message.envelope.kind == Kind::Event && !self.door.is_read(&self.registry, &incoming) => {
                Ok(None)
            }
            None => self.door.foreign(&self.registry, incoming).map(Some),
        };
        match admitted {
            // Nobody here reads it.
            Ok(None) => {}
            Ok(Some(import)) => {
                self.taken += 1;
                if home.is_some() { &mut arrived.taken } else { &mut arrived.once }.push(import);
            }
            Err(why) => arrived.letters.push(letter(why.to_string())),
        }
    }

    /// All up to here is durable in the own log.
    pub fn settle(&mut self, through: &(Lane, Offset)) {
        if let Err(error) = self.consumer.settle(std::slice::from_ref(through)) {
            tracing::debug!(%error, lane = %through.0, "the broker could not be told how far its lane was read");
        }
    }

    /// The lanes that are read.
    pub(super) fn lanes(&self) -> impl Iterator<Item = (&Lane, &Reading)> {
        self.lanes.iter()
    }

    /// Messages that were taken, and such as were not because they had come before or wait, since the start.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.taken, self.again)
    }
}

/// What a unit reads: the events of others that its services read, and what is sent to its services.
fn topics(registry: &Registry, door: &Door) -> BTreeSet<Arc<str>> {
    let own = registry.services.iter().filter(|service| service.name != PLATFORM);
    let commands = own.map(|service| commands_topic(&service.name));
    door.foreign_events(registry).map(events_topic).chain(commands).collect()
}
