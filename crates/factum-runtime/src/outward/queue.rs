//! The calls of one name that wait: in order by key, as many in memory as is good, the rest by their positions.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use factum_core::{
    call::{AnyCall, Retry},
    cell::{CellKey, CellKind},
    envelope::Stored,
    error::StoreError,
    ports::{Reader, Scan},
    stream::Position,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{breaker::Purse, open::OpenCall};
use crate::engine::guard;

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

/// How long a patient call is asked for, counted from its message.
const PATIENCE: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Work {
    /// Whether no attempt is left.
    pub(super) fn is_used_up(&self, retry: &Retry, mark: Timestamp) -> bool {
        match self.open.patient {
            true => mark.duration_since(self.open.since.unwrap_or(self.stored.envelope().timestamp)) >= PATIENCE,
            false => self.open.attempts >= retry.attempts,
        }
    }
}

/// The calls of one key, in order.
struct Lane {
    calls: VecDeque<Work>,
    first: First,
}

/// How the first call of a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// It may be made now.
    Ready,
    /// It waits for its next attempt.
    Waits(Instant),
    /// It waits until another call of its instance is not being made any more.
    Behind,
    /// It is being made.
    UnderWay,
}

/// See the module.
pub(super) struct Queue {
    pub(super) call: AnyCall,
    pub(super) dependency: String,
    pub(super) purse: Purse,
    /// Attempts under way.
    running: usize,
    /// Keys whose first call may be made now; some may have been made meanwhile.
    ready: VecDeque<String>,
    lanes: HashMap<String, Lane>,
    queued: usize,
    /// What came while there was no room, in order.
    later: VecDeque<Position>,
}

impl Queue {
    pub(super) fn new(name: &str, call: AnyCall, now: Instant) -> Self {
        Self {
            dependency: call.dependency.unwrap_or(name).to_owned(),
            purse: Purse::new(call.policy.budget, now),
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

    /// Keys whose first call may be made now, about.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Takes a call in.
    pub(super) fn push(&mut self, work: Work) {
        if self.queued >= QUEUED || !self.later.is_empty() {
            self.later.push_back(work.stored.position);
            return;
        }
        self.enqueue(work);
    }

    fn enqueue(&mut self, mut work: Work) {
        if let Some(patient) = &self.call.patient {
            // One that cannot be read fails when it is made.
            work.open.patient |= guard(|| patient(&work.stored)).unwrap_or(false);
        }
        let key = work.stored.envelope().partition_key.to_string();
        self.queued += 1;
        match self.lanes.get_mut(&key) {
            Some(lane) => lane.calls.push_back(work),
            None => {
                self.lanes.insert(key.clone(), Lane { calls: VecDeque::from([work]), first: First::Ready });
                self.ready.push_back(key);
            }
        }
    }

    /// The next key whose first call may be made, and that call.
    pub(super) fn next(&mut self) -> Option<(String, Work)> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(lane) = self.lanes.get(&key)
                && lane.first == First::Ready
                && let Some(work) = lane.calls.front()
            {
                return Some((key, work.clone()));
            }
        }
        None
    }

    /// It cannot be made now, and keeps its place.
    pub(super) fn not_now(&mut self, key: String) {
        self.ready.push_front(key);
    }

    /// It cannot be made now, and others may.
    pub(super) fn later(&mut self, key: String) {
        self.ready.push_back(key);
    }

    /// It is being made.
    pub(super) fn begins(&mut self, key: &str) {
        self.running += 1;
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.first = First::UnderWay;
        }
    }

    /// A task has ended.
    pub(super) fn ends(&mut self) {
        self.running -= 1;
    }

    /// The first call of a key waits until then.
    pub(super) fn waits(&mut self, key: &str, until: Instant) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.first = First::Waits(until);
        }
    }

    /// The first call of a key waits for another that is being made.
    pub(super) fn stands_behind(&mut self, key: &str) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.first = First::Behind;
        }
    }

    /// What the first call of a key has waited for is over.
    pub(super) fn is_free(&mut self, key: String) {
        if let Some(lane) = self.lanes.get_mut(&key)
            && lane.first == First::Behind
        {
            lane.first = First::Ready;
            self.ready.push_back(key);
        }
    }

    /// Its time has come, if it still waits for that.
    pub(super) fn is_due(&mut self, key: String, at: Instant) {
        if let Some(lane) = self.lanes.get_mut(&key)
            && lane.first == First::Waits(at)
        {
            lane.first = First::Ready;
            self.ready.push_back(key);
        }
    }

    /// The cell of the first call of a key.
    pub(super) fn first(&self, key: &str) -> Option<&CellKey> {
        Some(&self.lanes.get(key)?.calls.front()?.cell)
    }

    /// The first call of a key has been tried in vain.
    pub(super) fn tried(&mut self, key: &str, open: OpenCall) {
        if let Some(work) = self.lanes.get_mut(key).and_then(|lane| lane.calls.front_mut()) {
            work.open = open;
        }
    }

    /// The first call of a key is over; the next one of it may be made.
    pub(super) fn over(&mut self, key: String) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.calls.pop_front();
        self.queued -= 1;
        if lane.calls.is_empty() {
            self.lanes.remove(&key);
        } else {
            lane.first = First::Ready;
            self.ready.push_back(key);
        }
    }

    /// Calls of a key were withdrawn: those leave, but for one that is being made, which ends by itself.
    pub(super) fn withdraw(&mut self, key: &str, is_open: impl Fn(&CellKey) -> bool) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let first = lane.calls.front().map(|work| work.cell.clone());
        let under_way = lane.first == First::UnderWay;
        let stays = |work: &Work| (under_way && Some(&work.cell) == first.as_ref()) || is_open(&work.cell);
        let before = lane.calls.len();
        lane.calls.retain(stays);
        self.queued -= before - lane.calls.len();
        if lane.calls.is_empty() {
            self.lanes.remove(key);
        } else if lane.calls.front().map(|work| &work.cell) != first.as_ref() {
            lane.first = First::Ready;
            self.ready.push_back(key.to_owned());
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
