//! Working with letters and consumers of a running app: look, try, and end what waits.

use factum_core::{
    error::StoreError,
    letter::{LetterId, Retry},
};
pub use factum_runtime::{
    acts::{ActError, By, Outcome, Preview, Shown as Effect, What},
    letters::{Listed, Page, Query, Shown},
    supervisor::{ConsumerKind, ConsumerState, Standing},
};

use crate::App;

/// The letters of an app. Every act is an event in the log, with who did it and why.
///
/// ```text
/// let by = By::new("mara", "the price list is mended");
/// for letter in app.letters().list(Query::default()).await?.letters {
///     app.letters().try_dry(&letter.id, &by).await?;      // today's code, nothing stored
///     app.letters().redrive(&letter.id, &by).await?;      // and then what waits behind it, in order
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Letters<'a>(&'a App);

impl App {
    /// What has failed and waits for a person.
    pub fn letters(&self) -> Letters<'_> {
        Letters(self)
    }

    /// Every reader of the log, and where it stands.
    ///
    /// # Errors
    /// [`StoreError`] if the reading could not be done.
    pub async fn consumers(&self) -> Result<Vec<ConsumerState>, StoreError> {
        let unit = self.unit().clone();
        blocking(move || Ok(unit.consumers())).await
    }

    /// Lets a consumer that has stopped try again from where it stands: `<service>.<handler>`, or `view:<table>`.
    ///
    /// # Errors
    /// [`ActError`]; nothing was stored then.
    pub async fn try_again(&self, consumer: &str, by: &By) -> Result<Outcome, ActError> {
        self.unit().act(What::TryAgain(consumer.to_owned()), by.clone()).await
    }
}

impl Letters<'_> {
    /// Those that fit the question.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub async fn list(self, query: Query) -> Result<Page, StoreError> {
        let reader = self.0.unit().plain_reader();
        blocking(move || factum_runtime::letters::list(&*reader, &query)).await
    }

    /// One with its message and its failures; `None` if there is none of that name.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub async fn show(self, id: &LetterId) -> Result<Option<Shown>, StoreError> {
        let (reader, id) = (self.0.unit().plain_reader(), id.clone());
        blocking(move || factum_runtime::letters::show(&*reader, &id)).await
    }

    /// Runs today's handler and shows what would follow, or what it says. Nothing is stored.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn try_dry(self, id: &LetterId, by: &By) -> Result<Outcome, ActError> {
        self.act(What::Try(id.clone()), by).await
    }

    /// Runs today's handler for good. If it goes well the letter ends, and what waits behind it follows in order. Done
    /// twice, the second says that the letter has ended.
    ///
    /// # Errors
    /// [`ActError`]; nothing was stored then.
    pub async fn redrive(self, id: &LetterId, by: &By) -> Result<Outcome, ActError> {
        self.act(What::Redrive(id.clone()), by).await
    }

    /// Ends the letter without running anything; what waits behind it follows.
    ///
    /// # Errors
    /// As [`Letters::redrive`].
    pub async fn discard(self, id: &LetterId, by: &By) -> Result<Outcome, ActError> {
        self.act(What::Discard(id.clone()), by).await
    }

    /// Leaves the letter, and lets follow what waits behind it.
    ///
    /// # Errors
    /// As [`Letters::redrive`].
    pub async fn release(self, id: &LetterId, by: &By) -> Result<Outcome, ActError> {
        self.act(What::Release(id.clone()), by).await
    }

    /// Plans when the letter is tried again by itself; `None` takes the plan back.
    ///
    /// # Errors
    /// As [`Letters::redrive`].
    pub async fn plan(self, id: &LetterId, retry: Option<Retry>, by: &By) -> Result<Outcome, ActError> {
        self.act(What::Plan(id.clone(), retry), by).await
    }

    async fn act(self, what: What, by: &By) -> Result<Outcome, ActError> {
        self.0.unit().act(what, by.clone()).await
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let ended = |error: tokio::task::JoinError| StoreError::Transient(error.to_string());
    tokio::task::spawn_blocking(read).await.map_err(ended)?
}
