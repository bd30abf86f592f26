//! Readers beside the writer: in this process from other threads, and in others without the lock.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use factum_log::{Disk, Durability, Log, LogError, Options, Reader, RealDisk, archive, info, verify};
use tempfile::tempdir;

use crate::support::{Handle, all, batch, bodies, copy, files, of_stream, open, open_read_only, segments};

#[test]
fn a_reader_is_for_any_thread() {
    fn any_thread<T: Clone + Send + Sync>() {}
    any_thread::<Reader>();
}

#[test]
fn readers_in_other_threads_see_whole_batches_in_order() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let reader = log.reader();
            thread::spawn(move || {
                let mut after = 0;
                while after < 600 {
                    let before = after;
                    let mut next = after + 1;
                    after = reader
                        .scan(after, 1 << 16, &mut |entry| {
                            assert_eq!(entry.position, next);
                            next += 1;
                        })
                        .unwrap();
                    assert_eq!((after, after % 3), (next - 1, 0));
                    assert!(after >= before);
                    let version = reader.version("a");
                    let seen = of_stream(&reader, "a").unwrap().len() as u64;
                    assert!(seen >= version && seen.is_multiple_of(2));
                }
            })
        })
        .collect();
    for number in 0..200 {
        log.append(&batch(&[("a", &number.to_string()), ("b", "b"), ("a", "more")])).unwrap();
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn a_reader_without_the_lock_sees_what_was_there_when_it_opened() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let mut first = batch(&[("a", "1"), ("b", "2")]);
    first.put(b"cell", b"v");
    log.append(&first).unwrap();
    let reader = open_read_only(dir.path(), Arc::new(RealDisk)).unwrap();
    for _ in 0..50 {
        log.append(&batch(&[("a", &"x".repeat(500))])).unwrap();
    }
    assert_eq!(bodies(&reader), ["1", "2"]);
    assert_eq!((reader.head(), reader.version("a"), reader.lineage()), (2, 1, log.lineage()));
    assert_eq!(reader.cells(b""), log.reader().cells(b""));
    let later = open_read_only(dir.path(), Arc::new(RealDisk)).unwrap();
    assert_eq!(all(&later).unwrap(), all(&log.reader()).unwrap());
}

#[test]
fn a_reader_without_the_lock_opens_again_and_again_beside_a_busy_writer() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&batch(&[("a", "first")])).unwrap();
    let path = dir.path().to_owned();
    let reading = thread::spawn(move || {
        let mut head = 0;
        while head < 800 {
            let reader = open_read_only(&path, Arc::new(RealDisk)).unwrap();
            assert!(reader.head() >= head);
            head = reader.head();
            assert_eq!(all(&reader).unwrap().len() as u64, head);
        }
    });
    while !reading.is_finished() {
        log.append(&batch(&[("a", &"y".repeat(300)), ("b", "b")])).unwrap();
        if log.head() % 7 == 0 {
            log.idle().unwrap();
        }
        if log.head() > 20_000 {
            break;
        }
    }
    reading.join().unwrap();
}

/// Lets something happen to the log before each listing and opening of those who look at it, one after the other.
fn whenever(happens: fn(&Path)) {
    let parent = tempdir().unwrap();
    let original = parent.path().join("original");
    let (mut log, _) = open(&original);
    for number in 0..40 {
        log.append(&batch(&[("a", &format!("{number} {}", "x".repeat(500)))])).unwrap();
        if number % 15 == 14 {
            log.checkpoint().unwrap();
        }
    }
    log.close().unwrap();
    for moment in 0.. {
        let dir = parent.path().join(moment.to_string());
        let mut happened = false;
        type Look = fn(&Path, Arc<dyn Disk>) -> Result<u64, LogError>;
        let looks: [(&str, Look); 3] = [
            ("info", |dir, disk| info(dir, disk).map(|info| info.entries)),
            ("reader", |dir, disk| all(&open_read_only(dir, disk)?).map(|seen| seen.len() as u64)),
            ("verify", |dir, disk| {
                let report = verify(dir, disk, &mut |_, _| {})?;
                assert_eq!((report.damage, report.unusable), (vec![], vec![]));
                Ok(report.entries)
            }),
        ];
        for (name, look) in looks {
            let dir = dir.join(name);
            copy(&original, &dir);
            let (disk, calls, place) = (Handle::default(), Arc::new(AtomicUsize::new(0)), dir.clone());
            let counted = Arc::clone(&calls);
            *disk.0.before.lock().unwrap() = Some(Box::new(move |_| {
                if counted.fetch_add(1, SeqCst) == moment {
                    happens(&place);
                }
            }));
            let seen = look(&dir, Arc::new(disk)).unwrap_or_else(|error| panic!("{name} at call {moment}: {error}"));
            assert_eq!(seen, 40, "{name} at call {moment}");
            happened |= calls.load(SeqCst) > moment;
        }
        if !happened {
            assert!(moment > 20, "it happened at {moment} moments only");
            return;
        }
    }
}

#[test]
fn whoever_looks_at_a_log_does_not_mind_that_its_writer_removes_checkpoints_meanwhile() {
    whenever(|dir| files(dir, ".checkpoint").iter().for_each(|path| fs::remove_file(path).unwrap()));
    whenever(|dir| fs::remove_file(&files(dir, ".checkpoint")[0]).unwrap());
}

#[test]
fn whoever_looks_at_a_log_does_not_mind_that_its_segments_are_archived_meanwhile() {
    whenever(|dir| {
        archive(dir, &dir.join("archive.d"), 0, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    });
}

#[test]
fn a_reader_without_the_lock_stops_before_an_unfinished_frame_and_changes_nothing() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&batch(&[("a", "1")])).unwrap();
    log.append(&batch(&[("a", "2")])).unwrap();
    drop(log);
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.windows(4).enumerate().filter(|(_, bytes)| bytes == b"FRME").nth(1).unwrap().0;
    bytes[at + 60..].fill(0);
    fs::write(path, &bytes).unwrap();
    let reader = open_read_only(dir.path(), Arc::new(RealDisk)).unwrap();
    assert_eq!(bodies(&reader), ["1"]);
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn a_reader_without_the_lock_makes_the_last_frame_durable_before_it_shows_it() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&batch(&[("a", "1")])).unwrap();
    let disk = Handle::default();
    open_read_only(dir.path(), Arc::new(disk.clone())).unwrap();
    assert_eq!(*disk.0.calls.lock().unwrap(), ["sync 00000000000000000001.segment"]);
    disk.0.sync_fails.store(true, std::sync::atomic::Ordering::SeqCst);
    let refused = open_read_only(dir.path(), Arc::new(disk.clone()));
    assert!(matches!(refused, Err(LogError::Io { op: "sync", .. })));
    // Covered by a mark, it needs no sync.
    log.idle().unwrap();
    open_read_only(dir.path(), Arc::new(disk)).unwrap();
}

#[test]
fn verifying_beside_a_writer_ends_though_the_file_was_seen_in_the_middle_of_an_append() {
    let dir = tempdir().unwrap();
    // Nothing is filled ahead: the file grows with each append, page by page.
    let options = Options { segment_bytes: 1 << 30, durability: Durability::Os, ..Handle::default().options() };
    let (mut log, _) = Log::open(dir.path(), options).unwrap();
    let path = dir.path().to_owned();
    let verifying = thread::spawn(move || {
        let mut entries = 0;
        while entries < 300 {
            let report = verify(&path, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
            assert_eq!(report.damage, []);
            entries = report.entries;
        }
    });
    while log.head() < 300 {
        log.append(&batch(&[("a", &"x".repeat(1 << 20))])).unwrap();
    }
    log.idle().unwrap();
    while !verifying.is_finished() {
        thread::yield_now();
    }
    verifying.join().unwrap();
}
