//! Chaos over the shop, as `shop chaos` runs it: all books agree, and what was ordered to go wrong went wrong.
//!
//! `make chaos` runs the full numbers, `FACTUM_SEED=7` one seed of `FACTUM_ORDERS`.

use std::time::Duration;

use factum::chaos::{FULL_DISK, Rates};
use shop::chaos::{Settings, run};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_comes_to_its_end_and_all_books_agree_whatever_goes_wrong() {
    let seed = number("FACTUM_SEED").unwrap_or(7);
    let orders = number("FACTUM_ORDERS").unwrap_or(200);
    println!("chaos over {orders} orders: FACTUM_SEED={seed}");
    let settings = Settings {
        orders,
        seed,
        declines: 0.1,
        rates: Rates::usual(),
        poison: 0.02,
        kills: 6,
        limit: Duration::from_secs(300),
        keep: None,
        program: Some(env!("CARGO_BIN_EXE_shop").into()),
    };
    let outcome = run(&settings, &|_| {}).await.unwrap();
    println!("{}{} orders: {:?}", outcome.tally, outcome.findings.orders, outcome.ends);
    let tally = &outcome.tally;
    if let Some(why) = tally.count(FULL_DISK, "the data's disk").skipped {
        println!("skipped: full disks: {why}");
    }
    assert_eq!(outcome.problems, [""; 0], "seed {seed}");
    assert_eq!(outcome.findings.orders, orders);
    assert_eq!(outcome.letters, tally.happenings("poison"));
    let count = |end: &str| outcome.ends.get(end).copied().unwrap_or_default();
    // How many is up to the machine: while the provider's breaker is open, orders run out of patience.
    assert!(count("delivered") + count("returned") > 0, "all orders came to nothing: {:?}", outcome.ends);
    assert!(tally.count("kill", "running").happened >= settings.kills);
    let faults = ["decline", "time-out", "answer lost", "request lost", "duplicate", "sent away", "delay"];
    let others = ["news out of order", "news twice", "poison", "poison at the door", "sent back"];
    for fault in faults.into_iter().chain(others) {
        assert!(tally.happenings(fault) > 0, "{fault} never happened, so nothing was tested: {tally}");
    }
}
