//! Money, whatever a provider does: nothing stays held, nothing is taken or given back twice, and the order says what is open.

use serde_json::{Value, json};

use crate::{
    gateways::{Outside, Seen, Trouble, needs_person, news_of, ordered, shipment, status, told},
    shop::Shop,
};

/// It is brought.
async fn arrives(shop: &Shop, order: &str) {
    let parcel = shipment(shop, order).await;
    assert_eq!(told(shop, &news_of(&parcel, "delivered", "2025-01-01T00:01:00Z")).await.status, 202);
    shop.app.rest().await.unwrap();
    assert_eq!(status(shop, order).await, "delivered");
}

async fn payment(shop: &Shop, order: &str) -> Value {
    shop.get(&format!("/payments?order={order}")).await.body["items"][0].clone()
}

fn is_well(shop: &Shop) {
    let findings = shop::check::check(&factum::Archive::of(shop.app.reader())).unwrap();
    assert_eq!(findings.problems, Vec::<String>::new());
}

/// Row 1: the pivot's own act was refused. What was held is let go, and the goods are free.
#[tokio::test]
async fn a_refused_capture_is_undone() {
    let (outside, url) = Outside::open().await;
    outside.trouble("capture", [Trouble::Refused]);
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    let view = shop.get(&format!("/orders/{order}")).await.body;
    assert_eq!((&view["status"], &view["reason"]), (&json!("cancelled"), &json!("payment_failed")));
    assert_eq!(view["paymentReason"], "card_declined");
    assert_eq!((outside.done("authorize"), outside.done("capture"), outside.done("void")), (1, 0, 1));
    assert_eq!(payment(&shop, &order).await["status"], "voided");
    assert_eq!(shop.get("/stock/TEA").await.body["available"], 100_000);
    shop.post(&format!("/orders/{order}/cancel"), &json!({})).await;
    is_well(&shop);
}

/// Row 2: nobody knows whether the money is held; so it is let go of at the provider.
#[tokio::test]
async fn an_authorisation_that_nobody_knows_of_is_voided() {
    let (outside, url) = Outside::open().await;
    outside.trouble("authorize", std::iter::repeat_with(|| Trouble::AnswerLost).take(20));
    outside.trouble("calls", std::iter::repeat_with(|| Trouble::RequestLost).take(20));
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    shop.hours(1).await;
    assert_eq!(status(&shop, &order).await, "cancelled");
    assert!(outside.done("void") == 1 && outside.done("capture") == 0, "{:?}", outside.asked());
    assert_eq!(payment(&shop, &order).await["status"], "voided");
    is_well(&shop);
}

/// Row 3: 409 under our own key is "under way", and no answer.
#[tokio::test]
async fn a_request_that_is_under_way_is_looked_up_and_asked_again() {
    let (outside, url) = Outside::open().await;
    outside.trouble("authorize", [Trouble::UnderWay]);
    outside.trouble("capture", [Trouble::UnderWay, Trouble::UnderWay]);
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    assert_eq!(status(&shop, &order).await, "shipped");
    assert_eq!((outside.done("authorize"), outside.done("capture")), (1, 1));
    let keys: Vec<String> = outside.seen("capture").into_iter().map(|seen| seen.key).collect();
    assert!(keys.len() == 3 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    is_well(&shop);
}

/// Row 4: a provider that is away for an hour, and one that refuses to give back until a person has seen to it.
#[tokio::test]
async fn what_is_owed_is_asked_for_until_it_is_paid_and_shown_meanwhile() {
    let (outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    arrives(&shop, &order).await;
    outside.trouble("refund", std::iter::repeat_with(|| Trouble::Busy).take(60));
    let back = json!({ "items": [{ "sku": "TEA", "quantity": 1 }] });
    assert_eq!(shop.post(&format!("/orders/{order}/return"), &back).await.status, 202);
    shop.a_minute().await;
    assert_eq!(shop.get(&format!("/orders/{order}")).await.body["paymentOpen"], "refund");
    let open = shop.get("/payments?open=refund").await.body;
    assert_eq!(open["items"].as_array().unwrap().len(), 1);
    shop.hours(12).await;
    assert_eq!(outside.done("refund"), 1, "after {} attempts", outside.seen("refund").len());
    assert_eq!(shop.get(&format!("/orders/{order}")).await.body["paymentOpen"], Value::Null);

    outside.trouble("refund", [Trouble::Refused]);
    assert_eq!(shop.post(&format!("/orders/{order}/return"), &back).await.status, 202);
    shop.app.rest().await.unwrap();
    let view = shop.get(&format!("/orders/{order}")).await.body;
    assert_eq!((&view["paymentOpen"], &view["paymentRefused"]), (&json!("refund"), &json!("card_declined")));
    let row = payment(&shop, &order).await;
    let (id, refunds) = (row["paymentId"].as_str().unwrap(), row["openRefunds"].as_object().unwrap());
    let (refund, open) = refunds.iter().next().unwrap();
    assert_eq!((refunds.len(), &open["refused"], &open["amount"]["amount"]), (1, &json!("card_declined"), &json!(255)));
    assert_eq!(row["openAmount"]["amount"], 255);
    assert!(row["openSince"].is_string());
    let reasons = needs_person(&shop).await;
    assert!(reasons.contains(&format!("1 row of payments needs a person: {id}")), "{reasons}");
    let again = shop.post(&format!("/payments/{id}/retry"), &json!({ "refundId": refund })).await;
    assert_eq!(again.status, 202, "{again:?}");
    shop.app.rest().await.unwrap();
    assert_eq!((outside.done("refund"), payment(&shop, &order).await["refunded"]["amount"].clone()), (2, json!(510)));
    assert_eq!(needs_person(&shop).await, "");
    let vain = shop.post(&format!("/payments/{id}/retry"), &json!({ "refundId": refund })).await;
    vain.refuses(409, "nothing_to_retry", "nothing of payment");
    is_well(&shop);
}

/// Row 5: there is nothing to pay, and nobody is asked.
#[tokio::test]
async fn an_order_of_nothing_asks_no_provider() {
    let (outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    shop.put("/products/GIFT", &json!({ "name": "gift", "price": "0.00" })).await;
    shop.post("/stock/GIFT/receive", &json!({ "quantity": 5 })).await;
    shop.app.rest().await.unwrap();
    let order = json!({ "items": [{ "sku": "GIFT", "quantity": 2 }], "shippingAddress": { "country": "GB" } });
    let order = shop.post("/orders", &order).await.order();
    shop.a_minute().await;
    assert_eq!((status(&shop, &order).await, outside.asked()), (json!("shipped"), vec!["shipments".to_owned()]));
    is_well(&shop);
}

/// Row 6: two returns at once, and thirds of a penny.
#[tokio::test]
async fn returns_at_once_or_one_by_one_give_back_what_was_paid() {
    let (outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    let order = json!({ "items": [{ "sku": "CUP", "quantity": 3 }], "shippingAddress": { "country": "GB" } });
    let order = shop.post("/orders", &order).await.order();
    shop.a_minute().await;
    arrives(&shop, &order).await;
    let back = json!({ "items": [{ "sku": "CUP", "quantity": 1 }] });
    let path = format!("/orders/{order}/return");
    let (one, two) = tokio::join!(shop.post(&path, &back), shop.post(&path, &back));
    assert_eq!((one.status, two.status), (202, 202));
    assert_eq!(shop.post(&path, &back).await.status, 202);
    shop.post(&path, &back).await.refuses(422, "not_that_many", "0 left");
    shop.a_minute().await;
    let paid = outside.seen("capture")[0].body["amount"]["amount"].as_i64().unwrap();
    let given = |seen: &Seen| seen.body["amount"]["amount"].as_i64().unwrap();
    assert_eq!((outside.seen("refund").iter().map(given).sum::<i64>(), outside.done("refund")), (paid, 3));
    is_well(&shop);
}

/// One article at two prices: what comes back says of which line it is.
#[tokio::test]
async fn a_return_may_name_the_line() {
    let (outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    let items =
        json!([{ "sku": "TEA", "quantity": 2 }, { "sku": "CUP", "quantity": 1 }, { "sku": "TEA", "quantity": 3 }]);
    let order = json!({ "items": items, "shippingAddress": { "country": "GB" } });
    let order = shop.post("/orders", &order).await.order();
    shop.a_minute().await;
    arrives(&shop, &order).await;
    let path = format!("/orders/{order}/return");
    let of = |line: Value, quantity: u32| json!({ "items": [{ "sku": "TEA", "quantity": quantity, "line": line }] });
    shop.post(&path, &of(json!(2), 1)).await.refuses(422, "not_in_that_line", "of line 2: it has 0 left");
    shop.post(&path, &of(json!(3), 4)).await.refuses(422, "not_in_that_line", "of line 3: it has 3 left");
    for wrong in [json!("3"), json!(-1), json!(1.5), json!(4_294_967_296_u64)] {
        assert_eq!(shop.post(&path, &of(wrong.clone(), 1)).await.status, 422, "{wrong}");
    }
    assert_eq!(shop.post(&path, &of(json!(3), 3)).await.status, 202);
    shop.post(&path, &of(json!(3), 1)).await.refuses(422, "not_in_that_line", "0 left");
    assert_eq!(shop.post(&path, &of(Value::Null, 2)).await.status, 202);
    shop.a_minute().await;
    let view = shop.get(&format!("/orders/{order}")).await.body;
    assert_eq!(view["returnedItems"][0], json!({ "sku": "TEA", "quantity": 3, "line": 3 }));
    assert_eq!(view["returnedItems"][1], json!({ "sku": "TEA", "quantity": 2 }));
    assert_eq!(outside.done("refund"), 2);
    is_well(&shop);
}

/// A parcel that is lost on its way: all of it is paid back, and nothing of it comes to the shelves.
#[tokio::test]
async fn a_lost_parcel_is_paid_back() {
    let (outside, url) = Outside::open().await;
    let shop = Shop::calling(&url).await;
    let order = ordered(&shop).await;
    let parcel = shipment(&shop, &order).await;
    assert_eq!(told(&shop, &news_of(&parcel, "failed", "2025-01-01T00:01:00Z")).await.status, 202);
    shop.app.rest().await.unwrap();
    shop.a_minute().await;
    let view = shop.get(&format!("/orders/{order}")).await.body;
    assert_eq!((&view["status"], &view["reason"]), (&json!("returned"), &json!("lost")));
    assert_eq!((outside.done("refund"), payment(&shop, &order).await["refunded"]["amount"].clone()), (1, json!(510)));
    assert_eq!(shop.get("/stock/TEA").await.body["available"], 99_998);
    is_well(&shop);
}
