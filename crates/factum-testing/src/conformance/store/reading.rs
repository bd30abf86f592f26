//! What a store lets readers see: scans, streams, and nothing too early.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use factum_core::{
    ports::{Scan, Scanned},
    stream::{Position, StreamVersion},
};

use super::{
    super::drive::{Driven, event, events, read_all, stream_id},
    Subject, positions_of,
};

pub(super) fn scan(
    store: &Driven<'_>,
    after: u64,
    until: u64,
    bytes: usize,
    types: Option<&dyn Fn(&str) -> bool>,
) -> Scanned {
    let scan = Scan { after: Position(after), until: Position(until), bytes, types };
    store.reader.scan(&scan).expect("the log can be read")
}

pub(super) fn scan_bytes(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(10_000));
    for _ in 0..10 {
        store.append("order-1", vec![event("t.made", &large); 5]);
    }
    assert_eq!(scan(&store, 0, u64::MAX, 1, None).messages.len(), 1, "at least one, and not many more");
    let (mut after, mut seen) = (0, 0);
    while after < 50 {
        let part = scan(&store, after, u64::MAX, 60_000, None);
        let bytes: usize = part.messages.iter().map(|stored| stored.message.data.len()).sum();
        assert!((1..=75_000).contains(&bytes), "{bytes} bytes were answered where about 60,000 were asked for");
        assert_eq!(part.messages.first().map(|stored| stored.position.0), Some(after + 1));
        assert_eq!(part.messages.last().map(|stored| stored.position), Some(part.through));
        seen += part.messages.len();
        after = part.through.0;
    }
    assert_eq!(seen, 50);
}

pub(super) fn scan_until(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    store.append("order-1", events("t.made", 6));
    store.append("order-1", events("t.made", 4));
    for (after, until) in [(0, 3), (2, 8), (5, 6), (6, 6), (7, 5), (0, 10), (0, 99)] {
        let part = scan(&store, after, until, usize::MAX, None);
        assert_eq!(positions_of(&part.messages), (after + 1..=until.min(10)).collect::<Vec<_>>());
        assert_eq!(part.through.0, after.max(until.min(10)), "after {after} until {until}");
    }
}

pub(super) fn scan_types(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    for type_name in ["t.a", "t.b", "t.c", "t.a", "t.b"] {
        store.append("order-1", events(type_name, 2));
    }
    let part = scan(&store, 1, 8, usize::MAX, Some(&|name| name == "t.a"));
    assert_eq!((positions_of(&part.messages), part.through), (vec![2, 7, 8], Position(8)));
    let part = scan(&store, 0, u64::MAX, usize::MAX, Some(&|name| name == "t.a"));
    assert_eq!((positions_of(&part.messages), part.through), (vec![1, 2, 7, 8], Position(10)));
    let part = scan(&store, 0, u64::MAX, usize::MAX, Some(&|_| false));
    assert_eq!((part.messages.len(), part.through), (0, Position(10)));
}

pub(super) fn scan_rare(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let large = event("t.often", &format!(r#"{{"text":"{}"}}"#, "x".repeat(5_000)));
    for _ in 0..40 {
        store.append("order-1", vec![large.clone(); 5]);
    }
    store.append("order-1", events("t.rare", 1));
    let part = scan(&store, 0, u64::MAX, 1, Some(&|name| name == "t.rare"));
    assert_eq!(positions_of(&part.messages), [201], "at least one message is answered if there is one");
}

pub(super) fn scan_behind(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    store.append("order-1", events("t.made", 2));
    for after in [2, 3, 1_000_000] {
        let part = scan(&store, after, u64::MAX, usize::MAX, None);
        assert_eq!((part.messages.len(), part.through), (0, Position(after)));
    }
}

pub(super) fn stream_after(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    for _ in 0..3 {
        store.append("order-1", events("t.made", 2));
        store.append("order-2", events("t.other", 3));
    }
    for after in 0..=8 {
        let versions: Vec<u64> = store.stream("order-1", after).iter().map(|stored| stored.version.0).collect();
        assert_eq!(versions, (after + 1..=6).collect::<Vec<_>>());
    }
    assert!(store.stream("order-1", 0).iter().all(|stored| stored.stream.as_str() == "order-1"));
}

pub(super) fn streams(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    store.append("order-1", events("t.made", 2));
    store.append("order-2", events("t.made", 3));
    let wanted = ["order-2", "order-none", "order-1", "order-2"].map(stream_id);
    let read = store.reader.streams(&wanted).expect("streams can be read");
    assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [3, 0, 2, 3]);
    assert_eq!(read[2], store.stream("order-1", 0));
}

pub(super) fn alike(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    for (stream, count) in [("order-1", 1), ("order-10", 2), ("order-1-", 3), ("order-01", 4), ("orders-1", 5)] {
        store.append(stream, events("t.made", count));
        assert_eq!((store.version(stream).0, store.stream(stream, 0).len()), (count as u64, count));
    }
    assert_eq!(store.version("order-1"), StreamVersion(1));
}

pub(super) fn visible(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let early = store.backend().reader();
    for round in 1..=5 {
        assert_eq!(early.head(), Position(round - 1));
        store.append("order-1", events("t.made", 1));
        assert_eq!(early.head(), Position(round));
        assert_eq!(read_all(&*early).len(), round as usize);
        assert_eq!(store.backend().reader().head(), Position(round), "a new reader sees the same");
    }
    assert_eq!(early.lineage(), store.reader.lineage());
}

pub(super) fn beside(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let reader = Arc::clone(&store.reader);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let (mut after, mut seen) = (Position::START, 0);
            loop {
                let last_round = done.load(Ordering::Acquire);
                let head = reader.head();
                assert_eq!(head.0 % 7, 0, "head {head} is in the middle of a write");
                let scan = Scan { after, until: head, bytes: usize::MAX, types: None };
                let part = reader.scan(&scan).expect("the log can be read beside the writer");
                for stored in &part.messages {
                    seen += 1;
                    assert_eq!(stored.position.0, seen, "a position was passed over");
                }
                after = part.through;
                assert!(reader.stream(&stream_id("order-1"), StreamVersion(0)).is_ok());
                if last_round && after == reader.head() {
                    return seen;
                }
            }
        });
        for _ in 0..100 {
            store.append("order-1", events("t.made", 7));
        }
        done.store(true, Ordering::Release);
        assert_eq!(watching.join().expect("the reader found what it must"), 700);
    });
}
