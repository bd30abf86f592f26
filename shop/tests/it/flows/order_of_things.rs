//! Out of order: what comes too early, too late or twice is covered by what is already known.

use factum::stream::Position;
use serde_json::json;

use super::{ann, available, ends, is_well, payment, placed};
use crate::{
    gateways::{Outside, Trouble, news_of, shipment, told},
    shop::Shop,
};

/// What happened in a stream, without its domain.
fn happened(shop: &Shop, stream: &str) -> Vec<String> {
    let events = shop.events(Position::START, stream);
    events.iter().map(|name| name.split_once('.').unwrap().1.to_owned()).collect()
}

/// R166, R317, R320: the order is given up while the provider is at work; its late yes is voided, also if the answer comes
/// only after the void was asked for.
#[tokio::test]
async fn a_late_yes_of_the_provider_is_voided() {
    for lost in [true, false] {
        let (outside, url) = Outside::open().await;
        // It is done at once and said later, or under way and done later.
        let trouble = || if lost { Trouble::AnswerLost } else { Trouble::UnderWay };
        outside.trouble("authorize", [trouble()]);
        outside.trouble("calls", [Trouble::RequestLost, Trouble::RequestLost]);
        let shop = Shop::calling(&url).await;
        ann(&shop).await;
        let order = placed(&shop, "TEA", 2).await;
        shop.app.rest().await.unwrap();
        assert_eq!(shop.post(&format!("/orders/{order}/cancel"), &json!({})).await.status, 202);
        shop.hours(2).await;
        assert_eq!(ends(&shop, &order).await, ("cancelled".to_owned(), "customer".to_owned()), "lost: {lost}");
        assert_eq!((outside.done("void"), outside.done("capture")), (1, 0), "lost: {lost}: {:?}", outside.asked());
        assert_eq!(payment(&shop, &order).await["status"], "voided", "lost: {lost}");
        assert_eq!(available(&shop, "TEA").await, 100_000, "lost: {lost}");
        is_well(&shop);
    }
}

/// R317, R320: the carrier's news by rank, whatever their order and however often.
#[tokio::test]
async fn the_carriers_news_may_come_in_any_order_and_twice() {
    let forward = ["opened", "created", "dispatched", "delivered"];
    for news in [["dispatched", "dispatched", "delivered"], ["delivered", "dispatched", "delivered"]] {
        let (_outside, url) = Outside::open().await;
        let shop = Shop::calling(&url).await;
        ann(&shop).await;
        let order = placed(&shop, "TEA", 100).await;
        shop.app.rest().await.unwrap();
        let parcel = shipment(&shop, &order).await;
        for state in news {
            assert_eq!(told(&shop, &news_of(&parcel, state, "2025-01-01T00:01:00Z")).await.status, 202, "{news:?}");
            shop.app.rest().await.unwrap();
        }
        assert_eq!(happened(&shop, &format!("shipment-{parcel}")), forward, "{news:?}");
        assert_eq!(ends(&shop, &order).await.0, "delivered", "{news:?}");
        assert_eq!(shop.get("/loyalty/ann").await.body["balance"], 255, "{news:?}");
        is_well(&shop);
    }
}

/// R317, R320: the parcel is there before the carrier has said that it takes it.
#[tokio::test]
async fn a_delivery_before_its_label_is_kept() {
    let (outside, url) = Outside::open().await;
    outside.trouble("shipments", [Trouble::AnswerLost]);
    let shop = Shop::calling(&url).await;
    ann(&shop).await;
    let order = placed(&shop, "TEA", 2).await;
    shop.app.rest().await.unwrap();
    let parcel = shipment(&shop, &order).await;
    assert_eq!(told(&shop, &news_of(&parcel, "delivered", "2025-01-01T00:00:00Z")).await.status, 202);
    shop.app.rest().await.unwrap();
    assert_eq!(ends(&shop, &order).await.0, "reserved");
    shop.a_minute().await;
    assert_eq!(ends(&shop, &order).await.0, "delivered");
    assert_eq!(payment(&shop, &order).await["status"], "captured");
    is_well(&shop);
}

/// R317: what is lost behind the dispatch is paid back and not restocked; and nobody returns what has not come.
#[tokio::test]
async fn a_return_waits_for_the_delivery_and_a_lost_parcel_needs_none() {
    let (outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    ann(&shop).await;
    let order = placed(&shop, "TEA", 2).await;
    shop.app.rest().await.unwrap();
    let (path, back) = (format!("/orders/{order}/return"), json!({ "items": [{ "sku": "TEA", "quantity": 1 }] }));
    shop.post(&path, &back).await.refuses(409, "not_delivered", "shipped");
    assert_eq!(outside.done("refund"), 0);
    let parcel = shipment(&shop, &order).await;
    assert_eq!(told(&shop, &news_of(&parcel, "failed", "2025-01-01T00:01:00Z")).await.status, 202);
    shop.app.rest().await.unwrap();
    assert_eq!(ends(&shop, &order).await, ("returned".to_owned(), "lost".to_owned()));
    assert_eq!(payment(&shop, &order).await["refunded"]["amount"], 510);
    assert_eq!(available(&shop, "TEA").await, 99_998);
    shop.post(&path, &back).await.refuses(422, "not_that_many", "0 left");
    // The parcel turns up after all: the customer keeps the money, and nothing else changes.
    let before = happened(&shop, &format!("order-{order}"));
    assert_eq!(told(&shop, &news_of(&parcel, "delivered", "2025-01-01T00:01:00Z")).await.status, 202);
    shop.app.rest().await.unwrap();
    assert_eq!((happened(&shop, &format!("order-{order}")), outside.done("refund")), (before, 1));
    is_well(&shop);
}

/// R143, R317, R320: a cart that is checked out twice, and an order that is sent twice, are one order each.
#[tokio::test]
async fn what_is_sent_twice_is_one_order() {
    let shop = Shop::open().await;
    ann(&shop).await;
    let cart = shop.post("/carts", &json!({ "customerId": "ann" })).await.header("location").to_owned();
    assert_eq!(shop.post(&format!("{cart}/items"), &json!({ "sku": "TEA", "quantity": 2 })).await.status, 200);
    let order = json!({ "customerId": "ann", "items": [{ "sku": "TEA", "quantity": 2 }] });
    for (path, body) in [(format!("{cart}/check-out"), json!({})), ("/orders".to_owned(), order)] {
        let first = shop.post_as(&path, &path, &body).await;
        shop.app.rest().await.unwrap();
        let again = shop.post_as(&path, &path, &body).await;
        assert_eq!((first.status, again.status, again.order()), (202, 202, first.order()), "{path}");
    }
    shop.days(6).await;
    assert_eq!(shop.get("/orders").await.body["total"], 2);
    is_well(&shop);
}
