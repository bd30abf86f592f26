//! Chaos over the shop, as `shop chaos` runs it: all books agree, and what was ordered to go wrong went wrong.
//!
//! `make chaos` runs the full numbers, `FACTUM_SEED=7` one seed of `FACTUM_ORDERS`.

use std::time::Duration;

use factum::chaos::{FULL_DISK, Rates};
use shop::chaos::{Settings, run};

/// Of so many orders one may be undone because something took too long: on a busy machine more do.
const OUT_OF_TIME: u64 = 3;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_comes_to_its_end_and_all_books_agree_whatever_goes_wrong() {
    let seed = number("FACTUM_SEED").unwrap_or(7);
    let orders = number("FACTUM_ORDERS").unwrap_or(500);
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
    println!(
        "{}{} orders: {:?}, {} out of time",
        outcome.tally, outcome.findings.orders, outcome.ends, outcome.out_of_time
    );
    let tally = &outcome.tally;
    let full = tally.count(FULL_DISK, "the data's disk");
    match full.skipped {
        Some(why) => println!("skipped: full disks: {why}"),
        None => assert!(full.happened > 0, "no full disk was noticed: {tally}"),
    }
    assert_eq!(outcome.problems, [""; 0], "seed {seed}");
    assert_eq!(outcome.findings.orders, orders);
    assert_eq!(outcome.letters, tally.happenings("poison"));
    // What nobody refuses comes through: a shop that undoes it whenever something goes wrong has all books in order, too.
    assert!(outcome.out_of_time * OUT_OF_TIME <= orders, "{} ran out of time: {:?}", outcome.out_of_time, outcome.ends);
    assert!(tally.count("kill", "running").happened >= settings.kills);
    let faults = ["decline", "time-out", "answer lost", "request lost", "duplicate", "sent away", "delay"];
    let others = ["news out of order", "news twice", "poison", "poison at the door", "sent back"];
    for fault in faults.into_iter().chain(others) {
        assert!(tally.happenings(fault) > 0, "{fault} never happened, so nothing was tested: {tally}");
    }
}
