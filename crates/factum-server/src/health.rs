//! How a unit stands, as an answer: 200 if everything runs, 503 if something does not.

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
    /// Whether everything runs.
    ready: bool,
    #[serde(flatten)]
    unit: &'a UnitHealth,
}

/// The answer to `GET /health`: `live`, `ready`, `durability`, `head`, `engine`, `views`, `outward`.
pub fn answer(unit: &UnitHealth) -> Response {
    let (live, ready) = (unit.engine.failed.is_none(), unit.is_well());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(Health { live, ready, unit })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use factum_runtime::engine::EngineHealth;

    fn unit(engine: EngineHealth) -> UnitHealth {
        UnitHealth { head: 7, durability: "sync", engine, views: Default::default(), outward: None }
    }

    #[tokio::test]
    async fn a_unit_that_runs_is_well() {
        let response = answer(&unit(EngineHealth::default()));
        assert_eq!(response.status(), StatusCode::OK);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["live"], &body["ready"]), (&true.into(), &true.into()));
        assert_eq!((&body["head"], &body["durability"]), (&7.into(), &"sync".into()));
    }

    #[test]
    fn a_unit_whose_engine_has_failed_is_not() {
        let engine = EngineHealth { failed: Some("disk".to_owned()), ..EngineHealth::default() };
        assert_eq!(answer(&unit(engine)).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
