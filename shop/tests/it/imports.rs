//! Real invoices through the whole shop: the report, the checks, and that neither the order of delivery nor a kill matters.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use factum::{App, Archive};
use serde_json::{Value, json};
use shop::{
    check::check,
    contracts::{catalog::RegisterProduct, inventory::ReceiveStock, order::CreateOrder, shapes::Line},
    import::{
        File, journal,
        loader::{self, Settings},
        read,
    },
    money::{pence, price},
    report::report,
    services::services,
};

use crate::books::large;

const CHOREOGRAPHED: [&str; 2] = ["--process", "choreographed"];

pub fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/online_retail_first_2000_invoices.csv.zst")
}

/// A shop that imports.
pub async fn in_memory(settings: &Settings) -> App {
    let app = App::in_memory().on_data_time().with(journal::service());
    let app = services(&loader::options(settings)).into_iter().fold(app, factum::AppBuilder::with);
    let app = if let Some(seed) = settings.shuffle { app.shuffled(seed) } else { app };
    app.start().await.unwrap()
}

/// The report of a run in memory, which must also pass the check.
pub async fn run(file: &File, settings: &Settings) -> Value {
    let app = in_memory(settings).await;
    loader::run(&app, file, settings, &|_, _| {}).await.unwrap();
    let archive = Archive::of(app.reader());
    let findings = check(&archive).unwrap();
    assert!(findings.is_well(), "{:#?}", findings.problems);
    assert_eq!((findings.orders_under_way, findings.sagas_under_way), (0, 0));
    assert!(app.health().is_well(), "{:?}", app.health());
    let report = serde_json::to_value(report(&archive).unwrap()).unwrap();
    app.stop().await;
    report
}

/// Some hundred orders, for what must be run many times.
pub fn small(invoices: usize) -> File {
    let mut file = read(&committed()).unwrap();
    file.invoices.truncate(invoices);
    file.numbers = invoices as u64;
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_equals_the_known_totals() {
    let report = run(&read(&committed()).unwrap(), &Settings::default()).await;
    assert_eq!(report["input"], json!({"rows": 41621, "invoices": 2000}));
    assert_eq!(report["orders"]["placed"], 1537);
    assert_eq!(report["orders"]["total"], 79983492);
    assert_eq!(report["orders"]["byCountry"][4], json!({"country": "Netherlands", "orders": 3, "total": 878448}));
    assert_eq!(report["creditNotes"], json!({"count": 314, "total": 2079391}));
    assert_eq!(report["payments"], json!({"captured": 79983492, "refunded": 2079391}));
    assert_eq!(report["stock"], json!({"found": 2805, "writtenOff": 4010, "sold": 354101}));
    assert_eq!(report["topProducts"][0], json!({"sku": "84077", "units": 5195}));
    assert_eq!(report["topProducts"][4], json!({"sku": "22197", "units": 2730}));
    assert_eq!(report["skipped"], json!({"ledgerRows": 10, "ledgerInvoices": 10}));
    let ends: Vec<&String> = report["orders"]["byStatus"].as_object().unwrap().keys().collect();
    assert_eq!(ends, ["delivered", "returned"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn declined_payments_are_undone_and_nothing_is_half_done() {
    let report = run(&small(400), &Settings { declines: 0.3, shuffle: None, ..Settings::default() }).await;
    let cancelled = report["orders"]["byStatus"]["cancelled"].as_u64().unwrap();
    assert!(cancelled > 20, "{report:#}");
    // Nothing goes back that did not come in.
    let of = |total: &Value| total.as_i64().unwrap_or_default();
    let (notes, refunded) = (&report["creditNotes"], of(&report["payments"]["refunded"]));
    assert_eq!(refunded + of(&notes["notDue"]["amount"]), of(&notes["total"]), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_delivery_changes_nothing() {
    let file = small(250);
    let undisturbed = run(&file, &Settings { declines: 0.1, shuffle: None, ..Settings::default() }).await;
    for seed in 0..20 {
        let shuffled = run(&file, &Settings { declines: 0.1, shuffle: Some(seed), ..Settings::default() }).await;
        assert_eq!(shuffled, undisturbed, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_declines_on_a_restart_are_refused() {
    let file = small(3);
    let app = in_memory(&Settings::default()).await;
    loader::run(&app, &file, &Settings::default(), &|_, _| {}).await.unwrap();
    let other = Settings { declines: 0.5, shuffle: None, ..Settings::default() };
    let error = loader::run(&app, &file, &other, &|_, _| {}).await.unwrap_err();
    assert!(format!("{error:#}").contains("--declines 0"), "{error:#}");
    app.stop().await;
}

/// Registers tea, has some in stock, and sells two of it; answers what was captured for that.
pub async fn paid_order(app: &App, order: &str) -> i64 {
    let unit = || price("2.55").unwrap();
    app.execute(RegisterProduct { sku: "TEA".into(), name: "tea".to_owned(), price: unit(), active: true })
        .await
        .unwrap();
    app.execute(ReceiveStock { sku: "TEA".into(), quantity: 9, warehouse_id: "main".into() }).await.unwrap();
    let ordered = CreateOrder {
        channel: Default::default(),
        order_id: order.into(),
        customer_id: None,
        cart_id: None,
        items: vec![Line::goods(1, "TEA".into(), "tea", 2, unit()).unwrap()],
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(510),
        shipping_address: None,
        payment_method: None,
    };
    app.execute(ordered).await.unwrap();
    app.rest().await.unwrap();
    check(&Archive::of(app.reader())).unwrap().captured
}

pub fn shop(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    command
}

pub fn text(command: &mut Command) -> (bool, String, String) {
    let output = command.output().unwrap();
    let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), utf8(output.stdout), utf8(output.stderr))
}

/// How often something is done; `FACTUM_KILLS=20 FACTUM_SEEDS=20` runs the full numbers.
pub fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Runs an import, killed `kills` times after random parts of the time that an undisturbed one takes. Each time its
/// snapshots may be thrown away.
pub fn killed_import(arguments: &[&str], data: &Path, undisturbed: Duration, random: &mut fastrand::Rng) {
    let (kills, mut hit) = (count("FACTUM_KILLS", 5), 0);
    for _ in 0..kills {
        let mut child: Child = shop(arguments, data).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + undisturbed.mul_f64(random.f64() * 2.0 / kills as f64);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        hit += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if random.bool() {
            _ = fs::remove_dir_all(data.join("snapshots"));
        }
    }
    println!("{hit} of {kills} kills hit a running import");
    assert!(hit > 0, "no kill hit a running import, so nothing was tested");
    let (done, _, errors) = text(&mut shop(arguments, data));
    assert!(done, "{errors}");
}

const DECLINES: [&str; 2] = ["--declines", "0.1"];

/// How long an undisturbed import takes, orchestrated and in the file's order, and its report.
fn calm(file: &Path) -> (Duration, String) {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [&["import", file.to_str().unwrap()][..], &DECLINES].concat();
    let started = Instant::now();
    let (done, _, errors) = text(&mut shop(&arguments, dir.path()));
    assert!(done, "{errors}");
    let took = started.elapsed();
    (took, text(&mut shop(&["report", "--json"], dir.path())).1)
}

/// The same of the committed file.
pub fn calm_once() -> &'static (Duration, String) {
    static CALM: OnceLock<(Duration, String)> = OnceLock::new();
    CALM.get_or_init(|| calm(&committed()))
}

fn kill_and_compare(file: &Path, (undisturbed, wanted): &(Duration, String), more: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [&["import", file.to_str().unwrap()][..], &DECLINES, more].concat();
    let seed = fastrand::u64(..);
    killed_import(&arguments, dir.path(), *undisturbed, &mut fastrand::Rng::with_seed(seed));
    let (_, found, errors) = text(&mut shop(&["report", "--json"], dir.path()));
    assert_eq!(found, *wanted, "{more:?}, seed {seed}: {errors}");
    let (well, findings, errors) = text(&mut shop(&["check"], dir.path()));
    assert!(well, "{more:?}, seed {seed}: {findings}{errors}");
}

fn kill_shuffled(more: &[&str]) {
    for seed in 0..count("FACTUM_SEEDS", 1) {
        kill_and_compare(&committed(), calm_once(), &[more, &["--shuffle", &seed.to_string()]].concat());
    }
}

#[test]
fn an_import_that_is_killed_again_and_again_gives_the_same_report() {
    kill_and_compare(&committed(), calm_once(), &[]);
}

#[test]
fn a_choreographed_import_that_is_killed_again_and_again_gives_the_same_report() {
    kill_and_compare(&committed(), calm_once(), &CHOREOGRAPHED);
}

#[test]
fn a_shuffled_import_that_is_killed_again_and_again_gives_the_same_report() {
    kill_shuffled(&[]);
}

#[test]
#[ignore = "in full: some minutes"]
fn a_choreographed_and_shuffled_import_that_is_killed_again_and_again_gives_the_same_report() {
    kill_shuffled(&CHOREOGRAPHED);
}

#[test]
#[ignore = "needs the cut 2010-12 to 2011-06 of the same data, its path in SHOP_LARGE_FILE"]
fn seven_months_that_are_killed_again_and_again_give_the_same_report() {
    let calm = calm(&large());
    for more in [&[][..], &CHOREOGRAPHED] {
        kill_and_compare(&large(), &calm, more);
    }
}

#[test]
fn a_row_that_cannot_be_read_is_reported_with_its_line_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.csv");
    let rows = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n\
                1,A,Tea,2,2010-12-01 08:26:00,2.55,7,EIRE\n\
                1,B,Cup,many,2010-12-01 08:26:00,1.00,7,EIRE\n\
                2,A,Tea,1,2010-12-02 08:26:00,2.55,7,EIRE\n";
    fs::write(&file, rows).unwrap();
    let data = dir.path().join("data");
    let (done, out, errors) = text(&mut shop(&["import", file.to_str().unwrap()], &data));
    assert!(done, "{errors}");
    for says in
        ["2 invoices in", "1 row could not be read or taken:", "line 3: ", "invoice 1 is taken without this row"]
    {
        assert!(out.contains(says), "{says}: {out}");
    }
    let (_, report, _) = text(&mut shop(&["report", "--json"], &data));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["input"], json!({"rows": 3, "invoices": 2}));
    assert_eq!(report["orders"]["total"], 765);
    assert_eq!(report["unreadable"], json!({"rows": 1, "incomplete": ["1"]}));
    let (_, told, _) = text(&mut shop(&["report"], &data));
    assert!(told.contains("1 invoice taken without a row that could not be read: 1."), "{told}");
    // The same again: nothing to do.
    let (done, out, _) = text(&mut shop(&["import", file.to_str().unwrap()], &data));
    assert!(done && out.contains("Nothing to do"), "{out}");
    let (_, again, _) = text(&mut shop(&["report", "--json"], &data));
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), report);
}

#[test]
fn nonsense_gets_a_sentence_and_a_code() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().join("nothing");
    let cases: [(&[&str], &str); 7] = [
        (&["import", "no-such-file.csv"], "no-such-file.csv"),
        (&["import", "x.csv", "--declines", "2"], "from 0"),
        (&["report"], "nothing"),
        (&["check"], "nothing"),
        (&["history", "1"], "nothing"),
        (&["at", "1", "yesterday"], "2010-12-03"),
        (&["serve", "--day", "0s"], "duration"),
    ];
    for (arguments, word) in cases {
        let (done, _, errors) = text(&mut shop(arguments, &nothing));
        assert!(!done && errors.contains(word), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
    }
}

#[test]
fn an_order_has_a_history_and_can_be_seen_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.csv");
    let rows = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n\
                1,A,Tea,2,2010-12-01 08:26:00,2.55,7,EIRE\n\
                C2,A,Tea,-1,2010-12-02 08:26:00,2.55,7,EIRE\n";
    fs::write(&file, rows).unwrap();
    let data = dir.path().join("data");
    assert!(text(&mut shop(&["import", file.to_str().unwrap()], &data)).0);
    let (_, history, _) = text(&mut shop(&["history", "1"], &data));
    for word in ["order.created", "inventory.reserved", "payment.captured", "order.delivered", "payment.refunded"] {
        assert!(history.contains(word), "{word} is missing in\n{history}");
    }
    let (_, then, _) = text(&mut shop(&["at", "1", "2010-12-01T08:30"], &data));
    assert!(then.contains("shipped"), "{then}");
    let (_, later, _) = text(&mut shop(&["at", "1", "2011-01-01"], &data));
    assert!(later.contains("returned") && later.contains("£2.55"), "{later}");
    let (done, _, errors) = text(&mut shop(&["at", "1", "2010-11-30"], &data));
    assert!(!done && errors.contains("did not exist"), "{errors}");
}
