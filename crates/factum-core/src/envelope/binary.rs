//! The compact form of an envelope and its data in stores: a version byte, a length, the header (postcard), the data.
//!
//! Stream, version in the stream, position, type and source are the store's own columns and not repeated here. What the
//! header ends in may be missing: it did not exist when the message was written. A receipt is of version 2, and what
//! bears a tenant of version 3, so that a program that knows neither says that it is too old, instead of working for
//! nobody.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Envelope, Kind, Message};
use crate::id::{MessageId, Name};

/// Of every kind but one.
const VERSION: u8 = 1;
/// Of receipts.
const RECEIPTS: u8 = 2;
/// Of messages with a tenant, of any kind; also the newest that this program knows.
const TENANTS: u8 = 3;

/// Stored bytes that are not a message of a version that this program knows.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the stored message cannot be read: {0}")]
pub struct BinaryError(String);

#[derive(Serialize, Deserialize)]
enum Id<'a> {
    Uuid([u8; 16]),
    Text(&'a str),
}

impl<'a> Id<'a> {
    fn of(id: &'a MessageId) -> Self {
        match (id.as_uuid(), id.as_text()) {
            (Some(uuid), _) => Self::Uuid(*uuid.as_bytes()),
            (None, text) => Self::Text(text.unwrap_or_default()),
        }
    }

    fn read(self) -> Result<MessageId, BinaryError> {
        match self {
            Self::Uuid(bytes) => Ok(MessageId::from(Uuid::from_bytes(bytes))),
            Self::Text(text) => MessageId::parse(text).map_err(|error| BinaryError(error.to_string())),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    kind: Kind,
    #[serde(borrow)]
    id: Id<'a>,
    data_version: &'a str,
    second: i64,
    nanosecond: i32,
    #[serde(borrow)]
    correlation_id: Option<Id<'a>>,
    #[serde(borrow)]
    causation_id: Option<Id<'a>>,
    partition_key: &'a str,
    user_id: Option<&'a str>,
    traceparent: Option<&'a str>,
    metadata: Option<&'a str>,
    depth: u16,
    digest: Option<u64>,
}

/// What stands behind the header of a message with a tenant.
#[derive(Serialize, Deserialize)]
struct Tenanted<'a> {
    repeat_key: Option<u64>,
    tenant: &'a str,
}

/// Appends the stored form of a message to `out`.
///
/// # Errors
/// Never for a message that was built by this crate; the serializer's own word otherwise.
pub fn encode(message: &Message, out: &mut Vec<u8>) -> Result<(), BinaryError> {
    let envelope = &message.envelope;
    let header = Header {
        kind: envelope.kind,
        id: Id::of(&envelope.id),
        data_version: &envelope.data_version,
        second: envelope.timestamp.as_second(),
        nanosecond: envelope.timestamp.subsec_nanosecond(),
        correlation_id: (envelope.correlation_id != envelope.id).then(|| Id::of(&envelope.correlation_id)),
        causation_id: envelope.causation_id.as_ref().map(Id::of),
        partition_key: &envelope.partition_key,
        user_id: envelope.user_id.as_deref(),
        traceparent: envelope.traceparent.as_deref(),
        metadata: envelope.metadata.as_deref(),
        depth: envelope.depth,
        digest: envelope.digest,
    };
    out.push(match (&envelope.tenant, envelope.kind) {
        (Some(_), _) => TENANTS,
        (None, Kind::Receipt) => RECEIPTS,
        (None, _) => VERSION,
    });
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    extend(out, &header)?;
    match (&envelope.tenant, envelope.repeat_key) {
        (Some(tenant), repeat_key) => extend(out, &Tenanted { repeat_key, tenant })?,
        (None, Some(key)) => out.extend_from_slice(&key.to_le_bytes()),
        (None, None) => {}
    }
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&message.data);
    Ok(())
}

fn extend(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), BinaryError> {
    let taken = std::mem::take(out);
    *out = postcard::to_extend(value, taken).map_err(|error| BinaryError(error.to_string()))?;
    Ok(())
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`BinaryError`] if the bytes are of an unknown version or do not hold a message.
pub fn decode(type_name: Name, source: Name, bytes: &[u8]) -> Result<Message, BinaryError> {
    let (version, header, data) = split(bytes)?;
    let (header, rest) =
        postcard::take_from_bytes::<Header<'_>>(header).map_err(|error| BinaryError(error.to_string()))?;
    let (repeat_key, tenant) = match version {
        TENANTS => {
            let more: Tenanted<'_> = postcard::from_bytes(rest).map_err(|error| BinaryError(error.to_string()))?;
            (more.repeat_key, Some(Arc::from(more.tenant)))
        }
        _ => (rest.first_chunk::<8>().map(|key| u64::from_le_bytes(*key)), None),
    };
    let timestamp = Timestamp::new(header.second, header.nanosecond).map_err(|error| BinaryError(error.to_string()))?;
    let id = header.id.read()?;
    let envelope = Envelope {
        kind: header.kind,
        type_name,
        source,
        data_version: known_version(header.data_version),
        timestamp,
        correlation_id: header.correlation_id.map(Id::read).transpose()?.unwrap_or_else(|| id.clone()),
        causation_id: header.causation_id.map(Id::read).transpose()?,
        partition_key: Arc::from(header.partition_key),
        user_id: header.user_id.map(Arc::from),
        tenant,
        traceparent: header.traceparent.map(Arc::from),
        metadata: header.metadata.map(Arc::from),
        depth: header.depth,
        digest: header.digest,
        repeat_key,
        id,
    };
    Ok(Message { envelope, data: Arc::from(data) })
}

fn split(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), BinaryError> {
    let (version, rest) = bytes.split_first().ok_or_else(|| BinaryError("it is empty".to_owned()))?;
    if !(VERSION..=TENANTS).contains(version) {
        let problem = format!("it has format {version}, this program knows {TENANTS}: use the newer program");
        return Err(BinaryError(problem));
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| BinaryError("it is cut short".to_owned()))?;
    let length = u32::from_le_bytes(*length) as usize;
    let (header, data) =
        rest.split_at_checked(length).ok_or_else(|| BinaryError("its header is cut short".to_owned()))?;
    Ok((*version, header, data))
}

fn known_version(text: &str) -> Name {
    if text == "1.0.0" { Name::Static("1.0.0") } else { Name::Shared(Arc::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            envelope: Envelope {
                id: MessageId::parse("evt-1").unwrap(),
                kind: Kind::Event,
                type_name: Name::Static("order.created"),
                source: Name::Static("order-service"),
                data_version: Name::Static("1.2.0"),
                timestamp: "2010-12-01T08:26:00.123456789Z".parse().unwrap(),
                correlation_id: MessageId::derived(&["c"]),
                causation_id: Some(MessageId::parse("cmd-1").unwrap()),
                partition_key: Arc::from("536365"),
                user_id: Some(Arc::from("17850")),
                tenant: None,
                traceparent: None,
                metadata: Some(Arc::from(r#"{"shop":"uk"}"#)),
                depth: 3,
                digest: Some(u64::MAX),
                repeat_key: Some(7),
            },
            data: Arc::from(br#"{"orderId":"536365"}"#.as_slice()),
        }
    }

    #[test]
    fn a_message_reads_back_as_it_was_written() {
        let mut bytes = Vec::new();
        encode(&message(), &mut bytes).unwrap();
        let read = decode(Name::Static("order.created"), Name::Static("order-service"), &bytes).unwrap();
        assert_eq!(read, message());
    }

    /// As version 1.0 wrote it: no key of what the command was about.
    #[test]
    fn a_message_without_the_newest_field_is_still_read() {
        let mut old = message();
        old.envelope.repeat_key = None;
        let mut bytes = Vec::new();
        encode(&old, &mut bytes).unwrap();
        let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(hex, include_str!("../../tests/fixtures/message-v1.hex").trim());
        assert_eq!(decode(Name::Static("order.created"), Name::Static("order-service"), &bytes).unwrap(), old);
    }

    #[test]
    fn a_receipt_is_of_a_version_that_older_programs_refuse() {
        let mut receipt = message();
        receipt.envelope.kind = Kind::Receipt;
        let mut bytes = Vec::new();
        encode(&receipt, &mut bytes).unwrap();
        assert_eq!(bytes[0], 2);
        assert_eq!(decode(Name::Static("order.created"), Name::Static("order-service"), &bytes).unwrap(), receipt);
        let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(hex, include_str!("../../tests/fixtures/receipt-v2.hex").trim());
    }

    #[test]
    fn a_message_with_a_tenant_is_of_a_version_that_older_programs_refuse() {
        for (kind, repeat_key) in [(Kind::Event, Some(7)), (Kind::Event, None), (Kind::Receipt, Some(7))] {
            let mut ours = message();
            (ours.envelope.kind, ours.envelope.repeat_key) = (kind, repeat_key);
            ours.envelope.tenant = Some(Arc::from("acme"));
            let mut bytes = Vec::new();
            encode(&ours, &mut bytes).unwrap();
            assert_eq!(bytes[0], 3);
            assert_eq!(decode(Name::Static("order.created"), Name::Static("order-service"), &bytes).unwrap(), ours);
            let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            if (kind, repeat_key) == (Kind::Event, Some(7)) {
                assert_eq!(hex, include_str!("../../tests/fixtures/tenant-v3.hex").trim());
            }
        }
    }

    #[test]
    fn no_cut_or_flip_of_the_header_panics() {
        let mut bytes = Vec::new();
        let mut tenanted = message();
        tenanted.envelope.tenant = Some(Arc::from("acme"));
        encode(&tenanted, &mut bytes).unwrap();
        for end in 0..bytes.len() {
            let _ = decode(Name::Static("t"), Name::Static("s"), &bytes[..end]);
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[end] ^= 1 << bit;
                let _ = decode(Name::Static("t"), Name::Static("s"), &flipped);
            }
        }
    }

    #[test]
    fn another_format_is_named() {
        let error = decode(Name::Static("t"), Name::Static("s"), &[9, 0]).unwrap_err();
        assert!(error.to_string().contains("format 9"), "{error}");
    }
}
