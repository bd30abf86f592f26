//! What a consumer orders by: the key that is held when one of its messages fails.

use factum_core::{
    envelope::{Kind, Stored},
    error::HandlerError,
    payload::field,
    reaction::OnDead,
    stream::StreamId,
};

use super::batch::Rejected;
use crate::registry::{ConsumerId, Handler, Registry};

/// The key of a message for a consumer: a saga's instance, the field that a reaction has declared, else the partition
/// key, which of a command is its sender's; of a rejection it is that of whoever sent the command.
pub(super) fn key_of(registry: &Registry, id: ConsumerId, stored: &Stored) -> Result<String, HandlerError> {
    let service = registry.service(id);
    let kind = stored.envelope().kind;
    let by = match registry.consumer(id).handler {
        Handler::Saga(at) if kind == Kind::Event => {
            return super::guard(|| service.sagas[at].instance_of(stored)).map(|stream| stream.key().to_owned());
        }
        Handler::Saga(_) | Handler::Folding(_) if kind == Kind::Rejection => {
            let rejected: Rejected = serde_json::from_slice(&stored.message.data).map_err(HandlerError::failed)?;
            return Ok(StreamId::parse(&rejected.sender)?.key().to_owned());
        }
        Handler::Reaction(at) => service.reactions[at].by,
        Handler::Folding(at) if kind == Kind::Event => service.foldings[at].by(),
        Handler::Saga(_) | Handler::Folding(_) | Handler::Decider(_) | Handler::Group(_) => None,
    };
    let Some(name) = by else { return Ok(stored.envelope().partition_key.to_string()) };
    let found = field(&stored.message.data, name)
        .map_err(|error| HandlerError::Payload(format!("{} has no text `{name}`: {error}", stored.type_name())))?;
    found.ok_or_else(|| {
        let reader = &registry.consumer(id).name;
        HandlerError::Failed(format!("{reader} orders by `{name}`, which {} does not carry", stored.type_name()))
    })
}

/// Whether a consumer's key is held when one of its messages fails.
pub(super) fn on_dead(registry: &Registry, id: ConsumerId) -> OnDead {
    let service = registry.service(id);
    match registry.consumer(id).handler {
        Handler::Reaction(at) => service.reactions[at].on_dead,
        Handler::Folding(at) => service.foldings[at].on_dead(),
        Handler::Group(at) if !service.groups[at].is_ordered() => OnDead::Release,
        Handler::Decider(_) | Handler::Saga(_) | Handler::Group(_) => OnDead::Hold,
    }
}
