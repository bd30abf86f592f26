//! The remains of an append that was cut off by a crash: cut, kept, reported; everything before stays.

use std::fs;
use std::path::Path;

use factum_log::{Log, LogError};
use tempfile::tempdir;

use crate::support::{batch, bodies, copy, files, open, segments, small};

/// A log whose last frame nothing covers: its directory, and where that frame begins and ends in its only segment.
fn uncovered(dir: &Path) -> (usize, usize) {
    let (mut log, _) = open(dir);
    log.append(&batch(&[("a", "first"), ("b", "second")])).unwrap();
    let end = used(dir);
    log.append(&batch(&[("a", "third"), ("c", "fourth")])).unwrap();
    (end, used(dir))
}

/// The length of what is not zero, up to a multiple of 8.
fn used(dir: &Path) -> usize {
    let bytes = fs::read(segments(dir).last().unwrap()).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0).next_multiple_of(8)
}

fn check(dir: &Path, note: &str) {
    let before = fs::read(&segments(dir)[0]).unwrap();
    let (mut log, opened) = open(dir);
    assert_eq!(bodies(&log.reader()), ["first", "second"], "{note}");
    assert_eq!((opened.entries, log.version("a"), log.version("c")), (2, 1, 0), "{note}");
    assert!(opened.unclean, "{note}");
    match &opened.cut {
        Some(cut) => {
            let start = cut.offset as usize;
            assert_eq!(cut.file, segments(dir)[0]);
            assert_eq!(fs::read(&cut.kept_as).unwrap(), before[start..start + cut.bytes as usize], "{note}");
            assert!(before[start + cut.bytes as usize..].iter().all(|byte| *byte == 0), "{note}");
        }
        None => assert!(files(dir, ".bytes").is_empty(), "{note}"),
    }
    assert_eq!(log.append(&batch(&[("a", "after")])).unwrap().first, 3, "{note}");
    drop(log);
    let (log, opened) = open(dir);
    assert_eq!((bodies(&log.reader()).len(), opened.cut), (3, None), "{note}");
}

#[test]
fn a_last_frame_cut_off_at_any_byte_is_cut_and_all_before_it_stays() {
    let original = tempdir().unwrap();
    let (start, end) = uncovered(original.path());
    for length in start..end {
        for zeroes in [false, true] {
            let dir = tempdir().unwrap();
            copy(original.path(), dir.path());
            let path = &segments(dir.path())[0];
            let mut bytes = fs::read(path).unwrap();
            if bytes[length..end].iter().all(|byte| *byte == 0) {
                continue;
            }
            match zeroes {
                true => bytes[length..end].fill(0),
                false => bytes.truncate(length),
            }
            fs::write(path, &bytes).unwrap();
            check(dir.path(), &format!("cut at {length} of {start}..{end}, zeroes: {zeroes}"));
        }
    }
}

#[test]
fn a_last_frame_with_any_byte_changed_is_cut_and_all_before_it_stays() {
    let original = tempdir().unwrap();
    let (start, end) = uncovered(original.path());
    for place in start..end {
        let dir = tempdir().unwrap();
        copy(original.path(), dir.path());
        let path = &segments(dir.path())[0];
        let mut bytes = fs::read(path).unwrap();
        bytes[place] ^= 0x55;
        fs::write(path, &bytes).unwrap();
        check(dir.path(), &format!("changed at {place} of {start}..{end}"));
    }
}

#[test]
fn sectors_of_a_last_frame_that_arrived_without_its_header_are_cut() {
    let dir = tempdir().unwrap();
    let (start, _) = uncovered(dir.path());
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[start..start + 56].fill(0);
    fs::write(path, &bytes).unwrap();
    check(dir.path(), "no header");
}

#[test]
fn garbage_behind_the_last_frame_is_cut_and_a_second_cut_gets_its_own_file() {
    let dir = tempdir().unwrap();
    let (_, end) = uncovered(dir.path());
    for number in 1..=2 {
        let path = &segments(dir.path())[0];
        let mut bytes = fs::read(path).unwrap();
        bytes.resize(9000, 0);
        bytes[end + 100..end + 3000].fill(0xA5);
        fs::write(path, &bytes).unwrap();
        let (log, opened) = open(dir.path());
        let cut = opened.cut.unwrap();
        assert_eq!((cut.offset, cut.bytes), (end as u64, 3000));
        assert_eq!(cut.kept_as, dir.path().join(format!("cut-5-{number}.bytes")));
        assert_eq!(bodies(&log.reader()), ["first", "second", "third", "fourth"]);
    }
}

#[test]
fn a_forged_frame_in_a_body_is_not_taken_for_a_later_frame() {
    let other = tempdir().unwrap();
    let (start, end) = uncovered(other.path());
    let forged = fs::read(&segments(other.path())[0]).unwrap()[start..end].to_vec();
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let mut hiding = factum_log::Batch::new();
    // At every offset modulo 8.
    for shift in 0..8 {
        let mut body = vec![1; shift];
        body.extend_from_slice(&forged);
        hiding.entry("a", "made", "test", &body);
    }
    log.append(&hiding).unwrap();
    drop(log);
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[130] ^= 1;
    fs::write(path, &bytes).unwrap();
    let (log, opened) = open(dir.path());
    assert!(opened.cut.is_some() && log.head() == 0);
}

#[test]
fn an_empty_last_segment_is_one_to_go_on_in() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let body = "x".repeat(2500);
    log.append(&batch(&[("a", &body)])).unwrap();
    log.append(&batch(&[("a", &body)])).unwrap();
    drop(log);
    let last = &segments(dir.path())[1];
    let mut bytes = fs::read(last).unwrap();
    bytes.truncate(64);
    fs::write(last, bytes).unwrap();
    let (mut log, opened) = open(dir.path());
    assert_eq!((opened.entries, opened.segments, opened.cut), (1, 2, None));
    assert_eq!(log.append(&batch(&[("a", "again")])).unwrap().last, 2);
}

#[test]
fn a_torn_tail_is_cut_only_from_the_last_segment() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let body = "x".repeat(2500);
    for _ in 0..3 {
        log.append(&batch(&[("a", &body)])).unwrap();
    }
    drop(log);
    let first = &segments(dir.path())[0];
    let mut bytes = fs::read(first).unwrap();
    bytes[1000] ^= 1;
    fs::write(first, bytes).unwrap();
    let error = Log::open(dir.path(), small()).unwrap_err();
    assert!(matches!(&error, LogError::Damaged { file, offset: 64, .. } if file == first), "{error}");
    assert!(error.to_string().contains("restore"));
}
