//! A provider and a carrier that misbehave by seed, and customers who cancel and send back: in the end the provider's own book,
//! the carrier's own book and ours agree to the penny and the parcel.
//!
//! `make partners` runs the full numbers, `FACTUM_SEED=7` one seed of `FACTUM_ORDERS`.

mod books;
mod carrier;
mod desk;
mod provider;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::Method;
use factum::{By, http::client::Remote, letters, memory::Memory, prelude::*, sagas};
use serde_json::{Value, json};
use shop::{
    contracts::{order::OrderStatus, payment::PaymentAct},
    order::views::OrderRow,
    payment::views::PaymentRow,
    shipping::{
        signature::Secret,
        views::{RecallStatus, ShipmentRow, ShipmentStatus},
    },
};

use crate::shop::{Answer, Headers, Shop, secret, start};
use carrier::{Carrier, News};
use desk::{Desk, TIMEOUT, Whim, drawn};
use provider::Provider;

const STEP: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);
/// Longer than anything is asked for by itself.
const MOST_DAYS: u32 = 60;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// A shop between the two, and its customers.
struct Run {
    seed: u64,
    random: fastrand::Rng,
    log: Memory,
    shop: Shop,
    provider: Arc<Desk<Provider>>,
    carrier: Arc<Desk<Carrier>>,
    at: (Remote, Remote),
    now: Timestamp,
    placed: Vec<String>,
    /// Delivered orders whose customers have made up their minds.
    kept: BTreeSet<String>,
    /// What happened, and how often.
    tally: BTreeMap<String, u64>,
}

impl Run {
    async fn open(seed: u64, hours: u32) -> Self {
        let provider = Desk::new(seed, "provider", Provider::default(), start(), hours);
        let carrier = Desk::new(seed, "carrier", Carrier::new(seed), start(), hours);
        let at = (
            desk::serve(provider::router(provider.clone())).await,
            desk::serve(carrier::router(carrier.clone())).await,
        );
        let log = Memory::new();
        let shop = Shop::impatient(log.clone(), &at.0, &at.1, TIMEOUT).await.stock().await;
        let random = drawn(seed, &["customers"]);
        let (placed, kept, tally) = Default::default();
        let run = Self { seed, random, log, shop, provider, carrier, at, now: start(), placed, kept, tally };
        run.introduce();
        run
    }

    fn introduce(&self) {
        self.provider.open().app = Some(self.shop.app.clone());
        self.carrier.open().app = Some(self.shop.app.clone());
    }

    fn count(&mut self, what: &str) {
        *self.tally.entry(what.to_owned()).or_default() += 1;
    }

    /// It is stopped in the middle of what it does, and started again.
    async fn restart(&mut self) {
        self.shop.app.stop().await;
        self.shop = Shop::impatient(self.log.clone(), &self.at.0, &self.at.1, TIMEOUT).await;
        self.shop.app.advance(self.now);
        self.introduce();
        self.count("restarts");
    }

    async fn order(&mut self) {
        let number = self.placed.len();
        let items: Vec<Value> = [("TEA", self.random.u8(0..4)), ("CUP", self.random.u8(1..8))]
            .iter()
            .filter(|(_, quantity)| *quantity > 0)
            .map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity }))
            .collect();
        let address = json!({ "country": "GB", "city": "Hull" });
        let order = json!({ "customerId": format!("c-{number}"), "items": items, "shippingAddress": address });
        let key = format!("order-{}-{number}", self.seed);
        let order = self.shop.post_as(&key, "/orders", &order).await.order();
        self.placed.push(order);
    }

    /// One of the last orders is cancelled, if it is not too late.
    async fn cancel(&mut self) {
        let last = self.placed.len().saturating_sub(12)..self.placed.len();
        let order = self.placed[self.random.usize(last)].clone();
        let answer = self.shop.post(&format!("/orders/{order}/cancel"), &json!({})).await;
        assert!([202, 409].contains(&answer.status), "{answer:?}");
        self.count(if answer.status == 202 { "cancels taken" } else { "cancels too late" });
    }

    /// Customers order for a while, and give some orders up again.
    async fn order_some(&mut self, orders: usize) {
        for _ in 0..orders {
            self.order().await;
            if self.random.u8(..12) == 0 {
                self.cancel().await;
            }
        }
        // What can happen at once; the next attempts of calls wait.
        self.shop.app.rest().await.unwrap();
        self.carry().await;
        if !self.placed.is_empty() && orders > 0 && self.random.u8(..3) == 0 {
            self.cancel().await;
        }
    }

    async fn step(&mut self, by: Duration) {
        self.now += by;
        self.shop.until(self.now).await;
        self.carry().await;
        self.send_back().await;
    }

    /// The carrier collects and brings, and tells of it.
    async fn carry(&mut self) {
        let rows = self.shop.app.rows::<ShipmentRow>().after(self.shop.app.position());
        let ready = rows.equal("status", &ShipmentStatus::Dispatched).slice(0, 100_000).page().await.unwrap().rows;
        let ready: Vec<String> = ready.iter().map(|row| row.shipment_id.to_string()).collect();
        let now = self.shop.app.now();
        let told = {
            let mut carrier = self.carrier.open();
            carrier.catch_up(now);
            carrier.book.drive(&ready, now);
            carrier.book.told(now)
        };
        for news in told {
            if self.random.u8(..6) == 0 {
                self.forge(&news).await;
            }
            let body = json!({ "shipmentId": news.shipment, "state": news.state, "at": news.at }).to_string();
            let answer = self.hear(&body, Some(secret().sign(body.as_bytes()))).await;
            if answer.status == 503 {
                self.carrier.open().book.tell_at(now + STEP, news);
                continue;
            }
            assert_eq!(answer.status, 202, "seed {}: {news:?} is answered {answer:?}", self.seed);
            self.count("news");
        }
    }

    async fn hear(&self, body: &str, signature: Option<String>) -> Answer {
        let headers: Vec<(&str, &str)> =
            signature.iter().map(|signature| ("Carrier-Signature", signature.as_str())).collect();
        self.shop.send(Method::POST, "/carrier/news", Headers(&headers), body.to_owned()).await
    }

    /// Somebody else brings news of a parcel, or the carrier such as cannot be: it is refused, and changes nothing.
    async fn forge(&mut self, news: &News) {
        self.shop.app.rest().await.unwrap();
        let before = self.shop.app.position();
        let body = |shipment: &str, state: &str, at: &str| {
            json!({ "shipmentId": shipment, "state": state, "at": at }).to_string()
        };
        let state = ["delivered", "failed"][self.random.usize(..2)];
        let (id, at) = (news.shipment.as_str(), news.at.to_string());
        let ahead = (self.shop.app.now() + 2 * HOUR).to_string();
        let mine = |body: String| {
            let signature = secret().sign(body.as_bytes());
            (body, Some(signature))
        };
        let theirs = Secret::new(b"what somebody else thinks up").unwrap();
        let plain = body(id, state, &at);
        let ((body, signature), status) = match self.random.u8(..7) {
            0 => ((plain, None), 401),
            1 => ((plain.clone(), Some(theirs.sign(plain.as_bytes()))), 401),
            2 => ((plain, mine(body(id, "dispatched", &at)).1), 401),
            3 => (mine(body(id, state, &ahead)), 422),
            4 => (mine(body(id, state, "9999-12-30T00:00:00Z")), 422),
            5 => (mine(body(id, state, "1970-01-01T00:00:00Z")), 422),
            _ => (mine(body(&format!("{id}x"), state, &at)), 404),
        };
        let answer = self.hear(&body, signature).await;
        assert_eq!((answer.status, self.shop.app.position()), (status, before), "{body}: {answer:?}");
        self.count("forged news");
    }

    /// Some of those whose orders have come send some of it back.
    async fn send_back(&mut self) {
        let rows = self.shop.app.rows::<OrderRow>().after(self.shop.app.position());
        let delivered = rows.equal("status", &OrderStatus::Delivered).slice(0, 100_000).page().await.unwrap().rows;
        for order in delivered {
            let id = order.order_id.to_string();
            if !self.kept.insert(id.clone()) {
                continue;
            }
            let path = format!("/orders/{id}/return");
            let one = json!({ "items": [{ "sku": "CUP", "quantity": 1 }] });
            let answers = match self.random.u8(..16) {
                0 | 1 => vec![self.shop.post(&path, &one).await],
                2 if order.item_count > 8 => {
                    let (one, two) = tokio::join!(self.shop.post(&path, &one), self.shop.post(&path, &one));
                    vec![one, two]
                }
                3 => {
                    let view = self.shop.get(&format!("/orders/{id}")).await.body;
                    vec![self.shop.post(&path, &json!({ "items": all(&view) })).await]
                }
                _ => vec![],
            };
            for answer in answers {
                assert_eq!(answer.status, 202, "{answer:?}");
                self.count("returns");
            }
        }
    }

    /// What the provider and the carrier have refused, persons have asked again once they have seen to it.
    async fn see_to_it(&mut self) {
        for act in [PaymentAct::Void, PaymentAct::Refund] {
            let rows = self.shop.app.rows::<PaymentRow>().after(self.shop.app.position());
            for row in rows.equal("open", &act).slice(0, 100_000).page().await.unwrap().rows {
                let refused = row.open_refunds.iter().filter(|(_, open)| open.refused.is_some());
                let mut wanted: Vec<Value> = refused.map(|(refund, _)| json!({ "refundId": refund })).collect();
                if act == PaymentAct::Void && row.refused.is_some() {
                    wanted.push(json!({}));
                }
                for wanted in wanted {
                    let answer = self.shop.post(&format!("/payments/{}/retry", row.payment_id), &wanted).await;
                    assert_eq!(answer.status, 202, "{answer:?}");
                    self.count("payments retried by a person");
                }
            }
        }
        let by = By::new("mara", "seen to it with them");
        let letters = self.shop.app.letters().list(letters::Query::default()).await.unwrap().letters;
        assert!(letters.is_empty(), "seed {}: {}", self.seed, json!(letters));
        let query = sagas::Query { status: Some("needs_attention".to_owned()), ..Default::default() };
        for instance in self.shop.app.sagas().list(query).await.unwrap().sagas {
            self.shop.app.sagas().retry(&instance.saga_id, None, &by).await.unwrap();
            self.count("sagas retried by a person");
        }
        self.recall_again().await;
    }

    async fn recall_again(&mut self) {
        for row in self.recalls(RecallStatus::Failed).await {
            let answer = self.shop.post(&format!("/shipments/{}/retry", row.shipment_id), &json!({})).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            self.count("recalls retried by a person");
        }
    }

    async fn recalls(&self, status: RecallStatus) -> Vec<ShipmentRow> {
        let rows = self.shop.app.rows::<ShipmentRow>().after(self.shop.app.position());
        rows.equal("recall", &status).slice(0, 100_000).page().await.unwrap().rows
    }

    /// Whether nobody has anything left to do.
    async fn is_done(&mut self) -> bool {
        self.shop.app.rest().await.unwrap();
        let unseen = !self.recalls(RecallStatus::Failed).await.is_empty();
        let late = !self.provider.open().catch_up(self.now) | !self.carrier.open().catch_up(self.now);
        let findings = shop::check::check(&factum::Archive::of(self.shop.app.reader())).unwrap();
        let open = findings.orders_under_way + findings.sagas_under_way + findings.open_payments;
        let recalling = !self.recalls(RecallStatus::Open).await.is_empty();
        open == 0 && !unseen && !recalling && !late && self.carrier.open().book.is_done()
    }

    /// Everything comes to its end.
    async fn settle(&mut self) {
        for _ in 0..MOST_DAYS {
            self.see_to_it().await;
            for _ in 0..4 {
                self.step(6 * HOUR).await;
            }
            if self.is_done().await {
                return;
            }
        }
        let findings = shop::check::check(&factum::Archive::of(self.shop.app.reader())).unwrap();
        assert_eq!(findings.problems, Vec::<String>::new(), "seed {}: after {MOST_DAYS} days", self.seed);
        assert!(self.is_done().await, "seed {}: something is open after {MOST_DAYS} days: {findings:?}", self.seed);
    }
}

/// All items of an order.
fn all(view: &Value) -> Vec<Value> {
    let items = view["items"].as_array().unwrap().iter();
    items.map(|item| json!({ "sku": item["sku"], "quantity": item["quantity"] })).collect()
}

/// Orders for some hours, then everything to its end. What happened, and how often.
async fn misbehave(seed: u64, orders: usize) -> BTreeMap<String, u64> {
    let hours = 12 + u32::try_from(orders).unwrap() / 100;
    let mut run = Run::open(seed, hours).await;
    let steps = 6 * hours as usize;
    for step in 0..steps {
        let until = orders * (step + 1) / steps;
        run.order_some(until - run.placed.len()).await;
        if step == steps / 3 || step == steps / 2 {
            run.restart().await;
        }
        run.step(STEP).await;
        if step % 36 == 35 {
            run.see_to_it().await;
        }
    }
    run.settle().await;
    let found = books::differences(&run).await;
    assert!(found.is_empty(), "seed {seed}: {} differences:\n{}", found.len(), found[..found.len().min(10)].join("\n"));
    let (provider, carrier) = (run.provider.open(), run.carrier.open());
    for (name, met) in [("provider", &provider.met), ("carrier", &carrier.met)] {
        for (whim, times) in met {
            *run.tally.entry(format!("{name} {whim:?}")).or_default() += times;
            *run.tally.entry("requests".to_owned()).or_default() += times;
        }
    }
    run.tally
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_a_provider_and_a_carrier_who_misbehave_agree_with_ours() {
    let seeds = match number("FACTUM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FACTUM_SEEDS").unwrap_or(2),
    };
    let orders = number("FACTUM_ORDERS").unwrap_or(200) as usize;
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for seed in seeds.clone() {
        let begun = Instant::now();
        let tally = misbehave(seed, orders).await;
        println!("seed {seed}: {orders} orders, {} requests, {:?}", tally["requests"], begun.elapsed());
        tally.into_iter().for_each(|(what, times)| *all.entry(what).or_default() += times);
    }
    println!("{} seeds of {orders} orders: {all:#?}", seeds.end - seeds.start);
    if seeds.end - seeds.start < 2 {
        return;
    }
    let whims = [Whim::Late, Whim::AnswerLost, Whim::RequestLost, Whim::UnderWay, Whim::Away, Whim::Refuses];
    let of_both = whims.iter().flat_map(|whim| ["provider", "carrier"].map(|name| format!("{name} {whim:?}")));
    let others = ["provider Hangs", "forged news", "returns", "cancels taken", "cancels too late"];
    for what in of_both.chain(others.map(str::to_owned)) {
        assert!(all.contains_key(&what), "{what} never happened: {all:?}");
    }
}
