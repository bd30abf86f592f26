//! The same request twice under one key, on every route that takes one: it is done once, and answered as the first time,
//! whatever has become of the shop since.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::{
    bodies::routes::BODIES,
    gateways::{Outside, Trouble},
    shop::{Answer, Headers, Shop, secret},
};

/// A request under a key of its own: its route, the path as it is sent, what it says.
struct Keyed {
    route: &'static str,
    path: String,
    body: Value,
}

impl Keyed {
    async fn send(&self, shop: &Shop) -> Answer {
        let (method, _) = self.route.split_once(' ').unwrap();
        let body = self.body.to_string();
        let signature = secret().sign(body.as_bytes());
        let headers = [("idempotency-key", self.route), ("carrier-signature", &signature)];
        shop.send(method.parse::<Method>().unwrap(), &self.path, Headers(&headers), body).await
    }
}

async fn order(shop: &Shop, customer: &str, pieces: u32) -> String {
    let order = json!({ "customerId": customer, "items": [{ "sku": "TEA", "quantity": pieces }] });
    let order = shop.post("/orders", &order).await.order();
    shop.app.rest().await.unwrap();
    order
}

async fn one(shop: &Shop, list: &str, field: &str) -> String {
    let found = shop.get(list).await.body;
    assert_eq!(found["total"], 1, "{list}: {found}");
    found["items"][0][field].as_str().unwrap().to_owned()
}

/// An order that looks like fraud, by a customer of its own.
async fn held(shop: &Shop, customer: &str) -> String {
    for _ in 0..5 {
        order(shop, customer, 1).await;
    }
    let held = order(shop, customer, 4_000).await;
    assert_eq!(shop.get(&format!("/orders/{held}")).await.body["status"], "held");
    held
}

/// A shop with something for each route, and a request for each.
async fn every(shop: &Shop, outside: &Outside) -> Vec<Keyed> {
    let arrived = order(shop, "c-arrived", 3).await;
    let shipment = one(shop, &format!("/shipments?order={arrived}"), "shipmentId").await;
    let news = |shipment: &str| json!({ "shipmentId": shipment, "state": "delivered", "at": shop.app.now() });
    let keyed = |route, path: &str, body| Keyed { route, path: path.to_owned(), body };
    // A refund that the provider refuses, and a parcel that the carrier does not drop.
    let told = keyed("POST before", "/carrier/news", news(&shipment)).send(shop).await;
    assert_eq!(told.status, 202, "{told:?}");
    shop.app.rest().await.unwrap();
    outside.trouble("refund", [Trouble::Refused]);
    let items = json!({ "items": [{ "sku": "TEA", "quantity": 1 }] });
    assert_eq!(shop.post(&format!("/orders/{arrived}/return"), &items).await.status, 202);
    shop.app.rest().await.unwrap();
    let payment = one(shop, "/payments?open=refund", "paymentId").await;
    let (suspect, unwanted) = (held(shop, "c-suspect").await, held(shop, "c-unwanted").await);
    let brought = order(shop, "c-brought", 1).await;
    let under_way = one(shop, &format!("/shipments?order={brought}"), "shipmentId").await;
    outside.trouble("shipments", (0..20).map(|_| Trouble::AnswerLost));
    outside.trouble("cancel", [Trouble::Refused]);
    order(shop, "c-given-up", 1).await;
    shop.hours(1).await;
    let kept = one(shop, "/shipments?recall=failed", "shipmentId").await;
    let mut carts = Vec::new();
    for _ in 0..3 {
        let cart = shop.post("/carts", &json!({})).await.body["cartId"].as_str().unwrap().to_owned();
        assert_eq!(
            shop.post(&format!("/carts/{cart}/items"), &json!({ "sku": "CUP", "quantity": 9 })).await.status,
            200
        );
        carts.push(cart);
    }
    let (cart, item) = (format!("/carts/{}", carts[0]), json!({ "sku": "TEA", "quantity": 2 }));
    let (why, counted) = (json!({ "reason": "no" }), json!({ "quantity": 3, "reason": "counted" }));
    let check_out = format!("/carts/{}/check-out", carts[1]);
    vec![
        keyed("PUT /products/{sku}", "/products/TEA", json!({ "name": "tea", "price": "2.60" })),
        keyed("PUT /customers/{id}", "/customers/c-1", json!({ "name": "Ada" })),
        keyed("POST /stock/{sku}/receive", "/stock/TEA/receive", json!({ "quantity": 3 })),
        keyed("POST /stock/{sku}/adjust", "/stock/TEA/adjust", counted),
        keyed("POST /carts", "/carts", json!({})),
        keyed("POST /carts/{id}/items", &format!("{cart}/items"), item.clone()),
        keyed("DELETE /carts/{id}/items/{sku}", &format!("{cart}/items/CUP?quantity=2"), json!({})),
        keyed("POST /carts/{id}/check-out", &check_out, json!({ "paymentMethod": "card" })),
        keyed("POST /carts/{id}/abandon", &format!("/carts/{}/abandon", carts[2]), why.clone()),
        keyed("POST /orders", "/orders", json!({ "items": [item] })),
        keyed("POST /orders/{id}/cancel", &format!("/orders/{unwanted}/cancel"), why),
        keyed("POST /orders/{id}/return", &format!("/orders/{arrived}/return"), items),
        keyed(
            "POST /orders/{id}/hold/release",
            &format!("/orders/{suspect}/hold/release"),
            json!({ "verdict": "cleared" }),
        ),
        keyed("POST /payments/{id}/retry", &format!("/payments/{payment}/retry"), json!({})),
        keyed("POST /shipments/{id}/retry", &format!("/shipments/{kept}/retry"), json!({})),
        keyed("POST /carrier/news", "/carrier/news", news(&under_way)),
    ]
}

#[tokio::test]
async fn whatever_is_sent_again_under_its_key_is_answered_as_the_first_time() {
    let (outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    let all = every(&shop, &outside).await;
    let routes = BODIES.iter().filter(|takes| !takes.path.starts_with("/factum/"));
    let routes: BTreeSet<String> = routes.map(|takes| format!("{} {}", takes.method, takes.path)).collect();
    assert_eq!(all.iter().map(|keyed| keyed.route.to_owned()).collect::<BTreeSet<_>>(), routes);
    let mut first = Vec::new();
    for keyed in &all {
        let answer = keyed.send(&shop).await;
        assert!(answer.status < 300, "{}: {answer:?}", keyed.route);
        shop.app.rest().await.unwrap();
        first.push(answer);
    }
    // What was for sale then is not now, and costs what no amount can hold.
    let gone = json!({ "name": "gone", "price": "999999999999999999", "active": false });
    for sku in ["TEA", "CUP"] {
        assert_eq!(shop.put(&format!("/products/{sku}"), &gone).await.status, 200);
    }
    shop.hours(20).await;
    let before = shop.app.position();
    for (keyed, first) in all.iter().zip(first) {
        let again = keyed.send(&shop).await;
        let told = |answer: &Answer| (answer.status, answer.header("factum-position").to_owned(), answer.body.clone());
        assert_eq!(told(&again), told(&first), "{}", keyed.route);
    }
    assert_eq!(shop.app.position(), before, "something was done twice");
}
