//! Pipelines over real orders, from definitions in YAML: to the penny what the orders come to, customer by customer, however they
//! are delivered, and after kills.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use factum::{Archive, envelope::Stored, error::StoreError, pipeline::EventLate, prelude::*};
use serde_json::{Value, json};
use shop::{
    contracts::{analytics::CustomerTotalsUpdated, order::OrderHead},
    import::{
        File, journal,
        loader::{self, Settings},
        read,
    },
    report::report,
    services::{archive, services},
};

use crate::{
    books::large,
    imports::{committed, count, killed_import, shop, small, text},
};

/// As the samples write it.
const CUSTOMERS: &str = "
input_stream: order-events
operations:
  - filter: \"type == 'order.created'\"
  - map: { customer: customerId, amount: total }
  - aggregate: { group_by: customer, sum: amount }
output_stream: customer-order-totals
";

/// Hours in which an order may come late or not at all.
fn hours(lateness: &str) -> String {
    format!(
        "input_stream: order.created\noperations:\n  - aggregate: {{ sum: total, window: 1h, lateness: {lateness}, emit: final }}\noutput_stream: order-hours\n"
    )
}

/// Orders and pence, by customer.
type Totals = BTreeMap<String, (u64, i64)>;

/// A file through the whole shop with definitions, in which the analytics room leaves its streams to one of them.
async fn imported(file: &File, settings: &Settings, definitions: &[String]) -> App {
    let app = App::in_memory().on_data_time().with(journal::service());
    let others = services(&loader::options(settings)).into_iter().filter(|service| &*service.name != "analytics");
    let mut app = others.fold(app, factum::AppBuilder::with);
    for (at, yaml) in definitions.iter().enumerate() {
        app = app.define(&format!("{at}.yaml"), yaml);
    }
    let app = if let Some(seed) = settings.shuffle { app.shuffled(seed) } else { app };
    let app = app.start().await.unwrap();
    loader::run(&app, file, settings, &|_, _| {}).await.unwrap();
    assert!(app.health().is_well(), "{:?}", app.health());
    app
}

/// What the orders in a log come to, by customer, and of guests.
fn ordered(archive: &Archive) -> (Totals, i64) {
    let none = (Totals::new(), 0);
    let fold = |(totals, guests): &mut (Totals, i64), order: &Recorded<OrderHead>| match &order.customer_id {
        Some(customer) => {
            let (orders, pence) = totals.entry(customer.to_string()).or_default();
            (*orders, *pence) = (*orders + 1, *pence + order.total.amount);
        }
        None => *guests += order.total.amount,
    };
    archive.fold::<OrderHead, _>(none, fold).unwrap()
}

/// The last that each stream of a type says.
fn told(archive: &Archive, type_name: &str) -> Totals {
    let mut last = Totals::new();
    let read = |stored: &Stored| {
        let data: Value = serde_json::from_slice(&stored.message.data).unwrap();
        assert_eq!(data["customer"], json!(stored.stream.key()));
        let totals = (data["count"].as_u64().unwrap(), data["sumAmount"]["amount"].as_i64().unwrap());
        last.insert(stored.stream.key().to_owned(), totals);
        Ok::<(), StoreError>(())
    };
    archive.each(Some(&|name| name == type_name), read).unwrap();
    last
}

/// The totals that a definition tells are those of the orders, and with those of guests they are the report's.
fn are_the_reports(archive: &Archive, type_name: &str) -> Totals {
    let (wanted, guests) = ordered(archive);
    assert_eq!(told(archive, type_name), wanted);
    let report = report(archive).unwrap();
    assert_eq!(wanted.values().map(|(_, pence)| pence).sum::<i64>() + guests, report.orders.total);
    assert!(report.orders.placed > 0 && !wanted.is_empty());
    wanted
}

async fn in_every_order(file: &File, seeds: u64) {
    let mut undisturbed = None;
    for shuffle in std::iter::once(None).chain((0..seeds).map(Some)) {
        let settings = Settings { shuffle, ..Settings::default() };
        let app = imported(file, &settings, &[CUSTOMERS.to_owned()]).await;
        let totals = are_the_reports(&Archive::of(app.reader()), "customer_order_totals.updated");
        assert_eq!(*undisturbed.get_or_insert_with(|| totals.clone()), totals, "{shuffle:?}");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_totals_of_the_samples_pipeline_are_those_of_the_real_orders_customer_by_customer() {
    in_every_order(&read(&committed()).unwrap(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_delivery_changes_no_total() {
    in_every_order(&small(250), count("FACTUM_SEEDS", 3) as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cut 2010-12 to 2011-06 of the same data, its path in SHOP_LARGE_FILE"]
async fn the_totals_of_seven_months_in_every_order_of_delivery() {
    in_every_order(&read(&large()).unwrap(), count("FACTUM_SEEDS", 3) as u64).await;
}

/// Hours with their orders and pence, as told.
fn told_hours(archive: &Archive) -> BTreeMap<Timestamp, (u64, i64)> {
    let mut hours = BTreeMap::new();
    let read = |stored: &Stored| {
        let data: Value = serde_json::from_slice(&stored.message.data).unwrap();
        let from: Timestamp = data["window"]["from"].as_str().unwrap().parse().unwrap();
        let hour = (data["count"].as_u64().unwrap(), data["sumTotal"]["amount"].as_i64().unwrap());
        assert!(hours.insert(from, hour).is_none(), "a window is told once");
        Ok::<(), StoreError>(())
    };
    archive.each(Some(&|name| name == "order_hours.updated"), read).unwrap();
    hours
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_within_the_lateness_are_exact_and_what_comes_later_is_told() {
    let file = small(400);
    let mut late_at_all = 0;
    for (lateness, seed) in [("30d", None), ("30d", Some(1)), ("0", Some(2)), ("0", Some(3)), ("0", Some(4))] {
        let settings = Settings { shuffle: seed, ..Settings::default() };
        let app = imported(&file, &settings, &[hours(lateness)]).await;
        let archive = Archive::of(app.reader());
        let orders = archive.fold::<OrderHead, _>(Vec::new(), |all, order| {
            all.push((order.envelope().id.to_string(), order.at(), order.total.amount));
        });
        let orders: Vec<(String, Timestamp, i64)> = orders.unwrap();
        let late = archive.fold::<EventLate, _>(Vec::new(), |all, late| all.push(late.event_id.clone())).unwrap();
        let figures = app.health().engine.pipelines["pipelines.order-hours"].clone();
        assert_eq!((figures.late, figures.taken + figures.late), (late.len() as u64, orders.len() as u64));
        late_at_all += late.len();
        if lateness != "0" {
            assert!(late.is_empty(), "{late:?}");
        }
        // What was told is all that was there, but for what came late.
        let mut wanted: BTreeMap<Timestamp, (u64, i64)> = BTreeMap::new();
        for (_, at, pence) in orders.iter().filter(|(id, ..)| !late.contains(id)) {
            let from = Timestamp::from_second(at.as_second().div_euclid(3_600) * 3_600).unwrap();
            let (orders, sum) = wanted.entry(from).or_default();
            (*orders, *sum) = (*orders + 1, *sum + pence);
        }
        let watermark = figures.watermark.unwrap();
        wanted.retain(|from, _| *from + jiff::SignedDuration::from_hours(1) <= watermark);
        assert_eq!(told_hours(&archive), wanted, "{lateness}, {seed:?}");
        app.stop().await;
    }
    assert!(late_at_all > 0, "nothing came late, so nothing was tested");
}

fn define(data: &Path) {
    let folder = data.join("definitions");
    fs::create_dir_all(&folder).unwrap();
    let customers = CUSTOMERS.replace("output_stream: customer-order-totals", "output_stream: customer-orders");
    fs::write(folder.join("customers.yaml"), customers).unwrap();
}

#[test]
fn the_totals_are_the_same_after_kills() {
    let dir = tempfile::tempdir().unwrap();
    let (file, calm, stormy) = (committed(), dir.path().join("calm"), dir.path().join("stormy"));
    let arguments = ["import", file.to_str().unwrap()];
    [&calm, &stormy].into_iter().for_each(|data| define(data));
    let started = Instant::now();
    let (done, _, errors) = text(&mut shop(&arguments, &calm));
    assert!(done, "{errors}");
    let seed = fastrand::u64(..);
    killed_import(&arguments, &stormy, started.elapsed(), &mut fastrand::Rng::with_seed(seed));
    let of = |data: &Path| are_the_reports(&archive(data).unwrap(), "customer_orders.updated");
    assert_eq!(of(&stormy), of(&calm), "seed {seed}");
    // The room's own pipeline, in Rust, says the same.
    let own = |mut totals: Totals, log: &Archive| {
        log.fold::<CustomerTotalsUpdated, _>((), |(), told| {
            totals.insert(told.customer_id.to_string(), (told.order_count, told.total.amount));
        })
        .unwrap();
        totals
    };
    assert_eq!(own(Totals::new(), &archive(&stormy).unwrap()), of(&calm), "seed {seed}");
}

#[test]
fn definitions_are_checked_with_sentences_and_an_exit_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("definitions");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
        text(command.args(arguments).stdin(Stdio::null()))
    };
    let (well, said, errors) = run(&["definitions", "check", folder.to_str().unwrap()]);
    assert!(well && said.contains("All is well"), "{errors}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.yaml");
    fs::write(&file, "input_stream: ordr-events\noperations:\n  - aggregate: { smu: total }\noutput_stream: x\n")
        .unwrap();
    let (well, _, errors) = run(&["definitions", "check", file.to_str().unwrap()]);
    assert!(!well && errors.contains("bad.yaml:3:18: `smu`") && errors.contains("is `sum` meant?"), "{errors}");
    fs::write(&file, run(&["definitions", "services"]).1).unwrap();
    let (well, _, errors) = run(&["definitions", "check", file.to_str().unwrap()]);
    assert!(well, "{errors}");
    let data = dir.path().join("data");
    fs::create_dir_all(data.join("definitions")).unwrap();
    fs::write(data.join("definitions/a.yaml"), CUSTOMERS).unwrap();
    let (started, _, errors) = text(&mut shop(&["import", committed().to_str().unwrap()], &data));
    assert!(
        !started && errors.contains("a.yaml:7:16: the streams `customer_order_totals` belong to the service analytics"),
        "{errors}"
    );
}
