//! Points over HTTP: what orders bring, and what goes with what comes back.

use factum::{memory::Memory, stream::Position};
use serde_json::{Value, json};

use crate::shop::Shop;

/// 100 pieces of tea at 2.55: 255 points.
fn tea() -> Value {
    json!([{ "sku": "TEA", "quantity": 100 }])
}

async fn gives_back(shop: &Shop, order: &str, quantity: u32) {
    let items = json!({ "items": [{ "sku": "TEA", "quantity": quantity }] });
    let answer = shop.post(&format!("/orders/{order}/return"), &items).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    shop.app.rest().await.unwrap();
}

async fn balance(shop: &Shop) -> i64 {
    shop.get("/loyalty/c-1").await.body["balance"].as_i64().unwrap()
}

#[tokio::test]
async fn a_delivered_order_brings_points_and_what_comes_back_takes_them() {
    let shop = Shop::open().await;
    shop.get("/loyalty/c-1").await.refuses(404, "not_found", "no points of customer c-1");
    let order = shop.post("/orders", &json!({ "customerId": "c-1", "items": tea() })).await.order();
    shop.a_minute().await;
    assert_eq!(shop.get("/loyalty/c-1").await.status, 404, "it is only paid");
    shop.days(6).await;
    assert_eq!(balance(&shop).await, 255);

    gives_back(&shop, &order, 1).await;
    assert_eq!(balance(&shop).await, 252);
    gives_back(&shop, &order, 99).await;
    let account = shop.get("/loyalty/c-1?size=2").await.body;
    assert_eq!((&account["customerId"], &account["balance"]), (&json!("c-1"), &json!(0)));
    assert_eq!(
        (&account["entries"]["total"], &account["entries"]["links"]["next"]),
        (&json!(3), &json!("/loyalty/c-1?page=2&size=2"))
    );
    let entry = |at: usize| {
        let entry = &account["entries"]["items"][at];
        (entry["kind"].as_str().unwrap().to_owned(), entry["points"].clone(), entry["balance"].clone())
    };
    assert_eq!(entry(0), ("revoked".to_owned(), json!(252), json!(0)), "the newest first");
    assert_eq!(entry(1), ("revoked".to_owned(), json!(3), json!(252)));

    let of_order = shop.get(&format!("/loyalty?order={order}")).await.body;
    assert_eq!((&of_order["total"], &of_order["items"][0]["kind"]), (&json!(3), &json!("awarded")));
    assert_eq!(shop.get("/loyalty?order=other").await.body["total"], 0);
    let happened = shop.events(Position::START, "loyalty-c-1");
    assert_eq!(happened, ["loyalty.points_awarded", "loyalty.points_revoked", "loyalty.points_revoked"]);
}

#[tokio::test]
async fn a_guest_and_an_order_of_pennies_bring_nothing() {
    let shop = Shop::open().await;
    shop.post("/orders", &json!({ "items": tea() })).await.order();
    shop.delivered(&json!([{ "sku": "CUP", "quantity": 1 }])).await;
    assert_eq!(shop.get("/loyalty").await.body["total"], 0);
}

#[tokio::test]
async fn where_the_policy_says_so_points_come_with_the_payment() {
    let shop = Shop::points_when_paid().await;
    shop.post("/orders", &json!({ "customerId": "c-1", "items": tea() })).await.order();
    shop.a_minute().await;
    assert_eq!(balance(&shop).await, 255);
    shop.days(6).await;
    assert_eq!((balance(&shop).await, shop.get("/loyalty").await.body["total"].clone()), (255, json!(1)), "only once");
}

/// Three customers: one keeps all, one gives a part back, one gives all back.
pub async fn some_history(shop: &Shop) {
    // Under keys, so that the orders have the same ids, and thus the same carrier's days, in every shop.
    let mut orders = Vec::new();
    for (key, customer) in [("1", "c-1"), ("2", "c-2"), ("3", "c-3"), ("4", "c-1")] {
        let order = json!({ "customerId": customer, "items": tea() });
        orders.push(shop.post_as(key, "/orders", &order).await.order());
    }
    shop.post_as("5", "/orders", &json!({ "items": tea() })).await.order();
    shop.days(6).await;
    gives_back(shop, &orders[1], 7).await;
    gives_back(shop, &orders[2], 60).await;
    gives_back(shop, &orders[2], 40).await;
}

/// All customers' points, and how they came to that.
async fn points(shop: &Shop) -> Vec<Value> {
    let mut points = Vec::new();
    for customer in ["c-1", "c-2", "c-3"] {
        let account = shop.get(&format!("/loyalty/{customer}")).await.body;
        let entries = account["entries"]["items"].as_array().unwrap();
        let entry = |entry: &Value| json!([entry["kind"], entry["points"], entry["balance"]]);
        points.push(json!({ "balance": account["balance"], "entries": entries.iter().map(entry).collect::<Vec<_>>() }));
    }
    points
}

#[tokio::test]
async fn added_to_a_running_shops_data_it_gets_all_of_its_history() {
    let always = Shop::open().await;
    some_history(&always).await;
    let wanted = points(&always).await;
    assert_eq!(wanted[0]["balance"], 510);

    let log = Memory::new();
    let without = Shop::lacking(log.clone(), &["loyalty"]).await.stock().await;
    some_history(&without).await;
    assert_eq!(without.get("/loyalty/c-1").await.status, 404);
    without.app.stop().await;
    drop(without);

    let with = Shop::over(log.clone()).await;
    with.app.rest().await.unwrap();
    assert_eq!(points(&with).await, wanted);
    // It lives on like the others, and the past comes only once.
    with.app.stop().await;
    drop(with);
    let again = Shop::over(log).await;
    again.app.rest().await.unwrap();
    assert_eq!(points(&again).await, wanted);
}
