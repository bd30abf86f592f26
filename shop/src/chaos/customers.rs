//! Customers who order, cancel and send back, over a line that they do not trust.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use factum::chaos::{Client, Rng, Tally, drawn, knock};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

/// Customers at once.
const AT_ONCE: usize = 32;
/// One request in so many is followed by poison at the door, one order in so many is cancelled, and one delivered order in so
/// many sent back.
const KNOCKS: u64 = 20;
const CANCELS: u8 = 12;
const RETURNS: u8 = 8;
/// What there is to buy.
pub const ARTICLES: [(&str, &str); 2] = [("TEA", "2.55"), ("CUP", "1.25")];

/// See the module.
pub struct Customers {
    seed: u64,
    client: Client,
    tally: Tally,
    /// Orders that were acknowledged, by the customer's number.
    placed: Mutex<BTreeMap<u64, String>>,
    done: AtomicU64,
    problems: Mutex<Vec<String>>,
}

impl Customers {
    /// Customers who reach the shop by `client`.
    pub fn new(seed: u64, client: Client, tally: &Tally) -> Self {
        let (placed, done, problems) = Default::default();
        Self { seed, client, tally: tally.clone(), placed, done, problems }
    }

    fn draw(&self, what: &str, nth: u64) -> Rng {
        drawn(self.seed, &["customer", what, &nth.to_string()])
    }

    /// How they reach the shop.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What was acknowledged.
    pub fn placed(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many have ordered.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What they were answered that cannot be.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, happened: Result<(), String>) {
        if let Err(problem) = happened {
            self.problems.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
        }
    }

    /// Fills the shelves.
    ///
    /// # Errors
    /// The shop does not take it.
    pub async fn stock(&self, pieces: u64) -> Result<(), String> {
        for (sku, price) in ARTICLES {
            let product = json!({ "name": sku, "price": price }).to_string();
            let answer = self.client.put(&format!("/products/{sku}"), &product).await?;
            expect(answer.status, &[200, 201, 202], "a product", &answer.body)?;
            let received = json!({ "quantity": pieces }).to_string();
            let path = format!("/stock/{sku}/receive");
            let answer = self.client.post(&path, &format!("stock-{sku}"), &[], &received).await?;
            expect(answer.status, &[200, 202], "stock", &answer.body)?;
        }
        Ok(())
    }

    /// So many order, some at once; `tell` hears how many have.
    pub async fn order(&self, orders: u64, tell: &(dyn Fn(u64) + Sync)) {
        stream::iter(0..orders)
            .map(|nth| async move {
                self.note(self.one(nth).await);
                tell(self.done.fetch_add(1, Ordering::Relaxed) + 1);
            })
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    }

    async fn one(&self, nth: u64) -> Result<(), String> {
        let mut random = self.draw("order", nth);
        let [tea, cups] = [random.u8(1..4), random.u8(1..8)];
        let items = json!([{ "sku": "TEA", "quantity": tea }, { "sku": "CUP", "quantity": cups }]);
        let address = json!({ "country": "GB", "city": "Hull" });
        let order = json!({ "customerId": format!("c-{nth}"), "items": items, "shippingAddress": address });
        let key = format!("order-{}-{nth}", self.seed);
        let answer = self.client.post("/orders", &key, &[], &order.to_string()).await?;
        expect(answer.status, &[202], "an order", &answer.body)?;
        let id = answer.body["orderId"].as_str().ok_or("an order is answered without its id")?.to_owned();
        self.placed().insert(nth, id.clone());
        if random.u8(..CANCELS) == 0 {
            let answer = self.client.post(&format!("/orders/{id}/cancel"), &format!("cancel-{id}"), &[], "{}").await?;
            expect(answer.status, &[202, 409], "a cancellation", &answer.body)?;
            self.tally.met("cancelled by its customer", if answer.status == 202 { "in time" } else { "too late" });
        }
        if nth.is_multiple_of(KNOCKS) {
            knock(&self.client, self.seed, nth, &self.tally).await?;
        }
        Ok(())
    }

    /// Some of those whose orders have come send a piece back, some of them twice.
    pub async fn send_back(&self, delivered: Vec<String>) {
        stream::iter(delivered)
            .map(|order| async move { self.note(self.one_back(&order).await) })
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    }

    async fn one_back(&self, order: &str) -> Result<(), String> {
        let mut random = drawn(self.seed, &["return", order]);
        if random.u8(..RETURNS) != 0 {
            return Ok(());
        }
        let (path, body) = (format!("/orders/{order}/return"), json!({ "items": [{ "sku": "TEA", "quantity": 1 }] }));
        for key in [format!("return-{order}"), format!("return-{order}-again")].iter().take(1 + random.usize(..2)) {
            let answer = self.client.post(&path, key, &[], &body.to_string()).await?;
            // There may have been one piece only.
            expect(answer.status, &[202, 409, 422], "a return", &answer.body)?;
            self.tally.met("sent back", if answer.status == 202 { "taken" } else { "more than was bought" });
        }
        Ok(())
    }
}

fn expect(status: u16, wanted: &[u16], what: &str, body: &Value) -> Result<(), String> {
    match wanted.contains(&status) {
        true => Ok(()),
        false => Err(format!("{what} is answered {status}: {body}")),
    }
}
