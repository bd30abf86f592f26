//! Working with schedules: look at them, pause and resume them, run one now; backfills are plans.

use factum_core::error::StoreError;
pub use factum_core::schedule::Looked;
use factum_core::schedule::{PauseSchedule, ResumeSchedule, RunSchedule, ScheduleCommand};
use factum_runtime::{acts::By, inbox::ExecuteError, supervisor::Unit};

use crate::App;

/// The schedules of an app, by their names `<service>.<name>`. Every act is an event in the schedule's own stream, with who did
/// it and why. What was skipped is run by a plan: [`Selection::Backfill`](crate::plans::Selection::Backfill).
///
/// ```text
/// let by = By::new("mara", "the warehouse moves");
/// app.schedules().pause("stock.nightly-stock-take", &by).await?;
/// for schedule in app.schedules().list().await? {
///     println!("{} is {}, next {:?}", schedule.name, schedule.status, schedule.next.first());
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Schedules<'a>(&'a App);

impl App {
    /// What is sent at planned times.
    pub fn schedules(&self) -> Schedules<'_> {
        Schedules(self)
    }
}

impl Schedules<'_> {
    /// All of them, by name, also those that the program does not declare any more.
    ///
    /// # Errors
    /// [`StoreError`] if the rows cannot be read.
    pub async fn list(self) -> Result<Vec<Looked>, StoreError> {
        self.read(Unit::schedules).await
    }

    /// One with its next twenty times; `None` if there never was one of that name.
    ///
    /// # Errors
    /// [`StoreError`] if the rows cannot be read.
    pub async fn show(self, name: &str) -> Result<Option<Looked>, StoreError> {
        let name = name.to_owned();
        self.read(move |unit| unit.schedule(&name)).await
    }

    /// Pauses it: what is due from now on is skipped. Paused before, it stays as it is.
    ///
    /// # Errors
    /// [`ExecuteError`]; nothing was stored then.
    pub async fn pause(self, name: &str, by: &By) -> Result<(), ExecuteError> {
        let By { who: by, why } = by.clone();
        self.tell(PauseSchedule { schedule: name.to_owned(), by, why }).await
    }

    /// Lets it go on from now; what needed a person is seen to.
    ///
    /// # Errors
    /// As [`Schedules::pause`].
    pub async fn resume(self, name: &str, by: &By) -> Result<(), ExecuteError> {
        let By { who: by, why } = by.clone();
        self.tell(ResumeSchedule { schedule: name.to_owned(), by, why }).await
    }

    /// Runs it now, beside its times; also while it is paused.
    ///
    /// # Errors
    /// As [`Schedules::pause`]; [`ExecuteError::Rejected`] also if an occurrence is under way and none may run beside it.
    pub async fn run(self, name: &str, by: &By) -> Result<(), ExecuteError> {
        let By { who: by, why } = by.clone();
        self.tell(RunSchedule { schedule: name.to_owned(), by, why }).await
    }

    async fn tell(self, command: impl Into<ScheduleCommand>) -> Result<(), ExecuteError> {
        self.0.unit().tell_schedule(command.into()).await
    }

    async fn read<T: Send + 'static>(
        self,
        read: impl FnOnce(&Unit) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let unit = self.0.unit().clone();
        let ended = |error: tokio::task::JoinError| StoreError::Transient(error.to_string());
        tokio::task::spawn_blocking(move || read(&unit)).await.map_err(ended)?
    }
}
