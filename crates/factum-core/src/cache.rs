//! Caches: values in memory that events put in and take out. A cache may lack a value; it never has one that is older than
//! it says. What holds the values is not the core's matter; this is how a service declares one and the unit feeds it.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    envelope::Stored,
    error::HandlerError,
    payload::TypeInfo,
    ports::{Clock, Reader},
    stream::Position,
};

/// A cache without its types, as the unit feeds it. [`Service::cache`](crate::service::Service::cache) adds one.
pub trait AnyCache: Send + Sync {
    /// Its name, unique in the unit.
    fn name(&self) -> &'static str;
    /// Events that it follows.
    fn types(&self) -> Vec<TypeInfo>;
    /// The unit's clock, by which values grow old, and its log, whose head says what a value may hold that was read just now.
    /// Until it has [`reached`](AnyCache::reached) the unit's head it answers nothing: what it has may have been changed since.
    fn begin(&self, clock: Arc<dyn Clock>, log: Arc<dyn Reader>);
    /// Takes an event in.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit.
    fn apply(&self, stored: &Stored) -> Result<(), HandlerError>;
    /// Everything up to here is in it; `live` says that this was the unit's head.
    fn reached(&self, position: Position, live: bool);
    /// Forgets all values: an event could not be taken in, and nobody knows which of them it would have changed.
    fn clear(&self);
    /// How it stands.
    fn shown(&self) -> CacheShown;
}

/// How a cache stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheShown {
    /// Its name.
    pub name: &'static str,
    /// Whether it has taken in what was in the log at the start; before that it answers nothing.
    pub live: bool,
    /// No value that it answers is older, in seconds.
    pub ttl_secs: u64,
    /// Values that it has now, about.
    pub entries: u64,
    /// Values that it keeps at most.
    pub most: u64,
    /// Questions since the start that were answered.
    pub hits: u64,
    /// Those that were not.
    pub misses: u64,
    /// Those of the misses whose value was too old.
    pub expired: u64,
    /// Events that could not be taken in; at each of them all values were forgotten.
    pub failures: u64,
    /// Up to here it has taken in events.
    pub position: Position,
}
