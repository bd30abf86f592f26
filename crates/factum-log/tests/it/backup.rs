//! Backup, restore and archive: copies are whole, taken while the log is written, and never taken for the original.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factum_log::{Copied, Log, LogError, Observer, RealDisk, archive, backup, info, restore, verify};
use tempfile::tempdir;

use crate::support::{all, batch, bodies, copy, files, of_stream, open, segments, small};

fn fill(log: &mut Log, count: usize) {
    for number in 0..count {
        log.append(&batch(&[("a", &format!("{number} {}", "x".repeat(300))), ("b", "y")])).unwrap();
    }
}

fn back_up(dir: &Path, to: &Path, links: bool) -> Result<Copied, LogError> {
    backup(dir, to, links, Arc::new(RealDisk), &mut |_, _| {})
}

fn restored(from: &Path, dir: &Path) -> Result<Copied, LogError> {
    restore(from, dir, Arc::new(RealDisk), &mut |_, _| {})
}

#[test]
fn a_backup_restored_elsewhere_has_the_same_entries_and_another_epoch() {
    let parent = tempdir().unwrap();
    let [dir, to, new] = ["log", "backup", "new"].map(|name| parent.path().join(name));
    for links in [true, false] {
        let (mut log, _) = open(&dir);
        fill(&mut log, 40);
        let copied = back_up(&dir, &to, links).unwrap();
        assert_eq!((copied.entries, copied.lineage), (log.head(), log.lineage()));
        assert_eq!(copied.linked, if links { copied.segments - 1 } else { 0 });
        log.append(&batch(&[("a", "later")])).unwrap();
        let report = verify(&to, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
        assert_eq!((report.damage, report.unfinished, report.entries), (vec![], None, copied.entries));

        let copied = restored(&to, &new).unwrap();
        let (mut new_log, opened) = open(&new);
        assert_eq!((opened.entries, opened.cut, opened.unclean), (copied.entries, None, false));
        assert_eq!(new_log.lineage(), copied.lineage);
        assert_eq!(new_log.lineage().log_id, log.lineage().log_id);
        assert!(new_log.lineage().epoch > log.lineage().epoch);
        assert_eq!(all(&new_log.reader()).unwrap(), all(&log.reader()).unwrap()[..copied.entries as usize]);
        fill(&mut new_log, 10);
        new_log.close().unwrap();
        assert_eq!(of_stream(&open(&new).0.reader(), "b").unwrap().len(), 50);
        drop(log);
        for dir in [&dir, &to, &new] {
            fs::remove_dir_all(dir).unwrap();
        }
    }
}

#[test]
fn two_restores_of_one_backup_have_different_epochs() {
    let parent = tempdir().unwrap();
    let [dir, to, one, two] = ["log", "backup", "one", "two"].map(|name| parent.path().join(name));
    fill(&mut open(&dir).0, 3);
    back_up(&dir, &to, false).unwrap();
    let original = open(&dir).0.lineage();
    let [one, two] = [one, two].map(|dir| restored(&to, &dir).unwrap().lineage);
    assert!(one != two && one != original, "I3: positions of {one:?} would be taken for those of {two:?}");
}

#[test]
fn a_second_backup_adds_only_what_is_new() {
    let parent = tempdir().unwrap();
    let [dir, to, new] = ["log", "backup", "new"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    fill(&mut log, 40);
    let first = back_up(&dir, &to, false).unwrap();
    fill(&mut log, 40);
    let second = back_up(&dir, &to, false).unwrap();
    assert_eq!(second.kept, first.segments - 1, "all that were complete");
    restored(&to, &new).unwrap();
    assert_eq!(all(&open(&new).0.reader()).unwrap(), all(&log.reader()).unwrap());
    let other = parent.path().join("other");
    fill(&mut open(&other).0, 3);
    assert!(matches!(back_up(&other, &to, false), Err(LogError::AnotherLog { .. })));
    assert!(matches!(back_up(&dir, &other, false), Err(LogError::NotALog { .. })), "a log is not overwritten");
}

#[test]
fn a_backup_is_read_but_not_opened_and_never_restored_over_something() {
    let parent = tempdir().unwrap();
    let [dir, to] = ["log", "backup"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    fill(&mut log, 3);
    back_up(&dir, &to, true).unwrap();
    assert!(matches!(Log::open(&to, small()), Err(LogError::IsBackup { .. })));
    assert_eq!(bodies(&Observer::open(&to, Arc::new(RealDisk)).unwrap().reader()), bodies(&log.reader()));
    assert!(matches!(restored(&to, &dir), Err(LogError::NotALog { .. })));
    assert!(restored(&parent.path().join("nothing"), &parent.path().join("new")).is_err());
}

#[test]
fn damage_to_the_end_of_a_backup_is_noticed() {
    let parent = tempdir().unwrap();
    let [dir, to] = ["log", "backup"].map(|name| parent.path().join(name));
    fill(&mut open(&dir).0, 3);
    back_up(&dir, &to, false).unwrap();
    let path = &segments(&to)[0];
    let bytes = fs::read(path).unwrap();
    for bit in (64 * 8..(bytes.len() - 56) * 8).step_by(31) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(path, flipped).unwrap();
        let error = restored(&to, &parent.path().join("new")).unwrap_err();
        assert!(matches!(error, LogError::Damaged { .. }), "bit {bit}: {error}");
        assert!(!parent.path().join("new").exists());
    }
}

#[test]
fn a_backup_is_not_replaced_by_a_log_that_has_less() {
    let parent = tempdir().unwrap();
    let [dir, older, to] = ["log", "older", "backup"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    fill(&mut log, 40);
    log.close().unwrap();
    copy(&dir, &older);
    let (mut log, _) = open(&dir);
    log.append(&batch(&[("a", "later")])).unwrap();
    let taken = back_up(&dir, &to, false).unwrap();
    assert!(matches!(back_up(&older, &to, false), Err(LogError::BackupAhead { .. })));
    assert_eq!(bodies(&Observer::open(&to, Arc::new(RealDisk)).unwrap().reader()).len() as u64, taken.entries);
    assert_eq!(back_up(&dir, &to, false).unwrap().entries, taken.entries, "the log itself is as far as its backup");
}

#[test]
fn a_backup_taken_while_the_log_is_written_is_a_prefix_of_it() {
    let parent = tempdir().unwrap();
    let [dir, to] = ["log", "backup"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) && log.head() < 20_000 {
            fill(&mut log, 1);
        }
        log
    });
    let (mut before, mut taken) = (0, 0);
    while taken < 5 {
        let copied = back_up(&dir, &to, taken % 2 == 0).unwrap();
        assert!(copied.entries >= before);
        before = copied.entries;
        let report = verify(&to, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
        assert_eq!((report.damage, report.entries), (vec![], copied.entries));
        taken += 1;
    }
    stop.store(true, Ordering::SeqCst);
    let log = writer.join().unwrap();
    let copied = all(&Observer::open(&to, Arc::new(RealDisk)).unwrap().reader()).unwrap();
    assert_eq!(copied[..], all(&log.reader()).unwrap()[..copied.len()]);
}

#[test]
fn archived_segments_are_read_as_before_by_everybody_also_while_the_log_is_open() {
    let parent = tempdir().unwrap();
    let [dir, to, backup_dir, new] = ["log", "archive", "backup", "new"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    fill(&mut log, 60);
    let reader = log.reader();
    let (expected, count) = (all(&reader).unwrap(), segments(&dir).len());
    let moved = archive(&dir, &to, 2, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    assert_eq!((moved.segments, segments(&dir).len()), (count - 3, 3));
    assert!(moved.to_bytes * 3 < moved.from_bytes, "{moved:?}");
    assert_eq!(all(&reader).unwrap(), expected);
    assert_eq!(of_stream(&reader, "a").unwrap().len(), 60);
    fill(&mut log, 20);
    let plain = segments(&dir).len();
    let moved = archive(&dir, &to, 0, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    assert_eq!((moved.segments, segments(&dir).len()), (plain - 1, 1));
    let expected = all(&log.reader()).unwrap();
    let found = info(&dir, Arc::new(RealDisk)).unwrap();
    assert_eq!(found.segments.iter().filter(|segment| !segment.is_archived).count(), 1);
    assert_eq!(found.archive, Some(to.clone()));
    back_up(&dir, &backup_dir, true).unwrap();
    restored(&backup_dir, &new).unwrap();
    assert_eq!(all(&open(&new).0.reader()).unwrap(), expected);
    log.close().unwrap();
    assert_eq!(all(&open(&dir).0.reader()).unwrap(), expected);
    let report = verify(&dir, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    assert_eq!((report.damage, report.entries), (vec![], expected.len() as u64));
    let elsewhere = archive(&dir, &parent.path().join("other"), 0, Arc::new(RealDisk), &mut |_, _| {});
    assert!(elsewhere.unwrap_err().to_string().contains("archive is"));

    // A flipped bit in an archived segment, and an archive that is not there, are refused by name.
    let path = &files(&to, ".zst")[1];
    let bytes = fs::read(path).unwrap();
    for at in (0..bytes.len()).step_by(5) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        fs::write(path, flipped).unwrap();
        match Observer::open(&dir, Arc::new(RealDisk)).map(|observer| all(&observer.reader()).unwrap()) {
            Ok(seen) => assert_eq!(seen, expected, "byte {at}"),
            Err(error) => assert!(error.to_string().contains(".zst"), "byte {at}: {error}"),
        }
    }
    fs::write(path, bytes).unwrap();
    fs::rename(&to, parent.path().join("away")).unwrap();
    let error = Log::open(&dir, small()).unwrap_err().to_string();
    assert!(error.contains("archive"), "{error}");
}

#[test]
fn an_observer_follows_a_log_over_new_segments() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let mut observer = Observer::open(dir.path(), Arc::new(RealDisk)).unwrap();
    let reader = observer.reader();
    assert_eq!(observer.refresh().unwrap(), 0);
    for round in 1..=20 {
        fill(&mut log, 7);
        assert_eq!(reader.head(), (round - 1) * 14);
        assert_eq!(observer.refresh().unwrap(), round * 14);
        assert_eq!(all(&reader).unwrap(), all(&log.reader()).unwrap());
        assert_eq!(reader.version("a"), round * 7);
    }
    assert!(segments(dir.path()).len() > 5);
}

#[test]
fn verifying_finds_every_damaged_place_and_names_it() {
    let dir = tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 60);
    log.close().unwrap();
    let paths = segments(dir.path());
    assert!(paths.len() > 4);
    let mut expected = Vec::new();
    for (index, at) in [(0, 1000), (0, 3000), (2, 500)] {
        let mut bytes = fs::read(&paths[index]).unwrap();
        bytes[at] ^= 1;
        fs::write(&paths[index], bytes).unwrap();
        expected.push((paths[index].clone(), at as u64));
    }
    let mut said = Vec::new();
    let report = verify(dir.path(), Arc::new(RealDisk), &mut |done, all| said.push((done, all))).unwrap();
    assert_eq!(report.damage.len(), 3, "{:?}", report.damage);
    for (found, (file, at)) in report.damage.iter().zip(expected) {
        assert!(found.file == file && found.offset <= at && at < found.offset + 600, "{found:?}, expected {at}");
    }
    assert_eq!(report.entries, 120, "what is behind the damage is read all the same");
    assert!(said.last().is_some_and(|(done, all)| done == all));
    fs::remove_file(&paths[3]).unwrap();
    let report = verify(dir.path(), Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    // Seen from the segment before, which ends too early for the one behind.
    let missing = report.damage.iter().filter(|damage| damage.file == paths[2]).count();
    assert_eq!((report.damage.len(), missing), (4, 2), "{:?}", report.damage);
}

#[test]
fn a_backup_is_not_continued_by_a_log_that_went_another_way() {
    let parent = tempdir().unwrap();
    let [dir, to, new] = ["log", "backup", "new"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    fill(&mut log, 10);
    back_up(&dir, &to, false).unwrap();
    restored(&to, &new).unwrap();
    fill(&mut log, 60);
    let copied = back_up(&dir, &to, false).unwrap();
    fill(&mut open(&new).0, 100);
    let error = back_up(&new, &to, false).unwrap_err();
    assert!(matches!(error, LogError::AnotherLog { .. }), "{error}");
    let report = verify(&to, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    assert_eq!((report.damage, report.entries), (vec![], copied.entries));
}

#[test]
fn two_logs_never_share_an_archive() {
    let parent = tempdir().unwrap();
    let [dir, other, to] = ["log", "other", "archive"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    fill(&mut log, 40);
    archive(&dir, &to, 0, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    let (mut second, _) = open(&other);
    fill(&mut second, 40);
    let error = archive(&other, &to, 0, Arc::new(RealDisk), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, LogError::AnotherLog { .. }), "{error}");
    assert_eq!(of_stream(&log.reader(), "a").unwrap().len(), 40);
    assert_eq!(of_stream(&second.reader(), "a").unwrap().len(), 40);
    drop(second);
    assert_eq!(open(&other).0.head(), 80);
}

#[test]
fn a_backup_is_continued_over_segments_that_were_archived_meanwhile() {
    let parent = tempdir().unwrap();
    let [dir, archive_dir] = ["log", "archive"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    for links in [true, false] {
        let [to, new] = ["backup", "new"].map(|name| parent.path().join(format!("{name}-{links}")));
        // The last segment is half full.
        fill(&mut log, 43);
        back_up(&dir, &to, links).unwrap();
        fill(&mut log, 40);
        archive(&dir, &archive_dir, 0, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
        let copied = back_up(&dir, &to, links).unwrap();
        let report = verify(&to, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
        assert_eq!((report.damage, report.entries), (vec![], copied.entries));
        restored(&to, &new).unwrap();
        assert_eq!(all(&open(&new).0.reader()).unwrap(), all(&log.reader()).unwrap());
    }
}

#[test]
fn two_logs_never_share_an_archive_that_has_nothing_in_it_yet() {
    let parent = tempdir().unwrap();
    let [dir, other, to] = ["log", "other", "archive"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    fill(&mut log, 1);
    let into = |dir: &Path| archive(dir, &to, 1, Arc::new(RealDisk), &mut |_, _| {});
    assert_eq!(into(&dir).unwrap().segments, 0);
    let (mut second, _) = open(&other);
    fill(&mut second, 40);
    let error = into(&other).unwrap_err();
    assert!(matches!(error, LogError::AnotherLog { .. }), "{error}");
    fill(&mut log, 39);
    assert!(into(&dir).unwrap().segments > 2);
    drop((log, second));
    for dir in [&dir, &other] {
        assert_eq!(all(&open(dir).0.reader()).unwrap().len(), 80);
    }
}

#[test]
fn a_backup_without_its_end_is_not_taken_for_a_shorter_one() {
    let parent = tempdir().unwrap();
    let [dir, to, new] = ["log", "backup", "new"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    fill(&mut log, 40);
    let copied = back_up(&dir, &to, false).unwrap();
    for path in segments(&to).into_iter().skip(1).rev() {
        fs::remove_file(path).unwrap();
        let report = verify(&to, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
        assert_eq!((report.damage.len(), report.entries < copied.entries), (1, true));
        assert!(matches!(restored(&to, &new), Err(LogError::Damaged { .. })));
    }
    // Begun again, it is whole.
    assert_eq!(back_up(&dir, &to, false).unwrap().entries, copied.entries);
    assert_eq!(restored(&to, &new).unwrap().entries, copied.entries);
}

#[test]
fn a_relative_archive_is_relative_to_the_log_and_one_without_a_plain_name_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let parent = tempdir().unwrap();
    let dir = parent.path().join("log");
    let (mut log, _) = open(&dir);
    fill(&mut log, 40);
    let into = |to: &Path| archive(&dir, to, 0, Arc::new(RealDisk), &mut |_, _| {});
    let strange = parent.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    assert!(matches!(into(&strange), Err(LogError::Io { .. })));
    assert!(into(Path::new("../archive")).unwrap().segments > 2);
    assert_eq!(
        files(&parent.path().join("archive"), ".zst").len() + 1,
        info(&dir, Arc::new(RealDisk)).unwrap().segments.len()
    );
    drop(log);
    assert_eq!(all(&open(&dir).0.reader()).unwrap().len(), 80);
}

#[test]
fn an_archived_segment_is_never_taken_for_the_last_one() {
    let parent = tempdir().unwrap();
    let [dir, to] = ["log", "archive"].map(|name| parent.path().join(name));
    let (mut log, _) = open(&dir);
    fill(&mut log, 60);
    drop(log);
    let first = segments(&dir)[0].clone();
    let bytes = fs::read(&first).unwrap();
    archive(&dir, &to, 0, Arc::new(RealDisk), &mut |_, _| {}).unwrap();
    fs::remove_file(&segments(&dir)[0]).unwrap();
    let kept = fs::read(files(&to, ".zst").last().unwrap()).unwrap();
    // Somebody has unpacked an old one, so that the directory does not look empty.
    for unpacked in [false, true] {
        if unpacked {
            fs::write(&first, &bytes).unwrap();
        }
        let beside = Observer::open(&dir, Arc::new(RealDisk)).unwrap_err();
        assert!(beside.to_string().contains("the segment behind it is missing"), "{beside}");
        assert!(verify(&dir, Arc::new(RealDisk), &mut |_, _| {}).is_err());
        assert!(Log::open(&dir, small()).is_err());
        assert_eq!(fs::read(files(&to, ".zst").last().unwrap()).unwrap(), kept);
    }
}
