//! The door for other systems' messages.
//!
//! | route | answers |
//! |---|---|
//! | `POST /factum/v1/events?source=` | where each event stands, once all are durable; none is taken if one is refused |
//! | `POST /factum/v1/commands?source=` | the receipt of each command, in their order; 207 if several were sent and not all accepted |
//!
//! A body is one message or a list of at most 1,000, in 2 MiB at most: our envelope or another's, what a broker or a dead
//! letter puts around one, a CloudEvent (`application/cloudevents+json`, a list as `application/cloudevents-batch+json`, or
//! in headers `ce-…` with the data as the body). `source` names the sender of messages that do not. The headers
//! `eventType` and `correlationId` stand for what a message does not say itself, and `Idempotency-Key` for the id of a
//! single one.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use factum_core::{
    envelope::{Defaults, EnvelopeError, Incoming, Kind, NoId, Spellings, cloudevents, read},
    id::{MessageId, Name},
    stream::{Lineage, Position},
};
use factum_runtime::{
    import::{MAX_IMPORT, NotTaken},
    inbox::Receipt,
    supervisor::{ImportError, Unit},
};
use percent_encoding::percent_decode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    extract::{IDEMPOTENCY_KEY, Query, only, position, too_large_for, unread_for},
    problem::{MAX_DETAIL_BYTES, Problem, plain},
};

/// Bytes that a body may have.
pub const MAX_EDGE_BYTES: usize = 2 << 20;
/// What a message is, as brokers say it beside the body.
const EVENT_TYPE: HeaderName = HeaderName::from_static("eventtype");
/// Its business transaction, likewise.
const CORRELATION_ID: HeaderName = HeaderName::from_static("correlationid");
/// Who has sent what does not say so.
const UNKNOWN: &str = "unknown";
/// Attributes of CloudEvents in headers.
const CE: &str = "ce-";

/// What the door knows.
#[derive(Clone)]
struct Edge {
    unit: Arc<Unit>,
    spellings: Arc<Spellings>,
    lineage: Lineage,
}

/// The two routes.
pub fn routes<S>(unit: Arc<Unit>, spellings: Arc<Spellings>, lineage: Lineage) -> Router<S> {
    Router::new()
        .route("/factum/v1/events", post(events))
        .route("/factum/v1/commands", post(commands))
        .with_state(Edge { unit, spellings, lineage })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    source: Option<String>,
}

/// What became of a message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type")]
    type_name: String,
    #[serde(flatten)]
    outcome: Outcome,
    /// What was read otherwise than it was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    normalised: Vec<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Receipt { stream: String, version: u64, position: u64, repeated: bool },
    Refused { status: u16, code: String, detail: String },
}

#[derive(Serialize)]
struct Answer {
    messages: Vec<Taken>,
}

impl Taken {
    fn of(id: Option<String>, type_name: &str, normalised: Vec<String>, outcome: Result<Receipt, Problem>) -> Self {
        let outcome = match outcome {
            Ok(Receipt { stream, version, position, repeated }) => {
                Outcome::Receipt { stream: stream.to_string(), version: version.0, position: position.0, repeated }
            }
            Err(problem) => Outcome::Refused {
                status: problem.status().as_u16(),
                code: problem.code().to_owned(),
                detail: plain(problem.detail(), MAX_DETAIL_BYTES),
            },
        };
        let normalised = normalised.iter().map(|note| plain(note, MAX_DETAIL_BYTES)).collect();
        Self { id, type_name: type_name.to_owned(), outcome, normalised }
    }
}

async fn events(State(edge): State<Edge>, Query(asked): Query<Asked>, sent: Sent) -> Result<Response, Problem> {
    let incoming = edge.read(&sent, Kind::Event, asked.source)?;
    let about = |incoming: &Incoming| {
        let envelope = &incoming.message.envelope;
        (envelope.id.to_string(), envelope.type_name.clone(), incoming.normalised.clone())
    };
    let told: Vec<_> = incoming.iter().map(about).collect();
    let receipts = edge.unit.import(incoming).await.map_err(|error| not_imported(error, sent.is_list))?;
    let messages = told.into_iter().zip(receipts);
    let messages = messages.map(|((id, name, notes), receipt)| Taken::of(Some(id), &name, notes, Ok(receipt)));
    Ok(edge.answer(StatusCode::OK, messages.collect()))
}

async fn commands(State(edge): State<Edge>, Query(asked): Query<Asked>, sent: Sent) -> Result<Response, Problem> {
    let mut asked_for = Vec::new();
    for (at, incoming) in edge.read(&sent, Kind::Command, asked.source)?.into_iter().enumerate() {
        let Incoming { normalised, .. } = &incoming;
        let normalised = normalised.clone();
        let mut request = edge.unit.request(incoming).map_err(|why| sent.placed(at, refused(&why)))?;
        if request.id == Some(no_id()) {
            // Nothing can be sent again under an id that it does not have.
            (request.id, request.correlation_id) = (None, request.correlation_id.filter(|id| *id != no_id()));
        }
        asked_for.push((request, normalised));
    }
    let (mut messages, mut all_accepted) = (Vec::with_capacity(asked_for.len()), true);
    for (request, normalised) in asked_for {
        let (id, name) = (request.id.as_ref().map(ToString::to_string), request.draft.type_name.clone());
        let outcome = edge.unit.try_execute(vec![request]).await.map_err(Problem::from);
        let outcome = outcome.and_then(|receipts| {
            receipts.into_iter().next().ok_or_else(|| Problem::unavailable("stopped", "the engine gave no receipt"))
        });
        match outcome {
            Err(problem) if !sent.is_list => return Err(problem),
            outcome => {
                all_accepted &= outcome.is_ok();
                messages.push(Taken::of(id, &name, normalised, outcome));
            }
        }
    }
    let status = if all_accepted { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    Ok(edge.answer(status, messages))
}

impl Edge {
    /// All messages of a request, in our envelope; none if one cannot be read.
    fn read(&self, sent: &Sent, kind: Kind, source: Option<String>) -> Result<Vec<Incoming>, Problem> {
        let source = match source.filter(|source| !source.is_empty()) {
            Some(source) => {
                self.spellings.source(&source).map_err(|error| Problem::bad("bad_query", error.to_string()))?
            }
            None => Name::Static(UNKNOWN),
        };
        let correlation = sent.attribute(&CORRELATION_ID)?;
        let correlation = correlation.map(|text| MessageId::parse(&text)).transpose();
        let type_name = sent.attribute(&EVENT_TYPE)?;
        let key = sent.attribute(&IDEMPOTENCY_KEY)?;
        let key = key.map(|text| MessageId::parse(&text)).transpose();
        let bad = |error: factum_core::error::NameError| Problem::bad("bad_header", error.to_string());
        let (correlation_id, key) = (correlation.map_err(bad)?, key.map_err(bad)?);
        if sent.is_list && key.is_some() {
            let detail = "Idempotency-Key is of one message: give each of several its own `id`";
            return Err(Problem::bad("bad_header", detail));
        }
        let id = key.map_or(NoId::FromContent, NoId::Is);
        let timestamp = self.unit.now();
        let spellings = &*self.spellings;
        let type_name = type_name.as_deref();
        let defaults = Defaults { spellings, kind, source, timestamp, id, type_name, correlation_id };
        let mut all = Vec::new();
        for (at, message) in sent.messages()?.into_iter().enumerate() {
            let form = if sent.is_cloudevent { cloudevents::read } else { read };
            let outcome = match form(message.as_bytes(), &defaults) {
                Err(EnvelopeError::Missing { field: "id", .. }) if kind == Kind::Command && !sent.is_cloudevent => {
                    form(message.as_bytes(), &Defaults { id: NoId::Is(no_id()), ..defaults.clone() })
                }
                outcome => outcome,
            };
            all.push(outcome.map_err(|error| sent.placed(at, unreadable(&error)))?);
        }
        Ok(all)
    }

    fn answer(&self, status: StatusCode, messages: Vec<Taken>) -> Response {
        let at = messages.iter().filter_map(|taken| match taken.outcome {
            Outcome::Receipt { position, .. } => Some(Position(position)),
            Outcome::Refused { .. } => None,
        });
        match at.max() {
            Some(at) => (status, position(self.lineage, at), Json(Answer { messages })).into_response(),
            None => (status, Json(Answer { messages })).into_response(),
        }
    }
}

/// Stands for the id that a command does not have.
fn no_id() -> MessageId {
    MessageId::derived(&["a command without id"])
}

/// What was sent, as far as it is known without reading the messages.
struct Sent {
    headers: HeaderMap,
    text: String,
    is_list: bool,
    is_cloudevent: bool,
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let announced =
            parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|bytes| bytes > MAX_EDGE_BYTES as u64) {
            return Err(too_large_for(MAX_EDGE_BYTES));
        }
        let form = Form::of(&parts.headers)?;
        let bytes =
            axum::body::to_bytes(body, MAX_EDGE_BYTES).await.map_err(|error| unread_for(error, MAX_EDGE_BYTES))?;
        let text = match form {
            Form::InHeaders => from_headers(&parts.headers, &bytes)?,
            Form::Json | Form::CloudEvent => text_of(&bytes)?.to_owned(),
        };
        let is_list = text.starts_with('[');
        Ok(Self { headers: parts.headers, text, is_list, is_cloudevent: form != Form::Json })
    }
}

impl Sent {
    /// The messages, each as its JSON.
    fn messages(&self) -> Result<Vec<&str>, Problem> {
        if !self.is_list {
            return Ok(vec![&self.text]);
        }
        let items: Vec<&RawValue> = serde_json::from_str(&self.text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Problem::bad("bad_json", format!("the body is not JSON: {error}")).with("line", line).with("column", column)
        })?;
        match items.len() {
            0 => Err(Problem::invalid("bad_field", "the list holds no message: send one at least")),
            count if count > MAX_IMPORT => {
                let detail = format!("the list holds {count} messages; {MAX_IMPORT} are allowed: send fewer at once");
                Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many", detail))
            }
            _ => Ok(items.into_iter().map(RawValue::get).collect()),
        }
    }

    /// What the transport says in a header.
    fn attribute(&self, name: &HeaderName) -> Result<Option<String>, Problem> {
        let given = only(&self.headers, name)?;
        let text = given.map(|bytes| std::str::from_utf8(bytes).map(str::to_owned)).transpose();
        text.map_err(|_| Problem::bad("bad_header", format!("the header {name} is no text in UTF-8: send it so")))
    }

    /// A refusal that says which of several it is about.
    fn placed(&self, at: usize, problem: Problem) -> Problem {
        if self.is_list { problem.about(format_args!("message {at} of the list"), at) } else { problem }
    }
}

/// How a message stands in a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    CloudEvent,
    InHeaders,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let given = headers
            .get(header::CONTENT_TYPE)
            .map(|given| String::from_utf8_lossy(given.as_bytes()).to_ascii_lowercase());
        let essence =
            given.as_deref().map_or("application/json", |text| text.split(';').next().unwrap_or_default().trim());
        match essence {
            "application/cloudevents+json" | "application/cloudevents-batch+json" => Ok(Self::CloudEvent),
            _ if headers.contains_key("ce-specversion") => Ok(Self::InHeaders),
            "application/json" => Ok(Self::Json),
            _ if essence.starts_with("application/") && essence.ends_with("+json") => Ok(Self::Json),
            _ => {
                let detail = format!("the body is said to be `{essence}`: send JSON as application/json");
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail))
            }
        }
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Problem::bad("not_utf8", format!("the body is not valid UTF-8 from byte {at} on: send JSON as UTF-8"))
    })?;
    Ok(text.trim_start_matches('\u{feff}').trim_ascii())
}

/// A CloudEvent in the binary mode of the HTTP binding, as the structured one.
fn from_headers(headers: &HeaderMap, body: &Bytes) -> Result<String, Problem> {
    let mut fields = serde_json::Map::new();
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix(CE) else { continue };
        let value = only(headers, name)?.unwrap_or_default();
        let value = percent_decode(value).decode_utf8();
        let value = value
            .map_err(|_| Problem::bad("bad_header", format!("the header {name} is no text in UTF-8: send it so")))?;
        // The body is the data, and nothing else.
        if !attribute.starts_with("data") || matches!(attribute, "dataschema" | "dataversion") {
            fields.insert(attribute.to_owned(), value.into_owned().into());
        }
    }
    if let Some(media) = headers.get(header::CONTENT_TYPE) {
        fields.insert("datacontenttype".to_owned(), String::from_utf8_lossy(media.as_bytes()).into());
    }
    let text = match text_of(body)? {
        "" => "{}",
        text => text,
    };
    // Whole by itself: what stands behind it must not become an attribute.
    let data: &RawValue = serde_json::from_str(text)
        .map_err(|error| Problem::bad("bad_json", format!("the body is not JSON: {error}")))?;
    let mut event = serde_json::Value::Object(fields).to_string();
    event.pop();
    Ok(format!("{event}{}\"data\":{data}}}", if event == "{" { "" } else { "," }))
}

fn unreadable(error: &EnvelopeError) -> Problem {
    let detail = error.to_string();
    match error {
        EnvelopeError::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail),
        EnvelopeError::TooDeep { .. } => Problem::bad("too_deep", detail),
        EnvelopeError::NotUtf8 { .. } => Problem::bad("not_utf8", detail),
        EnvelopeError::NotAnObject { .. } => Problem::bad("bad_json", detail),
        EnvelopeError::Missing { field, .. } | EnvelopeError::Field { field, .. } => {
            Problem::invalid("bad_field", detail).with("field", field)
        }
        EnvelopeError::Data { path, .. } => Problem::invalid("bad_field", detail).with("field", path),
        EnvelopeError::Unnamed(_) => Problem::invalid("unknown_name", detail),
    }
}

fn refused(why: &NotTaken) -> Problem {
    let detail = why.to_string();
    match why {
        NotTaken::OwnType { .. } | NotTaken::OwnStream { .. } | NotTaken::OwnSource(_) | NotTaken::OwnCommand(_) => {
            Problem::new(StatusCode::CONFLICT, "owned_here", detail)
        }
        NotTaken::NoEvent(_) | NotTaken::NoCommand(_) => Problem::invalid("wrong_kind", detail),
        NotTaken::NoAddressee(_) => Problem::missing("no_addressee", detail),
        NotTaken::OtherMajor { .. } => Problem::invalid("other_version", detail),
        NotTaken::Misfit { path, .. } => Problem::invalid("bad_field", detail).with("field", path),
        NotTaken::Ahead { .. } => Problem::invalid("bad_time", detail).with("field", "timestamp"),
        NotTaken::TooDeep { .. } => Problem::invalid("too_long_a_chain", detail),
        NotTaken::NoStream(_) => Problem::invalid("bad_field", detail).with("field", "subject"),
        NotTaken::Refused(refusal) => refusal.clone().into(),
    }
}

fn not_imported(error: ImportError, is_list: bool) -> Problem {
    match error {
        ImportError::Refused(all) => match all.first() {
            Some((at, why)) if is_list => {
                let more = all.len() - 1;
                let rest = if more == 0 { String::new() } else { format!(" ({more} more are refused too)") };
                refused(why).about(format_args!("nothing is taken, because of message {at} of the list{rest}"), *at)
            }
            Some((_, why)) => refused(why),
            None => Problem::internal("handler", "the events were refused without a reason"),
        },
        ImportError::TooMany(_) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many", error.to_string()),
        ImportError::Execute(error) => error.into(),
    }
}
