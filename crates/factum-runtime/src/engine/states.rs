//! The cache of folded states: aggregates and saga instances by stream, bounded by bytes.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use super::{
    causes::{Cause, Causes},
    failure::guard,
    origin::Origin,
    snapshots::{Kept, Write},
};
use factum_core::{
    decider::AnyDecider,
    envelope::{Message, Stored},
    error::HandlerError,
    id::MessageId,
    saga::Versions,
    snapshot::Codec,
    stream::{Position, StreamId, StreamVersion},
};

use crate::import::known_as;

/// A state of more than this part of the limit does not drive out others.
const LARGE: usize = 4;
/// Of what stands beside the state in a snapshot: raise it whenever that changes.
const LAYOUT: u8 = 2;

/// What folds a stream.
#[derive(Clone, Copy)]
pub(super) enum Model<'a> {
    Decider(&'a dyn AnyDecider),
    Saga(&'a Versions),
    /// Events of others: nothing but what they are.
    Replica,
}

impl Model<'_> {
    fn blank(&self) -> Box<dyn Any + Send> {
        match self {
            Self::Decider(decider) => decider.blank(),
            Self::Saga(saga) => saga.blank(),
            Self::Replica => Box::new(()),
        }
    }

    fn evolve(&self, state: &mut dyn Any, stored: &Stored) -> Result<(), HandlerError> {
        match self {
            Self::Decider(decider) => decider.evolve(state, stored),
            Self::Replica => Ok(()),
            #[cfg(feature = "sabotage")]
            Self::Saga(saga) => saga.evolve(state, &super::planted::of_another_version(saga, stored)),
            #[cfg(not(feature = "sabotage"))]
            Self::Saga(saga) => saga.evolve(state, stored),
        }
    }

    /// How its states are kept in snapshots. A saga's instances are short.
    pub(super) fn codec(&self) -> Option<Codec> {
        match self {
            Self::Decider(decider) => decider.snapshots(),
            Self::Saga(_) => None,
            Self::Replica => Some(Codec::of::<()>(1, &[])),
        }
    }

    fn bytes(&self, state: &dyn Any) -> usize {
        match self {
            Self::Decider(decider) => decider.bytes(state),
            Self::Saga(saga) => saga.bytes(state),
            Self::Replica => 0,
        }
    }
}

/// A folded stream.
pub(super) struct Entry {
    pub(super) state: Box<dyn Any + Send>,
    pub(super) version: StreamVersion,
    /// The message that gave the stream this version.
    pub(super) last: Option<MessageId>,
    /// Of what caused the first message, if any was taken in: how deep the whole stream is. Not of one from a snapshot.
    pub(super) depth: Option<u16>,
    pub(super) causes: Causes,
    /// How it is kept in snapshots, if it is.
    pub(super) codec: Option<Codec>,
    pub(super) kept: Kept,
}

/// What stands in front of the state in a snapshot: the layout, version and id of the last message, and the causes.
type Beside = (u8, StreamVersion, Option<MessageId>, Vec<Cause>);

impl Entry {
    pub(super) fn blank(model: &Model<'_>) -> Self {
        Self {
            state: model.blank(),
            version: StreamVersion(0),
            last: None,
            depth: None,
            causes: Causes::default(),
            codec: model.codec(),
            kept: Kept::default(),
        }
    }

    /// Takes a message of the stream in.
    pub(super) fn take(&mut self, model: &Model<'_>, stored: &Stored) -> Result<(), HandlerError> {
        model.evolve(&mut *self.state, stored)?;
        let envelope = stored.envelope();
        self.version = stored.version;
        self.last = Some(envelope.id.clone());
        self.depth.get_or_insert(envelope.depth.saturating_sub(1));
        let (at, place) = (envelope.timestamp, (stored.version, stored.position));
        if let Model::Replica = model {
            self.causes.remember(Cause::new(&known_as(envelope), (0, None), at, place));
        } else if let (Some(id), Some(digest)) = (&envelope.causation_id, envelope.digest) {
            self.causes.remember(Cause::new(id, (digest, envelope.repeat_key), at, place));
        }
        Ok(())
    }

    /// Messages are appended whose events are in the state already.
    pub(super) fn appended(&mut self, messages: &[Message]) {
        let Some(last) = messages.last() else { return };
        self.version.0 += messages.len() as u64;
        self.depth.get_or_insert(last.envelope.depth.saturating_sub(1));
        self.last = Some(last.envelope.id.clone());
    }

    /// A copy for a snapshot, to be written elsewhere.
    pub(super) fn copy(&self, codec: Codec) -> Result<Write, HandlerError> {
        let beside = (LAYOUT, self.version, &self.last, &self.causes);
        let mut bytes = postcard::to_allocvec(&beside).map_err(HandlerError::failed)?;
        let copy = codec.copy(&*self.state)?;
        Ok(Box::new(move || {
            bytes.append(&mut codec.encode(&*copy)?);
            Ok(bytes)
        }))
    }

    /// From a snapshot.
    pub(super) fn decode(codec: Codec, bytes: &[u8]) -> Result<Self, HandlerError> {
        if bytes.first() != Some(&LAYOUT) {
            return Err(HandlerError::failed("it is of another layout"));
        }
        let (beside, state) = postcard::take_from_bytes::<Beside>(bytes).map_err(HandlerError::failed)?;
        let (_, version, last, causes) = beside;
        let causes = causes.into_iter().collect();
        let kept = Kept::new(version.0, bytes.len());
        Ok(Self { state: codec.decode(state)?, version, last, depth: None, causes, codec: Some(codec), kept })
    }

    /// Remembers a command from outside whose messages have just been appended, if it may be sent again.
    pub(super) fn remember(&mut self, origin: &Origin) {
        if let Some(digest) = origin.digest {
            let about = (digest, origin.repeat_key);
            self.causes.remember(Cause::new(&origin.id, about, origin.at, (self.version, Position::START)));
        }
    }
}

/// A map by stream. Its hash is quick, and seeded by chance, so that nobody can choose keys that meet in it.
pub(super) type ByStream<T> = HashMap<StreamId, T, foldhash::fast::RandomState>;

/// See the module. The least recently used go first.
pub(super) struct States {
    entries: ByStream<Cached>,
    order: BTreeMap<u64, StreamId>,
    clock: u64,
    bytes: usize,
    limit: usize,
    /// Messages after which a state is worth a snapshot.
    snapshot_messages: u64,
    /// Those that are.
    due: BTreeSet<StreamId>,
    /// Whether it has been said that a state alone is over the limit.
    warned: bool,
}

struct Cached {
    entry: Entry,
    bytes: usize,
    used: u64,
}

impl States {
    pub(super) fn new(limit: usize, snapshot_messages: u64) -> Self {
        let (entries, order, due) = (ByStream::default(), BTreeMap::new(), BTreeSet::new());
        Self { entries, order, clock: 0, bytes: 0, limit, snapshot_messages, due, warned: false }
    }

    /// Takes a state out; whoever is done with it puts it back.
    pub(super) fn remove(&mut self, stream: &StreamId) -> Option<Entry> {
        let cached = self.entries.remove(stream)?;
        self.order.remove(&cached.used);
        self.bytes -= cached.bytes;
        Some(cached.entry)
    }

    pub(super) fn put(&mut self, stream: StreamId, entry: Entry, model: &Model<'_>) {
        // The user's own estimate; if it panics, the state counts as much as one may.
        let bytes = guard(|| Ok(model.bytes(&*entry.state))).unwrap_or(self.limit / LARGE + 1);
        let bytes = bytes + stream.as_str().len() + 128 + entry.causes.bytes();
        if entry.codec.is_some() && entry.kept.due(entry.version.0, self.snapshot_messages) {
            self.due.insert(stream.clone());
        }
        self.clock += 1;
        self.bytes += bytes;
        self.order.insert(self.clock, stream.clone());
        self.entries.insert(stream, Cached { entry, bytes, used: self.clock });
    }

    /// Notes where the events of a command from outside have come to stand, so that its repetition gets the same receipt.
    pub(super) fn place(&mut self, stream: &StreamId, version: StreamVersion, position: Position) {
        if let Some(cached) = self.entries.get_mut(stream) {
            cached.entry.causes.place(version, position);
        }
    }

    /// A stream whose state is worth a snapshot; it is not named again before it is put once more.
    pub(super) fn take_due(&mut self) -> Option<StreamId> {
        loop {
            let stream = self.due.pop_first()?;
            if self.entries.contains_key(&stream) {
                return Some(stream);
            }
        }
    }

    /// Whether there is one.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Streams of at least so many messages whose states have changed since their last snapshot, the least recently used
    /// first.
    pub(super) fn changed(&self) -> Vec<StreamId> {
        let changed =
            |entry: &Entry| entry.version.0 >= self.snapshot_messages && entry.kept.is_behind(entry.version.0);
        self.which(|cached| cached.entry.codec.is_some() && changed(&cached.entry))
    }

    /// Such streams in the order of their use: that of the map is another in each process.
    fn which(&self, such: impl Fn(&Cached) -> bool) -> Vec<StreamId> {
        let such = self.entries.iter().filter(|(_, cached)| such(cached));
        let mut such: Vec<(u64, StreamId)> = such.map(|(stream, cached)| (cached.used, stream.clone())).collect();
        such.sort_unstable_by_key(|(used, _)| *used);
        such.into_iter().map(|(_, stream)| stream).collect()
    }

    pub(super) fn get(&self, stream: &StreamId) -> Option<&Entry> {
        self.entries.get(stream).map(|cached| &cached.entry)
    }

    pub(super) fn get_mut(&mut self, stream: &StreamId) -> Option<&mut Entry> {
        self.entries.get_mut(stream).map(|cached| &mut cached.entry)
    }

    /// Drops what is over the limit, least recently used first; but one that would drive out most others goes itself.
    /// Only between batches. What is dropped while its messages are in flight is read when they have landed
    /// ([`super::flight`]).
    pub(super) fn trim(&mut self) {
        if self.bytes <= self.limit {
            return;
        }
        for stream in self.which(|cached| cached.bytes > self.limit / LARGE) {
            if self.bytes > self.limit {
                let alone = self.entries.get(&stream).map_or(0, |cached| cached.bytes);
                if alone > self.limit && !self.warned {
                    let (bytes, limit) = (alone, self.limit);
                    tracing::warn!(%stream, bytes, limit, "a state alone is over the limit of cached states, so that it is read again each time: raise `state_bytes`, or keep less in it");
                    self.warned = true;
                }
                self.remove(&stream);
            }
        }
        while self.bytes > self.limit {
            let Some((_, stream)) = self.order.first_key_value() else { return };
            let stream = stream.clone();
            self.remove(&stream);
        }
    }

    /// Bytes that they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
        self.due.clear();
        self.bytes = 0;
    }
}
