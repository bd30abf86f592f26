//! Windows that close: each is told once, whatever changes meanwhile.

use super::*;
use crate::{commit::Append, stream::ExpectedVersion};

#[test]
fn whatever_windows_become_each_moment_is_told_once() {
    for seed in 0..400 {
        let mut random = Rng::with_seed(seed);
        let size = random.i64(1..=6);
        let drawn_windows = |random: &mut Rng| {
            let late_by = random.i64(0..=12);
            Seconds { size, every: size, late_by, final_only: true }.windows()
        };
        let windows = drawn_windows(&mut random);
        let mut running = Running::new(sums(Some(windows)));
        let mut sales = drawn(&mut random, 80, 6);
        sales.push(sale(1_000_000, "end", 13));
        let mut told = Vec::new();
        for sale in &sales {
            match random.u8(0..12) {
                0 => running.becomes(sums(Some(drawn_windows(&mut random)))),
                1 => running.rebuild(),
                2 => running.thaw(),
                _ => {}
            }
            told.extend(running.takes(sale).unwrap());
        }
        let mut keys = Vec::new();
        let (mut counted, mut late) = (0, 0);
        for told in &told {
            match told {
                Told::Sum(sum) => {
                    keys.push((sum.from, sum.key.clone()));
                    counted += sum.count;
                }
                Told::Late { .. } => late += 1,
            }
        }
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all, "seed {seed}: a window was told twice: {told:?}");
        let wanted = sales.iter().filter(|sale| sale.amount != 13).count() as u64;
        assert_eq!(counted + late, wanted, "seed {seed}: each sale is told or late, once");
    }
}

#[test]
fn of_a_pipeline_that_was_away_no_more_waits_to_be_told_than_it_may_hold() {
    let windows = Windows::tumbling(1.secs()).final_only();
    let mut running = Running::new(summed(Some(windows), 10));
    running.all(&[sale(0, "a", 1), sale(1, "a", 1)]);
    for second in 2..200 {
        let stored = running.stored(&sale(second, "a", 1));
        running.log.push(stored);
    }
    running.rebuild();
    assert!(running.figures().aggregates <= 21, "{:?}", running.figures());
    let told = running.takes(&sale(300, "a", 1)).unwrap();
    assert_eq!((told.len(), running.figures().aggregates), (20, 1), "the newest of them");
}

#[test]
fn what_is_said_of_the_bytes_of_a_result_is_never_too_little() {
    let cause = Running::new(sums(None)).stored(&sale(1, "a", 1)).message.envelope;
    let stream = StreamId::new("sales", &"k".repeat(128)).unwrap();
    let draft = Draft::of(&Sold { key: "x".repeat(999), amount: 1 }).unwrap();
    let text = |length: usize| Some("t".repeat(length).into());
    let id = |length: usize| MessageId::parse(&"i".repeat(length)).unwrap();
    for length in [1, 128] {
        let (user_id, tenant, traceparent) = (text(length), text(length), text(length));
        let (id, correlation_id) = (id(length), id(length));
        let cause = Envelope { user_id, tenant, traceparent, id, correlation_id, ..cause.clone() };
        let envelope = Envelope {
            causation_id: Some(cause.id.clone()),
            id: MessageId::derived(&["new"]),
            source: Name::Shared("s".repeat(128).into()),
            type_name: draft.type_name.clone(),
            data_version: draft.version.clone(),
            partition_key: stream.key().into(),
            ..cause.clone()
        };
        let messages = vec![Message { envelope, data: draft.data.clone() }];
        let append =
            Append { stream: stream.clone(), expected: ExpectedVersion::Any, writer: Name::Static("s"), messages };
        assert!(draft.bytes_behind(&cause, &stream) >= append.bytes());
        assert!(draft.bytes_behind(&cause, &stream) <= append.bytes() + 256);
    }
}
