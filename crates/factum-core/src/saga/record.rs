//! What stands in an instance's own stream: one record an event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FailureKind, Status, StepState, calls::Asked};
use crate::{
    envelope::{Kind, Stored},
    error::HandlerError,
};

/// Every event of an instance's own stream.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) step: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) sent: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) kind: Option<FailureKind>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) reason: Option<String>,
    /// What the caller of the process is told of a failure.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) facts: Option<Box<serde_json::value::RawValue>>,
    /// Of an instance that is moved: the version that ran it before, and how it stands.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) from: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty", default, with = "in_order")]
    pub(super) steps: Vec<(String, StepState)>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(super) asked: BTreeMap<String, Asked>,
    /// Who did it, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) why: Option<String>,
}

pub(super) const EMPTY: Record = Record {
    version: None,
    step: None,
    sent: Vec::new(),
    kind: None,
    reason: None,
    error: None,
    attempt: None,
    facts: None,
    from: None,
    status: None,
    steps: Vec::new(),
    asked: BTreeMap::new(),
    by: None,
    why: None,
};

/// Steps as a map whose order is that of the table.
mod in_order {
    use std::fmt;

    use serde::{
        Deserializer, Serializer,
        de::{MapAccess, Visitor},
    };

    use super::StepState;

    type Steps = Vec<(String, StepState)>;

    pub(super) fn serialize<S: Serializer>(steps: &Steps, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(steps.iter().map(|(name, state)| (name, state)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Steps, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Steps;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of steps")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Steps, A::Error> {
                let mut steps = Steps::new();
                while let Some(step) = map.next_entry()? {
                    steps.push(step);
                }
                Ok(steps)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Expire {
    pub(super) step: String,
    pub(super) undo: bool,
}

pub(super) const STARTED: &str = "started";
pub(super) const STEP_DONE: &str = "step_done";
pub(super) const STEP_HELD: &str = "step_held";
pub(super) const STEP_FAILED: &str = "step_failed";
pub(super) const UNDO_SENT: &str = "undo_sent";
pub(super) const STEP_UNDONE: &str = "step_undone";
pub(super) const COMPLETED: &str = "completed";
pub(super) const COMPENSATED: &str = "compensated";
pub(super) const ATTENTION_NEEDED: &str = "attention_needed";
pub(super) const STEP_RETRIED: &str = "step_retried";
pub(super) const STEP_RESOLVED: &str = "step_resolved";
pub(super) const UNDO_ORDERED: &str = "undo_ordered";
pub(super) const MOVED: &str = "moved";

/// All of them.
pub(super) const EVENTS: [&str; 13] = [
    STARTED,
    STEP_DONE,
    STEP_HELD,
    STEP_FAILED,
    UNDO_SENT,
    STEP_UNDONE,
    COMPLETED,
    COMPENSATED,
    ATTENTION_NEEDED,
    STEP_RETRIED,
    STEP_RESOLVED,
    UNDO_ORDERED,
    MOVED,
];

/// The record of an instance's own event, with its name in the saga; `None` of anything else.
pub(super) fn read(saga: &str, stored: &Stored) -> Result<Option<(String, Record)>, HandlerError> {
    let own = stored.type_name().strip_prefix(saga).and_then(|rest| rest.strip_prefix('.'));
    let Some(event) = own.filter(|_| stored.envelope().kind == Kind::Event) else { return Ok(None) };
    let record = serde_json::from_slice(&stored.message.data)
        .map_err(|error| HandlerError::Payload(format!("{}: {error}", stored.type_name())))?;
    Ok(Some((event.to_owned(), record)))
}
