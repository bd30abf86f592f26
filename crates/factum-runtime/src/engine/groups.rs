//! Pull groups, as the engine has them: what their workers settle is written with its commits, and a message that has failed too
//! often becomes a letter. What is durable is told to those who give messages out ([`crate::groups`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use factum_core::{
    error::{HandlerError, StoreError},
    group::{Group, Start},
    letter::{Held, Key, Letter, Subject},
    ports::{Reader, Scan},
    stream::Position,
};

use super::{
    act::shown,
    failure::{About, Turn},
    holds::At,
    run::Run,
    stage::Stage,
    work::Work,
};
use crate::{
    acts::{ActError, By, Outcome, Preview, Shown},
    groups::{Failure, KeyStands, Passing, Settle, Settled, ToldAll, Tries},
    registry::{ConsumerId, Registry},
    sabotage,
};

/// Bytes to read at once where a group begins.
const SCAN_BYTES: usize = 4 << 20;

/// What is settled of each group.
#[derive(Debug, Default)]
pub(super) struct GroupCells {
    settled: BTreeMap<ConsumerId, Settled>,
    /// Those whose cells must be written.
    changed: BTreeSet<ConsumerId>,
    told: Arc<ToldAll>,
    /// Those that are told to have stopped.
    stopped: BTreeSet<ConsumerId>,
    /// Cells whose groups no service has any more.
    pub(super) orphans: Vec<String>,
}

/// What a commit changes about groups, to be told when it is durable.
#[derive(Default)]
pub(super) struct Changes {
    settled: Vec<(ConsumerId, Settled)>,
    keys: Vec<(ConsumerId, Key, KeyStands)>,
    /// Why groups do not go on; nothing if that is as it was told.
    stops: Option<Vec<(ConsumerId, Option<String>)>>,
}

impl Changes {
    /// Tells what is durable now.
    pub(super) fn tell(self, all: &ToldAll) {
        let Self { settled, keys, stops } = self;
        if settled.is_empty() && keys.is_empty() && stops.is_none() {
            return;
        }
        all.change(|told| {
            for (id, key, stands) in keys {
                told.entry(id).or_default().key(key.as_str(), stands);
            }
            for (id, settled) in settled {
                told.entry(id).or_default().settled = settled;
            }
            for (id, stop) in stops.into_iter().flatten() {
                told.entry(id).or_default().stopped = stop;
            }
        });
    }
}

impl GroupCells {
    /// Where those look who give messages out.
    pub(super) fn told(&self) -> Arc<ToldAll> {
        self.told.clone()
    }

    /// Reads the cells; a group that has none is new, and begins where it says.
    pub(super) fn load(&mut self, registry: &Registry, reader: &dyn Reader) -> Result<(), StoreError> {
        let cells = reader.cells(factum_core::cell::CellKind::Group)?.into_iter();
        let mut cells: BTreeMap<String, Vec<u8>> = cells.map(|cell| (cell.key.name, cell.value)).collect();
        let (mut settled, mut changed) = (BTreeMap::new(), BTreeSet::new());
        for (id, group) in registry.groups() {
            let found = match cells.remove(group.name()) {
                Some(value) => Settled::decode(&value)?,
                None => {
                    changed.insert(id);
                    Settled { cursor: begins(group, reader)?, ..Settled::default() }
                }
            };
            settled.insert(id, found);
        }
        (self.settled, self.changed, self.orphans) = (settled, changed, cells.into_keys().collect());
        Ok(())
    }

    /// How far a group is; nothing if the consumer is none.
    pub(super) fn cursor(&self, id: ConsumerId) -> Option<Position> {
        self.settled.get(&id).map(|settled| settled.cursor)
    }

    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    fn change(&mut self, id: ConsumerId) -> &mut Settled {
        self.changed.insert(id);
        self.settled.entry(id).or_default()
    }
}

impl Work {
    /// Puts the cells onto the stage that have changed; answers what is to be told when they are durable. Before the held
    /// keys' own cells are written.
    pub(super) fn write_groups(&mut self, registry: &Registry, stage: &mut Stage) -> Result<Changes, StoreError> {
        let mut changes = Changes::default();
        for id in std::mem::take(&mut self.groups.changed) {
            if let Some(settled) = self.groups.settled.get(&id) {
                stage.cell(Settled::cell(&registry.consumer(id).name), Some(settled.encode()?));
                changes.settled.push((id, settled.clone()));
            }
        }
        let stands = |(id, key): At| {
            let stands = KeyStands::of(self.holds.get(id, &key));
            (id, key, stands)
        };
        changes.keys = self.holds.changed_of_groups().into_iter().map(stands).collect();
        let ids = self.groups.settled.keys().copied();
        let stopped: BTreeSet<ConsumerId> = ids.filter(|id| self.consumers.is_stopped(*id)).collect();
        if stopped != self.groups.stopped || !changes.settled.is_empty() || !changes.keys.is_empty() {
            changes.stops = Some(self.groups.settled.keys().map(|id| (*id, self.stop_of(*id))).collect());
        }
        self.groups.stopped = stopped;
        Ok(changes)
    }

    /// Tells all that the store knows.
    pub(super) fn tell_all_groups(&self) {
        if self.groups.settled.is_empty() {
            return;
        }
        self.groups.told.change(|told| {
            told.clear();
            for (id, settled) in &self.groups.settled {
                let told = told.entry(*id).or_default();
                told.settled.clone_from(settled);
                self.holds.of(*id).for_each(|held| told.key(held.key.as_str(), KeyStands::of(Some(held))));
                told.stopped = self.stop_of(*id);
            }
        });
    }

    /// Why a group does not go on.
    fn stop_of(&self, id: ConsumerId) -> Option<String> {
        self.consumers.apart(id).and_then(|apart| apart.stopped.clone())
    }

    /// Up to where a consumer has handled everything, between two batches: what its held keys list is behind that.
    pub(super) fn reached(&self, id: ConsumerId) -> Position {
        self.groups.cursor(id).unwrap_or_else(|| self.consumers.reached(id))
    }
}

impl Run<'_> {
    /// Takes what workers have settled.
    pub(super) fn settle(&mut self, settle: &Settle) -> Result<(), StoreError> {
        let id = settle.group;
        if self.work.groups.cursor(id).is_none() {
            return Ok(());
        }
        if !self.work.groups.changed.contains(&id) {
            self.stage.reserve(self.work.groups.settled.get(&id).map_or(0, cell_bytes));
        }
        for (position, key) in &settle.done {
            self.settled(id, *position, key);
        }
        for failure in &settle.failed {
            self.has_failed(id, failure)?;
        }
        if let Some(passing) = &settle.passing {
            self.pass(id, passing);
        }
        Ok(())
    }

    /// A message is out of the way: done, or a letter.
    fn settled(&mut self, id: ConsumerId, position: Position, key: &str) {
        let key = Key::Ordered(key.to_owned());
        let released = self.work.holds.settle(id, &key, position);
        if released {
            self.reserve_held(id, &key);
        }
        let settled = self.work.groups.change(id);
        match released {
            // The cursor has passed it, or it is settled already.
            true => _ = settled.failed.remove(&position),
            false => settled.settle(position),
        }
    }

    fn has_failed(&mut self, id: ConsumerId, failure: &Failure) -> Result<(), StoreError> {
        let Failure { position, key, reason, until } = failure;
        let limit = self.registry.group(id).map_or(1, Group::most_attempts);
        let failed = &mut self.work.groups.change(id).failed;
        let attempts = failed.get(position).map_or(0, |tries| tries.attempts).saturating_add(1);
        if attempts < limit {
            failed.insert(*position, Tries { attempts, until: *until });
            return Ok(());
        }
        let stored = self.work.message_at(*position)?;
        self.settled(id, *position, key);
        let subject = Subject::Message(*position);
        let about = About { id, subject, stored: &stored, due: None, turn: Turn::First };
        let problem = HandlerError::Failed(format!("attempt {attempts} of {limit}: {reason}"));
        self.letter(&about, Key::Ordered(key.to_string()), &problem, false)?;
        Ok(())
    }

    /// Moves the cursor as far as each message is known to be settled, or to wait behind a held key.
    fn pass(&mut self, id: ConsumerId, passing: &Passing) {
        let full = self.work.limits.staged_bytes + self.work.limits.delivery_bytes() / 2;
        let mut to = passing.to;
        for (position, key) in &passing.messages {
            if self.work.groups.settled.get(&id).is_some_and(|settled| settled.has(*position)) {
                continue;
            }
            let key = Key::Ordered(key.to_string());
            if !self.work.holds.has(id, &key) && !sabotage::is("cursor-passes-what-is-leased") {
                to = Position(position.0 - 1);
                break;
            }
            if self.stage.bytes() >= full {
                // The rest follows with what is settled next.
                to = Position(position.0 - 1);
                break;
            }
            let bytes = self.work.holds.pass_over(id, &key, *position, Position(position.0 - 1));
            self.stage.reserve(bytes);
        }
        self.work.groups.change(id).move_to(to);
    }

    /// Keys of groups that are released, and list nothing that waits: more is listed, or they are free.
    pub(super) fn freed_of_groups(&mut self) -> Result<bool, StoreError> {
        let mut worked = false;
        for (id, key) in self.work.holds.take_empty() {
            if self.work.holds.front(id, &key).is_some() {
                // One was passed over in the batch in which the last one was settled.
                continue;
            }
            worked = true;
            if !self.found_more(id, &key)? {
                self.work.holds.free(id, &key);
            }
        }
        Ok(worked)
    }

    /// A letter of a group ends, and its message is offered again, before all later ones of its key. If another letter holds the key
    /// it waits until that has ended.
    pub(super) fn offer_again(
        &mut self,
        id: ConsumerId,
        letter: &Letter,
        by: &By,
    ) -> Result<Result<Outcome, ActError>, StoreError> {
        let Subject::Message(position) = letter.id.subject else {
            return Ok(Err(ActError::NoLetter(letter.id.clone())));
        };
        self.remove(&letter.id);
        let since = self.work.clock.mark();
        if !self.work.holds.has(id, &letter.key) {
            self.work.holds.hold(self.registry, id, &letter.key, letter.id.clone(), since);
        }
        self.work.holds.insert(id, &letter.key, position);
        let behind = self.work.holds.get(id, &letter.key).is_some_and(|held| held.is_behind(&letter.id));
        if behind {
            self.work.holds.release(id, &letter.key);
        }
        self.reserve_held(id, &letter.key);
        self.note(letter, "redriven", by, serde_json::json!({ "outcome": "it is offered again" }))?;
        Ok(Ok(Outcome::Done { followed: Vec::new() }))
    }

    /// Room for a held key's cell.
    fn reserve_held(&mut self, id: ConsumerId, key: &Key) {
        self.stage.reserve(self.work.holds.get(id, key).map_or(0, Held::bytes));
    }

    /// What would follow of that.
    pub(super) fn would_offer(&self, letter: &Letter) -> Outcome {
        let mut effects = shown(&self.local, &self.work.timers);
        effects.push(Shown {
            kind: "delivery",
            type_name: letter.type_name.clone(),
            place: letter.id.consumer.clone(),
            due: None,
            data: None,
        });
        Outcome::Tried(Preview { effects, failure: None })
    }
}

/// At least the size of a group's cell, in bytes.
fn cell_bytes(settled: &Settled) -> usize {
    64 + 21 * settled.beyond.len() + 48 * (settled.failed.len() + 1)
}

/// Behind which position a new group begins.
fn begins(group: &Group, reader: &dyn Reader) -> Result<Position, StoreError> {
    let head = reader.head();
    let from = match group.starts() {
        Start::Earliest => return Ok(Position::START),
        Start::Latest => return Ok(head),
        Start::Position(position) => return Ok(Position(position.0.saturating_sub(1)).min(head)),
        Start::Time(from) => from,
    };
    let wanted = |name: &str| group.takes(name);
    let mut after = Position::START;
    while after < head {
        let scanned = reader.scan(&Scan { after, until: head, bytes: SCAN_BYTES, types: Some(&wanted) })?;
        if let Some(first) = scanned.messages.iter().find(|stored| stored.envelope().timestamp >= from) {
            return Ok(Position(first.position.0 - 1));
        }
        if scanned.through <= after {
            break;
        }
        after = scanned.through;
    }
    Ok(head)
}
