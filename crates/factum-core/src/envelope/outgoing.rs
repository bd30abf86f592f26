//! A message of a service that writes beside the engine: it gives its envelope itself.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Draft, Envelope, Kind, Message};
use crate::{
    commit::{Append, Commit},
    id::{MessageId, Name},
    payload::{Event, PayloadError},
    stream::{ExpectedVersion, StreamId},
};

/// An event with its stream, about to be written. A commit is made of one, or collected from several.
#[derive(Clone, Debug)]
pub struct Outgoing {
    stream: StreamId,
    expected: ExpectedVersion,
    message: Message,
}

impl Outgoing {
    /// An event of a service, under this id, that happened then. It begins a business transaction of its own, and stands at the
    /// stream's end, whatever is there.
    ///
    /// # Errors
    /// [`PayloadError::Encode`] if it has no JSON form.
    pub fn event<E: Event>(
        source: &Name,
        stream: StreamId,
        event: &E,
        id: MessageId,
        at: Timestamp,
    ) -> Result<Self, PayloadError> {
        let Draft { type_name, version, data } = Draft::of(event)?;
        let envelope = Envelope {
            correlation_id: id.clone(),
            id,
            kind: Kind::Event,
            type_name,
            source: source.clone(),
            data_version: version,
            timestamp: at,
            causation_id: None,
            partition_key: Arc::from(stream.key()),
            user_id: None,
            tenant: None,
            traceparent: None,
            metadata: None,
            depth: 0,
            digest: None,
            repeat_key: None,
        };
        Ok(Self { stream, expected: ExpectedVersion::Any, message: Message { envelope, data } })
    }

    /// Under this id: one that is derived from the request is the same each time it is made.
    #[must_use]
    pub fn id(mut self, id: MessageId) -> Self {
        let envelope = &mut self.message.envelope;
        if envelope.correlation_id == envelope.id {
            envelope.correlation_id = id.clone();
        }
        envelope.id = id;
        self
    }

    /// As part of this business transaction.
    #[must_use]
    pub fn correlated(mut self, id: MessageId) -> Self {
        self.message.envelope.correlation_id = id;
        self
    }

    /// As what follows from another message: in its business transaction, for its user and tenant.
    #[must_use]
    pub fn caused_by(mut self, cause: &Envelope) -> Self {
        let envelope = &mut self.message.envelope;
        envelope.correlation_id = cause.correlation_id.clone();
        envelope.causation_id = Some(cause.id.clone());
        envelope.user_id.clone_from(&cause.user_id);
        envelope.tenant.clone_from(&cause.tenant);
        envelope.traceparent.clone_from(&cause.traceparent);
        envelope.depth = cause.depth.saturating_add(1);
        self
    }

    /// Asked for by this user.
    #[must_use]
    pub fn by_user(mut self, id: &str) -> Self {
        self.message.envelope.user_id = Some(Arc::from(id));
        self
    }

    /// Only if the stream is as expected.
    #[must_use]
    pub fn expecting(mut self, expected: ExpectedVersion) -> Self {
        self.expected = expected;
        self
    }

    /// Its envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.message.envelope
    }
}

impl From<Outgoing> for Append {
    fn from(Outgoing { stream, expected, message }: Outgoing) -> Self {
        Self { stream, expected, writer: message.envelope.source.clone(), messages: vec![message] }
    }
}

impl From<Outgoing> for Commit {
    fn from(outgoing: Outgoing) -> Self {
        Self::from_iter([outgoing])
    }
}

impl FromIterator<Outgoing> for Commit {
    fn from_iter<I: IntoIterator<Item = Outgoing>>(messages: I) -> Self {
        Self { appends: messages.into_iter().map(Append::from).collect(), cells: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Payload, TypeInfo};

    struct Sent;

    impl Payload for Sent {
        fn types() -> Vec<TypeInfo> {
            vec![TypeInfo::new("bill.sent", "1.2.0", || schemars::json_schema!(true))]
        }
        fn type_info(&self) -> TypeInfo {
            Self::types().remove(0)
        }
        fn decode(_: &str, _: &[u8]) -> Result<Self, PayloadError> {
            Ok(Self)
        }
        fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
            out.extend_from_slice(b"{}");
            Ok(())
        }
    }
    impl Event for Sent {}

    fn outgoing(id: &str) -> Outgoing {
        let stream = StreamId::parse("bill-7").unwrap();
        let id = MessageId::parse(id).unwrap();
        Outgoing::event(&Name::Static("bills"), stream, &Sent, id, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn an_event_of_its_own_begins_a_business_transaction() {
        let first = outgoing("m-1");
        let envelope = first.envelope();
        assert_eq!((&envelope.correlation_id, &envelope.causation_id), (&envelope.id, &None));
        assert_eq!((&*envelope.type_name, &*envelope.data_version), ("bill.sent", "1.2.0"));
        assert_eq!((&*envelope.source, &*envelope.partition_key, envelope.depth), ("bills", "7", 0));
        let renamed = first.id(MessageId::parse("m-9").unwrap());
        assert_eq!(renamed.envelope().correlation_id, renamed.envelope().id);
    }

    #[test]
    fn what_follows_from_another_message_is_one_deeper_in_its_transaction() {
        let cause = outgoing("m-1").correlated(MessageId::parse("c-1").unwrap()).by_user("ada");
        let effect = outgoing("m-2").caused_by(cause.envelope()).id(MessageId::parse("m-3").unwrap());
        let envelope = effect.envelope();
        assert_eq!(envelope.correlation_id.to_string(), "c-1");
        assert_eq!(envelope.causation_id.as_ref().map(ToString::to_string).as_deref(), Some("m-1"));
        assert_eq!((envelope.user_id.as_deref(), envelope.depth), (Some("ada"), 1));
    }

    #[test]
    fn several_are_one_commit_in_their_order() {
        let commit: Commit =
            [outgoing("m-1"), outgoing("m-2").expecting(ExpectedVersion::StreamExists)].into_iter().collect();
        let expected: Vec<_> = commit.appends.iter().map(|append| append.expected).collect();
        assert_eq!(expected, [ExpectedVersion::Any, ExpectedVersion::StreamExists]);
        assert!(commit.appends.iter().all(|append| append.writer == "bills" && append.messages.len() == 1));
        assert_eq!(Commit::from(outgoing("m-1")).appends.len(), 1);
    }
}
