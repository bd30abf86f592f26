//! Every rival does the work that it is measured by; a rival that is not installed says so.

use factum_core::{envelope::binary, id::Name, stream::StreamId};

use crate::{
    subject::Choice,
    work::{Append, Reads, Store, encoded, message},
};

fn append(stream: &str, expected: u64, seen: u64, number: usize) -> Append {
    let message = message(number, "");
    Append { stream: id(stream), expected, seen, body: encoded(&message).unwrap(), message }
}

fn id(text: &str) -> StreamId {
    StreamId::parse(text).unwrap()
}

fn of_streams(reader: &mut dyn Reads, streams: &[&str]) -> Vec<(usize, usize)> {
    let streams: Vec<StreamId> = streams.iter().map(|stream| id(stream)).collect();
    let mut found = Vec::new();
    reader.streams(&streams, &mut |stream, entry| found.push((stream, number(entry.body)))).unwrap();
    found
}

fn of_all(reader: &mut dyn Reads) -> Vec<usize> {
    let mut found = Vec::new();
    reader.scan(&mut |entry| found.push(number(entry.body))).unwrap();
    found
}

fn number(body: &[u8]) -> usize {
    let message = binary::decode(Name::Static("order.created"), Name::Static("order-service"), body).unwrap();
    let data: serde_json::Value = serde_json::from_slice(&message.data).unwrap();
    data["orderId"].as_str().unwrap().parse().unwrap()
}

/// All subjects that are there, ours first.
fn each(check: fn(&'static str, &mut dyn Store)) {
    let mut checked = 0;
    for subject in Choice::default().all() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("store");
        std::fs::create_dir(&place).unwrap();
        if subject.name == "PostgreSQL" && subject.version.is_none() {
            assert!((subject.open)(&place).is_err_and(|error| error.to_string().contains("not installed")));
            continue;
        }
        check(subject.name, &mut *(subject.open)(&place).unwrap());
        checked += 1;
    }
    assert!(checked >= 6);
}

#[test]
fn streams_are_read_in_their_order_and_all_events_in_that_of_the_log() {
    each(|name, store| {
        // One stream's name is the beginning of another's, and versions pass the point where text sorts otherwise.
        let mut written = Vec::new();
        for number in 0..12 {
            let seen = if number == 0 { 0 } else { 2 * number as u64 - 1 };
            let both = [append("order-1", number as u64, seen, 2 * number)];
            let other = [append("order-10", number as u64, if number == 0 { 0 } else { seen + 1 }, 2 * number + 1)];
            store.append(both.into_iter().chain(other).collect()).unwrap();
            written.extend([2 * number, 2 * number + 1]);
        }
        let mut reader = store.reader().unwrap();
        assert_eq!(of_all(&mut *reader).len(), 24, "{name}");
        if name != "evento" {
            assert_eq!(of_all(&mut *reader), written, "{name}");
        }
        let expected: Vec<(usize, usize)> =
            (0..12).map(|number| (0, 2 * number + 1)).chain((0..12).map(|number| (1, 2 * number))).collect();
        assert_eq!(of_streams(&mut *reader, &["order-10", "order-1", "order-2"]), expected, "{name}");
    });
}

#[test]
fn a_version_other_than_expected_is_refused_and_nothing_of_the_batch_is_written() {
    each(|name, store| {
        store.append(vec![append("order-1", 0, 0, 1), append("order-1", 1, 1, 2)]).unwrap();
        for (expected, seen) in [(0, 0), (1, 1)] {
            let batch = vec![append("order-2", 0, 0, 3), append("order-1", expected, seen, 4)];
            assert!(store.append(batch).is_err(), "{name} took version {expected}");
        }
        // Ahead of the stream, which a store that knows no versions cannot notice.
        if name != "UmaDB" {
            assert!(store.append(vec![append("order-1", 3, 3, 5)]).is_err(), "{name} took version 3");
        }
        store.append(vec![append("order-1", 2, 2, 6)]).unwrap();
        let mut reader = store.reader().unwrap();
        let numbers: Vec<usize> = of_streams(&mut *reader, &["order-1", "order-2"]).into_iter().map(|f| f.1).collect();
        assert_eq!(numbers, [1, 2, 6], "{name}");
        assert_eq!(of_all(&mut *reader).len(), 3, "{name}");
    });
}
