//! Provider and carrier over HTTP, by a fake of both: it notes what it is asked, and does it as often as it is asked.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use factum::{http::client::Remote, stream::Position};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use shop::shipping::signature::Secret;

use crate::shop::{Answer, Headers, Shop, secret};

/// What may go wrong with a request.
pub enum Trouble {
    /// It is refused for good.
    Refused,
    /// It is not done, and may be tried again at once.
    Busy,
    /// It is done, and the connection breaks before the answer is through.
    AnswerLost,
    /// It is not done, and the connection breaks.
    RequestLost,
    /// It is not done yet: an earlier request by its key is said to be under way.
    UnderWay,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    what: String,
    path: String,
    pub key: String,
    pub body: Value,
}

#[derive(Default)]
pub struct Outside {
    troubles: Mutex<BTreeMap<String, VecDeque<Trouble>>>,
    seen: Mutex<Vec<Seen>>,
    done: Mutex<Vec<(String, String)>>,
    answers: Mutex<BTreeMap<String, Value>>,
}

impl Outside {
    pub async fn open() -> (Arc<Self>, Remote) {
        let outside = Arc::new(Self::default());
        let router = Router::new()
            .route("/payments/{payment}/{act}", post(act))
            .route("/payments/{payment}/calls/{key}", get(look_up))
            .route("/shipments/{shipment}", post(ship))
            .route("/shipments/{shipment}/cancel", post(cancel))
            .with_state(outside.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        (outside, url)
    }

    /// The next requests for something meet these troubles, the later ones none.
    pub fn trouble(&self, what: &str, troubles: impl IntoIterator<Item = Trouble>) {
        self.troubles.lock().unwrap().insert(what.to_owned(), troubles.into_iter().collect());
    }

    /// Requests for something, in order.
    pub fn seen(&self, what: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.what == what).cloned().collect()
    }

    pub fn asked(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.what.clone()).collect()
    }

    /// How often something was really done.
    pub fn done(&self, what: &str) -> usize {
        self.done.lock().unwrap().iter().filter(|(done, _)| done == what).count()
    }

    fn answer(&self, seen: Seen, answer: Value) -> Response {
        let trouble = self.troubles.lock().unwrap().get_mut(&seen.what).and_then(VecDeque::pop_front);
        let (what, key) = (seen.what.clone(), seen.key.clone());
        self.seen.lock().unwrap().push(seen);
        let work = || {
            self.done.lock().unwrap().push((what.clone(), key.clone()));
            self.answers.lock().unwrap().insert(key.clone(), answer.clone());
        };
        let broken = || Body::from_stream(futures_util::stream::iter([Err::<Vec<u8>, _>(io::Error::other("cut"))]));
        match trouble {
            None => {
                work();
                Json(answer.clone()).into_response()
            }
            Some(Trouble::Refused) => {
                (StatusCode::PAYMENT_REQUIRED, Json(json!({ "reason": "card_declined" }))).into_response()
            }
            Some(Trouble::Busy) => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response(),
            Some(Trouble::AnswerLost) => {
                work();
                broken().into_response()
            }
            Some(Trouble::RequestLost) => broken().into_response(),
            Some(Trouble::UnderWay) => StatusCode::CONFLICT.into_response(),
        }
    }
}

fn key(headers: &HeaderMap) -> String {
    headers.get("idempotency-key").unwrap().to_str().unwrap().to_owned()
}

async fn act(
    State(outside): State<Arc<Outside>>,
    Path((payment, act)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let answer = match body["refundId"].as_str() {
        Some(refund) => json!({ "refundId": refund }),
        None => json!({ "transactionId": format!("tx-{payment}") }),
    };
    outside.answer(Seen { what: act, path: payment, key: key(&headers), body }, answer)
}

async fn look_up(
    State(outside): State<Arc<Outside>>,
    Path((payment, key)): Path<(String, String)>,
) -> Result<Json<Value>, StatusCode> {
    let known = outside.answers.lock().unwrap().get(&key).cloned();
    let trouble = outside.troubles.lock().unwrap().get_mut("calls").and_then(VecDeque::pop_front);
    let seen = Seen { what: "calls".to_owned(), path: payment, key, body: Value::Null };
    outside.seen.lock().unwrap().push(seen);
    match trouble {
        Some(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
        None => known.map(Json).ok_or(StatusCode::NOT_FOUND),
    }
}

async fn ship(
    State(outside): State<Arc<Outside>>,
    Path(shipment): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let answer = json!({
        "carrier": "Snail Mail", "trackingNumber": format!("SM-{shipment}"),
        "estimatedDelivery": "2025-01-04T12:00:00Z", "labelRef": format!("labels/{shipment}.pdf"),
    });
    outside.answer(Seen { what: "shipments".to_owned(), path: shipment, key: key(&headers), body }, answer)
}

async fn cancel(
    State(outside): State<Arc<Outside>>,
    Path(shipment): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    outside.answer(Seen { what: "cancel".to_owned(), path: shipment, key: key(&headers), body }, json!({}))
}

/// Orders tea, and lets everything happen that follows.
pub async fn ordered(shop: &Shop) -> String {
    let address = json!({ "country": "GB", "city": "Hull" });
    let items = json!([{ "sku": "TEA", "quantity": 2 }]);
    let order = json!({ "customerId": "c-1", "items": items, "shippingAddress": address });
    let order = shop.post("/orders", &order).await.order();
    shop.a_minute().await;
    order
}

pub async fn status(shop: &Shop, order: &str) -> Value {
    shop.get(&format!("/orders/{order}")).await.body["status"].clone()
}

/// What health says of rows that need a person.
pub async fn needs_person(shop: &Shop) -> String {
    let health = shop.get("/health").await.body;
    let reasons = health["reasons"].as_array().unwrap().iter().filter_map(Value::as_str);
    reasons.filter(|reason| reason.contains("a person")).collect()
}

pub async fn shipment(shop: &Shop, order: &str) -> String {
    let shipments = shop.get(&format!("/shipments?order={order}")).await.body;
    shipments["items"][0]["shipmentId"].as_str().unwrap().to_owned()
}

fn news(shipment: &str, state: &str) -> Value {
    news_of(shipment, state, "2025-01-01T00:01:00Z")
}

pub fn news_of(shipment: &str, state: &str, at: &str) -> Value {
    json!({ "shipmentId": shipment, "state": state, "at": at })
}

/// What the carrier tells, and signs.
pub async fn told(shop: &Shop, news: &Value) -> Answer {
    let body = news.to_string();
    let signature = secret().sign(body.as_bytes());
    shop.send(Method::POST, "/carrier/news", Headers(&[("Carrier-Signature", &signature)]), body).await
}

#[tokio::test]
async fn an_order_is_paid_and_brought_by_others_and_its_delivery_is_their_news() {
    let (outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    assert_eq!(outside.asked(), ["authorize", "shipments", "capture"]);
    // No timer speaks for a carrier that can speak for itself.
    shop.days(30).await;
    assert_eq!(status(&shop, &order).await, "shipped");

    let id = shipment(&shop, &order).await;
    let told = told(&shop, &news_of(&id, "delivered", "2025-01-03T09:00:00Z")).await;
    assert_eq!((told.status, &told.body["shipmentId"]), (202, &json!(id)), "{told:?}");
    assert!(told.header("factum-position").starts_with("main:"));
    shop.a_minute().await;
    assert_eq!(status(&shop, &order).await, "delivered");

    let parcel = shop.get(&format!("/shipments/{id}")).await.body;
    assert_eq!((&parcel["carrier"], &parcel["trackingNumber"]), (&json!("Snail Mail"), &json!(format!("SM-{id}"))));
    assert_eq!(parcel["deliveredAt"], "2025-01-03T09:00:00Z");
    assert_eq!(shop.get(&format!("/payments?order={order}")).await.body["items"][0]["status"], "captured");
    let capture = &outside.seen("capture")[0];
    assert_eq!(capture.body, json!({ "amount": { "amount": 510, "currency": "GBP" } }));
    let asked = &outside.seen("shipments")[0];
    assert_eq!((&asked.path, &asked.body["pieces"], &asked.body["address"]["city"]), (&id, &json!(2), &json!("Hull")));

    let back = json!({ "items": [{ "sku": "TEA", "quantity": 1 }] });
    assert_eq!(shop.post(&format!("/orders/{order}/return"), &back).await.status, 202);
    shop.a_minute().await;
    let refund = &outside.seen("refund")[0];
    assert_eq!((&refund.body["amount"]["amount"], outside.done("refund")), (&json!(255), 1));
    let payment = shop.get(&format!("/payments?order={order}")).await.body["items"][0].clone();
    assert_eq!(payment["refunded"]["amount"], 255);
    let keys: BTreeSet<String> = outside.seen.lock().unwrap().iter().map(|seen| seen.key.clone()).collect();
    assert_eq!(keys.len(), 4, "each call has a key of its own");
}

#[tokio::test]
async fn a_declined_payment_cancels_the_order_and_frees_its_stock() {
    let (outside, url) = Outside::open().await;
    outside.trouble("authorize", [Trouble::Refused]);
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    let view = shop.get(&format!("/orders/{order}")).await.body;
    assert_eq!((&view["status"], &view["reason"]), (&json!("cancelled"), &json!("payment_failed")));
    assert_eq!(shop.get("/stock/TEA").await.body["available"], 100_000);
    let payment = shop.get(&format!("/payments?order={order}")).await.body["items"][0].clone();
    assert_eq!(payment["reason"], "card_declined");
    assert_eq!((outside.seen("authorize").len(), outside.done("capture")), (1, 0));
}

#[tokio::test]
async fn a_busy_provider_is_asked_again_under_the_same_key_and_captures_once() {
    let (outside, url) = Outside::open().await;
    outside.trouble("capture", [Trouble::Busy, Trouble::Busy]);
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    assert_eq!(status(&shop, &order).await, "shipped");
    let captures = outside.seen("capture");
    assert_eq!((captures.len(), outside.done("capture")), (3, 1));
    assert!(captures.iter().all(|capture| capture.key == captures[0].key), "{captures:?}");
    // What was not done need not be looked up.
    assert!(outside.seen("calls").is_empty());
}

#[tokio::test]
async fn an_answer_that_is_lost_is_looked_up_and_nothing_is_done_twice() {
    let (outside, url) = Outside::open().await;
    outside.trouble("capture", [Trouble::AnswerLost]);
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    assert_eq!(status(&shop, &order).await, "shipped");
    assert_eq!((outside.seen("capture").len(), outside.done("capture")), (1, 1));
    let looked_up = outside.seen("calls");
    assert_eq!((looked_up.len(), &looked_up[0].key), (1, &outside.seen("capture")[0].key));
    assert_eq!(looked_up[0].path, outside.seen("capture")[0].path);
}

#[tokio::test]
async fn a_request_that_is_lost_is_unknown_to_the_other_side_and_made_again_under_its_key() {
    let (outside, url) = Outside::open().await;
    outside.trouble("authorize", [Trouble::RequestLost]);
    outside.trouble("shipments", [Trouble::RequestLost]);
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    assert_eq!(status(&shop, &order).await, "shipped");
    assert_eq!(outside.asked(), ["authorize", "calls", "authorize", "shipments", "shipments", "capture"]);
    for what in ["authorize", "shipments"] {
        let seen = outside.seen(what);
        assert_eq!((&seen[0].key, outside.done(what)), (&seen[1].key, 1));
    }
}

#[tokio::test]
async fn a_carrier_that_refuses_ends_the_order_and_the_money_is_let_go() {
    let (outside, url) = Outside::open().await;
    outside.trouble("shipments", [Trouble::Refused]);
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    assert_eq!(status(&shop, &order).await, "cancelled");
    assert_eq!((outside.done("void"), outside.done("capture")), (1, 0));
    assert_eq!(shop.get("/stock/TEA").await.body["available"], 100_000);
}

#[tokio::test]
async fn news_are_refused_if_they_fit_nothing_and_change_nothing_if_they_are_old() {
    let (_outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    let id = shipment(&shop, &order).await;
    let before = shop.app.position();
    told(&shop, &news("ship-nobody", "delivered")).await.refuses(404, "not_found", "ship-nobody");
    told(&shop, &news("", "delivered")).await.refuses(422, "bad_id", "shipmentId");
    for state in ["created", "unknown", "lost"] {
        told(&shop, &news(&id, state)).await.refuses(422, "bad_field", "state");
    }
    told(&shop, &news_of(&id, "delivered", "yesterday")).await.refuses(422, "bad_field", "at");
    told(&shop, &json!({})).await.refuses(422, "bad_field", "shipmentId");
    // Later than now by more than clocks differ, and before there was anything to bring.
    for at in ["2025-01-01T01:02:01Z", "9999-01-01T00:00:00Z", "2024-12-31T22:58:00Z", "-009999-01-02T01:59:59Z"] {
        told(&shop, &news_of(&id, "delivered", at)).await.refuses(422, "bad_time", "`at` is");
    }
    assert_eq!(shop.app.position(), before);

    for state in ["delivered", "delivered", "dispatched", "failed"] {
        assert_eq!(told(&shop, &news(&id, state)).await.status, 202);
    }
    shop.a_minute().await;
    assert_eq!(status(&shop, &order).await, "delivered");
    let life = ["opened", "created", "dispatched", "delivered"].map(|event| format!("shipping.{event}"));
    assert_eq!(shop.events(Position::START, &format!("shipment-{id}")), life);
}

#[tokio::test]
async fn news_that_are_not_signed_by_the_carrier_are_not_heard() {
    let (_outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    let id = shipment(&shop, &order).await;
    let before = shop.app.position();
    let body = news(&id, "delivered").to_string();
    let signed = secret().sign(body.as_bytes());
    let other = Secret::new(b"what somebody else thinks up").unwrap().sign(body.as_bytes());
    let send = async |header: &str, body: &str| {
        shop.send(Method::POST, "/carrier/news", Headers(&[("Carrier-Signature", header)]), body.to_owned()).await
    };
    shop.post("/carrier/news", &news(&id, "delivered")).await.refuses(401, "not_signed", "send Carrier-Signature");
    for (header, body) in [
        (other.as_str(), body.as_str()),
        ("", &body),
        (&signed[7..], &body),
        (&signed, &body.replace("delivered", "failed")),
        (&signed, &format!("{body} ")),
        // What is not signed is not read either.
        ("sha256=00", "{"),
    ] {
        send(header, body).await.refuses(401, "not_signed", "HMAC-SHA256 of the body");
    }
    assert_eq!(shop.app.position(), before);
    assert_eq!(send(&signed, &body).await.status, 202);
    shop.a_minute().await;
    assert_eq!(status(&shop, &order).await, "delivered");
}

#[tokio::test]
async fn without_a_carrier_nobody_can_bring_news() {
    let shop = Shop::open().await;
    let order = ordered(&shop).await;
    let id = shipment(&shop, &order).await;
    told(&shop, &news(&id, "delivered")).await.refuses(404, "no_such_path", "/carrier/news");
}

#[tokio::test]
async fn a_parcel_that_is_lost_on_its_way_is_an_event_and_is_shown() {
    let (_outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    let id = shipment(&shop, &order).await;
    assert_eq!(told(&shop, &news(&id, "failed")).await.status, 202);
    shop.a_minute().await;
    let life = ["opened", "created", "dispatched", "failed"].map(|event| format!("shipping.{event}"));
    assert_eq!(shop.events(Position::START, &format!("shipment-{id}")), life);
    let parcel = shop.get(&format!("/shipments/{id}")).await.body;
    assert_eq!((&parcel["status"], &parcel["reason"]), (&json!("lost"), &json!("lost")));
}

#[tokio::test]
async fn a_delivery_that_is_told_before_the_labels_answer_is_kept() {
    let (outside, url) = Outside::open().await;
    // The label is made, its answer is lost, and the next attempt has to wait.
    outside.trouble("shipments", [Trouble::AnswerLost]);
    let shop = Shop::calling(&url).await;
    let items = json!([{ "sku": "TEA", "quantity": 2 }]);
    let order = shop.post("/orders", &json!({ "items": items })).await.order();
    shop.app.rest().await.unwrap();
    let id = shipment(&shop, &order).await;
    assert_eq!(shop.get(&format!("/shipments/{id}")).await.body["status"], "opened");
    assert_eq!(told(&shop, &news(&id, "delivered")).await.status, 202);
    shop.a_minute().await;
    assert_eq!(status(&shop, &order).await, "delivered");
    let life = ["opened", "news_kept", "created", "dispatched", "delivered"].map(|event| format!("shipping.{event}"));
    assert_eq!(shop.events(Position::START, &format!("shipment-{id}")), life);
}

#[tokio::test]
async fn a_shipment_that_is_cancelled_is_dropped_by_the_carrier_also_after_hours() {
    let (outside, url) = Outside::open().await;
    // What became of the label is not known in time, so the order is given up; and the carrier stays away for long.
    outside.trouble("shipments", (0..20).map(|_| Trouble::AnswerLost));
    outside.trouble("cancel", (0..2_000).map(|_| Trouble::RequestLost));
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    shop.hours(1).await;
    assert_eq!(status(&shop, &order).await, "cancelled");
    let id = shipment(&shop, &order).await;
    assert_eq!(shop.get("/shipments?recall=open").await.body["items"][0]["shipmentId"], id);
    shop.days(3).await;
    let asked = outside.seen("cancel");
    assert_eq!((asked.len(), outside.done("cancel")), (2_001, 1));
    assert!(asked.iter().all(|seen| seen.key == asked[0].key && seen.path == id && seen.body == json!({})));
    let parcel = shop.get(&format!("/shipments/{id}")).await.body;
    assert_eq!((&parcel["status"], &parcel["recall"]), (&json!("cancelled"), &json!("done")));
    assert_eq!(shop.get("/shipments?recall=open").await.body["total"], 0);
}

#[tokio::test]
async fn a_carrier_that_does_not_drop_a_parcel_is_shown_and_asked_again_by_a_person() {
    let (outside, url) = Outside::open().await;
    outside.trouble("shipments", (0..20).map(|_| Trouble::AnswerLost));
    outside.trouble("cancel", [Trouble::Refused]);
    let shop = Shop::calling(&url).await;
    ordered(&shop).await;
    shop.hours(1).await;
    let parcel = shop.get("/shipments?recall=failed").await.body["items"][0].clone();
    assert_eq!((&parcel["status"], &parcel["recallReason"]), (&json!("cancelled"), &json!("card_declined")));
    assert_eq!(outside.done("cancel"), 0);
    let reasons = needs_person(&shop).await;
    assert!(reasons.contains("1 row of shipments needs a person") && reasons.contains("recall=failed"), "{reasons}");

    // Somebody has seen to it.
    let retry = format!("/shipments/{}/retry", parcel["shipmentId"].as_str().unwrap());
    assert_eq!(shop.post(&retry, &json!({})).await.status, 202);
    shop.app.rest().await.unwrap();
    let keys: BTreeSet<String> = outside.seen("cancel").into_iter().map(|seen| seen.key).collect();
    assert_eq!((outside.done("cancel"), keys.len()), (1, 2));
    assert_eq!(shop.get("/shipments?recall=failed").await.body["total"], 0);
    assert_eq!(needs_person(&shop).await, "");
    shop.post(&retry, &json!({})).await.refuses(409, "nothing_to_retry", "nothing of shipment");
    let order = ordered(&shop).await;
    let sent = format!("/shipments/{}/retry", shipment(&shop, &order).await);
    shop.post(&sent, &json!({})).await.refuses(409, "nothing_to_retry", "nothing of shipment");
    assert_eq!(status(&shop, &order).await, "shipped");
    shop.post("/shipments/ship-nobody/retry", &json!({})).await.refuses(404, "not_found", "ship-nobody");
}

#[tokio::test]
async fn a_parcel_that_was_brought_before_it_could_be_dropped_waits_for_nobody() {
    let (outside, url) = Outside::open().await;
    outside.trouble("shipments", (0..20).map(|_| Trouble::AnswerLost));
    outside.trouble("cancel", [Trouble::Refused]);
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    shop.hours(1).await;
    let id = shipment(&shop, &order).await;
    assert_eq!(shop.get("/shipments?recall=failed").await.body["total"], 1);
    let brought = json!({ "shipmentId": id, "state": "delivered", "at": shop.app.now() });
    assert_eq!(told(&shop, &brought).await.status, 202);
    shop.app.rest().await.unwrap();
    assert_eq!(shop.get("/shipments?recall=failed").await.body["total"], 0);
    let parcel = shop.get("/shipments?recall=too_late").await.body["items"][0].clone();
    assert_eq!((&parcel["shipmentId"], &parcel["status"]), (&json!(id), &json!("cancelled")));
    assert!(parcel["deliveredAt"].is_string());
    shop.post(&format!("/shipments/{id}/retry"), &json!({})).await.refuses(409, "nothing_to_retry", "nothing of");
}
