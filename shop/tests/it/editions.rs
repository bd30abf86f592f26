//! Several files into one shop: later editions, parts by date, and numbers that are taken.

use std::{collections::BTreeMap, fs, path::Path};

use factum::{App, Archive, envelope::Kind, memory::Memory, prelude::*};
use serde_json::Value;
use shop::{
    check::check,
    contracts::{ids::OrderId, order::ReturnOrder, process::Process, shapes::ReturnItem},
    import::{
        File, journal,
        loader::{self, Settings},
        read,
    },
    money::pence,
    report::report,
    services::services,
};

use crate::{
    books::large,
    imports::committed,
    rows::{HEADER, row, row_on},
};

fn file(name: &str, rows: &[String]) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap();
    read(&path).unwrap()
}

async fn app(log: &Memory) -> App {
    app_with(log, &Settings::default()).await
}

async fn app_with(log: &Memory, settings: &Settings) -> App {
    let app = App::over(log.clone()).on_data_time().with(journal::service());
    services(&loader::options(settings)).into_iter().fold(app, factum::AppBuilder::with).start().await.unwrap()
}

async fn import(log: &Memory, file: &File) -> anyhow::Result<loader::Outcome> {
    import_with(log, file, &Settings::default()).await
}

async fn import_with(log: &Memory, file: &File, settings: &Settings) -> anyhow::Result<loader::Outcome> {
    let app = app_with(log, settings).await;
    let outcome = loader::run(&app, file, settings, &|_, _| {}).await;
    assert!(app.health().is_well(), "{:?}", app.health());
    app.stop().await;
    outcome
}

async fn told(log: &Memory) -> Value {
    let app = app(log).await;
    let archive = Archive::of(app.reader());
    let findings = check(&archive).unwrap();
    assert!(findings.is_well(), "{:#?}", findings.problems);
    assert_eq!((findings.orders_under_way, findings.sagas_under_way), (0, 0));
    let report = serde_json::to_value(report(&archive).unwrap()).unwrap();
    app.stop().await;
    report
}

async fn whole(file: &File) -> Memory {
    let log = Memory::new();
    import(&log, file).await.unwrap();
    log
}

/// Of every order and credit: its events, with what came back.
async fn lives(log: &Memory) -> BTreeMap<String, Vec<String>> {
    let app = app(log).await;
    let mut lives: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let all = |stored: &factum::envelope::Stored| -> Result<(), factum::error::StoreError> {
        let stream = stored.stream.as_str();
        if stored.envelope().kind == Kind::Event && (stream.starts_with("order-") || stream.starts_with("credit-")) {
            let data = String::from_utf8_lossy(&stored.message.data).into_owned();
            lives.entry(stream.to_owned()).or_default().push(format!("{} {data}", stored.type_name()));
        }
        Ok(())
    };
    Archive::of(app.reader()).each(None, all).unwrap();
    app.stop().await;
    lives
}

/// A file cut where a date begins, each part with its share of the rows.
fn parts(file: &File, cuts: &[&str]) -> Vec<File> {
    let mut parts = Vec::new();
    let mut rest = file.invoices.as_slice();
    for (index, cut) in cuts.iter().chain(&["9999-01-01T00:00:00Z"]).enumerate() {
        let cut: Timestamp = cut.parse().unwrap();
        let (part, later) = rest.split_at(rest.partition_point(|invoice| invoice.at < cut));
        rest = later;
        parts.push(File {
            name: format!("part {index}"),
            digest: format!("{}{index}", file.digest),
            invoices: part.to_vec(),
            unreadable: Vec::new(),
            rows: part.iter().map(|invoice| invoice.rows).sum(),
            numbers: part.len() as u64,
        });
    }
    assert!(parts.iter().all(|part| !part.invoices.is_empty()), "a part is empty, so nothing is tested");
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_split_by_date_gives_the_same_orders_and_returns_as_one() {
    let mut file = read(&committed()).unwrap();
    file.invoices.truncate(700);
    file.numbers = 700;
    let one = whole(&file).await;
    for cuts in
        [&["2010-12-06T00:00:00Z"][..], &["2010-12-02T12:00:00Z", "2010-12-03T00:00:00Z", "2010-12-07T10:00:00Z"]]
    {
        let many = Memory::new();
        for part in parts(&file, cuts) {
            import(&many, &part).await.unwrap();
        }
        assert_eq!(told(&many).await, told(&one).await, "{cuts:?}");
        assert_eq!(lives(&many).await, lives(&one).await, "{cuts:?}");
    }
}

/// The parts are run in these ways in turn.
async fn known_totals_in_parts(path: &Path, cuts: &[&str], wanted: [i64; 4], ways: &[Process]) {
    let file = read(path).unwrap();
    let many = Memory::new();
    for (part, process) in parts(&file, cuts).iter().zip(ways.iter().cycle()) {
        import_with(&many, part, &Settings { process: Some(*process), ..Settings::default() }).await.unwrap();
    }
    let report = told(&many).await;
    let found = [
        &report["orders"]["total"],
        &report["creditNotes"]["total"],
        &report["payments"]["refunded"],
        &report["stock"]["sold"],
    ];
    assert_eq!(found.map(|total| total.as_i64().unwrap()), wanted);
    assert_eq!(report["input"]["rows"].as_u64(), Some(file.rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_known_totals_are_the_same_by_the_week() {
    by_the_week(&[Process::Orchestrated]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_known_totals_are_the_same_by_the_week_in_both_ways_in_turn() {
    by_the_week(&[Process::Choreographed, Process::Orchestrated]).await;
}

async fn by_the_week(ways: &[Process]) {
    let weeks = ["2010-12-08T00:00:00Z", "2010-12-15T00:00:00Z", "2010-12-22T00:00:00Z"];
    known_totals_in_parts(&committed(), &weeks, [79_983_492, 2_079_391, 2_079_391, 354_101], ways).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cut 2010-12 to 2011-06 of the same data, its path in SHOP_LARGE_FILE"]
async fn the_known_totals_are_the_same_by_the_month() {
    for ways in
        [&[Process::Orchestrated][..], &[Process::Choreographed], &[Process::Choreographed, Process::Orchestrated]]
    {
        by_the_month(ways).await;
    }
}

async fn by_the_month(ways: &[Process]) {
    let months = (1..=6).map(|month| format!("2011-{month:02}-01T00:00:00Z")).collect::<Vec<_>>();
    let months: Vec<&str> = months.iter().map(String::as_str).collect();
    known_totals_in_parts(&large(), &months, [481_264_540, 29_211_984, 29_211_984, 2_500_201], ways).await;
}

fn december() -> Vec<String> {
    vec![
        row_on(1, "1", "A", 5, "2"),
        row_on(2, "2", "K", 3, "1"),
        row_on(3, "C3", "A", -2, "2"),
        row_on(3, "3", "A", 1, "many"),
        row_on(4, "W4", "K", -1, "0"),
        row_on(4, "A5", "B", 1, "7"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_edition_goes_on_behind_its_last_known_invoice() {
    let (short, mut rows) = (file("a.csv", &december()), december());
    rows.extend([row_on(8, "6", "A", 4, "2"), row_on(9, "C7", "A", -3, "2"), row_on(9, "C8", "A", -3, "2")]);
    let long = file("b.csv", &rows);
    let log = whole(&short).await;
    let outcome = import(&log, &long).await.unwrap();
    assert_eq!((outcome.before, outcome.accepted.len()), (5, 3));
    assert_eq!(told(&log).await, told(&whole(&long).await).await, "as if it had come at once");
    let again = import(&log, &long).await.unwrap();
    assert_eq!((again.before, again.accepted.len()), (8, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_edition_brings_what_could_not_be_read() {
    let log = whole(&file("a.csv", &december())).await;
    let mut rows = december();
    rows[3] = row_on(3, "3", "A", 1, "2");
    let outcome = import(&log, &file("a.csv", &rows)).await.unwrap();
    assert_eq!((outcome.before, outcome.accepted.len(), outcome.unreadable.len()), (5, 1, 0));
    assert_eq!(told(&log).await["orders"]["placed"], 3);
    let at_once = told(&whole(&file("a.csv", &rows)).await).await;
    for counts in ["input", "unreadable"] {
        assert_eq!(told(&log).await[counts], at_once[counts], "as if it had come right at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_corrected_after_its_invoice_came_in_is_told_and_the_rest_goes_on() {
    let mut rows = december();
    rows.insert(1, row_on(1, "1", "K", 1, "many"));
    let log = whole(&file("a.csv", &rows)).await;
    rows[1] = row_on(1, "1", "K", 1, "3");
    rows.push(row_on(8, "6", "A", 4, "2"));
    let outcome = import(&log, &file("a.csv", &rows)).await.unwrap();
    let late = &outcome.late;
    assert_eq!((outcome.accepted.len(), late.len(), late[0].line), (1, 1, 3));
    assert!(outcome.unreadable.iter().all(|row| row.line != 3), "{:?}", outcome.unreadable);
    assert_eq!(told(&log).await["unreadable"]["incomplete"], serde_json::json!(["1"]));
    assert!(late[0].reason.starts_with("invoice 1 is in without this row"), "{}", late[0].reason);
    assert_eq!(told(&log).await["orders"]["total"], 1_000 + 300 + 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_beginning_is_another_is_refused_before_anything_is_stored() {
    let log = whole(&file("a.csv", &december())).await;
    let news = row_on(8, "6", "A", 4, "2");
    let mut changed = december();
    changed[0] = row_on(1, "1", "A", 6, "2");
    let mut lacking = december();
    lacking.remove(1);
    for (mut rows, says) in [(changed, "invoice 1 is another there"), (lacking, "invoice 2 is missing here")] {
        rows.push(news.clone());
        let before = told(&log).await;
        let position = app(&log).await.position();
        let error = import(&log, &file("b.csv", &rows)).await.unwrap_err().to_string();
        assert!(
            error.contains(says) && error.contains("from a.csv") && error.contains("Nothing was stored"),
            "{error}"
        );
        assert_eq!((told(&log).await, app(&log).await.position()), (before, position));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_another_import_has_taken_is_refused_whatever_its_kind() {
    let log = whole(&file("a.csv", &december())).await;
    let position = app(&log).await.position();
    for (number, quantity, price) in [("1", 1, "9"), ("C3", -1, "9"), ("W4", -9, "0"), ("A5", 9, "9")] {
        let other = file("other.csv", &[row_on(8, "6", "A", 4, "2"), row_on(9, number, "A", quantity, price)]);
        let error = import(&log, &other).await.unwrap_err().to_string();
        assert!(
            error.starts_with("other.csv names what is in this directory already, from a.csv: 1 of its invoices"),
            "{number}: {error}"
        );
        assert_eq!(app(&log).await.position(), position, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_no_imports_costs_its_invoice_and_not_the_file() {
    let log = Memory::new();
    let shop = app(&log).await;
    let first = file("a.csv", &[row_on(1, "1", "A", 5, "2")]);
    let shop::import::Kind::Order { lines } = &first.invoices[0].kind else { panic!("no order") };
    shop.execute(loader::order(&first.invoices[0], lines).unwrap()).at(first.invoices[0].at).await.unwrap();
    shop.rest().await.unwrap();
    shop.stop().await;
    let outcome = import(&log, &file("b.csv", &[row("1", "A", 1, "2"), row("2", "A", 1, "2")])).await.unwrap();
    let refused: Vec<_> = outcome.unreadable.iter().map(|row| (row.line, row.reason.as_str())).collect();
    assert_eq!(refused, [(2, "invoice 1: order 1 exists already: use another id")]);
    let report = told(&log).await;
    assert_eq!((&report["orders"]["placed"], &report["unreadable"]["rows"]), (&2.into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_note_for_an_order_that_was_never_paid_gives_nothing_back() {
    let log = Memory::new();
    let settings = Settings { declines: 1.0, shuffle: None, ..Settings::default() };
    let shop = app_with(&log, &settings).await;
    let rows = [row_on(1, "1", "A", 5, "2"), row_on(2, "C2", "A", -2, "2"), row_on(9, "C3", "A", -3, "2")];
    loader::run(&shop, &file("a.csv", &rows), &settings, &|_, _| {}).await.unwrap();
    shop.stop().await;
    let report = told(&log).await;
    assert_eq!(report["orders"]["byStatus"], serde_json::json!({ "cancelled": 1 }));
    assert_eq!(report["payments"], serde_json::json!({ "captured": 0, "refunded": 0 }));
    let notes = serde_json::json!({ "count": 2, "total": 1_000, "notDue": { "count": 2, "amount": 1_000 } });
    assert_eq!(report["creditNotes"], notes);
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_came_back_over_the_counter_are_not_paid_for_again_by_a_later_file() {
    let log = whole(&file("a.csv", &[row_on(1, "1", "A", 5, "2")])).await;
    let shop = app(&log).await;
    let back = ReturnOrder {
        order_id: OrderId::from("1"),
        credit_id: None,
        items: vec![ReturnItem { sku: "A".into(), quantity: 5, line: None }],
        amount: Some(pence(1_000)),
        reason: "customer".to_owned(),
    };
    shop.execute(back).at("2010-12-09T10:00:00Z".parse().unwrap()).await.unwrap();
    shop.rest().await.unwrap();
    shop.stop().await;
    import(&log, &file("b.csv", &[row_on(10, "C2", "A", -5, "2")])).await.unwrap();
    let report = told(&log).await;
    assert_eq!((&report["payments"]["captured"], &report["payments"]["refunded"]), (&1_000.into(), &1_000.into()));
    assert_eq!(report["creditNotes"]["notDue"], serde_json::json!({ "count": 1, "amount": 1_000 }));
    // Each unit once: the same goods in a third file belong to no order that is known.
    import(&log, &file("c.csv", &[row_on(11, "C3", "A", -5, "2")])).await.unwrap();
    assert_eq!(told(&log).await["payments"]["refunded"], 2_000);
}
