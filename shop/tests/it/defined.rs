//! Sagas from definitions in YAML, and from Rust over the same participants: the same events, the same ends.

mod rust;

use std::{path::Path, time::Duration};

use factum::{
    Archive, envelope::Stored, http::client::Remote, memory::Memory, ports::Scan, prelude::*, stream::Position,
};
use serde_json::{Value, json};
use shop::{
    check,
    contracts::spellings::spellings,
    services::{Options, services},
};

use crate::{
    gateways::{Outside, Trouble},
    shop::{Shop, secret, simulated},
};

const SAGAS: [&str; 3] = ["checkout", "order_fulfillment", "order-creation"];

/// The rooms without a process of the order room's own.
fn rooms(outside: &Remote) -> Vec<Service> {
    let (provider, carrier) = (Some(outside.clone()), Some(outside.clone()));
    // The provider is asked for longer than a step waits.
    let patience = Duration::from_secs(600);
    let options = Options { provider, carrier, carrier_secret: Some(secret()), patience, ..simulated() };
    let mut rooms = services(&options);
    rooms.iter_mut().for_each(|room| room.sagas.clear());
    rooms
}

async fn from_yaml(log: Memory, outside: &Remote) -> Shop {
    let app = App::over(log).on_data_time().spellings(spellings());
    let app = rooms(outside).into_iter().fold(app, factum::AppBuilder::with);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("definitions");
    let defined = SAGAS.iter().fold(app, |app, saga| app.definitions(folder.join(format!("{saga}.yaml"))).unwrap());
    Shop::start(defined).await.stock().await
}

async fn from_rust(log: Memory, outside: &Remote) -> Shop {
    let app = App::over(log).on_data_time().spellings(spellings());
    let app = rooms(outside).into_iter().fold(app, factum::AppBuilder::with);
    // Services take their turn in this order, and definitions come last.
    Shop::start(app.with(rust::service())).await.stock().await
}

/// What a saga is started with: so many cups and teas, at prices that come to a total, or do not.
fn order(id: &str, cups: i64, total: i64) -> Value {
    let line = |line: u32, sku: &str, quantity: i64, amount: i64| {
        json!({ "line": line, "kind": "goods", "sku": sku, "name": sku.to_lowercase(), "quantity": quantity,
            "amount": { "amount": amount, "currency": "GBP" } })
    };
    let money = json!({ "amount": total, "currency": "GBP" });
    let items = json!([line(1, "TEA", 1, 255), line(2, "CUP", cups, 745)]);
    json!({ "orderId": id, "customerId": "ann", "items": items, "total": money, "amount": money, "method": "card" })
}

/// What the provider is asked, and the troubles that it has with it.
type Troubles = (&'static str, fn() -> Vec<Trouble>);

/// What may happen, and how the saga ends for it.
struct Case {
    name: &'static str,
    cups: i64,
    total: i64,
    trouble: Option<Troubles>,
    /// Of each saga: its status and error.
    ends: [(&'static str, &'static str); 3],
}

const DONE: (&str, &str) = ("completed", "");
const UNPAID: (&str, &str) = ("compensated", "payment_failed");
const SHORT: (&str, &str) = ("compensated", "inventory_reservation_failed");

const CASES: [Case; 7] = [
    Case { name: "forward", cups: 2, total: 1_000, trouble: None, ends: [DONE; 3] },
    Case { name: "short", cups: 200_000, total: 1_000, trouble: None, ends: [SHORT; 3] },
    Case {
        name: "declined",
        cups: 2,
        total: 1_000,
        trouble: Some(("authorize", || vec![Trouble::Refused])),
        ends: [UNPAID; 3],
    },
    Case {
        name: "capture refused",
        cups: 2,
        total: 1_000,
        trouble: Some(("capture", || vec![Trouble::Refused])),
        ends: [UNPAID; 3],
    },
    // Longer than the step waits: it is undone while the provider is still asked.
    Case {
        name: "silent before the money is held",
        cups: 2,
        total: 1_000,
        trouble: Some(("authorize", || (0..60).map(|_| Trouble::Busy).collect())),
        ends: [UNPAID; 3],
    },
    Case {
        name: "silent before the money is taken",
        cups: 2,
        total: 1_000,
        trouble: Some(("capture", || (0..60).map(|_| Trouble::Busy).collect())),
        ends: [UNPAID; 3],
    },
    Case {
        name: "wrong total",
        cups: 2,
        total: 999,
        trouble: None,
        ends: [("compensated", "order_creation_failed"), DONE, ("compensated", "order_creation_failed")],
    },
];

/// A saga's run in one program.
struct Ran {
    log: Vec<String>,
    status: String,
    error: String,
}

async fn run(shop: &Shop, outside: &Outside, saga: &str, case: &Case) -> Ran {
    let data = order("o-1", case.cups, case.total);
    if saga == "order_fulfillment" {
        // It takes an order that is placed.
        let mut placed = order("o-1", case.cups, 1_000);
        placed.as_object_mut().unwrap().retain(|field, _| !matches!(field.as_str(), "amount" | "method"));
        let placed = json!({ "id": "place", "type": "order.create", "data": placed });
        assert_eq!(shop.post("/factum/v1/commands", &placed).await.status, 200);
        shop.app.rest().await.unwrap();
    }
    if let Some((what, troubles)) = case.trouble {
        outside.trouble(what, troubles());
    }
    let before = shop.app.position();
    let started = shop.post_as("k-1", "/factum/v1/sagas", &json!({ "saga": saga, "data": data })).await;
    assert_eq!(started.status, 202, "{started:?}");
    let id = started.body["sagaId"].as_str().unwrap().to_owned();
    assert_eq!(started.header("location"), format!("/factum/v1/sagas/{id}"));
    shop.hours(3).await;
    let shown = shop.get(&format!("/factum/v1/sagas/{id}")).await.body;
    assert!(shop.app.health().is_well(), "{:?}", shop.app.health());
    if shown["status"] == "compensated" {
        // As if nothing had been: no money held, no goods kept, no parcel under way.
        let found = check::check(&Archive::of(shop.app.reader())).unwrap();
        // An order that was to be created at the end never was.
        let real = found.problems.iter().filter(|problem| !problem.ends_with("which there never was"));
        assert_eq!(real.collect::<Vec<_>>(), [""; 0], "{saga}: {}", case.name);
    }
    let data = order("o-1", case.cups, case.total);
    let again = shop.post_as("k-1", "/factum/v1/sagas", &json!({ "saga": saga, "data": data })).await;
    assert_eq!((again.status, &again.body["repeated"]), (202, &json!(true)), "{again:?}");
    Ran {
        log: written(shop, before),
        status: shown["status"].as_str().unwrap().to_owned(),
        error: shown["error"].as_str().unwrap_or_default().to_owned(),
    }
}

/// Each message after a position, but for the facts of sagas, whose form is the program's own, for notifications, whose ids
/// are made by chance, and for repeated undos: how often one is sent while the provider is asked is up to the chance in the
/// waits between attempts.
fn written(shop: &Shop, after: Position) -> Vec<String> {
    let scan = Scan { after, until: shop.app.position(), bytes: usize::MAX, types: None };
    let of = |stored: &Stored| {
        let mut data: Value = serde_json::from_slice(&stored.message.data).unwrap();
        data.as_object_mut().unwrap().remove("facts");
        format!("{:?} {} {} {data}", stored.envelope().kind, stored.stream, stored.type_name())
    };
    let messages = shop.app.reader().scan(&scan).unwrap().messages;
    let mut messages: Vec<&Stored> =
        messages.iter().filter(|stored| !stored.type_name().starts_with("notification.")).collect();
    // Answers from outside come when they come: order holds in each stream.
    messages.sort_by(|one, other| one.stream.as_str().cmp(other.stream.as_str()));
    let mut lines: Vec<String> = messages.into_iter().map(of).collect();
    lines.retain(|line| !line.contains(".undo_sent ") || line.contains("\"attempt\":1,"));
    // Their commands stand one behind the other then.
    lines.dedup();
    lines
}

/// R163, R166 to R174, R264, R385: create–reserve–pay–mark paid, pay–reserve–ship, reserve–pay–create.
#[tokio::test]
async fn sagas_from_yaml_and_from_rust_write_the_same_and_end_alike_whatever_fails() {
    for case in &CASES {
        for (saga, end) in SAGAS.iter().zip(case.ends) {
            let mut runs = Vec::new();
            for yaml in [true, false] {
                let (outside, url) = Outside::open().await;
                let shop = match yaml {
                    true => from_yaml(Memory::new(), &url).await,
                    false => from_rust(Memory::new(), &url).await,
                };
                let ran = run(&shop, &outside, saga, case).await;
                let (status, error) = (ran.status.as_str(), ran.error.as_str());
                assert_eq!((status, error), end, "{saga}, {}: {:#?}", case.name, ran.log);
                let waited = ran.log.iter().any(|line| line.contains("\"kind\":\"expired\""));
                assert_eq!(waited, case.name.starts_with("silent"), "{saga}, {}", case.name);
                runs.push(ran.log);
            }
            assert_eq!(runs[0], runs[1], "{saga}, {}", case.name);
        }
    }
}

/// What stands in the log when a definition goes away: the program starts, and those that are left go on.
#[tokio::test]
async fn a_definition_that_goes_away_leaves_the_rest_running() {
    let (_, url) = Outside::open().await;
    let log = Memory::new();
    let shop = from_yaml(log.clone(), &url).await;
    for saga in ["checkout", "order_creation"] {
        let data = order(&format!("o-{saga}"), 2, 1_000);
        assert_eq!(shop.post("/factum/v1/sagas", &json!({ "saga": saga, "data": data })).await.status, 202);
    }
    shop.hours(1).await;
    shop.app.stop().await;
    let app = App::over(log).on_data_time().spellings(spellings());
    let app = rooms(&url).into_iter().fold(app, factum::AppBuilder::with);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("definitions");
    let shop = Shop::start(app.definitions(folder.join("checkout.yaml")).unwrap()).await;
    let asked = |saga: &str, id: &str| json!({ "saga": saga, "data": order(id, 2, 1_000) });
    let gone = shop.post("/factum/v1/sagas", &asked("order_creation", "o-2")).await;
    gone.refuses(404, "unknown_saga", "there is no saga `order_creation` to start: there is checkout");
    assert_eq!(shop.post("/factum/v1/sagas", &asked("checkout", "o-2")).await.status, 202);
    shop.hours(2).await;
    assert_eq!(shop.get("/factum/v1/sagas/checkout-o-2").await.body["status"], "completed");
    assert_eq!(shop.get("/factum/v1/sagas/order_creation-o-order_creation").await.body["status"], "completed");
}

#[tokio::test]
async fn what_cannot_start_is_refused_with_a_sentence() {
    let (_, url) = Outside::open().await;
    let shop = from_yaml(Memory::new(), &url).await;
    let asked = |data: Value| json!({ "saga": "Checkout", "data": data });
    let lacking = shop.post("/factum/v1/sagas", &asked(json!({ "orderId": "o-1", "total": 5 }))).await;
    lacking.refuses(
        422,
        "bad_data",
        "its data lacks `items` (for order.create), `amount` (for payment.process), `method`",
    );
    let mut wrong = order("o-1", 2, 1_000);
    wrong["amount"] = json!("ten pounds");
    shop.post("/factum/v1/sagas", &asked(wrong)).await.refuses(422, "bad_data", "step `process_payment` cannot send");
    shop.post("/factum/v1/sagas?dryRun=true", &asked(json!({}))).await.refuses(400, "bad_query", "dryRun");
    let numbered = shop.post("/factum/v1/sagas", &asked(json!({ "orderId": 7 }))).await;
    numbered.refuses(422, "bad_data", "`orderId` names the process, and is a text");
    shop.post("/factum/v1/sagas", &json!({ "saga": "fly", "data": {} })).await.refuses(404, "unknown_saga", "`fly`");
    shop.post("/factum/v1/sagas", &json!({ "saga": "fly", "date": {} })).await.refuses(400, "unknown_field", "date");
    let mut unnamed = order("", 2, 1_000);
    unnamed.as_object_mut().unwrap().remove("orderId");
    let made = shop.post_as("key-7", "/factum/v1/sagas", &asked(unnamed)).await;
    assert_eq!((made.status, &made.body["sagaId"]), (202, &json!("checkout-key-7")), "{made:?}");
    let taken = shop.post("/factum/v1/sagas", &asked(order("key-7", 3, 1_000))).await;
    taken.refuses(409, "already_started", "was started with other data under this `orderId`");
    // At the door for others, as an order-taker of another make would send it.
    let foreign = json!({ "commandId": "cmd-1", "command": "saga.start", "data": asked(order("o-9", 2, 1_000)) });
    assert_eq!(shop.post("/factum/v1/commands", &foreign).await.status, 200);
    shop.hours(1).await;
    for id in ["checkout-key-7", "checkout-o-9"] {
        assert_eq!(shop.get(&format!("/factum/v1/sagas/{id}")).await.body["status"], "completed", "{id}");
    }
    let lacks = Shop::lacking(Memory::new(), &[]).await;
    lacks.post("/factum/v1/sagas", &asked(json!({}))).await.refuses(404, "no_such_saga", "started by a request");
}
