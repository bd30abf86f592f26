//! Appending, reading back, streams, cells, segments, marks and the lock.

use std::fs;
use std::sync::Arc;

use factum_log::{Batch, Durability, Log, LogError, Options, RealDisk};
use tempfile::tempdir;

use crate::support::{Handle, all, batch, bodies, of_stream, open, open_read_only, segments, small};

#[test]
fn what_is_appended_reads_back_in_order_with_positions_and_versions() {
    let dir = tempdir().unwrap();
    let (mut log, opened) = open(dir.path());
    assert!(opened.created && opened.entries == 0 && opened.segments == 1 && !opened.unclean);
    let mut batch = Batch::new();
    batch.entry("a", "made", "shop", b"1");
    batch.entry("b", "made", "", b"");
    batch.entry("a", "changed", "shop", &[0, 255]);
    let appended = log.append(&batch).unwrap();
    assert_eq!((appended.first, appended.last, appended.frame), (1, 3, 1));
    let seen = all(&log.reader()).unwrap();
    let text = |text: &str| text.to_owned();
    assert_eq!(
        seen,
        [
            (1, text("a"), 1, text("made"), text("shop"), b"1".to_vec()),
            (2, text("b"), 1, text("made"), text(""), vec![]),
            (3, text("a"), 2, text("changed"), text("shop"), vec![0, 255]),
        ]
    );
    assert_eq!((log.head(), log.version("a"), log.version("b"), log.version("c")), (3, 2, 1, 0));
}

#[test]
fn an_empty_batch_writes_nothing() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&batch(&[("a", "1")])).unwrap();
    let before = fs::read(&segments(dir.path())[0]).unwrap();
    let appended = log.append(&Batch::new()).unwrap();
    assert_eq!((appended.first, appended.last, appended.frame), (2, 1, 1));
    assert_eq!(fs::read(&segments(dir.path())[0]).unwrap(), before);
}

#[test]
fn a_scan_stops_between_frames_and_goes_on_within_one() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    for group in ["1", "2", "3"] {
        log.append(&batch(&[("a", group), ("b", group)])).unwrap();
    }
    let reader = log.reader();
    let scan = |after, bytes| {
        let mut positions = Vec::new();
        let last = reader.scan(after, bytes, &mut |entry| positions.push(entry.position)).unwrap();
        (last, positions)
    };
    assert_eq!(scan(0, 0), (2, vec![1, 2]));
    assert_eq!(scan(1, 0), (2, vec![2]));
    assert_eq!(scan(1, 1 << 20), (6, vec![2, 3, 4, 5, 6]));
    assert_eq!(scan(6, 1 << 20), (6, vec![]));
    assert_eq!(scan(99, 1 << 20), (99, vec![]));
}

#[test]
fn frames_without_entries_do_not_stop_a_scan() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&batch(&[("a", "1")])).unwrap();
    for _ in 0..100 {
        let mut cell = Batch::new();
        cell.put(b"cursor", &[7; 100]);
        log.append(&cell).unwrap();
        log.idle().unwrap();
    }
    log.append(&batch(&[("a", "2")])).unwrap();
    let reader = log.reader();
    assert_eq!(reader.scan(1, 1, &mut |entry| assert_eq!(entry.body, b"2")).unwrap(), 2);
}

#[test]
fn a_stream_is_read_along_its_chain_across_frames_and_segments() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let long = "x".repeat(700);
    for number in 0..60 {
        log.append(&batch(&[("a", &format!("{number} {long}")), ("b", "b"), ("a", "short")])).unwrap();
    }
    assert!(segments(dir.path()).len() > 5);
    let reader = log.reader();
    let seen = of_stream(&reader, "a").unwrap();
    assert_eq!(seen.iter().map(|entry| entry.2).collect::<Vec<_>>(), (1..=120).collect::<Vec<_>>());
    assert_eq!(seen[118].5, format!("59 {long}").into_bytes());
    let mut late = Vec::new();
    reader.stream("a", 118, &mut |entry| late.push(entry.version)).unwrap();
    assert_eq!(late, [119, 120]);
    assert!(of_stream(&reader, "nobody").unwrap().is_empty());
    reader.stream("a", 500, &mut |_| unreachable!()).unwrap();
}

#[test]
fn a_stream_longer_than_the_buffer_is_read_whole() {
    let dir = tempdir().unwrap();
    let (mut log, _) = Log::open(dir.path(), Options { durability: Durability::Os, ..Options::default() }).unwrap();
    let body = "y".repeat(1 << 20);
    for number in 0..10 {
        log.append(&batch(&[("a", &format!("{number}{body}")), ("a", "small")])).unwrap();
    }
    let seen = of_stream(&log.reader(), "a").unwrap();
    assert_eq!(seen.len(), 20);
    for (index, entry) in seen.iter().enumerate() {
        assert_eq!(entry.2, index as u64 + 1);
        let first = (b'0' + index as u8 / 2, (1 << 20) + 1);
        assert!(if index % 2 == 0 { (entry.5[0], entry.5.len()) == first } else { entry.5 == b"small" });
    }
}

#[test]
fn a_closed_log_opens_with_all_it_had_and_goes_on() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let lineage = log.lineage();
    for number in 0..200 {
        log.append(&batch(&[(&format!("s{}", number % 7), &number.to_string())])).unwrap();
    }
    let before = all(&log.reader()).unwrap();
    log.close().unwrap();
    let (mut log, opened) = open(dir.path());
    assert_eq!((opened.created, opened.entries, opened.unclean, opened.cut), (false, 200, false, None));
    assert_eq!(opened.segments, segments(dir.path()).len());
    assert_eq!((log.lineage(), log.head(), log.version("s0")), (lineage, 200, 29));
    assert_eq!(all(&log.reader()).unwrap(), before);
    assert_eq!(log.append(&batch(&[("s0", "more")])).unwrap().first, 201);
    assert_eq!(of_stream(&log.reader(), "s0").unwrap().len(), 30);
    drop(log);
    let (_log, opened) = open(dir.path());
    assert!(opened.unclean && opened.entries == 201 && opened.cut.is_none());
}

#[test]
fn opening_and_closing_again_and_again_changes_no_byte() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&batch(&[("a", "1")])).unwrap();
    log.close().unwrap();
    let before = fs::read(&segments(dir.path())[0]).unwrap();
    for _ in 0..3 {
        open(dir.path()).0.close().unwrap();
    }
    assert_eq!(fs::read(&segments(dir.path())[0]).unwrap(), before);
}

#[test]
fn cells_keep_their_values_and_revisions_across_a_reopen() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let mut first = Batch::new();
    first.put(b"cursor/a", b"1");
    first.put(b"cursor/b", b"1");
    first.put(b"timer/x", b"");
    assert_eq!(log.append(&first).unwrap().frame, 1);
    let mut second = batch(&[("a", "1")]);
    second.put(b"cursor/b", b"2");
    second.delete(b"timer/x");
    second.delete(b"never/was");
    assert_eq!(log.append(&second).unwrap().frame, 2);
    let expected = |log: &Log| {
        let cells = log.cells(b"cursor/").map(|(key, cell)| (key.to_vec(), cell.clone())).collect::<Vec<_>>();
        assert_eq!(log.reader().cells(b"cursor/"), cells);
        assert_eq!(log.cell(b"timer/x"), None);
        cells.into_iter().map(|(key, cell)| (key, cell.revision, cell.value.to_vec())).collect::<Vec<_>>()
    };
    let cells = vec![(b"cursor/a".to_vec(), 1, b"1".to_vec()), (b"cursor/b".to_vec(), 2, b"2".to_vec())];
    assert_eq!(expected(&log), cells);
    log.close().unwrap();
    let (log, _) = open(dir.path());
    assert_eq!(expected(&log), cells);
    assert_eq!(log.cell(b"cursor/a").unwrap().revision, 1);
}

#[test]
fn cells_alone_never_make_two_segments_of_one_name() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    for number in 0..100_u8 {
        let mut cell = Batch::new();
        cell.put(b"cursor", &[number; 200]);
        log.append(&cell).unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 1);
    log.append(&batch(&[("a", "1")])).unwrap();
    log.append(&batch(&[("a", "2")])).unwrap();
    assert_eq!(segments(dir.path()).len(), 2);
    drop(log);
    let (log, _) = open(dir.path());
    assert_eq!((log.head(), &log.cell(b"cursor").unwrap().value[..]), (2, &[99; 200][..]));
}

#[test]
fn a_directory_is_open_once_and_free_again_after() {
    let dir = tempdir().unwrap();
    let (log, _) = open(dir.path());
    let error = Log::open(dir.path(), small()).unwrap_err();
    assert!(matches!(&error, LogError::Locked { dir: named } if named == dir.path()));
    assert!(error.to_string().contains("stop that one first"));
    drop(log);
    open(dir.path());
}

/// A process that is being started keeps a copy of the lock until its program runs: who has just let go waits for that.
#[test]
fn a_lock_that_is_let_go_of_in_a_moment_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options::default()).unwrap();
    let held = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(log);
    });
    Log::open(dir.path(), Options::default()).unwrap();
    held.join().unwrap();
}

#[test]
fn a_directory_of_other_things_is_refused_and_left_as_it_was() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    assert!(matches!(Log::open(dir.path(), small()), Err(LogError::NotALog { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let empty = tempdir().unwrap();
    assert!(matches!(open_read_only(empty.path(), Arc::new(RealDisk)), Err(LogError::NotALog { .. })));
}

#[test]
fn a_missing_directory_is_made_with_those_above_it() {
    let dir = tempdir().unwrap();
    let (log, opened) = open(&dir.path().join("a/b/log"));
    assert!(opened.created);
    log.close().unwrap();
}

#[test]
fn what_is_too_large_is_refused_whole() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let body = "z".repeat(1 << 20);
    let large = batch(&vec![("a", &body[..]); 16]);
    assert!(large.bytes() > 16 << 20);
    assert!(matches!(log.append(&large), Err(LogError::TooLarge { .. })));
    assert!(matches!(log.append(&batch(&[(&body, "1")])), Err(LogError::TooLarge { size: 1_048_576, .. })));
    let mut key = Batch::new();
    key.put(body.as_bytes(), b"");
    assert!(matches!(log.append(&key), Err(LogError::TooLarge { .. })));
    let fits = batch(&vec![("a", &body[..]); 15]);
    assert_eq!(log.append(&fits).unwrap().last, 15);
    assert_eq!(of_stream(&log.reader(), "a").unwrap().len(), 15);
}

#[test]
fn more_names_than_a_segment_can_number_begin_the_next() {
    let dir = tempdir().unwrap();
    let (mut log, _) = Log::open(dir.path(), Options::default()).unwrap();
    for group in 0..2 {
        let mut batch = Batch::new();
        for number in 0..40_000 {
            batch.entry("a", &format!("kind-{group}-{number}"), "test", b"");
        }
        log.append(&batch).unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 2);
    drop(log);
    let (log, _) = Log::open(dir.path(), Options::default()).unwrap();
    let seen = all(&log.reader()).unwrap();
    assert_eq!((seen.len(), &seen[79_999].3[..]), (80_000, "kind-1-39999"));
}

#[test]
fn a_mark_is_written_once_for_what_is_new() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let (mut log, _) = Log::open(dir.path(), disk.options()).unwrap();
    let writes = || disk.0.writes.load(std::sync::atomic::Ordering::SeqCst);
    let before = writes();
    log.idle().unwrap();
    assert_eq!(writes(), before, "there is nothing to cover");
    log.append(&batch(&[("a", "1")])).unwrap();
    log.idle().unwrap();
    log.idle().unwrap();
    assert_eq!(writes(), before + 2);
    log.append(&batch(&[("a", "2")])).unwrap();
    assert_eq!(log.append(&batch(&[("a", "3")])).unwrap().frame, 4, "marks are frames too");
    log.close().unwrap();
    let (log, opened) = open(dir.path());
    assert!(!opened.unclean);
    assert_eq!(bodies(&log.reader()), ["1", "2", "3"]);
}

#[test]
fn segments_filled_ahead_hold_the_same_entries() {
    let dir = tempdir().unwrap();
    let options = Options { segment_bytes: 1 << 20, ..Options::default() };
    let (mut log, _) = Log::open(dir.path(), options.clone()).unwrap();
    let body = "f".repeat(50_000);
    for _ in 0..100 {
        log.append(&batch(&[("a", &body)])).unwrap();
    }
    log.close().unwrap();
    assert!(!dir.path().join("spare.tmp").exists());
    let (log, opened) = Log::open(dir.path(), options).unwrap();
    assert_eq!((opened.entries, opened.unclean), (100, false));
    assert!(opened.segments >= 5);
    assert_eq!(bodies(&log.reader()).len(), 100);
}

#[test]
fn what_another_run_left_unfinished_is_removed() {
    let dir = tempdir().unwrap();
    open(dir.path()).0.close().unwrap();
    for name in ["next.tmp", "spare.tmp"] {
        fs::write(dir.path().join(name), "half").unwrap();
    }
    let (_log, opened) = open(dir.path());
    assert!(!opened.unclean && !dir.path().join("next.tmp").exists() && !dir.path().join("spare.tmp").exists());
}
