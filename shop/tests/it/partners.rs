//! Whom a directory's calls go to: nobody else gets what is open, and a partner who is only played is named.

use std::path::Path;

use factum::{App, http::client::Remote, money::Currency};
use serde_json::json;
use shop::{
    contracts::{catalog::RegisterProduct, inventory::ReceiveStock, order::CreateOrder, shapes::Line},
    money::{pence, price},
    partners::{Partners, refuse_others},
    serve::{Serve, serve_until},
    services::{Options, equipped},
    shipping::signature::Secret,
};
use tokio::net::TcpListener;

use crate::{
    gateways::Outside,
    imports::{self, committed},
    shop::{DAY, Shop},
};

/// An address where nobody listens.
async fn nobody() -> Remote {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
}

/// A shop that waits for its provider, and is stopped.
async fn waits_for(provider: &Remote, dir: &Path) {
    let options = Options { provider: Some(provider.clone()), ..Options::default() };
    let app = equipped(App::open(dir).unwrap(), &options).start().await.unwrap();
    app.execute(Partners::of(Some(provider), None).choose()).await.unwrap();
    let (name, price) = ("tea".to_owned(), price("2.55").unwrap());
    let line = Line::goods(1, "TEA".into(), "tea", 2, price.clone()).unwrap();
    assert_eq!(line.amount.currency, Currency::GBP);
    app.execute(RegisterProduct { sku: "TEA".into(), name, price, active: true }).await.unwrap();
    app.execute(ReceiveStock { sku: "TEA".into(), quantity: 9, warehouse_id: "main".into() }).await.unwrap();
    let ordered = CreateOrder {
        channel: Default::default(),
        order_id: "o-1".into(),
        customer_id: None,
        cart_id: None,
        items: vec![line],
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(510),
        shipping_address: None,
        payment_method: None,
    };
    app.execute(ordered).await.unwrap();
    let opened = async {
        while !app.health().dependencies.iter().any(|dependency| dependency.attempts > 0) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), opened).await.unwrap();
    app.stop().await;
}

fn serving(dir: &Path) -> Serve {
    Serve {
        data: dir.into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        day: DAY,
        provider: None,
        provider_lists: false,
        carrier: None,
        carrier_secret: None,
        process: shop::contracts::process::Process::Orchestrated,
        patience: shop::contracts::process::PATIENCE,
        answer_within: shop::contracts::process::ANSWER_WITHIN,
        channels: Default::default(),
        abandon_carts: std::time::Duration::from_secs(86_400),
        moved: false,
        hold_unknown: false,
        points: Default::default(),
        part: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_calls_are_not_handed_to_another_partner() {
    let dir = tempfile::tempdir().unwrap();
    let provider = nobody().await;
    waits_for(&provider, dir.path()).await;

    let refused = serve_until(serving(dir.path()), async {}).await.unwrap_err().to_string();
    for says in
        [provider.to_string().as_str(), "the carrier simulated", "1 open call,", "start it as before", "--moved"]
    {
        assert!(refused.contains(says), "{refused}");
    }
    // An import would hand them to its own, who are simulated.
    let file = committed();
    let (done, _, error) = imports::text(&mut imports::shop(&["import", file.to_str().unwrap()], dir.path()));
    assert!(!done && error.contains("was run with the provider http://"), "{error}");

    let same = Serve { provider: Some(provider.clone()), ..serving(dir.path()) };
    // Nor to another way of running orders.
    let other = Serve { process: shop::contracts::process::Process::Choreographed, ..same.clone() };
    let refused = serve_until(other, async {}).await.unwrap_err().to_string();
    for says in ["is run orchestrated, and 1 order under way", "does not start choreographed", "--process orchestrated"]
    {
        assert!(refused.contains(says), "{refused}");
    }
    serve_until(same, async {}).await.unwrap();
    // The same partner at another address; from now on that one counts.
    let there = nobody().await;
    let moved = Serve { provider: Some(there.clone()), moved: true, ..serving(dir.path()) };
    serve_until(moved, async {}).await.unwrap();
    refuse_others(&dir.path().into(), &Partners::of(Some(&there), None)).unwrap();
    assert!(refuse_others(&dir.path().into(), &Partners::of(Some(&provider), None)).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_partner_is_listed_also_while_nobody_serves() {
    let dir = tempfile::tempdir().unwrap();
    waits_for(&nobody().await, dir.path()).await;
    let told = |args: &[&str]| imports::text(&mut imports::shop(args, dir.path()));
    let (done, text, error) = told(&["payments", "--open"]);
    assert!(done && error.is_empty(), "{error}");
    for says in ["pay-o-1", "opened", "authorize", "£5.10", "1 open: the provider is asked until it answers"] {
        assert!(text.contains(says), "no {says} in {text}");
    }
    let (_, lines, _) = told(&["payments", "--open", "--order", "o-1", "--json"]);
    let row: serde_json::Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(
        (&row["open"], &row["openAmount"]["amount"], &row["orderId"]),
        (&json!("authorize"), &json!(510), &json!("o-1"))
    );
    assert_eq!(told(&["payments", "--order", "o-2", "--json"]).1, "");
    assert_eq!(told(&["payments", "--order", "o-2"]).1, "There are no payments of order o-2.\n");
    assert_eq!(
        told(&["payments", "--open", "--order", "o-2"]).1,
        "Nothing of order o-2 is open: all that was decided with the provider is done.\n"
    );
}

/// Money that a real provider has taken is not given back by one who is only played.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_taken_money_is_not_replaced_by_a_simulation() {
    let (outside, url) = Outside::open().await;
    let dir = tempfile::tempdir().unwrap();
    let options = Options { provider: Some(url.clone()), ..Options::default() };
    let app = equipped(App::open(dir.path()).unwrap(), &options).start().await.unwrap();
    app.execute(Partners::of(Some(&url), None).choose()).await.unwrap();
    let paid = imports::paid_order(&app, "o-1").await;
    assert_eq!((outside.done("capture"), paid), (1, 510));
    app.stop().await;
    drop(app);
    let refused = serve_until(serving(dir.path()), async {}).await.unwrap_err().to_string();
    for says in [url.to_string().as_str(), "would only be simulated", "510 pence", "--provider and --carrier as before"]
    {
        assert!(refused.contains(says), "{refused}");
    }
    let (done, _, error) = imports::text(&mut imports::shop(&["import", committed().to_str().unwrap()], dir.path()));
    assert!(!done && error.contains("would only be simulated"), "{error}");
    serve_until(Serve { provider: Some(url), ..serving(dir.path()) }, async {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_open_another_partner_may_come() {
    let dir = tempfile::tempdir().unwrap();
    serve_until(serving(dir.path()), async {}).await.unwrap();
    let carrier = nobody().await;
    let without = Serve { carrier: Some(carrier.clone()), ..serving(dir.path()) };
    let refused = serve_until(without.clone(), async {}).await.unwrap_err().to_string();
    assert!(refused.contains("--carrier-secret") && refused.contains("SHOP_CARRIER_SECRET"), "{refused}");
    let secret = Some(Secret::new(b"what only the two know").unwrap());
    serve_until(Serve { carrier_secret: secret, ..without }, async {}).await.unwrap();
}

#[tokio::test]
async fn who_is_only_played_is_said_in_health_and_on_the_order() {
    let shop = Shop::open().await;
    let about = async |shop: &Shop, partner: &str| shop.get("/health").await.body["about"][partner].clone();
    for partner in ["provider", "carrier", "mail", "sms", "push"] {
        assert_eq!(about(&shop, partner).await, "simulated");
    }
    let ordered = shop.post("/orders", &json!({ "items": [{ "sku": "TEA", "quantity": 1 }] })).await;
    assert_eq!(ordered.body["simulated"], json!(["provider", "carrier"]));
    let order = ordered.order();
    assert_eq!(shop.get(&format!("/orders/{order}")).await.body["simulated"], json!(["provider", "carrier"]));

    let url = nobody().await;
    let shop = Shop::calling(&url).await;
    assert_eq!([about(&shop, "provider").await, about(&shop, "carrier").await], [url.to_string(), url.to_string()]);
    let ordered = shop.post("/orders", &json!({ "items": [{ "sku": "TEA", "quantity": 1 }] })).await;
    assert!(ordered.status == 202 && ordered.body["simulated"].is_null(), "{ordered:?}");
}
