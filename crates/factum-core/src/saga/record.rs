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
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) facts: Option<Box<serde_json::value::RawValue>>,
    /// Of an instance that is moved: the version that ran it before, and how it stands.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) from: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) status: Option<Status>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(super) steps: BTreeMap<String, StepState>,
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
    attempt: None,
    facts: None,
    from: None,
    status: None,
    steps: BTreeMap::new(),
    asked: BTreeMap::new(),
    by: None,
    why: None,
};

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
