//! Reading messages as other systems print them: one JSON object, ours or theirs, into our envelope.
//!
//! | what comes | what it becomes |
//! |---|---|
//! | `eventId`, `commandId` | `id`; here and below ours wins where both stand |
//! | `eventType`, `command` | `type` |
//! | `version` · `sequenceNumber` | `dataVersion` · `sequence` |
//! | `OrderCreated` and other type names, names of services | ours by [`Spellings`]; refused without one |
//! | data of a type that the table has | ours by the table's rules ([`Rule`](super::Rule)) |
//! | a `command` or a `commandId` | kind `command` |
//! | no kind | what [`Defaults::kind`] says, or the other one if the table knows the name only so |
//! | `{topic, partition, event}`, `{originalEvent, …}` | what is in it |
//! | `{sagaId, orderId, currentStep, command: {service, action, data}}` | that command, about that order |
//! | with `specversion` | a CloudEvent: see [`cloudevents`] |
//! | version `1.0`, `2`, `v2`; none | `1.0.0`, `2.0.0`, `2.0.0`; `1.0.0` |
//! | `aggregateId`, or a subject that is no stream's name | a key; category: `aggregateType`, or the type's domain |
//! | neither | the field of the data that the table names as the key |
//! | no correlation | the message's own id, and [`Incoming::correlation_missing`] |
//! | no id · source · timestamp | as [`Defaults`] say |
//! | no partition key | the stream's key, or the id |
//! | a `traceparent` that is none | none, as its standard asks for |
//! | `null`, an empty text | as if the field were not there |
//! | fields that no envelope has | ignored |
//!
//! The data stays as its bytes are, as far as no rule touches it. Whatever is refused is refused whole, with a sentence that
//! says what to do; what was read otherwise than it was sent is told ([`Incoming::normalised`]).

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Envelope, Kind, Message, Spellings, cloudevents,
    form::{Form, depth, object},
    rules::{self, Notes},
    spellings::{Meant, Said},
};
use crate::{
    commit::{MAX_MESSAGE_BYTES, MAX_METADATA_BYTES},
    error::NameError,
    id::{MessageId, Name, check_id},
    stream::{StreamId, StreamVersion},
};

/// How deep objects and lists in a message's data may be nested.
pub const MAX_DEPTH: usize = 64;

/// What stands in for what a message does not say.
#[derive(Clone, Debug)]
pub struct Defaults<'a> {
    /// What other systems call our types and services, and how their data becomes ours.
    pub spellings: &'a Spellings,
    /// What a message is that does not say so.
    pub kind: Kind,
    /// The service of a message without source: whoever the connection belongs to.
    pub source: Name,
    /// The time of a message without timestamp: when it came in.
    pub timestamp: Timestamp,
    /// The id of a message without one.
    pub id: NoId,
    /// The type of a message without one: what the transport says.
    pub type_name: Option<&'a str>,
    /// The correlation of a message without one: what the transport says.
    pub correlation_id: Option<MessageId>,
}

/// What becomes of a message without id. Duplicates are found by nothing else, so that the same message must get the same
/// id again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoId {
    /// It is refused.
    Refused,
    /// This one, such as one made from the broker's topic, partition and offset.
    Is(MessageId),
    /// One made from what it says: source, type, time and data. Without a time of its own it is refused, since two that
    /// say the same would be one.
    FromContent,
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
    /// What was read otherwise than it was sent, for people.
    pub normalised: Vec<String>,
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
    /// The data cannot be made ours.
    #[error("`{path}` {problem}")]
    Data {
        /// Where, such as `data.items[0].price`.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The type or the source is no name of ours, and nothing says what it means.
    #[error("the {} {}", .0.what, .0.problem)]
    Unnamed(NameError),
}

/// Reads one message.
///
/// # Errors
/// [`EnvelopeError`]; its sentence says what the sender or the configuration has to change.
pub fn read(bytes: &[u8], defaults: &Defaults<'_>) -> Result<Incoming, EnvelopeError> {
    let form: Form<'_> = object(bytes)?;
    let (form, inner) = form.unwrapped(std::str::from_utf8(bytes).unwrap_or_default())?;
    if form.is_cloudevent() {
        return cloudevents::read(inner.as_bytes(), defaults);
    }
    form.into_fields(defaults.spellings)?.normalise(defaults)
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
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The fields of a message under one name each, whichever form they came in.
pub(super) struct Fields<'a> {
    pub(super) id: Raw<'a>,
    pub(super) kind: Raw<'a>,
    pub(super) is_command: bool,
    pub(super) type_name: Option<Cow<'a, str>>,
    /// The broker's topic, which may be as good as a type.
    pub(super) topic: Raw<'a>,
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
    pub(super) data: Option<Cow<'a, str>>,
    /// What is its id if it has none.
    pub(super) derived_id: Option<MessageId>,
    pub(super) notes: Notes,
}

impl Fields<'_> {
    pub(super) fn normalise(mut self, defaults: &Defaults<'_>) -> Result<Incoming, EnvelopeError> {
        let spellings = defaults.spellings;
        let said_source = self.source.text("source")?;
        let source = match &said_source {
            Some(source) => spellings.source(source).map_err(EnvelopeError::Unnamed)?,
            None => defaults.source.clone(),
        };
        let data = self.data.take().ok_or(EnvelopeError::Missing {
            field: "data",
            remedy: "send an object, `{}` if there is nothing to say",
        })?;
        json_object(&data, "data")?;
        let foreign = self.foreign_type(defaults)?;
        let kind = kind(self.kind, self.is_command)?;
        let said = Said { kind, usual: defaults.kind, source: &source, data: &data };
        let Meant { kind, name: type_name, spelled } =
            spellings.meant(&foreign, &said).map_err(EnvelopeError::Unnamed)?;
        let id = self.id(defaults, (said_source.as_deref().unwrap_or(&source), &foreign), &data)?;
        let read_as = |notes: &mut Notes, what: &str, theirs: &str, ours: &str| {
            if theirs != ours {
                notes.add(|| format!("{what} `{theirs}` is read as `{ours}`"));
            }
        };
        read_as(&mut self.notes, "type", &foreign, &type_name);
        read_as(&mut self.notes, "source", said_source.as_deref().unwrap_or(&source), &source);
        let rules = spelled.map_or(&[][..], |spelled| spelled.rules());
        let made = rules::apply(&data, rules, spellings.usual_currency(), &mut self.notes)?;
        let data = made.map_or(data, Cow::Owned);
        let by_data = spelled.and_then(|spelled| rules::text_of(&data, spelled.key_field()?));
        let subject = self.stream(&type_name, by_data)?;
        let correlation_id =
            message_id(self.correlation_id, "correlationId")?.or_else(|| defaults.correlation_id.clone());
        let key = short_text(self.partition_key, "partitionKey")?;
        let key = key.or_else(|| subject.as_ref().map(|stream| Arc::from(stream.key())));
        let envelope = Envelope {
            kind,
            data_version: version(self.data_version.as_deref())?,
            timestamp: timestamp(self.timestamp)?.unwrap_or(defaults.timestamp),
            causation_id: message_id(self.causation_id, "causationId")?,
            partition_key: key.unwrap_or_else(|| Arc::from(id.to_string())),
            user_id: short_text(self.user_id, "userId")?,
            tenant: short_text(self.tenant, "tenant")?,
            traceparent: self.traceparent.text("traceparent")?.filter(|text| is_traceparent(text)).map(Arc::from),
            metadata: self.metadata.take().map(metadata).transpose()?,
            depth: whole(self.depth, "depth")?.map_or(0, |depth| u16::try_from(depth).unwrap_or(u16::MAX)),
            digest: None,
            repeat_key: None,
            correlation_id: correlation_id.clone().unwrap_or_else(|| id.clone()),
            id,
            type_name,
            source,
        };
        let message = Message { envelope, data: Arc::from(data.as_bytes()) };
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
        if correlation_id.is_none() {
            self.notes.add(|| "it has no correlation: its own id stands for one".to_owned());
        }
        let normalised = self.notes.into_list();
        Ok(Incoming { message, subject, sequence, correlation_missing: correlation_id.is_none(), normalised })
    }

    /// What the sender calls it, or the transport.
    fn foreign_type(&mut self, defaults: &Defaults<'_>) -> Result<String, EnvelopeError> {
        if let Some(said) = self.type_name.take() {
            return Ok(said.into_owned());
        }
        let topic = self.topic.text("topic")?.filter(|topic| defaults.spellings.knows(defaults.kind, topic));
        let told = defaults.type_name.map(str::to_owned).or_else(|| topic.map(Cow::into_owned));
        told.ok_or(EnvelopeError::Missing { field: "type", remedy: "say what it is, such as \"order.created\"" })
    }

    fn id(
        &mut self,
        defaults: &Defaults<'_>,
        (source, type_name): (&str, &str),
        data: &str,
    ) -> Result<MessageId, EnvelopeError> {
        if let Some(id) = message_id(self.id, "id")?.or_else(|| self.derived_id.take()) {
            return Ok(id);
        }
        let remedy = "send one that stays the same when the message is sent again, or configure how to derive it";
        match (&defaults.id, self.timestamp.text("timestamp")?) {
            (NoId::Is(id), _) => Ok(id.clone()),
            (NoId::FromContent, Some(at)) => Ok(MessageId::derived(&["content", source, type_name, &at, data])),
            (NoId::FromContent, None) => Err(EnvelopeError::Missing {
                field: "id",
                remedy: "send one that stays the same when the message is sent again, or at least its `timestamp`",
            }),
            (NoId::Refused, _) => Err(EnvelopeError::Missing { field: "id", remedy }),
        }
    }

    /// A subject is a stream's name or a key; an aggregate's id is a key, perhaps with its category before it.
    fn stream(&self, type_name: &Name, by_data: Option<String>) -> Result<Option<StreamId>, EnvelopeError> {
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
            (None, None) => match by_data {
                Some(key) => (Cow::Owned(key), false),
                None => return Ok(None),
            },
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

fn kind(raw: Raw<'_>, is_command: bool) -> Result<Option<Kind>, EnvelopeError> {
    match raw.text("kind")?.as_deref() {
        None if is_command => Ok(Some(Kind::Command)),
        None => Ok(None),
        Some("event") => Ok(Some(Kind::Event)),
        Some("command") => Ok(Some(Kind::Command)),
        Some("call") => Ok(Some(Kind::Call)),
        Some("rejection") => Ok(Some(Kind::Rejection)),
        Some("receipt") => Ok(Some(Kind::Receipt)),
        Some(_) => {
            let problem = "must be event, command, call, rejection or receipt, or be left out".to_owned();
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
