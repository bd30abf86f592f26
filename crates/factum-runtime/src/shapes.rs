//! The names and versions under which a log may hold events, compared at a start with what the program can read.
//!
//! One cell lists them as (category, type, version). A program that may write one which is not listed lists it with its
//! first commit, so that nothing new is stored without it, and nothing is written for it later. What a later program
//! cannot read is looked for in the log before anybody is told: it may never have been stored, and then it leaves the list.
//!
//! The cell also keeps a digest of each declared shape. Where one has changed since the last program, what is stored of it is
//! read at the start as a state would read it, so that a field without which nothing can be read is missed at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use factum_core::{
    cell::{CellKey, CellKind},
    envelope::{Kind, Stored},
    error::StoreError,
    payload::{TypeInfo, Version},
    ports::{Reader, Scan},
    stream::{Position, StreamId},
    upcast::same_major,
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::guard,
    registry::{PLATFORM, Registry},
};

/// The largest list, in bytes: some thousands of names and versions.
pub const MAX_SHAPES_BYTES: usize = 256 << 10;
/// Bytes of messages to read at once.
const SCAN_BYTES: usize = 8 << 20;
/// Of so many a person is told by name.
const NAMED: usize = 5;
/// Of each name and version whose declaration has changed so many events are read.
const READ: u64 = 10_000;
/// In place of a category, in lists of programs that did not declare where their reactions emit: in any.
const ANYWHERE: &str = "";

/// Under which name and version an event stands in a category of streams.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    /// The streams' category.
    pub category: String,
    /// The type, as it is stored.
    pub type_name: String,
    /// The version, as it is stored.
    pub version: String,
}

/// Why an event cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No handler of the program has the type.
    Unknown,
    /// It is of a major version that the program does not know yet.
    Newer {
        /// What the program knows.
        declared: &'static str,
    },
    /// Its data does not have the shape that the program declares.
    Unfit {
        /// What the reader of the data says.
        problem: String,
        /// Its name of today.
        today: String,
        /// The version that the program declares.
        declared: &'static str,
    },
    /// Upcasters do not lead from it to the major version of today.
    NotRaised {
        /// Where they end.
        at: String,
        /// Its name of today.
        today: String,
        /// What the program knows.
        declared: &'static str,
    },
}

/// Events of one shape that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The shape.
    pub shape: Shape,
    /// The first of them.
    pub first: Position,
    /// Why.
    pub why: Why,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { category, type_name, version } = &self.shape;
        write!(f, "streams of `{category}` hold `{type_name}` {version} (first at position {})", self.first)?;
        match &self.why {
            Why::Unknown => write!(
                f,
                ", which no handler of this program has: if it has another name now, put `was = \"{type_name}\"` behind \
                 that, or `was: {type_name}` into the definition that tells it now; else deploy the version of the program \
                 that knows it"
            ),
            Why::Newer { declared } => {
                write!(f, ", and this program knows {declared}: deploy the version of the program that knows {version}")
            }
            Why::Unfit { problem, today, declared } if declared == version => write!(
                f,
                ", which do not have the shape that this program declares for {declared} ({problem}): give `{today}` the \
                 next version and an upcaster from {version} to it, or let what is missing be absent"
            ),
            Why::Unfit { problem, today, declared } => write!(
                f,
                ", which do not have the shape that this program declares for {declared} ({problem}): add \
                 `.upcast(\"{today}\", \"{version}\", \"{declared}\", …)`, or let what is missing be absent"
            ),
            Why::NotRaised { at, today, declared } => write!(
                f,
                ", and no upcaster leads from {at} to {declared}, which this program knows: add \
                 `.upcast(\"{today}\", \"{at}\", \"{declared}\", …)`"
            ),
        }
    }
}

/// Why a program must not run on a log.
#[derive(Debug, thiserror::Error)]
pub enum ShapesError {
    /// It could not read what its own services have stored.
    #[error("the log holds events that this program cannot read: {}. Or start with `hold_unknown`: each stream that \
             holds one is held then, and the others go on", list(.0))]
    Unread(Vec<Unread>),
    /// The list is too long to be kept.
    #[error(
        "the log has held events of too many names and versions to list them: {0} bytes; {MAX_SHAPES_BYTES} are allowed"
    )]
    TooMany(usize),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(unread: &[Unread]) -> String {
    let mut named: Vec<String> = unread.iter().take(NAMED).map(ToString::to_string).collect();
    if unread.len() > NAMED {
        named.push(format!("and {} more names and versions", unread.len() - NAMED));
    }
    named.join("; ")
}

/// What a program found in the list.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    /// The list as it must be before the program writes anything, if the store has another.
    pub(crate) list: Option<Vec<u8>>,
    /// What cannot be read.
    pub(crate) unread: Vec<Unread>,
    streams: u64,
}

impl Shapes {
    /// Compares what the log may hold with what the program can read. `reader` shows what is stored as it is stored.
    ///
    /// # Errors
    /// [`ShapesError::Unread`] if something cannot be read, unless such streams are to be held.
    pub(crate) fn compare(registry: &Registry, reader: &dyn Reader, hold_unknown: bool) -> Result<Self, ShapesError> {
        let own = Own { registry };
        let stored = reader.cell(&cell())?;
        let list = stored.as_ref().map(|cell| serde_json::from_slice::<List>(&cell.value)).transpose();
        let list = list
            .map_err(|error| StoreError::Corrupt(format!("the list of names and versions cannot be read: {error}")))?;
        let (mut known, before) = match list {
            Some(List::Bare(known)) => (known, BTreeMap::new()),
            Some(List::Whole { shapes, schemas }) => (shapes, schemas),
            None => (all(registry, &own, reader)?, BTreeMap::new()),
        };
        let schemas = schemas(registry);
        let unsure: BTreeSet<Shape> = known.iter().filter(|shape| own.cannot_read(shape).is_some()).cloned().collect();
        let mut found = match unsure.is_empty() {
            true => Found::default(),
            false => look_for(&own, reader, &unsure)?,
        };
        let today = |shape: &Shape| registry.upcasters.today(&shape.type_name).to_owned();
        let stored_types: BTreeSet<String> = known.iter().map(today).collect();
        let changed = schemas.iter().filter(|(name, schema)| before.get(*name) != Some(*schema));
        let changed: BTreeSet<&str> =
            changed.map(|(name, _)| name.as_str()).filter(|name| stored_types.contains(*name)).collect();
        if !changed.is_empty() {
            own.read_all(reader, &changed, &mut found)?;
        }
        let Found { seen, unread, streams } = found;
        if !unread.is_empty() && !hold_unknown {
            return Err(ShapesError::Unread(unread.into_values().collect()));
        }
        known.retain(|shape| !unsure.contains(shape));
        known.extend(seen);
        known.extend(declared(registry));
        let list = serde_json::to_vec(&List::Whole { shapes: known, schemas })
            .map_err(|error| StoreError::Unfit(error.to_string()))?;
        if list.len() > MAX_SHAPES_BYTES {
            return Err(ShapesError::TooMany(list.len()));
        }
        let same = stored.is_some_and(|cell| cell.value == list);
        let streams = streams.len() as u64;
        Ok(Self { list: (!same).then_some(list), unread: unread.into_values().collect(), streams })
    }

    /// How many streams hold what cannot be read.
    pub fn streams(&self) -> u64 {
        self.streams
    }

    /// Whether anything cannot be read, so that streams are held.
    pub fn holds_any(&self) -> bool {
        !self.unread.is_empty()
    }
}

/// The value of the cell.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum List {
    /// As it was before declarations were compared.
    Bare(BTreeSet<Shape>),
    Whole {
        shapes: BTreeSet<Shape>,
        /// Digests of the declared shapes of the deciders' events, by name.
        schemas: BTreeMap<String, String>,
    },
}

fn schemas(registry: &Registry) -> BTreeMap<String, String> {
    let events = registry.services.iter().flat_map(|service| &service.deciders).flat_map(|decider| decider.events());
    let schema = |info: TypeInfo| {
        let schema = serde_json::to_string(&(info.schema)()).unwrap_or_default();
        let schema = xxhash_rust::xxh3::xxh3_64(format!("{} {schema}", info.version).as_bytes());
        (info.name.to_owned(), format!("{schema:016x}"))
    };
    events.map(schema).collect()
}

/// The cell of the list.
pub(crate) fn cell() -> CellKey {
    CellKey::new(CellKind::Shapes, "events")
}

/// Why an event, as upcasters show it, cannot be read by any handler of the program.
pub(crate) fn unread(registry: &Registry, stored: &Stored) -> Option<String> {
    let (name, version) = (stored.type_name(), &*stored.envelope().data_version);
    if stored.envelope().kind != Kind::Event || registry.is_saga_type(name) {
        return None;
    }
    let known = match registry.types.get(name).map(|declared| declared.info.version) {
        Some(declared) if same_major(version, declared) => return None,
        Some(declared) => format!("this program knows {declared}"),
        None => "no handler of this program has it".to_owned(),
    };
    Some(format!("it holds `{name}` {version} (position {}), and {known}", stored.position))
}

/// What the services of a program own.
struct Own<'a> {
    registry: &'a Registry,
}

impl Own<'_> {
    fn owns(&self, category: &str) -> bool {
        let mut deciders = self.registry.services.iter().flat_map(|service| &service.deciders);
        let reads_any = deciders.any(|decider| decider.category() == category && decider.reads_any());
        !reads_any && self.registry.owners.owner(category).is_some_and(|owner| *owner != PLATFORM)
    }

    /// Reads what is stored of some types as states would read it. Where nothing of a name and version can be read, the
    /// declaration is wrong; where some can, those that cannot are their streams' own misfortune.
    fn read_all(&self, reader: &dyn Reader, names: &BTreeSet<&str>, found: &mut Found) -> Result<(), StoreError> {
        let Registry { services, upcasters, types, .. } = self.registry;
        let deciders = services.iter().flat_map(|service| &service.deciders);
        let deciders: BTreeMap<&str, _> = deciders.map(|decider| (decider.category(), decider)).collect();
        let mut read: BTreeMap<Shape, (u64, Option<Unread>)> = BTreeMap::new();
        let mut streams: BTreeMap<Shape, BTreeSet<StreamId>> = BTreeMap::new();
        each(reader, &|name| names.contains(upcasters.today(name)), &mut |shape, stored| {
            let Some(decider) = deciders.get(&*shape.category).filter(|_| self.cannot_read(&shape).is_none()) else {
                return;
            };
            let (count, unread) = read.entry(shape.clone()).or_default();
            if *count >= READ || (*count > 0 && unread.is_none()) {
                return;
            }
            *count += 1;
            let mut raised = stored.clone();
            upcasters.raise(&mut raised.message);
            match guard(|| decider.reads(&raised)) {
                Ok(()) => *unread = None,
                Err(problem) => {
                    let today = raised.type_name().to_owned();
                    let declared = types.get(&today).map_or("", |declared| declared.info.version);
                    let why = Why::Unfit { problem: problem.to_string(), today, declared };
                    unread.get_or_insert(Unread { shape: shape.clone(), first: stored.position, why });
                    streams.entry(shape).or_default().insert(stored.stream.clone());
                }
            }
        })?;
        for (shape, unread) in read.into_iter().filter_map(|(shape, (_, unread))| Some((shape, unread?))) {
            found.streams.extend(streams.remove(&shape).unwrap_or_default());
            found.unread.insert(shape, unread);
        }
        Ok(())
    }

    fn cannot_read(&self, shape: &Shape) -> Option<Why> {
        let Shape { category, type_name, version } = shape;
        if category != ANYWHERE && !self.owns(category) {
            return None;
        }
        let upcasters = &self.registry.upcasters;
        let today = upcasters.today(type_name);
        if self.registry.is_saga_type(today) {
            return None;
        }
        let Some(declared) = self.registry.types.get(today).map(|declared| declared.info.version) else {
            return Some(Why::Unknown);
        };
        let at = upcasters.raised(today, version);
        let older = Version::parse(at) < Version::parse(declared);
        match same_major(at, declared) {
            true => None,
            false if older => Some(Why::NotRaised { at: at.to_owned(), today: today.to_owned(), declared }),
            false => Some(Why::Newer { declared }),
        }
    }
}

/// What the program may write: deciders and sagas into their own streams, reactions where they declare to emit.
fn declared(registry: &Registry) -> BTreeSet<Shape> {
    let shape = |category: &str, type_name: &str, version: &str| Shape {
        category: category.to_owned(),
        type_name: type_name.to_owned(),
        version: version.to_owned(),
    };
    let mut shapes = BTreeSet::new();
    for service in &registry.services {
        for decider in &service.deciders {
            let events = decider.events();
            shapes.extend(events.iter().map(|info| shape(decider.category(), info.name, info.version)));
        }
        let reactions = service.reactions.iter().map(|reaction| &reaction.makes);
        for makes in reactions.chain(service.foldings.iter().map(|folding| folding.makes())) {
            shapes.extend(makes.events.iter().map(|(category, info)| shape(category, info.name, info.version)));
        }
        for saga in &service.sagas {
            shapes.extend(saga.own_types().iter().map(|name| shape(saga.name(), name, "1.0.0")));
        }
    }
    shapes
}

/// What was found in the log.
#[derive(Default)]
struct Found {
    /// Exactly what stands there of what was looked for.
    seen: BTreeSet<Shape>,
    unread: BTreeMap<Shape, Unread>,
    streams: BTreeSet<StreamId>,
}

fn look_for(own: &Own<'_>, reader: &dyn Reader, unsure: &BTreeSet<Shape>) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let names: BTreeSet<&str> = unsure.iter().map(|shape| &*shape.type_name).collect();
    each(reader, &|name| names.contains(name), &mut |shape, stored| {
        if let Some(why) = own.cannot_read(&shape) {
            let unread = Unread { shape: shape.clone(), first: stored.position, why };
            found.unread.entry(shape.clone()).or_insert(unread);
            found.streams.insert(stored.stream.clone());
        }
        found.seen.insert(shape);
    })?;
    Ok(found)
}

/// The shapes of all events of own categories, of a log that has no list yet.
fn all(registry: &Registry, own: &Own<'_>, reader: &dyn Reader) -> Result<BTreeSet<Shape>, StoreError> {
    let mut shapes = BTreeSet::new();
    // Of a saga's own events and of commands there is nothing to find out.
    let wanted = |name: &str| !registry.is_saga_type(name) && registry.addressee(name).is_none();
    each(reader, &wanted, &mut |shape, _| {
        if own.owns(&shape.category) {
            shapes.insert(shape);
        }
    })?;
    Ok(shapes)
}

fn each(
    reader: &dyn Reader,
    wanted: &dyn Fn(&str) -> bool,
    visit: &mut dyn FnMut(Shape, &Stored),
) -> Result<(), StoreError> {
    let (mut after, until) = (Position::START, reader.head());
    while after < until {
        let scanned = reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types: Some(wanted) })?;
        for stored in scanned.messages.iter().filter(|stored| stored.envelope().kind == Kind::Event) {
            let shape = Shape {
                category: stored.stream.category().to_owned(),
                type_name: stored.type_name().to_owned(),
                version: stored.envelope().data_version.to_string(),
            };
            visit(shape, stored);
        }
        if scanned.through <= after {
            break;
        }
        after = scanned.through;
    }
    Ok(())
}
