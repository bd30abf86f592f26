//! The life of an order over HTTP: to the customer's door, given up, held, sent back.

use factum::{Archive, stream::Position};
use serde_json::{Value, json};
use shop::{
    contracts::{catalog::RegisterProduct, inventory::ReceiveStock, order::OrderHoldReleased},
    money::price,
};

use crate::shop::{DAY, Shop};

fn order(sku: &str, quantity: i64) -> Value {
    json!({ "customerId": "c-1", "items": [{ "productId": sku, "quantity": quantity }] })
}

/// The sixth order of a customer within an hour is held if it is large.
async fn held(shop: &Shop) -> String {
    for _ in 0..5 {
        shop.post("/orders", &order("TEA", 1)).await.order();
    }
    let held = shop.post("/orders", &order("TEA", 4_000)).await.order();
    shop.app.rest().await.unwrap();
    let view = shop.get(&format!("/orders/{held}")).await.body;
    assert_eq!((&view["status"], &view["reason"]), (&json!("held"), &json!("fraud")));
    held
}

#[tokio::test]
async fn an_order_reaches_its_customer() {
    let shop = Shop::open().await;
    assert_eq!(shop.put("/customers/c-1", &json!({ "name": "Ada" })).await.status, 200);
    let placed = shop.post("/orders", &order("tea", 2)).await;
    let id = placed.order();
    assert_eq!(placed.body["status"], "pending_validation");
    assert_eq!(placed.body["links"]["self"], format!("/orders/{id}"));
    assert!(placed.header("factum-position").starts_with("main:"));

    shop.days(6).await;

    let view = shop.get(placed.header("location")).await.body;
    assert_eq!(view["status"], "delivered");
    assert_eq!(view["customerName"], "Ada");
    assert_eq!((&view["itemCount"], &view["totalAmount"]["amount"]), (&json!(2), &json!(510)));
    assert_eq!((&view["items"][0]["line"], &view["items"][0]["sku"]), (&json!(1), &json!("TEA")));
    assert!(view["trackingNumber"].is_string() && view["estimatedDelivery"].is_string());
    let events = shop.events(Position::START, &format!("order-{id}"));
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
    assert_eq!(events, life.map(|event| format!("order.{event}")));

    let payments = shop.get(&format!("/payments?order={id}")).await.body;
    assert_eq!((&payments["total"], &payments["items"][0]["status"]), (&json!(1), &json!("captured")));
    let payment = view["paymentId"].as_str().unwrap();
    assert_eq!(shop.get(&format!("/payments/{payment}")).await.body["orderId"], id);
    let shipments = shop.get(&format!("/shipments?order={id}")).await.body;
    assert_eq!((&shipments["total"], &shipments["items"][0]["status"]), (&json!(1), &json!("delivered")));
    assert_eq!(shop.get(&format!("/checks/{id}")).await.body["verdict"], "cleared");
}

#[tokio::test]
async fn an_unknown_article_ends_the_order_and_is_named() {
    let shop = Shop::open().await;
    let wanted = json!({ "items": [{ "sku": "TEA", "quantity": 1 }, { "sku": "nope", "quantity": 1 }] });
    let id = shop.post("/orders", &wanted).await.order();
    shop.app.rest().await.unwrap();
    let view = shop.get(&format!("/orders/{id}")).await.body;
    assert_eq!(view["status"], "rejected");
    assert_eq!(view["invalidItems"], json!([{ "sku": "NOPE", "reason": "unknown_product" }]));
    assert_eq!((&view["items"][1]["sku"], &view["items"][1]["amount"]["amount"]), (&json!("NOPE"), &json!(0)));
    assert_eq!(shop.events(Position::START, &format!("order-{id}")), ["order.created", "order.rejected"]);
}

#[tokio::test]
async fn an_order_is_cancelled_before_the_pivot() {
    let shop = Shop::open().await;
    let id = held(&shop).await;
    let before = shop.app.position();
    let cancel = format!("/orders/{id}/cancel");
    let cancelled = shop.post(&cancel, &json!({ "reason": "too slow" })).await;
    assert_eq!((cancelled.status, &cancelled.body["orderId"]), (202, &json!(id)));
    shop.app.rest().await.unwrap();
    assert_eq!(shop.events(before, &format!("order-{id}")), ["order.cancelled"]);
    let view = shop.get(&format!("/orders/{id}")).await.body;
    assert_eq!((&view["status"], &view["reason"]), (&json!("cancelled"), &json!("too slow")));
    let before = shop.app.position();
    assert_eq!(shop.post(&cancel, &Value::Null).await.status, 422);
    assert_eq!(shop.post(&cancel, &json!({})).await.status, 202);
    assert_eq!(shop.events(before, &format!("order-{id}")), Vec::<String>::new());
}

#[tokio::test]
async fn an_order_behind_the_pivot_is_not_cancelled() {
    let shop = Shop::open().await;
    let id = shop.post("/orders", &order("TEA", 1)).await.order();
    shop.app.rest().await.unwrap();
    let before = shop.app.position();
    let answer = shop.post(&format!("/orders/{id}/cancel"), &json!({})).await;
    answer.refuses(409, "too_late_to_cancel", "use a return");
    let back = json!({ "items": [{ "sku": "TEA", "quantity": 1 }] });
    shop.post(&format!("/orders/{id}/return"), &back).await.refuses(409, "not_delivered", "shipped");
    assert_eq!(shop.app.position(), before);
}

#[tokio::test]
async fn a_held_order_goes_on_when_it_is_cleared() {
    let shop = Shop::open().await;
    let id = held(&shop).await;
    let release = format!("/orders/{id}/hold/release");
    shop.post(&release, &json!({ "verdict": "maybe" })).await.refuses(422, "bad_field", "verdict");
    let long = json!({ "verdict": "cleared", "by": "x".repeat(1_025) });
    shop.post(&release, &long).await.refuses(422, "text_too_long", "`by`");
    assert_eq!(shop.post(&release, &json!({ "verdict": "cleared", "by": "mara" })).await.status, 202);
    let released = Archive::of(shop.app.reader()).fold::<OrderHoldReleased, _>(None, |by, event| {
        *by = Some(event.data.by.clone());
    });
    assert_eq!(released.unwrap().as_deref(), Some("mara"), "who it was stands in the log");
    shop.days(6).await;
    assert_eq!(shop.get(&format!("/orders/{id}")).await.body["status"], "delivered");
    shop.post(&release, &json!({ "verdict": "cleared" })).await.refuses(409, "not_now", "delivered");
}

#[tokio::test]
async fn an_order_comes_back_piece_by_piece_for_what_it_cost() {
    let shop = Shop::open().await;
    let id = shop.delivered(&json!([{ "sku": "CUP", "quantity": 2 }, { "sku": "TEA", "quantity": 1 }])).await;
    let before = shop.app.position();
    let path = format!("/orders/{id}/return");
    let cups = |quantity: i64| json!({ "items": [{ "sku": "CUP", "quantity": quantity }], "reason": "chipped" });
    shop.post(&path, &cups(3)).await.refuses(422, "not_that_many", "2 left");
    shop.post(&path, &cups(0)).await.refuses(422, "bad_quantity", "line 1");
    shop.post(&path, &json!({ "items": [] })).await.refuses(422, "no_items", "at least one");

    let first = shop.post_as("back-1", &path, &cups(1)).await;
    assert_eq!(first.status, 202);
    let again = shop.post_as("back-1", &path, &cups(1)).await;
    assert_eq!(again.header("factum-position"), first.header("factum-position"));
    shop.app.rest().await.unwrap();
    let part = shop.get(&format!("/orders/{id}")).await.body;
    let back = json!({ "pieces": 1, "amount": { "amount": 14, "currency": "GBP" } });
    assert_eq!((&part["returned"], &part["itemCount"]), (&back, &json!(3)));
    assert_eq!(shop.post_as("back-2", &path, &cups(1)).await.status, 202);
    let rest = json!({ "items": [{ "sku": "TEA", "quantity": 1 }] });
    assert_eq!(shop.post_as("back-3", &path, &rest).await.status, 202);
    shop.app.rest().await.unwrap();

    let view = shop.get(&format!("/orders/{id}")).await.body;
    assert_eq!((&view["status"], &view["returnedAmount"]), (&json!("returned"), &view["totalAmount"]));
    assert_eq!(view["returnedItems"].as_array().unwrap().len(), 3);
    assert_eq!(shop.events(before, &format!("order-{id}")), ["order.returned"; 3]);
    let refunded = &shop.get(&format!("/payments?order={id}")).await.body["items"][0]["refunded"];
    assert_eq!(refunded, &view["totalAmount"]);
    assert_eq!(shop.get("/stock/CUP").await.body["available"], 100_000);
}

/// CLOSING 21: the machine's clock was a day ahead when the article was registered, and has been set right since.
#[tokio::test]
async fn what_was_registered_while_the_clock_was_ahead_is_for_sale() {
    let shop = Shop::open().await;
    let tomorrow = shop.app.now() + DAY;
    let (name, price) = ("lamp".to_owned(), price("4.00").unwrap());
    let lamp = RegisterProduct { sku: "LAMP".into(), name, price, active: true };
    shop.app.execute(lamp).at(tomorrow).await.unwrap();
    let (quantity, warehouse_id) = (5, "main".into());
    shop.app.execute(ReceiveStock { sku: "LAMP".into(), quantity, warehouse_id }).at(tomorrow).await.unwrap();
    shop.app.rest().await.unwrap();
    let ordered = json!({ "items": [{ "sku": "LAMP", "quantity": 1 }], "shippingAddress": { "country": "GB" } });
    let order = shop.post("/orders", &ordered).await.order();
    shop.a_minute().await;
    let view = shop.get(&format!("/orders/{order}")).await.body;
    assert_eq!((&view["status"], &view["reason"]), (&json!("shipped"), &json!(null)));
}
