//! What a store keeps as it was given: names, bodies, envelopes.

use std::sync::Arc;

use factum_core::{
    cell::{CellChange, CellKey, CellKind, ExpectedRevision},
    commit::{Commit, MAX_CELL_BYTES, MAX_CELL_NAME_BYTES, MAX_COMMIT_BYTES, MAX_MESSAGE_BYTES, cell_bytes},
    envelope::Kind,
    error::{CommitError, Refusal},
    id::{MessageId, Name},
    stream::{ExpectedVersion, StreamId, StreamVersion},
};

use super::{
    super::{
        drive::{Driven, append, event, events, stream_id},
        left_out,
    },
    Subject, positions_of,
    reading::scan,
    texts,
};

pub(super) fn large(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let of = |bytes: usize, letter: &str| event("t.large", &format!(r#"{{"text":"{}"}}"#, letter.repeat(bytes - 11)));
    // As large as its data may be with this envelope.
    let beside = of(1_000, "a").bytes() - 1_000;
    let messages: Vec<_> = ["a", "b", "c"].map(|letter| of(MAX_MESSAGE_BYTES - beside, letter)).to_vec();
    assert_eq!(messages[0].bytes(), MAX_MESSAGE_BYTES);
    store.append("order-1", messages.clone());
    store.append("order-1", events("t.made", 1));
    let read = store.stream("order-1", 0);
    assert!(messages.iter().zip(&read).all(|(message, stored)| *message == stored.message));
    assert!(store.all() == read, "the log has the same");
    let over = Commit {
        appends: vec![append("order-1", ExpectedVersion::Any, vec![of(MAX_MESSAGE_BYTES - beside + 1, "d")])],
        cells: Vec::new(),
    };
    let outcome = store.commit(over);
    assert!(matches!(outcome, Err(CommitError::Refused(Refusal::MessageTooLarge { .. }))), "{outcome:?}");
}

/// Sizes are counted so that no store has to refuse what the rules allow: commits as full as they may be, of many small
/// messages or few large ones, with every text of the envelope as long as it may be, and of cells.
pub(super) fn allowed(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let long = |letter: &str, bytes: usize| letter.repeat(bytes);
    let full = |text: usize, number: usize| {
        let mut message = event(&long("t", 128), &format!(r#"{{"text":"{}","n":{number}}}"#, long("x", text)));
        let envelope = &mut message.envelope;
        envelope.id = MessageId::parse(&format!("{}{number:08}", long("i", 120))).expect("it is an id");
        envelope.correlation_id = MessageId::parse(&long("c", 128)).expect("it is an id");
        envelope.causation_id = Some(envelope.correlation_id.clone());
        envelope.source = Name::Shared(Arc::from(long("s", 128)));
        envelope.data_version = Name::Shared(Arc::from(long("v", 128)));
        envelope.partition_key = Arc::from(long("k", 128));
        envelope.user_id = Some(Arc::from(long("u", 128)));
        envelope.tenant = Some(Arc::from(long("n", 128)));
        envelope.traceparent = Some(Arc::from(long("p", 128)));
        envelope.metadata = Some(Arc::from(format!(r#"{{"m":"{}"}}"#, long("m", text.min(60_000)))));
        (envelope.depth, envelope.digest, envelope.repeat_key) = (u16::MAX, Some(u64::MAX), Some(u64::MAX));
        message
    };
    for (text, round) in [(0, 0), (900_000, 1), (5_000, 2)] {
        let (mut commit, mut number) = (Commit::default(), 0);
        loop {
            let key = format!("order-{}{number:08}", long("k", 110));
            let more = append(&key, ExpectedVersion::Any, vec![full(text, round * 1_000_000 + number)]);
            if commit.bytes() + more.bytes() > MAX_COMMIT_BYTES {
                break;
            }
            commit.appends.push(more);
            number += 1;
        }
        assert!(number > 3);
        store.commit(commit).expect("it is within the limits");
    }
    let mut cells = Commit::default();
    for number in 0_usize.. {
        let name = format!("{}{number:08}", long("n", MAX_CELL_NAME_BYTES - 8));
        let (key, value) = (CellKey::new(CellKind::Timer, name), vec![7; if number < 6 { MAX_CELL_BYTES } else { 0 }]);
        if cells.bytes() + cell_bytes(&key, Some(&value)) > MAX_COMMIT_BYTES {
            break;
        }
        cells.cells.push(CellChange { key, expected: ExpectedRevision::Any, value: Some(value) });
    }
    store.commit(cells).expect("it is within the limits");
    let name = long("n", MAX_CELL_NAME_BYTES + 1);
    let outcome = store.change(CellKind::Timer, &name, ExpectedRevision::Any, Some(b""));
    assert!(matches!(outcome, Err(CommitError::Refused(Refusal::NameTooLong { .. }))), "{outcome:?}");
}

pub(super) fn unicode(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let keys = ["Übergröße 17", "注文-1", "заказ", "e\u{301}", "é", "🛒", "a'b\"c\\d;--", "%_*"];
    for key in keys {
        let stream = format!("order-{key}");
        store.append(&stream, vec![event("t.made", &format!(r#"{{"key":"x{}"}}"#, "注🛒".repeat(3)))]);
        assert_eq!(store.version(&stream), StreamVersion(1), "{key}");
        assert_eq!(store.stream(&stream, 0).first().map(|stored| stored.stream.key().to_owned()).as_deref(), Some(key));
        store.change(CellKind::Timer, key, ExpectedRevision::Absent, Some(key.as_bytes())).expect("there is none");
    }
    assert_eq!(store.reader.cells(CellKind::Timer).expect("cells can be read").len(), keys.len());
    let longest = "é".repeat(64);
    store.append(&format!("order-{longest}"), events("t.made", 1));
    assert_eq!(store.version(&format!("order-{longest}")), StreamVersion(1));
}

pub(super) fn no_fields(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    store.append("order-1", vec![event("t.made", "{}")]);
    assert_eq!(texts(&store.all()), ["{}"]);
    assert_eq!(texts(&store.stream("order-1", 0)), ["{}"]);
}

pub(super) fn many_streams(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    for round in 0..2 {
        for chunk in 0..4 {
            let appends = (chunk * 500..chunk * 500 + 500).map(|number| {
                let data = format!(r#"{{"stream":{number},"round":{round}}}"#);
                append(&format!("order-{number}"), ExpectedVersion::Any, vec![event("t.made", &data)])
            });
            store.commit(Commit { appends: appends.collect(), cells: Vec::new() }).expect("nothing is expected");
        }
    }
    let ids: Vec<StreamId> = (0..2_000).map(|number| stream_id(&format!("order-{number}"))).collect();
    let read = store.reader.streams(&ids).expect("streams can be read");
    for (number, messages) in read.iter().enumerate() {
        let of = |round| format!(r#"{{"stream":{number},"round":{round}}}"#);
        assert_eq!(texts(messages), [of(0), of(1)]);
    }
    assert_eq!(store.all().len(), 4_000);
}

pub(super) fn many_types(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let messages: Vec<_> = (0..300)
        .map(|number| {
            let mut message = event(&format!("t.type_{}", number % 150), r#"{"a":1}"#);
            message.envelope.source = Name::Shared(Arc::from(format!("service-{}", number % 70)));
            message
        })
        .collect();
    store.append("order-1", messages.clone());
    assert!(store.all().iter().zip(&messages).all(|(stored, message)| stored.message == *message));
    let part = scan(&store, 0, u64::MAX, usize::MAX, Some(&|name| name == "t.type_149"));
    assert_eq!(positions_of(&part.messages), [150, 300]);
}

pub(super) fn every_field(subject: &mut dyn Subject) {
    let mut store = Driven::fresh(subject);
    let mut messages = vec![event("t.plain", "{}")];
    for kind in [Kind::Event, Kind::Command, Kind::Call, Kind::Rejection, Kind::Receipt] {
        let mut message = event("t.full", r#"{"price":1.50,"big":12345678901234567890,"text":"\u00e9"}"#);
        let envelope = &mut message.envelope;
        envelope.kind = kind;
        envelope.id = MessageId::parse("evt-Ü-1").expect("an id of another maker");
        envelope.source = Name::Static("another-service");
        envelope.data_version = Name::Static("2.10.3");
        envelope.timestamp = "2010-12-01T08:26:00.123456789Z".parse().expect("a time");
        envelope.correlation_id = MessageId::derived(&["correlation"]);
        envelope.causation_id = Some(MessageId::parse("cmd-1").expect("an id"));
        envelope.partition_key = Arc::from("ключ");
        envelope.user_id = Some(Arc::from("user 1"));
        envelope.tenant = Some(Arc::from("tenant 1"));
        envelope.traceparent = Some(Arc::from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        envelope.metadata = Some(Arc::from(r#"{"shop":"uk"}"#));
        envelope.depth = u16::MAX;
        envelope.digest = Some(u64::MAX);
        envelope.repeat_key = Some(u64::MAX - 1);
        messages.push(message);
    }
    let mut before_1970 = event("t.early", "{}");
    before_1970.envelope.timestamp = "1960-01-01T00:00:00.000000001Z".parse().expect("a time");
    messages.push(before_1970);
    store.append("order-1", messages.clone());
    let same = |store: &Driven<'_>| {
        for (stored, message) in store.all().iter().zip(&messages) {
            assert_eq!(stored.message, *message);
        }
    };
    same(&store);
    match store.reopen() {
        Ok(()) => same(&store),
        Err(cannot) => left_out("every field after opening again", cannot),
    }
}
