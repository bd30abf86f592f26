//! A log that has lost its last segments is refused, also where nothing but the name of the newest one tells it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use factum_log::{Log, LogError, Observer, RealDisk, verify};
use tempfile::tempdir;

use crate::support::{batch, bodies, files, open, segments, small};

/// A log of so many segments, closed, without a checkpoint. Answers what stands in it.
fn fill(dir: &Path, count: usize) -> Vec<String> {
    let (mut log, _) = open(dir);
    let mut number = 0;
    while segments(dir).len() < count {
        log.append(&batch(&[("a", &format!("{number} {}", "x".repeat(900)))])).unwrap();
        number += 1;
    }
    let bodies = bodies(&log.reader());
    log.close().unwrap();
    assert!(files(dir, ".checkpoint").is_empty());
    bodies
}

fn newest(dir: &Path) -> Vec<String> {
    let names = files(dir, ".newest").into_iter();
    names.map(|path| path.file_name().unwrap().to_string_lossy().replace(".newest", ".segment")).collect()
}

#[test]
fn a_log_without_its_last_segments_is_refused_by_name() {
    for lost in 1..4 {
        let dir = tempdir().unwrap();
        fill(dir.path(), 5);
        let gone = segments(dir.path()).split_off(5 - lost);
        gone.iter().for_each(|path| fs::remove_file(path).unwrap());
        let refusals = [
            Log::open(dir.path(), small()).map(drop).unwrap_err(),
            Observer::open(dir.path(), Arc::new(RealDisk)).map(drop).unwrap_err(),
            verify(dir.path(), Arc::new(RealDisk), &mut |_, _| {}).map(drop).unwrap_err(),
        ];
        for refusal in refusals {
            let LogError::Damaged { file, what, .. } = &refusal else { panic!("{refusal}") };
            assert_eq!(file, gone.last().unwrap());
            assert!(what.contains(".newest") && what.contains("removes that"), "{what}");
        }
    }
}

#[test]
fn whoever_removes_the_note_goes_on_with_what_is_left() {
    let dir = tempdir().unwrap();
    let before = fill(dir.path(), 4);
    fs::remove_file(segments(dir.path()).pop().unwrap()).unwrap();
    fs::remove_file(files(dir.path(), ".newest").pop().unwrap()).unwrap();
    let (log, _) = open(dir.path());
    let left = bodies(&log.reader());
    assert!(!left.is_empty() && left.len() < before.len() && before.starts_with(&left));
    assert_eq!(newest(dir.path()).len(), 1, "it is noted anew");
}

#[test]
fn the_note_follows_each_new_segment_and_is_one() {
    let dir = tempdir().unwrap();
    for count in [1, 2, 5] {
        fill(dir.path(), count);
        let last = segments(dir.path()).pop().unwrap();
        assert_eq!(newest(dir.path()), [last.file_name().unwrap().to_string_lossy()]);
    }
}

#[test]
fn an_older_note_and_a_second_one_are_put_right() {
    let dir = tempdir().unwrap();
    fill(dir.path(), 3);
    let note = files(dir.path(), ".newest").pop().unwrap();
    let older = dir.path().join(format!("{:020}.newest", 1));
    for names in [vec![&older], vec![&older, &note], vec![]] {
        files(dir.path(), ".newest").iter().for_each(|path| fs::remove_file(path).unwrap());
        names.iter().for_each(|path| fs::write(path, b"").unwrap());
        drop(open(dir.path()));
        assert_eq!(files(dir.path(), ".newest"), std::slice::from_ref(&note), "from {names:?}");
    }
}
