//! The flows of the shop over HTTP, from the first request to the last event; each test names the rows of the
//! requirements that it shows.

mod choreographed;
mod life;
mod line;
mod order_of_things;
mod partners;
mod pause;
mod paused;
mod returned;
mod undo;

use std::collections::{BTreeMap, BTreeSet};

use factum::{Archive, envelope::Kind, ports::Scan, stream::Position};
use serde_json::{Value, json};

use crate::{
    notifications::{in_short, told},
    shop::Shop,
};

/// The rows that the flows may show, from and to: independence, order, repeats, letters, sagas, duties, types, flows, tests.
const ROWS: &[(u16, u16)] =
    &[(4, 9), (16, 16), (143, 143), (148, 153), (163, 177), (183, 202), (203, 252), (253, 266), (315, 321)];
/// The files of the flows.
const FLOWS: [(&str, &str); 7] = [
    ("choreographed", include_str!("choreographed.rs")),
    ("life", include_str!("life.rs")),
    ("order_of_things", include_str!("order_of_things.rs")),
    ("partners", include_str!("partners.rs")),
    ("paused", include_str!("paused.rs")),
    ("returned", include_str!("returned.rs")),
    ("undo", include_str!("undo.rs")),
];

/// Ann, who can be reached by every channel.
pub async fn ann(shop: &Shop) {
    let ann = json!({ "name": "Ann", "email": "ann@b.example", "phone": "+44 1" });
    assert_eq!(shop.put("/customers/ann", &ann).await.status, 200);
}

/// Her order, which is not waited for.
pub async fn placed(shop: &Shop, sku: &str, quantity: u32) -> String {
    let items = json!([{ "sku": sku, "quantity": quantity }]);
    let order = json!({ "customerId": "ann", "items": items, "shippingAddress": { "country": "GB" } });
    shop.post("/orders", &order).await.order()
}

/// Status and reason of an order.
pub async fn ends(shop: &Shop, order: &str) -> (String, String) {
    let view = shop.get(&format!("/orders/{order}")).await.body;
    let text = |field: &str| view[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

/// The payment of an order.
pub async fn payment(shop: &Shop, order: &str) -> Value {
    shop.get(&format!("/payments?order={order}")).await.body["items"][0].clone()
}

pub async fn available(shop: &Shop, sku: &str) -> i64 {
    shop.get(&format!("/stock/{sku}")).await.body["available"].as_i64().unwrap()
}

/// What Ann was told of an order: channel, template and whether it was sent.
pub async fn told_of(shop: &Shop, order: &str) -> BTreeSet<String> {
    in_short(&told(shop, &format!("order={order}")).await)
}

/// Types of the messages of these kinds after a position, in the order of the log.
pub fn log(shop: &Shop, after: Position, kinds: &[Kind]) -> Vec<String> {
    let scan = Scan { after, until: shop.app.position(), bytes: usize::MAX, types: None };
    let messages = shop.app.reader().scan(&scan).unwrap().messages;
    let wanted = messages.iter().filter(|stored| kinds.contains(&stored.message.envelope.kind));
    wanted.map(|stored| stored.type_name().to_owned()).collect()
}

/// Each row's types come behind all those of the row before, where they come first.
#[track_caller]
pub fn in_order(log: &[String], rows: &[(&str, &[&str])]) {
    let mut before = None;
    for (row, types) in rows {
        let place = |name: &&str| log.iter().position(|found| found == name);
        let places: Vec<usize> = types.iter().filter_map(place).collect();
        assert_eq!(places.len(), types.len(), "row {row}: one of {types:?} is not in {log:#?}");
        assert!(places.iter().all(|place| Some(*place) > before), "row {row}: {types:?} too early in {log:#?}");
        before = places.into_iter().max();
    }
}

/// All orders have ended, the books are right, and nobody is called.
#[track_caller]
pub fn is_well(shop: &Shop) {
    let findings = shop::check::check(&Archive::of(shop.app.reader())).unwrap();
    assert_eq!(findings.problems, Vec::<String>::new());
    assert_eq!((findings.orders_under_way, findings.sagas_under_way, findings.open_payments), (0, 0, 0));
}

/// The rows that a source's tests name, by test.
fn named(source: &str) -> BTreeMap<String, BTreeSet<u16>> {
    let (mut tests, mut rows, mut is_test) = (BTreeMap::new(), BTreeSet::new(), false);
    for line in source.lines() {
        if let Some(comment) = line.strip_prefix("/// ") {
            let words = comment.split([':', ',', ' ', '.']).filter_map(|word| word.strip_prefix('R'));
            rows.extend(words.filter_map(|digits| digits.parse::<u16>().ok()));
        } else if line.starts_with("#[tokio::test") {
            is_test = true;
        } else if !line.starts_with("#[") {
            let rows = std::mem::take(&mut rows);
            if std::mem::take(&mut is_test) {
                let name = line.trim_start_matches("async fn ").split('(').next().unwrap();
                tests.insert(name.to_owned(), rows);
            }
        }
    }
    tests
}

#[test]
fn every_flow_names_rows_and_only_such_as_there_are() {
    let mut shown = BTreeSet::new();
    for (file, source) in FLOWS {
        let tests = named(source);
        assert_eq!(tests.len(), source.matches("#[tokio::test").count(), "{file}");
        assert!(!tests.is_empty(), "{file} has no flow");
        for (test, rows) in tests {
            assert!(!rows.is_empty(), "{file}: {test} names no row: add `/// R…: …`");
            let unknown = |row: &&u16| !ROWS.iter().any(|(first, last)| (first..=last).contains(row));
            assert_eq!(rows.iter().find(unknown), None, "{file}: {test} names a row that is none of the flows'");
            shown.extend(rows);
        }
    }
    println!("{} rows are shown: {shown:?}", shown.len());
}

#[test]
fn a_flow_without_a_row_is_seen() {
    let source =
        "/// R7, R8: a sale.\n#[tokio::test]\nasync fn one() {}\n\n/// A sale.\n#[tokio::test]\nasync fn two() {}\n";
    let wanted = [("one".to_owned(), BTreeSet::from([7, 8])), ("two".to_owned(), BTreeSet::new())];
    assert_eq!(named(source), BTreeMap::from(wanted));
}
