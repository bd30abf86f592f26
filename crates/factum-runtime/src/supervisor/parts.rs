//! What a unit is made of.

use std::{collections::BTreeMap, sync::Arc};

use factum_core::{
    digest_key::DigestKey,
    ports::{Backend, Clock, IdSource, Notes, RowStore, Snapshots},
    service::Service,
};

use crate::{
    between::Between,
    engine::{Arrange, Limits},
};

/// What a unit is made of.
pub struct UnitParts {
    /// Its services.
    pub services: Vec<Service>,
    /// Its store.
    pub backend: Box<dyn Backend>,
    /// Its rows.
    pub rows: Box<dyn RowStore>,
    /// Its states that are kept beside the log; written by a thread of their own.
    pub snapshots: Arc<dyn Snapshots>,
    /// What the process was about when it ended.
    pub notes: Arc<dyn Notes>,
    /// Of digests of commands from outside. It is kept outside the store.
    pub digest_key: DigestKey,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Box<dyn IdSource>,
    /// The version of the program, for letters.
    pub program: String,
    /// Start also if services' streams hold events that they cannot read, and hold each such stream.
    pub hold_unknown: bool,
    /// What health says of the app beside how it stands.
    pub about: BTreeMap<&'static str, String>,
    /// The order within a batch.
    pub arrange: Arrange,
    /// Bounds.
    pub limits: Limits,
    /// What it needs to be one of several units.
    pub between: Option<Between>,
}
