//! The routes of pull groups: their workers fetch events and settle them; people see how they stand.
//!
//! | route | answers |
//! |---|---|
//! | `GET /factum/v1/groups` | every group: cursor, lag, what is leased, held and dead |
//! | `GET /factum/v1/groups/{name}` | one of them |
//! | `POST /factum/v1/groups/{name}/poll?max=&wait=` | `{"deliveries": […]}`: at most `max` (100; 1,000 at most), each with token, attempt, `leasedUntil` and message; waits up to `wait` seconds (0; 20 at most) for the first |
//! | `POST /factum/v1/groups/{name}/ack` | body `{"tokens": […]}`; `{}` once it is durable that these are done |
//! | `POST /factum/v1/groups/{name}/nack` | `{"tokens": […], "delaySecs"?, "reason"?}`; they have failed, and are offered again after the delay; `{}` once that is durable |
//! | `POST /factum/v1/groups/{name}/extend` | `{"tokens": […], "leaseSecs"?}`; the leases run from now on |
//!
//! A token that is not its worker's any more is 409 `stale_lease`, with all such tokens under `stale`; all others of the request are
//! settled.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::State,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use factum_core::group::{MAX_LEASE, MIN_LEASE};
use factum_runtime::{
    groups::{Delivery, GroupError, GroupState, MAX_DELAY, MAX_POLL, MAX_TOKENS, MAX_WAIT, Settlement, Verdict},
    supervisor::Unit,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    extract::{Body, Query},
    platform::{NoQuery, Segment, blocking, fresh, given},
    problem::Problem,
    server::Stopping,
};

/// Deliveries of a poll that does not say.
const POLL: usize = 100;

/// What stands below `/factum/v1/groups`.
pub fn routes<S>(unit: Arc<Unit>) -> Router<S> {
    Router::new()
        .route("/factum/v1/groups", get(list))
        .route("/factum/v1/groups/{name}", get(show))
        .route("/factum/v1/groups/{name}/poll", post(poll))
        .route("/factum/v1/groups/{name}/ack", post(ack))
        .route("/factum/v1/groups/{name}/nack", post(nack))
        .route("/factum/v1/groups/{name}/extend", post(extend))
        .with_state(unit)
}

#[derive(Serialize)]
struct Groups {
    groups: Vec<GroupState>,
}

async fn list(State(unit): State<Arc<Unit>>, _: NoQuery) -> Result<Response, Problem> {
    Ok(fresh(Groups { groups: blocking(move || unit.list_groups()).await? }))
}

async fn show(State(unit): State<Arc<Unit>>, Segment(name): Segment, _: NoQuery) -> Result<Response, Problem> {
    Ok(fresh(blocking(move || Ok(unit.show_group(&name))).await??))
}

/// How much, and how long to wait for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    max: Option<String>,
    wait: Option<String>,
}

impl Asked {
    fn read(self) -> Result<(usize, Duration), Problem> {
        let bad = |detail: String| Problem::bad("bad_query", detail);
        let max = given("max", self.max)?.map_or(Ok(POLL), |max| max.parse());
        let max = max.ok().filter(|max| (1..=MAX_POLL).contains(max));
        let most = MAX_WAIT.as_secs();
        let wait = given("wait", self.wait)?.map_or(Ok(0), |wait| wait.parse());
        let wait = wait.ok().filter(|wait| *wait <= most);
        Ok((
            max.ok_or_else(|| bad(format!("max is a whole number from 1 to {MAX_POLL}")))?,
            Duration::from_secs(wait.ok_or_else(|| bad(format!("wait is a whole number of seconds up to {most}")))?),
        ))
    }
}

#[derive(Serialize)]
struct Polled {
    deliveries: Vec<Delivery>,
}

async fn poll(
    State(unit): State<Arc<Unit>>,
    Segment(name): Segment,
    Query(asked): Query<Asked>,
    stopping: Option<Extension<Stopping>>,
) -> Result<Response, Problem> {
    let (max, wait) = asked.read()?;
    let stop = async {
        match stopping {
            Some(Extension(stopping)) => stopping.begun().await,
            None => std::future::pending().await,
        }
    };
    let deliveries = tokio::select! {
        biased;
        polled = unit.groups().poll(&name, max, wait) => polled?,
        () = stop => Vec::new(),
    };
    Ok(fresh(Polled { deliveries }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    tokens: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Failed {
    tokens: Vec<String>,
    delay_secs: Option<u64>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Longer {
    tokens: Vec<String>,
    lease_secs: Option<u64>,
}

async fn ack(state: State<Arc<Unit>>, name: Segment, _: NoQuery, body: Body<Done>) -> Result<Json<Value>, Problem> {
    settle(state, name, body.data.tokens, Verdict::Done).await
}

async fn nack(state: State<Arc<Unit>>, name: Segment, _: NoQuery, body: Body<Failed>) -> Result<Json<Value>, Problem> {
    let Failed { tokens, delay_secs, reason } = body.data;
    let delay = within("delaySecs", delay_secs, Duration::ZERO, MAX_DELAY)?;
    let reason = if reason.trim().is_empty() { "its worker gave no reason".to_owned() } else { reason };
    settle(state, name, tokens, Verdict::Failed { delay, reason }).await
}

async fn extend(
    state: State<Arc<Unit>>,
    name: Segment,
    _: NoQuery,
    body: Body<Longer>,
) -> Result<Json<Value>, Problem> {
    let Longer { tokens, lease_secs } = body.data;
    let lease = within("leaseSecs", lease_secs, MIN_LEASE, MAX_LEASE)?;
    settle(state, name, tokens, Verdict::Longer(lease)).await
}

async fn settle(
    State(unit): State<Arc<Unit>>,
    Segment(name): Segment,
    tokens: Vec<String>,
    verdict: Verdict,
) -> Result<Json<Value>, Problem> {
    if !(1..=MAX_TOKENS).contains(&tokens.len()) {
        let detail = format!("there are {} tokens; send 1 to {MAX_TOKENS}", tokens.len());
        return Err(Problem::invalid("bad_field", detail).with("field", "tokens"));
    }
    unit.groups().settle(&name, &Settlement { tokens, verdict }).await?;
    Ok(Json(json!({})))
}

fn within(
    field: &'static str,
    seconds: Option<u64>,
    least: Duration,
    most: Duration,
) -> Result<Option<Duration>, Problem> {
    let time = seconds.map(Duration::from_secs);
    if time.is_none_or(|time| (least..=most).contains(&time)) {
        return Ok(time);
    }
    let detail = format!("{field} is a whole number of seconds from {} to {}", least.as_secs(), most.as_secs());
    Err(Problem::invalid("bad_field", detail).with("field", field))
}

impl From<GroupError> for Problem {
    fn from(error: GroupError) -> Self {
        let detail = error.to_string();
        match error {
            GroupError::NoGroup(_) => Self::missing("no_group", detail),
            GroupError::NoToken(_) => Self::invalid("bad_field", detail).with("field", "tokens"),
            GroupError::Stale(tokens) => Self::new(StatusCode::CONFLICT, "stale_lease", detail).with("stale", tokens),
            GroupError::UnderWay => Self::unavailable("busy", detail).retry_after(1),
            GroupError::Stopped(_) => Self::new(StatusCode::CONFLICT, "not_now", detail),
            GroupError::Execute(error) => error.into(),
            GroupError::Store(error) => error.into(),
        }
    }
}
