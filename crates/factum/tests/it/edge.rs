//! The door for other systems' messages, asked as they ask.

use axum::{body::Body, http::Request};
use factum::{
    envelope::{Rule, Spelled, Spellings},
    prelude::*,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Filled, service};

/// What a foreign warehouse counts.
#[derive(Event)]
#[event("stock.counted")]
struct Counted {
    article: String,
    pieces: u32,
}

#[derive(Clone, Debug, PartialEq, Row)]
#[row("counts")]
struct Count {
    #[key]
    article: String,
    pieces: u32,
}

fn counts(rows: &mut Rows<Count>, event: &Recorded<Counted>) {
    rows.put(Count { article: event.article.clone(), pieces: event.pieces });
}

const EVENTS: &[Spelled] =
    &[Spelled::new("stock.counted", &["StockCounted"]).key("article").data(&[Rule::Field("article", &["productId"])])];
const COMMANDS: &[Spelled] = &[Spelled::new("basket.fill", &["FillBasket"]).data(&[Rule::Field("pieces", &["qty"])])];

async fn start() -> App {
    let table = || Spellings::new().events(EVENTS)?.commands(COMMANDS)?.service("WMS", "warehouse");
    let reader = Service::new("reader").view(1, counts);
    App::in_memory().spellings(table()).with(service()).with(reader).start().await.unwrap()
}

struct Answer {
    status: u16,
    position: Option<u64>,
    body: Value,
}

async fn post(app: &App, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::post(format!("/factum/v1/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.router().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let position = response.headers().get("factum-position").map(|at| at.to_str().unwrap().to_owned());
    let position = position.map(|at| at.rsplit(':').next().unwrap().parse().unwrap());
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 22).await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(status >= 400, body["code"].is_string(), "{body}");
    Answer { status, position, body }
}

fn counted(id: &str, pieces: u32) -> Value {
    json!({ "eventId": id, "eventType": "StockCounted", "source": "WMS", "data": { "productId": "tea", "pieces": pieces } })
}

async fn pieces(app: &App) -> Vec<(String, u32)> {
    let page = app.rows::<Count>().after(app.position()).page().await.unwrap();
    page.rows.into_iter().map(|row| (row.article, row.pieces)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_others_are_taken_once_and_read_and_what_was_normalised_is_told() {
    let app = start().await;
    let answer = post(&app, "events", &[], counted("c-1", 7).to_string()).await;
    assert_eq!((answer.status, answer.position), (200, Some(1)), "{}", answer.body);
    let message = &answer.body["messages"][0];
    assert_eq!((&message["id"], &message["stream"]), (&json!("c-1"), &json!("stock-tea")));
    assert_eq!((&message["position"], &message["repeated"]), (&json!(1), &json!(false)));
    assert_eq!(message["normalised"][0], "type `StockCounted` is read as `stock.counted`");
    assert_eq!(pieces(&app).await, [("tea".to_owned(), 7)]);
    // Again, and in a list with another; one that is ours already needs nothing.
    let ours = json!({ "id": "c-2", "type": "stock.counted", "source": "warehouse", "correlationId": "x", "subject": "stock-cup",
        "data": { "article": "cup", "pieces": 3 } });
    let answer = post(&app, "events", &[], json!([counted("c-1", 7), ours]).to_string()).await;
    let repeated: Vec<_> =
        answer.body["messages"].as_array().unwrap().iter().map(|it| it["repeated"].clone()).collect();
    assert_eq!((answer.status, answer.position, repeated), (200, Some(2), vec![json!(true), json!(false)]));
    assert!(answer.body["messages"][1]["normalised"].is_null(), "{}", answer.body);
    assert_eq!(pieces(&app).await.len(), 2);
    assert_eq!(app.health().engine.uncorrelated, [("warehouse".to_owned(), 1)].into());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_come_structured_in_headers_and_in_batches() {
    let app = start().await;
    let cloud = |id: &str| {
        json!({ "specversion": "1.0", "id": id, "source": "WMS", "type": "StockCounted", "subject": "stock-tea",
        "correlationid": "x", "data": { "productId": "tea", "pieces": 1 } })
    };
    let structured = [("content-type", "application/cloudevents+json; charset=utf-8")];
    assert_eq!(post(&app, "events", &structured, cloud("1").to_string()).await.position, Some(1));
    let batch = json!([cloud("2"), cloud("3")]).to_string();
    assert_eq!(
        post(&app, "events", &[("content-type", "application/cloudevents-batch+json")], batch).await.position,
        Some(3)
    );
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "4"),
        ("ce-source", "WMS"),
        ("ce-type", "StockCounted"),
        ("ce-subject", "stock-caf%C3%A9"),
        ("ce-tenant", "acme"),
    ];
    let data = r#"{"productId": "cup", "pieces": 2}"#;
    let answer = post(&app, "events", &binary, data).await;
    assert_eq!(
        (answer.status, answer.body["messages"][0]["stream"].clone()),
        (200, json!("stock-café")),
        "{}",
        answer.body
    );
    // Nothing behind the data becomes an attribute.
    let answer = post(&app, "events", &binary, format!(r#"{data}, "type": "other.thing""#)).await;
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!("bad_json")));
    // In plain JSON one is known by its version; without an id it is none.
    assert_eq!(post(&app, "events", &[], cloud("1").to_string()).await.position, Some(1));
    let mut without = cloud("5");
    without.as_object_mut().unwrap().remove("id");
    let answer = post(&app, "events", &structured, without.to_string()).await;
    assert_eq!((answer.status, &answer.body["field"]), (422, &json!("id")));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_transport_says_stands_for_what_the_body_does_not() {
    let app = start().await;
    let data = json!({ "data": { "productId": "tea", "pieces": 1 } }).to_string();
    let headers = [("eventType", "StockCounted"), ("correlationId", "c-9"), ("idempotency-key", "k-1")];
    let answer = post(&app, "events?source=WMS", &headers, data).await;
    assert_eq!((answer.status, &answer.body["messages"][0]["id"]), (200, &json!("k-1")), "{}", answer.body);
    let stream = factum::stream::StreamId::parse("stock-tea").unwrap();
    let stored = &factum::Archive::of(app.reader()).stream(&stream).unwrap()[0];
    assert_eq!(
        (&*stored.envelope().source, stored.envelope().correlation_id.to_string().as_str()),
        ("warehouse", "c-9")
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_others_are_carried_out_once_under_their_ids() {
    let app = start().await;
    let fill = |id: &str, pieces: u32| {
        json!({ "commandId": id, "command": "FillBasket", "correlationId": "x", "userId": "mara",
        "tenant": "acme", "metadata": { "a": 1 }, "data": { "basket": "b", "article": "tea", "qty": pieces } })
    };
    for repeated in [false, true] {
        let answer = post(&app, "commands", &[], fill("k-1", 4).to_string()).await;
        assert_eq!((answer.status, answer.position), (200, Some(1)), "{}", answer.body);
        assert_eq!(answer.body["messages"][0]["repeated"], repeated);
    }
    let stored =
        &factum::Archive::of(app.reader()).stream(&factum::stream::StreamId::parse("basket-b").unwrap()).unwrap()[0];
    let envelope = stored.envelope();
    assert_eq!((envelope.user_id.as_deref(), envelope.tenant.as_deref()), (Some("mara"), Some("acme")));
    assert_eq!(
        (envelope.metadata.as_deref(), envelope.causation_id.as_ref().unwrap().to_string()),
        (Some(r#"{ "a": 1 }"#.replace(' ', "").as_str()), "k-1".to_owned())
    );
    assert_eq!(stored.decode::<Filled>().unwrap().pieces, 4);
    // The service's no, another body, and nobody there.
    for (body, status, code) in [
        (fill("k-2", 9), 409, "basket_full"),
        (fill("k-1", 5), 409, "id_reused"),
        (json!({ "id": "k", "type": "nobody.does", "data": {} }), 404, "no_addressee"),
        (json!({ "id": "k", "type": "basket.fill", "data": { "basket": "b" } }), 422, "bad_field"),
        (json!({ "id": "k", "type": "stock.counted", "kind": "event", "data": {} }), 422, "wrong_kind"),
    ] {
        let answer = post(&app, "commands", &[], body.to_string()).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{}", answer.body);
    }
    // Several: each by itself, in their order.
    let answer = post(&app, "commands", &[], json!([fill("k-3", 1), fill("k-4", 9), fill("k-5", 1)]).to_string()).await;
    assert_eq!((answer.status, answer.position), (207, Some(3)), "{}", answer.body);
    assert_eq!(answer.body["messages"][1]["status"], 409);
    assert_eq!(answer.body["messages"][1]["code"], "basket_full");
    // Without an id it is carried out each time.
    let bare = json!({ "command": "FillBasket", "data": { "basket": "c", "article": "tea", "qty": 1 } }).to_string();
    for version in [1, 2] {
        let answer = post(&app, "commands", &[], bare.clone()).await;
        assert_eq!((answer.status, &answer.body["messages"][0]["version"]), (200, &json!(version)), "{}", answer.body);
        assert!(answer.body["messages"][0]["id"].is_null());
    }
    for repeated in [false, true] {
        let answer = post(&app, "commands", &[("idempotency-key", "key")], bare.clone()).await;
        assert_eq!(answer.body["messages"][0]["repeated"], repeated);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_why_and_where_and_nothing_of_it_is_stored() {
    let app = start().await;
    let event = |more: Value| {
        let mut event = counted("c-1", 1);
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let large = "x".repeat(1 << 20);
    let many = vec![counted("c", 1); 1_001];
    for (body, status, code, detail) in [
        (event(json!({ "eventType": "basket.filled" })), 409, "owned_here", "send basket the command"),
        (event(json!({ "subject": "basket-7" })), 409, "owned_here", "streams of `basket`"),
        (event(json!({ "source": "basket" })), 409, "owned_here", "its source `basket`"),
        (event(json!({ "eventType": "FillBasket" })), 422, "wrong_kind", "send a command to where commands are taken"),
        (event(json!({ "eventType": "ThingHappened" })), 422, "unknown_name", "perhaps of `thing.happened`"),
        (event(json!({ "data": { "productId": "tea" } })), 422, "bad_field", "`data.pieces` is missing"),
        (event(json!({ "data": { "productId": 7, "pieces": 1 } })), 422, "bad_field", "`data.article` must be a text"),
        (event(json!({ "dataVersion": "7.0" })), 422, "other_version", "another major version"),
        (event(json!({ "timestamp": "yesterday" })), 422, "bad_field", "`timestamp` must be a time"),
        (event(json!({ "data": { "a": large } })), 413, "too_large", "1048576 are allowed"),
        (event(json!({ "timestamp": "2099-01-01T00:00:00Z" })), 422, "bad_time", "lies ahead"),
        (json!({ "type": "stock.counted", "data": {} }), 422, "bad_field", "or at least its `timestamp`"),
        (json!([]), 422, "bad_field", "send one at least"),
        (json!(many), 413, "too_many", "1000 are allowed"),
        (
            json!([counted("c-1", 1), counted("c-2", 1), event(json!({ "source": "basket" }))]),
            409,
            "owned_here",
            "nothing is taken, because of message 2 of the list: its source",
        ),
        (json!([counted("c-1", 1), 7]), 400, "bad_json", "message 1 of the list"),
        (json!(7), 400, "bad_json", "not one JSON object"),
    ] {
        let answer = post(&app, "events", &[], body.to_string()).await;
        let told = answer.body["detail"].as_str().unwrap();
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{}", answer.body);
        assert!(told.contains(detail), "{told}");
    }
    let twice = r#"{"id": "c", "type": "stock.counted", "data": {"article": "tea", "pieces": 1, "pieces": 2}}"#;
    let answer = post(&app, "events", &[], twice).await;
    assert!(answer.body["detail"].as_str().unwrap().contains("`pieces` stands there twice"), "{}", answer.body);
    for (path, headers, status, code) in [
        ("events?sauce=x", vec![], 400, "bad_query"),
        ("events?source=W%20M", vec![], 400, "bad_query"),
        ("events", vec![("content-type", "text/plain")], 415, "not_json"),
        ("events", vec![("idempotency-key", "a"), ("idempotency-key", "b")], 400, "bad_header"),
        ("commands", vec![("correlationid", "")], 400, "bad_header"),
    ] {
        let answer = post(&app, path, &headers, counted("c-1", 1).to_string()).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{path} {}", answer.body);
    }
    let answer = post(&app, "events", &[], vec![b' '; (2 << 20) + 1]).await;
    assert_eq!((answer.status, &answer.body["code"]), (413, &json!("body_too_large")));
    assert_eq!(app.position().0, 0);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_contradicts_itself_refuses_the_start() {
    let twice = [Spelled::new("a.b", &["X"]), Spelled::new("a.c", &["X"])];
    let started = App::in_memory().spellings(Spellings::new().events(&twice)).start().await;
    let refused = started.err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(refused, "the type `X` is spelled for `a.c` and for `a.b`: keep one of them");
}
