//! Where a hold is released: what was passed over is run in its order, a bounded share of each step.

use std::collections::BTreeMap;

use factum_core::{
    envelope::Stored,
    error::StoreError,
    letter::{Key, MAX_PASSED},
    ports::{Reader, Scan},
    stream::Position,
};

use super::{batch::is_for, failure::Ended, holds::Holds, key::key_of, run::Run};
use crate::{
    registry::{ConsumerId, Handler, Registry},
    sabotage,
};

/// Bytes to read at once.
const SCAN_BYTES: usize = 1 << 20;

/// A piece of a consumer's part of the log, so that neighbours are not read one by one.
#[derive(Default)]
struct Piece {
    after: Position,
    through: Position,
    messages: Vec<Stored>,
}

impl Run<'_> {
    /// Runs a share of what waits behind keys that are being released; says whether there was anything.
    pub(super) fn released(&mut self) -> Result<bool, StoreError> {
        if self.work.holds.is_empty() {
            return Ok(false);
        }
        let mark = self.work.clock.mark();
        self.work.holds.let_go_at(mark);
        let releasing = self.work.holds.releasing();
        let mut left = self.work.limits.share;
        let mut worked = self.freed_of_groups()?;
        for (id, key) in releasing {
            // A stopped one stands in front of something; one whose state is made anew has none to act on.
            if self.work.consumers.is_stopped(id) || self.work.consumers.is_renewed(id) {
                continue;
            }
            self.now_releasing = Some((id, key.clone()));
            let mut piece = Piece::default();
            while left > 0 && !self.is_full() {
                worked = true;
                if !self.next_released(id, &key, &mut piece)? {
                    break;
                }
                left -= 1;
            }
            self.now_releasing = None;
        }
        Ok(worked)
    }

    /// Runs the next message behind a key; says whether there may be another.
    fn next_released(&mut self, id: ConsumerId, key: &Key, piece: &mut Piece) -> Result<bool, StoreError> {
        let Some(position) = self.work.holds.front(id, key) else {
            if self.found_more(id, key)? {
                return Ok(true);
            }
            tracing::debug!(consumer = self.registry.consumer(id).name, %key, "a held key is free again");
            self.work.holds.free(id, key);
            self.work.look_again();
            return Ok(false);
        };
        let position = match sabotage::is("release-out-of-order") {
            true => self.work.holds.get(id, key).and_then(|held| held.passed.back().copied()).unwrap_or(position),
            false => position,
        };
        let stored = self.read(id, position, piece)?;
        let ended = self.log_again(id, &stored)?;
        if ended != Ended::TooEarly {
            match sabotage::is("release-out-of-order") {
                true => self.work.holds.pop_back(id, key),
                false => self.work.holds.pop(id, key),
            }
        }
        self.stage.reserve(10);
        match ended {
            Ended::Done => Ok(true),
            Ended::Held(other) => {
                let cursor = self.work.consumers.reached(id);
                let bytes = self.work.holds.pass_over(id, &other, position, cursor);
                self.stage.reserve(bytes);
                Ok(true)
            }
            // Released by itself if its consumer does not hold keys.
            Ended::Letter(_) => Ok(self.work.holds.is_releasing(id, key)),
            Ended::TooEarly => Ok(false),
        }
    }

    /// A message that waits, read with its neighbours.
    fn read(&mut self, id: ConsumerId, position: Position, piece: &mut Piece) -> Result<Stored, StoreError> {
        if position <= piece.after || position > piece.through {
            let after = Position(position.0 - 1);
            let until = self.work.consumers.reached(id).max(position);
            let wanted = |name: &str| self.registry.reads(id, name);
            let types: Option<&dyn Fn(&str) -> bool> = match self.registry.consumer(id).handler {
                // A rejection bears the name of the command that it answers.
                Handler::Saga(_) => None,
                _ => Some(&wanted),
            };
            let scanned = self.work.reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types })?;
            *piece = Piece { after, through: scanned.through, messages: scanned.messages };
        }
        match piece.messages.binary_search_by_key(&position, |stored| stored.position) {
            Ok(found) => Ok(piece.messages[found].clone()),
            Err(_) => self.work.message_at(position),
        }
    }

    /// Lists what was passed over behind the list; says whether there is anything to go on with.
    pub(super) fn found_more(&mut self, id: ConsumerId, key: &Key) -> Result<bool, StoreError> {
        let Some(held) = self.work.holds.get(id, key) else { return Ok(false) };
        let Some(from) = held.more_from else { return Ok(false) };
        let until = self.work.reached(id);
        let after = Position(from.0 - 1);
        let mut found = Vec::new();
        let through = look(self.registry, id, &*self.work.reader, after, until, &mut |stored| {
            let skipped = || held.skipped.contains(&stored.position);
            // A command whose own key is held comes here when that key is released.
            let elsewhere = || match key {
                Key::Ordered(_) => false,
                Key::Stream(_) => {
                    key_of(self.registry, id, stored).is_ok_and(|own| self.work.holds.has(id, &Key::Ordered(own)))
                }
            };
            if waits_for(self.registry, id, key, stored) && !skipped() && !elsewhere() {
                found.push(stored.position);
            }
            found.len() < MAX_PASSED
        })?;
        let next = (through < until).then_some(Position(through.0 + 1));
        self.work.holds.found(id, key, found, next);
        Ok(true)
    }
}

/// Counts, at a start, what waits behind the lists of held keys.
pub(super) fn count(
    registry: &Registry,
    reached: &dyn Fn(ConsumerId) -> Position,
    holds: &mut Holds,
    reader: &dyn Reader,
) -> Result<(), StoreError> {
    let mut long: BTreeMap<ConsumerId, BTreeMap<Key, (Position, u64)>> = BTreeMap::new();
    for (id, held) in holds.all() {
        if let Some(from) = held.more_from {
            long.entry(id).or_default().insert(held.key.clone(), (from, 0));
        }
    }
    for (id, mut keys) in long {
        let Some(first) = keys.values().map(|(from, _)| *from).min() else { continue };
        let streams = keys.keys().any(|key| matches!(key, Key::Stream(_)));
        look(registry, id, reader, Position(first.0 - 1), reached(id), &mut |stored| {
            let ordered = key_of(registry, id, stored).map(Key::Ordered);
            if let Ok(key) = ordered
                && let Some((from, count)) = keys.get_mut(&key)
                && *from <= stored.position
            {
                *count += 1;
            } else if streams {
                let waiting = keys
                    .iter_mut()
                    .find(|(key, (from, _))| *from <= stored.position && waits_for(registry, id, key, stored));
                waiting.into_iter().for_each(|(_, (_, count))| *count += 1);
            }
            true
        })?;
        keys.into_iter().for_each(|(key, (_, more))| holds.count(id, &key, more));
    }
    Ok(())
}

/// Shows a consumer's messages between two positions, as long as more are wanted; answers up to where it has looked.
fn look(
    registry: &Registry,
    id: ConsumerId,
    reader: &dyn Reader,
    after: Position,
    until: Position,
    show: &mut dyn FnMut(&Stored) -> bool,
) -> Result<Position, StoreError> {
    let wanted = |name: &str| registry.reads(id, name);
    let types: Option<&dyn Fn(&str) -> bool> = match registry.consumer(id).handler {
        Handler::Saga(_) => None,
        _ => Some(&wanted),
    };
    let mut after = after;
    while after < until {
        let scanned = reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types })?;
        if scanned.through <= after {
            return Ok(until);
        }
        for stored in scanned.messages.iter().filter(|stored| is_for(registry, stored, id)) {
            if !show(stored) {
                return Ok(stored.position);
            }
        }
        after = scanned.through;
    }
    Ok(until)
}

/// Whether a message waits behind a key.
fn waits_for(registry: &Registry, id: ConsumerId, key: &Key, stored: &Stored) -> bool {
    // What a folding does not react to has nothing that could wait.
    if let Handler::Folding(at) = registry.consumer(id).handler
        && stored.envelope().kind == factum_core::envelope::Kind::Event
        && !registry.service(id).foldings[at].reacts_to(stored.type_name())
    {
        return false;
    }
    match key {
        Key::Ordered(text) => match key_of(registry, id, stored) {
            Ok(key) => key == *text,
            Err(_) => *stored.envelope().partition_key == **text,
        },
        Key::Stream(stream) => match registry.consumer(id).handler {
            Handler::Decider(at) => {
                let decider = &registry.service(id).deciders[at];
                super::guard(|| decider.address(&stored.message)).is_ok_and(|to| to.stream.as_str() == stream)
            }
            _ => false,
        },
    }
}
