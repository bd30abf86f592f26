//! The cache of folded states: aggregates and saga instances by stream, bounded by bytes.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap, VecDeque},
};

use factum_core::{
    decider::AnyDecider,
    envelope::Stored,
    error::HandlerError,
    id::MessageId,
    saga::AnySaga,
    stream::{Position, StreamId, StreamVersion},
};

/// How many commands from outside a stream remembers, to answer a repeated one with the first receipt.
pub const REMEMBERED_CAUSES: usize = 1024;

/// What folds a stream.
#[derive(Clone, Copy)]
pub(super) enum Model<'a> {
    Decider(&'a dyn AnyDecider),
    Saga(&'a dyn AnySaga),
}

impl Model<'_> {
    fn blank(&self) -> Box<dyn Any + Send> {
        match self {
            Self::Decider(decider) => decider.blank(),
            Self::Saga(saga) => saga.blank(),
        }
    }

    fn evolve(&self, state: &mut dyn Any, stored: &Stored) -> Result<(), HandlerError> {
        match self {
            Self::Decider(decider) => decider.evolve(state, stored),
            Self::Saga(saga) => saga.evolve(state, stored),
        }
    }

    fn bytes(&self, state: &dyn Any) -> usize {
        match self {
            Self::Decider(decider) => decider.bytes(state),
            Self::Saga(saga) => saga.bytes(state),
        }
    }
}

/// A command from outside that led to events of a stream.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) id: MessageId,
    pub(super) digest: u64,
    pub(super) version: StreamVersion,
    /// [`Position::START`] while its commit is under way.
    pub(super) position: Position,
}

/// A folded stream.
pub(super) struct Entry {
    pub(super) state: Box<dyn Any + Send>,
    pub(super) version: StreamVersion,
    pub(super) causes: VecDeque<Cause>,
}

impl Entry {
    pub(super) fn blank(model: &Model<'_>) -> Self {
        Self { state: model.blank(), version: StreamVersion(0), causes: VecDeque::new() }
    }

    /// Takes a message of the stream in.
    pub(super) fn take(&mut self, model: &Model<'_>, stored: &Stored) -> Result<(), HandlerError> {
        model.evolve(&mut *self.state, stored)?;
        self.version = stored.version;
        let envelope = stored.envelope();
        if let (Some(id), Some(digest)) = (&envelope.causation_id, envelope.digest) {
            self.remember(id, digest, stored.position);
        }
        Ok(())
    }

    /// Remembers a command from outside; several events of one command count as one.
    pub(super) fn remember(&mut self, id: &MessageId, digest: u64, position: Position) {
        let version = self.version;
        if let Some(last) = self.causes.back_mut()
            && last.id == *id
        {
            (last.version, last.position) = (version, position);
            return;
        }
        if self.causes.len() == REMEMBERED_CAUSES {
            self.causes.pop_front();
        }
        self.causes.push_back(Cause { id: id.clone(), digest, version, position });
    }

    pub(super) fn cause(&self, id: &MessageId) -> Option<&Cause> {
        self.causes.iter().rev().find(|cause| cause.id == *id)
    }
}

/// See the module. The least recently used go first.
pub(super) struct States {
    entries: HashMap<StreamId, Cached>,
    order: BTreeMap<u64, StreamId>,
    clock: u64,
    bytes: usize,
    limit: usize,
}

struct Cached {
    entry: Entry,
    bytes: usize,
    used: u64,
}

impl States {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), clock: 0, bytes: 0, limit }
    }

    /// Takes a state out; whoever is done with it puts it back.
    pub(super) fn remove(&mut self, stream: &StreamId) -> Option<Entry> {
        let cached = self.entries.remove(stream)?;
        self.order.remove(&cached.used);
        self.bytes -= cached.bytes;
        Some(cached.entry)
    }

    pub(super) fn put(&mut self, stream: StreamId, entry: Entry, model: &Model<'_>) {
        let bytes = model.bytes(&*entry.state) + stream.as_str().len() + 128 + entry.causes.len() * size_of::<Cause>();
        self.clock += 1;
        self.bytes += bytes;
        self.order.insert(self.clock, stream.clone());
        self.entries.insert(stream, Cached { entry, bytes, used: self.clock });
    }

    /// Notes where the events of a command from outside have come to stand, so that its repetition gets the same receipt.
    pub(super) fn place(&mut self, stream: &StreamId, version: StreamVersion, position: Position) {
        let Some(cached) = self.entries.get_mut(stream) else { return };
        let cause = cached.entry.causes.iter_mut().rev().find(|cause| cause.version == version);
        if let Some(cause) = cause {
            cause.position = position;
        }
    }

    /// Drops what is over the limit. Only between batches: a state that holds staged events must not be read again from
    /// the log before they are there.
    pub(super) fn trim(&mut self) {
        while self.bytes > self.limit && self.entries.len() > 1 {
            let Some((_, stream)) = self.order.pop_first() else { return };
            if let Some(cached) = self.entries.remove(&stream) {
                self.bytes -= cached.bytes;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
        self.bytes = 0;
    }
}
