//! Waiting to lead: of several processes over one database one runs the app, and the others take over when it is gone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use factum_core::error::StoreError;

use crate::{
    app::App,
    builder::{AppBuilder, Ground},
    stores::{OpenError, Stores},
    wiring::{self, Watch},
};

/// How often it is asked who leads.
const LOOK: Duration = Duration::from_millis(200);

/// A process that waits until it may lead.
///
/// ```text
/// let standby = Standby::over(stores);
/// let app = standby.lead().await?.with(order::service()).start().await?;
/// ```
#[derive(Clone)]
pub struct Standby {
    stores: Stores,
    leader: Arc<Mutex<Option<String>>>,
}

impl Standby {
    /// Over these stores.
    pub fn over(stores: impl Into<Stores>) -> Self {
        Self { stores: stores.into(), leader: Arc::default() }
    }

    /// Waits until nobody leads the unit. Over a directory it does not wait: a second process is refused when it opens it. While
    /// the database is away it waits, too.
    ///
    /// # Errors
    /// [`OpenError`] for what a person must mend.
    pub async fn free(&self) -> Result<(), OpenError> {
        let Some(mut watch) = wiring::watch(&self.stores)? else { return Ok(()) };
        let mut told = None;
        loop {
            let (asked, led) = ask(watch).await?;
            watch = asked;
            match led {
                Ok(None) => {
                    self.note(None);
                    return Ok(());
                }
                Ok(leader) => self.note(leader),
                Err(StoreError::Transient(problem)) => {
                    // Once, however long it is away.
                    if told.as_ref() != Some(&problem) {
                        tracing::warn!(problem, "who leads cannot be asked; trying again");
                        told = Some(problem);
                    }
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until nobody leads the unit, and leads it: then it is [`App::on`].
    ///
    /// # Errors
    /// As [`Standby::free`].
    pub async fn lead(&self) -> Result<AppBuilder, OpenError> {
        loop {
            self.free().await?;
            let stores = self.stores.clone();
            let opened = tokio::task::spawn_blocking(move || App::on(stores)).await;
            match opened.map_err(|error| StoreError::Permanent(error.to_string()))? {
                Err(error) if error.may_pass() && self.stores.place().directory().is_none() => {
                    tokio::time::sleep(LOOK).await;
                }
                opened => return opened,
            }
        }
    }

    /// The app as it is read while another process leads it: its rows, its log and the routes of its services, as far as they
    /// are read. Commands are refused. `None` over a directory, and where the rows are in one: they have one process.
    ///
    /// ```text
    /// let app = standby.follow().await?.with(order::service()).start().await?;
    /// let routes = standby.reading(app.router());
    /// ```
    ///
    /// # Errors
    /// [`OpenError`], also where nothing was ever led, or by another version of this program whose tables are others.
    pub async fn follow(&self) -> Result<Option<AppBuilder>, OpenError> {
        let stores = self.stores.clone();
        let followed = tokio::task::spawn_blocking(move || wiring::followed(&stores)).await;
        let followed = followed.map_err(|error| StoreError::Permanent(error.to_string()))??;
        Ok(followed.map(|followed| AppBuilder::new(Ground::Followed(followed), None)))
    }

    /// What a process serves that waits and [follows](Standby::follow): `GET` and `HEAD` are answered by these routes, all else
    /// as by [`Standby::router`]. Each answer has the header `Factum-Leader`.
    #[cfg(feature = "http")]
    pub fn reading(&self, routes: axum::Router) -> axum::Router {
        let standby = self.clone();
        crate::http::standby::reading(routes, move || standby.leader())
    }

    /// What a process serves that waits: `/live` is well, `/ready` and `/health` say that it waits and for whom, and all else is
    /// refused with 503, the header `Factum-Leader` and the leader's name, so that who asks goes there.
    #[cfg(feature = "http")]
    pub fn router(&self) -> axum::Router {
        let standby = self.clone();
        crate::http::standby::routes(move || standby.leader())
    }

    /// Who led at the last look; `None` if nobody did, or it was not asked yet.
    pub fn leader(&self) -> Option<String> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, leader: Option<String>) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader;
    }
}

/// Asks on a thread where it may take its time.
async fn ask(mut watch: Watch) -> Result<(Watch, Result<Option<String>, StoreError>), StoreError> {
    let asked = tokio::task::spawn_blocking(move || {
        let led = watch();
        (watch, led)
    });
    asked.await.map_err(|error| StoreError::Permanent(error.to_string()))
}
