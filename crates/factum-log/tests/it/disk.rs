//! Disks that fail: a failed sync is final, a full disk is not, and nothing half-written is ever seen.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, mpsc};

use factum_log::{Durability, Log, LogError, Options};
use tempfile::tempdir;

use crate::support::{Handle, batch, bodies, files, open, segments};

#[test]
fn a_failed_sync_is_final_and_readers_never_see_its_frame() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let (mut log, _) = Log::open(dir.path(), disk.options()).unwrap();
    log.append(&batch(&[("a", "1")])).unwrap();
    disk.0.sync_fails.store(true, SeqCst);
    assert!(matches!(log.append(&batch(&[("a", "2")])), Err(LogError::Failed)));
    disk.0.sync_fails.store(false, SeqCst);
    let (syncs, writes) = (disk.0.syncs.load(SeqCst), disk.0.writes.load(SeqCst));
    assert!(matches!(log.append(&batch(&[("a", "3")])), Err(LogError::Failed)));
    assert!(matches!(log.idle(), Err(LogError::Failed)));
    assert_eq!((disk.0.syncs.load(SeqCst), disk.0.writes.load(SeqCst)), (syncs, writes), "nothing is tried again");
    assert_eq!(bodies(&log.reader()), ["1"]);
    assert_eq!((log.head(), log.version("a"), log.reader().version("a")), (1, 1, 1));
    assert!(log.failure().unwrap().contains("sync of"));
    assert!(matches!(log.close(), Err(LogError::Failed)));
    // Its outcome was unknown; here it was written after all, and is synced before it is believed.
    let (log, _) = open(dir.path());
    assert_eq!(bodies(&log.reader()), ["1", "2"]);
}

#[test]
fn a_failed_write_is_final() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let (mut log, _) = Log::open(dir.path(), disk.options()).unwrap();
    disk.0.write_fails.store(true, SeqCst);
    assert!(matches!(log.append(&batch(&[("a", "1")])), Err(LogError::Failed)));
    disk.0.write_fails.store(false, SeqCst);
    assert!(matches!(log.append(&batch(&[("a", "1")])), Err(LogError::Failed)));
    drop(log);
    assert_eq!(open(dir.path()).1.entries, 0);
}

#[test]
fn a_full_disk_refuses_appends_keeps_nothing_of_them_and_works_again() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let (mut log, _) = Log::open(dir.path(), disk.options()).unwrap();
    log.append(&batch(&[("a", "1")])).unwrap();
    for _ in 0..3 {
        disk.0.full.store(true, SeqCst);
        let mut refused = factum_log::Batch::new();
        refused.entry("a", "another-type", "another-source", &[7; 300]);
        refused.put(b"cell", b"1");
        assert!(matches!(log.append(&refused), Err(LogError::Full)));
        assert!(matches!(log.idle(), Err(LogError::Full) | Ok(())));
        assert_eq!((log.head(), log.version("a"), log.cell(b"cell")), (1, 1, None));
        assert_eq!(bodies(&log.reader()), ["1"]);
        disk.0.full.store(false, SeqCst);
    }
    let mut now = factum_log::Batch::new();
    now.entry("a", "another-type", "test", b"2");
    assert_eq!(log.append(&now).unwrap().first, 2);
    drop(log);
    let (log, opened) = open(dir.path());
    assert_eq!((bodies(&log.reader()), opened.cut), (vec!["1".into(), "2".into()], None));
}

#[test]
fn a_frame_that_a_full_disk_refused_is_gone_even_after_a_crash() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let (mut log, _) = Log::open(dir.path(), disk.options()).unwrap();
    log.append(&batch(&[("a", "1")])).unwrap();
    disk.0.full.store(true, SeqCst);
    assert!(matches!(log.append(&batch(&[("a", &"x".repeat(2000))])), Err(LogError::Full)));
    drop(log);
    let (log, opened) = open(dir.path());
    assert_eq!((bodies(&log.reader()), opened.cut), (vec!["1".into()], None));
}

#[test]
fn a_full_disk_at_a_new_segment_refuses_and_works_again() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let (mut log, _) = Log::open(dir.path(), disk.options()).unwrap();
    let body = "x".repeat(3000);
    log.append(&batch(&[("a", &body)])).unwrap();
    disk.0.create_full.store(true, SeqCst);
    assert!(matches!(log.append(&batch(&[("a", &body)])), Err(LogError::Full)));
    disk.0.create_full.store(false, SeqCst);
    disk.0.full.store(true, SeqCst);
    assert!(matches!(log.append(&batch(&[("a", &body)])), Err(LogError::Full)));
    disk.0.full.store(false, SeqCst);
    assert_eq!(log.append(&batch(&[("a", &body)])).unwrap().first, 2);
    assert_eq!(segments(dir.path()).len(), 2);
    drop(log);
    assert_eq!(open(dir.path()).1.entries, 2);
}

#[test]
fn a_segment_that_is_begun_ahead_while_the_disk_gets_full_does_not_stay() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    disk.0.background.store(true, SeqCst);
    let (mut log, _) = Log::open(dir.path(), Options { segment_bytes: 16 << 20, ..disk.options() }).unwrap();
    let (begun, is_begun) = mpsc::sync_channel::<()>(1);
    let (go_on, goes_on) = mpsc::sync_channel::<()>(0);
    let goes_on = Mutex::new(goes_on);
    *disk.0.before.lock().unwrap() = Some(Box::new(move |path| {
        if path.ends_with("spare.tmp") {
            begun.send(()).unwrap();
            goes_on.lock().unwrap().recv().unwrap();
        }
    }));
    // The thread that fills segments ahead has just begun when the log itself finds no room.
    let body = "x".repeat(1 << 20);
    while is_begun.try_recv().is_err() {
        log.append(&batch(&[("a", &body)])).unwrap();
    }
    disk.0.full.store(true, SeqCst);
    assert!(matches!(log.append(&batch(&[("a", &body)])), Err(LogError::Full)));
    go_on.send(()).unwrap();
    drop(log);
    assert!(files(dir.path(), ".tmp").is_empty());
}

#[test]
fn writes_that_take_less_than_given_are_continued() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    disk.0.at_most.store(13, SeqCst);
    let (mut log, _) = Log::open(dir.path(), disk.options()).unwrap();
    for number in 0..30 {
        log.append(&batch(&[("a", &number.to_string())])).unwrap();
    }
    log.close().unwrap();
    let (log, opened) = open(dir.path());
    assert_eq!((opened.entries, opened.unclean), (30, false));
    assert_eq!(bodies(&log.reader())[29], "29");
}

#[test]
fn an_append_is_one_write_and_one_sync() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let (mut log, _) = Log::open(dir.path(), disk.options()).unwrap();
    disk.0.calls.lock().unwrap().clear();
    log.append(&batch(&[("a", "1"), ("b", "2"), ("a", "3")])).unwrap();
    let name = "00000000000000000001.segment";
    assert_eq!(*disk.0.calls.lock().unwrap(), [format!("write {name}"), format!("sync {name}")]);
}

#[test]
fn a_new_segment_is_synced_before_it_has_its_name_and_the_name_before_its_first_frame() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let (mut log, _) = Log::open(dir.path(), disk.options()).unwrap();
    log.append(&batch(&[("a", &"x".repeat(3000))])).unwrap();
    disk.0.calls.lock().unwrap().clear();
    log.append(&batch(&[("a", &"x".repeat(3000))])).unwrap();
    let expected = [
        "create next.tmp",
        "write next.tmp",
        "sync next.tmp",
        "rename 00000000000000000002.segment",
        "sync directory",
        "rename 00000000000000000002.newest",
        // The handle keeps the name it was opened with.
        "write next.tmp",
        "sync next.tmp",
    ];
    assert_eq!(*disk.0.calls.lock().unwrap(), expected);
}

#[test]
fn a_last_frame_that_nothing_covers_is_written_and_synced_again_at_opening() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&batch(&[("a", "1")])).unwrap();
    drop(log);
    let disk = Handle::default();
    drop(Log::open(dir.path(), disk.options()).unwrap());
    let name = "00000000000000000001.segment";
    let expected = ["sync directory".to_owned(), format!("write {name}"), format!("sync {name}")];
    assert_eq!(*disk.0.calls.lock().unwrap(), expected);
    disk.0.sync_fails.store(true, SeqCst);
    assert!(matches!(Log::open(dir.path(), disk.options()), Err(LogError::Io { op: "sync", .. })));
}

#[test]
fn with_durability_os_only_marks_and_new_segments_sync() {
    let dir = tempdir().unwrap();
    let disk = Handle::default();
    let options = Options { durability: Durability::Os, ..disk.options() };
    let (mut log, _) = Log::open(dir.path(), options).unwrap();
    let before = disk.0.syncs.load(SeqCst);
    for _ in 0..10 {
        log.append(&batch(&[("a", "1")])).unwrap();
    }
    assert_eq!(disk.0.syncs.load(SeqCst), before);
    assert_eq!(bodies(&log.reader()).len(), 10);
    log.close().unwrap();
    assert_eq!(disk.0.syncs.load(SeqCst), before + 2, "one for the frames, then one for the mark that covers them");
}
