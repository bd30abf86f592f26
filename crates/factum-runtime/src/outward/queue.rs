//! The calls of one name that wait: in order by key, as many in memory as is good, the rest by their positions.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use factum_core::{
    call::AnyCall,
    cell::{CellKey, CellKind},
    envelope::Stored,
    error::StoreError,
    ports::{Reader, Scan},
    stream::Position,
};
use tokio::time::Instant;

use super::{breaker::Purse, open::OpenCall};

/// Calls of one name that may wait in memory; of more only the positions are kept.
const QUEUED: usize = 4096;
/// Bytes to read at once from the store.
const SCAN_BYTES: usize = 1 << 20;

/// One open call on its way.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) stored: Arc<Stored>,
    pub(super) cell: CellKey,
    pub(super) open: OpenCall,
}

/// See the module.
pub(super) struct Queue {
    pub(super) call: AnyCall,
    pub(super) dependency: String,
    pub(super) purse: Purse,
    /// Attempts under way.
    pub(super) running: usize,
    /// Keys whose first call may be made now.
    pub(super) ready: VecDeque<String>,
    lanes: HashMap<String, VecDeque<Work>>,
    queued: usize,
    /// What came while there was no room, in order.
    later: VecDeque<Position>,
}

impl Queue {
    pub(super) fn new(name: &str, call: AnyCall) -> Self {
        Self {
            dependency: call.dependency.unwrap_or(name).to_owned(),
            purse: Purse::new(call.policy.budget, Instant::now()),
            call,
            running: 0,
            ready: VecDeque::new(),
            lanes: HashMap::new(),
            queued: 0,
            later: VecDeque::new(),
        }
    }

    /// How many wait, or are being made.
    pub(super) fn len(&self) -> usize {
        self.queued + self.later.len()
    }

    /// Whether one more attempt may be under way.
    pub(super) fn has_room(&self) -> bool {
        self.running < self.call.policy.window
    }

    /// Takes a call in.
    pub(super) fn push(&mut self, work: Work) {
        if self.queued >= QUEUED || !self.later.is_empty() {
            self.later.push_back(work.stored.position);
            return;
        }
        self.enqueue(work);
    }

    fn enqueue(&mut self, work: Work) {
        let key = work.stored.envelope().partition_key.to_string();
        self.queued += 1;
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.push_back(work);
        if lane.len() == 1 {
            self.ready.push_back(key);
        }
    }

    /// The call that is next of a key.
    pub(super) fn first(&self, key: &str) -> Option<&Work> {
        self.lanes.get(key)?.front()
    }

    /// The first call of a key has been tried in vain.
    pub(super) fn tried(&mut self, key: &str, open: OpenCall) {
        if let Some(work) = self.lanes.get_mut(key).and_then(VecDeque::front_mut) {
            work.open = open;
        }
    }

    /// The first call of a key is over; the next one of it may be made.
    pub(super) fn over(&mut self, key: String) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.pop_front();
        self.queued -= 1;
        if lane.is_empty() {
            self.lanes.remove(&key);
        } else {
            self.ready.push_back(key);
        }
    }

    /// The first position to be read, if there is room for its call now.
    pub(super) fn wants(&self) -> Option<Position> {
        self.later.front().copied().filter(|_| self.queued < QUEUED / 2 || self.queued == 0)
    }

    /// Takes in calls that were read.
    pub(super) fn read(&mut self, found: Found) {
        while self.later.front().is_some_and(|position| *position <= found.through) {
            self.later.pop_front();
        }
        found.calls.into_iter().for_each(|work| self.enqueue(work));
    }
}

/// Calls that were read from the log.
pub(super) struct Found {
    calls: Vec<Work>,
    through: Position,
}

/// Reads open calls of a name from a position on.
pub(super) fn find(reader: &dyn Reader, name: &str, from: Position) -> Result<Found, StoreError> {
    let wanted = |type_name: &str| type_name == name;
    let scan = Scan { after: Position(from.0 - 1), until: reader.head(), bytes: SCAN_BYTES, types: Some(&wanted) };
    let scanned = reader.scan(&scan)?;
    let mut found = Found { calls: Vec::new(), through: scanned.through.max(from) };
    for stored in scanned.messages {
        found.calls.extend(open_call(reader, stored)?);
    }
    Ok(found)
}

/// The call that a message is, if it is open: its cell knows under which key it is asked.
pub(super) fn open_call(reader: &dyn Reader, stored: Stored) -> Result<Option<Work>, StoreError> {
    let cell = CellKey::new(CellKind::Call, stored.envelope().id.to_string());
    let Some(found) = reader.cell(&cell)? else { return Ok(None) };
    let open = OpenCall::decode(&found)?;
    Ok(open.is_open().then(|| Work { stored: Arc::new(stored), cell, open }))
}
