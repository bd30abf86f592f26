//! What a route does not know is refused by name, and nothing is done: whoever sends it means something by it.

use axum::{body::Body, http::Method};
use serde_json::{Value, json};

use crate::{
    bodies::{routes::BODIES, sources},
    shop::{Headers, Shop, secret},
};

/// A path with something in place of its parameters.
pub fn filled(path: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "TEA".to_owned() } else { segment.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Whose words these routes are: the platform's own have their own tests, and the carrier may say more than we ask.
pub fn is_the_shops(path: &str) -> bool {
    !path.starts_with("/factum/") && !["/live", "/ready", "/health", "/carrier/news"].contains(&path)
}

#[tokio::test]
async fn no_route_takes_a_parameter_that_it_does_not_know() {
    let shop = Shop::open().await;
    let before = shop.app.position();
    let mut seen = 0;
    for (method, path) in sources::routes().into_iter().filter(|(_, path)| is_the_shops(path)) {
        let method: Method = method.parse().unwrap();
        let to = format!("{}?customerId=c-1", filled(&path));
        let answer = shop.send(method.clone(), &to, Headers::default(), Body::empty()).await;
        assert_eq!(answer.body["code"], "unknown_parameter", "{method} {path}: {answer:?}");
        answer.refuses(400, "unknown_parameter", "no parameter `customerId`");
        assert_eq!(answer.body["parameter"], "customerId");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
    assert_eq!(shop.app.position(), before);
    let known = "there are: `customer`, `status`, `after`, `page`, `size`";
    shop.get("/orders?customerId=c-1").await.refuses(400, "unknown_parameter", known);
    shop.post("/orders/x/cancel?dryRun=true", &json!({})).await.refuses(400, "unknown_parameter", "there are: none");
}

#[tokio::test]
async fn no_body_takes_a_field_that_it_does_not_know() {
    let shop = Shop::open().await;
    let before = shop.app.position();
    let bodies = BODIES.iter().filter(|takes| is_the_shops(takes.path) && takes.method != "DELETE");
    for takes in bodies {
        let body = json!({ "colour": "red" }).to_string();
        let answer = shop.send(takes.method.parse().unwrap(), &filled(takes.path), Headers::default(), body).await;
        assert_eq!(answer.body["code"], "unknown_field", "{} {}: {answer:?}", takes.method, takes.path);
        answer.refuses(400, "unknown_field", "no field `colour`");
    }
    let item = |more: &str| json!([{ "sku": "TEA", "quantity": 1, more: 1 }]);
    let address = json!({ "country": "GB", "zip": "HU1" });
    let within: [(&str, Value, &str); 6] = [
        ("/orders", json!({ "items": item("line") }), "`items[0].line`"),
        ("/orders", json!({ "items": item("quantity "), "customerId": "c" }), "`items[0].quantity `"),
        ("/orders", json!({ "items": [], "shippingAddress": address }), "`shippingAddress.zip`"),
        ("/orders/x/return", json!({ "items": item("lines") }), "`items[0].lines`"),
        ("/carts/x/check-out", json!({ "shippingAddress": address }), "`shippingAddress.zip`"),
        ("/carts/x/check-out", json!({ "total": { "amount": 1, "currency": "GBP", "vat": 2 } }), "`total.vat`"),
    ];
    for (path, body, says) in within {
        shop.post(path, &body).await.refuses(400, "unknown_field", says);
    }
    shop.put("/customers/c", &json!({ "address": address })).await.refuses(400, "unknown_field", "`address.zip`");
    assert_eq!(shop.app.position(), before);
}

#[tokio::test]
async fn the_carrier_may_say_more_than_we_ask() {
    let shop = Shop::calling(&"http://127.0.0.1:9".parse().unwrap()).await;
    let body =
        json!({ "shipmentId": "none", "state": "delivered", "at": "2025-01-01T00:00:00Z", "van": 7 }).to_string();
    let signature = secret().sign(body.as_bytes());
    let headers = [("carrier-signature", signature.as_str())];
    let answer = shop.send(Method::POST, "/carrier/news?from=hull", Headers(&headers), body).await;
    answer.refuses(404, "not_found", "no shipment none");
}
