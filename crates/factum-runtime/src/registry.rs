//! Who handles what: the services of a unit, checked against each other and turned into routes.

mod build;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

pub(crate) use build::{Build, built};
use factum_core::{
    cache::AnyCache,
    call::AnyCall,
    commit::Owners,
    envelope::Draft,
    group::Group,
    id::Name,
    ports::Reader,
    saga::{SagaProblem, Versions},
    schedule,
    service::Service,
    types::{TypeError, Types},
    upcast::{UpcastError, Upcasters},
};

use crate::{
    between::Neighbours,
    publishers::{self, PublisherError},
    references::{self, ReferenceError},
    sabotage,
    shapes::{Shapes, ShapesError},
};

/// The name of the platform's own service, which writes what people do about letters and consumers.
pub const PLATFORM: &str = "factum";

/// A consumer of the log, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub usize);

/// A named reader of the unit's log.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// `<service>.<handler>`, or a pull group's own name; unique in the unit.
    pub name: String,
    /// The service, by its number.
    pub service: usize,
    /// Which of the service's handlers.
    pub handler: Handler,
}

/// Which of a service's handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// A decider.
    Decider(usize),
    /// A stateless reaction.
    Reaction(usize),
    /// A folding reaction.
    Folding(usize),
    /// A saga.
    Saga(usize),
    /// A pull group: its messages are fetched from outside, and never run here.
    Group(usize),
}

/// Services that do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Two services, or two handlers of one, have one name.
    #[error("there are two {0}: give each a name of its own")]
    Twice(String),
    /// A name that does not follow the rules.
    #[error("{0}")]
    Name(#[from] factum_core::error::NameError),
    /// A stream category with two owners.
    #[error("stream category `{category}` is claimed by {one} and by {other}: one of them must use another")]
    TwoOwners {
        /// The category.
        category: String,
        /// Who has it.
        one: Name,
        /// Who wants it.
        other: Name,
    },
    /// A command with two handlers.
    #[error("command `{command}` is answered by {one} and by {other}: a command has one addressee")]
    TwoAddressees {
        /// The command.
        command: String,
        /// Who answers it.
        one: String,
        /// Who wants to answer it.
        other: String,
    },
    /// Two handlers whose streams would be one.
    #[error(
        "handlers `{one}` and `{other}` would write the same streams, because a stream's category has `_` for `-`: \
             rename one of them"
    )]
    SameStreams {
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// A name that the platform has for itself.
    #[error("`{PLATFORM}` is the platform's own service: name yours otherwise")]
    Reserved,
    /// A schedule that cannot be one.
    #[error("{0}")]
    Schedule(String),
    /// A pull group that cannot be one.
    #[error("{0}")]
    Group(String),
    /// Types that do not fit together.
    #[error(transparent)]
    Types(#[from] TypeError),
    /// Upcasters that do not lead to what the types declare.
    #[error(transparent)]
    Upcast(#[from] UpcastError),
    /// A saga whose table is not complete.
    #[error("{0}")]
    Saga(#[from] SagaProblem),
    /// Something that a handler refers to is not there.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Who publishes and who reads does not fit together.
    #[error(transparent)]
    Publisher(#[from] PublisherError),
}

/// See the module.
pub struct Registry {
    /// The services, in the order in which they were given.
    pub services: Vec<Service>,
    /// All consumers; their order is the order of delivery of one message.
    pub consumers: Vec<Consumer>,
    /// Who owns which stream category.
    pub owners: Owners,
    /// Types that the services declare, with their names and versions of today.
    pub types: Types,
    /// How old data is read.
    pub upcasters: Upcasters,
    /// The services of other units.
    pub neighbours: Neighbours,
    events: HashMap<String, Arc<[ConsumerId]>>,
    commands: HashMap<String, ConsumerId>,
    sagas: HashMap<&'static str, ConsumerId>,
    /// Who hears of rejections, by the category of the stream in which its commands stand.
    hearers: HashMap<String, ConsumerId>,
    /// Events that sagas make of themselves.
    saga_types: BTreeSet<String>,
    reaction_categories: Vec<String>,
}

impl Registry {
    /// Checks services against each other.
    ///
    /// # Errors
    /// [`RegistryError`], as a sentence that says what to change.
    pub fn new(services: Vec<Service>) -> Result<Self, RegistryError> {
        Self::with(services, false)
    }

    /// The same; with the platform's part of schedules also if no service declares any, for a log that knows of some.
    ///
    /// # Errors
    /// As [`Registry::new`].
    pub fn with(services: Vec<Service>, keeps_schedules: bool) -> Result<Self, RegistryError> {
        Self::among(services, keeps_schedules, Neighbours::default())
    }

    /// The same, for one unit of several: commands may go to the services of the others.
    ///
    /// # Errors
    /// As [`Registry::new`].
    pub fn among(services: Vec<Service>, keeps_schedules: bool, neighbours: Neighbours) -> Result<Self, RegistryError> {
        let mut services = sabotage::upcasters(services);
        if services.iter().any(|service| service.name == PLATFORM || service.source == PLATFORM) {
            return Err(RegistryError::Reserved);
        }
        if let Some(problem) = declarations(&services).find_map(schedule::Declaration::problem) {
            return Err(RegistryError::Schedule(problem));
        }
        if keeps_schedules || declarations(&services).next().is_some() {
            services.push(schedule::service(PLATFORM));
        }
        let build = built(&services)?;
        neighbours.apart(&build)?;
        let events = build.events.into_iter().map(|(name, consumers)| (name, Arc::from(consumers))).collect();
        let types = Types::of(&services)?;
        let upcasters = Upcasters::new(&types, services.iter().flat_map(|service| &service.upcasts))?;
        let registry = Self {
            services,
            types,
            upcasters,
            neighbours,
            consumers: build.consumers,
            owners: build.owners,
            events,
            commands: build.commands,
            sagas: build.sagas,
            hearers: build.hearers,
            saga_types: build.saga_types,
            reaction_categories: build.reaction_categories,
        };
        publishers::check(&registry.services)?;
        references::check(&registry)?;
        Ok(registry)
    }

    /// Compares a log with what the services can read; `reader` shows what is stored as it is stored. If something cannot
    /// be read and is held, readers must not misread it from now on.
    ///
    /// # Errors
    /// [`ShapesError`], unless what cannot be read is to be held.
    pub fn meets(&mut self, reader: &dyn Reader, hold_unknown: bool) -> Result<Shapes, ShapesError> {
        let shapes = Shapes::compare(self, reader, hold_unknown)?;
        if shapes.holds_any() {
            self.upcasters.refuse_other_majors(&self.types);
        }
        Ok(shapes)
    }

    /// Consumers of an event type.
    pub fn readers(&self, type_name: &str) -> &[ConsumerId] {
        self.events.get(type_name).map_or(&[], |consumers| consumers)
    }

    /// The consumer that answers a command type.
    pub fn addressee(&self, type_name: &str) -> Option<ConsumerId> {
        self.commands.get(type_name).copied()
    }

    /// Whether a service answers a command, of this unit or of another one.
    pub fn is_answered(&self, type_name: &str) -> bool {
        self.addressee(type_name).is_some() || self.neighbours.answers(type_name).is_some()
    }

    /// The saga whose instances' streams are of this category.
    pub fn saga(&self, category: &str) -> Option<ConsumerId> {
        self.sagas.get(category).copied()
    }

    /// Who hears of the rejections of commands that stand in streams of this category: a saga, or a folding that wants to.
    pub fn hears_rejections(&self, category: &str) -> Option<ConsumerId> {
        self.hearers.get(category).copied()
    }

    /// Whether the program has the platform's part of schedules.
    pub fn has_schedules(&self) -> bool {
        self.addressee(LIST).is_some()
    }

    /// The definition of a schedule that a service declares.
    pub fn schedule(&self, name: &str) -> Option<&schedule::Definition> {
        declarations(&self.services).find(|it| it.name == name).map(|it| &it.definition)
    }

    /// What the program says to its schedules as it starts; nothing if it has none and never had.
    pub fn opening(&self) -> Option<Draft> {
        self.has_schedules().then(|| schedule::opening(declarations(&self.services)).ok()).flatten()
    }

    /// All versions of the saga whose instances' streams are of this category.
    pub fn versions(&self, category: &str) -> Option<&Versions> {
        let id = self.saga(category)?;
        match self.consumer(id).handler {
            Handler::Saga(at) => Some(&self.service(id).sagas[at]),
            _ => None,
        }
    }

    /// Whether events of a type are what a saga makes of itself.
    pub fn is_saga_type(&self, type_name: &str) -> bool {
        self.saga_types.contains(type_name)
    }

    /// The call of that full name.
    pub fn call(&self, name: &str) -> Option<&AnyCall> {
        self.services.iter().find_map(|service| {
            let short = name.strip_prefix(service.name.as_str())?.strip_prefix('.')?;
            service.calls.iter().find(|call| call.name == short)
        })
    }

    /// The caches of all services.
    pub fn caches(&self) -> impl Iterator<Item = &dyn AnyCache> {
        self.services.iter().flat_map(|service| &service.caches).map(|cache| &**cache)
    }

    /// Whether a consumer reads messages of a type: events, and commands. (A rejection bears its command's name.)
    pub fn reads(&self, id: ConsumerId, type_name: &str) -> bool {
        if let Some(group) = self.group(id) {
            return group.takes(type_name);
        }
        self.readers(type_name).contains(&id) || self.addressee(type_name) == Some(id)
    }

    /// The consumer of that name.
    pub fn named(&self, name: &str) -> Option<ConsumerId> {
        self.consumers.iter().position(|consumer| consumer.name == name).map(ConsumerId)
    }

    /// All pull groups.
    pub fn groups(&self) -> impl Iterator<Item = (ConsumerId, &Group)> {
        let ids = (0..self.consumers.len()).map(ConsumerId);
        ids.filter_map(|id| Some((id, self.group(id)?)))
    }

    /// The pull group that a consumer is; nothing if it is something else.
    pub fn group(&self, id: ConsumerId) -> Option<&Group> {
        match self.consumer(id).handler {
            Handler::Group(at) => self.service(id).groups.get(at),
            Handler::Decider(_) | Handler::Reaction(_) | Handler::Folding(_) | Handler::Saga(_) => None,
        }
    }

    /// A consumer.
    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        &self.consumers[id.0]
    }

    /// The service of a consumer.
    pub fn service(&self, id: ConsumerId) -> &Service {
        &self.services[self.consumers[id.0].service]
    }

    /// The category of the stream in which a reaction's commands and calls stand.
    pub fn category(&self, id: ConsumerId) -> &str {
        &self.reaction_categories[id.0]
    }
}

/// The command by which a program lists its schedules.
const LIST: &str = "schedule.list";

fn declarations(services: &[Service]) -> impl Iterator<Item = &schedule::Declaration> {
    services.iter().flat_map(|service| &service.schedules)
}
