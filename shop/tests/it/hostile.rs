//! Files that would shut a shop: each is imported as far as it goes, what does not fit is told with line and reason, and
//! afterwards the shop is whole, takes the next file, and opens.

use std::{collections::BTreeSet, fs, path::PathBuf};

use factum::{App, Archive, memory::Memory};
use serde_json::Value;
use shop::{
    check::check,
    import::{
        File, FileError, journal,
        loader::{self, Settings},
        read,
    },
    report::report,
    services::services,
};

use crate::rows::{HEADER, row};

/// A file and what must come of it, beside the two sound invoices that stand around its rows.
struct Odd {
    name: &'static str,
    rows: Vec<Vec<u8>>,
    /// Orders that it brings.
    orders: u64,
    /// Lines that cannot be read, with words of the reason; the file's first row is in line 3.
    unreadable: Vec<(u64, &'static str)>,
}

fn odd<R: Into<Vec<u8>>>(name: &'static str, rows: impl IntoIterator<Item = R>) -> Odd {
    let rows = rows.into_iter().map(Into::into).collect();
    Odd { name, rows, orders: 0, unreadable: Vec::new() }
}

impl Odd {
    fn orders(mut self, orders: u64) -> Self {
        self.orders = orders;
        self
    }

    fn unreadable(mut self, line: u64, says: &'static str) -> Self {
        self.unreadable.push((line, says));
        self
    }

    /// All its rows.
    fn none_of_it(mut self, says: &'static str) -> Self {
        self.unreadable = (3..).zip(&self.rows).map(|(line, _)| (line, says)).collect();
        self
    }
}

fn with(column: usize, text: &str) -> String {
    let good = row("2", "A", 1, "2.55");
    let mut fields: Vec<&str> = good.split(',').collect();
    fields[column] = text;
    fields.join(",")
}

fn texts() -> Vec<Odd> {
    let page = "x".repeat(2 << 20);
    let kibibyte = "y".repeat(1024);
    vec![
        odd("a customer of 130 bytes", [with(6, &"7".repeat(130))]).none_of_it("1 to 120 bytes"),
        odd("a customer with a tab", [with(6, "7\t7")]).none_of_it("no control characters"),
        odd("a customer with a NUL", [with(6, "7\u{0}7")]).none_of_it("no control characters"),
        odd("a customer with an escape", [with(6, "\x1b[2J7")]).none_of_it("`\\u{1b}[2J7`"),
        odd("a long code that is not ASCII", [with(1, &"ñ".repeat(61))]).none_of_it("1 to 120 bytes"),
        odd("a code with U+200B", [with(1, "A\u{200b}")]).none_of_it("U+200B"),
        odd("a code with U+202E", [with(1, "\u{202e}A")]).none_of_it("U+202E"),
        odd(
            "one code written in four ways",
            ["CAF\u{c9}", "cafe\u{301}", " caf\u{e9} ", "\u{a0}Caf\u{e9}"].map(|code| with(1, code)),
        )
        .orders(1),
        odd("a description of 2 MiB", [with(2, &page)]).none_of_it("Description has 2097152 bytes; 1024 are allowed"),
        odd("a country of 2 MiB", [with(7, &page)]).none_of_it("Country has"),
        odd("a price of 2 MiB", [with(5, &format!("1.5{}", "0".repeat(2 << 20)))]).none_of_it("is no price"),
        odd("a number of 2 MiB", [with(0, &page)]).none_of_it("is no invoice number"),
        odd("a description of 1 KiB", [with(2, &kibibyte)]).orders(1),
        odd("an invoice of 1 MiB of descriptions", vec![with(2, &kibibyte); 1_114])
            .none_of_it("shorten the descriptions"),
        odd("a quote left open", [with(2, "\"TEA")]).none_of_it("a quote is opened"),
        odd("bytes that are not UTF-8", [b"2,A,\xff\xfe,1,2010-12-02 08:26:00,1,7,EIRE".to_vec()])
            .none_of_it("not UTF-8"),
        odd("a row of NULs", [vec![0_u8; 4096]]).none_of_it("1 columns"),
        odd("columns too few and too many", ["2,A,TEA", "2,A,T,1,2010-12-02 08:26:00,1,7,EIRE,"])
            .unreadable(3, "3 columns")
            .unreadable(4, "9 columns"),
        odd("noise", noise()).none_of_it(""),
    ]
}

fn noise() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(7);
    let byte = |random: &mut fastrand::Rng| match random.u8(..) {
        b'\n' | b'\r' => b' ',
        byte => byte,
    };
    (0..50).map(|_| (0..random.usize(1..300)).map(|_| byte(&mut random)).collect()).collect()
}

fn numbers() -> Vec<Odd> {
    let lines = |number: &str, count: usize, quantity: i64| vec![row(number, "A", quantity, "0.10"); count];
    let write_off = |at: usize| row(&format!("W{at}"), "A", -1_000_000_000, "0").replace(",7,", ",,");
    vec![
        odd("an invoice of 1,114 lines", lines("2", 1_114, 1)).orders(1),
        odd("an invoice of 1,115 lines", lines("2", 1_115, 1))
            .none_of_it("it has 1115 lines; 1114 are allowed: split it"),
        odd("a credit note of 8,000 lines", lines("C2", 8_000, -1)).none_of_it("it has 8000 lines"),
        odd("25,000 unreadable rows", vec![with(3, "many"); 25_000]).none_of_it("`many` is no quantity"),
        odd("3,000 ledger rows", vec![row("A2", "B", 1, "5"); 3_000]),
        odd("a quantity of 10^9", [row("2", "A", 1_000_000_000, "0.01")]).orders(1),
        odd("a quantity beyond 10^9", [row("2", "A", 1_000_000_001, "0.01")]).none_of_it("beyond 1000000000"),
        odd("the smallest quantity there is", [row("2", "A", i64::MIN, "0.01")]).none_of_it("beyond 1000000000"),
        odd("more than 10^12 of one article", (0..1_002).map(write_off).collect::<Vec<_>>())
            .unreadable(1_003, "more than 1000000000000 of A")
            .unreadable(1_004, "more than 1000000000000 of A"),
        odd("an amount beyond any order", [row("2", "A", 1_000_000_000, "1")]).none_of_it("beyond 100,000,000 pounds"),
        odd("half pennies that come back one by one", {
            let note = |number: &str| row(number, "A", -1, "0.135");
            [row("2", "A", 3, "0.135"), note("C3"), note("C4"), note("C5")]
        })
        .orders(1),
        odd("half pennies", [row("2", "A", 1, "0.005"), row("3", "A", 3, "0.005")]).orders(2),
        odd("prices that are none", ["1e3", "1.0000000000", "--1", "", "NaN"].map(|price| with(5, price)))
            .none_of_it("is no price"),
        odd("an order of less than nothing", [row("2", "A", 1, "2"), row("2", "D", -1, "50")])
            .none_of_it("an order cannot cost less than nothing"),
        odd("an order of nothing", [row("2", "A", 1, "5"), row("2", "D", -1, "5")]).orders(1),
        odd("an article first seen at a price below zero", [row("2", "A", 1, "-0.5"), row("2", "A", 1, "1")]).orders(1),
    ]
}

fn notes_and_dates() -> Vec<Odd> {
    let at = |date: &str| with(4, date);
    vec![
        odd("a credit note that charges", [row("C2", "A", 1, "5")]).none_of_it("a credit note gives money back"),
        odd("a credit note for a discounted order", {
            [row("2", "A", 10, "1"), row("2", "D", -1, "5"), row("C3", "A", -10, "1")]
        })
        .orders(1),
        odd("two credit notes for a discounted order", {
            [row("2", "A", 10, "1"), row("2", "D", -1, "5"), row("C3", "A", -4, "1"), row("C4", "A", -6, "1")]
        })
        .orders(1),
        odd("a credit note that charges more than its rest", {
            [row("2", "A", 3, "2"), row("C3", "A", -3, "2"), row("C3", "B1", 1, "5")]
        })
        .orders(1),
        odd("a credit note of a guest", [row("C2", "A", -1, "5").replace(",7,", ",,")]),
        odd("a write-off of what was never there", [row("2", "Z", -5_000, "0").replace(",7,", ",,")]),
        odd("the year 9999", [at("9999-06-01 00:00:00"), at("12/29/9999 23:59")]).none_of_it("has not come yet"),
        odd("the last second there is", [at("9999-12-31 23:59:59")]).none_of_it("is no date"),
        odd("the year 0", [at("0000-01-01 00:00:00")]).none_of_it("is before 1970"),
        odd("the year 1969", [at("1969-12-31 23:59:59")]).none_of_it("is before 1970"),
        odd("dates that are none", ["", "2010-13-01 08:26:00", "13/1/2010 8:26", "8:26", "1/2/3 4:5"].map(at))
            .none_of_it("is no date"),
        odd("month first", [at("12/2/2010 8:26")]).orders(1),
        odd("numbers that are none", ["", "5 6", "123456789012345678901", "5\u{e9}"].map(|number| with(0, number)))
            .none_of_it("invoice number"),
    ]
}

fn file(bytes: impl AsRef<[u8]>) -> Result<File, FileError> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("odd.csv");
    fs::write(&path, bytes).unwrap();
    read(&path)
}

async fn on_data_time(log: &Memory) -> App {
    let app = App::over(log.clone()).on_data_time().with(journal::service());
    let options = loader::options(&Settings::default());
    services(&options).into_iter().fold(app, factum::AppBuilder::with).start().await.unwrap()
}

/// Imports a file and answers the report; the shop must be whole afterwards.
async fn import(log: &Memory, file: &File) -> (loader::Outcome, Value) {
    let app = on_data_time(log).await;
    let outcome = loader::run(&app, file, &Settings::default(), &|_, _| {}).await;
    assert!(outcome.is_ok(), "{}: {outcome:#?}", file.name);
    let outcome = outcome.unwrap();
    let archive = Archive::of(app.reader());
    let findings = check(&archive).unwrap();
    assert!(findings.is_well(), "{}: {:#?}", file.name, findings.problems);
    assert_eq!((findings.orders_under_way, findings.sagas_under_way), (0, 0), "{}", file.name);
    assert!(app.health().is_well(), "{}: {:?}", file.name, app.health());
    let report = serde_json::to_value(report(&archive).unwrap()).unwrap();
    app.stop().await;
    (outcome, report)
}

/// The shop opens on what an import left, in the present.
async fn opens(log: &Memory) {
    let app = services(&shop::services::Options::default())
        .into_iter()
        .fold(App::over(log.clone()), factum::AppBuilder::with);
    let app = app.start().await.unwrap();
    app.rest().await.unwrap();
    assert!(app.health().is_well(), "{:?}", app.health());
    app.stop().await;
}

async fn survives(odd: Odd) {
    let mut bytes = format!("{HEADER}\n{}\n", row("1", "TEA", 1, "2.55")).into_bytes();
    for row in &odd.rows {
        bytes.extend_from_slice(row);
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(row("9", "TEA", 1, "2.55").as_bytes());
    let mut file = file(&bytes).unwrap();
    file.name = odd.name.to_owned();
    let found: Vec<(u64, &str)> = file.unreadable.iter().map(|row| (row.line, row.reason.as_str())).collect();
    assert_eq!(found.len(), odd.unreadable.len(), "{}: {:?}", odd.name, &found[..found.len().min(3)]);
    for ((line, reason), (wanted, says)) in found.iter().zip(&odd.unreadable) {
        assert!(line == wanted && reason.contains(says), "{}: line {line}: {reason}", odd.name);
        assert!(reason.len() < 600 && !reason.contains('\u{1b}'), "{}: line {line}: {reason:?}", odd.name);
    }

    let log = Memory::new();
    let (outcome, report) = import(&log, &file).await;
    assert_eq!(outcome.unreadable, file.unreadable, "{}: the shop refused what was judged sound", odd.name);
    assert_eq!(report["orders"]["placed"], 2 + odd.orders, "{}", odd.name);
    assert_eq!(report["unreadable"]["rows"], odd.unreadable.len(), "{}", odd.name);
    assert_eq!(report["input"]["rows"], file.rows, "{}", odd.name);
    let (captured, refunded) = (&report["payments"]["captured"], &report["payments"]["refunded"]);
    let credited = report["creditNotes"]["total"].as_i64().unwrap();
    let not_due = report["creditNotes"]["notDue"]["amount"].as_i64().unwrap_or_default();
    assert_eq!(captured, &report["orders"]["total"], "{}", odd.name);
    assert_eq!(refunded.as_i64().unwrap(), credited - not_due, "{}", odd.name);

    let (again, same) = import(&log, &file).await;
    assert!(again.accepted.is_empty() && same == report, "{}: the same again is not nothing", odd.name);
    let next = file_of(&[row("77", "TEA", 1, "2.55")]);
    let (_, after) = import(&log, &next).await;
    assert_eq!(after["orders"]["placed"], 3 + odd.orders, "{}", odd.name);
    opens(&log).await;
}

fn file_of(rows: &[String]) -> File {
    file(format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap()
}

#[test]
fn the_corpus_has_forty_files_and_more() {
    let names: Vec<&str> = [texts(), numbers(), notes_and_dates()].iter().flatten().map(|odd| odd.name).collect();
    assert!(names.len() >= 40 && names.iter().collect::<BTreeSet<_>>().len() == names.len(), "{}", names.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_texts_cost_their_rows_and_nothing_else() {
    for odd in texts() {
        survives(odd).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_numbers_cost_their_invoice_and_nothing_else() {
    for odd in numbers() {
        survives(odd).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_credit_notes_and_dates_cost_nothing_else() {
    for odd in notes_and_dates() {
        survives(odd).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_is_read_with_a_mark_other_line_ends_blank_lines_and_dates_of_another_edition() {
    let plain = format!("{HEADER}\n{}\n{}\n", row("1", "TEA", 1, "2.55"), row("2", "CUP", 3, "0.10"));
    let months = plain.replace("2010-12-02 08:26:00", "12/2/2010 8:26");
    assert_ne!(plain, months);
    let forms = [
        format!("\u{feff}{}", plain.replace('\n', "\r\n")),
        plain.replace('\n', "\n\n"),
        plain.trim_end().to_owned(),
        format!("\u{feff}{}", months.replace('\n', "\r\n")),
    ];
    let wanted = file(&plain).unwrap();
    let log = Memory::new();
    let (_, report) = import(&log, &wanted).await;
    for form in forms {
        let file = file(&form).unwrap();
        let contents = |file: &File| file.invoices.iter().map(|invoice| invoice.contents.clone()).collect::<Vec<_>>();
        assert_eq!((contents(&file), file.unreadable.len()), (contents(&wanted), 0), "{form:?}");
        let (outcome, same) = import(&log, &file).await;
        assert!(outcome.accepted.is_empty() && same == report, "the same rows were imported twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_alone_is_nothing_to_do() {
    let log = Memory::new();
    let (outcome, report) = import(&log, &file(HEADER).unwrap()).await;
    assert_eq!((outcome.invoices, &report["input"]["rows"]), (0, &Value::from(0)));
    opens(&log).await;
}

#[test]
fn what_is_no_export_is_refused_before_anything_is_stored() {
    let noise = format!("{HEADER}\n{}", "rubbish\n".repeat(100_001));
    let error = file(noise).unwrap_err();
    assert!(matches!(&error, FileError::TooManyUnreadable { line: 2, .. }), "{error}");
    assert!(error.to_string().contains("check that it is an invoice export"), "{error}");
    for bytes in [&b""[..], b"PK\x03\x04", b"InvoiceNo;StockCode\n", b"\0\0\0\0"] {
        assert!(matches!(file(bytes).unwrap_err(), FileError::Header { .. }));
    }
}
