//! The pull groups of a unit: what their workers and people ask of them.

use std::sync::Arc;

use factum_core::error::StoreError;

use super::{Unit, lock};
use crate::groups::{GroupError, GroupState, Groups};

impl Unit {
    /// The pull groups, for their workers.
    pub fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }

    /// How the pull groups stand. May wait for the store.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub fn list_groups(&self) -> Result<Vec<GroupState>, StoreError> {
        self.groups.list(&lock(&self.health).clone())
    }

    /// How one of them stands. May wait for the store.
    ///
    /// # Errors
    /// [`GroupError`] if there is none of that name, or the log cannot be read.
    pub fn show_group(&self, name: &str) -> Result<GroupState, GroupError> {
        self.groups.show(name, &lock(&self.health).clone())
    }
}
