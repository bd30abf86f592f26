//! An app that is being put together, and its start.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use factum_core::{
    envelope::{Spellings, digest},
    error::NameError,
    ports::{Clock, IdSource},
    service::Service,
};
use factum_runtime::{
    clock::{DataClock, LiveClock},
    engine::{Arrange, Limits},
    ids::UuidSource,
    registry::RegistryError,
    supervisor::{self, StartError, Unit, UnitParts},
};

#[cfg(feature = "yaml")]
use crate::definitions::Definitions;
use crate::{
    app::{App, Inner, WeakApp},
    broker::{Broker, Membership},
    reconciliation,
    stores::Stores,
    wiring::{Followed, Opened},
};

/// What an app stands on.
pub(crate) enum Ground {
    /// Stores of its own.
    Led(Opened),
    /// What another process leads.
    Followed(Followed),
}

/// An app that is being put together.
pub struct AppBuilder {
    ground: Ground,
    /// Where its own stores are; none of an app in memory, and of one that follows.
    kept: Option<Stores>,
    services: Vec<Service>,
    data_clock: Option<DataClock>,
    arrange: Arrange,
    limits: Limits,
    program: String,
    hold_unknown: bool,
    uuid_v4: bool,
    spellings: Result<Spellings, NameError>,
    about: BTreeMap<&'static str, String>,
    membership: Option<Membership>,
    #[cfg(feature = "yaml")]
    definitions: Definitions,
}

impl AppBuilder {
    pub(crate) fn new(ground: Ground, kept: Option<Stores>) -> Self {
        Self {
            ground,
            kept,
            services: Vec::new(),
            data_clock: None,
            arrange: Arrange::AsTaken,
            limits: Limits::default(),
            program: build(),
            hold_unknown: false,
            uuid_v4: false,
            spellings: Ok(Spellings::new()),
            about: BTreeMap::new(),
            membership: None,
            #[cfg(feature = "yaml")]
            definitions: Definitions::new(),
        }
    }

    /// Adds a service.
    #[must_use]
    pub fn with(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// Makes this app one unit of several, which hear of each other through a broker: what its services publish goes to topics, and
    /// what they read of the `others`, the services of all other units, comes from there into its own log. The name is the same
    /// at each start, and no other unit's. Services do not know in which unit they run.
    #[must_use]
    pub fn unit(mut self, name: impl Into<String>, broker: &Broker, others: Vec<Service>) -> Self {
        self.membership = Some(Membership { unit: name.into(), broker: broker.clone(), others });
        self
    }

    /// Adds definitions in YAML; `name` is what they are called where something is wrong with them. Pipelines run in a service of
    /// their own, `pipelines`, sagas in `sagas`, consumer groups in `groups`; services are compared with the program. What is wrong with any of them
    /// refuses the start, all of it at once.
    #[cfg(feature = "yaml")]
    #[must_use]
    pub fn define(mut self, name: &str, yaml: &str) -> Self {
        self.definitions = self.definitions.add(name, yaml);
        self
    }

    /// Adds the definitions of a file, or of all files `*.yaml` and `*.yml` of a folder, by name.
    ///
    /// # Errors
    /// If one of them cannot be read; the error names it.
    #[cfg(feature = "yaml")]
    pub fn definitions(mut self, path: impl AsRef<std::path::Path>) -> std::io::Result<Self> {
        self.definitions = crate::definitions::add(self.definitions, path.as_ref())?;
        Ok(self)
    }

    /// Takes time from recorded data instead of the wall clock: see [`App::advance`].
    #[must_use]
    pub fn on_data_time(mut self) -> Self {
        self.data_clock = Some(DataClock::default());
        self
    }

    /// Interleaves deliveries by a seed, keeping only what the delivery contract promises: order per consumer, key and
    /// source. For tests.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.arrange = Arrange::shuffled(seed);
        self
    }

    /// The program's version, such as `shop 1.4.0`: letters say which version failed, and one may be planned to be tried
    /// again by another. If not said, it is told by the running executable: another build is another version.
    #[must_use]
    pub fn program(mut self, version: impl Into<String>) -> Self {
        self.program = version.into();
        self
    }

    /// Something that a person should know of this app when looking at its health, such as that a partner is only
    /// simulated: [`App::health`] shows it under `about`.
    #[must_use]
    pub fn about(mut self, what: &'static str, text: impl Into<String>) -> Self {
        self.about.insert(what, text.into());
        self
    }

    /// Makes ids that are UUIDs of version 4, random as a whole, for those whose standard says so. Without it they are of version
    /// 7 and tell when they were made. Nothing depends on their order.
    #[must_use]
    pub fn uuid_v4(mut self) -> Self {
        self.uuid_v4 = true;
        self
    }

    /// What other systems call this program's types and services, and how their data becomes ours: for what they send to
    /// `POST /factum/v1/events` and `POST /factum/v1/commands`. A table that contradicts itself refuses the start.
    #[must_use]
    pub fn spellings(mut self, spellings: Result<Spellings, NameError>) -> Self {
        self.spellings = spellings;
        self
    }

    fn ids(&self) -> UuidSource {
        if self.uuid_v4 { UuidSource::random().v4() } else { UuidSource::random() }
    }

    /// Steps along the chain of causes above which something is taken for a loop and becomes a letter: 64 if not said.
    #[must_use]
    pub fn depth(mut self, steps: u16) -> Self {
        self.limits.depth = steps;
        self
    }

    /// Bounds the memory of cached states, in bytes.
    #[must_use]
    pub fn state_bytes(mut self, bytes: usize) -> Self {
        self.limits.state_bytes = bytes;
        self
    }

    /// Starts also if streams of these services hold events that they cannot read: of a type that no handler has, or of
    /// another major version that no upcaster leads from. Each such stream is held: commands to it are refused, handlers
    /// fail on those events instead of misreading them, and [`App::health`] is degraded. Without this such a log refuses
    /// the start. For the hours until the version of the program that knows them is deployed.
    #[must_use]
    pub fn hold_unknown(mut self) -> Self {
        self.hold_unknown = true;
        self
    }

    /// Starts the engine, the views and the outward loop.
    ///
    /// # Errors
    /// [`StartError`] if the services do not fit together, the log holds events that they cannot read, or the stores
    /// cannot be read.
    #[cfg_attr(
        not(feature = "http"),
        expect(clippy::unused_async, reason = "it needs a tokio runtime around it, which an async fn makes plain")
    )]
    #[cfg_attr(
        not(any(feature = "http", feature = "yaml")),
        expect(unused_mut, reason = "services are changed by those")
    )]
    pub async fn start(mut self) -> Result<App, StartError> {
        let spellings = self.spellings.clone().map_err(RegistryError::Name)?;
        #[cfg(feature = "yaml")]
        self.services.extend(defined(std::mem::take(&mut self.definitions), &self.services, &spellings)?);
        self.services.extend(factum_core::saga::requesting(&self.services));
        let slot = reconciliation::added(&mut self.services);
        #[cfg(feature = "http")]
        let own = crate::routes::of(&mut self.services);
        let clock: Arc<dyn Clock> = match &self.data_clock {
            Some(clock) => Arc::new(clock.clone()),
            None => Arc::new(LiveClock::default()),
        };
        let (mut ids, edge_ids) = (self.ids(), Mutex::new(self.ids()));
        let between = self.membership.take().map(|membership| membership.between(&spellings, &clock)).transpose()?;
        let Self { services, program, hold_unknown, about, arrange, limits, .. } = self;
        let unit = match self.ground {
            Ground::Led(Opened { backend, rows, snapshots, notes, digest_key }) => Unit::start(UnitParts {
                services,
                backend,
                rows,
                snapshots,
                notes,
                digest_key,
                program,
                clock: clock.clone(),
                ids: Box::new(ids),
                hold_unknown,
                about,
                arrange,
                limits,
                between,
            }),
            Ground::Followed(Followed { backend, rows }) => {
                let start = ids.next(clock.mark());
                let clock = clock.clone();
                Unit::follow(supervisor::Followed {
                    services,
                    neighbours: between.map(|between| between.neighbours).unwrap_or_default(),
                    backend,
                    rows,
                    clock,
                    start,
                    program,
                    hold_unknown,
                    about,
                    limits,
                })
            }
        };
        let unit = Arc::new(unit?);
        let lineage = unit.reader().lineage();
        #[cfg(feature = "http")]
        let routes = match crate::routes::mounted(own, &unit, spellings, lineage) {
            Ok(routes) => routes,
            Err(error) => {
                unit.stop().await;
                return Err(error);
            }
        };
        let (is_kept, stores) = (self.kept.is_some(), self.kept.unwrap_or_else(|| Stores::at("")));
        stores.moves.runs();
        let app = App {
            inner: Arc::new(Inner {
                unit,
                is_kept,
                stores,
                lineage,
                clock,
                ids: edge_ids,
                data_clock: self.data_clock,
                #[cfg(feature = "http")]
                routes,
            }),
        };
        // Nobody else has it yet.
        let _ = slot.set(WeakApp::of(&app));
        Ok(app)
    }
}

/// The services that run what is defined.
#[cfg(feature = "yaml")]
fn defined(definitions: Definitions, services: &[Service], spellings: &Spellings) -> Result<Vec<Service>, StartError> {
    definitions.resolve(services, spellings).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        StartError::Definitions(lines.join("\n"))
    })
}

/// What tells one build of the program from another.
fn build() -> String {
    let about = std::env::current_exe().and_then(std::fs::metadata);
    let built = about.ok().and_then(|about| Some((about.len(), about.modified().ok()?)));
    match built {
        Some((bytes, modified)) => {
            format!("build {:016x}", digest("build", format!("{bytes} {modified:?}").as_bytes()))
        }
        None => "unknown".to_owned(),
    }
}
