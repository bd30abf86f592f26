//! What librdkafka says, by what can be done about it.

use factum_core::ports::TransportError;
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};

/// Another one has this publisher's name now.
pub(super) fn is_fenced(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(code, Fenced | InvalidProducerEpoch | ProducerFenced)
}

/// What no waiting helps against.
fn is_for_good(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, GroupAuthorizationFailed, InvalidConfig, InvalidTopic, PolicyViolation,
        SaslAuthenticationFailed, TopicAuthorizationFailed, TransactionalIdAuthorizationFailed, UnsupportedVersion,
    };
    matches!(
        code,
        ClusterAuthorizationFailed
            | GroupAuthorizationFailed
            | InvalidConfig
            | InvalidTopic
            | PolicyViolation
            | SaslAuthenticationFailed
            | TopicAuthorizationFailed
            | TransactionalIdAuthorizationFailed
            | UnsupportedVersion
    )
}

/// An error of a question or a setting up.
pub(super) fn away(error: KafkaError) -> TransportError {
    let code = error.rdkafka_error_code();
    match code {
        Some(code) if is_fenced(code) => TransportError::Fenced(error.to_string()),
        Some(code) if is_for_good(code) => TransportError::Permanent(format!("Kafka refuses it: {error}")),
        _ => TransportError::Away(error.to_string()),
    }
}

/// A setting that cannot be. Its value is not told: it may be a password.
pub(super) fn wrong(error: KafkaError) -> TransportError {
    TransportError::Permanent(match error {
        KafkaError::ClientConfig(_, why, name, value) => {
            let why = if value.is_empty() { why } else { why.replace(&value, "…") };
            format!("Kafka cannot be used so: `{name}`: {why}")
        }
        // Such as a certificate that cannot be read, or a mechanism that this program has not.
        error => format!("Kafka cannot be used so: {error}"),
    })
}
