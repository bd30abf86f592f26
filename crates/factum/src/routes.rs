//! A service's own routes: a part of the service, so that whoever adds it need not remember them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use axum::Router;
use factum_core::{envelope::Spellings, error::panic_text, id::Name, service::Service, stream::Lineage};
use factum_runtime::supervisor::{StartError, Unit};

use crate::{
    App,
    http::{edge, platform},
};

/// Gives a service its routes; it is in the prelude.
pub trait Routed {
    /// Adds routes, which get the app as their state. [`App::router`] serves them, with those of all other services.
    #[must_use]
    fn routes(self, routes: Router<App>) -> Self;
}

impl Routed for Service {
    fn routes(self, routes: Router<App>) -> Self {
        self.part(routes)
    }
}

/// Routes, and whose they are.
pub(crate) type Own = Vec<(Name, Router<App>)>;

/// Takes the routes out of services.
pub(crate) fn of(services: &mut [Service]) -> Own {
    let of = |service: &mut Service| {
        let name = service.name.clone();
        service.take_parts().into_iter().map(move |routes| (name.clone(), routes)).collect::<Vec<_>>()
    };
    services.iter_mut().flat_map(of).collect()
}

/// Services' routes beside the platform's.
///
/// # Errors
/// [`StartError::Routes`] if two are the same.
pub(crate) fn mounted(
    own: Own,
    unit: &Arc<Unit>,
    spellings: Spellings,
    lineage: Lineage,
) -> Result<Router<App>, StartError> {
    let platform = platform::routes(unit.clone()).merge(platform::health_routes(unit.clone()));
    let platform = platform.merge(edge::routes(unit.clone(), Arc::new(spellings), lineage));
    let platform = platform.merge(crate::moving::routes::routes());
    own.into_iter().try_fold(platform, |all, (service, routes)| {
        // The library has no other way to say that two routes are the same.
        catch_unwind(AssertUnwindSafe(|| all.merge(routes)))
            .map_err(|panic| StartError::Routes { service, problem: panic_text(&*panic) })
    })
}

impl App {
    /// The routes of all services, and the platform's own: letters, sagas and consumers and the door for other
    /// systems' messages below `/factum/v1`, and `/live`,
    /// `/ready`, `/health`. Whoever reaches them may do all that they offer: serve them where only operators are, as
    /// [`crate::http::serve`] does.
    ///
    /// ```text
    /// http::serve(listener, app.router(), stop).await?;
    /// ```
    pub fn router(&self) -> Router {
        self.routes().clone().with_state(self.clone())
    }
}
