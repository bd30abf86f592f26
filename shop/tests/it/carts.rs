//! Carts over HTTP, until they are an order or are left.

use factum::stream::Position;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::shop::Shop;

/// A cart with two teas and a cup: 5.24.
async fn cart(shop: &Shop, customer: Option<&str>) -> String {
    let opened = shop.post("/carts", &json!({ "customerId": customer })).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    let cart = opened.body["links"]["self"].as_str().unwrap().to_owned();
    assert_eq!(opened.header("location"), cart);
    for (sku, quantity) in [("tea", 1), ("CUP", 1), ("TEA", 1)] {
        let added = shop.post(&format!("{cart}/items"), &json!({ "sku": sku, "quantity": quantity })).await;
        assert_eq!((added.status, &added.body), (200, &json!({ "cartId": id(&cart), "links": links(&cart) })));
    }
    cart
}

fn id(cart: &str) -> &str {
    cart.strip_prefix("/carts/").unwrap()
}

fn links(cart: &str) -> Value {
    json!({ "self": cart, "items": format!("{cart}/items"), "checkOut": format!("{cart}/check-out") })
}

async fn orders(shop: &Shop) -> Value {
    shop.app.rest().await.unwrap();
    shop.get("/orders").await.body["total"].clone()
}

#[tokio::test]
async fn a_cart_becomes_one_order_however_often_it_is_checked_out() {
    let shop = Shop::open().await;
    let cart = cart(&shop, None).await;
    let wanted = json!({ "customerId": "c-1", "shippingAddress": { "country": "GB", "city": "Hull" } });
    let path = format!("{cart}/check-out");
    // Asked four times at once, and once more later.
    let answers = join_all((0..4).map(|_| shop.post(&path, &wanted))).await;
    for answer in answers.iter().chain([&shop.post(&path, &json!({})).await]) {
        assert_eq!((answer.status, answer.header("location")), (202, format!("/orders/cart-{}", id(&cart)).as_str()));
    }
    // Told twice.
    let again = json!({ "act": "redeliver", "consumer": "order.carts", "by": "mara" });
    let plan = shop.post("/factum/v1/plans", &again).await.body["plan"].clone();
    let approve = format!("/factum/v1/plans/{}/approve", plan["id"].as_str().unwrap());
    let approved = shop.post(&approve, &json!({ "by": "mara", "hash": plan["hash"] })).await;
    assert!(approved.status < 300, "{approved:?}");
    assert_eq!(orders(&shop).await, 1);
    let created = shop.events(Position::START, &format!("order-cart-{}", id(&cart)));
    assert_eq!(created.iter().filter(|event| *event == "order.created").count(), 1);
    shop.days(6).await;
    let order = shop.get(answers[0].header("location")).await.body;
    assert_eq!((&order["status"], &order["totalAmount"]["amount"]), (&json!("delivered"), &json!(524)));
    assert_eq!((&order["customerId"], &order["itemCount"]), (&json!("c-1"), &json!(3)));
    let row = shop.get(&cart).await.body;
    assert_eq!((&row["status"], &row["orderId"]), (&json!("checked_out"), &order["orderId"]));
    let refused = shop.post(&format!("{cart}/items"), &json!({ "sku": "TEA", "quantity": 1 })).await;
    refused.refuses(409, "cart_ended", "is checked out and does not change any more");
    let life =
        ["created", "item_added", "item_added", "item_added", "checked_out"].map(|event| format!("cart.{event}"));
    assert_eq!(shop.events(Position::START, &format!("cart-{}", id(&cart))), life);
}

#[tokio::test]
async fn what_goes_in_and_out_is_in_the_cart_or_refused_in_a_sentence() {
    let shop = Shop::open().await;
    let cart = cart(&shop, Some("c-1")).await;
    let row = shop.get(&cart).await.body;
    assert_eq!((&row["total"]["amount"], row["items"].as_array().unwrap().len()), (&json!(524), 2));
    let remove = async |sku: &str| {
        let headers = crate::shop::Headers::default();
        shop.send(axum::http::Method::DELETE, &format!("{cart}/items/{sku}"), headers, "").await
    };
    assert_eq!(remove("tea?quantity=1").await.status, 200);
    assert_eq!(shop.get(&cart).await.body["total"]["amount"], 269);
    remove("TEA?quantity=2").await.refuses(422, "not_that_many", "there are 1 in the cart");
    remove("TEA?quantity=0").await.refuses(422, "bad_quantity", "1 to 1000000000");
    remove("TEA?quantity=x").await.refuses(400, "bad_query", "quantity");
    assert_eq!(remove("CUP").await.status, 200);
    remove("CUP").await.refuses(404, "not_in_the_cart", "CUP is not in cart");
    let add = async |sku: &str, quantity: Value| {
        shop.post(&format!("{cart}/items"), &json!({ "sku": sku, "quantity": quantity })).await
    };
    add("MUG", json!(1)).await.refuses(422, "unknown_product", "no product MUG");
    add("TEA", json!(-1)).await.refuses(422, "bad_quantity", "the quantity of TEA is -1");
    let off = json!({ "name": "cup", "price": "0.135", "active": false });
    assert_eq!(shop.put("/products/CUP", &off).await.status, 200);
    shop.app.rest().await.unwrap();
    add("CUP", json!(1)).await.refuses(422, "not_for_sale", "CUP is not for sale");
    shop.post("/carts/none/items", &json!({ "sku": "TEA", "quantity": 1 })).await.refuses(404, "unknown_cart", "none");
    shop.post("/carts/none/check-out", &json!({})).await.refuses(404, "not_found", "none");
    assert_eq!(remove("TEA").await.status, 200);
    shop.post(&format!("{cart}/check-out"), &json!({})).await.refuses(409, "empty_cart", "put something in");
    // Under its key a request is done once.
    let path = format!("{cart}/items");
    let tea = json!({ "sku": "TEA", "quantity": 3 });
    for _ in 0..2 {
        assert_eq!(shop.post_as("k-1", &path, &tea).await.status, 200);
    }
    let opened = [shop.post_as("k-2", "/carts", &json!({})).await, shop.post_as("k-2", "/carts", &json!({})).await];
    assert_eq!((opened[0].status, opened[0].header("location")), (201, opened[1].header("location")));
    assert_eq!(shop.get(&cart).await.body["items"][0]["quantity"], 3);
    assert_eq!(shop.get("/carts?customer=c-1&status=open").await.body["total"], 1);
}

#[tokio::test]
async fn a_price_that_has_changed_since_is_agreed_to_first() {
    let shop = Shop::open().await;
    let cart = cart(&shop, None).await;
    assert_eq!(shop.put("/products/TEA", &json!({ "name": "tea", "price": "3.00" })).await.status, 200);
    shop.app.rest().await.unwrap();
    let path = format!("{cart}/check-out");
    shop.post(&path, &json!({})).await.refuses(409, "total_changed", "comes to 6.14 GBP, not to 5.24 GBP");
    assert_eq!(orders(&shop).await, 0);
    let agreed = json!({ "total": { "amount": 614, "currency": "GBP" } });
    let order = shop.post(&path, &agreed).await;
    assert_eq!(order.status, 202);
    shop.app.rest().await.unwrap();
    assert_eq!(shop.get(order.header("location")).await.body["totalAmount"]["amount"], 614);
}

#[tokio::test]
async fn a_cart_that_nobody_changes_for_a_day_is_abandoned_and_its_customer_reminded() {
    let shop = Shop::open().await;
    let ann = json!({ "name": "Ann", "email": "ann@b.example" });
    assert_eq!(shop.put("/customers/ann", &ann).await.status, 200);
    let (left, changed, given_up) =
        (cart(&shop, Some("ann")).await, cart(&shop, Some("ann")).await, cart(&shop, Some("ann")).await);
    shop.hours(23).await;
    assert_eq!(shop.get("/carts?status=open").await.body["total"], 3);
    let tea = json!({ "sku": "TEA", "quantity": 1 });
    assert_eq!(shop.post(&format!("{changed}/items"), &tea).await.status, 200);
    let abandoned = shop.post(&format!("{given_up}/abandon"), &json!({})).await;
    assert_eq!(abandoned.status, 200, "{abandoned:?}");
    shop.hours(25).await;
    let status = async |cart: &str| {
        let row = shop.get(cart).await.body;
        [row["status"].clone(), row["reason"].clone()]
    };
    assert_eq!(status(&left).await, [json!("abandoned"), json!("timed_out")]);
    assert_eq!(status(&changed).await, [json!("open"), Value::Null]);
    assert_eq!(status(&given_up).await, [json!("abandoned"), json!("customer")]);
    shop.post(&format!("{left}/items"), &tea).await.refuses(409, "cart_ended", "is abandoned");
    // Of the one that was left, by mail and push.
    let told = async || {
        let told = shop.get("/notifications?customer=ann").await.body["items"].as_array().unwrap().clone();
        told.iter().filter(|row| row["template"] == "cart_abandoned").cloned().collect::<Vec<_>>()
    };
    let rows = told().await;
    assert!(rows.len() == 2 && rows.iter().all(|row| row["body"].as_str().unwrap().contains("tea, cup")), "{rows:#?}");
    shop.hours(47).await;
    assert_eq!(status(&changed).await[0], "abandoned");
    assert_eq!((told().await.len(), orders(&shop).await), (4, json!(0)));
}
