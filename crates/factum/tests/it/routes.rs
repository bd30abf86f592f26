//! Routes come with their service.

use axum::{Router, body::Body, extract::State, http::Request, routing::get};
use factum::prelude::*;
use tower::ServiceExt;

async fn position(State(app): State<App>) -> String {
    app.position().0.to_string()
}

fn counting(name: &'static str, path: &str) -> Service {
    Service::new(name).routes(Router::new().route(path, get(position)))
}

async fn status(app: &App, path: &str) -> u16 {
    let request = Request::get(path).body(Body::empty()).unwrap();
    app.router().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn an_app_serves_the_routes_of_all_its_services_beside_its_own() {
    let app = App::in_memory().with(counting("one", "/one")).with(counting("two", "/two/{id}")).start().await.unwrap();
    for (path, expected) in
        [("/one", 200), ("/two/7", 200), ("/live", 200), ("/factum/v1/letters", 200), ("/three", 404)]
    {
        assert_eq!(status(&app, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_route_that_two_services_have_refuses_the_start() {
    let both = App::in_memory().with(counting("one", "/place")).with(counting("two", "/place"));
    let refused = both.start().await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        refused.starts_with("the routes of service two cannot be mounted") && refused.contains("/place"),
        "{refused}"
    );
    // The platform's own are below `/factum/v1`, and `/live`, `/ready`, `/health`.
    let own = App::in_memory().with(counting("one", "/health")).start().await;
    let refused = own.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("the routes of service one") && refused.contains("/health"), "{refused}");
}
