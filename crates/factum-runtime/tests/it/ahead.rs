//! Where the store is far away a batch reads its streams together: the same comes of it, by fewer calls.

use factum_core::stream::StreamId;

use super::bank::*;
use super::bench::*;

const ACCOUNTS: i64 = 60;

/// Pays into each account, twice, and starts again between: then no state is in memory.
fn paid(far: bool, mut between: impl FnMut(&mut Bench)) -> (Bench, usize) {
    let mut bench = Bench::with(bank(), How { far, ..How::default() });
    for number in 0..ACCOUNTS {
        bench.send(&format!("first-{number}"), pay(&format!("a{number}"), number + 1));
    }
    bench.run();
    let mut bench = bench.restart(bank());
    bench.run();
    let before = bench.faults.reads();
    for number in 0..ACCOUNTS {
        bench.send(&format!("second-{number}"), pay(&format!("a{number}"), 100));
    }
    between(&mut bench);
    bench.run();
    let reads = bench.faults.reads() - before;
    (bench, reads)
}

#[test]
fn a_batch_over_a_far_store_reads_its_streams_together() {
    let (near, far) = (paid(false, |_| {}), paid(true, |_| {}));
    assert_eq!(far.0.contents(), near.0.contents());
    // Accounts, and the books that hear of each payment.
    assert!(near.1 >= 2 * ACCOUNTS as usize, "{} reads", near.1);
    assert!(far.1 <= 10, "{} reads", far.1);
    far.0.check_versions();
}

/// What was read ahead of a batch that came to nothing is not there any more when its inputs come again.
#[test]
fn a_read_ahead_that_fails_loses_nothing() {
    for reads in 1..=4 {
        let (bench, _) = paid(true, |bench| {
            bench.faults.fail_reads(reads);
            while bench.engine.step().is_err() {
                while bench.engine.reload().is_err() {}
            }
        });
        for number in 0..ACCOUNTS {
            let account = StreamId::new("account", &format!("a{number}")).unwrap();
            assert_eq!(bench.stream(account.as_str()).len(), 2, "account {number} behind {reads} failed reads");
        }
        bench.check_versions();
    }
}
