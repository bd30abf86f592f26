//! Checkpoints: they save time, and nothing else depends on them; what they know to be missing is missed.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use factum_log::{Batch, Durability, Log, LogError, Options, RealDisk, verify};
use tempfile::tempdir;

use crate::support::{Handle, all, batch, bodies, copy, files, of_stream, open, segments, small};

/// A log of several segments and two checkpoints, with something behind the newest.
fn fill(dir: &Path) {
    let (mut log, _) = open(dir);
    for round in 0..3 {
        for number in 0..40 {
            let mut batch = batch(&[(&format!("s-{}", number % 7), &format!("{round}-{number}")), ("all", "x")]);
            batch.put(format!("cell-{}", number % 5).as_bytes(), format!("{round}-{number}").as_bytes());
            if number % 9 == 0 {
                batch.delete(format!("cell-{}", (number + 1) % 5).as_bytes());
            }
            log.append(&batch).unwrap();
        }
        if round < 2 {
            log.checkpoint().unwrap();
        }
    }
    log.close().unwrap();
}

/// All that a log says: entries, streams, cells.
fn content(dir: &Path) -> String {
    let (log, opened) = open(dir);
    let reader = log.reader();
    let streams: Vec<_> = (0..7).map(|number| of_stream(&reader, &format!("s-{number}")).unwrap()).collect();
    let versions: Vec<u64> = (0..8).map(|number| log.version(&format!("s-{number}"))).collect();
    let cells = reader.cells(b"");
    assert_eq!(log.cells(b"").count(), cells.len());
    format!("{} {:?} {streams:?} {versions:?} {cells:?}", opened.entries, all(&reader).unwrap())
}

#[test]
fn a_log_opened_from_a_checkpoint_is_the_same_as_one_read_from_its_beginning() {
    let dir = tempdir().unwrap();
    fill(dir.path());
    assert_eq!(files(dir.path(), ".checkpoint").len(), 2);
    let (log, opened) = open(dir.path());
    assert_eq!((opened.checkpoint, opened.unusable), (Some(160), vec![]));
    drop(log);
    let with = content(dir.path());
    for path in files(dir.path(), ".checkpoint") {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(open(dir.path()).1.checkpoint, None);
    assert_eq!(content(dir.path()), with);
}

#[test]
fn only_what_is_behind_the_checkpoint_is_read() {
    let dir = tempdir().unwrap();
    fill(dir.path());
    // A flipped bit in the middle of the first segment is found when it is read, and not before.
    let first = &segments(dir.path())[0];
    let mut bytes = fs::read(first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(first, bytes).unwrap();
    let (log, opened) = open(dir.path());
    assert_eq!(opened.entries, 240);
    let error = all(&log.reader()).unwrap_err();
    assert!(matches!(&error, LogError::Damaged { file, .. } if file == first), "{error}");
    drop(log);
    let report = verify(dir.path(), Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    assert_eq!((report.damage.len(), &report.damage[0].file), (1, first));
}

#[test]
fn a_damaged_or_foreign_checkpoint_costs_time_and_no_truth() {
    let original = tempdir().unwrap();
    fill(original.path());
    let expected = content(original.path());
    let other = tempdir().unwrap();
    fill(other.path());
    let newest = files(original.path(), ".checkpoint")[1].clone();
    let length = fs::metadata(&newest).unwrap().len() as usize;
    let name = newest.file_name().unwrap();
    for at in (0..length).step_by(7) {
        let dir = tempdir().unwrap();
        copy(original.path(), dir.path());
        let mut bytes = fs::read(&newest).unwrap();
        if at % 2 == 0 {
            bytes.truncate(at)
        } else {
            bytes[at] ^= 1 << (at % 8)
        }
        fs::write(dir.path().join(name), bytes).unwrap();
        let (log, opened) = open(dir.path());
        assert_eq!((opened.checkpoint, opened.unusable), (Some(80), vec![dir.path().join(name)]), "byte {at}");
        drop(log);
        assert_eq!(content(dir.path()), expected, "byte {at}");
    }
    let dir = tempdir().unwrap();
    copy(original.path(), dir.path());
    for path in files(other.path(), ".checkpoint") {
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(open(dir.path()).1.checkpoint, None, "those of another log are not believed");
    assert_eq!(content(dir.path()), expected);
}

#[test]
fn a_log_that_has_lost_its_end_is_refused_because_the_checkpoint_knows() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    for number in 0..40 {
        log.append(&batch(&[("a", &format!("{number} {}", "x".repeat(500)))])).unwrap();
    }
    log.checkpoint().unwrap();
    drop(log);
    let last = segments(dir.path()).pop().unwrap();
    let kept = fs::read(&last).unwrap();
    fs::remove_file(&last).unwrap();
    fs::remove_file(last.with_extension("newest")).unwrap();
    let refused = Log::open(dir.path(), small()).unwrap_err().to_string();
    assert!(refused.contains(".checkpoint") && refused.contains("not there"), "{refused}");
    // If only its frames are gone, that is found by reading.
    let mut emptied = kept.clone();
    emptied[64..].fill(0);
    fs::write(&last, emptied).unwrap();
    let refused = all(&open(dir.path()).0.reader()).unwrap_err();
    assert!(matches!(&refused, LogError::Damaged { file, .. } if *file == last), "{refused}");
    let report = verify(dir.path(), Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    assert_eq!((report.damage.len(), &report.damage[0].file), (1, &last));
    // Cut off before the checkpoint's place, the file does not take an append behind a hole.
    fs::write(&last, &kept[..100]).unwrap();
    let refused = Log::open(dir.path(), small()).unwrap_err().to_string();
    assert!(refused.contains("shows that more was synced"), "{refused}");
    fs::write(&last, kept).unwrap();
    assert_eq!(open(dir.path()).1.entries, 40);
}

#[test]
fn checkpoints_are_written_as_the_log_grows_and_two_are_kept() {
    let dir = tempdir().unwrap();
    for disk in [None, Some(Handle::default())] {
        let options = disk.as_ref().map_or_else(small, Handle::options);
        let dir = dir.path().join(if disk.is_some() { "steps" } else { "thread" });
        let (mut log, _) = Log::open(&dir, Options { checkpoint_bytes: 8192, ..options.clone() }).unwrap();
        let mut most = 0;
        for number in 0..2000 {
            let mut batch = batch(&[(&format!("s-{}", number % 300), &format!("{number}"))]);
            batch.put(format!("cell-{}", number % 70).as_bytes(), b"value");
            log.append(&batch).unwrap();
            most = most.max(files(&dir, ".checkpoint").len());
        }
        assert_eq!(log.checkpoint_failure(), None);
        // The third is there only until the first is removed.
        assert!((1..=3).contains(&most), "{most}");
        drop(log);
        let (log, opened) = Log::open(&dir, options).unwrap();
        assert!(opened.checkpoint.is_some() && opened.entries == 2000, "{opened:?}");
        assert_eq!((log.version("s-7"), log.cells(b"cell-").count()), (7, 70));
        assert_eq!(verify(&dir, Arc::new(RealDisk), &mut |_, _| {}).unwrap().unusable, []);
        assert!(files(&dir, ".tmp").is_empty());
    }
}

#[test]
fn a_checkpoint_that_fails_is_tried_again_and_the_log_goes_on() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let (mut log, _) = Log::open(dir.path(), disk.options()).unwrap();
    log.append(&batch(&[("a", "1")])).unwrap();
    disk.0.create_full.store(true, SeqCst);
    assert!(log.checkpoint().is_err());
    assert!(log.checkpoint_failure().unwrap().contains("full"));
    log.append(&batch(&[("a", "2")])).unwrap();
    disk.0.create_full.store(false, SeqCst);
    disk.0.sync_fails.store(true, SeqCst);
    assert!(log.checkpoint().is_err());
    disk.0.sync_fails.store(false, SeqCst);
    assert!(files(dir.path(), ".tmp").is_empty(), "nothing is left of it");
    log.append(&batch(&[("a", "3")])).unwrap();
    log.checkpoint().unwrap();
    assert_eq!((log.checkpoint_failure(), bodies(&log.reader()).len()), (None, 3));
}

#[test]
fn a_checkpoint_under_way_gives_its_space_back_when_the_disk_is_full() {
    let parent = tempdir().unwrap();
    for by_thread in [false, true] {
        let dir = parent.path().join(by_thread.to_string());
        let disk = Handle::default();
        disk.0.background.store(by_thread, SeqCst);
        // It waits for what it holds to be synced, which here nobody does: it is under way for as long as it likes.
        let (durability, segment_bytes) = (Durability::Os, 64 << 20);
        let options = Options { durability, checkpoint_bytes: 1, segment_bytes, ..disk.options() };
        let (mut log, _) = Log::open(&dir, options).unwrap();
        while files(&dir, "checkpoint.tmp").is_empty() {
            log.append(&batch(&[("a", "1")])).unwrap();
            thread::yield_now();
        }
        disk.0.full.store(true, SeqCst);
        assert!(matches!(log.append(&batch(&[("a", "refused")])), Err(LogError::Full)));
        assert!(files(&dir, ".tmp").is_empty(), "by a thread: {by_thread}");
        disk.0.full.store(false, SeqCst);
        log.append(&batch(&[("a", "2")])).unwrap();
        log.checkpoint().unwrap();
        assert_eq!((log.checkpoint_failure(), files(&dir, ".checkpoint").len()), (None, 1));
        log.close().unwrap();
        assert!(verify(&dir, Arc::new(RealDisk), &mut |_, _| {}).unwrap().damage.is_empty());
    }
}

#[test]
fn with_durability_os_a_checkpoint_waits_for_what_it_holds_to_be_synced() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let options = Options { durability: Durability::Os, checkpoint_bytes: 1, segment_bytes: 1 << 20, ..disk.options() };
    let (mut log, _) = Log::open(dir.path(), options).unwrap();
    for _ in 0..50 {
        log.append(&batch(&[("a", "1")])).unwrap();
    }
    assert!(files(dir.path(), ".checkpoint").is_empty());
    log.idle().unwrap();
    log.append(&batch(&[("a", "1")])).unwrap();
    assert_eq!(files(dir.path(), ".checkpoint").len(), 1);
}

#[test]
fn appends_between_the_pieces_of_a_checkpoint_are_neither_lost_nor_taken_twice() {
    // A checkpoint of cells larger than a piece takes many steps; each append changes what was and what was not copied.
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let options = || Options { checkpoint_bytes: 1 << 20, segment_bytes: 64 << 20, ..disk.options() };
    let (mut log, _) = Log::open(dir.path(), options()).unwrap();
    let value = vec![7; 100 << 10];
    let key = |number: u32| number.to_be_bytes();
    for number in 0..60 {
        let mut batch = Batch::new();
        batch.put(&key(number), &value);
        log.append(&batch).unwrap();
    }
    for number in 0..200_u32 {
        let mut batch = batch(&[(&format!("s-{}", number % 11), "1")]);
        match number % 3 {
            0 => batch.put(&key(number % 60), &number.to_be_bytes()),
            1 => batch.delete(&key((number * 7) % 60)),
            _ => batch.put(&key(60 + number % 5), b"new"),
        }
        log.append(&batch).unwrap();
        if files(dir.path(), ".checkpoint").is_empty() {
            continue;
        }
        let copied = tempdir().unwrap();
        copy(dir.path(), copied.path());
        let report = verify(copied.path(), Arc::new(RealDisk), &mut |_, _| {}).unwrap();
        assert_eq!((report.damage, report.unusable), (vec![], vec![]), "after {number}");
        let (again, opened) = Log::open(copied.path(), Options { disk: Arc::new(RealDisk), ..options() }).unwrap();
        assert!(opened.checkpoint.is_some());
        assert_eq!(again.reader().cells(b""), log.reader().cells(b""), "after {number}");
        if number > 40 {
            break;
        }
    }
}
