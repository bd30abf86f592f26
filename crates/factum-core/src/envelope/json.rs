//! The public JSON form of a message; [`read`](super::read()) takes it back.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Kind, Stored};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Form<'a> {
    id: &'a crate::id::MessageId,
    kind: Kind,
    #[serde(rename = "type")]
    type_name: &'a str,
    source: &'a str,
    data_version: &'a str,
    timestamp: Timestamp,
    correlation_id: &'a crate::id::MessageId,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<&'a crate::id::MessageId>,
    #[serde(skip_serializing_if = "is_zero")]
    depth: u16,
    subject: &'a str,
    sequence: u64,
    position: u64,
    partition_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    data: &'a RawValue,
}

fn is_zero(depth: &u16) -> bool {
    *depth == 0
}

impl Serialize for Stored {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let envelope = self.envelope();
        let raw = |bytes| serde_json::from_slice::<&RawValue>(bytes).map_err(serde::ser::Error::custom);
        let form = Form {
            id: &envelope.id,
            kind: envelope.kind,
            type_name: &envelope.type_name,
            source: &envelope.source,
            data_version: &envelope.data_version,
            timestamp: envelope.timestamp,
            correlation_id: &envelope.correlation_id,
            causation_id: envelope.causation_id.as_ref(),
            depth: envelope.depth,
            subject: self.stream.as_str(),
            sequence: self.version.0,
            position: self.position.0,
            partition_key: &envelope.partition_key,
            user_id: envelope.user_id.as_deref(),
            tenant: envelope.tenant.as_deref(),
            traceparent: envelope.traceparent.as_deref(),
            metadata: envelope.metadata.as_deref().map(|text| raw(text.as_bytes())).transpose()?,
            data: raw(&self.message.data)?,
        };
        form.serialize(serializer)
    }
}
