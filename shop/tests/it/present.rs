//! Files of the past in a shop of the present: they come in only when nothing of the present is under way.

use std::{fs, path::Path, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request},
};
use factum::App;
use serde_json::{Value, json};
use shop::{
    check::check,
    report::report,
    services::{Options, archive, equipped},
};
use tower::ServiceExt;

use crate::{
    imports::{shop, text},
    rows::{HEADER, row_on},
    shop::DAY,
};

/// A shop on the time of the world, over a directory.
async fn open(data: &Path, day: Duration) -> App {
    equipped(App::open(data).unwrap(), &Options { day, ..Options::default() }).start().await.unwrap()
}

async fn ask(app: &App, method: Method, path: &str, body: &Value) -> Value {
    let reads = method == Method::GET;
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_string())).unwrap();
    let response = app.router().oneshot(request).await.unwrap();
    // Who reads may be ahead of the rows.
    assert!(reads || response.status().is_success(), "{path}: {}", response.status());
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&body).unwrap_or_default()
}

/// Places an order over HTTP.
async fn order(app: &App) -> String {
    ask(app, Method::PUT, "/products/TEA", &json!({ "name": "tea", "price": "2.55" })).await;
    ask(app, Method::POST, "/stock/TEA/receive", &json!({ "quantity": 100 })).await;
    let order = json!({ "items": [{ "sku": "TEA", "quantity": 1 }] });
    ask(app, Method::POST, "/orders", &order).await["orderId"].as_str().unwrap().to_owned()
}

/// Waits until an order is as far as this.
async fn until(app: &App, order: &str, status: &str) {
    let there = async {
        while ask(app, Method::GET, &format!("/orders/{order}"), &Value::Null).await["status"] != status {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), there).await.unwrap();
}

fn import(file: &Path, data: &Path) -> (bool, String, String) {
    text(&mut shop(&["import", file.to_str().unwrap()], data))
}

fn rows(file: &Path) {
    let rows = [row_on(1, "1", "A", 5, "2"), row_on(2, "2", "A", 2, "2")];
    fs::write(file, format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_does_not_pull_what_is_under_way_ahead_of_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("rows.csv"));
    rows(&file);
    let app = open(&data, DAY).await;
    let placed = order(&app).await;
    until(&app, &placed, "shipped").await;
    ask(&app, Method::POST, "/carts", &json!({})).await;
    app.stop().await;
    let head = app.position();
    drop(app);
    let (done, out, errors) = import(&file, &data);
    assert!(!done, "{out}");
    for says in
        ["(1 order, 1 cart)", "Nothing was stored", "`shop serve`", "delivered or cancelled", "another directory"]
    {
        assert!(errors.contains(says), "{errors}");
    }
    assert_eq!(archive(&data).unwrap().head(), head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_in_beside_what_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("rows.csv"));
    rows(&file);
    let app = open(&data, Duration::from_millis(1)).await;
    let placed = order(&app).await;
    until(&app, &placed, "delivered").await;
    let cart = ask(&app, Method::POST, "/carts", &json!({})).await["cartId"].as_str().unwrap().to_owned();
    ask(&app, Method::POST, &format!("/carts/{cart}/abandon"), &json!({})).await;
    app.stop().await;
    drop(app);
    let (done, out, errors) = import(&file, &data);
    assert!(done && out.contains("2 invoices in"), "{out}{errors}");
    let archive = archive(&data).unwrap();
    assert!(check(&archive).unwrap().is_well());
    assert_eq!(serde_json::to_value(report(&archive).unwrap()).unwrap()["orders"]["byStatus"]["delivered"], 3);
}
