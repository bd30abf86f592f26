//! Inputs to begin with: good ones of each kind, and the ways to reach each part of the decoders.

use factum_core::{
    envelope::{Envelope, Kind, Message, Stored, binary, cloudevents},
    id::{MessageId, Name},
    snapshot::Snapshot,
    stream::{Cursor, Lineage, Position, StreamId, StreamVersion},
};

use super::format::{push_entry, push_item};
use super::frames::{AFTER_GOOD, CLOSED, REPAIRED, good_payload};
use super::recovery::{bases, how};

/// Good inputs of a target by name.
///
/// # Errors
/// What could not be made.
pub fn seeds(target: &str) -> Result<Vec<Vec<u8>>, String> {
    match target {
        "frames" => Ok(frames()),
        "recovery" => recovery(),
        "envelope" => envelope(),
        _ => cells(),
    }
}

fn frames() -> Vec<Vec<u8>> {
    let mut follows = Vec::new();
    push_item(&mut follows, 2, b"third", b"");
    push_entry(&mut follows, "b", 2, 0, b"body");
    push_entry(&mut follows, "new", 1, 1, b"");
    push_item(&mut follows, 4, b"cell", b"");
    let mut cell = Vec::new();
    push_item(&mut cell, 3, b"k", &[0; 70]);
    let twice = [good_payload(), follows.clone()].concat();
    let all_flags = AFTER_GOOD | CLOSED | REPAIRED;
    let all = (0..8_u8).flat_map(|index| {
        [good_payload(), follows.clone(), cell.clone(), twice.clone(), Vec::new()]
            .map(|payload| [&[(index & all_flags) | ((index % 4) << 3)][..], &payload].concat())
    });
    all.collect()
}

fn recovery() -> Result<Vec<Vec<u8>>, String> {
    let mut all = Vec::new();
    for (log, base) in (0_u8..).zip(bases()?) {
        for (file, path) in (0_u8..).zip(&base.files) {
            let bytes = base.disk.bytes(path).unwrap_or_default();
            for without in [0, how::WITHOUT_CHECKPOINTS] {
                let flags = (log * how::ARCHIVED) | without;
                all.push([&[flags | how::GONE, file, 0, 0], &b"-"[..]].concat());
                all.push([&[flags | how::OVER_MENDED, file, 40, 0], &[3, 0, 0, 0, 0][..]].concat());
                all.push([&[flags | how::WHOLE, file, 0, 0], &b"elsewhere\n"[..]].concat());
                all.push([&[flags | how::BEHIND, file, 200, 1], &b"FRME"[..]].concat());
            }
            let flags = log * how::ARCHIVED;
            all.push([&[flags | how::WHOLE_MENDED, file, 0, 0], &bytes[..]].concat());
            if file == 0 {
                all.push([&[how::ALONE, 0, 0, 0], &bytes[..]].concat());
            }
        }
    }
    Ok(all)
}

fn message() -> Result<Message, String> {
    let name = |error: factum_core::error::NameError| error.to_string();
    let envelope = Envelope {
        id: MessageId::parse("evt-1").map_err(name)?,
        kind: Kind::Event,
        type_name: Name::Static("order.created"),
        source: Name::Static("order-service"),
        data_version: Name::Static("1.2.0"),
        timestamp: "2010-12-01T08:26:00.5Z".parse().map_err(|_| "no time")?,
        correlation_id: MessageId::derived(&["c"]),
        causation_id: Some(MessageId::parse("cmd-1").map_err(name)?),
        partition_key: "536365".into(),
        user_id: Some("17850".into()),
        tenant: Some("uk".into()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        metadata: Some(r#"{"shop": "uk"}"#.into()),
        depth: 3,
        digest: Some(9),
        repeat_key: Some(11),
    };
    Ok(Message { envelope, data: br#"{"orderId": "536365", "lines": [{"n": 1.5e3}]}"#.as_slice().into() })
}

fn envelope() -> Result<Vec<Vec<u8>>, String> {
    let message = message()?;
    let mut kept = Vec::new();
    binary::encode(&message, &mut kept).map_err(|error| error.to_string())?;
    let stream = StreamId::parse("order-536365").map_err(|error| error.to_string())?;
    let stored = Stored { position: Position(7), stream, version: StreamVersion(2), message };
    let ours = serde_json::to_vec(&stored).map_err(|error| error.to_string())?;
    let cloud = cloudevents::write(&stored).map_err(|error| error.to_string())?;
    let others = [
        r#"{"eventId":"1","eventType":"OrderPlaced","aggregateId":"7","version":"v2","sequenceNumber":"4","data":{}}"#,
        r#"{"commandId":"1","command":"order.create","aggregateType":"cart","aggregateId":"7","data":{}}"#,
        r#"{"id":"a","type":"a.b","subject":"x-1","partitionKey":12,"depth":70000,"metadata":{"a":[]},"data":{"a":{}}}"#,
        r#"{"type":"a.b","kind":"rejection","timestamp":"-009999-01-02T01:59:59-00:01","data":{"a":"\u00e9\"\\"}}"#,
        r#"{"type":"a.b","aggregateType":"deadbeef","aggregateId":"0000-0000-0000-000000000000","data":{}}"#,
        r#"{"specversion":"1.0","id":"1","source":"https://shop.example/orders","type":"a.b","dataschema":"x#v2","data":{}}"#,
        r#"{"topic":"t","partition":1,"event":{"eventId":"1","eventType":"OrderPlaced","data":{"orderId":1,"userId":"c","currency":"gbp","totalAmount":15.295,"items":[{"productId":7,"quantity":6,"price":2.549}]}}}"#,
        r#"{"originalEvent":{"id":"1","type":"order.created","data":{"totalCents":12}},"failureCount":3}"#,
        r#"{"sagaId":"s","orderId":"7","currentStep":2,"command":{"service":"inventory-service","action":"reserve","data":{}}}"#,
    ];
    Ok([kept, ours, cloud].into_iter().chain(others.map(|text| text.as_bytes().to_vec())).collect())
}

fn cells() -> Result<Vec<Vec<u8>>, String> {
    let lineage = Lineage { log_id: [7; 16], epoch: 3 };
    let at = Cursor { lineage, position: Position(9) };
    let texts = ["timer/a", "cursor/engine", "call/", "order-1042", "order.created", r#"{"a":1,"b":null}"#];
    let id = MessageId::derived(&["a"]).to_string();
    let sealed = Snapshot { model: 5, at, state: br#"{"a":1}"#.to_vec() }.seal("fold/a");
    Ok(texts.iter().map(|text| text.as_bytes().to_vec()).chain([id.into_bytes(), sealed]).collect())
}
