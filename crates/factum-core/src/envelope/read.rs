//! Reading messages as other systems print them: one JSON object, ours or theirs, into our envelope.
//!
//! | what comes | what it becomes |
//! |---|---|
//! | `eventId`, `commandId` | `id`; here and below ours wins where both stand |
//! | `eventType`, `command` | `type` |
//! | `version` · `sequenceNumber` | `dataVersion` · `sequence` |
//! | `OrderCreated` and other type names, names of services | ours by [`Aliases`]; refused without one |
//! | a `command` or a `commandId` | kind `command` |
//! | version `1.0`, `2`, `v2`; none | `1.0.0`, `2.0.0`, `2.0.0`; `1.0.0` |
//! | `aggregateId`, or a subject that is no stream's name | a key; category: `aggregateType`, or the type's domain |
//! | no correlation | the message's own id, and [`Incoming::correlation_missing`] |
//! | no id · source · timestamp | as [`Defaults`] say; without an id in them, no id is refused |
//! | no partition key | the stream's key, or the id |
//! | a `traceparent` that is none | none, as its standard asks for |
//! | `null`, an empty text | as if the field were not there |
//! | fields that no envelope has | ignored |
//!
//! The data stays as its bytes are. Whatever is refused is refused whole, with a sentence that says what to do.

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Aliases, Envelope, Kind, Message};
use crate::{
    commit::{MAX_MESSAGE_BYTES, MAX_METADATA_BYTES},
    error::NameError,
    id::{MessageId, Name, check_id},
    stream::{StreamId, StreamVersion},
};

/// How deep objects and lists in a message's data may be nested.
pub const MAX_DEPTH: usize = 64;

/// What the envelope around data and metadata may take on top of [`MAX_MESSAGE_BYTES`].
const ENVELOPE_BYTES: usize = 16 << 10;

/// What stands in for what a message does not say.
#[derive(Clone, Debug)]
pub struct Defaults<'a> {
    /// What other systems call our types and services.
    pub aliases: &'a Aliases,
    /// The service of a message without source: whoever the connection belongs to.
    pub source: Name,
    /// The time of a message without timestamp: when it came in.
    pub timestamp: Timestamp,
    /// The id of a message without one. Give it only where the same message gets the same id again, such as one made
    /// from the broker's topic, partition and offset: duplicates are found by nothing else.
    pub id: Option<MessageId>,
}

/// A message from outside in our envelope, with the place that it has at home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The message.
    pub message: Message,
    /// Its stream at home.
    pub subject: Option<StreamId>,
    /// Its version in that stream, from 1.
    pub sequence: Option<StreamVersion>,
    /// It came without correlation and got its own id for one. To be counted per source.
    pub correlation_missing: bool,
}

/// Why bytes were not taken as a message. Nothing of them was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Over the limit.
    #[error("the message has {bytes} bytes; {limit} are allowed: store the body elsewhere and refer to it")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Nested deeper than allowed.
    #[error("the message is nested deeper than {limit} levels: send a flatter object")]
    TooDeep {
        /// The limit, for the data.
        limit: usize,
    },
    /// Not text.
    #[error("byte {at} of the message is not UTF-8: encode the JSON as UTF-8")]
    NotUtf8 {
        /// Where the text ends.
        at: usize,
    },
    /// Not one JSON object.
    #[error("the message is not one JSON object ({cause}): send `{{\"id\": …, \"type\": …, \"data\": {{…}}}}`")]
    NotAnObject {
        /// What the reader found.
        cause: String,
    },
    /// A field that nothing can stand in for is missing.
    #[error("the message has no `{field}`: {remedy}")]
    Missing {
        /// The field, as we spell it.
        field: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A field holds something else than it should.
    #[error("`{field}` {problem}")]
    Field {
        /// The field, as we spell it.
        field: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The type or the source is no name of ours and has no alias.
    #[error("the {} {}", .0.what, .0.problem)]
    Unnamed(NameError),
}

/// Reads one message.
///
/// # Errors
/// [`EnvelopeError`]; its sentence says what the sender or the configuration has to change.
pub fn read(bytes: &[u8], defaults: &Defaults<'_>) -> Result<Incoming, EnvelopeError> {
    let form: Form<'_> = object(bytes)?;
    form.into_fields()?.normalise(defaults)
}

/// Every spelling of every field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Form<'a> {
    id: Raw<'a>,
    event_id: Raw<'a>,
    command_id: Raw<'a>,
    kind: Raw<'a>,
    #[serde(rename = "type")]
    type_name: Raw<'a>,
    event_type: Raw<'a>,
    command: Raw<'a>,
    source: Raw<'a>,
    data_version: Raw<'a>,
    version: Raw<'a>,
    timestamp: Raw<'a>,
    correlation_id: Raw<'a>,
    causation_id: Raw<'a>,
    subject: Raw<'a>,
    aggregate_id: Raw<'a>,
    aggregate_type: Raw<'a>,
    sequence: Raw<'a>,
    sequence_number: Raw<'a>,
    partition_key: Raw<'a>,
    user_id: Raw<'a>,
    tenant: Raw<'a>,
    traceparent: Raw<'a>,
    depth: Raw<'a>,
    metadata: Raw<'a>,
    data: Raw<'a>,
}

impl<'a> Form<'a> {
    fn into_fields(self) -> Result<Fields<'a>, EnvelopeError> {
        let command = self.command.some().is_some() || self.command_id.some().is_some();
        Ok(Fields {
            id: self.id.or(self.event_id).or(self.command_id),
            kind: self.kind,
            is_command: command,
            type_name: self.type_name.or(self.event_type).or(self.command),
            source: self.source,
            data_version: self.data_version.or(self.version).text("dataVersion")?,
            timestamp: self.timestamp,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            subject: self.subject,
            aggregate_id: self.aggregate_id,
            aggregate_type: self.aggregate_type,
            sequence: self.sequence.or(self.sequence_number),
            partition_key: self.partition_key,
            user_id: self.user_id,
            tenant: self.tenant,
            traceparent: self.traceparent,
            depth: self.depth,
            metadata: self.metadata.some().map(|raw| Cow::Borrowed(raw.get())),
            data: self.data,
        })
    }
}

/// A field as it stands in the text. `null` and an empty text count as missing.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Raw<'a>(#[serde(borrow)] Option<&'a RawValue>);

impl<'a> Raw<'a> {
    pub(super) fn some(self) -> Option<&'a RawValue> {
        self.0.filter(|raw| !matches!(raw.get(), "null" | "\"\""))
    }

    pub(super) fn or(self, other: Self) -> Self {
        if self.some().is_some() { self } else { other }
    }

    /// The field, if it is a text for which `wanted` holds.
    pub(super) fn only_if(self, wanted: impl Fn(&Cow<'a, str>) -> bool) -> Self {
        if self.text("").ok().flatten().is_some_and(|text| wanted(&text)) { self } else { Self::default() }
    }

    /// A text; a number counts as the text that it is written as.
    pub(super) fn text(self, field: &'static str) -> Result<Option<Cow<'a, str>>, EnvelopeError> {
        let Some(raw) = self.some() else { return Ok(None) };
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<Text<'_>>(text).map(|text| Some(text.0)).map_err(|cause| {
                EnvelopeError::Field { field, problem: format!("is not a text ({cause}): send a text") }
            }),
            Some(b'-' | b'0'..=b'9') => Ok(Some(Cow::Borrowed(text))),
            _ => Err(EnvelopeError::Field { field, problem: "must be a text".to_owned() }),
        }
    }
}

/// Borrows where nothing is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of a message under one name each, whichever form they came in.
pub(super) struct Fields<'a> {
    pub(super) id: Raw<'a>,
    pub(super) kind: Raw<'a>,
    pub(super) is_command: bool,
    pub(super) type_name: Raw<'a>,
    pub(super) source: Raw<'a>,
    pub(super) data_version: Option<Cow<'a, str>>,
    pub(super) timestamp: Raw<'a>,
    pub(super) correlation_id: Raw<'a>,
    pub(super) causation_id: Raw<'a>,
    pub(super) subject: Raw<'a>,
    pub(super) aggregate_id: Raw<'a>,
    pub(super) aggregate_type: Raw<'a>,
    pub(super) sequence: Raw<'a>,
    pub(super) partition_key: Raw<'a>,
    pub(super) user_id: Raw<'a>,
    pub(super) tenant: Raw<'a>,
    pub(super) traceparent: Raw<'a>,
    pub(super) depth: Raw<'a>,
    pub(super) metadata: Option<Cow<'a, str>>,
    pub(super) data: Raw<'a>,
}

impl Fields<'_> {
    pub(super) fn normalise(self, defaults: &Defaults<'_>) -> Result<Incoming, EnvelopeError> {
        let id = message_id(self.id, "id")?.or_else(|| defaults.id.clone()).ok_or(EnvelopeError::Missing {
            field: "id",
            remedy: "send one that stays the same when the message is sent again, or configure how to derive it",
        })?;
        let type_name = self
            .type_name
            .text("type")?
            .ok_or(EnvelopeError::Missing { field: "type", remedy: "say what it is, such as \"order.created\"" })?;
        let type_name = defaults.aliases.type_name(&type_name).map_err(EnvelopeError::Unnamed)?;
        let source = match self.source.text("source")? {
            Some(source) => defaults.aliases.service(&source).map_err(EnvelopeError::Unnamed)?,
            None => defaults.source.clone(),
        };
        let subject = self.stream(&type_name)?;
        let correlation_id = message_id(self.correlation_id, "correlationId")?;
        let key = short_text(self.partition_key, "partitionKey")?;
        let key = key.or_else(|| subject.as_ref().map(|stream| Arc::from(stream.key())));
        let envelope = Envelope {
            kind: kind(self.kind, self.is_command)?,
            data_version: version(self.data_version.as_deref())?,
            timestamp: timestamp(self.timestamp)?.unwrap_or(defaults.timestamp),
            causation_id: message_id(self.causation_id, "causationId")?,
            partition_key: key.unwrap_or_else(|| Arc::from(id.to_string())),
            user_id: short_text(self.user_id, "userId")?,
            tenant: short_text(self.tenant, "tenant")?,
            traceparent: self.traceparent.text("traceparent")?.filter(|text| is_traceparent(text)).map(Arc::from),
            metadata: self.metadata.map(metadata).transpose()?,
            depth: whole(self.depth, "depth")?.map_or(0, |depth| u16::try_from(depth).unwrap_or(u16::MAX)),
            digest: None,
            repeat_key: None,
            correlation_id: correlation_id.clone().unwrap_or_else(|| id.clone()),
            id,
            type_name,
            source,
        };
        let data = self.data.some().ok_or(EnvelopeError::Missing {
            field: "data",
            remedy: "send an object, `{}` if there is nothing to say",
        })?;
        let message = Message { envelope, data: Arc::from(json_object(data.get(), "data")?.as_bytes()) };
        if message.bytes() > MAX_MESSAGE_BYTES {
            return Err(EnvelopeError::TooLarge { bytes: message.bytes(), limit: MAX_MESSAGE_BYTES });
        }
        let sequence = match whole(self.sequence, "sequence")? {
            Some(0) => {
                let problem = "is 0, but the first message of a stream is 1: count from 1, or leave it out".to_owned();
                return Err(EnvelopeError::Field { field: "sequence", problem });
            }
            sequence => sequence.map(StreamVersion),
        };
        Ok(Incoming { message, subject, sequence, correlation_missing: correlation_id.is_none() })
    }

    /// A subject is a stream's name or a key; an aggregate's id is a key, perhaps with its category before it.
    fn stream(&self, type_name: &Name) -> Result<Option<StreamId>, EnvelopeError> {
        let domain = type_name.split('.').next().unwrap_or_default();
        let category = self.aggregate_type.text("aggregateType")?.map(|text| text.to_ascii_lowercase());
        let category = category.as_deref().unwrap_or(domain).replace('-', "_");
        let (text, is_name) = match (self.subject.text("subject")?, self.aggregate_id.text("aggregateId")?) {
            (Some(subject), _) => {
                let is_name = uuid::Uuid::try_parse(&subject).is_err() && StreamId::parse(&subject).is_ok();
                (subject, is_name)
            }
            (None, Some(id)) => {
                let is_name = id.strip_prefix(&category).is_some_and(|rest| rest.starts_with('-'));
                (id, is_name)
            }
            (None, None) => return Ok(None),
        };
        let stream = if is_name { StreamId::parse(&text) } else { StreamId::new(&category, &text) };
        // As a subject of ours it would be read as a key.
        let stream = stream.and_then(|stream| match uuid::Uuid::try_parse(stream.as_str()) {
            Ok(_) => Err(NameError { what: "stream", problem: format!("`{stream}` as a whole reads like a UUID") }),
            Err(_) => Ok(stream),
        });
        stream.map(Some).map_err(|error| EnvelopeError::Field {
            field: "subject",
            problem: format!("is no stream ({error}): send <category>-<key>, such as order-1042"),
        })
    }
}

/// Checks the limits, then reads the fields of one object. Nothing here recurses, however deep the input is.
pub(super) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, EnvelopeError> {
    if bytes.len() > MAX_MESSAGE_BYTES + ENVELOPE_BYTES {
        return Err(EnvelopeError::TooLarge { bytes: bytes.len(), limit: MAX_MESSAGE_BYTES });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| EnvelopeError::NotUtf8 { at: error.valid_up_to() })?;
    let text = text.trim_start_matches('\u{feff}').trim_ascii();
    // A derived reader would also take a list, field by field.
    if !text.starts_with('{') {
        return Err(EnvelopeError::NotAnObject { cause: "it does not start with `{`".to_owned() });
    }
    if depth(text) > MAX_DEPTH + 1 {
        return Err(EnvelopeError::TooDeep { limit: MAX_DEPTH });
    }
    serde_json::from_str(text).map_err(|cause| EnvelopeError::NotAnObject { cause: cause.to_string() })
}

/// How deep brackets are nested outside strings.
pub(super) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Checks metadata: a JSON object of at most [`MAX_METADATA_BYTES`], nested at most [`MAX_DEPTH`] deep.
///
/// # Errors
/// [`EnvelopeError`] that says what is wrong.
pub fn check_metadata(text: &str) -> Result<(), EnvelopeError> {
    let wrong = |problem: String| Err(EnvelopeError::Field { field: "metadata", problem });
    if text.len() > MAX_METADATA_BYTES {
        return wrong(format!("has {} bytes; {MAX_METADATA_BYTES} are allowed: send less of it", text.len()));
    }
    if depth(text) > MAX_DEPTH {
        return Err(EnvelopeError::TooDeep { limit: MAX_DEPTH });
    }
    // What is stored is written out again, without a space around it.
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) if raw.get().starts_with('{') && raw.get() == text => Ok(()),
        Ok(_) => wrong("must be a JSON object, not text, list or number".to_owned()),
        Err(error) => wrong(format!("is no JSON ({error}): send a JSON object")),
    }
}

fn metadata(text: Cow<'_, str>) -> Result<Arc<str>, EnvelopeError> {
    check_metadata(&text)?;
    Ok(Arc::from(text))
}

fn message_id(raw: Raw<'_>, field: &'static str) -> Result<Option<MessageId>, EnvelopeError> {
    let read = |text: Cow<'_, str>| MessageId::parse(&text).map_err(|error| bad_name(field, error));
    raw.text(field)?.map(read).transpose()
}

fn short_text(raw: Raw<'_>, field: &'static str) -> Result<Option<Arc<str>>, EnvelopeError> {
    let Some(text) = raw.text(field)? else { return Ok(None) };
    check_id(field, &text).map_err(|error| bad_name(field, error))?;
    Ok(Some(Arc::from(text)))
}

fn bad_name(field: &'static str, error: NameError) -> EnvelopeError {
    EnvelopeError::Field { field, problem: format!("{}: send 1 to 128 printable bytes", error.problem) }
}

fn kind(raw: Raw<'_>, is_command: bool) -> Result<Kind, EnvelopeError> {
    match raw.text("kind")?.as_deref() {
        None if is_command => Ok(Kind::Command),
        None | Some("event") => Ok(Kind::Event),
        Some("command") => Ok(Kind::Command),
        Some("call") => Ok(Kind::Call),
        Some("rejection") => Ok(Kind::Rejection),
        Some("receipt") => Ok(Kind::Receipt),
        Some(_) => {
            let problem =
                "must be event, command, call, rejection or receipt; without it, a message is an event".to_owned();
            Err(EnvelopeError::Field { field: "kind", problem })
        }
    }
}

/// `1`, `1.0` and `v1.0.0` are `1.0.0`.
fn version(text: Option<&str>) -> Result<Name, EnvelopeError> {
    let Some(text) = text else { return Ok(Name::Static("1.0.0")) };
    let version = text.strip_prefix('v').unwrap_or(text);
    let number = |part: &str| {
        let digits = !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits && (part == "0" || !part.starts_with('0'))
    };
    let parts = version.split('.').take(4).collect::<Vec<_>>();
    if parts.len() > 3 || !parts.iter().all(|part| number(part)) {
        let problem = "must be up to three numbers such as \"1.0.0\" or \"1.0\"".to_owned();
        return Err(EnvelopeError::Field { field: "dataVersion", problem });
    }
    let version = format!("{version}{}", ".0".repeat(3 - parts.len()));
    Ok(if version == "1.0.0" { Name::Static("1.0.0") } else { Name::Shared(Arc::from(version)) })
}

fn timestamp(raw: Raw<'_>) -> Result<Option<Timestamp>, EnvelopeError> {
    let read = |text: Cow<'_, str>| {
        text.parse().map_err(|_| {
            let problem = "must be a time of RFC 3339 with offset, such as 2010-12-01T08:26:00Z".to_owned();
            EnvelopeError::Field { field: "timestamp", problem }
        })
    };
    raw.text("timestamp")?.map(read).transpose()
}

fn whole(raw: Raw<'_>, field: &'static str) -> Result<Option<u64>, EnvelopeError> {
    let read = |text: Cow<'_, str>| {
        let problem = "must be a whole number that is not negative".to_owned();
        text.parse().map_err(|_| EnvelopeError::Field { field, problem })
    };
    raw.text(field)?.map(read).transpose()
}

fn is_traceparent(text: &str) -> bool {
    let parts = text.split('-').collect::<Vec<_>>();
    let lengths = parts.iter().map(|part| part.len()).collect::<Vec<_>>();
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    lengths == [2, 32, 16, 2] && parts.iter().all(|part| part.bytes().all(hex))
}

fn json_object<'t>(json: &'t str, field: &'static str) -> Result<&'t str, EnvelopeError> {
    if json.starts_with('{') {
        return Ok(json);
    }
    Err(EnvelopeError::Field { field, problem: "must be a JSON object, not text, list or number".to_owned() })
}
