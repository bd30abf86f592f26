//! What people do: about letters, consumers, instances and schedules, and plans for many.

use std::time::Duration;

use factum_core::{
    envelope::Draft,
    error::{HandlerError, StoreError},
    row::Row as _,
    saga::Shown,
    schedule::{Looked, ScheduleCommand, ScheduleRow},
    stream::Position,
};
use tokio::sync::oneshot;

use super::{Unit, lock};
use crate::{
    acts::{Act, ActError, By, Outcome, What},
    inbox::{ExecuteError, Input, Request},
    plans::{Making, Selection},
    sagas, schedules,
    survey::{Known, Survey},
};

/// How long an act on a schedule waits until it can be seen.
const SHOWN: Duration = Duration::from_secs(2);

impl Unit {
    /// What a person wants of a letter or a consumer. The answer comes when what was done is durable.
    ///
    /// # Errors
    /// [`ActError`]; nothing was stored then.
    pub async fn act(&self, what: What, by: By) -> Result<Outcome, ActError> {
        let (reply, answer) = oneshot::channel();
        if let What::TryAgain(consumer) = &what
            && let Some(table) = consumer.strip_prefix("view:")
        {
            let state = self.progress.state(table).ok_or_else(|| ActError::NoConsumer(consumer.clone()))?;
            if state.stopped.is_none() {
                let problem = format!("{consumer} has not stopped: there is nothing to try again");
                return Err(ActError::NotNow(problem));
            }
            // It may: whether the event about it becomes durable or not, trying again changes nothing that is stored.
            self.again.ask(table);
            self.wake();
        }
        let stopped = |error: ExecuteError| ActError::Stopped(error.to_string());
        self.inbox.send(Input::Act(Act { what, by, reply })).await.map_err(stopped)?;
        answer.await.unwrap_or_else(|_| Err(ActError::Stopped("it ended before it answered".to_owned())))
    }

    /// Open instances of sagas. May wait for the store.
    ///
    /// # Errors
    /// As [`sagas::list`].
    pub fn sagas(&self, query: &sagas::Query) -> Result<sagas::Page, ActError> {
        sagas::list(&*self.plain_reader(), query, self.clock.mark(), Some(&self.registry))
    }

    /// One instance of a saga, open or ended. May wait for the store.
    ///
    /// # Errors
    /// As [`sagas::show`].
    pub fn saga(&self, instance: &str) -> Result<Option<Shown>, StoreError> {
        sagas::show(&*self.plain_reader(), instance, self.clock.mark(), Some(&self.registry))
    }

    /// All schedules that the log knows, by name, as they stand now with their next times. May wait for the store.
    ///
    /// # Errors
    /// As [`schedules::list`].
    pub fn schedules(&self) -> Result<Vec<Looked>, StoreError> {
        schedules::list(&*self.rows, &self.registry, self.clock.mark())
    }

    /// One of them; nothing if there never was one of that name. May wait for the store.
    ///
    /// # Errors
    /// As [`schedules::list`].
    pub fn schedule(&self, name: &str) -> Result<Option<Looked>, StoreError> {
        schedules::show(&*self.rows, &self.registry, name, self.clock.mark())
    }

    /// What a person wants of a schedule, and how it stands then, as far as its row has come to it within two seconds. It is
    /// durable on return.
    ///
    /// # Errors
    /// [`ExecuteError`]; nothing was stored then.
    pub async fn tell_schedule(&self, command: ScheduleCommand) -> Result<(), ExecuteError> {
        let draft = Draft::of(&command).map_err(HandlerError::from)?;
        let receipts = self.execute(vec![Request::new(draft)]).await?;
        let position = receipts.first().map(|receipt| receipt.position);
        // Whoever looks before the row has come sees how it stood before; what was done stands.
        let _ = self.progress.reach(ScheduleRow::TABLE, position, SHOWN).await;
        Ok(())
    }

    /// Makes a plan for many: what is meant is looked for beside the engine, in a task that may block.
    ///
    /// # Errors
    /// [`ActError`]; nothing was stored then.
    pub async fn make_plan(&self, making: Making, by: By) -> Result<Outcome, ActError> {
        let (reader, registry, program) = (self.reader(), self.registry.clone(), self.program.clone());
        let stands = match &making.selection {
            Selection::Redeliver(which) => lock(&self.health).stands(&which.consumer),
            Selection::Redrive { .. } | Selection::Discard { .. } | Selection::Move { .. } | Selection::Backfill(_) => {
                Position::START
            }
        };
        let fills = matches!(making.selection, Selection::Backfill(_));
        if fills && self.registry.has_schedules() {
            let wanted = Some(reader.head());
            let behind =
                |_| ActError::NotNow("the rows of schedules are behind: try again, and look at /health".to_owned());
            self.progress.reach(ScheduleRow::TABLE, wanted, SHOWN).await.map_err(behind)?;
        }
        let rows = self.rows.clone();
        let look = move || {
            let schedule = match &making.selection {
                Selection::Backfill(fill) => schedules::state(&*rows, &registry, &fill.schedule)?,
                _ => None,
            };
            Survey::of(&*reader, &registry, &program, making, Known { stands, schedule })
        };
        let survey = tokio::task::spawn_blocking(look).await;
        let survey = survey.map_err(|error| ActError::Stopped(error.to_string()))??;
        self.act(What::MakePlan(Box::new(survey)), by).await
    }
}
