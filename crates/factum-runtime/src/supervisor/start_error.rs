//! Why a unit does not start.

use std::time::Duration;

use factum_core::error::StoreError;

use crate::{
    registry::{Registry, RegistryError},
    shapes::ShapesError,
    views::ViewError,
};

/// Why a unit does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The services do not fit together.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The log holds what the services cannot read.
    #[error(transparent)]
    Shapes(#[from] ShapesError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The views cannot run.
    #[error(transparent)]
    Views(#[from] ViewError),
    /// Two services, or one and the platform, have the same route.
    #[error("the routes of service {service} cannot be mounted: {problem}")]
    Routes {
        /// The second one.
        service: factum_core::id::Name,
        /// What the router says.
        problem: String,
    },
    /// A call may take longer than the process surely leads its unit.
    #[error(
        "the call {call} may take {timeout:?}, and another process may lead the unit behind {lease:?} without a sign of life: \
         make the lease longer than that, or the call's time-out shorter"
    )]
    Lease {
        /// The call that may take longest.
        call: String,
        /// How long.
        timeout: Duration,
        /// How long the lease lasts.
        lease: Duration,
    },
    /// Definitions that cannot be, a line each.
    #[error("{0}")]
    Definitions(String),
    /// The system gives no thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Refuses calls that may take longer than the lease lasts: none of them could ever be begun.
pub(super) fn outlasts(registry: &Registry, lease: Duration) -> Result<(), StartError> {
    let calls =
        registry.services.iter().flat_map(|service| service.calls.iter().map(move |call| (&service.name, call)));
    let acting = calls.filter(|(_, call)| !call.policy.only_reads);
    match acting.max_by_key(|(_, call)| call.policy.timeout) {
        Some((service, call)) if call.policy.timeout >= lease => {
            Err(StartError::Lease { call: format!("{service}.{}", call.name), timeout: call.policy.timeout, lease })
        }
        _ => Ok(()),
    }
}
