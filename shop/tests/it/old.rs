//! A log of an older shop: every command shows it in the words of today.

use std::path::Path;

use factum::{App, prelude::*};
use serde_json::{Value, json};

use crate::imports::{shop, text};

/// An order as an older shop stored it, under another name and in another shape.
#[derive(Event)]
#[event("OrderPlaced", adopted, version = "0.9.0")]
struct OldOrder {
    order_id: String,
    items: Vec<Value>,
    total_amount: i64,
    currency: String,
    status: String,
}

#[derive(Command)]
#[command("order.create")]
struct OldCreate {
    order_id: String,
}

#[derive(Default)]
struct OldOrders;

impl Decider for OldOrders {
    const CATEGORY: &'static str = "order";
    type Id = String;
    type Command = OldCreate;
    type Event = OldOrder;
    type Rejection = Never;

    fn address(create: &OldCreate, _: &Envelope) -> String {
        create.order_id.clone()
    }

    fn decide(&self, _: &String, create: OldCreate, _: &Context) -> Result<Vec<OldOrder>, Never> {
        let price = json!({ "amount": "2.55", "currency": "GBP" });
        let line = json!({ "line": 1, "kind": "goods", "sku": "TEA", "name": "Tea", "quantity": 2, "unitPrice": price,
            "amount": { "amount": 510, "currency": "GBP" } });
        Ok(vec![OldOrder {
            order_id: create.order_id,
            items: vec![line],
            total_amount: 510,
            currency: "GBP".to_owned(),
            status: "pending_validation".to_owned(),
        }])
    }

    fn evolve(&mut self, _: &OldOrder) {}
}

async fn older_shop(dir: &Path) {
    let app = App::open(dir).unwrap().with(Service::new("order").source("order-service").decider::<OldOrders>());
    let app = app.start().await.unwrap();
    app.execute(OldCreate { order_id: "7".to_owned() }).at("2010-12-01T08:26:00Z".parse().unwrap()).await.unwrap();
    app.stop().await;
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_shows_a_stored_event_of_an_old_version_and_name_as_todays() {
    let dir = tempfile::tempdir().unwrap();
    older_shop(dir.path()).await;
    let says = |arguments: &[&str]| {
        let (_, out, error) = text(&mut shop(arguments, dir.path()));
        assert_eq!(error, "");
        out
    };
    let report = json(&says(&["report", "--json"]));
    assert_eq!((&report["orders"]["placed"], &report["orders"]["total"]), (&json!(1), &json!(510)));
    let findings = json(&says(&["check", "--json"]));
    assert_eq!(findings["orders"], 1, "{findings}");
    let history = says(&["history", "7"]);
    assert!(history.contains("order.created") && !history.contains("OrderPlaced"), "{history}");
    let whole = json(&says(&["history", "7", "--json"]));
    assert_eq!((&whole["type"], &whole["data"]["total"]["amount"]), (&json!("order.created"), &json!(510)));
    let at = says(&["at", "7", "2010-12-02"]);
    assert!(at.contains("5.10"), "{at}");
}
