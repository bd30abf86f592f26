//! A file of invoice rows, CSV or zstd of it: every row is grouped, skipped with a reason, or reported as unreadable.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::invoice::{Invoice, classify};
use super::row::{self, COLUMNS, Fault, Row};

/// The largest file, in bytes after decompression: a file is held in memory, and a small one may unpack to anything.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// What zstd frames begin with; the name of a file proves nothing.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Everything a file says.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// The file's name without its folder.
    pub name: String,
    /// XXH3-128 of the CSV bytes, after decompression, in hex: the same rows have the same digest, packed or not.
    pub digest: String,
    /// By time, then by first appearance. An invoice without a readable row is not among them.
    pub invoices: Vec<Invoice>,
    /// By line.
    pub unreadable: Vec<Unreadable>,
    /// Rows of the file, unreadable ones too; the header and blank lines are none.
    pub rows: u64,
    /// Invoice numbers of the file, those without a readable row too.
    pub numbers: u64,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Unreadable {
    /// Line of the file, the header being 1.
    pub line: u64,
    /// Its invoice, if that much can be read.
    pub invoice: Option<String>,
    /// What is wrong, in words.
    pub reason: String,
}

/// Why a file cannot be imported at all. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// No such file.
    #[error("there is no file {}; check the path", .path.display())]
    NotFound {
        /// As asked for.
        path: PathBuf,
    },
    /// It is there, but the system does not hand out its bytes.
    #[error("cannot read {}: {source}; check that it is a file and that this user may read it", .path.display())]
    Read {
        /// As asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is called zstd and is not, or the compressed bytes are cut off or damaged.
    #[error("{} is not whole zstd: {source}; fetch it again, or give the unpacked .csv", .path.display())]
    NotZstd {
        /// As asked for.
        path: PathBuf,
        /// What the decoder said.
        source: io::Error,
    },
    /// The first line does not name the columns.
    #[error(
        "{} begins with `{found}` and not with the header `{}`; give an invoice export as CSV in UTF-8 or zstd of it",
        .path.display(), COLUMNS.join(",")
    )]
    Header {
        /// As asked for.
        path: PathBuf,
        /// The beginning of the first line.
        found: String,
    },
    /// More than the importer takes.
    #[error("{} holds more than {} MiB of CSV; split it by date and import the parts in order", .path.display(),
        MAX_BYTES / 1024 / 1024)]
    TooLarge {
        /// As asked for.
        path: PathBuf,
    },
}

/// Reads and groups the whole file. Rows that cannot be read are in [`File::unreadable`] and stop nothing.
pub fn read(path: &Path) -> Result<File, FileError> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    parse(name, &bytes(path)?).map_err(|found| FileError::Header { path: path.to_owned(), found })
}

/// The file of these CSV bytes; the error is the beginning of what stands in place of the header.
fn parse(name: String, bytes: &[u8]) -> Result<File, String> {
    let mut lines = (1..).zip(bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)));
    let header = lines.next().map(|(_, line)| line).unwrap_or_default();
    // Spreadsheets put a byte order mark before the first column's name.
    let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
    if !row::fields(header).is_ok_and(|fields| fields.iter().map(AsRef::as_ref).eq(COLUMNS.map(str::as_bytes))) {
        return Err(String::from_utf8_lossy(&header[..header.len().min(120)]).escape_debug().to_string());
    }
    let mut groups = Groups::default();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        groups.add(number, line);
    }
    let Groups { invoices, unreadable, rows, by_number } = groups;
    let mut invoices: Vec<Invoice> =
        invoices.into_iter().filter_map(|group| classify(group.rows, group.unreadable)).collect();
    // Stable: what carries the same minute stays in order of first appearance.
    invoices.sort_by_key(|invoice| invoice.at);
    let digest = format!("{:032x}", xxh3_128(bytes));
    Ok(File { name, digest, invoices, unreadable, rows, numbers: by_number.len() as u64 })
}

/// The CSV bytes of the file, unpacked.
fn bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FileError::NotFound { path: path.to_owned() },
        _ => FileError::Read { path: path.to_owned(), source },
    };
    let not_zstd = |source| FileError::NotZstd { path: path.to_owned(), source };
    let mut raw = BufReader::new(std::fs::File::open(path).map_err(failed)?);
    let packed = raw.fill_buf().map_err(failed)?.starts_with(&ZSTD_MAGIC);
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    if packed {
        let plain = zstd::Decoder::with_buffer(raw).map_err(not_zstd)?;
        plain.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(not_zstd)?;
    } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zst")) {
        return Err(not_zstd(io::Error::new(io::ErrorKind::InvalidData, "it does not begin like zstd")));
    } else {
        raw.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Rows by invoice, in order of first appearance: an invoice may come in several runs of rows.
#[derive(Default)]
struct Groups {
    invoices: Vec<Group>,
    by_number: BTreeMap<String, usize>,
    unreadable: Vec<Unreadable>,
    rows: u64,
}

#[derive(Default)]
struct Group {
    rows: Vec<(u64, Row)>,
    unreadable: u64,
}

impl Groups {
    fn add(&mut self, line: u64, text: &[u8]) {
        self.rows += 1;
        match row::parse(text) {
            Ok(row) => {
                let number = row.number.clone();
                self.invoice(number).rows.push((line, row));
            }
            Err(Fault { number, reason }) => {
                if let Some(number) = number.clone() {
                    self.invoice(number).unreadable += 1;
                }
                self.unreadable.push(Unreadable { line, invoice: number, reason });
            }
        }
    }

    fn invoice(&mut self, number: String) -> &mut Group {
        let next = self.invoices.len();
        let at = *self.by_number.entry(number).or_insert(next);
        if at == next {
            self.invoices.push(Group::default());
        }
        &mut self.invoices[at]
    }
}

/// A file of these rows, for the tests of this folder.
#[cfg(test)]
pub(super) fn from_rows(rows: &[&str]) -> File {
    parse("test.csv".to_owned(), format!("{}\n{}\n", COLUMNS.join(","), rows.join("\n")).as_bytes()).unwrap()
}

#[cfg(test)]
mod tests {
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
        let file = from_rows(&[&row("c1", 1, "A"), &row("C1", 1, "A")]);
        assert_eq!((file.invoices.len(), file.invoices[0].number.as_str()), (1, "C1"));
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
        assert_eq!(file.unreadable[0].reason, "`x` is no price");
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
            let file = parse(String::new(), &bytes).unwrap();
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
}
