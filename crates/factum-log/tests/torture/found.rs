//! What the torture has found, each by the shortest way that leads there.

use factum_log::{Batch, Log, LogError, Options};
use factum_testing::sim::disk::{Call, Fault, Keep, SimDisk, When};

use crate::run::{dir, open};

fn batch(body: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.entry("stream", "made", "torture", body);
    batch
}

/// The bodies of all entries.
fn bodies(log: &Log) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    log.reader().scan(0, usize::MAX, &mut |entry| bodies.push(entry.body.to_vec())).unwrap();
    bodies
}

/// Plans a fault for the first call of this kind that the work makes.
fn at_first(fault: Fault, call: Call, disk: &SimDisk, work: impl Fn(&SimDisk)) {
    use std::sync::{Arc, Mutex};
    let rehearsal = disk.restart();
    let first = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&first);
    rehearsal.watch(Some(Arc::new(move |io| {
        if io.call == call {
            noted.lock().unwrap().get_or_insert(io.number);
        }
    })));
    work(&rehearsal);
    rehearsal.watch(None);
    disk.plan(fault, When::At(disk.calls() + first.lock().unwrap().unwrap()));
}

#[test]
fn a_log_whose_maker_died_before_it_synced_the_directory_is_durable_once_it_is_open_again() {
    let disk = SimDisk::new(1);
    at_first(Fault::Io, Call::SyncDir, &disk, |disk| drop(open(disk, &Options::default())));
    assert!(matches!(open(&disk, &Options::default()), Err(LogError::Io { .. })));
    // The next process finds the log that the first one made, under its name.
    let disk = disk.restart();
    let (mut log, opened) = open(&disk, &Options::default()).unwrap();
    assert!(!opened.created);
    log.append(&batch(b"acknowledged")).unwrap();
    let (log, _) = open(&disk.crash(Keep::Lost), &Options::default()).unwrap();
    assert_eq!(bodies(&log), [b"acknowledged"]);
    assert!(disk.paths().iter().all(|path| path.starts_with(dir())));
}

#[test]
fn a_mark_whose_sync_failed_is_made_durable_before_a_frame_is_written_behind_it() {
    for length in (300..900).step_by(8) {
        let disk = SimDisk::new(1);
        let (mut log, _) = open(&disk, &Options::default()).unwrap();
        log.append(&batch(&vec![7; length])).unwrap();
        // The write of the mark, and then its sync.
        disk.plan(Fault::SyncForgets, When::At(disk.calls() + 2));
        assert!(matches!(log.idle(), Err(LogError::Failed)) && disk.counts().total() == 1);
        drop(log);
        let (mut log, _) = open(&disk, &Options::default()).unwrap();
        log.append(&batch(b"acknowledged")).unwrap();
        drop(log);
        let (log, _) = open(&disk.crash(Keep::Lost), &Options::default())
            .unwrap_or_else(|error| panic!("I1: with {length} bytes before the mark: {error}"));
        assert_eq!(bodies(&log).len(), 2);
    }
}

#[test]
fn a_bit_that_is_read_wrong_once_at_opening_costs_nothing() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, &Options::default()).unwrap();
    for body in [&b"first"[..], &[7; 700], b"last"] {
        log.append(&batch(body)).unwrap();
    }
    drop(log);
    let mut refused = 0;
    for call in 1..30 {
        for draw in 0..30 {
            let lying = disk.restart();
            lying.reseed(draw);
            lying.plan(Fault::FlipRead, When::At(call));
            match open(&lying, &Options::default()) {
                Ok((log, opened)) => assert!(log.head() == 3, "draw {draw} at call {call}: {opened:?}"),
                Err(error) => {
                    assert!(matches!(error, LogError::Damaged { .. } | LogError::UnknownFormat { .. }), "{error}");
                    refused += 1;
                }
            }
            let (log, _) = open(&lying.crash(Keep::Lost), &Options::default()).unwrap();
            assert_eq!(bodies(&log).len(), 3, "draw {draw} at call {call}");
        }
    }
    assert!(refused > 0, "a wrong bit in the segment's header is refused");
}
