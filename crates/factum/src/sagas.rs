//! Working with sagas: look at instances, help on those that need a person, move one to another version.

use factum_core::error::StoreError;
pub use factum_core::saga::{Shown, ShownAct, ShownStep, Wanted};
pub use factum_runtime::sagas::{Page, Query, STATES};
use factum_runtime::{
    acts::{ActError, By, Outcome, What},
    supervisor::Unit,
};

use crate::App;

/// The instances of an app's sagas. Every act is an event in the instance's own stream, with who did it and why.
///
/// ```text
/// let by = By::new("mara", "the bank has said on the phone that it is booked");
/// let query = Query { status: Some("needs_attention".into()), ..Query::default() };
/// for instance in app.sagas().list(query).await?.sagas {
///     app.sagas().try_dry(&instance.saga_id, Wanted::Resolve(None), &by).await?;   // what would follow; nothing is stored
///     app.sagas().resolve(&instance.saga_id, None, &by).await?;                    // the step counts as done
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Sagas<'a>(&'a App);

impl App {
    /// Processes: those that are under way, and each with its history.
    pub fn sagas(&self) -> Sagas<'_> {
        Sagas(self)
    }
}

impl Sagas<'_> {
    /// Open instances that fit the question, in the order of their names.
    ///
    /// # Errors
    /// [`ActError`] if the log cannot be read, or the question makes no sense.
    pub async fn list(self, query: Query) -> Result<Page, ActError> {
        self.read(move |unit| unit.sagas(&query)).await
    }

    /// One whole, open or ended, by its stream, such as `fulfilment-1042`; `None` if there never was one of that name.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub async fn show(self, id: &str) -> Result<Option<Shown>, StoreError> {
        let id = id.to_owned();
        self.read(move |unit| unit.saga(&id)).await
    }

    /// Shows what would follow from an act, or what stands against it. Nothing is stored.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn try_dry(self, id: &str, wanted: Wanted, by: &By) -> Result<Outcome, ActError> {
        self.0.unit().act(What::TrySaga(id.to_owned(), wanted), by.clone()).await
    }

    /// Sends the command of the step that waits again, or of its undo, with all its time. `step` names it if several wait;
    /// else that is tried which needs a person.
    ///
    /// # Errors
    /// [`ActError`]; nothing was stored then.
    pub async fn retry(self, id: &str, step: Option<&str>, by: &By) -> Result<Outcome, ActError> {
        self.act(id, Wanted::Retry(step.map(ToOwned::to_owned)), by).await
    }

    /// Treats the step that waits as done, or as undone: somebody has seen to it, and `by` says why.
    ///
    /// # Errors
    /// As [`Sagas::retry`]; [`ActError::NoReason`] if `by` does not say why.
    pub async fn resolve(self, id: &str, step: Option<&str>, by: &By) -> Result<Outcome, ActError> {
        self.act(id, Wanted::Resolve(step.map(ToOwned::to_owned)), by).await
    }

    /// Has everything undone that was sent; `by` says why. Behind the pivot it is refused.
    ///
    /// # Errors
    /// As [`Sagas::resolve`].
    pub async fn undo(self, id: &str, by: &By) -> Result<Outcome, ActError> {
        self.act(id, Wanted::Undo, by).await
    }

    /// Has the instance run by the table of another version from now on, as its `moves_from` says. All that a version runs
    /// are moved by a plan: [`Selection::Move`](crate::plans::Selection::Move).
    ///
    /// # Errors
    /// As [`Sagas::retry`]; the error says all that stands against it.
    pub async fn move_to(self, id: &str, version: u32, by: &By) -> Result<Outcome, ActError> {
        self.act(id, Wanted::Move(version), by).await
    }

    async fn act(self, id: &str, wanted: Wanted, by: &By) -> Result<Outcome, ActError> {
        self.0.unit().act(What::Saga(id.to_owned(), wanted), by.clone()).await
    }

    async fn read<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        self,
        read: impl FnOnce(&Unit) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let unit = self.0.unit().clone();
        let ended = |error: tokio::task::JoinError| StoreError::Transient(error.to_string());
        tokio::task::spawn_blocking(move || read(&unit)).await.map_err(ended)?
    }
}
