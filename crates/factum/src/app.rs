//! The app: services on a store, started together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use factum_core::{
    Timestamp,
    envelope::{Spellings, digest},
    error::NameError,
    id::MessageId,
    memory::Memory,
    payload::Command,
    ports::{Clock, IdSource, Reader},
    row::Row,
    service::Service,
    stream::{Lineage, Position},
};
use factum_runtime::{
    clock::{DataClock, LiveClock},
    engine::{Arrange, Limits},
    ids::UuidSource,
    inbox::{ExecuteError, Rested},
    publishers::Shown as TypeShown,
    registry::RegistryError,
    supervisor::{StartError, Unit, UnitHealth, UnitParts},
};

#[cfg(feature = "yaml")]
use crate::definitions::Definitions;
use crate::{
    execution::{Execution, Together},
    location::Location,
    reconciliation,
    rows::RowsOf,
    stores::{OpenError, Stores},
    wiring::{self, Opened},
};

/// How often it is looked whether the engine has given up.
const FAILURE_LOOK: Duration = Duration::from_millis(200);

/// An app that is being put together.
pub struct AppBuilder {
    stores: Opened,
    /// Where they are; none of an app in memory.
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
    #[cfg(feature = "yaml")]
    definitions: Definitions,
}

impl AppBuilder {
    fn new(stores: Opened, kept: Option<Stores>) -> Self {
        Self {
            stores,
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
        let lineage = self.stores.backend.reader().lineage();
        let (ids, edge_ids) = (Box::new(self.ids()), Mutex::new(self.ids()));
        let unit = Unit::start(UnitParts {
            services: self.services,
            backend: self.stores.backend,
            rows: self.stores.rows,
            snapshots: self.stores.snapshots,
            notes: self.stores.notes,
            digest_key: self.stores.digest_key,
            program: self.program,
            clock: clock.clone(),
            ids,
            hold_unknown: self.hold_unknown,
            about: self.about,
            arrange: self.arrange,
            limits: self.limits,
        })?;
        let unit = Arc::new(unit);
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
        let _ = slot.set(WeakApp(Arc::downgrade(&app.inner)));
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

/// A running app. Clones are the same app.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    unit: Arc<Unit>,
    /// Whether it outlives the process.
    is_kept: bool,
    stores: Stores,
    /// Read once: it never changes while the log is open.
    lineage: Lineage,
    clock: Arc<dyn Clock>,
    ids: Mutex<UuidSource>,
    data_clock: Option<DataClock>,
    /// Of all services.
    #[cfg(feature = "http")]
    routes: axum::Router<App>,
}

/// An app, as long as somebody else has it.
pub(crate) struct WeakApp(Weak<Inner>);

impl WeakApp {
    /// The app, if it is still there.
    pub(crate) fn upgrade(&self) -> Option<App> {
        self.0.upgrade().map(|inner| App { inner })
    }
}

impl App {
    /// An app over one place, made if it is missing. In a directory the log lies below `log/`, the rows beside it; in a
    /// database, `postgres://user:password@host:port/database?schema=unit`, all of it in one schema. One process at a time.
    ///
    /// # Errors
    /// [`OpenError`] if another process has it, it is of another version, it is damaged, or it cannot be reached.
    pub fn open(place: impl Into<Location>) -> Result<AppBuilder, OpenError> {
        Self::on(Stores::at(place))
    }

    /// The same over stores that are chosen one by one: the log here, the rows there.
    ///
    /// # Errors
    /// As [`App::open`], of any of them.
    pub fn on(stores: impl Into<Stores>) -> Result<AppBuilder, OpenError> {
        let stores = stores.into();
        Ok(AppBuilder::new(wiring::open(&stores)?, Some(stores)))
    }

    /// An app in memory, to try and to test.
    pub fn in_memory() -> AppBuilder {
        AppBuilder::new(wiring::memory(Memory::new()), None)
    }

    /// An app over a log in memory that the caller keeps, so that a test can restart over the same data.
    pub fn over(log: Memory) -> AppBuilder {
        AppBuilder::new(wiring::memory(log), None)
    }

    /// Carries out a command. The receipt comes when everything that follows at once is durable.
    ///
    /// ```text
    /// let receipt = app.execute(CreateOrder { … }).id("idempotency-key").await?;
    /// ```
    pub fn execute<C: Command>(&self, command: C) -> Execution<'_> {
        Execution::of(self, &command)
    }

    /// Several commands in one commit, or none of them. Only for aggregates of one unit; meant for loaders, which must
    /// note what they did together with what they did.
    pub fn together(&self) -> Together<'_> {
        Together::of(self)
    }

    /// The rows of a view.
    pub fn rows<R: Row>(&self) -> RowsOf<R> {
        RowsOf::new(self.inner.unit.rows(), self.inner.unit.progress().clone())
    }

    /// Waits until nothing is unread, no call is open and no timer is due. In an app [`AppBuilder::on_data_time`] it does not
    /// wait for calls that wait themselves, for their next attempt or behind a breaker: [`Rested::next`] says when the first
    /// of them goes on, and [`App::rest_at`] lets the time pass. An attempt that is under way is waited for, in real time.
    ///
    /// # Errors
    /// [`ExecuteError::Stopped`] if the engine stops before.
    pub async fn rest(&self) -> Result<Rested, ExecuteError> {
        self.inner.unit.rest().await
    }

    /// Lets the time of an app [`AppBuilder::on_data_time`] pass until `to`, without waiting for it: the mark moves from one
    /// due time to the next, each time when everything is at rest. Timers fire and calls are made again as they would in
    /// that time. On a live clock this is [`App::rest`].
    ///
    /// # Errors
    /// [`ExecuteError::Stopped`] if the engine stops before.
    pub async fn rest_at(&self, to: Timestamp) -> Result<Rested, ExecuteError> {
        loop {
            let rested = self.rest().await?;
            if self.inner.data_clock.is_none() || self.inner.clock.mark() >= to {
                return Ok(rested);
            }
            self.advance(rested.next.map_or(to, |next| next.min(to)));
        }
    }

    /// Moves the mark of an app [`AppBuilder::on_data_time`]: timers due by then fire. Without effect on a live clock.
    pub fn advance(&self, to: Timestamp) {
        if let Some(clock) = &self.inner.data_clock {
            clock.advance(to);
            self.inner.unit.wake();
        }
    }

    /// The reading side of the log.
    pub fn reader(&self) -> Arc<dyn Reader> {
        self.inner.unit.reader()
    }

    /// Which log this is: a position kept elsewhere must be kept with it.
    pub fn lineage(&self) -> Lineage {
        self.inner.lineage
    }

    #[cfg(feature = "http")]
    pub(crate) fn routes(&self) -> &axum::Router<App> {
        &self.inner.routes
    }

    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.inner.unit
    }

    /// The last durable position.
    pub fn position(&self) -> Position {
        self.inner.unit.head()
    }

    /// The time that it is for the app: by the wall clock, or on data time by the mark.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.mark()
    }

    /// A new id, a UUID as [`AppBuilder::uuid_v4`] says: for what is first named at the edge.
    pub fn new_id(&self) -> MessageId {
        self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner).next(self.inner.clock.mark())
    }

    /// How everything stands.
    pub fn health(&self) -> UnitHealth {
        self.inner.unit.health()
    }

    /// All types of messages that its services declare: who makes them, who reads them, what in them tells of a person.
    pub fn types(&self) -> Vec<TypeShown> {
        self.inner.unit.types()
    }

    /// What [`AppBuilder::about`] said.
    pub fn about(&self, what: &str) -> Option<&str> {
        self.inner.unit.about().get(what).map(String::as_str)
    }

    /// Ready when the engine has given up, with the reason, such as that another process leads since: only a new start helps then.
    /// Never ready of an app that is well.
    pub async fn failed(&self) -> String {
        loop {
            if let Some(reason) = self.inner.unit.failure() {
                return reason;
            }
            tokio::time::sleep(FAILURE_LOOK).await;
        }
    }

    /// Stops: what waits is carried out, views catch up, cursors are written. A move is stopped, too, and goes on when it is asked
    /// for again.
    pub async fn stop(&self) {
        let moves = self.inner.stores.moves.clone();
        // A thread that panicked has said so already.
        let _ = tokio::task::spawn_blocking(move || moves.halt()).await;
        self.stop_all().await;
    }

    pub(crate) async fn stop_all(&self) {
        self.inner.unit.stop().await;
    }

    pub(crate) fn stores(&self) -> &Stores {
        &self.inner.stores
    }

    /// Where the log is, if it outlives the process.
    pub(crate) fn kept_in(&self) -> Option<Location> {
        self.inner.is_kept.then(|| self.inner.stores.log.clone())
    }
}

/// What the extractors of positions ask of the app.
#[cfg(feature = "http")]
impl axum::extract::FromRef<App> for Lineage {
    fn from_ref(app: &App) -> Self {
        app.lineage()
    }
}
