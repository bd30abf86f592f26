//! What caused the messages that follow, and how they get their envelopes.

use std::sync::Arc;

use factum_core::{
    decider::Context,
    envelope::{Draft, Envelope, Kind, Message},
    id::{MessageId, Name},
};
use jiff::Timestamp;

use super::run::Run;
use crate::inbox::Request;

/// What caused the messages that follow.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) id: MessageId,
    pub(super) correlation_id: MessageId,
    pub(super) at: Timestamp,
    pub(super) depth: u16,
    pub(super) user_id: Option<Arc<str>>,
    pub(super) tenant: Option<Arc<str>>,
    pub(super) traceparent: Option<Arc<str>>,
    /// Of a command from outside: what follows at once carries it, and nothing that follows from that.
    pub(super) metadata: Option<Arc<str>>,
    /// Of a command from outside that bears its sender's key.
    pub(super) digest: Option<u64>,
    /// What that command was about, where its decider says so.
    pub(super) repeat_key: Option<u64>,
}

impl Origin {
    pub(super) fn of(envelope: &Envelope) -> Self {
        Self {
            id: envelope.id.clone(),
            correlation_id: envelope.correlation_id.clone(),
            at: envelope.timestamp,
            depth: envelope.depth,
            user_id: envelope.user_id.clone(),
            tenant: envelope.tenant.clone(),
            traceparent: envelope.traceparent.clone(),
            metadata: None,
            digest: None,
            repeat_key: None,
        }
    }

    /// A command from outside, under this id.
    pub(super) fn of_request(request: &Request, id: MessageId, at: Timestamp, digest: Option<u64>) -> Self {
        Self {
            correlation_id: request.correlation_id.clone().unwrap_or_else(|| id.clone()),
            id,
            at,
            depth: 0,
            user_id: request.user_id.clone(),
            tenant: request.tenant.clone(),
            traceparent: request.traceparent.clone(),
            metadata: request.metadata.clone(),
            digest,
            repeat_key: None,
        }
    }

    pub(super) fn context(&self, service: &Name) -> Context {
        Context {
            now: self.at,
            message_id: self.id.clone(),
            correlation_id: self.correlation_id.clone(),
            service: service.clone(),
        }
    }

    /// A message that follows, under this id.
    pub(super) fn message(&self, kind: Kind, draft: Draft, source: &Name, key: &str, id: MessageId) -> Message {
        let envelope = Envelope {
            id,
            kind,
            type_name: draft.type_name,
            source: source.clone(),
            data_version: draft.version,
            timestamp: self.at,
            correlation_id: self.correlation_id.clone(),
            causation_id: Some(self.id.clone()),
            partition_key: Arc::from(key),
            user_id: self.user_id.clone(),
            tenant: self.tenant.clone(),
            traceparent: self.traceparent.clone(),
            metadata: self.metadata.clone(),
            depth: self.depth.saturating_add(1),
            digest: self.digest,
            repeat_key: self.repeat_key,
        };
        Message { envelope, data: draft.data }
    }
}

impl Run<'_> {
    pub(super) fn message(&mut self, kind: Kind, draft: Draft, origin: &Origin, source: &Name, key: &str) -> Message {
        let id = self.work.ids.next(origin.at);
        origin.message(kind, draft, source, key, id)
    }
}
