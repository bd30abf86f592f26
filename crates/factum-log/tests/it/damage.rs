//! Bytes that were once whole and are not any more: right data or a loud refusal, never silently less.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use factum_log::{Log, LogError, RealDisk};
use tempfile::tempdir;

use crate::support::{Seen, all, batch, copy, of_stream, open, open_read_only, segments, small};

/// A log of two segments and a closing mark; returns all that is in it.
fn sample(dir: &Path) -> Vec<Seen> {
    let (mut log, _) = open(dir);
    for number in 0..24 {
        let body = format!("{number} {}", "x".repeat(100));
        let mut batch = batch(&[("a", &body), (&format!("b-{}", number % 3), "short")]);
        batch.put(b"cell", &[number]);
        log.append(&batch).unwrap();
        if number % 5 == 0 {
            log.idle().unwrap();
        }
    }
    let seen = all(&log.reader()).unwrap();
    log.close().unwrap();
    seen
}

/// Flips bits at `place` of the file and opens the log in both ways: refused, or all is there.
fn try_flipped(dir: &Path, path: &Path, bytes: &mut [u8], place: usize, bits: u8, expected: &[Seen]) -> bool {
    bytes[place] ^= bits;
    fs::write(path, &*bytes).unwrap();
    bytes[place] ^= bits;
    let beside = open_read_only(dir, Arc::new(RealDisk)).and_then(|reader| all(&reader));
    let opened = Log::open(dir, small());
    match (&beside, &opened) {
        (Ok(seen), Ok((log, _))) => {
            assert_eq!(seen, expected, "read only, flipped at {place}");
            assert_eq!(all(&log.reader()).unwrap(), expected, "flipped at {place}");
            assert_eq!(&log.cell(b"cell").unwrap().value[..], [23], "flipped at {place}");
            false
        }
        (Err(_), Err(error)) => {
            assert!(
                matches!(error, LogError::Damaged { file, .. } | LogError::UnknownFormat { file, .. } if file == path),
                "flipped at {place}: {error}"
            );
            true
        }
        _ => panic!("flipped at {place}: one way of opening refuses, the other does not: {beside:?} {opened:?}"),
    }
}

#[test]
fn a_changed_byte_anywhere_is_refused_or_changes_nothing() {
    let original = tempdir().unwrap();
    let expected = sample(original.path());
    let count = segments(original.path()).len();
    assert!(count > 1);
    let dir = tempdir().unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for index in 0..count {
        let bytes = fs::read(&segments(original.path())[index]).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        // Every byte that is in use, and a sample of the zeroes behind.
        for place in (0..=used).chain((used + 1..bytes.len()).step_by(61)) {
            copy(original.path(), dir.path());
            let path = &segments(dir.path())[index];
            let mut bytes = fs::read(path).unwrap();
            match try_flipped(dir.path(), path, &mut bytes, place, 1 << (place % 8), &expected) {
                true => refused += 1,
                false => harmless += 1,
            }
        }
    }
    // Harmless are only the rests of segments behind their frames, and the closing mark itself.
    assert!(refused > 5000 && harmless < 200, "{refused} refused, {harmless} harmless");
}

#[test]
fn a_changed_byte_in_a_last_frame_that_a_mark_covers_is_damage() {
    for closing in [false, true] {
        let dir = tempdir().unwrap();
        let (mut log, _) = open(dir.path());
        log.append(&batch(&[("a", "first")])).unwrap();
        log.append(&batch(&[("a", "last")])).unwrap();
        if closing {
            log.close().unwrap();
        } else {
            log.idle().unwrap();
            drop(log);
        }
        let path = &segments(dir.path())[0];
        let bytes = fs::read(path).unwrap();
        let at = bytes.windows(4).position(|bytes| bytes == b"last").unwrap();
        let start = bytes.windows(4).enumerate().filter(|(_, bytes)| bytes == b"FRME").nth(1).unwrap().0;
        for place in [at, start, start + 4, start + 8, start + 16] {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x10;
            fs::write(path, &bytes).unwrap();
            let error = Log::open(dir.path(), small()).unwrap_err();
            let named = matches!(&error, LogError::Damaged { offset, .. } if *offset == start as u64);
            assert!(named, "closing {closing}, at {place}: {error}");
            assert_eq!(fs::read(path).unwrap(), bytes, "nothing is changed by a refusal");
        }
    }
}

#[test]
fn zeroes_over_a_covered_frame_are_damage() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&batch(&[("a", "first")])).unwrap();
    log.close().unwrap();
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[64..160].fill(0);
    fs::write(path, &bytes).unwrap();
    assert!(matches!(Log::open(dir.path(), small()), Err(LogError::Damaged { offset: 64, .. })));
}

#[test]
fn a_missing_swapped_or_foreign_segment_is_damage() {
    let original = tempdir().unwrap();
    sample(original.path());
    let other = tempdir().unwrap();
    sample(other.path());
    let count = segments(original.path()).len();
    for index in 0..count - 1 {
        let dir = tempdir().unwrap();
        copy(original.path(), dir.path());
        fs::remove_file(&segments(dir.path())[index]).unwrap();
        assert!(matches!(Log::open(dir.path(), small()), Err(LogError::Damaged { .. })), "without segment {index}");
    }
    let dir = tempdir().unwrap();
    copy(original.path(), dir.path());
    fs::copy(&segments(other.path())[1], &segments(dir.path())[1]).unwrap();
    assert!(matches!(Log::open(dir.path(), small()), Err(LogError::Damaged { .. })));
    copy(original.path(), dir.path());
    fs::copy(&segments(dir.path())[0], &segments(dir.path())[1]).unwrap();
    assert!(matches!(Log::open(dir.path(), small()), Err(LogError::Damaged { .. })));
}

#[test]
fn a_format_of_another_version_is_named() {
    let dir = tempdir().unwrap();
    open(dir.path()).0.close().unwrap();
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[8] = 2;
    fs::write(path, &bytes).unwrap();
    let error = Log::open(dir.path(), small()).unwrap_err();
    assert!(matches!(&error, LogError::UnknownFormat { found: 2, known: 1, file } if file == path));
    assert!(error.to_string().contains("the build that wrote it"));
}

#[test]
fn damage_that_comes_while_the_log_is_open_is_not_read_past() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    for body in ["one", "two", "three"] {
        log.append(&batch(&[("a", body)])).unwrap();
    }
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.windows(3).position(|bytes| bytes == b"two").unwrap();
    bytes[at] ^= 1;
    fs::write(path, &bytes).unwrap();
    let reader = log.reader();
    let mut seen = 0;
    assert!(matches!(reader.scan(0, 1 << 20, &mut |_| seen += 1), Err(LogError::Damaged { .. })));
    assert_eq!(seen, 1);
    assert!(matches!(of_stream(&reader, "a"), Err(LogError::Damaged { .. })));
    fs::write(path, &bytes[..at]).unwrap();
    assert!(matches!(reader.scan(0, 1 << 20, &mut |_| ()), Err(LogError::Damaged { .. })));
}
