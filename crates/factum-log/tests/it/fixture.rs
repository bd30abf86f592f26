//! Logs of past format versions, made once and never edited: they must open and read exactly as they were written.
//!
//! A new version's directory is made by running this test once with `FACTUM_LOG_WRITE_FIXTURE` set.

use std::fs;
use std::path::{Path, PathBuf};

use factum_log::{Batch, Log};
use tempfile::tempdir;

use crate::support::{Seen, all, copy, of_stream, open, segments, small};

fn home(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v{version}"))
}

/// The content, from which the files of version 1 were once written.
fn write(dir: &Path) {
    let (mut log, _) = Log::open(dir, small()).unwrap();
    for number in 1..=20_u8 {
        let mut batch = Batch::new();
        batch.entry(&format!("order-{}", number % 3), "order.created", "order", &[number; 150]);
        batch.entry("payment-ä", "payment.taken", "payment", format!("{{\"n\":{number}}}").as_bytes());
        batch.put(b"cursor", &[number]);
        batch.put(format!("timer/{}", number % 4).as_bytes(), b"due");
        if number % 6 == 0 {
            batch.delete(b"timer/2");
        }
        log.append(&batch).unwrap();
        if number == 10 {
            log.idle().unwrap();
        }
    }
    log.close().unwrap();
}

fn expected() -> Vec<Seen> {
    let entry = |number: u8| {
        let orders = u64::from(number).div_ceil(3);
        let version = u64::from(number);
        [
            (
                2 * version - 1,
                format!("order-{}", number % 3),
                orders,
                "order.created".to_owned(),
                "order".to_owned(),
                vec![number; 150],
            ),
            (
                2 * version,
                "payment-ä".to_owned(),
                version,
                "payment.taken".to_owned(),
                "payment".to_owned(),
                format!("{{\"n\":{number}}}").into_bytes(),
            ),
        ]
    };
    (1..=20).flat_map(entry).collect()
}

#[test]
fn a_log_of_format_1_reads_as_it_was_written() {
    if std::env::var_os("FACTUM_LOG_WRITE_FIXTURE").is_some() && !home(1).exists() {
        write(&home(1));
        fs::remove_file(home(1).join("lock")).unwrap();
    }
    let dir = tempdir().unwrap();
    copy(&home(1), dir.path());
    let (mut log, opened) = open(dir.path());
    assert_eq!((opened.created, opened.entries, opened.segments, opened.cut), (false, 40, 2, None));
    assert!(!opened.unclean);
    let reader = log.reader();
    assert_eq!(all(&reader).unwrap(), expected());
    assert_eq!(of_stream(&reader, "payment-ä").unwrap().len(), 20);
    let cells: Vec<_> = log.cells(b"").map(|(key, cell)| (key.to_vec(), cell.revision, cell.value.to_vec())).collect();
    // Frame 11 is the mark, so that batch 20 is frame 21.
    let due = |key: &[u8], revision| (key.to_vec(), revision, b"due".to_vec());
    assert_eq!(
        cells,
        [(b"cursor".to_vec(), 21, vec![20]), due(b"timer/0", 21), due(b"timer/1", 18), due(b"timer/3", 20)]
    );
    let mut more = Batch::new();
    more.entry("order-0", "order.created", "order", b"more");
    assert_eq!(log.append(&more).unwrap().first, 41);
}

#[test]
fn what_is_written_today_has_the_bytes_of_format_1() {
    let dir = tempdir().unwrap();
    write(dir.path());
    let (ours, theirs) = (segments(dir.path()), segments(&home(1)));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.file_name(), theirs.file_name());
        let (ours, theirs) = (fs::read(ours).unwrap(), fs::read(theirs).unwrap());
        assert_eq!(used(&ours), used(&theirs));
    }
}

/// The bytes in use, without what differs from log to log: the id, and the header checksums that begin with it.
fn used(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    let mut bytes = bytes[..end].to_vec();
    bytes[12..32].fill(0);
    let frames: Vec<_> = bytes.windows(4).enumerate().filter(|(_, bytes)| bytes == b"FRME").map(|(at, _)| at).collect();
    frames.into_iter().for_each(|at| bytes[at + 4..at + 8].fill(0));
    bytes
}
