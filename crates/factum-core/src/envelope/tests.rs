//! Messages from outside: every spelling that is accepted, every refusal, and forms that lead back to where they began.

use std::sync::Arc;

use super::{
    Aliases, Defaults, Envelope, EnvelopeError, Incoming, Kind, Message, Stored, cloudevents, read as messages,
};
use crate::{
    commit::MAX_MESSAGE_BYTES,
    id::{MessageId, Name},
    stream::{Position, StreamId, StreamVersion},
};

fn aliases() -> Aliases {
    let types =
        [("OrderCreated", "order.created"), ("create_order", "order.create"), ("order-placed", "order.created")];
    let aliases = types.iter().fold(Aliases::new(), |all, (foreign, ours)| all.with_type(foreign, ours).unwrap());
    aliases.with_service("https://orders.example/v1", "order-service").unwrap()
}

fn defaults(aliases: &Aliases) -> Defaults<'_> {
    let timestamp = "2011-12-09T12:50:00Z".parse().unwrap();
    Defaults { aliases, source: Name::Static("partner"), timestamp, id: None }
}

fn read(json: &str) -> Result<Incoming, EnvelopeError> {
    messages::read(json.as_bytes(), &defaults(&aliases()))
}

fn read_event(json: &str) -> Result<Incoming, EnvelopeError> {
    cloudevents::read(json.as_bytes(), &defaults(&aliases()))
}

/// A message of the smallest form with some more fields.
fn small(more: &str) -> String {
    format!(r#"{{"id": "e1", "type": "order.created", "data": {{}}{more}}}"#)
}

fn field(result: Result<Incoming, EnvelopeError>) -> &'static str {
    match result.unwrap_err() {
        EnvelopeError::Field { field, .. } | EnvelopeError::Missing { field, .. } => field,
        other => panic!("{other}"),
    }
}

#[test]
fn a_foreign_message_in_full_is_normalised() {
    let incoming = read(
        r#"{"eventId": "evt-1", "eventType": "OrderCreated", "version": "1.0", "aggregateId": "1042",
            "sequenceNumber": 7, "source": "https://orders.example/v1", "timestamp": "2010-12-01T08:26:00+01:00",
            "correlationId": "c-1", "causationId": "cmd-9", "userId": 17850, "tenant": "uk", "metadata": {"a": 1}, "region": ["uk"],
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "data": { "total" : 1.10 }}"#,
    )
    .unwrap();
    let envelope = &incoming.message.envelope;
    assert_eq!(
        (envelope.kind, &*envelope.type_name, &*envelope.source),
        (Kind::Event, "order.created", "order-service")
    );
    assert_eq!((envelope.id.to_string(), &*envelope.data_version), ("evt-1".to_owned(), "1.0.0"));
    assert_eq!(envelope.timestamp.to_string(), "2010-12-01T07:26:00Z");
    assert_eq!(envelope.causation_id.as_ref().unwrap().to_string(), "cmd-9");
    assert_eq!((envelope.correlation_id.to_string(), incoming.correlation_missing), ("c-1".to_owned(), false));
    assert_eq!((envelope.user_id.as_deref(), &*envelope.partition_key), (Some("17850"), "1042"));
    assert_eq!(envelope.tenant.as_deref(), Some("uk"));
    assert_eq!(envelope.metadata.as_deref(), Some(r#"{"a": 1}"#));
    assert!(envelope.traceparent.is_some());
    assert_eq!(incoming.subject.unwrap().as_str(), "order-1042");
    assert_eq!(incoming.sequence, Some(StreamVersion(7)));
    assert_eq!(&*incoming.message.data, br#"{ "total" : 1.10 }"#, "the data's bytes are the sender's");
}

#[test]
fn a_foreign_command_is_one_by_its_fields() {
    let json = r#"{"command": "create_order", "commandId": "cmd-1", "timestamp": "2010-12-01T08:26:00Z", "data": {}}"#;
    let envelope = read(json).unwrap().message.envelope;
    assert_eq!((envelope.kind, &*envelope.type_name), (Kind::Command, "order.create"));
    assert_eq!(envelope.id.to_string(), "cmd-1");
    let json = r#"{"type": "order.create", "commandId": "cmd-1", "data": {}}"#;
    assert_eq!(read(json).unwrap().message.envelope.kind, Kind::Command);
}

#[test]
fn what_a_small_message_leaves_out_is_stood_in_for() {
    for json in [small(""), small(r#", "correlationId": null, "source": "", "dataVersion": null, "userId": """#)] {
        let incoming = read(&json).unwrap();
        let envelope = &incoming.message.envelope;
        assert!(incoming.correlation_missing);
        assert_eq!(envelope.correlation_id, envelope.id);
        assert_eq!((&*envelope.source, &*envelope.data_version), ("partner", "1.0.0"));
        assert_eq!((envelope.timestamp.to_string().as_str(), &*envelope.partition_key), ("2011-12-09T12:50:00Z", "e1"));
        assert_eq!((incoming.subject, incoming.sequence, envelope.user_id.clone()), (None, None, None));
    }
}

#[test]
fn a_message_without_id_needs_one_from_the_defaults() {
    let json = r#"{"type": "order.created", "data": {}}"#;
    let error = read(json).unwrap_err();
    assert!(error.to_string().contains("stays the same when the message is sent again"), "{error}");
    let aliases = aliases();
    let id = MessageId::derived(&["orders", "0", "17"]);
    let given = Defaults { id: Some(id.clone()), ..defaults(&aliases) };
    assert_eq!(messages::read(json.as_bytes(), &given).unwrap().message.envelope.id, id);
}

#[test]
fn ours_wins_where_two_spellings_stand() {
    let json = small(r#", "eventId": "e2", "eventType": "x.y", "version": "3.0", "dataVersion": "2.1.0""#);
    let envelope = read(&json).unwrap().message.envelope;
    assert_eq!((envelope.id.to_string().as_str(), &*envelope.type_name), ("e1", "order.created"));
    assert_eq!(&*envelope.data_version, "2.1.0");
}

#[test]
fn versions_become_three_numbers() {
    for (written, expected) in
        [("\"1.0\"", "1.0.0"), ("\"2.0\"", "2.0.0"), ("2", "2.0.0"), ("1.0", "1.0.0"), ("\"v1.2.3\"", "1.2.3")]
    {
        let read = read(&small(&format!(r#", "version": {written}"#))).unwrap();
        assert_eq!(&*read.message.envelope.data_version, expected, "{written}");
    }
    for bad in ["1.0.0.0", "latest", "01.0", "1..0", "v", "1.0-beta", "-1", "99999999999"] {
        assert_eq!(field(read(&small(&format!(r#", "version": "{bad}""#)))), "dataVersion", "{bad}");
    }
}

#[test]
fn a_subject_is_a_stream_or_a_key_and_an_aggregate_id_is_a_key() {
    for (fields, expected) in [
        (r#""subject": "warehouse-eu-1""#, "warehouse-eu-1"),
        (r#""subject": "1042""#, "order-1042"),
        (r#""subject": "a18f2f3a-5a77-7cc0-b7a4-0242ac120002""#, "order-a18f2f3a-5a77-7cc0-b7a4-0242ac120002"),
        (r#""aggregateId": "order-7""#, "order-7"),
        (r#""aggregateId": "ord-7""#, "order-ord-7"),
        (r#""aggregateId": 7"#, "order-7"),
        (r#""aggregateId": "7", "aggregateType": "Order-Line""#, "order_line-7"),
    ] {
        assert_eq!(read(&small(&format!(", {fields}"))).unwrap().subject.unwrap().as_str(), expected);
    }
    let long = "x".repeat(200);
    assert_eq!(field(read(&small(&format!(r#", "aggregateId": "{long}""#)))), "subject");
    assert_eq!(field(read(&small(r#", "aggregateId": "7", "aggregateType": "Bestellung Ü""#))), "subject");
    let like_a_uuid = r#", "aggregateId": "0000-0000-0000-000000000000", "aggregateType": "deadbeef""#;
    assert_eq!(field(read(&small(like_a_uuid))), "subject", "written as a subject, it would come back as a key");
}

#[test]
fn each_field_that_does_not_fit_is_named() {
    for (json, expected) in [
        (small(r#", "kind": "query""#), "kind"),
        (small(r#", "timestamp": "yesterday""#), "timestamp"),
        (small(r#", "timestamp": "2010-12-01T08:26:00""#), "timestamp"),
        (small(r#", "timestamp": 1291191960"#), "timestamp"),
        (small(r#", "correlationId": "a\nb""#), "correlationId"),
        (small(r#", "causationId": {}"#), "causationId"),
        (small(r#", "causationId": "\ud800""#), "causationId"),
        (small(r#", "sequence": 0"#), "sequence"),
        (small(r#", "sequenceNumber": -1"#), "sequence"),
        (small(r#", "sequence": 1.5"#), "sequence"),
        (small(r#", "sequence": 99999999999999999999"#), "sequence"),
        (small(r#", "depth": "deep""#), "depth"),
        (small(&format!(r#", "userId": "{}""#, "x".repeat(129))), "userId"),
        (small(&format!(r#", "tenant": "{}""#, "x".repeat(129))), "tenant"),
        (small(&format!(r#", "partitionKey": "{}""#, "x".repeat(129))), "partitionKey"),
        (small(r#", "metadata": "text""#), "metadata"),
        (r#"{"id": "", "type": "a.b", "data": {}}"#.to_owned(), "id"),
        (r#"{"id": "e1", "data": {}}"#.to_owned(), "type"),
        (r#"{"id": "e1", "type": "a.b"}"#.to_owned(), "data"),
        (r#"{"id": "e1", "type": "a.b", "data": "{}"}"#.to_owned(), "data"),
        (r#"{"id": "e1", "type": "a.b", "data": [1]}"#.to_owned(), "data"),
        (r#"{"id": true, "type": "a.b", "data": {}}"#.to_owned(), "id"),
    ] {
        assert_eq!(field(read(&json)), expected, "{json}");
    }
}

#[test]
fn names_without_an_alias_are_refused_with_a_proposal() {
    let error = read(r#"{"id": "e1", "type": "StockReserved", "data": {}}"#).unwrap_err();
    assert!(matches!(error, EnvelopeError::Unnamed(_)));
    assert!(error.to_string().contains("perhaps `stock.reserved`"), "{error}");
    let error = read(&small(r#", "source": "Order Service""#)).unwrap_err();
    assert!(error.to_string().contains("the source `Order Service`"), "{error}");
    assert_eq!(
        read(r#"{"id": "1", "type": "order-placed", "data": {}}"#).unwrap().message.envelope.type_name,
        "order.created"
    );
}

#[test]
fn a_traceparent_that_is_none_is_left_out() {
    for text in ["nonsense", "00-xyz", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"] {
        assert_eq!(read(&small(&format!(r#", "traceparent": "{text}""#))).unwrap().message.envelope.traceparent, None);
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for json in
        ["", " ", "null", "[1, 2]", "\"a\"", "{", "{\"id\": \"e1\"", "{} {}", r#"{"id": "1", "id": "2"}"#, "{\"a\":}"]
    {
        assert!(matches!(read(json), Err(EnvelopeError::NotAnObject { .. })), "{json}");
    }
    let error = messages::read(b"{\"id\": \"\xff\"}", &defaults(&aliases())).unwrap_err();
    assert_eq!(error, EnvelopeError::NotUtf8 { at: 8 });
    assert!(read(&format!("\u{feff} {}\n", small(""))).is_ok(), "a mark of byte order and spaces around are no matter");
}

#[test]
fn depth_is_limited_and_brackets_in_texts_do_not_count() {
    let nested = |levels: usize| {
        let data = format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        read(&format!(r#"{{"id": "e1", "type": "a.b", "data": {data}, "note": "[[[{{{{\"[["}}"#))
    };
    assert!(nested(64).is_ok());
    assert_eq!(nested(65).unwrap_err(), EnvelopeError::TooDeep { limit: 64 });
    assert_eq!(read(&format!("{{\"x\":{}", "[".repeat(500_000))).unwrap_err(), EnvelopeError::TooDeep { limit: 64 });
}

#[test]
fn size_is_limited() {
    let with = |bytes: usize| {
        let text = "x".repeat(bytes);
        read(&format!(r#"{{"id": "e1", "type": "a.b", "data": {{"a": "{text}"}}}}"#))
    };
    assert!(with(MAX_MESSAGE_BYTES - 300).is_ok());
    assert!(matches!(with(MAX_MESSAGE_BYTES), Err(EnvelopeError::TooLarge { .. })));
    assert!(matches!(with(2 * MAX_MESSAGE_BYTES), Err(EnvelopeError::TooLarge { limit: MAX_MESSAGE_BYTES, .. })));
}

#[test]
fn a_foreign_cloudevent_is_normalised() {
    let incoming = read_event(
        r#"{"specversion": "1.0", "id": "A234", "source": "https://orders.example/v1", "type": "OrderCreated",
            "subject": "1042", "time": "2010-12-01T08:26:00Z", "datacontenttype": "application/json; charset=utf-8",
            "dataschema": "https://orders.example/schemas/created/2.1", "sequence": "a", "kind": "blue", "depth": "x",
            "metadata": "not ours", "other": 1, "data": {"orderId": "1042"}}"#,
    )
    .unwrap();
    let envelope = &incoming.message.envelope;
    assert_eq!((&*envelope.type_name, &*envelope.data_version, envelope.kind), ("order.created", "2.1.0", Kind::Event));
    assert_eq!((&*envelope.source, &*envelope.partition_key), ("order-service", "1042"));
    assert_eq!((incoming.sequence, incoming.subject.unwrap().as_str()), (None, "order-1042"));
    assert_eq!((envelope.depth, envelope.metadata.as_deref(), incoming.correlation_missing), (0, None, true));
}

#[test]
fn a_cloudevent_that_breaks_its_standard_or_holds_no_object_is_refused() {
    let json = |more: &str| format!(r#"{{"specversion": "1.0", "source": "a", "type": "a.b", "data": {{}}, {more}}}"#);
    for (json, expected) in [
        (json(r#""x": 1"#), "id"),
        (json(r#""id": "1", "datacontenttype": "text/xml""#), "datacontenttype"),
        (json(r#""id": "1", "data_base64": "AA==""#), "data_base64"),
        (json(r#""id": "1", "time": "now""#), "timestamp"),
        (r#"{"specversion": "1.0", "id": "1", "type": "a.b", "data": {}}"#.to_owned(), "source"),
        (r#"{"specversion": "0.3", "id": "1"}"#.to_owned(), "specversion"),
        (r#"{"id": "1"}"#.to_owned(), "specversion"),
        (r#"{"specversion": "1.0", "id": "1", "source": "a", "type": "a.b"}"#.to_owned(), "data"),
    ] {
        assert_eq!(field(read_event(&json)), expected, "{json}");
    }
}

#[test]
fn a_cloudevent_has_only_attributes_that_the_standard_allows() {
    let value: serde_json::Value = serde_json::from_slice(&cloudevents::write(&message(1)).unwrap()).unwrap();
    for (name, value) in value.as_object().unwrap() {
        let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        assert!(letters && name.len() <= 20, "{name}");
        assert!(name == "data" || !(value.is_object() || value.is_array() || value.is_null()), "{name}: {value}");
    }
    assert_eq!(value["specversion"], "1.0");
}

/// A message as the platform makes them, from a seed.
fn message(seed: u64) -> Stored {
    let mut random = fastrand::Rng::with_seed(seed);
    let text = |random: &mut fastrand::Rng| {
        let letters = ['a', 'Z', '0', '-', '.', ' ', '"', '\\', '/', 'ß', '🛒', '{', '['];
        (0..random.usize(1..20)).map(|_| letters[random.usize(..letters.len())]).collect::<String>()
    };
    let id = |random: &mut fastrand::Rng| match random.bool() {
        true => MessageId::derived(&[&random.u64(..).to_string()]),
        false => MessageId::parse(&text(random)).unwrap(),
    };
    let data = serde_json::json!({text(&mut random): text(&mut random), "n": [random.i64(..), random.f64()]});
    let metadata = serde_json::json!({text(&mut random): {"deep": text(&mut random)}}).to_string();
    let trace = format!("00-{:032x}-{:016x}-01", random.u128(..), random.u64(..));
    let envelope = Envelope {
        id: id(&mut random),
        kind: random.choice([Kind::Event, Kind::Command, Kind::Call, Kind::Rejection, Kind::Receipt]).unwrap(),
        type_name: Name::Static("order.created"),
        source: Name::Static("order-service"),
        data_version: Name::Shared(Arc::from(format!("{}.{}.0", random.u16(..), random.u8(..)))),
        timestamp: jiff::Timestamp::new(random.i64(-1_000_000_000..9_000_000_000), random.i32(0..999_999_999)).unwrap(),
        correlation_id: id(&mut random),
        causation_id: random.bool().then(|| MessageId::derived(&["cause"])),
        partition_key: Arc::from(text(&mut random)),
        user_id: random.bool().then(|| Arc::from(text(&mut random))),
        tenant: random.bool().then(|| Arc::from(text(&mut random))),
        traceparent: random.bool().then(|| Arc::from(trace)),
        metadata: random.bool().then(|| Arc::from(metadata)),
        depth: random.u16(..),
        digest: None,
        repeat_key: None,
    };
    Stored {
        position: Position(random.u64(1..)),
        stream: StreamId::new("order", &text(&mut random)).unwrap(),
        version: StreamVersion(random.u64(1..)),
        message: Message { envelope, data: Arc::from(data.to_string().as_bytes()) },
    }
}

#[test]
fn every_message_of_ours_comes_back_from_json_and_from_cloudevents() {
    for seed in 0..2_000 {
        let stored = message(seed);
        let json = serde_json::to_vec(&stored).unwrap();
        let event = cloudevents::write(&stored).unwrap();
        let aliases = Aliases::new();
        for read in [messages::read(&json, &defaults(&aliases)), cloudevents::read(&event, &defaults(&aliases))] {
            let read = read.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(read.message, stored.message, "seed {seed}");
            assert_eq!(
                (read.subject, read.sequence),
                (Some(stored.stream.clone()), Some(stored.version)),
                "seed {seed}"
            );
            assert!(!read.correlation_missing, "seed {seed}");
        }
    }
}

#[test]
fn no_bytes_make_the_readers_panic() {
    let aliases = aliases();
    let try_both = |bytes: &[u8]| {
        for read in [messages::read(bytes, &defaults(&aliases)), cloudevents::read(bytes, &defaults(&aliases))] {
            // What was taken can be written again: nothing that is taken can stop a reader later.
            if let Ok(Incoming { message, subject: Some(stream), .. }) = read {
                let stored = Stored { position: Position(1), version: StreamVersion(1), stream, message };
                assert!(serde_json::to_vec(&stored).is_ok() && cloudevents::write(&stored).is_ok(), "{stored:?}");
            }
        }
    };
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        for whole in [serde_json::to_vec(&message(seed)).unwrap(), cloudevents::write(&message(seed)).unwrap()] {
            for end in 0..whole.len() {
                try_both(&whole[..end]);
                let mut changed = whole.clone();
                changed[end] = *random.choice(b"\"{}[]:,\\0-9eE.nul\x00\xff ").unwrap_or(&0);
                try_both(&changed);
                changed[random.usize(..whole.len())] = random.u8(..);
                try_both(&changed);
            }
        }
        for length in 0..200 {
            try_both(&std::iter::repeat_with(|| random.u8(..)).take(length).collect::<Vec<_>>());
        }
    }
}
