//! The same request twice, under one key, over HTTP.

use axum::http::Method;
use factum::memory::Memory;
use serde_json::json;

use super::shop::{Headers, Shop};

#[tokio::test]
async fn an_order_sent_twice_is_one_order_also_after_a_restart() {
    let log = Memory::new();
    let shop = Shop::stocked(log.clone()).await;
    let order = json!({ "items": [{ "sku": "TEA", "quantity": 2 }] });
    let other = json!({ "items": [{ "sku": "TEA", "quantity": 3 }] });
    let first = shop.post_as("place-1", "/orders", &order).await;
    let id = first.order();
    let unlike = shop.post_as("place-2", "/orders", &order).await.order();
    assert_ne!(id, unlike, "another key is another order");
    // What it costs now is no part of what was sent.
    assert_eq!(shop.put("/products/TEA", &json!({ "name": "tea", "price": "9.99" })).await.status, 200);
    shop.app.rest().await.unwrap();
    let again = async |shop: &Shop| {
        let again = shop.post_as("place-1", "/orders", &order).await;
        assert_eq!((again.order(), again.header("location")), (id.clone(), first.header("location")));
        assert_eq!(again.header("factum-position"), first.header("factum-position"));
        shop.post_as("place-1", "/orders", &other).await.refuses(409, "id_reused", "another body");
        assert_eq!(shop.get("/orders").await.body["total"], 2);
    };
    again(&shop).await;
    shop.app.stop().await;
    let shop = Shop::over(log).await;
    again(&shop).await;
    shop.app.stop().await;
}

#[tokio::test]
async fn a_stock_receipt_sent_again_after_thousands_of_others_is_booked_once() {
    let log = Memory::new();
    let shop = Shop::stocked(log.clone()).await;
    let five = json!({ "quantity": 5 });
    let first = shop.post_as("delivery-1", "/stock/TEA/receive", &five).await;
    for number in 0..2_100 {
        let other = shop.post_as(&format!("other-{number}"), &format!("/stock/A{}/receive", number % 300), &five).await;
        assert_eq!(other.status, 200);
    }
    let again = async |shop: &Shop| {
        let again = shop.post_as("delivery-1", "/stock/TEA/receive", &five).await;
        assert_eq!((again.status, again.header("factum-position")), (200, first.header("factum-position")));
        shop.post_as("delivery-1", "/stock/TEA/receive", &json!({ "quantity": 6 })).await.refuses(
            409,
            "id_reused",
            "another body",
        );
        assert_eq!(shop.get("/stock/TEA").await.body["available"], 100_005);
    };
    again(&shop).await;
    shop.app.stop().await;
    let shop = Shop::over(log).await;
    again(&shop).await;
    shop.app.stop().await;
}

#[tokio::test]
async fn a_correction_that_changed_nothing_is_answered_as_the_first_time() {
    let shop = Shop::open().await;
    let nothing = json!({ "quantity": 0, "reason": "counted" });
    let first = shop.post_as("count-1", "/stock/TEA/adjust", &nothing).await;
    assert_eq!(shop.post("/stock/TEA/receive", &json!({ "quantity": 5 })).await.status, 200);
    let again = shop.post_as("count-1", "/stock/TEA/adjust", &nothing).await;
    assert_eq!((again.status, again.header("factum-position")), (200, first.header("factum-position")));
    let other = json!({ "quantity": 1, "reason": "counted" });
    shop.post_as("count-1", "/stock/TEA/adjust", &other).await.refuses(409, "id_reused", "another body");
    assert_eq!(shop.get("/stock/TEA").await.body["available"], 100_005);
}

#[tokio::test]
async fn a_product_sent_again_that_changed_nothing_does_not_bring_an_old_price_back() {
    let log = Memory::new();
    let shop = Shop::stocked(log.clone()).await;
    let old = json!({ "name": "tea", "price": "2.55" });
    let key = Headers(&[("idempotency-key", "price-1")]);
    let first = shop.send(Method::PUT, "/products/TEA", key, old.to_string()).await;
    assert_eq!(first.status, 200);
    assert_eq!(shop.put("/products/TEA", &json!({ "name": "tea", "price": "9.99" })).await.status, 200);
    let again = async |shop: &Shop| {
        let again = shop.send(Method::PUT, "/products/TEA", key, old.to_string()).await;
        assert_eq!((again.status, again.header("factum-position")), (200, first.header("factum-position")));
        let other = json!({ "name": "tea", "price": "1.00" }).to_string();
        shop.send(Method::PUT, "/products/TEA", key, other).await.refuses(409, "id_reused", "another body");
        assert_eq!(shop.get("/products/TEA").await.body["price"]["amount"], "9.99");
    };
    again(&shop).await;
    shop.app.stop().await;
    let shop = Shop::over(log).await;
    again(&shop).await;
    shop.app.stop().await;
}
