//! Schedules as an operator sees them: over HTTP, and over restarts of the program.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use factum::{Status, memory::Memory, prelude::*};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Basket, Fill, Filled};

const NAME: &str = "basket.yearly";

/// Once a year, so that nothing is due while a test runs.
fn yearly(pieces: u32) -> Schedule {
    Schedule::cron("yearly", "0 3 29 2 *").zone("Europe/London").done_by::<Filled>().sends(move |it| Fill {
        basket: it.id().to_string(),
        article: it.schedule.clone(),
        pieces,
    })
}

async fn start(log: &Memory, schedules: impl IntoIterator<Item = Schedule>) -> App {
    let basket = Service::new("basket").decider::<Basket>();
    let app = App::over(log.clone()).with(schedules.into_iter().fold(basket, Service::schedule)).start().await.unwrap();
    let rested = app.rest().await.unwrap();
    assert_eq!(rested.next, None, "a rest does not wait for schedules");
    // The rows that are looked at below stand for what the start has declared.
    if let Some(rows) = app.health().views.get("factum_schedules") {
        assert!(rows.stopped.is_none());
        app.rows::<factum::schedule::ScheduleRow>().after(rested.position).page().await.unwrap();
    }
    app
}

async fn ask(router: &Router, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = Request::builder().method(method).uri(format!("/factum/v1/{path}"));
    let request = request.header("content-type", "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

fn by() -> Option<Value> {
    Some(json!({ "by": "mara", "why": "stocktaking" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_listed_shown_paused_resumed_and_run() {
    let app = start(&Memory::new(), [yearly(1)]).await;
    let router = app.router();
    let (status, listed) = ask(&router, "GET", "schedules", None).await;
    assert_eq!((status, &listed["schedules"][0]["name"]), (200, &json!(NAME)));
    assert_eq!(listed["schedules"][0]["next"].as_array().unwrap().len(), 1);
    let (_, shown) = ask(&router, "GET", &format!("schedules/{NAME}"), None).await;
    assert_eq!((&shown["status"], shown["next"].as_array().unwrap().len()), (&json!("running"), 20));
    let next = &shown["next"][0];
    assert!(next["local"].as_str().unwrap().ends_with("[Europe/London]"), "{next}");
    assert!(next["scheduled"].as_str().unwrap().ends_with("-02-29T03:00:00Z"), "{next}");

    let (_, paused) = ask(&router, "POST", &format!("schedules/{NAME}/pause"), by()).await;
    assert_eq!((&paused["status"], &paused["paused"]["by"]), (&json!("paused"), &json!("mara")), "{paused}");
    let (_, resumed) = ask(&router, "POST", &format!("schedules/{NAME}/resume"), by()).await;
    assert_eq!(resumed["status"], "running", "{resumed}");
    let (status, ran) = ask(&router, "POST", &format!("schedules/{NAME}/run"), by()).await;
    assert_eq!((status, &ran["counts"]["byHand"]), (200, &json!(1)), "{ran}");
    let rested = app.rest().await.unwrap();
    app.rows::<factum::schedule::ScheduleRow>().after(rested.position).page().await.unwrap();
    let ended = app.schedules().show(NAME).await.unwrap().unwrap();
    assert_eq!((ended.state.under_way.len(), ended.state.last.len()), (0, 1));

    for (path, body, status, code) in [
        ("schedules/basket.daily/run", by(), 404, "no_schedule"),
        ("schedules/basket.yearly/run", Some(json!({ "by": "" })), 400, "bad_by"),
        ("schedules/basket.yearly/pause?dryRun=true", by(), 400, "bad_query"),
    ] {
        let (found, problem) = ask(&router, "POST", path, body).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{problem}");
    }
    assert_eq!(ask(&router, "GET", "schedules/basket.daily", None).await.0, 404);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ran_is_filled_in_by_a_plan() {
    let app = start(&Memory::new(), [yearly(1)]).await;
    let router = app.router();
    let range = json!({ "by": "mara", "why": "books", "from": "2012-01-01T00:00:00Z", "to": "2021-01-01T00:00:00Z" });
    let (status, planned) = ask(&router, "POST", &format!("schedules/{NAME}/backfill"), Some(range)).await;
    assert_eq!((status, &planned["plan"]["total"]), (200, &json!(3)), "{planned}");
    assert_eq!(planned["items"][0]["item"], "2012-02-29T03:00:00Z");
    let (id, hash) = (planned["plan"]["id"].as_str().unwrap(), &planned["plan"]["hash"]);
    let approval = json!({ "by": "mara", "why": "books", "hash": hash });
    assert_eq!(ask(&router, "POST", &format!("plans/{id}/approve"), Some(approval)).await.0, 200);
    app.rest().await.unwrap();
    let shown = app.plans().show(id).await.unwrap().unwrap();
    assert_eq!((shown.tally.done, shown.tally.left_out), (3, 0));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_command_degrades_health_until_somebody_has_seen_to_it() {
    let app = start(&Memory::new(), [yearly(11)]).await;
    let by = factum::By::new("mara", "a test");
    app.schedules().run(NAME, &by).await.unwrap();
    let rested = app.rest().await.unwrap();
    app.rows::<factum::schedule::ScheduleRow>().after(rested.position).page().await.unwrap();
    let health = app.health();
    assert_eq!(health.status, Status::Degraded);
    assert!(
        health.reasons[0].contains("1 row of factum_schedules needs a person: basket.yearly"),
        "{:?}",
        health.reasons
    );
    let shown = app.schedules().show(NAME).await.unwrap().unwrap();
    assert!(shown.needs_person.unwrap().contains("the basket holds 0 pieces"));
    app.schedules().resume(NAME, &by).await.unwrap();
    assert_eq!(app.health().status, Status::Ok);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_declare_it_any_more_lists_it_as_retired() {
    let log = Memory::new();
    let app = start(&log, [yearly(1)]).await;
    app.stop().await;
    let app = start(&log, []).await;
    let found = app.schedules().list().await.unwrap();
    assert_eq!((found.len(), found[0].status, found[0].next.len()), (1, "retired", 0));
    let refused = app.schedules().run(NAME, &factum::By::new("mara", "")).await.unwrap_err();
    assert!(refused.to_string().contains("does not declare basket.yearly any more"), "{refused}");
    app.stop().await;
    // It comes back, and goes on from now.
    let app = start(&log, [yearly(1)]).await;
    assert_eq!(app.schedules().show(NAME).await.unwrap().unwrap().status, "running");
    app.stop().await;
    let app = start(&Memory::new(), []).await;
    assert!(app.schedules().list().await.unwrap().is_empty());
    app.stop().await;
}
