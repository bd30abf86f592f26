//! Messages as CloudEvents 1.0 in structured JSON, and back.
//!
//! | ours | CloudEvents |
//! |---|---|
//! | `id` · `source` · `type` · `subject` · `timestamp` | `id` · `source` · `type` · `subject` · `time` |
//! | `partitionKey` · `sequence` · `traceparent` | the extensions of these names (`sequence` is a text there) |
//! | `correlationId` · `causationId` · `userId` · `tenant` | our extensions, in lower case |
//! | `dataVersion` · `kind` · `depth` | our extensions, in lower case |
//! | `metadata` | our extension, the object as JSON in a text, because extensions are no objects |
//! | `data` | `data`, with `datacontenttype` `application/json` |
//!
//! On the way in, `dataschema` ending in a version stands in for `dataversion`, and a `source` that is a URI needs a
//! spelling. A `sequence`, `kind`, `depth` or `metadata` that cannot be ours counts as none: others use these names too.
//! All else is as in [`read`](mod@super::read). Position and digests belong to one log and do not travel.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Defaults, EnvelopeError, Incoming, Kind, Stored,
    form::object,
    read::{Fields, Raw, check_metadata},
    rules::Notes,
};
use crate::id::MessageId;

/// The media type of what [`write()`] makes.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

#[derive(Serialize)]
struct Written<'a> {
    specversion: &'static str,
    id: &'a MessageId,
    source: &'a str,
    #[serde(rename = "type")]
    type_name: &'a str,
    subject: &'a str,
    time: Timestamp,
    datacontenttype: &'static str,
    dataversion: &'a str,
    kind: Kind,
    correlationid: &'a MessageId,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<&'a MessageId>,
    partitionkey: &'a str,
    sequence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    userid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    depth: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    data: &'a RawValue,
}

/// Writes a message as one CloudEvent.
///
/// # Errors
/// [`EnvelopeError::Field`] if the stored data is not JSON.
pub fn write(stored: &Stored) -> Result<Vec<u8>, EnvelopeError> {
    let envelope = stored.envelope();
    let data = serde_json::from_slice(&stored.message.data).map_err(|cause| not_json("data", &cause))?;
    let written = Written {
        specversion: "1.0",
        id: &envelope.id,
        source: &envelope.source,
        type_name: &envelope.type_name,
        subject: stored.stream.as_str(),
        time: envelope.timestamp,
        datacontenttype: "application/json",
        dataversion: &envelope.data_version,
        kind: envelope.kind,
        correlationid: &envelope.correlation_id,
        causationid: envelope.causation_id.as_ref(),
        partitionkey: &envelope.partition_key,
        sequence: stored.version.to_string(),
        userid: envelope.user_id.as_deref(),
        tenant: envelope.tenant.as_deref(),
        traceparent: envelope.traceparent.as_deref(),
        depth: envelope.depth,
        metadata: envelope.metadata.as_deref(),
        data,
    };
    serde_json::to_vec(&written).map_err(|cause| not_json("data", &cause))
}

fn not_json(field: &'static str, cause: &serde_json::Error) -> EnvelopeError {
    EnvelopeError::Field { field, problem: format!("cannot be written as JSON ({cause})") }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Form<'a> {
    specversion: Raw<'a>,
    id: Raw<'a>,
    source: Raw<'a>,
    #[serde(rename = "type")]
    type_name: Raw<'a>,
    subject: Raw<'a>,
    time: Raw<'a>,
    datacontenttype: Raw<'a>,
    dataschema: Raw<'a>,
    dataversion: Raw<'a>,
    kind: Raw<'a>,
    correlationid: Raw<'a>,
    causationid: Raw<'a>,
    partitionkey: Raw<'a>,
    sequence: Raw<'a>,
    userid: Raw<'a>,
    tenant: Raw<'a>,
    traceparent: Raw<'a>,
    depth: Raw<'a>,
    metadata: Raw<'a>,
    data: Raw<'a>,
    data_base64: Raw<'a>,
}

/// Reads one CloudEvent in structured JSON. Its id is never made up, because CloudEvents demand one.
///
/// # Errors
/// [`EnvelopeError`]; its sentence says what the sender or the configuration has to change.
pub fn read(bytes: &[u8], defaults: &Defaults<'_>) -> Result<Incoming, EnvelopeError> {
    let form: Form<'_> = object(bytes)?;
    let missing = |field, remedy| Err(EnvelopeError::Missing { field, remedy });
    let wrong = |field, problem: &str| Err(EnvelopeError::Field { field, problem: problem.to_owned() });
    match form.specversion.text("specversion")?.as_deref() {
        Some("1.0") => {}
        Some(_) => return wrong("specversion", "must be \"1.0\": send CloudEvents of version 1.0"),
        None => return missing("specversion", "a CloudEvent has \"specversion\": \"1.0\""),
    }
    if form.id.some().is_none() {
        return missing("id", "a CloudEvent has one, unique for its source");
    }
    if form.source.some().is_none() {
        return missing("source", "a CloudEvent says where it comes from");
    }
    if form.datacontenttype.text("datacontenttype")?.is_some_and(|media| !is_json(&media)) {
        return wrong("datacontenttype", "must be application/json: send the data as a JSON object");
    }
    if form.data_base64.some().is_some() {
        return wrong("data_base64", "holds binary data: send a JSON object in `data`");
    }
    let schema = form.dataschema.text("dataschema")?;
    let of_schema = schema.as_deref().and_then(versioned).map(Cow::Borrowed);
    let known = |text: &Cow<'_, str>| matches!(&**text, "event" | "command" | "call" | "rejection" | "receipt");
    let counted = |text: &Cow<'_, str>| text.parse::<u64>().is_ok_and(|number| number > 0);
    let fields = Fields {
        id: form.id,
        kind: form.kind.only_if(known),
        is_command: false,
        type_name: form.type_name.text("type")?,
        topic: Raw::default(),
        source: form.source,
        data_version: form.dataversion.text("dataversion")?.or(of_schema),
        timestamp: form.time,
        correlation_id: form.correlationid,
        causation_id: form.causationid,
        subject: form.subject,
        aggregate_id: Raw::default(),
        aggregate_type: Raw::default(),
        sequence: form.sequence.only_if(counted),
        partition_key: form.partitionkey,
        user_id: form.userid,
        tenant: form.tenant,
        traceparent: form.traceparent,
        depth: form.depth.only_if(counted),
        metadata: form.metadata.text("metadata").ok().flatten().filter(|text| check_metadata(text).is_ok()),
        data: form.data.some().map(|raw| Cow::Borrowed(raw.get())),
        derived_id: None,
        notes: Notes::default(),
    };
    fields.normalise(defaults)
}

/// `application/json`, `text/json` and `application/<anything>+json`, with or without parameters.
fn is_json(media: &str) -> bool {
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.ends_with("/json") || media.ends_with("+json")
}

/// The version at the end of a schema's URI: `…/order.created/1.2.0` or `…#v2`.
fn versioned(schema: &str) -> Option<&str> {
    let last = schema.rsplit(['/', '#', ':']).next()?;
    let number = last.strip_prefix('v').unwrap_or(last);
    let parts = number.split('.').count();
    let digits = number.split('.').all(|part| part.parse::<u32>().is_ok_and(|digits| digits.to_string() == part));
    (parts <= 3 && digits).then_some(last)
}
