//! Messages from outside: every spelling that is accepted, every refusal, and forms that lead back to where they began.

use std::sync::Arc;

use super::{
    Defaults, Envelope, EnvelopeError, Incoming, Kind, Message, NoId, Rule, Spelled, Spellings, Stored, cloudevents,
    read as messages,
};
use crate::{
    commit::MAX_MESSAGE_BYTES,
    id::{MessageId, Name},
    stream::{Position, StreamId, StreamVersion},
};

const EVENTS: &[Spelled] = &[
    Spelled::new("order.created", &["OrderCreated", "order-placed", "orders-topic"])
        .data(&[Rule::Field("customerId", &["userId"]), Rule::Money("total", &["totalAmount"])]),
    Spelled::new("stock.counted", &["StockCounted"]).key("sku").data(&[Rule::Field("sku", &["productId"])]),
];
const COMMANDS: &[Spelled] =
    &[Spelled::new("order.create", &["create_order"]), Spelled::new("inventory.reserve", &["reserve_inventory"])];

fn spellings() -> Spellings {
    let table = Spellings::new().events(EVENTS).unwrap().commands(COMMANDS).unwrap();
    table.service("https://orders.example/v1", "order-service").unwrap()
}

fn defaults(spellings: &Spellings) -> Defaults<'_> {
    let timestamp = "2011-12-09T12:50:00Z".parse().unwrap();
    let source = Name::Static("partner");
    Defaults {
        spellings,
        kind: Kind::Event,
        source,
        timestamp,
        id: NoId::Refused,
        type_name: None,
        correlation_id: None,
    }
}

fn read(json: &str) -> Result<Incoming, EnvelopeError> {
    messages::read(json.as_bytes(), &defaults(&spellings()))
}

fn read_event(json: &str) -> Result<Incoming, EnvelopeError> {
    cloudevents::read(json.as_bytes(), &defaults(&spellings()))
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
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "data": { "sum" : 1.10 }}"#,
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
    assert_eq!(&*incoming.message.data, br#"{ "sum" : 1.10 }"#, "the data's bytes are the sender's");
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
    let spellings = spellings();
    let id = MessageId::derived(&["orders", "0", "17"]);
    let given = Defaults { id: NoId::Is(id.clone()), ..defaults(&spellings) };
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
fn names_without_a_spelling_are_refused_with_a_proposal() {
    let error = read(r#"{"id": "e1", "type": "StockReserved", "data": {}}"#).unwrap_err();
    assert!(matches!(error, EnvelopeError::Unnamed(_)));
    assert!(error.to_string().contains("perhaps of `stock.reserved`"), "{error}");
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
    let error = messages::read(b"{\"id\": \"\xff\"}", &defaults(&spellings())).unwrap_err();
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
        let spellings = Spellings::new();
        for read in [messages::read(&json, &defaults(&spellings)), cloudevents::read(&event, &defaults(&spellings))] {
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
    let spellings = spellings();
    let try_both = |bytes: &[u8]| {
        for read in [messages::read(bytes, &defaults(&spellings)), cloudevents::read(bytes, &defaults(&spellings))] {
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

#[test]
fn an_id_may_be_made_of_what_a_message_says_if_it_says_when() {
    let spellings = spellings();
    let given = Defaults { id: NoId::FromContent, ..defaults(&spellings) };
    let id = |json: &str| messages::read(json.as_bytes(), &given).map(|read| read.message.envelope.id);
    let at =
        |more: &str| format!(r#"{{"type": "a.b", "timestamp": "2010-12-01T08:26:00Z", "data": {{"n": 1}}{more}}}"#);
    assert_eq!(id(&at("")).unwrap(), id(&at(r#", "correlationId": "c""#)).unwrap(), "the same is the same");
    for other in [at("").replace("\"n\": 1", "\"n\": 2"), at("").replace("a.b", "a.c"), at(r#", "source": "other""#)] {
        assert_ne!(id(&at("")).unwrap(), id(&other).unwrap(), "{other}");
    }
    let error = id(r#"{"type": "a.b", "data": {}}"#).unwrap_err().to_string();
    assert!(error.contains("or at least its `timestamp`"), "{error}");
}

#[test]
fn records_and_dead_letters_are_taken_off() {
    let spellings = spellings();
    let given = Defaults { id: NoId::FromContent, ..defaults(&spellings) };
    let read = |json: &str| messages::read(json.as_bytes(), &given);
    let event = small(r#", "aggregateId": "7""#);
    for json in [
        format!(r#"{{"topic": "orders", "partition": 3, "event": {event}}}"#),
        format!(
            r#"{{"originalEvent": {event}, "failureReason": "no", "failureCount": 3, "failedAt": "x", "nextRetry": 1}}"#
        ),
        format!(r#"{{"originalEvent": {{"topic": "orders", "partition": 3, "event": {event}}}, "failureCount": 3}}"#),
    ] {
        let incoming = read(&json).unwrap();
        assert_eq!(incoming.message.envelope.id.to_string(), "e1", "{json}");
        assert_eq!(incoming.subject.unwrap().as_str(), "order-7");
    }
    // What stands around it says what it does not.
    let bare = r#"{"id": "e1", "data": {}}"#;
    let json = format!(r#"{{"event": {bare}, "eventType": "OrderCreated", "correlationId": "c-9"}}"#);
    let envelope = read(&json).unwrap().message.envelope;
    assert_eq!((&*envelope.type_name, envelope.correlation_id.to_string().as_str()), ("order.created", "c-9"));
    let json = format!(r#"{{"topic": "orders-topic", "partition": 0, "event": {bare}}}"#);
    assert_eq!(read(&json).unwrap().message.envelope.type_name, "order.created");
    let json = format!(r#"{{"topic": "whatever", "partition": 0, "event": {bare}}}"#);
    assert_eq!(field(read(&json)), "type");
    let cloud = r#"{"specversion": "1.0", "id": "A", "source": "a", "type": "a.b", "time": "2010-12-01T08:26:00Z", "data": {}}"#;
    let incoming = read(&format!(r#"{{"topic": "t", "event": {cloud}}}"#)).unwrap();
    assert_eq!(incoming.message.envelope.timestamp.to_string(), "2010-12-01T08:26:00Z");
    let deep = (0..6).fold(event, |inner, _| format!(r#"{{"event": {inner}}}"#));
    assert!(read(&deep).unwrap_err().to_string().contains("more than 4 deep"));
}

#[test]
fn a_sagas_command_is_one_of_ours_in_the_sagas_transaction() {
    let nested = r#"{"sagaId": "saga-1", "orderId": "7", "currentStep": 2,
        "command": {"service": "inventory-service", "action": "reserve_inventory", "data": {"items": []}}}"#;
    let flat = r#"{"sagaId": "saga-1", "orderId": "7", "currentStep": 2, "service": "inventory-service",
        "action": "reserve_inventory", "data": {"items": []}}"#;
    let [nested, flat] = [nested, flat].map(|json| read(json).unwrap().message);
    assert_eq!(nested, flat);
    let envelope = &nested.envelope;
    assert_eq!((envelope.kind, &*envelope.type_name), (Kind::Command, "inventory.reserve"));
    assert_eq!(envelope.correlation_id.to_string(), "saga-1");
    assert_eq!(&*nested.data, br#"{"items":[],"orderId":"7"}"#);
    let undo = r#"{"sagaId": "saga-1", "orderId": "7", "currentStep": 3,
        "command": {"service": "inventory-service", "action": "release"}}"#;
    let undo = read(undo).unwrap().message;
    assert_eq!((&*undo.envelope.type_name, &*undo.data), ("inventory.release", br#"{"orderId":"7"}"#.as_slice()));
    assert_ne!(undo.envelope.id, envelope.id, "another step is another command");
    assert_eq!(field(read(r#"{"sagaId": "s", "command": {"service": "x"}}"#)), "command");
    assert!(matches!(read(r#"{"sagaId": "s", "command": {"action": "x"}}"#), Err(EnvelopeError::Unnamed(_))));
}

#[test]
fn data_is_made_ours_by_the_table_and_what_was_changed_is_told() {
    let json = r#"{"id": "1", "type": "OrderCreated", "source": "https://orders.example/v1", "correlationId": "c",
        "data": {"userId": "u", "totalAmount": 12.3, "currency": "GBP"}}"#;
    let incoming = read(json).unwrap();
    let data: serde_json::Value = serde_json::from_slice(&incoming.message.data).unwrap();
    assert_eq!((&data["customerId"], &data["total"]["amount"]), (&"u".into(), &1230.into()));
    assert_eq!(
        incoming.normalised,
        [
            "type `OrderCreated` is read as `order.created`",
            "source `https://orders.example/v1` is read as `order-service`",
            "`data.userId` is read as `customerId`",
            "`data.totalAmount` is read as `total`",
            "`data.total` 12.3 is read as {\"amount\":1230,\"currency\":\"GBP\"}",
        ]
    );
    let ours = read(&small(r#", "correlationId": "c""#)).unwrap();
    assert!(ours.normalised.is_empty(), "{:?}", ours.normalised);
    let error = read(&small("").replace("{}", r#"{"totalAmount": 12.3}"#)).unwrap_err();
    assert!(error.to_string().starts_with("`data.total` has no currency"), "{error}");
    // The key of the stream may stand in the data alone.
    let json = r#"{"id": "1", "type": "StockCounted", "data": {"productId": "A-1"}}"#;
    let incoming = read(json).unwrap();
    assert_eq!((incoming.subject.unwrap().as_str(), &*incoming.message.envelope.partition_key), ("stock-A-1", "A-1"));
}

#[test]
fn what_a_message_is_without_saying_so_is_what_the_table_knows_or_what_is_usual() {
    let spellings = spellings();
    let kind = |usual: Kind, type_name: &str| {
        let given = Defaults { kind: usual, ..defaults(&spellings) };
        let json = format!(r#"{{"id": "1", "type": "{type_name}", "data": {{}}}}"#);
        messages::read(json.as_bytes(), &given).unwrap().message.envelope.kind
    };
    for (usual, type_name, expected) in [
        (Kind::Event, "a.b", Kind::Event),
        (Kind::Command, "a.b", Kind::Command),
        (Kind::Event, "create_order", Kind::Command),
        (Kind::Event, "order.create", Kind::Command),
        (Kind::Command, "OrderCreated", Kind::Event),
    ] {
        assert_eq!(kind(usual, type_name), expected, "{usual:?} {type_name}");
    }
}
