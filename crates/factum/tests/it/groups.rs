//! Pull groups as their workers see them: declared in YAML or Rust, over HTTP, over restarts of the program.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use factum::{groups::GroupError, letter::LetterId, letters::Query, prelude::*};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Basket, Fill, Filled, fill};

const YAML: &str = "
consumer_group: order-processors
topics: [basket-events]
offset_strategy: earliest
";

async fn start(dir: &std::path::Path, yaml: &str) -> App {
    let service = Service::new("basket").decider::<Basket>();
    App::open(dir).unwrap().with(service).define("groups.yaml", yaml).start().await.unwrap()
}

async fn ask(router: &Router, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = Request::builder().method(method).uri(format!("/factum/v1/{path}"));
    let request = request.header("content-type", "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 4 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn poll(router: &Router, query: &str) -> Vec<Value> {
    let (status, body) = ask(router, "POST", &format!("groups/order-processors/poll{query}"), None).await;
    assert_eq!(status, 200, "{body}");
    body["deliveries"].as_array().unwrap().clone()
}

fn tokens(deliveries: &[Value]) -> Value {
    deliveries.iter().map(|it| it["token"].clone()).collect()
}

async fn say(router: &Router, what: &str, body: Value) -> (u16, Value) {
    ask(router, "POST", &format!("groups/order-processors/{what}"), Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_a_definition_is_fetched_settled_and_goes_on_behind_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let app = start(dir.path(), YAML).await;
    for basket in ["a", "b", "c"] {
        app.execute(fill(basket, "tea", 1)).await.unwrap();
        app.execute(fill(basket, "cup", 2)).await.unwrap();
    }
    let router = app.router();
    let out = poll(&router, "?max=2").await;
    assert_eq!(out.len(), 2);
    let message = &out[0]["message"];
    assert_eq!((&message["type"], &message["data"]["article"]), (&json!("basket.filled"), &json!("tea")), "{message}");
    assert_eq!((&out[0]["attempt"], &message["partitionKey"]), (&json!(1), &json!("a")));
    assert!(out[0]["leasedUntil"].is_string());
    let (status, done) = say(&router, "ack", json!({ "tokens": tokens(&out[..1]) })).await;
    assert_eq!((status, done), (200, json!({})));
    let (_, state) = ask(&router, "GET", "groups/order-processors", None).await;
    assert_eq!((&state["cursor"], &state["lag"], &state["leased"]), (&json!(1), &json!(5), &json!(1)), "{state}");
    let left = out[1].clone();
    app.stop().await;
    drop((app, router));

    let app = start(dir.path(), YAML).await;
    let router = app.router();
    let (status, stale) = say(&router, "ack", json!({ "tokens": [left["token"]] })).await;
    assert_eq!((status, &stale["code"], &stale["stale"]), (409, &json!("stale_lease"), &json!([left["token"]])));
    let mut articles = Vec::new();
    loop {
        let out = poll(&router, "").await;
        if out.is_empty() {
            break;
        }
        let of = |it: &Value| format!("{}-{}", it["message"]["partitionKey"], it["message"]["data"]["article"]);
        articles.extend(out.iter().map(|it| of(it).replace('"', "")));
        assert_eq!(say(&router, "ack", json!({ "tokens": tokens(&out) })).await.0, 200);
    }
    assert_eq!(articles, ["a-cup", "b-tea", "c-tea", "b-cup", "c-cup"]);
    let (_, listed) = ask(&router, "GET", "groups", None).await;
    let state = &listed["groups"][0];
    assert_eq!(
        (&state["lag"], &state["lagSeconds"], &state["types"]),
        (&json!(0), &json!(0.0), &json!(["basket.filled"]))
    );
    let (_, health) = ask(&router, "GET", "consumers", None).await;
    let consumers = health["consumers"].as_array().unwrap();
    let group = consumers.iter().find(|it| it["name"] == "order-processors").unwrap();
    assert_eq!((&group["kind"], &group["lag"]), (&json!("group"), &json!(0)));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_waits_for_what_comes_and_ends_when_the_app_stops() {
    let dir = tempfile::tempdir().unwrap();
    let app = start(dir.path(), YAML).await;
    let router = app.router();
    let waits = tokio::spawn({
        let router = router.clone();
        async move { poll(&router, "?wait=20").await }
    });
    while app.groups().list().await.unwrap()[0].polls == 0 {
        tokio::task::yield_now().await;
    }
    app.execute(fill("a", "tea", 1)).await.unwrap();
    assert_eq!(waits.await.unwrap().len(), 1);
    let waits = tokio::spawn(async move { poll(&router, "?wait=20").await });
    while app.groups().list().await.unwrap()[0].polls == 0 {
        tokio::task::yield_now().await;
    }
    let begun = std::time::Instant::now();
    app.stop().await;
    assert!(waits.await.unwrap().is_empty() && begun.elapsed() < Duration::from_secs(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_group_are_listed_and_ended_as_all_others() {
    let dir = tempfile::tempdir().unwrap();
    let app = start(dir.path(), &format!("{YAML}\nattempts: 1\n")).await;
    let router = app.router();
    app.execute(fill("a", "tea", 1)).await.unwrap();
    app.execute(fill("a", "cup", 1)).await.unwrap();
    let out = poll(&router, "").await;
    let failed = json!({ "tokens": tokens(&out), "delaySecs": 0, "reason": "no such basket" });
    assert_eq!(say(&router, "nack", failed).await.0, 200);
    assert!(poll(&router, "").await.is_empty(), "its key is held");
    let (_, listed) = ask(&router, "GET", "letters?consumer=order-processors", None).await;
    let letter = &listed["letters"][0];
    assert_eq!(letter["id"], "order-processors@1");
    assert!(letter["failureReason"].as_str().unwrap().ends_with("no such basket"), "{letter}");
    // The engine tells of it once those are answered who wait.
    while app.health().groups[0].letters == 0 {
        tokio::task::yield_now().await;
    }
    let health = app.health();
    assert_eq!((health.groups[0].letters, health.groups[0].held_keys), (1, 1));
    assert_eq!(health.reasons[0], "1 letter waits for a person, 0 messages wait behind");
    let by = factum::By::new("mara", "mended");
    app.letters().redrive(&LetterId::parse("order-processors@1").unwrap(), &by).await.unwrap();
    let out = poll(&router, "?wait=10").await;
    assert_eq!(out[0]["message"]["data"]["article"], "tea");
    assert_eq!(say(&router, "ack", json!({ "tokens": tokens(&out) })).await.0, 200);
    let out = poll(&router, "?wait=10").await;
    assert_eq!(out[0]["message"]["data"]["article"], "cup");
    assert!(app.letters().list(Query::default()).await.unwrap().letters.is_empty());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let app = start(dir.path(), YAML).await;
    let router = app.router();
    for (method, path, body, status, code, says) in [
        ("GET", "groups/nobody", None, 404, "no_group", "GET /factum/v1/groups lists"),
        ("POST", "groups/nobody/poll", None, 404, "no_group", "nobody"),
        ("POST", "groups/order-processors/poll?max=0", None, 400, "bad_query", "from 1 to 1000"),
        ("POST", "groups/order-processors/poll?wait=99", None, 400, "bad_query", "up to 20"),
        ("POST", "groups/order-processors/ack", Some(json!({ "tokens": [] })), 422, "bad_field", "send 1 to 1000"),
        ("POST", "groups/order-processors/ack", Some(json!({ "tokens": ["x"] })), 422, "bad_field", "no token"),
        (
            "POST",
            "groups/order-processors/nack",
            Some(json!({ "tokens": ["a-1-1"], "delaySecs": 999_999 })),
            422,
            "bad_field",
            "delaySecs",
        ),
        ("POST", "groups/order-processors/extend", Some(json!({ "tokens": ["a-1-1"] })), 409, "stale_lease", "drop"),
    ] {
        let (found, problem) = ask(&router, method, path, body).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{path}: {problem}");
    }
    app.stop().await;
}

/// One core value comes of both.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_in_rust_is_the_same_and_its_workers_may_be_inside() {
    let group = Group::new("fillers").reads::<Filled>().latest().lease(5.minutes()).attempts(2);
    let app = App::in_memory().with(Service::new("basket").decider::<Basket>().group(group)).start().await.unwrap();
    app.execute(Fill { basket: "a".to_owned(), article: "tea".to_owned(), pieces: 1 }).await.unwrap();
    let out = app.groups().poll("fillers", 10, 10.secs()).await.unwrap();
    assert_eq!((out.len(), out[0].attempt), (1, 1));
    app.groups().ack("fillers", [out[0].token.clone()]).await.unwrap();
    app.groups().ack("fillers", [out[0].token.clone()]).await.unwrap();
    let state = app.groups().show("fillers").await.unwrap();
    assert_eq!((state.attempts, state.lease_seconds, state.lag), (2, 300.0, 0));
    let nobody = app.groups().show("nobody").await.unwrap_err();
    assert!(matches!(nobody, GroupError::NoGroup(_)), "{nobody}");
    app.stop().await;
}
