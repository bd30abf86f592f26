//! A shop moves from its directory into a database and back while orders come in: none is lost, none is there twice.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use factum::{Location, operate};
use serde_json::{Value, json};
use shop::{check::check, services::archive};

use crate::{
    books::large,
    imports::{shop, text},
    standby::{Process, server},
};

const LIMIT: Duration = Duration::from_secs(600);

/// Orders, each when it is due, whatever became of the ones before, until it is enough. Answers how many, and the longest answer.
async fn orders(shop: Arc<Process>, a_second: u32, enough: Arc<AtomicBool>) -> (u64, Duration) {
    let (mut clock, mut under_way) = (tokio::time::interval(Duration::from_secs(1) / a_second), Vec::new());
    while !enough.load(Ordering::Relaxed) {
        clock.tick().await;
        let (shop, key) = (shop.clone(), format!("order-{}", under_way.len()));
        under_way.push(tokio::spawn(async move {
            let began = Instant::now();
            shop.order(&key).await;
            began.elapsed()
        }));
    }
    let (all, mut longest) = (under_way.len() as u64, Duration::ZERO);
    for order in under_way {
        longest = longest.max(order.await.unwrap());
    }
    (all, longest)
}

/// Goes over, and answers how that was.
async fn goes_over(shop: &Process, to: &str) -> Value {
    let began = Instant::now();
    let begun = shop.client.post("/factum/v1/move", to, &[], &json!({ "to": to }).to_string()).await.unwrap();
    assert_eq!(begun.status, 202, "{}", begun.body);
    loop {
        let shown = shop.client.get("/factum/v1/move").await.unwrap().body;
        match shown["phase"].as_str() {
            Some("copying" | "due" | "switching") => assert!(began.elapsed() < LIMIT, "{shown}"),
            phase => {
                assert_eq!(phase, Some("moved"), "{shown}");
                return shown;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn delivered(shop: &Process) -> u64 {
    shop.client.get("/orders?status=delivered").await.unwrap().body["total"].as_u64().unwrap()
}

fn report(store: &str) -> String {
    let (done, report, errors) = text(&mut shop(&["report", "--json"], Path::new(store)));
    assert!(done, "{errors}");
    report
}

async fn moves_there_and_back(dir: &str, database: &str, a_second: u32) {
    let mut process = Process::start(dir);
    process.until(200).await;
    process.stocked().await;
    let (shop, before) = (Arc::new(process), delivered_before(dir));
    let enough = Arc::new(AtomicBool::new(false));
    let coming = tokio::spawn(orders(shop.clone(), a_second, enough.clone()));
    for to in [database, dir] {
        let shown = goes_over(&shop, to).await;
        println!(
            "{a_second} orders a second, to {}: {} messages, pause {} ms",
            shown["to"], shown["of"], shown["longestPauseMs"]
        );
        assert!(shown["digest"].is_string(), "{shown}");
    }
    enough.store(true, Ordering::Relaxed);
    let (posted, longest) = coming.await.unwrap();
    println!("{posted} orders, the longest answer took {longest:?}; {} were refused on the way", shop.client.seen(503));
    let began = Instant::now();
    while delivered(&shop).await != before + posted {
        assert!(began.elapsed() < LIMIT, "{} of {posted} orders are delivered", delivered(&shop).await - before);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shop.signal("-TERM");
    let mut process = Arc::into_inner(shop).unwrap();
    assert!(process.child.wait().unwrap().success());
    let findings = check(&archive(Path::new(dir)).unwrap()).unwrap();
    assert!(findings.is_well(), "{:#?}", findings.problems);
    // The database is where it was when it was left, and says so.
    let left = operate::marks(Location::from(database)).unwrap();
    assert_eq!(left.moved.as_deref(), Some(dir));
    let told = text(&mut shop_on(database)).2;
    assert!(told.contains(&format!("has moved to {dir}")), "{told}");
    // Once more, at rest: byte for byte the same report.
    let here = report(dir);
    operate::relocate(dir, database, &mut |_| Ok(())).unwrap().unwrap();
    assert_eq!(report(database), here);
}

fn shop_on(database: &str) -> std::process::Command {
    shop(&["serve", "--listen", "127.0.0.1:0"], Path::new(database))
}

fn delivered_before(dir: &str) -> u64 {
    let report: Value = serde_json::from_str(&report(dir)).unwrap();
    report["orders"]["byStatus"]["delivered"].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_moves_to_a_database_and_back_while_orders_come() {
    let Some((_server, database)) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    moves_there_and_back(dir.path().to_str().unwrap(), &database, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cut 2010-12 to 2011-06 of the same data, its path in SHOP_LARGE_FILE"]
async fn the_shop_of_seven_months_moves_to_a_database_and_back_while_orders_come() {
    let Some((_server, database)) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (done, _, errors) = text(&mut shop(&["import", large().to_str().unwrap()], dir.path()));
    assert!(done, "{errors}");
    moves_there_and_back(dir.path().to_str().unwrap(), &database, 20).await;
}
