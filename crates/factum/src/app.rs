//! The app: services on a store, started together.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use factum_core::{
    Timestamp,
    id::MessageId,
    memory::Memory,
    payload::Command,
    ports::{Clock, IdSource, Reader},
    row::Row,
    stream::{Lineage, Position},
};
use factum_runtime::{
    clock::DataClock,
    ids::UuidSource,
    inbox::{ExecuteError, Rested},
    publishers::Shown as TypeShown,
    supervisor::{Unit, UnitHealth},
};

use crate::{
    builder::{AppBuilder, Ground},
    execution::{Execution, Together},
    location::Location,
    rows::RowsOf,
    stores::{OpenError, Stores},
    wiring,
};

/// How often it is looked whether the engine has given up.
const FAILURE_LOOK: Duration = Duration::from_millis(200);

/// A running app. Clones are the same app.
#[derive(Clone)]
pub struct App {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) unit: Arc<Unit>,
    /// Whether it outlives the process.
    pub(crate) is_kept: bool,
    pub(crate) stores: Stores,
    /// Read once: it never changes while the log is open.
    pub(crate) lineage: Lineage,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Mutex<UuidSource>,
    pub(crate) data_clock: Option<DataClock>,
    /// Of all services.
    #[cfg(feature = "http")]
    pub(crate) routes: axum::Router<App>,
}

/// An app, as long as somebody else has it.
pub(crate) struct WeakApp(Weak<Inner>);

impl WeakApp {
    /// Of an app.
    pub(crate) fn of(app: &App) -> Self {
        Self(Arc::downgrade(&app.inner))
    }

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
        Ok(AppBuilder::new(Ground::Led(wiring::open(&stores)?), Some(stores)))
    }

    /// An app in memory, to try and to test.
    pub fn in_memory() -> AppBuilder {
        AppBuilder::new(Ground::Led(wiring::memory(Memory::new())), None)
    }

    /// An app over a log in memory that the caller keeps, so that a test can restart over the same data.
    pub fn over(log: Memory) -> AppBuilder {
        AppBuilder::new(Ground::Led(wiring::memory(log)), None)
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
