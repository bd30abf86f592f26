//! The door for other systems' messages: which events may be taken into the log, and as what; which commands are carried
//! out.
//!
//! An event of others is kept as they made it (id, source, time, correlation, cause, user, tenant, metadata), in a
//! *replica* of its stream at home. Only here is it decided that a message may be one: whatever a service of this program
//! makes itself, others cannot make for it.

use std::collections::{BTreeMap, BTreeSet};

use factum_core::{
    commit::{Append, Owners, check_append},
    envelope::{Draft, Envelope, Incoming, Kind, Message},
    error::{NameError, Refusal},
    id::{MessageId, Name},
    payload::TypeInfo,
    schema,
    stream::{ExpectedVersion, StreamId},
    upcast::same_major,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    engine::{Rejected, guard},
    inbox::Request,
    registry::{Handler, PLATFORM, Registry},
};

/// Events of one import at most.
pub const MAX_IMPORT: usize = 1_000;

/// Why a message of others is not taken. Nothing of it was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotTaken {
    /// It is something else.
    #[error("it is a {}, and only events are taken from others here: send a command to where commands are taken", name(*.0))]
    NoEvent(Kind),
    /// It is something else.
    #[error("it is a {}, and only commands are taken from others here: send an event to where events are taken", name(*.0))]
    NoCommand(Kind),
    /// Nobody here answers it.
    #[error(
        "no service of this program answers `{0}`: send it to the one that does, or add a spelling of what it means"
    )]
    NoAddressee(String),
    /// Nobody else sends it.
    #[error(
        "`{0}` is an own command of the service that answers it, which nobody else may send: send one of its others"
    )]
    OwnCommand(String),
    /// A service of this program makes such events.
    #[error(
        "`{type_name}` is of the service {owner} of this program, which makes its events itself: send {owner} the command \
         that leads to it instead"
    )]
    OwnType {
        /// The type.
        type_name: String,
        /// Whose it is.
        owner: Name,
    },
    /// A service of this program writes such streams.
    #[error(
        "streams of `{category}` are of the service {owner} of this program, which writes them itself: send {owner} the \
         command that leads to the event instead, or the event with another subject"
    )]
    OwnStream {
        /// The category.
        category: String,
        /// Whose it is.
        owner: Name,
    },
    /// It says that it comes from a service of this program.
    #[error("its source `{0}` is a service of this program, which needs nobody to speak for it: name yours")]
    OwnSource(Name),
    /// Nobody here could read it.
    #[error(
        "`{type_name}` {version} is of another major version than {known}, which this program reads, and no upcaster leads \
         there: send {known}, or add the upcaster"
    )]
    OtherMajor {
        /// The type, as it is called today.
        type_name: String,
        /// The message's version.
        version: String,
        /// What is read.
        known: &'static str,
    },
    /// Its data does not fit what is read of it here.
    #[error("`{path}` {problem}")]
    Misfit {
        /// The place, such as `data.items[0].sku`.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// What follows from it would be decided at that time.
    #[error(
        "its `timestamp` {says} lies ahead, for it is {now} here: an hour is allowed; set the sender's clock right"
    )]
    Ahead {
        /// What it says.
        says: Timestamp,
        /// Our time.
        now: Timestamp,
    },
    /// It has gone round.
    #[error("its chain of causes is {depth} messages long; {limit} are allowed: it looks like a loop")]
    TooDeep {
        /// Its depth.
        depth: u16,
        /// The limit.
        limit: u16,
    },
    /// It says nothing of its stream, and the type's name is none.
    #[error("it has no stream ({0}): send a `subject` such as order-1042")]
    NoStream(#[from] NameError),
    /// Over a limit.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Event => "event",
        Kind::Command => "command",
        Kind::Call => "call",
        Kind::Rejection => "rejection",
        Kind::Receipt => "receipt",
    }
}

/// An event of others that may be taken. Only a [`Door`] makes one.
#[derive(Clone, Debug)]
pub struct Import {
    pub(crate) stream: StreamId,
    pub(crate) message: Message,
    pub(crate) uncorrelated: bool,
}

impl Import {
    /// The stream that it will stand in.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn append(self, expected: ExpectedVersion) -> Append {
        let writer = self.message.envelope.source.clone();
        Append { stream: self.stream, expected, writer, messages: vec![self.message] }
    }
}

/// What finds an event of others that was taken before: nobody else makes this id of it.
pub(crate) fn known_as(envelope: &Envelope) -> MessageId {
    MessageId::derived(&["import", &envelope.source, &envelope.id.to_string()])
}

/// See the module.
pub struct Door {
    /// Of types that services of this program make, with whose they are.
    domains: BTreeMap<String, Name>,
    sources: BTreeSet<Name>,
    /// Of types that somebody here reads.
    schemas: BTreeMap<&'static str, (&'static str, Value)>,
    /// Longest chain of causes.
    depth: u16,
}

impl Door {
    /// The door of services; `depth` is the longest chain of causes.
    pub fn of(registry: &Registry, depth: u16) -> Self {
        let mut door = Self { domains: BTreeMap::new(), sources: BTreeSet::new(), schemas: BTreeMap::new(), depth };
        let platform = registry.owners.iter().filter(|(_, owner)| **owner == PLATFORM);
        for (category, owner) in platform {
            door.domains.insert(category.to_owned(), owner.clone());
        }
        door.sources.insert(Name::Static(PLATFORM));
        for service in &registry.services {
            door.sources.extend([service.name.clone(), service.source.clone()]);
            let decided = service.deciders.iter().flat_map(|decider| decider.events()).map(|info| info.name.to_owned());
            let made = service.reactions.iter().map(|reaction| &reaction.makes);
            let made = made.chain(service.foldings.iter().map(|folding| folding.makes()));
            let emitted = made.flat_map(|makes| &makes.events).map(|(_, info)| info.name.to_owned());
            let told = service.sagas.iter().flat_map(|saga| saga.own_types());
            for type_name in decided.chain(emitted).chain(told) {
                door.domains.entry(domain(&type_name).to_owned()).or_insert_with(|| service.name.clone());
            }
            let read = service.reactions.iter().flat_map(|reaction| reaction.types.clone());
            let folded = service.foldings.iter().flat_map(|folding| [folding.folded(), folding.reacted()].concat());
            let shown = service.views.iter().flat_map(|view| view.types());
            let begun = service.sagas.iter().flat_map(|saga| saga.declared());
            let asked = service.deciders.iter().flat_map(|decider| decider.commands());
            let kept = service.caches.iter().flat_map(|cache| cache.types());
            for info in read.chain(folded).chain(shown).chain(begun).chain(asked).chain(kept) {
                door.reads(registry, &info);
            }
        }
        door
    }

    /// The declaration that counts is the one that knows most.
    fn reads(&mut self, registry: &Registry, info: &TypeInfo) {
        let info = registry.types.get(info.name).map_or(info, |declared| &declared.info);
        self.schemas.entry(info.name).or_insert_with(|| (info.version, (info.schema)().to_value()));
    }

    /// Whether an event of others may be taken, and as what.
    ///
    /// # Errors
    /// [`NotTaken`], as a sentence for whoever sent it.
    pub fn admit(&self, registry: &Registry, incoming: Incoming) -> Result<Import, NotTaken> {
        let envelope = &incoming.message.envelope;
        if envelope.kind != Kind::Event {
            return Err(NotTaken::NoEvent(envelope.kind));
        }
        for type_name in [registry.upcasters.today(&envelope.type_name), &envelope.type_name] {
            if let Some(owner) = self.domains.get(domain(type_name)) {
                return Err(NotTaken::OwnType { type_name: type_name.to_owned(), owner: owner.clone() });
            }
        }
        self.replica(registry, incoming)
    }

    /// A message of another unit, as what stands in this one's log; nothing if nobody here reads it.
    ///
    /// # Errors
    /// [`NotTaken`], as a sentence for people.
    pub fn carried(&self, registry: &Registry, incoming: Incoming) -> Result<Option<Import>, NotTaken> {
        let envelope = &incoming.message.envelope;
        match envelope.kind {
            Kind::Event if !self.is_read(registry, &incoming) => Ok(None),
            Kind::Event => self.admit(registry, incoming).map(Some),
            Kind::Command => {
                if registry.addressee(registry.upcasters.today(&envelope.type_name)).is_none() {
                    return Err(NotTaken::NoAddressee(envelope.type_name.to_string()));
                }
                self.replica(registry, incoming).map(Some)
            }
            Kind::Rejection => {
                let heard = serde_json::from_slice::<Rejected>(&incoming.message.data).ok().and_then(|rejected| {
                    registry.hears_rejections(rejected.sender.split('-').next().unwrap_or_default())
                });
                heard.map(|_| self.replica(registry, incoming)).transpose()
            }
            kind @ (Kind::Call | Kind::Receipt) => Err(NotTaken::NoEvent(kind)),
        }
    }

    /// An event or a command of a program that is no unit, as what stands in this unit's log.
    ///
    /// # Errors
    /// [`NotTaken`], as a sentence for people.
    pub fn foreign(&self, registry: &Registry, incoming: Incoming) -> Result<Import, NotTaken> {
        let envelope = &incoming.message.envelope;
        if envelope.kind != Kind::Command {
            return self.admit(registry, incoming);
        }
        let today = registry.upcasters.today(&envelope.type_name);
        if registry.addressee(today).is_none() {
            return Err(NotTaken::NoAddressee(envelope.type_name.to_string()));
        }
        if registry.types.get(today).is_some_and(|declared| declared.info.own) {
            return Err(NotTaken::OwnCommand(envelope.type_name.to_string()));
        }
        self.replica(registry, incoming)
    }

    /// Whether somebody here reads messages of its type.
    pub(crate) fn is_read(&self, registry: &Registry, incoming: &Incoming) -> bool {
        let today = registry.upcasters.today(&incoming.message.envelope.type_name);
        self.schemas.contains_key(today) || registry.groups().any(|(_, group)| group.takes(today))
    }

    /// Events of others that somebody here reads.
    pub(crate) fn foreign_events<'a>(&'a self, registry: &'a Registry) -> impl Iterator<Item = &'a str> {
        let is_foreign = |name: &&str| !self.domains.contains_key(domain(name)) && !registry.is_answered(name);
        self.schemas.keys().copied().filter(is_foreign)
    }

    /// A message as one of a stream that no service here owns.
    fn replica(&self, registry: &Registry, incoming: Incoming) -> Result<Import, NotTaken> {
        let Incoming { message, subject, correlation_missing: uncorrelated, .. } = incoming;
        let envelope = &message.envelope;
        let stream = match subject {
            Some(stream) => stream,
            None => StreamId::new(&domain(&envelope.type_name).replace('-', "_"), &envelope.id.to_string())?,
        };
        if let Some(owner) = registry.owners.owner(stream.category()) {
            return Err(NotTaken::OwnStream { category: stream.category().to_owned(), owner: owner.clone() });
        }
        if self.sources.contains(&envelope.source) {
            return Err(NotTaken::OwnSource(envelope.source.clone()));
        }
        if envelope.depth > self.depth {
            return Err(NotTaken::TooDeep { depth: envelope.depth, limit: self.depth });
        }
        if envelope.kind != Kind::Rejection {
            self.fits(registry, &message)?;
        }
        let import = Import { stream, message, uncorrelated };
        check_append(&Owners::default(), &import.clone().append(ExpectedVersion::Any))?;
        Ok(import)
    }

    /// A command of others, as one that is carried out here.
    ///
    /// # Errors
    /// [`NotTaken`], as a sentence for whoever sent it.
    pub fn request(&self, registry: &Registry, incoming: Incoming) -> Result<Request, NotTaken> {
        let mut message = incoming.message;
        let envelope = &message.envelope;
        if envelope.kind != Kind::Command {
            return Err(NotTaken::NoCommand(envelope.kind));
        }
        let nobody = || NotTaken::NoAddressee(envelope.type_name.to_string());
        let id = registry.addressee(registry.upcasters.today(&envelope.type_name)).ok_or_else(nobody)?;
        let declared = registry.types.get(registry.upcasters.today(&envelope.type_name));
        if declared.is_some_and(|declared| declared.info.own) {
            return Err(NotTaken::OwnCommand(envelope.type_name.to_string()));
        }
        let Handler::Decider(at) = registry.consumer(id).handler else { return Err(nobody()) };
        self.fits(registry, &message)?;
        registry.upcasters.raise(&mut message);
        let address = guard(|| registry.service(id).deciders[at].address(&message));
        address
            .map_err(|error| NotTaken::Misfit { path: "data".to_owned(), problem: format!("does not fit: {error}") })?;
        let Message { envelope, data } = message;
        let draft = Draft { type_name: envelope.type_name, version: envelope.data_version, data };
        Ok(Request {
            id: Some(envelope.id),
            correlation_id: Some(envelope.correlation_id),
            user_id: envelope.user_id,
            tenant: envelope.tenant,
            traceparent: envelope.traceparent,
            metadata: envelope.metadata,
            ..Request::new(draft)
        })
    }

    /// Whether those who read messages of this type here can read it.
    fn fits(&self, registry: &Registry, message: &Message) -> Result<(), NotTaken> {
        let mut raised = message.clone();
        registry.upcasters.raise(&mut raised);
        let Some((known, schema)) = self.schemas.get(raised.envelope.type_name.as_str()) else { return Ok(()) };
        if !same_major(&raised.envelope.data_version, known) {
            let type_name = raised.envelope.type_name.to_string();
            return Err(NotTaken::OtherMajor { type_name, version: raised.envelope.data_version.to_string(), known });
        }
        let misfit = |path: &str, problem: String| NotTaken::Misfit {
            path: if path.is_empty() { "data".to_owned() } else { format!("data.{path}") },
            problem,
        };
        let data = schema::parse(&raised.data).map_err(|error| misfit("", format!("cannot be read ({error})")))?;
        schema::check(schema, &data).map_err(|wrong| misfit(&wrong.path, wrong.problem))
    }
}

fn domain(type_name: &str) -> &str {
    type_name.split('.').next().unwrap_or_default()
}
