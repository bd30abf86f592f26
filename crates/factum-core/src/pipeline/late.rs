//! The event that says that another one came too late for its window.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::payload::{Event, Payload, PayloadError, TypeInfo};

/// An event came when a window that it belongs to had closed: what was told of the window lacks it. Published by each
/// pipeline with windows, in the stream of the key, beside its results; so late events can be counted, and a result be
/// corrected by hand. The type is shared by all services that have pipelines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventLate {
    /// The pipeline.
    pub pipeline: String,
    /// The key of the aggregate that lacks it.
    pub key: String,
    /// The window began then.
    pub from: Timestamp,
    /// And ended then.
    pub to: Timestamp,
    /// The late event.
    pub event_id: String,
    /// Its type.
    pub event_type: String,
    /// When it happened.
    pub at: Timestamp,
    /// Milliseconds of lateness that the pipeline would have had to allow beyond what it does; a part counts as one.
    pub late_by_ms: i64,
}

impl EventLate {
    /// The type's name.
    pub const TYPE: &str = "pipeline.event_late";
}

const INFO: TypeInfo = TypeInfo::new(EventLate::TYPE, "1.0.0", || schemars::schema_for!(EventLate));

impl Payload for EventLate {
    fn types() -> Vec<TypeInfo> {
        vec![INFO]
    }

    fn type_info(&self) -> TypeInfo {
        INFO
    }

    fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError> {
        if name != Self::TYPE {
            return Err(PayloadError::UnknownType(name.to_owned()));
        }
        serde_json::from_slice(data).map_err(|cause| PayloadError::decode(name, &cause))
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
        serde_json::to_writer(out, self).map_err(|cause| PayloadError::encode(Self::TYPE, &cause))
    }
}

impl Event for EventLate {}
