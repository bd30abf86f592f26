//! A shop with something of everything: orders at every stage, letters, plans, processes that wait.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request},
};
use factum::{App, Archive, http::encoded, prelude::*, stream::Position};
use fastrand::Rng;
use serde_json::{Value, json};
use shop::{
    check::check,
    contracts::catalog::ProductRegistered,
    services::{Options, equipped},
};
use tower::ServiceExt;

use super::routes::Case;
use crate::shop::{DAY, secret};

/// The beginning of the numbers of articles that the test's own service fails on.
const BROKEN: &str = "BROKEN";
/// That service's reaction: the only one that may have letters.
const LABEL: &str = "workshop.label";
/// Letters that are kept in store.
const LETTERS: usize = 4;
/// Bytes of an answer at most.
const LONGEST_ANSWER: usize = 4 << 20;

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn position(&self) -> Option<Position> {
        self.header("factum-position").rsplit(':').next()?.parse().ok().map(Position)
    }
}

pub struct World {
    pub app: App,
    pub router: Router,
    /// Ids that a route's path may name, by the path.
    ids: BTreeMap<&'static str, Vec<String>>,
    /// Plans that wait, with their hashes.
    pub plans: Vec<(String, String)>,
    broken: u32,
    days: u32,
}

fn label(event: &Recorded<'_, ProductRegistered>, _: &mut Effects) -> Result<(), HandlerError> {
    match event.sku.as_str().starts_with(BROKEN) {
        true => Err(HandlerError::failed("no label\r\n\u{1b}[2Jis printed")),
        false => Ok(()),
    }
}

/// Products as its view reads them: wrongly, so that it stops at the first.
#[derive(Clone, Debug, PartialEq, Event)]
#[event("product.registered")]
struct Misread {
    name: u32,
}

#[derive(Clone, Debug, PartialEq, Row)]
#[row("labels")]
struct LabelRow {
    #[key]
    name: u32,
}

fn labels(rows: &mut Rows<LabelRow>, event: &Recorded<Misread>) {
    rows.put(LabelRow { name: event.name });
}

fn start() -> Timestamp {
    "2025-01-01T00:00:00Z".parse().unwrap()
}

/// What is for sale, and for how much.
const GOODS: [(&str, &str); 3] = [("TEA", "2.55"), ("CUP", "0.135"), ("GOLD", "5000")];

/// A process that is asked for, and waits for a person, or for five days.
const KEEPING: &str = "
saga: keeping
steps:
  - inventory.reserve
  - { action: product.validate, reply: order.delivered, timeout: 5 days }
";

impl World {
    pub async fn open() -> Self {
        // The carrier is simulated, and its news have a route all the same.
        let carrier_secret = Some(secret());
        let options = Options { carrier_secret, declines: 0.1, hold_suspicious: true, day: DAY, ..Options::default() };
        let workshop =
            Service::new("workshop").owns("workshop").reaction(Reaction::new("label", label)).view(1, labels);
        let app = equipped(App::in_memory().on_data_time(), &options).with(workshop);
        let app = app.define("keeping.yaml", KEEPING).start().await.unwrap();
        app.advance(start());
        let router = factum::http::guarded(app.router());
        let (ids, plans) = (BTreeMap::new(), Vec::new());
        let mut world = Self { app, router, ids, plans, broken: 0, days: 0 };
        world.price().await;
        for sku in GOODS.map(|(sku, _)| sku) {
            world.sound(Method::POST, &format!("/stock/{sku}/receive"), &json!({ "quantity": 1_000_000 })).await;
        }
        // Whoever orders so often is looked at by a person, if it is much.
        for _ in 0..6 {
            let order = json!({ "customerId": "c-often", "items": [{ "sku": "CUP", "quantity": 2 }] });
            world.sound(Method::POST, "/orders", &order).await;
        }
        world.renew().await;
        world
    }

    /// What is drawn may have set any price.
    async fn price(&self) {
        for (sku, price) in GOODS {
            self.sound(Method::PUT, &format!("/products/{sku}"), &json!({ "name": sku, "price": price })).await;
        }
    }

    /// Does what must be possible.
    pub async fn sound(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path).body(body.to_string().into()).unwrap();
        let answer = self.send(request).await.unwrap();
        assert!((200..300).contains(&answer.status), "{path} {body}: {}", answer.body);
        self.app.rest().await.unwrap();
        answer
    }

    /// Sends a request; an answer of no end is none.
    pub async fn send(&self, request: Request<Body>) -> Result<Answer, String> {
        let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, LONGEST_ANSWER).await.map_err(|error| error.to_string())?.to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, bytes, body })
    }

    /// Reads what stands for a position.
    pub async fn get(&self, path: &str, at: Position) -> Answer {
        let at = format!("main:{}:{}", self.app.lineage().epoch, at.0);
        let request = Request::builder().uri(path).header("factum-position", at).body(Body::empty()).unwrap();
        self.send(request).await.unwrap()
    }

    async fn list(&self, path: &str) -> Value {
        let answer = self.get(path, self.app.position()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// An id that a path may name, as it stands there; now and then another.
    pub fn id(&self, path: &str, random: &mut Rng) -> String {
        let mut pools = self.ids.iter().filter(|(of, _)| path.starts_with(*of));
        // The one that fits best stands last, for it is the longest; now and then another is asked.
        let (_, ids) = if random.u8(..8) == 0 { pools.next() } else { pools.next_back() }.unwrap();
        encoded(random.choice(ids).map_or("none", String::as_str))
    }

    /// The first id that fits a path.
    pub fn first(&self, path: &str) -> String {
        let (_, ids) = self.ids.iter().rfind(|(of, _)| path.starts_with(**of)).unwrap();
        encoded(ids.first().map_or("none", String::as_str))
    }

    /// Lets a day pass, and looks at what there is.
    pub async fn renew(&mut self) {
        let letters = self.list("/factum/v1/letters").await;
        let there = letters["letters"].as_array().map_or(0, Vec::len);
        for _ in there..LETTERS {
            self.broken += 1;
            let path = format!("/products/{BROKEN}-{}", self.broken);
            self.sound(Method::PUT, &path, &json!({ "name": "x", "price": "1" })).await;
        }
        self.price().await;
        let gold = json!({ "customerId": "c-often", "items": [{ "sku": "GOLD", "quantity": 3 }] });
        self.sound(Method::POST, "/orders", &gold).await;
        let tea = json!({ "items": [{ "sku": "TEA", "quantity": 3 }, { "sku": "CUP", "quantity": 3 }] });
        self.sound(Method::POST, "/orders", &tea).await;
        for _ in 0..3 {
            let cart = self.sound(Method::POST, "/carts", &json!({ "customerId": "c-1" })).await;
            let items = format!("{}/items", cart.body["links"]["self"].as_str().unwrap());
            // What nobody takes off the shelves meanwhile.
            self.sound(Method::POST, &items, &json!({ "sku": "GOLD", "quantity": 1 })).await;
        }
        let plan = json!({ "act": "redrive", "query": { "consumer": LABEL }, "by": "mara" });
        self.sound(Method::POST, "/factum/v1/plans", &plan).await;
        if self.days.is_multiple_of(2) {
            self.app.rest_at(start() + self.days / 2 * DAY).await.unwrap();
        }
        self.days += 1;
        self.look().await;
    }

    async fn look(&mut self) {
        let of = |list: &Value, items: &str, id: &str| -> Vec<String> {
            let items = list[items].as_array().cloned().unwrap_or_default();
            items.iter().filter_map(|item| item[id].as_str().map(str::to_owned)).collect()
        };
        let orders = of(&self.list("/orders?size=12").await, "items", "orderId");
        let held = of(&self.list("/orders?status=held&size=5").await, "items", "orderId");
        let delivered = of(&self.list("/orders?status=delivered&size=5").await, "items", "orderId");
        let plans = self.list("/factum/v1/plans").await;
        self.plans = of(&plans, "plans", "id").into_iter().zip(of(&plans, "plans", "hash")).collect();
        let sagas = self.list("/factum/v1/sagas").await;
        let some = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        self.ids = BTreeMap::from([
            ("/products/", some(&["TEA", "CUP", "MUG", "MUG/2", "T\u{c9}"])),
            ("/stock/", some(&["TEA", "CUP", "MUG", "MUG/2", "T\u{c9}"])),
            ("/customers/", some(&["c-1", "c-2", "c-often", "c 3/\u{fc}"])),
            ("/analytics/customers/", some(&["c-1", "c-2", "c-often"])),
            ("/loyalty/", some(&["c-1", "c-2", "c-often"])),
            ("/orders/{id}/return", delivered),
            ("/orders/{id}/hold", held),
            ("/orders/", orders.clone()),
            ("/checks/", orders),
            ("/payments/", of(&self.list("/payments?size=20").await, "items", "paymentId")),
            ("/shipments/", of(&self.list("/shipments?size=20").await, "items", "shipmentId")),
            ("/carts/", of(&self.list("/carts?status=open&size=12").await, "items", "cartId")),
            ("/notifications/", of(&self.list("/notifications?size=20").await, "items", "notificationId")),
            ("/factum/v1/letters/", of(&self.list("/factum/v1/letters").await, "letters", "id")),
            ("/factum/v1/plans/", of(&plans, "plans", "id")),
            ("/factum/v1/sagas/", of(&sagas, "sagas", "sagaId")),
            ("/factum/v1/schedules/", some(&["loyalty.balances", "none.such"])),
            ("/factum/v1/groups/", some(&["none.such", "view:orders"])),
            ("/factum/v1/consumers/", some(&[LABEL, "order.order", "view:orders", "view:labels"])),
        ]);
    }

    /// What must be true whatever was asked: the shop is whole, has no letter of its own, and serves.
    pub async fn is_well(&mut self) {
        self.app.rest_at(start() + (self.days / 2 + 40) * DAY).await.unwrap();
        let findings = check(&Archive::of(self.app.reader())).unwrap();
        assert!(findings.is_well(), "{:#?}", findings.problems);
        let letters = self.list("/factum/v1/letters?limit=1000").await;
        let others = letters["letters"].as_array().unwrap().iter().filter(|letter| letter["consumer"] != LABEL);
        assert_eq!(others.count(), 0, "{letters:#}");
        let health = self.app.health();
        let views = health.views.iter().filter(|(table, _)| **table != "labels");
        assert!(views.into_iter().all(|(_, view)| view.stopped.is_none()), "{health:?}");
        for list in
            ["/products", "/customers", "/stock", "/orders", "/payments", "/shipments", "/notifications", "/carts"]
        {
            for page in 1.. {
                let rows = self.list(&format!("{list}?size=200&page={page}")).await;
                if rows["links"]["next"].is_null() {
                    break;
                }
            }
        }
        let tea = json!({ "name": "tea", "price": "2.55" });
        self.sound(Method::PUT, "/products/LAST", &tea).await;
        self.sound(Method::POST, "/stock/LAST/receive", &json!({ "quantity": 1 })).await;
        let order = self.sound(Method::POST, "/orders", &json!({ "items": [{ "sku": "LAST", "quantity": 1 }] })).await;
        assert!(!self.list(order.body["links"]["self"].as_str().unwrap()).await["status"].is_null());
        self.app.stop().await;
    }

    /// The request of a case.
    pub fn request(case: &Case) -> Option<Request<Body>> {
        let mut request = Request::builder().method(case.method.clone()).uri(&case.path);
        for (name, value) in &case.headers {
            request = request.header(*name, value.as_slice());
        }
        request.body(Body::from(case.body.clone())).ok()
    }
}
