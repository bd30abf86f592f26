//! The figures: over HTTP, against the report of the real file, and for a history from before there were any.

use std::{collections::BTreeMap, fs, path::Path};

use factum::{Archive, memory::Memory, stream::Position};
use serde_json::{Value, json};
use shop::{
    analytics::views::{ALL, ArticleRow, CountryRow, FulfilmentRow, FunnelRow, HourRow},
    contracts::{order::CreateOrder, shapes::Line},
    import::{
        loader::{self, Settings},
        read,
    },
    money::price,
    report::report,
};

use crate::{
    imports::{committed, in_memory},
    loyalty::some_history,
    shop::{Shop, start},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_the_real_file_are_those_of_the_report() {
    let settings = Settings::default();
    let app = in_memory(&settings).await;
    loader::run(&app, &read(&committed()).unwrap(), &settings, &|_, _| {}).await.unwrap();
    let report = report(&Archive::of(app.reader())).unwrap();
    let now = app.position();

    let countries = app.rows::<CountryRow>().after(now).order_by("revenue").descending().slice(0, 200);
    let countries = countries.page().await.unwrap().rows;
    let found: Vec<_> = countries.iter().map(|row| (row.country.as_str(), row.orders, row.revenue)).collect();
    let wanted = &report.orders.by_country;
    let wanted: Vec<_> = wanted.iter().map(|of| (of.country.as_str(), of.orders, of.total)).collect();
    assert_eq!(found, wanted);

    let all = app.rows::<ArticleRow>().after(now).order_by("units").descending().slice(0, 10_000).page().await.unwrap();
    let top: Vec<i64> = all.rows.iter().map(|row| row.units).take(report.top_products.len()).collect();
    assert_eq!(top, report.top_products.iter().map(|product| product.units).collect::<Vec<_>>());
    let units: BTreeMap<&str, i64> = all.rows.iter().map(|row| (row.sku.as_str(), row.units)).collect();
    assert!(report.top_products.iter().all(|product| units[product.sku.as_str()] == product.units));
    assert_eq!(units.values().sum::<i64>(), report.stock.sold);

    let hours = app.rows::<HourRow>().after(now).slice(0, 10_000).page().await.unwrap().rows;
    let sum = |of: fn(&HourRow) -> i64| hours.iter().map(of).sum::<i64>();
    assert_eq!(hours.iter().map(|row| row.orders).sum::<u64>(), report.orders.placed);
    assert_eq!(sum(|row| row.ordered.amount), report.orders.total);
    assert_eq!(sum(|row| row.paid.amount), report.payments.captured);
    assert_eq!(sum(|row| row.refunded.amount), report.payments.refunded);

    let funnel = app.rows::<FunnelRow>().after(now).get(ALL).await.unwrap().unwrap();
    assert_eq!((funnel.created, funnel.delivered), (report.orders.placed, report.orders.placed));
    let fulfilment = app.rows::<FulfilmentRow>().after(now).page().await.unwrap();
    assert_eq!(fulfilment.total, 1, "what is through is forgotten");
    assert_eq!(fulfilment.rows[0].shipped_to_delivered.count, report.orders.placed);
    assert!(app.health().is_well(), "{:?}", app.health());
    app.stop().await;
}

/// All figures at once.
async fn figures(shop: &Shop) -> Value {
    let mut figures = BTreeMap::new();
    for path in [
        "hours?from=2025-01-01T00:00:00Z&to=2025-01-20T00:00:00Z",
        "countries",
        "articles?sort=units",
        "funnel",
        "fulfilment",
        "customers/c-1",
        "customers/c-2",
    ] {
        let mut answer = shop.get(&format!("/analytics/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        if let Some(customer) = answer.body.as_object_mut() {
            customer.remove("updatedAt");
        }
        figures.insert(path, answer.body);
    }
    json!(figures)
}

#[tokio::test]
async fn what_orders_come_to_is_told_by_hour_country_article_step_and_customer() {
    let shop = Shop::open().await;
    some_history(&shop).await;
    let cups = json!({ "customerId": "c-1", "items": [{ "sku": "CUP", "quantity": 200_000 }],
        "shippingAddress": { "country": "EIRE" } });
    shop.post("/orders", &cups).await.order();
    shop.days(8).await;

    let hours = shop.get("/analytics/hours?from=2025-01-01T00:20:00Z&to=2025-01-02T00:00:00Z").await.body;
    assert_eq!(hours["from"], "2025-01-01T00:00:00Z");
    let first = &hours["hours"][0];
    assert_eq!((&first["hour"], &first["orders"]), (&json!("2025-01-01T00:00:00Z"), &json!(5)));
    assert_eq!(first["ordered"], json!({ "amount": 127_500, "currency": "GBP" }));
    assert_eq!(first["paid"], json!({ "amount": 127_500, "currency": "GBP" }));

    let countries = shop.get("/analytics/countries?size=1").await.body;
    assert_eq!(countries["total"], 2);
    let eire = json!({ "country": "EIRE", "orders": 1, "revenue": { "amount": 2_700_000, "currency": "GBP" } });
    assert_eq!(countries["items"], json!([eire]));

    let article = async |sort: &str| shop.get(&format!("/analytics/articles?{sort}")).await.body["items"][0].clone();
    let cup = json!({ "sku": "CUP", "ordered": 200_000, "revenue": { "amount": 2_700_000, "currency": "GBP" },
        "units": 0, "returned": 0 });
    assert_eq!((article("size=1").await, article("sort=revenue").await), (cup.clone(), cup));
    let tea = json!({ "sku": "TEA", "ordered": 500, "revenue": { "amount": 127_500, "currency": "GBP" },
        "units": 500, "returned": 107 });
    assert_eq!(article("sort=units").await, tea);
    shop.get("/analytics/articles?sort=name").await.refuses(400, "bad_query", "sort");

    let funnel = json!({ "created": 6, "validated": 6, "paid": 5, "shipped": 5, "delivered": 5, "rejected": 0,
        "cancelled": { "out_of_stock": 1 } });
    assert_eq!(shop.get("/analytics/funnel").await.body, funnel);

    let times = &shop.get("/analytics/fulfilment").await.body["shippedToDelivered"];
    let (count, buckets) = (&times["count"], times["buckets"].as_array().unwrap());
    assert_eq!(json!(buckets.iter().map(|bucket| bucket["count"].as_u64().unwrap()).sum::<u64>()), *count);
    assert!(times["p50Secs"].as_u64().is_some_and(|secs| secs >= 86_400), "{times}");

    let totals = shop.get("/analytics/customers/c-1").await.body;
    assert_eq!((&totals["orderCount"], &totals["total"]["amount"]), (&json!(3), &json!(2_751_000)));
    shop.get("/analytics/customers/nobody").await.refuses(404, "not_found", "nobody");
    let told = shop.events(Position::START, "customer_order_totals-c-1");
    assert_eq!(told, ["analytics.customer_totals_updated"; 3]);
}

#[tokio::test]
async fn an_event_that_is_told_late_counts_in_its_own_hour() {
    let shop = Shop::open().await;
    let order = |id: &str| {
        let line = Line::goods(1, "TEA".into(), "tea", 2, price("2.55").unwrap()).unwrap();
        CreateOrder {
            channel: Default::default(),
            order_id: id.into(),
            customer_id: None,
            cart_id: None,
            total: line.amount,
            items: vec![line],
            subtotal: None,
            discount: None,
            tax: None,
            shipping_charge: None,
            shipping_address: None,
            payment_method: None,
        }
    };
    let hours = |hours: i64| start() + jiff::SignedDuration::from_hours(hours);
    shop.app.execute(order("1")).at(hours(30)).await.unwrap();
    shop.app.execute(order("2")).at(hours(3)).await.unwrap();
    let found = shop.get("/analytics/hours?from=2025-01-01T03:00:00Z&to=2025-01-01T04:00:00Z").await.body;
    assert_eq!(found["hours"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!((&found["hours"][0]["orders"], &found["hours"][0]["ordered"]["amount"]), (&json!(1), &json!(510)));
}

#[tokio::test]
async fn hours_span_a_month_at_most() {
    let shop = Shop::open().await;
    for span in
        ["from=2025-01-01T00:00:00Z&to=2025-02-01T00:00:01Z", "from=2025-01-02T00:00:00Z&to=2025-01-01T00:00:00Z"]
    {
        shop.get(&format!("/analytics/hours?{span}")).await.refuses(400, "bad_query", "744 hours");
    }
    assert_eq!(shop.get("/analytics/hours?from=2025-01-01T00:00:00Z&to=2025-02-01T00:00:00Z").await.status, 200);
    assert_eq!(shop.get("/analytics/hours").await.status, 200);
    for end in ["from=-009999-01-02T01:59:59Z&to=-009999-01-02T02:30:00Z", "to=-009999-01-02T01:59:59Z"] {
        assert!(shop.get(&format!("/analytics/hours?{end}")).await.status < 500, "{end}");
    }
}

#[tokio::test]
async fn added_to_a_running_shops_data_it_gets_all_of_its_history() {
    let always = Shop::open().await;
    some_history(&always).await;
    let wanted = figures(&always).await;
    assert_eq!(wanted["customers/c-1"]["orderCount"], 2);

    let log = Memory::new();
    let without = Shop::lacking(log.clone(), &["analytics"]).await.stock().await;
    some_history(&without).await;
    assert_eq!(without.get("/analytics/funnel").await.status, 404);
    without.app.stop().await;
    drop(without);

    let with = Shop::over(log).await;
    with.app.rest().await.unwrap();
    assert_eq!(figures(&with).await, wanted);
}

#[test]
fn adding_the_two_touched_nothing_but_the_wiring() {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR"));
    let speaks = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        ["loyalty", "analytics"].iter().any(|room| text.contains(room))
    };
    let mut folders: Vec<_> =
        ["catalog", "customer", "order", "inventory", "payment", "shipping", "fraud", "import", "check"]
            .map(|room| shop.join("src").join(room))
            .into();
    let mut touched = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if speaks(&path) {
                touched.push(path);
            }
        }
    }
    assert_eq!(touched, Vec::<std::path::PathBuf>::new());
    let wiring = ["lib.rs", "services.rs"].map(|file| shop.join("src").join(file));
    assert!(wiring.iter().all(|file| speaks(file)), "the test does not see what speaks of them");
}
