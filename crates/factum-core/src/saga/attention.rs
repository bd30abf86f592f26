//! The event that says that an instance of a saga needs a person.

use serde::{Deserialize, Serialize};

use super::FailureKind;
use crate::payload::{Event, Payload, PayloadError, TypeInfo};

/// An instance does not go on without a person: a step behind the pivot was refused or is late, or an undo keeps failing.
///
/// The platform writes it in the commit in which it happens, to the stream `saga-<instance>`. React to it to call somebody:
/// `.react("page", |event: &Recorded<AttentionNeeded>, fx| …)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttentionNeeded {
    /// The instance: its stream.
    pub saga_id: String,
    /// The definition's name.
    pub saga: String,
    /// The definition's version.
    pub version: u32,
    /// The step.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub step: Option<String>,
    /// In what way it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<FailureKind>,
    /// What was said.
    pub reason: String,
}

/// Its type.
const NAME: &str = "saga.attention_needed";

impl Payload for AttentionNeeded {
    fn types() -> Vec<TypeInfo> {
        vec![TypeInfo::new(NAME, "1.0.0", || schemars::schema_for!(AttentionNeeded))]
    }
    fn type_info(&self) -> TypeInfo {
        TypeInfo::new(NAME, "1.0.0", || schemars::schema_for!(AttentionNeeded))
    }
    fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError> {
        if name != NAME {
            return Err(PayloadError::UnknownType(name.to_owned()));
        }
        serde_json::from_slice(data).map_err(|error| PayloadError::decode(name, &error))
    }
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
        serde_json::to_writer(out, self).map_err(|error| PayloadError::encode(NAME, &error))
    }
}
impl Event for AttentionNeeded {}
