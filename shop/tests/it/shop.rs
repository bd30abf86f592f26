//! A shop in memory behind its router: what is asked over HTTP, what is answered, and which events follow.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request},
};
use factum::{
    AppBuilder, envelope::Kind, http::client::Remote, memory::Memory, ports::Scan, prelude::*, stream::Position,
};
use serde_json::{Value, json};
use shop::{
    contracts::process::Process,
    loyalty::reactions::Policy,
    notification::gateway::Channels,
    partners,
    services::{Options, equipped, services},
    shipping::signature::Secret,
};
use std::time::Duration;
use tower::ServiceExt;

/// The carrier's day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// A shop whose clock stands still until it is moved.
pub struct Shop {
    pub app: App,
    router: Router,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// It is a problem with this status and code, and says this.
    #[track_caller]
    pub fn refuses(&self, status: u16, code: &str, says: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        let detail = self.body["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{detail}");
    }

    /// The id of the order that it accepts.
    #[track_caller]
    pub fn order(&self) -> String {
        assert_eq!(self.status, 202, "{self:?}");
        self.body["orderId"].as_str().unwrap().to_owned()
    }
}

/// What a request has besides path and body.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a>(pub &'a [(&'a str, &'a str)]);

impl Shop {
    /// Tea at 2.55 and cups at 0.135, a hundred thousand of each.
    pub async fn open() -> Self {
        Self::stocked(Memory::new()).await
    }

    /// The same, over a log that outlives it.
    pub async fn stocked(log: Memory) -> Self {
        Self::over(log).await.stock().await
    }

    /// The same, with the payment provider and the carrier at an address.
    pub async fn calling(outside: &Remote) -> Self {
        let (provider, carrier) = (Some(outside.clone()), Some(outside.clone()));
        Self::run(Memory::new(), &Options { provider, carrier, carrier_secret: Some(secret()), ..simulated() })
            .await
            .stock()
            .await
    }

    /// The same without a saga; with provider and carrier at an address, or simulated.
    pub async fn choreographed(outside: Option<&Remote>) -> Self {
        let (provider, carrier) = (outside.cloned(), outside.cloned());
        let carrier_secret = outside.map(|_| secret());
        let process = Process::Choreographed;
        Self::run(Memory::new(), &Options { provider, carrier, carrier_secret, process, ..simulated() })
            .await
            .stock()
            .await
    }

    /// The same, with notifications brought by others.
    pub async fn telling(channels: Channels) -> Self {
        Self::run(Memory::new(), &Options { channels, ..simulated() }).await.stock().await
    }

    /// The same, on the time of the world; the carrier's day takes a millisecond.
    pub async fn live(channels: Channels) -> Self {
        let options = Options { channels, day: Duration::from_millis(1), ..simulated() };
        let app = equipped(App::in_memory(), &options).start().await.unwrap();
        let router = factum::http::guarded(app.router());
        Self { app, router }.stock().await
    }

    pub async fn stock(self) -> Self {
        for (sku, price) in [("TEA", "2.55"), ("CUP", "0.135")] {
            let product = json!({ "name": sku.to_lowercase(), "price": price });
            assert_eq!(self.put(&format!("/products/{sku}"), &product).await.status, 200);
            let stock = json!({ "quantity": 100_000 });
            assert_eq!(self.post(&format!("/stock/{sku}/receive"), &stock).await.status, 200);
        }
        self.app.rest().await.unwrap();
        self
    }

    /// A shop over what a log holds.
    pub async fn over(log: Memory) -> Self {
        Self::run(log, &simulated()).await
    }

    /// A shop over what a log holds, whose provider and carrier have so long to answer.
    pub async fn impatient(log: Memory, provider: &Remote, carrier: &Remote, timeout: Duration) -> Self {
        let (provider, carrier) = (Some(provider.clone()), Some(carrier.clone()));
        let options =
            Options { provider, carrier, carrier_secret: Some(secret()), answer_within: timeout, ..simulated() };
        Self::of(log, services(&options)).await
    }

    /// A shop in which customers get their points when they have paid.
    pub async fn points_when_paid() -> Self {
        Self::run(Memory::new(), &Options { points: Policy::Paid, ..simulated() }).await.stock().await
    }

    /// A shop that lacks these services, over what a log holds.
    pub async fn lacking(log: Memory, names: &[&str]) -> Self {
        let services = services(&simulated()).into_iter().filter(|service| !names.contains(&&*service.name));
        Self::of(log, services.collect()).await
    }

    /// A shop of these services, over what a log holds.
    pub async fn of(log: Memory, services: Vec<Service>) -> Self {
        let app = App::over(log).on_data_time().with(partners::service());
        Self::start(services.into_iter().fold(app, AppBuilder::with)).await
    }

    async fn run(log: Memory, options: &Options) -> Self {
        Self::start(equipped(App::over(log).on_data_time(), options)).await
    }

    /// The shop that an app is.
    pub async fn start(app: AppBuilder) -> Self {
        let app = app.start().await.unwrap();
        app.advance(start());
        let router = factum::http::guarded(app.router());
        Self { app, router }
    }

    /// Sends a request as it is.
    pub async fn send(&self, method: Method, path: &str, headers: Headers<'_>, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers.0 {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Reads what stands for everything that has happened.
    pub async fn get(&self, path: &str) -> Answer {
        let now = format!("main:{}:{}", self.app.lineage().epoch, self.app.position().0);
        self.send(Method::GET, path, Headers(&[("factum-position", &now)]), Body::empty()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Headers::default(), body.to_string()).await
    }

    /// Posts, seeing everything that has happened.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let now = format!("main:{}:{}", self.app.lineage().epoch, self.app.position().0);
        self.send(Method::POST, path, Headers(&[("factum-position", &now)]), body.to_string()).await
    }

    /// Posts under a key.
    pub async fn post_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Headers(&[("idempotency-key", key)]), body.to_string()).await
    }

    /// Lets everything happen that follows until a time.
    pub async fn until(&self, to: Timestamp) {
        self.app.rest_at(to).await.unwrap();
    }

    /// Lets everything happen that follows within a minute, such as the next attempts of calls.
    pub async fn a_minute(&self) {
        self.app.rest_at(start() + Duration::from_secs(60)).await.unwrap();
    }

    /// Lets everything happen that follows within so many hours.
    pub async fn hours(&self, hours: u32) {
        self.app.rest_at(start() + hours * Duration::from_secs(3_600)).await.unwrap();
    }

    /// Lets everything happen that follows, while so many of the carrier's days pass.
    pub async fn days(&self, days: u32) {
        self.app.rest_at(start() + days * DAY).await.unwrap();
    }

    /// Types of the events after a position, those of one stream.
    pub fn events(&self, after: Position, stream: &str) -> Vec<String> {
        let scan = Scan { after, until: self.app.position(), bytes: usize::MAX, types: None };
        let messages = self.app.reader().scan(&scan).unwrap().messages;
        let events = messages.iter().filter(|stored| stored.message.envelope.kind == Kind::Event);
        let of_stream = events.filter(|stored| stored.stream.as_str() == stream);
        of_stream.map(|stored| stored.type_name().to_owned()).collect()
    }

    /// Places an order that ends delivered.
    pub async fn delivered(&self, items: &Value) -> String {
        let order = self.post("/orders", &json!({ "customerId": "c-1", "items": items })).await.order();
        self.days(6).await;
        assert_eq!(self.get(&format!("/orders/{order}")).await.body["status"], "delivered");
        order
    }
}

/// What the carrier signs with.
pub fn secret() -> Secret {
    Secret::new(b"what only the two know").unwrap()
}

/// Nothing outside the process.
pub fn simulated() -> Options {
    let (declines, latency) = (0.0, Duration::ZERO);
    Options { declines, hold_suspicious: true, day: DAY, latency, ..Options::default() }
}

/// Where its clock begins.
pub fn start() -> Timestamp {
    "2025-01-01T00:00:00Z".parse().unwrap()
}
