//! Reading what was stored earlier: under names and in versions that today's program has other ones for.
//!
//! An event is never edited; what is read of it is raised on the way: first it gets the name that its type has today, then
//! its data is changed step by step into today's version. Each step leads from one version of a type to a later one, and
//! steps chain: 1.0.0 → 1.1.0 → 2.0.0. Every chain ends at the version that the program declares, so that nothing is
//! raised that was written today.
//!
//! An upcaster that panics spoils its message and nothing else: the data then reads as a JSON text that says what
//! happened, which fits no type, so that each reader of it fails as it does on any data that it cannot decode.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    cell::{Cell, CellKey, CellKind},
    envelope::{Draft, Kind, Message, Stored},
    error::{StoreError, panic_text},
    id::Name,
    payload::Version,
    ports::{Reader, Scan, Scanned},
    service::Service,
    stream::{Lineage, Position, StreamId, StreamVersion},
    types::{TypeError, Types},
};

/// Changes the data of one version into that of a later one. Pure.
pub type Raise = Arc<dyn Fn(Value) -> Value + Send + Sync>;

/// One step, as a service declares it.
#[derive(Clone)]
pub struct Upcast {
    /// The message type, by its name of today.
    pub type_name: &'static str,
    /// The version it reads.
    pub from: &'static str,
    /// The version it makes.
    pub to: &'static str,
    /// How.
    pub raise: Raise,
}

/// Steps that do not lead to what the program declares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpcastError {
    /// Declarations that do not fit together.
    #[error(transparent)]
    Types(#[from] TypeError),
    /// Two steps start at the same version.
    #[error("there are two upcasters of `{type_name}` from {from}: keep one")]
    Twice {
        /// The type.
        type_name: &'static str,
        /// The version.
        from: &'static str,
    },
    /// The step does not lead upwards.
    #[error("the upcaster of `{type_name}` leads from {from} to {to}: it must lead to a later version, such as 1.1.0")]
    NotUp {
        /// The type.
        type_name: &'static str,
        /// From.
        from: &'static str,
        /// To.
        to: &'static str,
    },
    /// A step of a type that no handler has.
    #[error(
        "there is an upcaster of `{type_name}`, which no handler of this program reads or writes: correct the name, or \
         remove it"
    )]
    Undeclared {
        /// The type.
        type_name: &'static str,
    },
    /// A step of an old name.
    #[error(
        "there is an upcaster of `{old}`, which is an old name of `{today}`: write `.upcast(\"{today}\", …)`; data \
         gets its name of today before it is raised"
    )]
    OldName {
        /// The old name.
        old: &'static str,
        /// Today's.
        today: &'static str,
    },
    /// Something is missing between two steps.
    #[error(
        "the upcasters of `{type_name}` have a gap: nothing leads from {at} to {next}; add \
         `.upcast(\"{type_name}\", \"{at}\", \"{next}\", …)`"
    )]
    Gap {
        /// The type.
        type_name: &'static str,
        /// Where the steps end.
        at: &'static str,
        /// Where they go on.
        next: &'static str,
    },
    /// The steps do not lead far enough.
    #[error(
        "the upcasters of `{type_name}` end at {at}, but the program declares {declared}: add \
         `.upcast(\"{type_name}\", \"{at}\", \"{declared}\", …)`"
    )]
    Ends {
        /// The type.
        type_name: &'static str,
        /// Where the steps end.
        at: &'static str,
        /// What the program declares.
        declared: &'static str,
    },
    /// The steps lead too far.
    #[error(
        "an upcaster of `{type_name}` leads to {at}, but the program declares {declared}, and what it writes would be \
         raised again: write `version = \"{at}\"` on the type, or remove the upcaster"
    )]
    Beyond {
        /// The type.
        type_name: &'static str,
        /// Where the steps end.
        at: &'static str,
        /// What the program declares.
        declared: &'static str,
    },
}

/// How everything is read that a program's log may hold: old names, and the steps of old versions.
#[derive(Clone, Default)]
pub struct Upcasters {
    names: BTreeMap<&'static str, &'static str>,
    steps: BTreeMap<&'static str, BTreeMap<&'static str, Upcast>>,
    /// Types and their versions of today, if data of another major is not to be read.
    only: BTreeMap<&'static str, &'static str>,
}

impl Upcasters {
    /// What these services declare.
    ///
    /// # Errors
    /// [`UpcastError`] as [`Upcasters::new`], or if their types do not fit together.
    pub fn of(services: &[Service]) -> Result<Self, UpcastError> {
        Self::new(&Types::of(services)?, services.iter().flat_map(|service| &service.upcasts))
    }

    /// Puts steps together.
    ///
    /// # Errors
    /// [`UpcastError`] if two steps start at one version, one does not lead upwards, or the steps of a type do not end
    /// at the version that is declared of it.
    pub fn new<'a>(types: &Types, steps: impl IntoIterator<Item = &'a Upcast>) -> Result<Self, UpcastError> {
        let names: BTreeMap<_, _> = types.old_names().collect();
        let mut table: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for step in steps {
            let Upcast { type_name, from, to, .. } = *step;
            if Version::parse(from).zip(Version::parse(to)).is_none_or(|(from, to)| from >= to) {
                return Err(UpcastError::NotUp { type_name, from, to });
            }
            if table.entry(type_name).or_default().insert(from, step.clone()).is_some() {
                return Err(UpcastError::Twice { type_name, from });
            }
        }
        for (type_name, steps) in &table {
            match (types.get(type_name), names.get(type_name)) {
                (Some(declared), _) => ends_at(type_name, steps, declared.info.version)?,
                (None, Some(today)) => return Err(UpcastError::OldName { old: type_name, today }),
                (None, None) => return Err(UpcastError::Undeclared { type_name }),
            }
        }
        Ok(Self { names, steps: table, only: BTreeMap::new() })
    }

    /// From now on data of a major version that the program does not know is read as a text that says so, which fits no
    /// type: a reader that does not know a shape must fail on it and not misread it.
    pub fn refuse_other_majors(&mut self, types: &Types) {
        self.only = types.all().map(|declared| (declared.info.name, declared.info.version)).collect();
    }

    /// Whether everything is read as it is stored.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.steps.is_empty() && self.only.is_empty()
    }

    /// What a type is called today.
    pub fn today<'a>(&self, name: &'a str) -> &'a str {
        self.names.get(name).copied().unwrap_or(name)
    }

    /// Where the steps lead from a version of a type, by its name of today.
    pub fn raised<'a>(&'a self, type_name: &str, version: &'a str) -> &'a str {
        let mut at = version;
        while let Some(step) = self.step(type_name, at) {
            at = step.to;
        }
        at
    }

    /// Raises a message as far as steps lead. Data that is no JSON is left as it is: reading it will say so.
    pub fn raise(&self, message: &mut Message) {
        let envelope = &mut message.envelope;
        match envelope.kind {
            Kind::Event | Kind::Command => {
                self.data(&mut envelope.type_name, &mut envelope.data_version, &mut message.data);
            }
            // It bears the name of a command, and data of its own.
            Kind::Rejection | Kind::Receipt => self.name(&mut envelope.type_name),
            // Its name is the call's.
            Kind::Call => {}
        }
    }

    /// The same, of a draft that was stored apart.
    pub fn raise_draft(&self, draft: &mut Draft) {
        self.data(&mut draft.type_name, &mut draft.version, &mut draft.data);
    }

    fn name(&self, name: &mut Name) {
        if let Some(today) = self.names.get(name.as_str()) {
            *name = Name::Static(today);
        }
    }

    fn data(&self, name: &mut Name, version: &mut Name, bytes: &mut Arc<[u8]>) {
        self.name(name);
        if let Err(problem) = self.take_steps(name, version, bytes).and_then(|()| self.is_known(name, version)) {
            *bytes = Arc::from(Value::String(problem).to_string().into_bytes());
        }
    }

    fn take_steps(&self, name: &str, version: &mut Name, bytes: &mut Arc<[u8]>) -> Result<(), String> {
        let mut step = self.step(name, version);
        if step.is_none() {
            return Ok(());
        }
        let Ok(mut data) = serde_json::from_slice::<Value>(bytes) else { return Ok(()) };
        while let Some(Upcast { from, to, raise, .. }) = step {
            data = catch_unwind(AssertUnwindSafe(|| raise(data))).map_err(|panic| {
                format!("the upcaster of {name} from {from} to {to} panicked: {}", panic_text(&*panic))
            })?;
            *version = Name::Static(to);
            step = self.step(name, version);
        }
        *bytes = Arc::from(data.to_string().into_bytes());
        Ok(())
    }

    fn is_known(&self, name: &str, version: &str) -> Result<(), String> {
        match self.only.get(name) {
            Some(today) if !same_major(version, today) => {
                Err(format!("{name} {version} cannot be read: this program knows {today}"))
            }
            _ => Ok(()),
        }
    }

    fn step(&self, type_name: &str, version: &str) -> Option<&Upcast> {
        self.steps.get(type_name)?.get(version)
    }
}

/// Whether who knows the one version can read the other.
pub fn same_major(one: &str, other: &str) -> bool {
    let major = |text| Version::parse(text).map(|version| version.major);
    major(one).is_some() && major(one) == major(other)
}

/// Whether all steps of a type lead to the version that is declared of it, one behind the other.
fn ends_at(
    type_name: &'static str,
    steps: &BTreeMap<&'static str, Upcast>,
    declared: &'static str,
) -> Result<(), UpcastError> {
    let mut ends = steps.values().map(|step| step.to).filter(|to| !steps.contains_key(to));
    let Some(at) = ends.find(|end| *end != declared) else { return Ok(()) };
    if Version::parse(at) > Version::parse(declared) {
        return Err(UpcastError::Beyond { type_name, at, declared });
    }
    let later = steps.keys().copied().filter(|from| Version::parse(from) > Version::parse(at));
    Err(match later.min_by_key(|from| Version::parse(from)) {
        Some(next) => UpcastError::Gap { type_name, at, next },
        None => UpcastError::Ends { type_name, at, declared },
    })
}

/// A reader through upcasters: everything that is read has the name and the shape of today.
pub struct Raised {
    reader: Arc<dyn Reader>,
    upcasters: Upcasters,
}

impl Raised {
    /// Reads through upcasters; without any it is the reader itself.
    pub fn over(reader: Arc<dyn Reader>, upcasters: &Upcasters) -> Arc<dyn Reader> {
        if upcasters.is_empty() {
            return reader;
        }
        Arc::new(Self { reader, upcasters: upcasters.clone() })
    }

    fn all(&self, mut messages: Vec<Stored>) -> Vec<Stored> {
        for stored in &mut messages {
            self.upcasters.raise(&mut stored.message);
        }
        messages
    }
}

impl Reader for Raised {
    fn lineage(&self) -> Lineage {
        self.reader.lineage()
    }

    fn head(&self) -> Position {
        self.reader.head()
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, StoreError> {
        // Who asks for a type asks for what was stored under its old names too.
        let today = |stored: &str| scan.types.is_none_or(|wanted| wanted(self.upcasters.today(stored)));
        let types: Option<&dyn Fn(&str) -> bool> = scan.types.is_some().then_some(&today);
        let Scanned { messages, through } = self.reader.scan(&Scan { types, ..*scan })?;
        Ok(Scanned { messages: self.all(messages), through })
    }

    fn stream(&self, stream: &StreamId, after: StreamVersion) -> Result<Vec<Stored>, StoreError> {
        Ok(self.all(self.reader.stream(stream, after)?))
    }

    fn streams(&self, streams: &[StreamId]) -> Result<Vec<Vec<Stored>>, StoreError> {
        Ok(self.reader.streams(streams)?.into_iter().map(|messages| self.all(messages)).collect())
    }

    fn is_far(&self) -> bool {
        self.reader.is_far()
    }

    fn cells(&self, kind: CellKind) -> Result<Vec<Cell>, StoreError> {
        self.reader.cells(kind)
    }

    fn cell(&self, key: &CellKey) -> Result<Option<Cell>, StoreError> {
        self.reader.cell(key)
    }
}

#[cfg(test)]
mod tests;
