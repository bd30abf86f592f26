//! The other way to run an order: no saga, rooms that answer each other; the same ends and the same books.

use serde_json::{Value, json};
use shop::{
    contracts::process::Process,
    import::{loader::Settings, read},
};

use crate::{
    gateways::{Outside, Trouble, news_of, shipment, status, told},
    imports::{committed, run, small},
    shop::Shop,
};

fn chorus(declines: f64, shuffle: Option<u64>) -> Settings {
    Settings { declines, shuffle, process: Some(Process::Choreographed), ..Settings::default() }
}

async fn payment(shop: &Shop, order: &str) -> Value {
    shop.get(&format!("/payments?order={order}")).await.body["items"][0].clone()
}

fn is_well(shop: &Shop) {
    let findings = shop::check::check(&factum::Archive::of(shop.app.reader())).unwrap();
    assert_eq!(findings.problems, Vec::<String>::new());
}

async fn placed(shop: &Shop, items: &Value) -> String {
    let order = json!({ "customerId": "c-1", "items": items, "shippingAddress": { "country": "GB" } });
    let order = shop.post("/orders", &order).await.order();
    shop.app.rest().await.unwrap();
    order
}

fn tea(quantity: u32) -> Value {
    json!([{ "sku": "TEA", "quantity": quantity }])
}

async fn ends(shop: &Shop, order: &str) -> (Value, Value) {
    let view = shop.get(&format!("/orders/{order}")).await.body;
    (view["status"].clone(), view["reason"].clone())
}

/// R-rows of CONTRACTS' life of an order, all rooms answering.
#[tokio::test(flavor = "multi_thread")]
async fn real_orders_come_to_the_same_report_as_orchestrated() {
    let file = read(&committed()).unwrap();
    let wanted = run(&file, &Settings::default()).await;
    for shuffle in [None, Some(0), Some(1), Some(2)] {
        assert_eq!(run(&file, &chorus(0.0, shuffle)).await, wanted, "seed {shuffle:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn declined_and_shuffled_they_come_to_the_same_report_too() {
    let file = small(250);
    let wanted = run(&file, &Settings { declines: 0.1, ..Settings::default() }).await;
    assert_eq!(run(&file, &chorus(0.1, None)).await, wanted);
    for seed in 0..3 {
        assert_eq!(run(&file, &chorus(0.1, Some(seed))).await, wanted, "seed {seed}");
    }
}

#[tokio::test]
async fn an_order_is_paid_reserved_sent_and_comes_back() {
    let shop = Shop::choreographed(None).await;
    let order = placed(&shop, &tea(3)).await;
    assert_eq!(status(&shop, &order).await, "shipped");
    let stream = shop.events(factum::stream::Position(0), &format!("order-{order}"));
    let expected = ["created", "validated", "paid", "stock_reserved", "confirmed", "released_for_shipping", "shipped"];
    assert_eq!(stream, expected.map(|name| format!("order.{name}")));
    shop.days(6).await;
    assert_eq!(status(&shop, &order).await, "delivered");
    let back = json!({ "items": [{ "sku": "TEA", "quantity": 1 }] });
    assert_eq!(shop.post(&format!("/orders/{order}/return"), &back).await.status, 202);
    shop.app.rest().await.unwrap();
    assert_eq!(payment(&shop, &order).await["refunded"]["amount"], 255);
    assert_eq!(shop.get("/stock/TEA").await.body["available"], 99_998);
    is_well(&shop);
}

#[tokio::test]
async fn what_cannot_be_is_rejected_and_what_runs_short_is_paid_back() {
    let shop = Shop::choreographed(None).await;
    let unknown = placed(&shop, &json!([{ "sku": "NOWHERE", "quantity": 1 }])).await;
    // It may be on its way: products and orders are told by two services.
    assert_eq!(status(&shop, &unknown).await, "pending_validation");
    shop.a_minute().await;
    assert_eq!(status(&shop, &unknown).await, "rejected");
    let short = placed(&shop, &tea(200_000)).await;
    assert_eq!(ends(&shop, &short).await, (json!("cancelled"), json!("out_of_stock")));
    let row = payment(&shop, &short).await;
    assert_eq!((&row["status"], &row["refunded"]["amount"]), (&json!("captured"), &json!(200_000 * 255)));
    assert_eq!(shop.get("/stock/TEA").await.body["available"], 100_000);
    is_well(&shop);
}

#[tokio::test]
async fn a_person_looks_at_what_is_held_or_it_is_given_up_after_a_day() {
    let shop = Shop::choreographed(None).await;
    for _ in 0..6 {
        placed(&shop, &tea(1)).await;
    }
    let (cleared, left) = (placed(&shop, &tea(4_000)).await, placed(&shop, &tea(4_000)).await);
    assert_eq!((status(&shop, &cleared).await, status(&shop, &left).await), (json!("held"), json!("held")));
    let looked = json!({ "verdict": "cleared", "by": "mara" });
    assert_eq!(shop.post(&format!("/orders/{cleared}/hold/release"), &looked).await.status, 202);
    shop.app.rest().await.unwrap();
    assert_eq!(status(&shop, &cleared).await, "shipped");
    shop.hours(25).await;
    assert_eq!(ends(&shop, &left).await, (json!("cancelled"), json!("fraud")));
    is_well(&shop);
}

#[tokio::test]
async fn whatever_a_partner_refuses_ends_with_the_money_back() {
    let (outside, url) = Outside::open().await;
    let shop = Shop::choreographed(Some(&url)).await;
    // The card.
    outside.trouble("authorize", [Trouble::Refused]);
    let order = placed(&shop, &tea(1)).await;
    assert_eq!(ends(&shop, &order).await, (json!("cancelled"), json!("payment_failed")));
    // The money that was held.
    outside.trouble("capture", [Trouble::Refused]);
    let order = placed(&shop, &tea(1)).await;
    assert_eq!(ends(&shop, &order).await, (json!("cancelled"), json!("payment_failed")));
    assert_eq!(outside.done("void"), 1, "{:?}", outside.asked());
    // The parcel, when it is paid and reserved.
    outside.trouble("shipments", [Trouble::Refused]);
    let order = placed(&shop, &tea(1)).await;
    assert_eq!(ends(&shop, &order).await, (json!("cancelled"), json!("undeliverable")));
    assert_eq!((outside.done("capture"), outside.done("refund")), (1, 1));
    // The parcel is lost on its way.
    let order = placed(&shop, &tea(1)).await;
    let parcel = shipment(&shop, &order).await;
    assert_eq!(told(&shop, &news_of(&parcel, "failed", "2025-01-01T00:01:00Z")).await.status, 202);
    shop.app.rest().await.unwrap();
    assert_eq!(ends(&shop, &order).await, (json!("returned"), json!("lost")));
    assert_eq!(outside.done("refund"), 2);
    assert_eq!(shop.get("/stock/TEA").await.body["available"], 99_999);
    is_well(&shop);
}

/// The customer gives it up while the provider is asked: whatever comes of that goes back.
#[tokio::test]
async fn a_cancelled_order_keeps_no_money() {
    for busy in ["authorize", "capture"] {
        let (outside, url) = Outside::open().await;
        outside.trouble(busy, [Trouble::Busy, Trouble::Busy]);
        let shop = Shop::choreographed(Some(&url)).await;
        let order = json!({ "items": tea(2), "shippingAddress": { "country": "GB" } });
        let order = shop.post("/orders", &order).await.order();
        shop.app.rest().await.unwrap();
        assert_eq!(status(&shop, &order).await, "validated", "{busy}");
        assert_eq!(shop.post(&format!("/orders/{order}/cancel"), &json!({})).await.status, 202);
        shop.hours(1).await;
        assert_eq!(ends(&shop, &order).await, (json!("cancelled"), json!("customer")), "{busy}");
        let (taken, given) = (outside.done("capture"), outside.done("refund"));
        assert!(
            taken == given && outside.done("authorize") <= taken + outside.done("void"),
            "{busy}: {:?}",
            outside.asked()
        );
        assert_eq!(shop.get("/stock/TEA").await.body["available"], 100_000, "{busy}");
        is_well(&shop);
    }
}
