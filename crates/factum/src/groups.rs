//! Working with pull groups: how they stand, and what their workers do, from inside the program.

use std::time::Duration;

use factum_core::error::StoreError;
pub use factum_runtime::groups::{Delivery, GroupError, GroupState, Settlement, Verdict};

use crate::App;

/// The pull groups of an app. Workers outside have the same over HTTP, below `/factum/v1/groups`; what is promised to them stands
/// in `docs/groups.md`.
///
/// ```text
/// for delivery in app.groups().poll("order-processors", 10, 20.secs()).await? {
///     …
///     app.groups().ack("order-processors", [delivery.token]).await?;
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Groups<'a>(&'a App);

impl App {
    /// What programs outside fetch.
    pub fn groups(&self) -> Groups<'_> {
        Groups(self)
    }
}

impl Groups<'_> {
    /// How all of them stand.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub async fn list(self) -> Result<Vec<GroupState>, StoreError> {
        let unit = self.0.unit().clone();
        let listed = tokio::task::spawn_blocking(move || unit.list_groups()).await;
        listed.map_err(|ended| StoreError::Transient(ended.to_string()))?
    }

    /// How one stands.
    ///
    /// # Errors
    /// [`GroupError`] if there is none of that name, or the log cannot be read.
    pub async fn show(self, name: &str) -> Result<GroupState, GroupError> {
        let (unit, name) = (self.0.unit().clone(), name.to_owned());
        let shown = tokio::task::spawn_blocking(move || unit.show_group(&name)).await;
        shown.map_err(|ended| StoreError::Transient(ended.to_string()))?
    }

    /// At most so many messages, each on a lease; waits for the first as long as said, 20 seconds at most.
    ///
    /// # Errors
    /// [`GroupError`]; nothing is leased then.
    pub async fn poll(self, name: &str, most: usize, wait: Duration) -> Result<Vec<Delivery>, GroupError> {
        self.0.unit().groups().poll(name, most, wait).await
    }

    /// Messages are done; durable on return.
    ///
    /// # Errors
    /// As [`Groups::settle`].
    pub async fn ack(self, name: &str, tokens: impl IntoIterator<Item = String>) -> Result<(), GroupError> {
        let tokens = tokens.into_iter().collect();
        self.settle(name, &Settlement { tokens, verdict: Verdict::Done }).await
    }

    /// Messages are done, have failed, or take longer; durable on return.
    ///
    /// # Errors
    /// [`GroupError::Stale`] names the tokens that are not the worker's any more; all others are settled. After any other error
    /// say it again.
    pub async fn settle(self, name: &str, settlement: &Settlement) -> Result<(), GroupError> {
        self.0.unit().groups().settle(name, settlement).await
    }
}
