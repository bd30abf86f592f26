//! The JSON forms that messages come in: an envelope in every spelling of its fields, and what others put around one.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    EnvelopeError, Kind, Spellings,
    read::{Fields, MAX_DEPTH, Raw},
    rules::{Notes, with_field},
};
use crate::{commit::MAX_MESSAGE_BYTES, id::MessageId};

/// What the envelope around data and metadata may take on top of [`MAX_MESSAGE_BYTES`].
const ENVELOPE_BYTES: usize = 16 << 10;
/// How deep records and dead letters may be wrapped into each other.
const MOST_WRAPS: usize = 4;

/// Every spelling of every field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Form<'a> {
    specversion: Raw<'a>,
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
    /// Of a broker's record.
    topic: Raw<'a>,
    event: Raw<'a>,
    /// Of a dead letter.
    original_event: Raw<'a>,
    /// Of a saga's command.
    saga_id: Raw<'a>,
    order_id: Raw<'a>,
    current_step: Raw<'a>,
    service: Raw<'a>,
    action: Raw<'a>,
}

/// A saga's command: what is to be done, and by whom.
#[derive(Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Asked<'a> {
    service: Raw<'a>,
    action: Raw<'a>,
    data: Raw<'a>,
}

impl<'a> Form<'a> {
    pub(super) fn is_cloudevent(&self) -> bool {
        self.specversion.some().is_some()
    }

    /// What is in a record or a dead letter, with its text; what stands around it says what the message itself does not.
    pub(super) fn unwrapped(mut self, mut text: &'a str) -> Result<(Self, &'a str), EnvelopeError> {
        for _ in 0..MOST_WRAPS {
            let record = if self.data.some().is_some() { Raw::default() } else { self.event };
            let Some(inner) = self.original_event.or(record).some().filter(|raw| raw.get().starts_with('{')) else {
                return Ok((self, text));
            };
            text = inner.get();
            let inner: Self = serde_json::from_str(inner.get())
                .map_err(|cause| EnvelopeError::NotAnObject { cause: cause.to_string() })?;
            self = Self {
                event_type: inner.event_type.or(if inner.type_name.some().is_none() {
                    self.event_type
                } else {
                    inner.type_name
                }),
                correlation_id: inner.correlation_id.or(self.correlation_id),
                topic: inner.topic.or(self.topic),
                ..inner
            };
        }
        let cause = format!("records and dead letters stand in each other more than {MOST_WRAPS} deep");
        Err(EnvelopeError::NotAnObject { cause })
    }

    pub(super) fn into_fields(self, spellings: &Spellings) -> Result<Fields<'a>, EnvelopeError> {
        let is_command = self.command.some().is_some() || self.command_id.some().is_some();
        let asked = self.asked()?;
        let mut fields = Fields {
            id: self.id.or(self.event_id).or(self.command_id),
            kind: self.kind,
            is_command,
            type_name: None,
            topic: self.topic,
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
            data: self.data.some().map(|raw| Cow::Borrowed(raw.get())),
            derived_id: None,
            notes: Notes::default(),
        };
        match asked {
            Some(asked) => self.saga_command(asked, spellings, &mut fields)?,
            None => fields.type_name = self.type_name.or(self.event_type).or(self.command).text("type")?,
        }
        Ok(fields)
    }

    /// What a saga's command asks for, if it is one.
    fn asked(&self) -> Result<Option<Asked<'a>>, EnvelopeError> {
        match self.command.some() {
            Some(command) if command.get().starts_with('{') => {
                let asked = serde_json::from_str(command.get()).map_err(|cause| EnvelopeError::Field {
                    field: "command",
                    problem: format!(
                        "is no command ({cause}): send `{{\"service\": …, \"action\": …, \"data\": {{…}}}}`"
                    ),
                })?;
                Ok(Some(asked))
            }
            _ if self.action.some().is_some()
                && self.type_name.or(self.event_type).or(self.command).some().is_none() =>
            {
                Ok(Some(Asked { service: self.service, action: self.action, data: self.data }))
            }
            _ => Ok(None),
        }
    }

    /// A saga's command belongs to the saga's transaction and is about its order. Sent again it bears the same id.
    fn saga_command(
        &self,
        asked: Asked<'a>,
        spellings: &Spellings,
        fields: &mut Fields<'a>,
    ) -> Result<(), EnvelopeError> {
        let action = asked.action.or(self.action).text("action")?;
        let action =
            action.ok_or(EnvelopeError::Missing { field: "command", remedy: "say what to do, as its `action`" })?;
        let service = asked.service.or(self.service).text("service")?.unwrap_or_default();
        fields.is_command = true;
        fields.type_name = Some(match spellings.knows(Kind::Command, &action) || action.contains('.') {
            true => action.clone(),
            false => {
                let ours = spellings.source(&service).map_err(EnvelopeError::Unnamed)?;
                Cow::Owned(format!("{}.{action}", ours.strip_suffix("-service").unwrap_or(&ours)))
            }
        });
        let saga = self.saga_id.text("sagaId")?;
        if fields.correlation_id.some().is_none() {
            fields.correlation_id = self.saga_id;
        }
        let step = self.current_step.text("currentStep")?.unwrap_or_default();
        if let Some(saga) = &saga {
            fields.derived_id = Some(MessageId::derived(&["saga", saga, &step, &service, &action]));
        }
        let data = asked.data.or(self.data).some().map_or("{}", |raw| raw.get());
        fields.data = Some(match self.order_id.some() {
            Some(order) => with_field(data, "orderId", order.get()),
            None => Cow::Borrowed(data),
        });
        Ok(())
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
