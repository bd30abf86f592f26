//! The platform's own routes: letters, plans, sagas, schedules, groups, consumers, health.
//!
//! | route | answers |
//! |---|---|
//! | `GET /factum/v1/letters?consumer=&type=&key=&correlation=&reason=&after=&limit=` | a page of letters |
//! | `GET /factum/v1/letters/{id}` | one with its message and its failures |
//! | `POST /factum/v1/letters/{id}/try` | what would follow today; nothing is stored |
//! | `POST /factum/v1/letters/{id}/redrive`, `discard`, `release` | what followed, once it is durable |
//! | `POST /factum/v1/letters/{id}/plan` | the same; `at`, `whenProgramChanges`, or neither to take the plan back |
//! | `POST /factum/v1/plans` | a plan with every effect that it would have; nothing is done |
//! | `GET /factum/v1/plans` | those that wait to be approved, or are being carried out |
//! | `GET /factum/v1/plans/{id}` | one as it stands, also when it has ended: what was done, failed and was left out |
//! | `POST /factum/v1/plans/{id}/approve`, `cancel` | `{}`, once it is durable; an approval names the plan's `hash` |
//! | `GET /factum/v1/sagas?saga=&version=&status=&step=&olderThanSecs=&stuck=&after=&limit=` | a page of open instances |
//! | `GET /factum/v1/sagas/{id}` | one whole, open or ended |
//! | `POST /factum/v1/sagas/{id}/retry`, `resolve`, `undo`, `move` | see [`crate::sagas`] |
//! | `GET /factum/v1/schedules`, `GET …/{name}`, `POST …/{name}/pause`, `resume`, `run`, `backfill` | see [`crate::schedules`] |
//! | `GET /factum/v1/groups`, `GET …/{name}`, `POST …/{name}/poll`, `ack`, `nack`, `extend` | see [`crate::groups`] |
//! | `GET /factum/v1/consumers` | every reader of the log, and where it stands |
//! | `POST /factum/v1/consumers/{name}/try-again` | the same as of a letter |
//! | `GET /factum/v1/types` | every type of message: version, whether it is own, who makes and who reads it, personal fields |
//! | `POST /factum/v1/events`, `commands` | see [`crate::edge`] |
//! | `GET /live`, `/ready`, `/health` | see [`crate::health`] |
//!
//! What changes something has a body `{"by": "…", "why": "…"}`, which stands in the event of the act, and takes no other
//! parameters than are named here. A letter's id is one segment of the path, percent-encoded: it may hold `/`. So is an instance's.

use std::{fmt::Display, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, State},
    http::{header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use factum_core::{
    Timestamp,
    cache::CacheShown,
    error::StoreError,
    id::check_id,
    letter::{LetterId, Retry},
};
use factum_runtime::{
    acts::{ActError, By, Outcome, What},
    letters,
    plans::{self, Making, Plan, Selection},
    publishers::Shown,
    supervisor::{ConsumerState, Standing, Unit},
};
use serde::{Deserialize, Serialize};

use crate::{
    extract::{Body, Query},
    groups, health,
    problem::Problem,
    sagas, schedules,
};

/// Letters on a page at most.
pub const MAX_LETTERS: usize = 1_000;
/// Letters on a page if the question does not say.
const LETTERS: usize = 100;
/// The longest reason for an act, in bytes.
pub const MAX_WHY_BYTES: usize = 1 << 10;
/// The longest name in a path, in bytes: a letter's is made of a consumer's and a timer's.
const MAX_SEGMENT_BYTES: usize = 2 << 10;
/// The longest text to look for, in bytes.
const MAX_FILTER_BYTES: usize = 2 << 10;
/// How long an act may wait for the engine: less than a request may take, so that the answer says what to do.
const ACT: Duration = Duration::from_secs(25);

/// What stands below `/factum/v1`.
pub fn routes<S: Clone + Send + Sync + 'static>(unit: Arc<Unit>) -> Router<S> {
    Router::new()
        .route("/factum/v1/letters", get(list))
        .route("/factum/v1/letters/{id}", get(show))
        .route("/factum/v1/letters/{id}/try", post(try_dry))
        .route("/factum/v1/letters/{id}/redrive", post(redrive))
        .route("/factum/v1/letters/{id}/discard", post(discard))
        .route("/factum/v1/letters/{id}/release", post(release))
        .route("/factum/v1/letters/{id}/plan", post(plan))
        .route("/factum/v1/plans", get(running).post(make_plan))
        .route("/factum/v1/plans/{id}", get(show_plan))
        .route("/factum/v1/plans/{id}/approve", post(approve))
        .route("/factum/v1/plans/{id}/cancel", post(cancel))
        .route("/factum/v1/consumers", get(consumers))
        .route("/factum/v1/consumers/{name}/try-again", post(try_again))
        .route("/factum/v1/types", get(types))
        .route("/factum/v1/caches", get(caches))
        .with_state(unit.clone())
        .merge(sagas::routes(unit.clone()))
        .merge(schedules::routes(unit.clone()))
        .merge(groups::routes(unit))
}

/// `/live`, `/ready` and `/health`.
pub fn health_routes<S>(unit: Arc<Unit>) -> Router<S> {
    Router::new()
        .route("/live", get(async |State(unit): State<Arc<Unit>>| health::live(&unit.health())))
        .route("/ready", get(async |State(unit): State<Arc<Unit>>| health::ready(&unit.health())))
        .route("/health", get(async |State(unit): State<Arc<Unit>>| health::answer(&unit.health())))
        .with_state(unit)
}

/// Which letters are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    consumer: Option<String>,
    #[serde(rename = "type")]
    type_name: Option<String>,
    key: Option<String>,
    correlation: Option<String>,
    reason: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

impl Asked {
    fn query(self) -> Result<letters::Query, Problem> {
        let bad = |detail: String| Problem::bad("bad_query", detail);
        let after = given("after", self.after)?.map(|after| LetterId::parse(&after)).transpose();
        let limit = given("limit", self.limit)?.map_or(Ok(LETTERS), |limit| limit.parse());
        let limit = limit.ok().filter(|limit| (1..=MAX_LETTERS).contains(limit));
        Ok(letters::Query {
            consumer: given("consumer", self.consumer)?,
            type_name: given("type", self.type_name)?,
            key: given("key", self.key)?,
            correlation: given("correlation", self.correlation)?,
            reason: given("reason", self.reason)?,
            after: after.map_err(|error| bad(format!("after does not fit: {error}")))?,
            limit: Some(limit.ok_or_else(|| bad(format!("limit is a whole number from 1 to {MAX_LETTERS}")))?),
        })
    }
}

/// A parameter, if it says something: a form sends all its fields.
pub(crate) fn given(name: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if text.len() > MAX_FILTER_BYTES => {
            let detail = format!("{name} has {} bytes; {MAX_FILTER_BYTES} are allowed", text.len());
            Err(Problem::bad("bad_query", detail))
        }
        text => Ok(text),
    }
}

async fn list(State(unit): State<Arc<Unit>>, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let query = asked.query()?;
    Ok(fresh(blocking(move || letters::list(&*unit.plain_reader(), &query)).await?))
}

async fn show(State(unit): State<Arc<Unit>>, Named(id): Named) -> Result<Response, Problem> {
    let wanted = id.clone();
    let found = blocking(move || letters::show(&*unit.plain_reader(), &wanted)).await?;
    found.map(fresh).ok_or_else(|| ActError::NoLetter(id).into())
}

/// Who does something, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signed {
    pub(crate) by: String,
    #[serde(default)]
    pub(crate) why: String,
}

impl Signed {
    pub(crate) fn by(self) -> Result<By, Problem> {
        check_id("by", &self.by).map_err(|error| Problem::bad("bad_by", format!("{error}: say who does it")))?;
        if self.why.len() > MAX_WHY_BYTES {
            let detail = format!("why has {} bytes; {MAX_WHY_BYTES} are allowed", self.why.len());
            return Err(Problem::bad("bad_why", detail));
        }
        Ok(By::new(self.by, self.why))
    }
}

/// When a letter is tried again by itself; neither takes the plan back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Planned {
    by: String,
    #[serde(default)]
    why: String,
    at: Option<Timestamp>,
    #[serde(default)]
    when_program_changes: bool,
}

/// What became of an act.
pub(crate) type Acted = Result<Json<Outcome>, Problem>;

async fn try_dry(State(unit): State<Arc<Unit>>, Named(id): Named, _: NoQuery, body: Body<Signed>) -> Acted {
    act(unit, What::Try(id), body.data.by()?).await
}

async fn redrive(State(unit): State<Arc<Unit>>, Named(id): Named, _: NoQuery, body: Body<Signed>) -> Acted {
    act(unit, What::Redrive(id), body.data.by()?).await
}

async fn discard(State(unit): State<Arc<Unit>>, Named(id): Named, _: NoQuery, body: Body<Signed>) -> Acted {
    let by = body.data.by()?;
    if by.why.trim().is_empty() {
        let detail = "a letter is not discarded without a reason: say why, for those who ask later";
        return Err(Problem::bad("bad_why", detail));
    }
    act(unit, What::Discard(id), by).await
}

async fn release(State(unit): State<Arc<Unit>>, Named(id): Named, _: NoQuery, body: Body<Signed>) -> Acted {
    act(unit, What::Release(id), body.data.by()?).await
}

async fn plan(State(unit): State<Arc<Unit>>, Named(id): Named, _: NoQuery, body: Body<Planned>) -> Acted {
    let Planned { by, why, at, when_program_changes } = body.data;
    let by = Signed { by, why }.by()?;
    let retry = match (at, when_program_changes) {
        (Some(_), true) => {
            let detail = "a letter has one plan: send `at` or `whenProgramChanges`, not both";
            return Err(Problem::invalid("bad_field", detail));
        }
        (Some(at), false) => Some(Retry::At(at)),
        (None, true) => Some(Retry::OtherThan(unit.program().to_owned())),
        (None, false) => None,
    };
    act(unit, What::Plan(id, retry), by).await
}

/// A plan that is wanted, and by whom.
#[derive(Deserialize)]
struct Wanted {
    by: String,
    #[serde(default)]
    why: String,
    #[serde(flatten)]
    making: Making,
}

/// An approval.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    by: String,
    #[serde(default)]
    why: String,
    hash: String,
}

#[derive(Serialize)]
struct Plans {
    plans: Vec<Plan>,
}

async fn running(State(unit): State<Arc<Unit>>) -> Result<Response, Problem> {
    Ok(fresh(blocking(move || Ok(Plans { plans: plans::list(&*unit.plain_reader())? })).await?))
}

async fn show_plan(State(unit): State<Arc<Unit>>, Segment(id): Segment) -> Result<Response, Problem> {
    let wanted = id.clone();
    let found = blocking(move || plans::show(&*unit.plain_reader(), &wanted)).await?;
    found.map(fresh).ok_or_else(|| ActError::NoPlan(id).into())
}

async fn make_plan(State(unit): State<Arc<Unit>>, _: NoQuery, body: Body<Wanted>) -> Acted {
    let Wanted { by, why, making } = body.data;
    let by = Signed { by, why }.by()?;
    if matches!(making.selection, Selection::Discard { .. }) && by.why.trim().is_empty() {
        let detail = "letters are not discarded without a reason: say why, for those who ask later";
        return Err(Problem::bad("bad_why", detail));
    }
    in_time(async move { unit.make_plan(making, by).await }).await
}

async fn approve(State(unit): State<Arc<Unit>>, Segment(id): Segment, _: NoQuery, body: Body<Approval>) -> Acted {
    let Approval { by, why, hash } = body.data;
    act(unit, What::Approve(id, hash), Signed { by, why }.by()?).await
}

async fn cancel(State(unit): State<Arc<Unit>>, Segment(id): Segment, _: NoQuery, body: Body<Signed>) -> Acted {
    act(unit, What::CancelPlan(id), body.data.by()?).await
}

#[derive(Serialize)]
struct Types {
    types: Vec<Shown>,
}

async fn types(State(unit): State<Arc<Unit>>, _: NoQuery) -> Response {
    fresh(Types { types: unit.types() })
}

#[derive(Serialize)]
struct Caches {
    caches: Vec<CacheShown>,
}

async fn caches(State(unit): State<Arc<Unit>>, _: NoQuery) -> Response {
    fresh(Caches { caches: unit.caches() })
}

#[derive(Serialize)]
struct Consumers {
    consumers: Vec<ConsumerState>,
}

async fn consumers(State(unit): State<Arc<Unit>>) -> Result<Response, Problem> {
    Ok(fresh(blocking(move || Ok(Consumers { consumers: unit.consumers() })).await?))
}

async fn try_again(State(unit): State<Arc<Unit>>, Segment(name): Segment, _: NoQuery, body: Body<Signed>) -> Acted {
    let by = body.data.by()?;
    let asked = unit.clone();
    let list = blocking(move || Ok(asked.consumers())).await?;
    // The engine does not know the views; it would write down that one which does not exist was tried again.
    match list.iter().find(|consumer| consumer.name == name) {
        None => {
            let detail = format!("there is no consumer `{name}`: GET /factum/v1/consumers lists them");
            Err(Problem::missing("no_such_consumer", detail))
        }
        Some(consumer) if consumer.standing != Standing::Stopped => {
            let problem = format!("{name} has not stopped: there is nothing to try again");
            Err(ActError::NotNow(problem).into())
        }
        Some(_) => act(unit, What::TryAgain(name), by).await,
    }
}

/// In a task of its own: what was begun is finished, also if nobody waits for the answer any more.
pub(crate) async fn act(unit: Arc<Unit>, what: What, by: By) -> Acted {
    in_time(async move { unit.act(what, by).await }).await
}

pub(crate) async fn in_time(acting: impl Future<Output = Result<Outcome, ActError>> + Send + 'static) -> Acted {
    match tokio::time::timeout(ACT, tokio::spawn(acting)).await {
        Ok(Ok(outcome)) => Ok(Json(outcome?)),
        Ok(Err(ended)) => Err(Problem::internal("panicked", format!("the act came to no end: {ended}"))),
        Err(_) => {
            let detail = format!(
                "the engine did not come to this within {} s, and may still do it: see /health for what it waits for, \
                 and look again before doing it again",
                ACT.as_secs()
            );
            Err(Problem::unavailable("timed_out", detail))
        }
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let ended = |error: tokio::task::JoinError| StoreError::Transient(error.to_string());
    Ok(tokio::task::spawn_blocking(read).await.map_err(ended)??)
}

/// Nobody keeps it: it is about now.
pub(crate) fn fresh(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// No parameters: whoever sends one means to change what the act does, such as only to try it.
pub(crate) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => {
                let detail = "this takes no parameters, and is done at once: `try` shows what would follow of a letter, \
                              a plan that is not approved what would follow of many";
                Err(Problem::bad("bad_query", detail))
            }
        }
    }
}

/// A segment of the path, decoded.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = <Path<String> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        let Path(text) = found.map_err(|error| bad_id(error.body_text()))?;
        match text.len() {
            bytes if bytes > MAX_SEGMENT_BYTES => {
                Err(bad_id(format!("it has {bytes} bytes; {MAX_SEGMENT_BYTES} are allowed")))
            }
            _ => Ok(Self(text)),
        }
    }
}

/// A letter's id from the path.
struct Named(LetterId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Segment(text) = Segment::from_request_parts(parts, state).await?;
        LetterId::parse(&text).map(Self).map_err(bad_id)
    }
}

fn bad_id(cause: impl Display) -> Problem {
    Problem::bad("bad_id", format!("the id in the path does not fit: {cause}"))
}
