//! Somebody who looks at orders all the time, whatever happens to the shop, and remembers what was shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use factum::chaos::{Client, drawn};
use tokio::time::sleep;

use super::customers::Customers;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(5);

/// The states in which each order was seen.
#[derive(Clone, Default)]
pub struct Onlooker(Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>);

impl Onlooker {
    /// Looks at one placed order after the other, the newest more often.
    pub async fn look(self, customers: Arc<Customers>, client: Client, seed: u64) {
        let mut random = drawn(seed, &["onlooker"]);
        loop {
            sleep(EVERY).await;
            let order = {
                let placed = customers.placed();
                let most = if random.bool() { placed.len() } else { placed.len().min(64) };
                let nth = placed.len().saturating_sub(1 + random.usize(..most.max(1)));
                placed.values().nth(nth).cloned()
            };
            let Some(order) = order else { continue };
            // While the shop is away nothing is seen.
            if let Ok(answer) = client.get(&format!("/orders/{order}")).await
                && let Some(status) = answer.body["status"].as_str().filter(|_| answer.status == 200)
            {
                let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                seen.entry(order).or_default().insert(status.to_owned());
            }
        }
    }

    /// What was seen.
    pub fn seen(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
