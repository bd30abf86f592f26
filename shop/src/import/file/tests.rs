//! Files as people have them: sound, damaged, drawn at random.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::invoice::Kind;
use super::*;

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

/// A file in a folder of its own, gone with the value.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str, bytes: impl AsRef<[u8]>) -> Temp {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let unique = format!("import-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
        Temp(folder.join(name))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn csv(rows: &[&str]) -> String {
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    format!("{HEADER}\n{rows}")
}

fn row(number: &str, minute: u32, code: &str) -> String {
    format!("{number},{code},N,1,2010-12-01 08:{minute:02}:00,1.5,17850,EIRE")
}

#[test]
fn groups_by_number_across_runs_and_takes_the_first_rows_time() {
    let rows = [row("2", 30, "A"), row("1", 26, "A"), row("2", 29, "B1"), row("3", 26, "A"), row("1", 27, "C")];
    let file = from_rows(&rows.each_ref().map(String::as_str));
    let order: Vec<_> = file.invoices.iter().map(|invoice| (invoice.number.as_str(), invoice.rows)).collect();
    assert_eq!(order, [("1", 2), ("3", 1), ("2", 2)], "by time, then by first appearance");
    assert_eq!(file.invoices[2].at.to_string(), "2010-12-01T08:30:00Z");
    assert_eq!((file.rows, file.numbers), (5, 3));
}

#[test]
fn numbers_compare_without_case() {
    let file = from_rows(&[&row("x1", 1, "A"), &row("X1", 1, "A")]);
    assert_eq!((file.invoices.len(), file.invoices[0].number.as_str()), (1, "X1"));
}

#[test]
fn packed_and_plain_files_with_the_same_rows_are_the_same_file() {
    let text = csv(&[&row("1", 1, "A")]);
    let plain = read(&Temp::new("a.csv", &text).0).unwrap();
    let packed = read(&Temp::new("b.csv.zst", zstd::encode_all(text.as_bytes(), 3).unwrap()).0).unwrap();
    let unnamed = read(&Temp::new("c", zstd::encode_all(text.as_bytes(), 3).unwrap()).0).unwrap();
    assert_eq!((&plain.digest, &plain.invoices), (&packed.digest, &packed.invoices));
    assert_eq!(packed.digest, unnamed.digest);
    assert_eq!((plain.name.as_str(), packed.name.as_str(), plain.digest.len()), ("a.csv", "b.csv.zst", 32));
}

#[test]
fn takes_the_line_breaks_and_the_mark_of_a_spreadsheet() {
    let text = format!("\u{feff}{}\r\n", csv(&[&row("1", 1, "A")]).replace('\n', "\r\n"));
    let file = read(&Temp::new("a.csv", text).0).unwrap();
    assert_eq!((file.rows, file.unreadable.len(), file.invoices[0].country.as_str()), (1, 0, "EIRE"));
}

#[test]
fn reports_unreadable_rows_and_goes_on() {
    let bad = row("1", 1, "A").replace("1.5", "x");
    let open = row("1", 1, "A").replace(",N,", ",\"N,");
    let lone = row("9", 1, "A").replace("2010", "10");
    let file = from_rows(&[&row("1", 1, "A"), &bad, "", "garbage", &open, &lone, &row("2", 2, "A")]);
    let reported: Vec<_> = file.unreadable.iter().map(|row| (row.line, row.invoice.as_deref())).collect();
    assert_eq!(reported, [(3, Some("1")), (5, None), (6, Some("1")), (7, Some("9"))]);
    let without = "; invoice 1 is taken without this row";
    assert_eq!(file.unreadable[0].reason, format!("`x` is no price{without}"));
    let rows: Vec<_> = file.invoices.iter().map(|invoice| (invoice.number.as_str(), invoice.rows)).collect();
    assert_eq!(rows, [("1", 3), ("2", 1)], "an invoice without a readable row has no time and no kind");
    assert_eq!((file.rows, file.numbers), (6, 3));
    assert_eq!(file.invoices[0].lines().len(), 1);
}

#[test]
fn invalid_utf8_costs_one_row() {
    let mut bytes = csv(&[&row("1", 1, "A")]).into_bytes();
    bytes.extend_from_slice(b"1,B,\xff,1,2010-12-01 08:01:00,1,,EIRE\n");
    let file = read(&Temp::new("a.csv", bytes).0).unwrap();
    assert_eq!((file.unreadable.len(), file.unreadable[0].invoice.as_deref()), (1, Some("1")));
    assert_eq!(file.invoices[0].rows, 2);
}

#[test]
fn a_header_alone_is_an_empty_file() {
    let file = from_rows(&[]);
    assert_eq!((file.rows, file.numbers, file.invoices.len()), (0, 0, 0));
}

#[test]
fn a_file_that_is_no_export_is_refused_with_advice() {
    let error = |name: &str, bytes: &[u8]| read(&Temp::new(name, bytes).0).unwrap_err();
    let header = error("a.csv", b"InvoiceNo;StockCode\n");
    assert!(matches!(&header, FileError::Header { found, .. } if found == "InvoiceNo;StockCode"), "{header}");
    assert!(header.to_string().contains("give an invoice export"), "{header}");
    assert!(matches!(error("a.csv", b""), FileError::Header { .. }));
    assert!(matches!(error("a.csv", b"PK\x03\x04\0\xff"), FileError::Header { .. }));
    let text = error("a.csv.zst", HEADER.as_bytes());
    assert!(matches!(&text, FileError::NotZstd { .. }) && text.to_string().contains("unpacked .csv"), "{text}");
    let whole = zstd::encode_all(csv(&[&row("1", 1, "A")]).as_bytes(), 3).unwrap();
    assert!(matches!(error("a.csv.zst", &whole[..whole.len() - 9]), FileError::NotZstd { .. }));
}

#[test]
fn a_missing_file_and_a_folder_are_told_apart() {
    let here = Temp::new("a.csv", "");
    let missing = read(&here.0.with_file_name("b.csv")).unwrap_err();
    assert!(matches!(missing, FileError::NotFound { .. }) && missing.to_string().contains("check the path"));
    assert!(matches!(read(here.0.parent().unwrap()).unwrap_err(), FileError::Read { .. }));
}

#[test]
fn damage_never_stops_the_reading_and_never_hides_a_row() {
    let rows: Vec<String> = (0..20).map(|at| row(&(at / 3).to_string(), at, "\"A, \"\"B\"\"\"")).collect();
    let whole = csv(&rows.iter().map(String::as_str).collect::<Vec<_>>()).into_bytes();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let body = HEADER.len() + 1;
            let at = body + (random >> 16) as usize % (bytes.len() - body);
            bytes[at] = b"\",\n\r-.0Cc\xff\xc3 9"[random as usize % 13];
        }
        let file = parse(Path::new("a.csv"), &bytes, Timestamp::now()).unwrap();
        let invoices: Vec<&str> = file.invoices.iter().map(|invoice| invoice.number.as_str()).collect();
        let lone = |row: &&Unreadable| row.invoice.as_deref().is_none_or(|number| !invoices.contains(&number));
        let inside: u64 = file.invoices.iter().map(|invoice| invoice.rows).sum();
        let outside = file.unreadable.iter().filter(lone).count() as u64;
        assert_eq!(inside + outside, file.rows, "round {round}");
    }
}

#[test]
fn a_long_invoice_keeps_every_line() {
    let rows: Vec<String> = (0..1114).map(|_| row("1", 1, "A")).collect();
    let file = from_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(matches!(&file.invoices[0].kind, Kind::Order { lines } if lines[1113].line == 1114));
}

/// A file of rows whose fields are drawn from what is sound, what is odd, and noise.
fn drawn(random: &mut fastrand::Rng) -> Vec<u8> {
    const ODD: [&str; 30] = [
        "",
        "1",
        "C1",
        "A1",
        "\"",
        "\"\"",
        ",",
        "0",
        "-1",
        "1000000000",
        "-1000000000",
        "9223372036854775808",
        "0.005",
        "-0.5",
        "1e9",
        "2010-12-01 08:26:00",
        "12/1/2010 8:26",
        "9999-12-31 23:59:59",
        "POST",
        "D",
        "B",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{200b}",
        "\u{202e}A",
        "\0",
        "\t",
        "\u{1b}[2J",
        "EIRE",
        "85123A",
    ];
    const SOUND: [&[&str]; 8] = [
        &["1", "2", "C3", "C4", "W5", "A6"],
        &["A", "a", "K", "POST", "D"],
        &["Tea", "Cup, blue"],
        &["1", "3", "-2", "600000000"],
        &["2010-12-01 08:26:00", "12/2/2010 8:26"],
        &["2.55", "0", "0.135", "0.01"],
        &["7", ""],
        &["EIRE", ""],
    ];
    let mut bytes = format!("{HEADER}\n").into_bytes();
    for _ in 0..random.usize(0..40) {
        for (column, sound) in SOUND.iter().enumerate() {
            let field = match random.u8(..) {
                0..=12 => ODD[random.usize(..ODD.len())].to_owned(),
                13 => (0..random.usize(..2_000)).map(|_| random.char('\0'..='\u{ffff}')).collect(),
                _ => sound[random.usize(..sound.len())].to_owned(),
            };
            let quoted = field.contains(',') && random.bool();
            bytes.extend(if quoted { format!("\"{field}\"") } else { field }.into_bytes());
            bytes.extend((column < 7).then_some(b','));
        }
        if random.u8(..) == 0 {
            bytes.push(random.u8(..));
        }
        bytes.extend(if random.bool() { &b"\n"[..] } else { b"\r\n" });
    }
    bytes
}

#[test]
fn whatever_a_file_holds_each_row_is_told_once_and_what_is_kept_the_shop_can_take() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut kept = 0;
    for round in 0..3_000 {
        let bytes = drawn(&mut random);
        let file = parse(Path::new("a.csv"), &bytes, Timestamp::now()).unwrap();
        let numbers: Vec<&str> = file.invoices.iter().map(|invoice| invoice.number.as_str()).collect();
        let lone = |row: &&Unreadable| row.invoice.as_deref().is_none_or(|number| !numbers.contains(&number));
        let inside: u64 = file.invoices.iter().map(|invoice| invoice.rows).sum();
        assert_eq!(
            inside + file.unreadable.iter().filter(lone).count() as u64,
            file.rows,
            "seed {seed}, round {round}"
        );
        assert!(
            file.unreadable.is_sorted_by(|a, b| a.line < b.line),
            "seed {seed}, round {round}: a line is told twice"
        );
        assert!(file.unreadable.iter().all(|row| row.reason.len() < 1_000), "seed {seed}, round {round}");
        for invoice in &file.invoices {
            if let Kind::Order { lines } = &invoice.kind {
                let order = crate::import::order(invoice, lines).unwrap();
                let created = crate::order::decider::Order::create(order);
                assert!(created.is_ok(), "seed {seed}, round {round}: {created:?}");
                kept += 1;
            }
        }
        for demand in crate::import::demand(&file.invoices).values() {
            assert!(!demand.price.starts_with('-') && demand.receipt() > 0, "seed {seed}, round {round}");
        }
    }
    assert!(kept > 1_000, "seed {seed}: {kept} orders were kept, so little was tested");
}
