//! A file of invoice rows, CSV or zstd of it: every row is grouped, skipped with a reason, or reported as unreadable.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_128;

use super::invoice::{Invoice, classify};
use super::judge;
use super::row::{self, COLUMNS, Fault, Row};

/// The largest file, in bytes after decompression: a file is held in memory, and a small one may unpack to anything.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// The most rows that may be unreadable: each is reported, and a file with more is no export of invoices.
const MAX_UNREADABLE: usize = 100_000;
/// How far ahead of this machine's clock a row's date may be, in hours: the file names no zone.
const AHEAD_HOURS: u64 = 24;
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
    /// Hardly anything of it is what an export of invoices holds.
    #[error(
        "more than {MAX_UNREADABLE} rows of {} cannot be read, the first in line {line}: {reason}; check that it is an \
         invoice export",
        .path.display()
    )]
    TooManyUnreadable {
        /// As asked for.
        path: PathBuf,
        /// The first of them.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// More than the importer takes.
    #[error("{} holds more than {} MiB of CSV; split it by date and import the parts in order", .path.display(),
        MAX_BYTES / 1024 / 1024)]
    TooLarge {
        /// As asked for.
        path: PathBuf,
    },
}

/// Reads, groups and judges the whole file. Rows that cannot be read, and those of invoices that the shop would refuse,
/// are in [`File::unreadable`] and stop nothing.
pub fn read(path: &Path) -> Result<File, FileError> {
    parse(path, &bytes(path)?, Timestamp::now() + Duration::from_secs(AHEAD_HOURS * 3_600))
}

/// The file of these CSV bytes; a row of a time behind `latest` cannot be read.
fn parse(path: &Path, bytes: &[u8], latest: Timestamp) -> Result<File, FileError> {
    let mut lines = (1..).zip(bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)));
    let header = lines.next().map(|(_, line)| line).unwrap_or_default();
    // Spreadsheets put a byte order mark before the first column's name.
    let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
    if !row::fields(header).is_ok_and(|fields| fields.iter().map(AsRef::as_ref).eq(COLUMNS.map(str::as_bytes))) {
        let found = String::from_utf8_lossy(&header[..header.len().min(120)]).escape_debug().to_string();
        return Err(FileError::Header { path: path.to_owned(), found });
    }
    let mut groups = Groups::default();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        groups.add(number, line, latest);
        check(path, &groups.unreadable)?;
    }
    let Groups { invoices, unreadable, rows, by_number } = groups;
    let mut invoices: Vec<Invoice> =
        invoices.into_iter().filter_map(|group| classify(group.rows, group.unreadable)).collect();
    // Stable: what carries the same minute stays in order of first appearance.
    invoices.sort_by_key(|invoice| invoice.at);
    let (invoices, refused) = judge::judge(invoices);
    let mut unreadable = unreadable;
    let taken: BTreeSet<&str> = invoices.iter().map(|invoice| invoice.number.as_str()).collect();
    for row in &mut unreadable {
        if let Some(number) = row.invoice.as_deref().filter(|number| taken.contains(number)) {
            row.reason = format!("{}; invoice {number} is taken without this row", row.reason);
        }
    }
    unreadable.extend(refused);
    unreadable.sort_by_key(|row| row.line);
    check(path, &unreadable)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let digest = format!("{:032x}", xxh3_128(bytes));
    Ok(File { name, digest, invoices, unreadable, rows, numbers: by_number.len() as u64 })
}

fn check(path: &Path, unreadable: &[Unreadable]) -> Result<(), FileError> {
    match unreadable {
        [first, rest @ ..] if rest.len() >= MAX_UNREADABLE => {
            let (line, reason) = (first.line, first.reason.clone());
            Err(FileError::TooManyUnreadable { path: path.to_owned(), line, reason })
        }
        _ => Ok(()),
    }
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
    fn add(&mut self, line: u64, text: &[u8], latest: Timestamp) {
        self.rows += 1;
        match row::parse(text).and_then(|row| row.not_after(latest)) {
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
    let text = format!("{}\n{}\n", COLUMNS.join(","), rows.join("\n"));
    parse(Path::new("test.csv"), text.as_bytes(), Timestamp::now()).unwrap()
}

#[cfg(test)]
mod tests;
