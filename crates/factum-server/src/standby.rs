//! What a process answers that waits to lead.
//!
//! What only reads it may answer itself, if it follows the app. All else it refuses instead of sending it on: whoever has several
//! addresses goes to the next, a balancer that looks at `/ready` never comes, and no body travels twice. Nobody is redirected: an
//! address inside may mean nothing outside.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tower::ServiceExt;

use crate::{Problem, guarded};

/// The header that names who leads.
pub const LEADER: &str = "Factum-Leader";

/// Who leads now, if that is known.
type Leader = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What `/live`, `/ready` and `/health` say.
#[derive(Serialize)]
struct Waits {
    status: &'static str,
    live: bool,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
    reasons: [String; 1],
}

/// The routes of a process that waits; `leader` says for whom.
pub fn routes(leader: impl Fn() -> Option<String> + Send + Sync + 'static) -> Router {
    let leader: Leader = Arc::new(leader);
    let (live, ready, health, rest) = (leader.clone(), leader.clone(), leader.clone(), leader);
    Router::new()
        .route("/live", get(async move || waits(StatusCode::OK, live())))
        .route("/ready", get(async move || waits(StatusCode::SERVICE_UNAVAILABLE, ready())))
        .route("/health", get(async move || waits(StatusCode::SERVICE_UNAVAILABLE, health())))
        .fallback(async move || refused(rest()))
}

/// Lets requests that change nothing through to the routes of an app that follows, which are [`guarded`] here, and
/// answers all others as [`routes`] does.
pub fn reading(routes: Router, leader: impl Fn() -> Option<String> + Clone + Send + Sync + 'static) -> Router {
    let (routes, own, leader) = (guarded(routes), self::routes(leader.clone()), Arc::new(leader));
    let route = move |request: Request| {
        let (reads, own, leader) = (routes.clone(), own.clone(), leader.clone());
        async move {
            let of_a_process = matches!(request.uri().path(), "/live" | "/ready" | "/health");
            let is_read = matches!(*request.method(), Method::GET | Method::HEAD) && !of_a_process;
            let Ok(mut response) = if is_read { reads } else { own }.oneshot(request).await;
            name(&mut response, leader().as_deref());
            response
        }
    };
    Router::new().fallback(route)
}

fn name(response: &mut Response, leader: Option<&str>) {
    if let Some(Ok(name)) = leader.map(HeaderValue::from_str) {
        response.headers_mut().insert(LEADER, name);
    }
}

fn waits(status: StatusCode, leader: Option<String>) -> Response {
    let reasons = [sentence(leader.as_deref())];
    let body = Waits { status: "standby", live: true, ready: false, leader, reasons };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn refused(leader: Option<String>) -> Response {
    let problem = Problem::unavailable("standby", sentence(leader.as_deref())).retry_after(1);
    let problem = leader.iter().fold(problem, |problem, leader| problem.with("leader", leader));
    let mut response = problem.into_response();
    name(&mut response, leader.as_deref());
    response
}

fn sentence(leader: Option<&str>) -> String {
    match leader {
        Some(leader) => format!("this process waits to lead, and {leader} does: ask there"),
        None => "this process waits to lead, or is about to: ask again".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, leader: Option<&'static str>) -> (u16, Option<String>, serde_json::Value) {
        let router = routes(move || leader.map(str::to_owned));
        let request = Request::builder().method("GET").uri(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let named = response.headers().get(LEADER).map(|name| name.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 16_384).await.unwrap();
        (status, named, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn who_waits_is_alive_and_not_ready_and_names_who_leads() {
        let leader = Some("http://127.0.0.1:8080");
        assert_eq!(ask("/live", leader).await.0, 200);
        let (status, _, body) = ask("/ready", leader).await;
        assert_eq!(
            (status, &body["status"], &body["leader"]),
            (503, &"standby".into(), &"http://127.0.0.1:8080".into())
        );
        assert_eq!(ask("/health", None).await.0, 503);
    }

    #[tokio::test]
    async fn who_follows_answers_reads_and_refuses_all_else() {
        let leader = Some("http://127.0.0.1:8080");
        let app = Router::new().route("/orders", get(async || "all orders").post(async || "taken"));
        let router = reading(app, move || leader.map(str::to_owned));
        for (method, path, status) in [
            ("GET", "/orders", 200),
            ("HEAD", "/orders", 200),
            ("POST", "/orders", 503),
            ("GET", "/nothing", 404),
            ("GET", "/ready", 503),
            ("GET", "/live", 200),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{method} {path}");
            assert_eq!(response.headers()[LEADER], "http://127.0.0.1:8080", "{method} {path}");
        }
    }

    #[tokio::test]
    async fn all_else_is_refused_with_the_leaders_address() {
        let (status, named, body) = ask("/orders", Some("http://127.0.0.1:8080")).await;
        assert_eq!((status, named.as_deref(), &body["code"]), (503, Some("http://127.0.0.1:8080"), &"standby".into()));
        let (status, named, _) = ask("/orders", None).await;
        assert_eq!((status, named), (503, None));
    }
}
