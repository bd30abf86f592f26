//! Acts on many letters, messages or instances of sagas at once: planned, shown with all effects, approved, and carried out as a job.

use factum_core::{error::StoreError, ports::Reader};
pub use factum_runtime::plans::{
    Backfill, Count, LeftOut, Making, Plan, Planned, PlannedItem, Redeliver, Selection, Shown, Stage, Tally,
};

use crate::{
    App,
    letters::{ActError, By, Outcome, What},
};

/// The plans of an app. Each is a stream of events for ever: who made it, who approved it, what it did.
///
/// ```text
/// let which = Selection::Redrive { query: Query { consumer: Some("order.notify".into()), ..Query::default() } };
/// let planned = app.plans().make(which, Some(50), &by).await?;       // every effect it would have; nothing is done
/// app.plans().approve(&planned.plan.id, &planned.plan.hash, &by).await?;   // 50 a second from now on
/// ```
#[derive(Clone, Copy)]
pub struct Plans<'a>(&'a App);

impl App {
    /// Acts on many.
    pub fn plans(&self) -> Plans<'_> {
        Plans(self)
    }
}

impl Plans<'_> {
    /// Makes a plan and shows what it would do; nothing is done. `rate` is items a second at most.
    ///
    /// # Errors
    /// [`ActError`] if there can be no such plan.
    pub async fn make(self, selection: Selection, rate: Option<u32>, by: &By) -> Result<Planned, ActError> {
        self.make_as(Making { selection, rate, second_person: false }, by).await
    }

    /// Makes a plan, with everything that can be said of it.
    ///
    /// # Errors
    /// [`ActError`] if there can be no such plan.
    pub async fn make_as(self, making: Making, by: &By) -> Result<Planned, ActError> {
        match self.0.unit().make_plan(making, by.clone()).await? {
            Outcome::Planned(planned) => Ok(*planned),
            other => Err(ActError::NotNow(format!("it was not planned: {other:?}"))),
        }
    }

    /// Approves a plan by its id and hash: it is durable and carried out from now on, also through restarts. A letter that
    /// has changed since it was made is left out, and named with the reason; an instance of a saga goes on all the time, and
    /// is moved as it stands then, if it still can be.
    ///
    /// # Errors
    /// [`ActError`]; nothing is carried out then.
    pub async fn approve(self, id: &str, hash: &str, by: &By) -> Result<(), ActError> {
        self.0.unit().act(What::Approve(id.to_owned(), hash.to_owned()), by.clone()).await.map(drop)
    }

    /// Takes a plan back; what it has done stays done.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn cancel(self, id: &str, by: &By) -> Result<(), ActError> {
        self.0.unit().act(What::CancelPlan(id.to_owned()), by.clone()).await.map(drop)
    }

    /// Those that wait to be approved, or are being carried out.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub async fn list(self) -> Result<Vec<Plan>, StoreError> {
        self.read(|reader| factum_runtime::plans::list(reader)).await
    }

    /// One as it stands, also when it has ended; `None` if there never was one of that name.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub async fn show(self, id: &str) -> Result<Option<Shown>, StoreError> {
        let id = id.to_owned();
        self.read(move |reader| factum_runtime::plans::show(reader, &id)).await
    }

    async fn read<T: Send + 'static>(
        self,
        read: impl FnOnce(&dyn Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.0.unit().plain_reader();
        let ended = |error: tokio::task::JoinError| StoreError::Transient(error.to_string());
        tokio::task::spawn_blocking(move || read(&*reader)).await.map_err(ended)?
    }
}
