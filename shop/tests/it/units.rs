//! The shop as eleven units, each with its own log, and a broker between them: an order lives there as it does in one.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Method, Request},
};
use factum::{
    App, AppBuilder, Broker, Status,
    envelope::Kind,
    memory::Memory,
    ports::Scan,
    prelude::Service,
    stream::{Position, StreamId, StreamVersion},
};
use serde_json::{Value, json};
use shop::{
    contracts::spellings::spellings,
    services::{Options, services},
};
use tower::ServiceExt;

/// How long anything may take here.
const LONG: Duration = Duration::from_secs(60);

fn options() -> Options {
    // No step of an order gives up while a unit is away.
    Options { day: Duration::from_millis(1), patience: Duration::from_secs(600), ..Options::default() }
}

/// The shop, unit by unit; each is called as its service.
struct Units {
    broker: Broker,
    options: Options,
    apps: BTreeMap<String, (App, Router)>,
    logs: BTreeMap<String, Memory>,
}

impl Units {
    async fn open(options: Options) -> Self {
        Self::over(Broker::in_memory().lanes(4), options).await
    }

    async fn over(broker: Broker, options: Options) -> Self {
        let names: Vec<String> = services(&options).iter().map(|service| service.name.to_string()).collect();
        let logs = names.iter().map(|name| (name.clone(), Memory::new())).collect();
        let mut units = Self { broker, options, apps: BTreeMap::new(), logs };
        for name in names {
            units.start(&name).await;
        }
        units
    }

    async fn start(&mut self, name: &str) {
        let (own, others): (Vec<Service>, _) =
            services(&self.options).into_iter().partition(|service| *service.name == *name);
        let app = App::over(self.logs[name].clone()).spellings(spellings());
        let app = own.into_iter().fold(app, AppBuilder::with).unit(name, &self.broker, others).start().await.unwrap();
        let router = factum::http::guarded(app.router());
        self.apps.insert(name.to_owned(), (app, router));
    }

    async fn stop(&mut self, name: &str) {
        let (app, _) = self.apps.remove(name).unwrap();
        app.stop().await;
    }

    fn app(&self, name: &str) -> &App {
        &self.apps[name].0
    }

    async fn ask(&self, unit: &str, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header("host", "localhost").body(Body::from(body.to_string())).unwrap();
        let answer = self.apps[unit].1.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn get(&self, unit: &str, path: &str) -> Value {
        self.ask(unit, Method::GET, path, &Value::Null).await.1
    }

    /// What a unit has taken in of others.
    fn taken(&self, unit: &str) -> u64 {
        self.app(unit).health().between.unwrap().taken
    }

    /// An article, once the order's unit has heard of it: prices are its own replica's.
    async fn stock(&self, sku: &str, quantity: u32) {
        let product = json!({ "name": sku.to_lowercase(), "price": "2.55" });
        let before = self.taken("order");
        assert_eq!(self.ask("catalog", Method::PUT, &format!("/products/{sku}"), &product).await.0, 200);
        self.until("order", "/health", |_| self.taken("order") > before).await;
        let stock = json!({ "quantity": quantity });
        assert_eq!(self.ask("inventory", Method::POST, &format!("/stock/{sku}/receive"), &stock).await.0, 200);
    }

    /// Ann, who can be reached by mail.
    async fn ann(&self) {
        let ann = json!({ "name": "Ann", "email": "ann@b.example" });
        assert_eq!(self.ask("customer", Method::PUT, "/customers/ann", &ann).await.0, 200);
    }

    async fn place(&self, sku: &str, quantity: u32) -> String {
        let items = json!([{ "sku": sku, "quantity": quantity }]);
        let order = json!({ "customerId": "ann", "items": items, "shippingAddress": { "country": "GB" } });
        let (status, body) = self.ask("order", Method::POST, "/orders", &order).await;
        assert_eq!(status, 202, "{body}");
        body["orderId"].as_str().unwrap().to_owned()
    }

    /// Waits until what one unit shows at a path is so.
    async fn until(&self, unit: &str, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut shown = Value::Null;
        let found = tokio::time::timeout(LONG, async {
            loop {
                shown = self.get(unit, path).await;
                if is_so(&shown) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(found.await.is_ok(), "{path} of {unit} stays {shown}\n{:#?}", self.health());
        shown
    }

    async fn ends(&self, order: &str, status: &str) -> Value {
        self.until("order", &format!("/orders/{order}"), |view| view["status"] == status).await
    }

    fn health(&self) -> Vec<(&str, Status, Vec<String>)> {
        self.apps.iter().map(|(name, (app, _))| (&**name, app.health().status, app.health().reasons)).collect()
    }

    /// Types of the events of a stream where it is at home.
    fn events(&self, unit: &str, stream: &str) -> Vec<String> {
        let stored = self.app(unit).reader().stream(&StreamId::parse(stream).unwrap(), StreamVersion(0)).unwrap();
        let events = stored.iter().filter(|stored| stored.envelope().kind == Kind::Event);
        events.map(|stored| stored.type_name().to_owned()).collect()
    }

    /// No unit waits for a person, and none is behind another.
    fn are_well(&self) {
        for (name, status, reasons) in self.health() {
            assert_eq!(status, Status::Ok, "{name}: {reasons:?}");
            let between = self.app(name).health().between.unwrap();
            assert!(
                between.lanes.is_empty() && between.waits.is_none() && between.relay.waits.is_none(),
                "{between:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eleven_units_run_an_order_as_one_does() {
    let units = Units::open(options()).await;
    units.stock("TEA", 1_000).await;
    units.ann().await;
    let order = units.place("TEA", 2).await;
    let view = units.ends(&order, "delivered").await;
    assert!(view["trackingNumber"].is_string(), "{view}");
    let life = [
        "created",
        "validated",
        "stock_reserved",
        "confirmed",
        "paid",
        "released_for_shipping",
        "shipped",
        "delivered",
    ];
    assert_eq!(units.events("order", &format!("order-{order}")), life.map(|event| format!("order.{event}")));
    // Each room knows its own part of it.
    let payment = units.until("payment", &format!("/payments?order={order}"), |page| page["total"] == 1).await;
    assert_eq!(payment["items"][0]["status"], "captured");
    units
        .until("shipping", &format!("/shipments?order={order}"), |page| page["items"][0]["status"] == "delivered")
        .await;
    units.until("inventory", "/stock/TEA", |stock| stock["available"] == 998).await;
    units.until("loyalty", "/loyalty/ann", |points| points["balance"].as_i64() > Some(0)).await;
    units
        .until("notification", &format!("/notifications?order={order}"), |page| page["total"].as_u64() > Some(1))
        .await;
    // What stands in one log only is not in another: the order's unit holds replicas of what it reads, and nobody's private events.
    let scan = Scan { after: Position::START, until: Position(u64::MAX), bytes: usize::MAX, types: None };
    let held = units.app("notification").reader().scan(&scan).unwrap().messages;
    assert!(held.iter().any(|stored| stored.type_name() == "order.created"));
    assert!(!held.iter().any(|stored| stored.type_name().starts_with("fulfilment.")));
    units.are_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_unit_refuses_is_undone_in_the_others() {
    let units = Units::open(Options { declines: 1.0, ..options() }).await;
    units.stock("TEA", 10).await;
    // Declined: the stock that was reserved is free again.
    let order = units.place("TEA", 4).await;
    let view = units.ends(&order, "cancelled").await;
    assert_eq!(view["reason"], "payment_failed", "{view}");
    units.until("inventory", "/stock/TEA", |stock| stock["available"] == 10).await;
    // More than there is, of an article that nobody knows.
    let unknown = units.place("NOPE", 1).await;
    units.ends(&unknown, "rejected").await;
    let much = units.place("TEA", 11).await;
    let view = units.ends(&much, "cancelled").await;
    assert_eq!(view["reason"], "out_of_stock", "{view}");
    units.are_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_is_away_stops_no_sale_and_follows_when_it_is_back() {
    let mut units = Units::open(options()).await;
    units.stock("TEA", 1_000).await;
    units.ann().await;
    units.until("notification", "/health", |health| health["between"]["taken"].as_u64() > Some(0)).await;
    for away in ["notification", "loyalty", "analytics", "shipping"] {
        units.stop(away).await;
        let order = units.place("TEA", 1).await;
        match away {
            // Its money is held, and it waits for who ships it.
            "shipping" => {
                let held = |page: &Value| page["items"][0]["status"] == "authorized";
                units.until("payment", &format!("/payments?order={order}"), held).await;
            }
            _ => _ = units.ends(&order, "delivered").await,
        }
        units.start(away).await;
        units.ends(&order, "delivered").await;
        let path = format!("/notifications?order={order}");
        let sent = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() > 1);
        units.until("notification", &path, sent).await;
    }
    units.are_well();
}

/// One that has just begun may not answer yet.
fn kafka(broker: &factum_testing::engines::kafka::Broker) -> Broker {
    let begun = std::time::Instant::now();
    loop {
        match Broker::open(&format!("kafka://{}", broker.address())) {
            Ok(kafka) => return kafka.lanes(2),
            Err(error) => assert!(begun.elapsed() < LONG, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_kafka_orders_outlive_a_broker_that_is_killed() {
    let mut server = match factum_testing::engines::kafka::Broker::start() {
        Ok(server) => server,
        Err(why) => return eprintln!("left out: {why}"),
    };
    let units = Units::over(kafka(&server), options()).await;
    units.stock("TEA", 1_000).await;
    units.ann().await;
    let mut orders = vec![units.place("TEA", 1).await];
    units.ends(&orders[0], "delivered").await;
    for number in 0..10 {
        orders.push(units.place("TEA", 1).await);
        if number == 4 {
            server.kill();
        }
    }
    // They are accepted all the same, and health says what waits.
    units.until("order", "/health", |health| health["status"] == "degraded").await;
    server.go_on().unwrap();
    for order in &orders {
        units.ends(order, "delivered").await;
    }
    units.until("inventory", "/stock/TEA", |stock| stock["available"] == 989).await;
    units.until("order", "/health", |health| health["status"] == "ok").await;
    units.are_well();
}
