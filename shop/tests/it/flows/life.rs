//! The life of an order: every row of the table by its messages in the log, and what each room makes of it.

use axum::http::Method;
use factum::envelope::Kind;
use serde_json::json;

use super::{ann, available, ends, in_order, is_well, log, placed, told_of};
use crate::{
    notifications::words,
    shop::{Headers, Shop},
};

/// The table, by what each row leaves in the log.
const LIFE: [(&str, &[&str]); 15] = [
    ("1", &["order.created"]),
    ("2", &["product.validate", "fraud.check"]),
    ("3", &["product.validation_completed", "fraud.transaction_checked"]),
    ("4", &["order.validated", "inventory.reserve"]),
    ("5", &["inventory.reserved"]),
    ("6", &["order.stock_reserved", "payment.authorize"]),
    ("7", &["payment.authorized"]),
    ("8, 9", &["shipping.create", "shipping.created"]),
    ("10", &["order.confirmed", "payment.capture"]),
    ("11", &["payment.captured"]),
    ("12", &["order.paid", "order.released_for_shipping", "shipping.dispatch"]),
    ("13", &["shipping.dispatched"]),
    ("14", &["order.shipped", "inventory.stock_shipped"]),
    ("13, delivered", &["shipping.delivered"]),
    ("15", &["order.delivered", "fulfilment.completed", "loyalty.points_awarded"]),
];

/// R163, R165, R315, R208, R209, R212, R213, R214, R215: one saga takes the order through all its states.
/// R217, R218, R222, R225, R227, R230, R234: and the others answer, each with its events.
/// R240, R242: the saga asks by commands.
/// R193, R194, R195, R196, R229, R233, R256: mails, points and figures follow by themselves.
#[tokio::test]
async fn an_order_goes_through_every_row_of_its_life() {
    let shop = Shop::open().await;
    ann(&shop).await;
    let before = shop.app.position();
    let order = placed(&shop, "TEA", 100).await;
    shop.days(6).await;
    assert_eq!(ends(&shop, &order).await.0, "delivered");
    in_order(&log(&shop, before, &[Kind::Event, Kind::Command]), &LIFE);

    let told = [
        "email order_created sent",
        "email order_paid sent",
        "email order_shipped sent",
        "sms order_shipped sent",
        "email order_delivered sent",
        "push order_delivered sent",
    ];
    assert_eq!(told_of(&shop, &order).await, words(&told));
    assert_eq!(shop.get("/loyalty/ann").await.body["balance"], 255);
    assert_eq!(available(&shop, "TEA").await, 99_900);
    let funnel = shop.get("/analytics/funnel").await.body;
    for step in ["created", "validated", "paid", "shipped", "delivered"] {
        assert_eq!(funnel[step], 1, "{step}");
    }
    assert_eq!(
        shop.get("/analytics/customers/ann").await.body["total"],
        json!({ "amount": 25_500, "currency": "GBP" })
    );
    assert_eq!(shop.get("/analytics/fulfilment").await.body["shippedToDelivered"]["count"], 1);
    is_well(&shop);
}

/// R203, R204, R205, R206, R244, R250, R253: from the empty cart to the customer's door.
#[tokio::test]
async fn a_cart_goes_the_same_way() {
    let shop = Shop::open().await;
    ann(&shop).await;
    let before = shop.app.position();
    let cart = shop.post("/carts", &json!({ "customerId": "ann" })).await.header("location").to_owned();
    assert_eq!(shop.post(&format!("{cart}/items"), &json!({ "sku": "TEA", "quantity": 100 })).await.status, 200);
    assert_eq!(shop.post(&format!("{cart}/items"), &json!({ "sku": "CUP", "quantity": 1 })).await.status, 200);
    let removed = shop.send(Method::DELETE, &format!("{cart}/items/CUP"), Headers::default(), "").await;
    assert_eq!(removed.status, 200, "{removed:?}");
    let wanted = json!({ "shippingAddress": { "country": "GB" } });
    let placed = shop.post(&format!("{cart}/check-out"), &wanted).await;
    assert_eq!(placed.status, 202, "{placed:?}");
    shop.days(6).await;
    assert_eq!(shop.get(placed.header("location")).await.body["status"], "delivered");
    let log = log(&shop, before, &[Kind::Event, Kind::Command]);
    let cart: [(&str, &[&str]); 4] = [
        ("opened", &["cart.created"]),
        ("filled", &["cart.item_added"]),
        ("left out", &["cart.item_removed"]),
        ("checked out", &["cart.checked_out"]),
    ];
    in_order(&log, &cart);
    let from_cart = log.iter().position(|name| name == "cart.checked_out").unwrap();
    in_order(&log[from_cart..], &LIFE);
    assert_eq!(shop.get("/loyalty/ann").await.body["balance"], 255);
    is_well(&shop);
}
