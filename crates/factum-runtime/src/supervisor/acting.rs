//! What people do: about letters, consumers and instances, and plans for many.

use factum_core::stream::Position;
use tokio::sync::oneshot;

use super::{Unit, lock};
use crate::{
    acts::{Act, ActError, By, Outcome, What},
    inbox::{ExecuteError, Input},
    plans::{Making, Selection},
    survey::Survey,
};

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

    /// Makes a plan for many: what is meant is looked for beside the engine, in a task that may block.
    ///
    /// # Errors
    /// [`ActError`]; nothing was stored then.
    pub async fn make_plan(&self, making: Making, by: By) -> Result<Outcome, ActError> {
        let (reader, registry, program) = (self.reader(), self.registry.clone(), self.program.clone());
        let stands = match &making.selection {
            Selection::Redeliver(which) => lock(&self.health).stands(&which.consumer),
            Selection::Redrive { .. } | Selection::Discard { .. } | Selection::Move { .. } => Position::START,
        };
        let look = move || Survey::of(&*reader, &registry, &program, making, stands);
        let survey = tokio::task::spawn_blocking(look).await;
        let survey = survey.map_err(|error| ActError::Stopped(error.to_string()))??;
        self.act(What::MakePlan(Box::new(survey)), by).await
    }
}
