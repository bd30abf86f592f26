//! The writer of a bare log: appends batches, marks and checkpoints, and a second thread that reads what it sees.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use factum_log::{Log, LogError, Reader};

use crate::{child::Order, entries, history::digest, report::Report};

/// Appends that are tried after the log has failed, to see that it has for good.
const AFTER_FAILURE: usize = 5;

/// Opens the log, writes as ordered, closes.
pub fn run(order: &Order<'_>) {
    Report::Opening.tell();
    let mut log = match Log::open(order.dir, entries::options()) {
        Ok((log, opened)) => {
            Report::Open { head: opened.entries }.tell();
            log
        }
        Err(error) => return Report::Closed { why: error.to_string() }.tell(),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (reader, stopped, after) = (log.reader(), Arc::clone(&stop), log.head());
    let reading = thread::spawn(move || read(&reader, after, &stopped));
    append(&mut log, order);
    stop.store(true, Ordering::Relaxed);
    reading.join().unwrap();
    Report::Closing.tell();
    let why = log.close().map_or_else(|error| error.to_string(), |()| String::new());
    Report::End { why }.tell();
}

fn append(log: &mut Log, order: &Order<'_>) {
    let (mut first, mut failures) = (order.first, 0);
    let mut rng = fastrand::Rng::with_seed(order.first);
    for _ in 0..order.writes {
        let count = entries::size(first);
        let batch = entries::batch(first, count);
        Report::Try { first, count }.tell();
        match log.append(&batch) {
            Ok(appended) => {
                assert_eq!(failures, 0, "I1: an append was taken after one had failed");
                assert_eq!(appended.last + 1 - appended.first, count);
                Report::Done { first, count, position: appended.first }.tell();
            }
            Err(error @ LogError::Failed) => {
                failures += 1;
                let why = format!("{error} ({})", log.failure().unwrap_or("no reason is given"));
                // A later one is refused before anything of it is written.
                match failures {
                    1 => Report::Unknown { first, why }.tell(),
                    _ => Report::Refused { first, why }.tell(),
                }
            }
            Err(error) => Report::Refused { first, why: error.to_string() }.tell(),
        }
        first += count;
        if failures > AFTER_FAILURE {
            return;
        }
        // Their errors are the next append's too, or cost only time.
        drop(match rng.u32(..60) {
            0..3 => log.idle(),
            3 => log.checkpoint(),
            _ => Ok(()),
        });
    }
}

fn read(reader: &Reader, mut after: u64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut sum = 0_u64;
        let mut visit = |entry: factum_log::EntryRef<'_>| {
            sum = sum.wrapping_add(digest(entry.position, entry.stream, entry.version, entry.kind, entry.body));
        };
        match reader.scan(after, 1 << 20, &mut visit) {
            Ok(through) if through > after => {
                Report::Seen { after, through, digest: sum }.tell();
                after = through;
            }
            Ok(_) => thread::sleep(Duration::from_micros(300)),
            // A disk that fails to read: what was seen before is what counts.
            Err(_) => return,
        }
    }
}
