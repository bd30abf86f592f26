//! Open instances of sagas: a cell each, so that what is open is known at a start without reading the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use factum_core::{
    Timestamp,
    cell::{CellKey, CellKind},
    envelope::Kind,
    error::{HandlerError, StoreError},
    ports::{Reader, Scan},
    saga::{Shown, Standing, Status},
    stream::{Position, StreamId, StreamVersion},
};
use serde::{Deserialize, Serialize};

use super::stage::Stage;
use crate::registry::Registry;

/// The cell that says that all open instances have one; a log from before these cells has not.
const COMPLETE: &str = "complete";
/// The first byte of a cell.
const LAYOUT: u8 = 1;
/// Instances that need a person and are named in `/health`.
const NAMED: usize = 3;
/// Bytes to read at once.
const SCAN_BYTES: usize = 4 << 20;

/// What is kept of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// How it stands.
    pub standing: Standing,
    /// When it began.
    pub since: Timestamp,
}

impl Open {
    /// The cell's value.
    ///
    /// # Errors
    /// [`HandlerError`] if it has no stored form.
    pub fn encode(&self) -> Result<Vec<u8>, HandlerError> {
        postcard::to_extend(self, vec![LAYOUT]).map_err(HandlerError::failed)
    }

    /// Reads a cell's value.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is none.
    pub fn decode(value: &[u8]) -> Result<Self, StoreError> {
        let corrupt = |problem: &str| StoreError::Corrupt(format!("the cell of a saga cannot be read: {problem}"));
        match value.split_first() {
            Some((&LAYOUT, value)) => postcard::from_bytes(value).map_err(|error| corrupt(&error.to_string())),
            _ => Err(corrupt("it is of another layout")),
        }
    }
}

/// How many instances of a version are open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SagaCount {
    /// The definition's name.
    pub saga: String,
    /// Its version.
    pub version: u32,
    /// Instances that are open.
    pub open: u64,
    /// Those of them that are being undone.
    pub undoing: u64,
    /// Those of them that need a person.
    pub needs_person: u64,
    /// Some of those, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub who: Vec<String>,
    /// Whether this program has the version; if not, its instances wait.
    pub known: bool,
    /// An earlier version without open instances: its table may be removed.
    pub may_go: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Instances {
    open: BTreeMap<String, Open>,
    counts: BTreeMap<(String, u32), SagaCount>,
    needing: BTreeSet<String>,
    /// Found by reading the log, and not written yet.
    found: Vec<String>,
    incomplete: bool,
}

impl Instances {
    pub(super) fn load(registry: &Registry, reader: &dyn Reader) -> Result<Self, StoreError> {
        let mut instances = Self { incomplete: true, ..Self::default() };
        for saga in registry.services.iter().flat_map(|service| &service.sagas) {
            for table in saga.all() {
                instances.count(registry, saga.name(), table.version());
            }
        }
        for cell in reader.cells(CellKind::Saga)? {
            match cell.key.name.as_str() {
                COMPLETE => instances.incomplete = false,
                _ => instances.put(registry, &cell.key, Some(&cell.value))?,
            }
        }
        if instances.incomplete {
            instances.look(registry, reader)?;
        }
        Ok(instances)
    }

    /// Finds open instances in a log from before there were cells for them.
    fn look(&mut self, registry: &Registry, reader: &dyn Reader) -> Result<(), StoreError> {
        let end = |name: &str| name.ends_with(".completed") || name.ends_with(".compensated");
        let mine = |name: &str| name.split('.').next().is_some_and(|category| registry.saga(category).is_some());
        let wanted = |name: &str| mine(name) && (name.ends_with(".started") || end(name));
        let (mut after, until) = (Position::START, reader.head());
        let mut begun: BTreeSet<StreamId> = BTreeSet::new();
        while after < until {
            let scanned = reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types: Some(&wanted) })?;
            let own = |stored: &&factum_core::envelope::Stored| {
                stored.envelope().kind == Kind::Event && registry.saga(stored.stream.category()).is_some()
            };
            for stored in scanned.messages.iter().filter(own) {
                match end(stored.type_name()) {
                    true => _ = begun.remove(&stored.stream),
                    false => _ = begun.insert(stored.stream.clone()),
                }
            }
            after = scanned.through.max(Position(after.0 + 1));
        }
        for stream in begun {
            let shown = Shown::of(&reader.stream(&stream, StreamVersion(0))?);
            let Ok(Some(shown)) = shown else { continue };
            let undoing = shown.steps.iter().any(|step| matches!(step.status, "undoing" | "failed"));
            let status = if undoing { Status::Undoing } else { Status::Running };
            let needs_person = shown.status == "needs_attention";
            let standing = Standing { version: shown.version, status, needs_person };
            self.insert(registry, stream.as_str(), Some(Open { standing, since: shown.started_at }));
            self.found.push(stream.to_string());
        }
        Ok(())
    }

    /// Puts what was found onto the stage.
    pub(super) fn write(&mut self, stage: &mut Stage) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.incomplete) {
            return Ok(());
        }
        for name in std::mem::take(&mut self.found) {
            let Some(open) = self.open.get(&name) else { continue };
            let value = open.encode().map_err(|error| StoreError::Unfit(error.to_string()))?;
            stage.cell(CellKey::new(CellKind::Saga, name), Some(value));
        }
        stage.cell(CellKey::new(CellKind::Saga, COMPLETE), Some(vec![LAYOUT]));
        Ok(())
    }

    /// The names of all.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.open.keys().map(String::as_str)
    }

    /// The names of those whose version the program lacks.
    pub(super) fn lacking<'a>(&'a self, registry: &'a Registry) -> impl Iterator<Item = &'a str> {
        let any = self.counts.values().any(|count| !count.known && count.open > 0);
        let all = self.open.keys().filter(move |_| any).map(String::as_str);
        all.filter(move |name| self.is_lacking(registry, name))
    }

    /// Whether the program lacks the version of an open instance.
    pub(super) fn is_lacking(&self, registry: &Registry, name: &str) -> bool {
        let versions = name.split('-').next().and_then(|saga| registry.versions(saga));
        let known = |open: &Open| versions.is_some_and(|it| it.version(open.standing.version).is_some());
        self.open.get(name).is_some_and(|open| !known(open))
    }

    pub(super) fn get(&self, stream: &str) -> Option<&Open> {
        self.open.get(stream)
    }

    /// The open instances of a definition behind one of them, in the order of their names.
    pub(super) fn behind(&self, saga: &str, after: Option<&str>) -> impl Iterator<Item = (&str, &Open)> {
        let prefix = format!("{saga}-");
        let from = after.map_or(Bound::Included(prefix.as_str()), Bound::Excluded);
        let range = self.open.range::<str, _>((from, Bound::Unbounded));
        range.map(|(name, open)| (name.as_str(), open)).take_while(move |(name, _)| name.starts_with(&prefix))
    }

    /// Takes a cell in, or its end.
    pub(super) fn put(&mut self, registry: &Registry, key: &CellKey, value: Option<&[u8]>) -> Result<(), StoreError> {
        let open = value.map(Open::decode).transpose()?;
        self.insert(registry, &key.name, open);
        Ok(())
    }

    fn insert(&mut self, registry: &Registry, name: &str, open: Option<Open>) {
        let saga = name.split('-').next().unwrap_or_default();
        let before = match open {
            Some(open) => self.open.insert(name.to_owned(), open),
            None => self.open.remove(name),
        };
        for (standing, more) in [(before, false), (open, true)].into_iter().filter_map(|(it, more)| Some((it?, more))) {
            let Standing { version, status, needs_person } = standing.standing;
            let count = self.count(registry, saga, version);
            let change = |count: &mut u64| *count = if more { *count + 1 } else { count.saturating_sub(1) };
            change(&mut count.open);
            if status == Status::Undoing {
                change(&mut count.undoing);
            }
            if needs_person {
                change(&mut count.needs_person);
            }
        }
        match open.is_some_and(|open| open.standing.needs_person) {
            true => _ = self.needing.insert(name.to_owned()),
            false => _ = self.needing.remove(name),
        }
    }

    fn count(&mut self, registry: &Registry, saga: &str, version: u32) -> &mut SagaCount {
        self.counts.entry((saga.to_owned(), version)).or_insert_with(|| {
            let versions = registry.versions(saga);
            let known = versions.is_some_and(|versions| versions.version(version).is_some());
            let may_go = versions.is_some_and(|versions| known && versions.newest().version() != version);
            SagaCount { saga: saga.to_owned(), version, known, may_go, ..SagaCount::default() }
        })
    }

    /// How many of each version are open.
    pub(super) fn counts(&self) -> Vec<SagaCount> {
        let named = |count: &SagaCount| {
            let mine = self.needing.iter().filter(|name| {
                name.split('-').next() == Some(&count.saga)
                    && self.open.get(*name).is_some_and(|open| open.standing.version == count.version)
            });
            mine.take(NAMED).cloned().collect()
        };
        let shown = self.counts.values().filter(|count| count.known || count.open > 0);
        shown
            .map(|count| SagaCount {
                who: if count.needs_person > 0 { named(count) } else { Vec::new() },
                may_go: count.may_go && count.open == 0,
                ..count.clone()
            })
            .collect()
    }
}
