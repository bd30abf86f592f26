//! Requests as they come: malformed ones, repeated ones, lists, and what each room answers.

use axum::{body::Body, http::Method};
use factum::memory::Memory;
use serde_json::{Value, json};

use crate::shop::{Headers, Shop};

fn tea(quantity: impl Into<Value>) -> Value {
    json!({ "items": [{ "sku": "TEA", "quantity": quantity.into() }] })
}

#[tokio::test]
async fn malformed_bodies_are_refused_and_nothing_is_stored() {
    let shop = Shop::open().await;
    let before = shop.app.position();
    let send = async |headers: &[(&str, &str)], body: Vec<u8>| {
        shop.send(Method::POST, "/orders", Headers(headers), body).await
    };
    let good = || tea(1).to_string().into_bytes();

    send(&[], b"{\"items\":[{\"sku\":\"\xff\xfe\",\"quantity\":1}]}".to_vec())
        .await
        .refuses(400, "not_utf8", "byte 18");
    let answer = send(&[], b"{\"items\": [\n  oops]}".to_vec()).await;
    answer.refuses(400, "bad_json", "line 2");
    assert_eq!((&answer.body["line"], &answer.body["column"]), (&json!(2), &json!(3)));
    let deep = format!("{{\"items\":{}{}}}", "[".repeat(64), "]".repeat(64));
    send(&[], deep.into_bytes()).await.refuses(400, "too_deep", "64");
    send(&[], Vec::new()).await.refuses(422, "bad_field", "items");
    send(&[], b"{\"items\":{}}".to_vec()).await.refuses(422, "bad_field", "`items`");
    send(&[], b"{\"items\":[{\"quantity\":1}]}".to_vec()).await.refuses(422, "bad_field", "sku");
    send(&[], vec![b' '; 1024 * 1024 + 1]).await.refuses(413, "body_too_large", "1048576");
    let announced = [("content-length", "9999999999")];
    send(&announced, good()).await.refuses(413, "body_too_large", "1048576");
    send(&[("content-type", "text/plain")], good()).await.refuses(415, "not_json", "text/plain");
    send(&[("idempotency-key", "")], good()).await.refuses(400, "bad_header", "1 to 128");
    send(&[("idempotency-key", &"k".repeat(129))], good()).await.refuses(400, "bad_header", "1 to 128");
    send(&[("idempotency-key", "a\tb")], good()).await.refuses(400, "bad_header", "printable");
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    send(&twice, good()).await.refuses(400, "bad_header", "twice");
    send(&[("factum-position", "42")], good()).await.refuses(400, "bad_header", "main:1:42");

    assert_eq!(shop.app.position(), before);
    assert_eq!(send(&[("content-type", "application/json")], good()).await.status, 202);
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused_by_line_and_nothing_is_stored() {
    let shop = Shop::open().await;
    let before = shop.app.position();
    let two = |second: Value| json!({ "items": [{ "sku": "TEA", "quantity": 1 }, second] });
    let tea = |quantity: Value| two(json!({ "sku": "TEA", "quantity": quantity }));
    for quantity in
        [json!(0), json!(-1), json!(1.5), json!(1e30), json!(1_000_000_001), json!("2"), json!([2]), Value::Null]
    {
        let answer = shop.post("/orders", &tea(quantity)).await;
        answer.refuses(422, "bad_quantity", "line 2");
        assert_eq!(answer.body["line"], 2);
    }
    shop.post("/orders", &two(json!({ "sku": "TEA" }))).await.refuses(422, "bad_quantity", "line 2");
    for sku in ["", "a\u{7}b", &"ü".repeat(65)] {
        shop.post("/orders", &two(json!({ "sku": sku, "quantity": 1 }))).await.refuses(422, "bad_id", "line 2");
    }
    shop.post("/orders", &json!({ "items": [] })).await.refuses(422, "no_items", "at least one");
    let lines = vec![json!({ "sku": "TEA", "quantity": 1 }); 1115];
    shop.post("/orders", &json!({ "items": lines })).await.refuses(422, "too_many_lines", "1115");
    let with = |field: &str, value: Value| {
        let mut order = tea(json!(1));
        order[field] = value;
        order
    };
    shop.post("/orders", &with("customerId", json!(""))).await.refuses(422, "bad_id", "customerId");
    shop.post("/orders", &with("paymentMethod", json!("\n"))).await.refuses(422, "bad_id", "paymentMethod");
    let address = json!({ "country": "GB", "street": "x".repeat(2000) });
    shop.post("/orders", &with("shippingAddress", address)).await.refuses(
        422,
        "text_too_long",
        "shippingAddress.street",
    );
    shop.post("/orders", &with("shippingAddress", json!({}))).await.refuses(422, "bad_field", "country");
    assert_eq!(shop.app.position(), before);
}

#[tokio::test]
async fn the_largest_order_is_carried_out() {
    let shop = Shop::open().await;
    let sku = |line: usize| if line.is_multiple_of(2) { "TEA" } else { "CUP" };
    let lines: Vec<Value> = (0..1114).map(|line| json!({ "sku": sku(line), "quantity": 3 })).collect();
    let order = shop.delivered(&json!(lines)).await;
    let view = shop.get(&format!("/orders/{order}")).await.body;
    assert_eq!(view["items"].as_array().unwrap().len(), 1114);
    assert_eq!(view["totalAmount"]["amount"], 557 * 765 + 557 * 40);
}

#[tokio::test]
async fn a_price_that_no_amount_can_hold_is_refused_by_line() {
    let shop = Shop::open().await;
    let product = json!({ "name": "moon", "price": "999999999999999999" });
    assert_eq!(shop.put("/products/MOON", &product).await.status, 200);
    let order = json!({ "items": [{ "sku": "TEA", "quantity": 1 }, { "sku": "moon", "quantity": 1 }] });
    shop.post("/orders", &order).await.refuses(422, "no_price", "line 2: MOON");
}

#[tokio::test]
async fn the_same_key_and_body_get_the_first_receipt() {
    let shop = Shop::open().await;
    let first = shop.post_as("key-1", "/orders", &tea(2)).await;
    let order = first.order();
    shop.days(0).await;
    let dearer = json!({ "name": "tea", "price": "9.99" });
    assert_eq!(shop.put("/products/TEA", &dearer).await.status, 200);
    shop.days(0).await;
    let before = shop.app.position();
    let again = shop.post_as("key-1", "/orders", &tea(2)).await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert_eq!(again.header("factum-position"), first.header("factum-position"));
    assert_eq!(again.header("location"), format!("/orders/{order}"));
    assert_eq!(shop.app.position(), before);

    shop.post_as("key-1", "/orders", &tea(3)).await.refuses(409, "id_reused", "another body");
    assert_ne!(shop.post_as("key-2", "/orders", &tea(2)).await.order(), order);
    assert_ne!(shop.post("/orders", &tea(2)).await.order(), shop.post("/orders", &tea(2)).await.order());
}

#[tokio::test]
async fn a_restart_forgets_no_key() {
    let log = Memory::new();
    let shop = Shop::stocked(log.clone()).await;
    let (body, other) = (tea(2), tea(1));
    let (first, _) = tokio::join!(shop.post_as("key-1", "/orders", &body), shop.post("/orders", &other));
    shop.app.stop().await;
    let again = Shop::over(log).await.post_as("key-1", "/orders", &tea(2)).await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert_eq!(again.header("factum-position"), first.header("factum-position"));
}

#[tokio::test]
async fn two_at_once_under_one_key_are_one_order() {
    let shop = Shop::open().await;
    let before = shop.app.position();
    let body = tea(1);
    let (one, other) = tokio::join!(shop.post_as("k", "/orders", &body), shop.post_as("k", "/orders", &body));
    assert_eq!(one.order(), other.order());
    assert_eq!(one.header("factum-position"), other.header("factum-position"));
    let created = shop.events(before, &format!("order-{}", one.order()));
    assert_eq!(created.iter().filter(|event| *event == "order.created").count(), 1);
}

#[tokio::test]
async fn a_key_means_one_article_only() {
    let shop = Shop::open().await;
    let five = json!({ "quantity": 5 });
    assert_eq!(shop.post_as("k", "/stock/TEA/receive", &five).await.status, 200);
    assert_eq!(shop.post_as("k", "/stock/tea/receive", &five).await.status, 200);
    shop.post_as("k", "/stock/CUP/receive", &five).await.refuses(409, "id_reused", "another body");
    assert_eq!(shop.get("/stock/TEA").await.body["available"], 100_005);
}

#[tokio::test]
async fn what_follows_a_registration_sees_it() {
    let shop = Shop::open().await;
    let registered = shop.put("/products/new%2Fsku", &json!({ "name": "new", "price": "1.00" })).await;
    assert_eq!((registered.status, &registered.body["sku"]), (200, &json!("NEW/SKU")));
    let after = registered.header("factum-position");
    let order = json!({ "items": [{ "itemId": "new/sku", "quantity": 3 }] });
    let path = format!("/orders?after={after}");
    let placed = shop.send(Method::POST, &path, Headers::default(), order.to_string()).await;
    let path = format!("{}?after={}", placed.header("location"), placed.header("factum-position"));
    let view = shop.send(Method::GET, &path, Headers::default(), Body::empty()).await;
    assert_eq!((view.status, &view.body["totalAmount"]["amount"]), (200, &json!(300)));
    assert_eq!(shop.get("/products/NEW%2fSKU").await.body["name"], "new");
}

#[tokio::test]
async fn an_article_is_priced_right_behind_its_registration_also_by_who_names_no_position() {
    let shop = Shop::open().await;
    for number in 0..60 {
        let sku = format!("NEW{number}");
        let registered = json!({ "name": "new", "price": "2.55" });
        shop.put(&format!("/products/{sku}"), &registered).await;
        let order = json!({ "items": [{ "sku": sku, "quantity": 2 }] }).to_string();
        let placed = shop.send(Method::POST, "/orders", Headers::default(), order).await;
        let seen = shop.get(&format!("/orders/{}", placed.order())).await;
        assert_eq!(seen.body["totalAmount"]["amount"], 510, "{seen:?}");
    }
}

#[tokio::test]
async fn a_position_that_never_comes_is_waited_for_in_vain() {
    let shop = Shop::open().await;
    tokio::time::pause();
    let path = format!("/stock?after=main:{}:99999999", shop.app.lineage().epoch);
    let answer = shop.send(Method::GET, &path, Headers::default(), Body::empty()).await;
    answer.refuses(503, "late", "99999999");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn ids_in_paths_are_decoded_and_checked() {
    let shop = Shop::open().await;
    for bad in ["a%00b", "a%0Ab", "%FF", &"x".repeat(129), &"%C3%9F".repeat(65)] {
        for path in ["/orders/", "/products/", "/stock/", "/customers/", "/payments/", "/shipments/", "/checks/"] {
            shop.get(&format!("{path}{bad}")).await.refuses(400, "bad_id", "id in the path");
        }
        shop.post(&format!("/orders/{bad}/cancel"), &json!({})).await.refuses(400, "bad_id", "id in the path");
        shop.post(&format!("/stock/{bad}/receive"), &json!({ "quantity": 1 })).await.refuses(400, "bad_id", "id");
    }
    for path in ["/orders/no", "/products/no", "/stock/no", "/customers/no", "/payments/no", "/checks/%F0%9F%A6%80"] {
        shop.get(path).await.refuses(404, "not_found", "there is no");
    }
    for (path, body) in [
        ("/orders/no/cancel", json!({})),
        ("/orders/no/return", json!({ "items": [{ "sku": "TEA", "quantity": 1 }] })),
        ("/orders/no/hold/release", json!({ "verdict": "cleared" })),
    ] {
        shop.post(path, &body).await.refuses(404, "unknown_order", "no order no");
    }
    shop.get("/nowhere").await.refuses(404, "no_such_path", "/nowhere");
    let answer = shop.put("/orders", &json!({})).await;
    answer.refuses(405, "no_such_method", "PUT");
    assert!(answer.header("allow").contains("POST"));
}

#[tokio::test]
async fn lists_are_paged_newest_first() {
    let shop = Shop::open().await;
    let mut orders = Vec::new();
    // Times of one second whose texts would sort otherwise.
    for fraction in ["", ".1", ".123456", ".2", ".25"] {
        shop.app.advance(format!("2025-01-01T00:00:01{fraction}Z").parse().unwrap());
        let order = json!({ "customerId": "c/1 &", "items": [{ "sku": "TEA", "quantity": 1 }] });
        orders.push(shop.post("/orders", &order).await.order());
    }
    shop.post("/orders", &tea(1)).await.order();
    shop.app.rest().await.unwrap();
    orders.reverse();
    let mut path = "/orders?customer=c%2F1%20%26&size=2".to_owned();
    let mut seen = Vec::new();
    for page in 1..=3 {
        let list = shop.get(&path).await.body;
        assert_eq!((&list["total"], &list["page"], &list["size"]), (&json!(5), &json!(page), &json!(2)), "{list}");
        seen.extend(list["items"].as_array().unwrap().iter().map(|o| o["orderId"].as_str().unwrap().to_owned()));
        assert_eq!(list["links"]["prev"].is_string(), page > 1);
        match list["links"]["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => assert_eq!(page, 3),
        }
    }
    assert_eq!(seen, orders);
    assert_eq!(shop.get("/orders?status=shipped").await.body["total"], 6);
    assert_eq!(shop.get("/orders?status=delivered").await.body["total"], 0);
    for (query, says) in [
        ("status=lost", "status"),
        ("page=0", "from 1"),
        ("page=-1", "page"),
        ("page=x", "page"),
        ("page=18446744073709551615", "page"),
        ("size=201", "1 to 200"),
        ("size=0", "1 to 200"),
        ("after=main:x", "position"),
    ] {
        shop.get(&format!("/orders?{query}")).await.refuses(400, "bad_query", says);
    }
}

#[tokio::test]
async fn products_are_registered_changed_and_refused() {
    let shop = Shop::open().await;
    for (body, field) in [
        (json!({ "name": "x", "price": 2.55 }), "`price`"),
        (json!({ "name": "x", "price": "2,55" }), "`price`"),
        (json!({ "price": "2.55" }), "name"),
    ] {
        shop.put("/products/X", &body).await.refuses(422, "bad_field", field);
    }
    shop.put("/products/X", &json!({ "name": "x", "price": "-1" })).await.refuses(422, "negative_price", "-1");
    let before = shop.app.position();
    let changed = json!({ "name": "tea", "price": "2.60", "active": false });
    assert_eq!(shop.put("/products/tea", &changed).await.status, 200);
    assert_eq!(shop.events(before, "product-TEA"), ["product.changed"]);
    let product = shop.get("/products/TEA").await.body;
    assert_eq!((&product["price"]["amount"], &product["active"]), (&json!("2.60"), &json!(false)));
    assert_eq!(shop.get("/products?size=1").await.body["total"], 2);
}

#[tokio::test]
async fn another_currency_is_refused_wherever_money_is_sent() {
    let shop = Shop::open().await;
    let cart = shop.post("/carts", &json!({})).await.body["cartId"].as_str().unwrap().to_owned();
    let before = shop.app.position();
    let tea = |currency: Value| json!({ "name": "tea", "price": "2.60", "currency": currency });
    shop.put("/products/TEA", &tea(json!("USD"))).await.refuses(422, "foreign_currency", "`currency` is USD");
    for currency in [json!("gbp"), json!(826), json!(["USD"])] {
        shop.put("/products/TEA", &tea(currency)).await.refuses(422, "bad_field", "`currency`");
    }
    let twice = r#"{"name":"tea","price":"2.60","currency":"USD","currency":"GBP"}"#;
    let sent = shop.send(Method::PUT, "/products/TEA", Headers::default(), twice).await;
    sent.refuses(422, "bad_field", "duplicate field `currency`");
    let total = json!({ "total": { "amount": 1, "currency": "USD" } });
    let checked_out = shop.post(&format!("/carts/{cart}/check-out"), &total).await;
    checked_out.refuses(422, "foreign_currency", "`total.currency` is USD");
    assert_eq!(shop.app.position(), before);
    for currency in [json!("GBP"), Value::Null] {
        assert_eq!(shop.put("/products/TEA", &tea(currency)).await.status, 200);
    }
}

#[tokio::test]
async fn stock_is_received_and_adjusted() {
    let shop = Shop::open().await;
    let adjust = |quantity: i64| json!({ "quantity": quantity, "reason": "found" });
    assert_eq!(shop.post("/stock/TEA/adjust", &adjust(7)).await.status, 200);
    assert_eq!(shop.post("/stock/TEA/adjust", &adjust(-2)).await.status, 200);
    shop.post("/stock/TEA/adjust", &adjust(-200_000)).await.refuses(422, "not_in_stock", "100005");
    shop.post("/stock/TEA/adjust", &adjust(i64::MIN)).await.refuses(422, "bad_quantity", "whole number");
    shop.post("/stock/TEA/adjust", &json!({ "quantity": 1 })).await.refuses(422, "bad_field", "reason");
    shop.post("/stock/TEA/receive", &json!({ "quantity": 0 })).await.refuses(422, "bad_quantity", "from 1");
    shop.post("/stock/TEA/receive", &json!({})).await.refuses(422, "bad_quantity", "missing");
    let stock = shop.get("/stock/TEA").await.body;
    assert_eq!((&stock["available"], &stock["adjusted"]), (&json!(100_005), &json!(5)));
    assert_eq!(shop.get("/stock").await.body["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn customers_are_registered_and_updated_by_the_same_request() {
    let shop = Shop::open().await;
    let before = shop.app.position();
    assert_eq!(shop.put("/customers/c-1", &json!({ "name": "Ada", "phone": "1" })).await.status, 200);
    assert_eq!(shop.put("/customers/c-1", &json!({ "email": "a@b.c", "name": "Ada" })).await.status, 200);
    assert_eq!(shop.events(before, "customer-c-1"), ["customer.registered", "customer.updated"]);
    let customer = shop.get("/customers/c-1").await.body;
    assert_eq!(
        (&customer["name"], &customer["phone"], &customer["email"]),
        (&json!("Ada"), &json!("1"), &json!("a@b.c"))
    );

    let key = Headers(&[("idempotency-key", "k")]);
    let send =
        async |name: &str| shop.send(Method::PUT, "/customers/c-2", key, json!({ "name": name }).to_string()).await;
    assert_eq!(send("Bob").await.status, 200);
    assert_eq!(shop.put("/customers/c-2", &json!({ "name": "Bert" })).await.status, 200);
    assert_eq!(send("Bob").await.status, 200);
    assert_eq!(shop.get("/customers/c-2").await.body["name"], "Bert", "a repeated request changes nothing");
    let key = Headers(&[("idempotency-key", "k-3")]);
    let called = json!({ "name": "Carla" }).to_string();
    let first = shop.send(Method::PUT, "/customers/c-2", key, called.clone()).await;
    let again = shop.send(Method::PUT, "/customers/c-2", key, called).await;
    assert_eq!(
        again.header("factum-position"),
        first.header("factum-position"),
        "it stands for less than what was done"
    );
    send("Bill").await.refuses(409, "id_reused", "another body");
    assert_eq!(shop.get("/customers").await.body["total"], 2);
}

#[tokio::test]
async fn health_tells_how_everything_stands() {
    let shop = Shop::open().await;
    let health = shop.get("/health").await;
    assert_eq!((health.status, &health.body["live"], &health.body["ready"]), (200, &json!(true), &json!(true)));
    assert_eq!(health.body["head"], shop.app.position().0);
    assert!(health.body["views"]["orders"]["position"].is_u64(), "{}", health.body);
    assert_eq!([shop.get("/live").await.status, shop.get("/ready").await.status], [200, 200]);
    assert_eq!(shop.get("/factum/v1/letters").await.body, json!({ "letters": [], "total": 0 }));
    let consumers = shop.get("/factum/v1/consumers").await.body;
    let names = consumers["consumers"].as_array().unwrap().iter().map(|consumer| &consumer["name"]);
    assert!(names.into_iter().any(|name| name == "order.fulfilment"), "{consumers}");
    shop.app.stop().await;
    shop.post("/orders", &tea(1)).await.refuses(503, "stopped", "stopped");
}

#[tokio::test]
async fn an_articles_number_is_one_however_it_is_written_and_what_nobody_sees_is_named() {
    let shop = Shop::open().await;
    let product = json!({ "name": "Coffee", "price": "2.55" });
    assert_eq!(shop.put("/products/caf%C3%A9", &product).await.status, 200);
    for same in ["CAFE%CC%81", "%20caf%C3%A9%20", "cafe%CC%81"] {
        assert_eq!(shop.get(&format!("/products/{same}")).await.body["sku"], "CAF\u{c9}", "{same}");
        let received = shop.post(&format!("/stock/{same}/receive"), &json!({ "quantity": 1 })).await;
        assert_eq!((received.status, &received.body["sku"]), (200, &json!("CAF\u{c9}")));
    }
    let order = shop.post("/orders", &json!({ "items": [{ "sku": " cafe\u{301}", "quantity": 3 }] })).await.order();
    shop.days(6).await;
    assert_eq!(shop.get(&format!("/orders/{order}")).await.body["status"], "delivered");

    for (path, point) in [("TEA%E2%80%8B", "U+200B"), ("%E2%80%AETEA", "U+202E"), ("T%C2%A0EA", "U+00A0")] {
        shop.put(&format!("/products/{path}"), &product).await.refuses(400, "bad_id", point);
        shop.post(&format!("/stock/{path}/receive"), &json!({ "quantity": 1 })).await.refuses(400, "bad_id", point);
    }
    let hidden = json!({ "items": [{ "sku": "TEA", "quantity": 1 }, { "sku": "TEA\u{200b}", "quantity": 1 }] });
    shop.post("/orders", &hidden).await.refuses(422, "bad_id", "line 2: the sku: it holds U+200B");
}
