//! The routes of schedules: how each stands, and what a person does about it.
//!
//! | route | answers |
//! |---|---|
//! | `GET /factum/v1/schedules` | all of them, also those that the program does not declare any more, each with its next time |
//! | `GET /factum/v1/schedules/{name}` | one whole: definition, state, last endings, the next twenty times in its zone and in UTC |
//! | `POST /factum/v1/schedules/{name}/pause` | it is paused: what is due from now on is skipped |
//! | `POST /factum/v1/schedules/{name}/resume` | it goes on from now; what needed a person is seen to |
//! | `POST /factum/v1/schedules/{name}/run` | it runs now, beside its times |
//! | `POST /factum/v1/schedules/{name}/backfill` | a plan for what did not run `from` … `to`; it is approved as any plan |
//!
//! A `POST` has a body `{"by": "…", "why": "…"}`, and answers the schedule as it stands then, once what was done is durable; a
//! backfill answers its plan with what it would do.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{get, post},
};
use factum_core::{
    Timestamp,
    schedule::{Looked, PauseSchedule, ResumeSchedule, RunSchedule, ScheduleCommand},
};
use factum_runtime::{
    acts::By,
    plans::{Backfill, Making, Selection},
    supervisor::Unit,
};
use serde::{Deserialize, Serialize};

use crate::{
    extract::Body,
    platform::{Acted, NoQuery, Segment, Signed, blocking, fresh, in_time},
    problem::Problem,
};

/// What stands below `/factum/v1/schedules`.
pub fn routes<S>(unit: Arc<Unit>) -> Router<S> {
    Router::new()
        .route("/factum/v1/schedules", get(list))
        .route("/factum/v1/schedules/{name}", get(show))
        .route("/factum/v1/schedules/{name}/pause", post(pause))
        .route("/factum/v1/schedules/{name}/resume", post(resume))
        .route("/factum/v1/schedules/{name}/run", post(run))
        .route("/factum/v1/schedules/{name}/backfill", post(backfill))
        .with_state(unit)
}

#[derive(Serialize)]
struct Schedules {
    schedules: Vec<Looked>,
}

async fn list(State(unit): State<Arc<Unit>>, _: NoQuery) -> Result<Response, Problem> {
    let mut schedules = blocking(move || unit.schedules()).await?;
    schedules.iter_mut().for_each(|schedule| schedule.next.truncate(1));
    Ok(fresh(Schedules { schedules }))
}

async fn show(State(unit): State<Arc<Unit>>, Segment(name): Segment, _: NoQuery) -> Result<Response, Problem> {
    let wanted = name.clone();
    let found = blocking(move || unit.schedule(&wanted)).await?;
    found.map(fresh).ok_or_else(|| unknown(&name))
}

async fn pause(on: On, body: Body<Signed>) -> Result<Response, Problem> {
    tell(on, body, |schedule, By { who: by, why }| PauseSchedule { schedule, by, why }.into()).await
}

async fn resume(on: On, body: Body<Signed>) -> Result<Response, Problem> {
    tell(on, body, |schedule, By { who: by, why }| ResumeSchedule { schedule, by, why }.into()).await
}

async fn run(on: On, body: Body<Signed>) -> Result<Response, Problem> {
    tell(on, body, |schedule, By { who: by, why }| RunSchedule { schedule, by, why }.into()).await
}

/// The unit and the schedule.
type On = (State<Arc<Unit>>, Segment, NoQuery);

async fn tell(
    (State(unit), Segment(name), _): On,
    body: Body<Signed>,
    command: impl FnOnce(String, By) -> ScheduleCommand,
) -> Result<Response, Problem> {
    let command = command(name.clone(), body.data.by()?);
    if !unit.registry().has_schedules() {
        return Err(unknown(&name));
    }
    // In a task of its own: what was begun is finished, also if nobody waits for the answer any more.
    let telling = unit.clone();
    let told = tokio::spawn(async move { telling.tell_schedule(command).await }).await;
    told.map_err(|ended| Problem::internal("panicked", format!("the act came to no end: {ended}")))??;
    let wanted = name.clone();
    let found = blocking(move || unit.schedule(&wanted)).await?;
    found.map(fresh).ok_or_else(|| unknown(&name))
}

/// Which occurrences are to be run that did not run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Filling {
    by: String,
    #[serde(default)]
    why: String,
    from: Timestamp,
    to: Timestamp,
    rate: Option<u32>,
    #[serde(default)]
    second_person: bool,
}

async fn backfill(State(unit): State<Arc<Unit>>, Segment(name): Segment, _: NoQuery, body: Body<Filling>) -> Acted {
    let Filling { by, why, from, to, rate, second_person } = body.data;
    let by = Signed { by, why }.by()?;
    let selection = Selection::Backfill(Backfill { schedule: name, from, to });
    let making = Making { selection, rate, second_person };
    in_time(async move { unit.make_plan(making, by).await }).await
}

fn unknown(name: &str) -> Problem {
    let detail = format!("there is no schedule {name}: GET /factum/v1/schedules lists those that are");
    Problem::missing("no_schedule", detail)
}
