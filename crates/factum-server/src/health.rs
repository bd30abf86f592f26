//! How a unit stands, as answers: `/live`, `/ready` and `/health`.
//!
//! | | 200 | 503 |
//! |---|---|---|
//! | `/live` | the process serves, and the engine may still do its work by itself | only a new start helps |
//! | `/ready` | commands are carried out | they are not, now |
//! | `/health` | `ok`; or `degraded`, with the reasons: something waits for a person | `not_ready`, with the reasons |

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use factum_runtime::supervisor::UnitHealth;
use serde::Serialize;

/// What `/health` says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health<'a> {
    /// Whether commands are carried out at all; if not, only a restart helps.
    live: bool,
    /// Whether commands are carried out now.
    ready: bool,
    #[serde(flatten)]
    unit: &'a UnitHealth,
}

/// What `/live` and `/ready` say.
#[derive(Serialize)]
struct Short<'a> {
    status: &'static str,
    reasons: &'a [String],
}

/// The answer to `GET /health`: `status`, `reasons`, `live`, `ready`, and how each part stands.
pub fn answer(unit: &UnitHealth) -> Response {
    let (live, ready) = (unit.is_live(), unit.is_ready());
    respond(ready, Health { live, ready, unit })
}

/// The answer to `GET /live`: 503 only if nothing but a new start helps.
pub fn live(unit: &UnitHealth) -> Response {
    let status = if unit.is_live() { "live" } else { "dead" };
    respond(unit.is_live(), Short { status, reasons: if unit.is_live() { &[] } else { &unit.reasons } })
}

/// The answer to `GET /ready`: 503 as long as commands are not carried out.
pub fn ready(unit: &UnitHealth) -> Response {
    let status = if unit.is_ready() { "ready" } else { "not_ready" };
    respond(unit.is_ready(), Short { status, reasons: if unit.is_ready() { &[] } else { &unit.reasons } })
}

fn respond(well: bool, body: impl Serialize) -> Response {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use factum_runtime::engine::{EngineHealth, StoppedConsumer};

    fn unit(engine: EngineHealth) -> UnitHealth {
        UnitHealth::of(7, "sync", engine)
    }

    async fn body(response: Response) -> serde_json::Value {
        let body = axum::body::to_bytes(response.into_body(), 16_384).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn a_unit_that_runs_is_well() {
        let unit = unit(EngineHealth::default());
        assert_eq!([answer(&unit), live(&unit), ready(&unit)].map(|it| it.status()), [StatusCode::OK; 3]);
        let body = body(answer(&unit)).await;
        assert_eq!((&body["live"], &body["ready"], &body["status"]), (&true.into(), &true.into(), &"ok".into()));
        assert_eq!((&body["head"], &body["durability"]), (&7.into(), &"sync".into()));
    }

    #[tokio::test]
    async fn what_waits_for_a_person_is_degraded_and_says_why() {
        let stopped = StoppedConsumer { consumer: "a.b".to_owned(), position: 3, reason: "as asked".to_owned() };
        let unit = unit(EngineHealth { letters: 2, held: 5, stopped: vec![stopped], ..EngineHealth::default() });
        assert_eq!([answer(&unit), live(&unit), ready(&unit)].map(|it| it.status()), [StatusCode::OK; 3]);
        let body = body(answer(&unit)).await;
        assert_eq!(body["status"], "degraded");
        assert_eq!(body["reasons"][0], "2 letters wait for a person, 5 messages wait behind");
        assert_eq!(body["reasons"][1], "a.b has stopped at position 3: as asked");
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_not_ready_and_the_process_lives() {
        let unit = unit(EngineHealth { waiting: Some("no space".to_owned()), ..EngineHealth::default() });
        let statuses = [answer(&unit), live(&unit), ready(&unit)].map(|it| it.status().as_u16());
        assert_eq!(statuses, [503, 200, 503]);
        assert_eq!(body(ready(&unit)).await["reasons"][0], "the store cannot be used: no space");
    }

    #[test]
    fn a_unit_whose_engine_has_failed_is_dead() {
        let unit = unit(EngineHealth { failed: Some("disk".to_owned()), ..EngineHealth::default() });
        let statuses = [answer(&unit), live(&unit), ready(&unit)].map(|it| it.status().as_u16());
        assert_eq!(statuses, [503; 3]);
    }
}
