//! The books in full, on demand (`make books`): whole files, in every order of delivery, to the penny.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shop::{
    contracts::process::Process,
    import::{loader::Settings, read},
};

use crate::imports::{committed, count, run};

/// The large cut of the same data.
pub fn large() -> PathBuf {
    std::env::var_os("SHOP_LARGE_FILE").ok_or("SHOP_LARGE_FILE names the file").unwrap().into()
}

/// What each file comes to, counted from its rows alone.
fn first_2000_invoices() -> Value {
    json!({
        "input": { "rows": 41_621, "invoices": 2_000 },
        "orders": { "placed": 1_537, "total": 79_983_492, "byCountry": [
            { "country": "United Kingdom", "orders": 1_427, "total": 72_591_046 },
            { "country": "Germany", "orders": 29, "total": 1_397_829 },
            { "country": "EIRE", "orders": 16, "total": 974_341 },
            { "country": "France", "orders": 21, "total": 961_631 },
            { "country": "Netherlands", "orders": 3, "total": 878_448 },
        ] },
        "creditNotes": { "count": 314, "total": 2_079_391 },
        "payments": { "captured": 79_983_492, "refunded": 2_079_391 },
        "stock": { "found": 2_805, "writtenOff": 4_010, "sold": 354_101 },
        "topProducts": [
            { "sku": "84077", "units": 5_195 }, { "sku": "21212", "units": 4_082 }, { "sku": "85123A", "units": 3_834 },
            { "sku": "22834", "units": 3_478 }, { "sku": "22197", "units": 2_730 },
        ],
        "skipped": { "ledgerRows": 10, "ledgerInvoices": 10 },
    })
}

fn seven_months() -> Value {
    json!({
        "input": { "rows": 245_903, "invoices": 12_795 },
        "orders": { "placed": 9_653, "total": 481_264_540, "byCountry": [
            { "country": "United Kingdom", "orders": 8_774, "total": 404_733_889 },
            { "country": "Netherlands", "orders": 46, "total": 13_984_457 },
            { "country": "EIRE", "orders": 121, "total": 11_682_657 },
            { "country": "Germany", "orders": 201, "total": 10_746_656 },
            { "country": "France", "orders": 180, "total": 8_995_484 },
        ] },
        "creditNotes": { "count": 1_974, "total": 29_211_984 },
        "payments": { "captured": 481_264_540, "refunded": 29_211_984 },
        "stock": { "found": 34_825, "writtenOff": 114_420, "sold": 2_500_201 },
        "topProducts": [
            { "sku": "23166", "units": 75_413 }, { "sku": "84077", "units": 31_403 }, { "sku": "85099B", "units": 23_020 },
            { "sku": "85123A", "units": 22_847 }, { "sku": "21212", "units": 22_008 },
        ],
        "skipped": { "ledgerRows": 38, "ledgerInvoices": 38 },
    })
}

/// The report has all that is known, and what is not known of it is left out; lists show their first five.
fn known(report: &Value, known: &Value) -> Value {
    match known {
        Value::Object(fields) => {
            fields.iter().map(|(name, of)| (name.clone(), self::known(&report[name], of))).collect()
        }
        Value::Array(of) => of.iter().enumerate().map(|(at, of)| self::known(&report[at], of)).collect(),
        _ => report.clone(),
    }
}

/// An orchestrated run comes to the known totals, and one for each seed, run in this way, to the same report. Each must also
/// pass the check.
async fn in_every_order(path: &Path, wanted: &Value, process: Process) {
    let file = read(path).unwrap();
    let undisturbed = run(&file, &Settings::default()).await;
    assert_eq!(known(&undisturbed, wanted), *wanted);
    let seeds = count("FACTUM_SEEDS", 20);
    let shuffles = process.is_choreographed().then_some(None).into_iter().chain((0..seeds as u64).map(Some));
    for shuffle in shuffles {
        let settings = Settings { shuffle, process: Some(process), ..Settings::default() };
        assert_eq!(run(&file, &settings).await, undisturbed, "{process}, seed {shuffle:?}");
    }
    println!("{}, {process}: {seeds} orders of delivery, one report: {}", file.name, undisturbed["payments"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in full: some minutes"]
async fn the_first_2000_invoices_in_every_order_of_delivery() {
    in_every_order(&committed(), &first_2000_invoices(), Process::Orchestrated).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in full: some minutes"]
async fn the_first_2000_invoices_choreographed_in_every_order_of_delivery() {
    in_every_order(&committed(), &first_2000_invoices(), Process::Choreographed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cut 2010-12 to 2011-06 of the same data, its path in SHOP_LARGE_FILE"]
async fn seven_months_in_every_order_of_delivery() {
    in_every_order(&large(), &seven_months(), Process::Orchestrated).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cut 2010-12 to 2011-06 of the same data, its path in SHOP_LARGE_FILE"]
async fn seven_months_choreographed_in_every_order_of_delivery() {
    in_every_order(&large(), &seven_months(), Process::Choreographed).await;
}
