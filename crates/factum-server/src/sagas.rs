//! The routes of sagas: instances by what is asked for, one whole, and what a person does about it.
//!
//! | route | answers |
//! |---|---|
//! | `GET /factum/v1/sagas?saga=&version=&status=&step=&olderThanSecs=&stuck=&after=&limit=` | a page of open instances |
//! | `POST /factum/v1/sagas` | starts one: `{"saga": "checkout", "data": {…}}`; its id and where it stands, 202 |
//! | `GET /factum/v1/sagas/{id}` | one whole, open or ended |
//! | `POST /factum/v1/sagas/{id}/retry` | the step that waits is sent again; `step` names it if several wait |
//! | `POST /factum/v1/sagas/{id}/resolve` | the step that waits counts as done; needs a `why` |
//! | `POST /factum/v1/sagas/{id}/undo` | everything that was sent is undone; needs a `why` |
//! | `POST /factum/v1/sagas/{id}/move` | the table of `version` runs it from now on |
//!
//! Another `POST` has a body `{"by": "…", "why": "…"}`, and answers what followed, once it is durable. With `?dryRun=true` it
//! answers what would follow, and nothing is stored.

use std::{str::FromStr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use factum_core::{
    envelope::{Draft, digest},
    id::MessageId,
    saga::{StartSaga, Wanted},
};
use factum_runtime::{
    acts::{ActError, What},
    inbox::{ExecuteError, Request},
    sagas::{self, MAX_PAGE, STATES},
    supervisor::Unit,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    extract::{Body, IdempotencyKey, Query, encoded},
    platform::{Acted, Segment, Signed, act, blocking, fresh, given},
    problem::Problem,
};

/// What stands below `/factum/v1/sagas`.
pub fn routes<S>(unit: Arc<Unit>) -> Router<S> {
    Router::new()
        .route("/factum/v1/sagas", get(list).post(start))
        .route("/factum/v1/sagas/{id}", get(show))
        .route("/factum/v1/sagas/{id}/retry", post(retry))
        .route("/factum/v1/sagas/{id}/resolve", post(resolve))
        .route("/factum/v1/sagas/{id}/undo", post(undo))
        .route("/factum/v1/sagas/{id}/move", post(move_to))
        .with_state(unit)
}

/// Which instances are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Asked {
    saga: Option<String>,
    version: Option<String>,
    status: Option<String>,
    step: Option<String>,
    older_than_secs: Option<String>,
    stuck: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

impl Asked {
    fn query(self) -> Result<sagas::Query, Problem> {
        let status = given("status", self.status)?;
        if let Some(status) = status.as_deref().filter(|status| !STATES.contains(status)) {
            let states = STATES.join("`, `");
            let detail = format!("`{status}` is no state of an open process: it is one of `{states}`");
            return Err(Problem::bad("bad_query", detail));
        }
        let limit = read("limit", self.limit, &format!("a whole number from 1 to {MAX_PAGE}"), |limit| {
            (1..=MAX_PAGE).contains(limit)
        })?;
        Ok(sagas::Query {
            saga: given("saga", self.saga)?,
            version: read("version", self.version, "a whole number, such as 2", |_| true)?,
            status,
            step: given("step", self.step)?,
            older_than_secs: read("olderThanSecs", self.older_than_secs, "a whole number of seconds", |_| true)?,
            stuck: truth("stuck", self.stuck)?,
            after: given("after", self.after)?,
            limit,
        })
    }
}

/// Reads a parameter that is no text.
fn read<T: FromStr>(
    name: &str,
    text: Option<String>,
    what: &str,
    fits: impl FnOnce(&T) -> bool,
) -> Result<Option<T>, Problem> {
    let Some(text) = given(name, text)? else { return Ok(None) };
    let value = text.parse().ok().filter(fits);
    value.map(Some).ok_or_else(|| Problem::bad("bad_query", format!("{name} is {what}")))
}

fn truth(name: &str, text: Option<String>) -> Result<bool, Problem> {
    Ok(read(name, text, "`true` or `false`", |_| true)?.unwrap_or(false))
}

async fn list(State(unit): State<Arc<Unit>>, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let query = asked.query()?;
    Ok(fresh(blocking(move || Ok(unit.sagas(&query))).await??))
}

async fn show(State(unit): State<Arc<Unit>>, Segment(id): Segment) -> Result<Response, Problem> {
    let wanted = id.clone();
    let found = blocking(move || unit.saga(&wanted)).await?;
    found.map(fresh).ok_or_else(|| ActError::NoInstance(id).into())
}

/// The command `saga.start`, with a place to look at.
async fn start(
    State(unit): State<Arc<Unit>>,
    key: Option<IdempotencyKey>,
    Query(Nothing {}): Query<Nothing>,
    body: Body<StartSaga>,
) -> Result<Response, Problem> {
    let draft = Draft::of(&body.data).map_err(|error| Problem::bad("bad_body", error.to_string()))?;
    let id = key.map(|key| MessageId::parse(key.as_str())).transpose();
    let id = id.map_err(|error| Problem::bad("bad_header", error.to_string()))?;
    let request = Request { id, digest: Some(digest("saga.start", &body.raw)), ..Request::new(draft) };
    let receipts = unit.try_execute(vec![request]).await.map_err(|error| match error {
        ExecuteError::NoHandler(_) => {
            let detail = "no saga of this program is started by a request".to_owned();
            Problem::new(StatusCode::NOT_FOUND, "no_such_saga", detail)
        }
        error => error.into(),
    })?;
    let receipt =
        receipts.into_iter().next().ok_or_else(|| Problem::unavailable("stopped", "the engine gave no receipt"))?;
    // Requests stand in streams that are named by the instance.
    let saga_id = receipt.stream.key();
    let place = [(header::LOCATION, format!("/factum/v1/sagas/{}", encoded(saga_id)))];
    let told = json!({ "sagaId": saga_id, "position": receipt.position.0, "repeated": receipt.repeated });
    Ok((StatusCode::ACCEPTED, place, Json(told)).into_response())
}

/// An act on a step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnStep {
    by: String,
    #[serde(default)]
    why: String,
    step: Option<String>,
}

/// A move.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moving {
    by: String,
    #[serde(default)]
    why: String,
    version: u32,
}

/// Whether it is only tried. Another parameter is refused: a slip in writing must not do what was to be tried.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Dry {
    dry_run: Option<String>,
}

/// No parameter: one that is meant to be something would be lost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The unit, the instance, and whether it is only tried.
type On = (State<Arc<Unit>>, Segment, Query<Dry>);

async fn retry(on: On, body: Body<OnStep>) -> Acted {
    let OnStep { by, why, step } = body.data;
    help(on, Wanted::Retry(step), Signed { by, why }).await
}

async fn resolve(on: On, body: Body<OnStep>) -> Acted {
    let OnStep { by, why, step } = body.data;
    help(on, Wanted::Resolve(step), Signed { by, why }).await
}

async fn undo(on: On, body: Body<Signed>) -> Acted {
    help(on, Wanted::Undo, body.data).await
}

async fn move_to(on: On, body: Body<Moving>) -> Acted {
    let Moving { by, why, version } = body.data;
    help(on, Wanted::Move(version), Signed { by, why }).await
}

async fn help((State(unit), Segment(id), Query(dry)): On, wanted: Wanted, signed: Signed) -> Acted {
    let what = if truth("dryRun", dry.dry_run)? { What::TrySaga } else { What::Saga };
    act(unit, what(id, wanted), signed.by()?).await
}
