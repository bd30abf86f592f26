//! What a log may hold open at once, however long it is and whoever reads it.

use std::path::Path;
use std::sync::Arc;

use factum_log::{Batch, Log, Observer, Options, archive, backup, info, restore, verify};
use factum_testing::sim::disk::SimDisk;

use crate::run::{dir, open};

/// Files of sealed segments that one log may hold open.
const SEALED: usize = 64;
/// Its own beside them: the lock, the segment that is written, the next one, a checkpoint; and, where there are threads,
/// one that is filled ahead.
const OWN: usize = 4;
/// Files that one call of an operator opens beside them: its lock, what it reads and what it writes.
const CALL: usize = 3;
/// Segments of the log, many more than may be open.
const SEGMENTS: usize = 3 * SEALED;

fn append(log: &mut Log, number: usize) {
    let mut batch = Batch::new();
    batch.entry(&format!("stream-{}", number % 10), "made", "torture", &[7; 1500]);
    batch.put(&[number as u8], b"value");
    log.append(&batch).unwrap();
}

fn read_all(reader: &factum_log::Reader) -> u64 {
    let (mut after, mut seen) = (0, 0);
    loop {
        let last = reader.scan(after, 1 << 20, &mut |_| seen += 1).unwrap();
        if last == after {
            return seen;
        }
        after = last;
    }
}

/// The most that were open at once since the last call.
fn most(disk: &SimDisk, of: &str, may: usize) -> usize {
    let most = disk.take_most_open();
    assert!(most <= may, "I16: {of} had {most} files open at once, {may} are allowed");
    most
}

#[test]
fn a_log_has_no_more_files_open_than_it_says() {
    let disk = SimDisk::new(1);
    let options = Options { segment_bytes: 2048, checkpoint_bytes: 5000, ..Options::default() };
    let port = || Arc::new(disk.clone());
    let (mut log, _) = open(&disk, &options).unwrap();
    (0..SEGMENTS).for_each(|number| append(&mut log, number));
    // Opening looks at the header of each segment, by files that count as those of sealed ones.
    let mut written = most(&disk, "a writer", OWN + 1);
    // A reader beside is one more log, and reads all of it, by position and by stream.
    let reader = log.reader();
    assert_eq!(read_all(&reader), SEGMENTS as u64);
    (0..10).for_each(|stream| reader.stream(&format!("stream-{stream}"), 0, &mut |_| {}).unwrap());
    let sealed = most(&disk, "a writer with readers", OWN + SEALED);
    assert!(sealed >= SEALED, "the test has lost its object: only {sealed} files were ever open");
    for number in 0..SEGMENTS {
        append(&mut log, number);
        reader.stream(&format!("stream-{}", number % 10), 0, &mut |_| {}).unwrap();
    }
    written = written.max(most(&disk, "a writer under load with readers", OWN + SEALED));
    let writer = disk.open_files();

    let nothing = &mut |_, _| {};
    let mut observer = Observer::open(dir(), port()).unwrap();
    read_all(&observer.reader());
    append(&mut log, 0);
    observer.refresh().unwrap();
    drop(observer);
    let mut beside = most(&disk, "a reader beside", writer + OWN + SEALED);
    assert_eq!(disk.open_files(), writer, "I16: a reader beside has left files open");
    let [copy, again] = ["/data/backup", "/data/again"].map(Path::new);
    type Call<'a> = (&'a str, Box<dyn FnMut() + 'a>);
    let calls: [Call<'_>; 6] = [
        ("info", Box::new(|| _ = info(dir(), port()).unwrap())),
        ("verify", Box::new(|| _ = verify(dir(), port(), &mut |_, _| {}).unwrap())),
        ("backup", Box::new(|| _ = backup(dir(), copy, false, port(), &mut |_, _| {}).unwrap())),
        ("archive", Box::new(|| _ = archive(dir(), Path::new("/data/archive"), 8, port(), nothing).unwrap())),
        ("backup again", Box::new(|| _ = backup(dir(), copy, true, port(), &mut |_, _| {}).unwrap())),
        ("restore", Box::new(|| _ = restore(copy, again, port(), &mut |_, _| {}).unwrap())),
    ];
    for (name, mut call) in calls {
        call();
        beside = beside.max(most(&disk, name, writer + OWN + SEALED + CALL));
        assert_eq!(disk.open_files(), writer, "I16: {name} has left files open");
    }
    assert_eq!(read_all(&reader), 2 * SEGMENTS as u64 + 1, "also what was archived");
    most(&disk, "a writer with readers of its archive", OWN + SEALED);
    drop((reader, log));
    assert_eq!(disk.open_files(), 0, "I16: a log that is gone has left files open");
    let (log, _) = open(&disk, &options).unwrap();
    let opening = most(&disk, "opening", OWN + SEALED);
    drop(log);
    assert_eq!(disk.open_files(), 0, "I16: a log that is gone has left files open");
    println!(
        "torture bounds: {} segments: at most {written} files open by the writer with its readers, {opening} while \
         opening, {beside} with somebody beside",
        2 * SEGMENTS
    );
}
