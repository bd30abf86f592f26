//! A message as it travels between units: what a broker sees of it, and what is read of it again.
//!
//! | part | what it holds |
//! |---|---|
//! | key | the partition key: messages of one key stay in order |
//! | headers | `eventType`, `correlationId`, `traceparent`: what others route and trace by without reading the body |
//! | body | the message's JSON form, and beside its fields its [`Home`] as `factum` |
//!
//! Who is no unit of ours reads the JSON form and leaves `factum` alone, and writes messages without it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    envelope::Stored,
    id::Name,
    lane::Home,
    ports::transport::Parcel,
    stream::{Lineage, Position},
};

/// The header with the message's type.
pub const EVENT_TYPE: &str = "eventType";
/// The header with the business transaction.
pub const CORRELATION_ID: &str = "correlationId";
/// The header with the W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// Why a body says of its home what cannot be.
#[derive(Clone, Debug, thiserror::Error)]
#[error("its field `factum` is not what a unit writes ({0}): leave it out, unless you are one")]
pub struct NoHome(String);

/// [`Home`] in the body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    unit: Name,
    /// In hexadecimal.
    log: String,
    epoch: u32,
    position: u64,
    before: u64,
}

/// The message, with where it stands at home.
///
/// # Errors
/// If it has no JSON form.
pub fn pack(stored: &Stored, home: &Home) -> Result<Parcel, serde_json::Error> {
    let envelope = stored.envelope();
    let mut headers = vec![
        (EVENT_TYPE.to_owned(), envelope.type_name.to_string()),
        (CORRELATION_ID.to_owned(), envelope.correlation_id.to_string()),
    ];
    headers.extend(envelope.traceparent.as_deref().map(|trace| (TRACEPARENT.to_owned(), trace.to_owned())));
    let form = Form {
        unit: home.unit.clone(),
        log: Uuid::from_bytes(home.lineage.log_id).simple().to_string(),
        epoch: home.lineage.epoch,
        position: home.position.0,
        before: home.before.0,
    };
    let mut body = serde_json::to_vec(stored)?;
    // It is an object, and never an empty one.
    body.pop();
    body.extend_from_slice(b",\"factum\":");
    serde_json::to_writer(&mut body, &form)?;
    body.push(b'}');
    Ok(Parcel { key: Some(Arc::clone(&envelope.partition_key)), headers, body, delay: None })
}

/// Where a message stands at home, if it says so.
///
/// # Errors
/// [`NoHome`] if that cannot be read. A body that is no object has none: what it is [`read`](crate::envelope::read()) says.
pub fn home(body: &[u8]) -> Result<Option<Home>, NoHome> {
    #[derive(Deserialize)]
    struct Beside<'a> {
        #[serde(borrow)]
        factum: Option<&'a serde_json::value::RawValue>,
    }
    // A derived reader would also take a list, field by field.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Ok(None);
    }
    let Ok(Beside { factum: Some(raw) }) = serde_json::from_slice(body) else { return Ok(None) };
    let Form { unit, log, epoch, position, before } =
        serde_json::from_str(raw.get()).map_err(|error| NoHome(error.to_string()))?;
    if before >= position {
        return Err(NoHome(format!("position {position} is not behind {before}")));
    }
    let log = Uuid::try_parse(&log).map_err(|error| NoHome(format!("log {log}: {error}")))?;
    let lineage = Lineage { log_id: log.into_bytes(), epoch };
    Ok(Some(Home { unit, lineage, position: Position(position), before: Position(before) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        envelope::{Defaults, Envelope, Kind, Message, NoId, Spellings, read},
        id::MessageId,
        stream::{StreamId, StreamVersion},
    };

    fn stored(kind: Kind) -> Stored {
        let envelope = Envelope {
            id: MessageId::derived(&["one"]),
            kind,
            type_name: Name::Static("order.created"),
            source: Name::Static("order-service"),
            data_version: Name::Static("1.2.0"),
            timestamp: "2026-01-02T03:04:05Z".parse().unwrap(),
            correlation_id: MessageId::derived(&["flow"]),
            causation_id: Some(MessageId::derived(&["cause"])),
            partition_key: "1042".into(),
            user_id: Some("ada".into()),
            tenant: Some("north".into()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            metadata: Some(r#"{"till":7}"#.into()),
            depth: 3,
            digest: None,
            repeat_key: None,
        };
        let message = Message { envelope, data: b"{\"total\":\"9.90\"}".as_slice().into() };
        let stream = StreamId::parse("order-1042").unwrap();
        Stored { position: Position(42), stream, version: StreamVersion(3), message }
    }

    fn at(position: u64, before: u64) -> Home {
        let lineage = Lineage { log_id: [7; 16], epoch: 2 };
        Home { unit: Name::Static("order"), lineage, position: Position(position), before: Position(before) }
    }

    #[test]
    fn what_travels_arrives_as_it_was() {
        for kind in [Kind::Event, Kind::Command, Kind::Rejection] {
            let (sent, home_there) = (stored(kind), at(42, 40));
            let parcel = pack(&sent, &home_there).unwrap();
            assert_eq!(parcel.key.as_deref(), Some("1042"));
            assert_eq!(parcel.header("eventtype"), Some("order.created"));
            assert_eq!(parcel.header("correlationId"), Some(&*sent.envelope().correlation_id.to_string()));
            assert!(parcel.header("traceparent").is_some());
            assert_eq!(home(&parcel.body).unwrap(), Some(home_there));
            let defaults = Defaults {
                spellings: &Spellings::default(),
                kind: Kind::Event,
                source: Name::Static("nobody"),
                timestamp: "1999-01-01T00:00:00Z".parse().unwrap(),
                id: NoId::Refused,
                type_name: None,
                correlation_id: None,
            };
            let read = read(&parcel.body, &defaults).unwrap();
            assert_eq!(read.message, sent.message);
            assert_eq!((read.subject, read.sequence), (Some(sent.stream), Some(sent.version)));
        }
    }

    #[test]
    fn a_home_that_cannot_be_is_told_and_others_have_none() {
        assert_eq!(home(br#"{"type":"order.created"}"#).unwrap(), None);
        assert_eq!(home(b"\xff").unwrap(), None);
        assert_eq!(home(b"[1]").unwrap(), None);
        for wrong in [
            r#"{"factum":1}"#.to_owned(),
            r#"{"factum":{"unit":"order"}}"#.to_owned(),
            String::from_utf8(pack(&stored(Kind::Event), &at(42, 42)).unwrap().body).unwrap(),
        ] {
            let told = home(wrong.as_bytes()).unwrap_err().to_string();
            assert!(told.contains("leave it out"), "{wrong}: {told}");
        }
    }
}
