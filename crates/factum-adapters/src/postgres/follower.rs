//! The store of a unit that another process leads, followed: it is read, and nothing is written to it.

use std::sync::Arc;

use factum_core::{
    commit::Wanted,
    error::StoreError,
    ports::{Backend, Judge, Others, Reader, Written},
};

use super::{
    others::Listening,
    reader::{Rows, Shared},
    upkeep::Looking,
};

/// A store that is only read.
pub struct Follower {
    shared: Arc<Shared>,
}

/// Follows the unit at this URL.
///
/// # Errors
/// [`StoreError::Permanent`] if there is none, or one of another version; [`StoreError::Transient`] if the server is away.
pub fn follow(url: &str) -> Result<Follower, StoreError> {
    Ok(Follower { shared: Looking::open(url)?.shared })
}

impl Backend for Follower {
    fn transact(&mut self, _: &Wanted, _: &mut Judge<'_>) -> Result<Option<Written>, StoreError> {
        Err(StoreError::Fenced("this process follows the unit, and writes nothing".to_owned()))
    }

    fn others(&self) -> Option<Box<dyn Others>> {
        Some(Box::new(Listening::over(self.shared.clone())))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(Rows::over(self.shared.clone()))
    }

    fn durability(&self) -> &'static str {
        "sync"
    }
}
