//! An instance for people: folded from its own events alone, so that it can be shown whatever version ran it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{
    FailureKind,
    record::{
        ATTENTION_NEEDED, COMPENSATED, COMPLETED, MOVED, Record, STARTED, STEP_DONE, STEP_FAILED, STEP_RESOLVED,
        STEP_RETRIED, STEP_UNDONE, UNDO_ORDERED, UNDO_SENT, read,
    },
};
use crate::{envelope::Stored, error::HandlerError};

/// An instance of a saga.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Its stream.
    pub saga_id: String,
    /// The definition's name.
    #[serde(rename = "type")]
    pub saga: String,
    /// The version that runs it.
    pub version: u32,
    /// `started`, `undoing`, `needs_attention`, `completed` or `compensated`.
    pub status: &'static str,
    /// Its steps, in the order in which they began.
    pub steps: Vec<ShownStep>,
    /// When it began.
    pub started_at: Timestamp,
    /// When something happened to it last.
    pub changed_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The business transaction.
    pub correlation_id: String,
    /// What the caller is told of the step that failed: a stable word, where the table has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why it does not go on without a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// Why it is open and does not go on by itself: it needs a person, the program lacks its version, or nothing of it has
    /// time left. Told, as the steps' limits are, by who can see its timers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
    /// What its steps need to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<Value>,
    /// What people did about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<ShownAct>,
}

/// One step of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownStep {
    /// Its name.
    pub name: String,
    /// `started`, `completed`, `failed`, `undoing`, `undone` or `skipped`.
    pub status: &'static str,
    /// When its command was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was answered yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// When its undo was confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone_at: Option<Timestamp>,
    /// What was said when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Until when its answer, or its undo's, has time; nothing if it does not wait for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Timestamp>,
}

/// What a person did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownAct {
    /// `step_retried`, `step_resolved`, `undo_ordered` or `moved`.
    pub act: String,
    /// When.
    pub at: Timestamp,
    /// Which step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Who.
    pub by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Shown {
    /// Folds an instance's stream; `None` if nothing has started in it.
    ///
    /// # Errors
    /// [`HandlerError`] if one of its events cannot be read.
    pub fn of(messages: &[Stored]) -> Result<Option<Self>, HandlerError> {
        let mut shown: Option<Self> = None;
        for stored in messages {
            let saga = stored.stream.category();
            let Some((event, record)) = read(saga, stored)? else { continue };
            let at = stored.envelope().timestamp;
            let all = shown.get_or_insert_with(|| Self {
                saga_id: stored.stream.to_string(),
                saga: saga.to_owned(),
                version: record.version.unwrap_or_default(),
                status: "started",
                steps: Vec::new(),
                started_at: at,
                changed_at: at,
                ended_at: None,
                correlation_id: stored.envelope().correlation_id.to_string(),
                error: None,
                attention: None,
                stuck: None,
                facts: None,
                acts: Vec::new(),
            });
            all.take(&event, &record, at);
        }
        Ok(shown)
    }

    fn take(&mut self, event: &str, record: &Record, at: Timestamp) {
        self.changed_at = at;
        if let Some(facts) = &record.facts {
            self.facts = serde_json::from_str(facts.get()).ok();
        }
        if let Some(by) = &record.by {
            let (act, step) = (event.to_owned(), record.step.clone());
            self.acts.push(ShownAct { act, at, step, by: by.clone(), why: record.why.clone() });
        }
        if event != ATTENTION_NEEDED && self.status == "needs_attention" {
            self.attention = None;
            let undoing = self.steps.iter().any(|step| step.status == "undoing");
            self.status = if undoing { "undoing" } else { "started" };
        }
        match event {
            STARTED => self.version = record.version.unwrap_or_default(),
            // Passed over.
            STEP_DONE if record.kind.is_some() => {
                let error = record.reason.clone();
                self.step(record, |step| (step.status, step.failed_at, step.error) = ("skipped", Some(at), error));
            }
            STEP_DONE => self.step(record, |step| (step.status, step.completed_at) = ("completed", Some(at))),
            STEP_RESOLVED if self.status == "undoing" => {
                self.step(record, |step| (step.status, step.undone_at) = ("undone", Some(at)));
            }
            STEP_RESOLVED => self.step(record, |step| (step.status, step.completed_at) = ("completed", Some(at))),
            STEP_RETRIED => self.step(record, |step| step.error = None),
            STEP_FAILED | UNDO_ORDERED => {
                self.status = "undoing";
                self.error.clone_from(&record.error);
                let error = record.reason.clone();
                self.step(record, |step| (step.status, step.failed_at, step.error) = ("failed", Some(at), error));
            }
            UNDO_SENT => self.step(record, |step| step.status = "undoing"),
            STEP_UNDONE => self.step(record, |step| (step.status, step.undone_at) = ("undone", Some(at))),
            COMPLETED => (self.status, self.ended_at) = ("completed", Some(at)),
            COMPENSATED => (self.status, self.ended_at) = ("compensated", Some(at)),
            ATTENTION_NEEDED => {
                self.status = "needs_attention";
                let reason = record.reason.clone().unwrap_or_default();
                let undoing =
                    self.steps.iter().any(|it| record.step.as_ref() == Some(&it.name) && it.status == "undoing");
                let kind = match record.kind {
                    Some(FailureKind::Refused) if !undoing => "was refused",
                    Some(FailureKind::Expired) => "is late",
                    _ => "cannot be undone",
                };
                let step = record.step.clone().unwrap_or_default();
                self.attention = Some(format!("step `{step}` {kind}: {reason}"));
                let error = record.reason.clone();
                self.step(record, |step| (step.failed_at, step.error) = (Some(at), error));
            }
            MOVED => self.moved(record, at),
            _ => {}
        }
        for name in &record.sent {
            self.named(name, |step| (step.status, step.started_at) = ("started", Some(at)));
        }
    }

    /// The steps of the version that it was moved to; what is known of those of the same name stays.
    fn moved(&mut self, record: &Record, at: Timestamp) {
        use super::StepState as S;
        self.version = record.version.unwrap_or_default();
        let before = std::mem::take(&mut self.steps);
        for (name, state) in &record.steps {
            let status = match state {
                S::Waiting => continue,
                S::Sent => "started",
                S::Done => "completed",
                S::Refused => "failed",
                S::Undoing => "undoing",
                S::Undone => "undone",
                S::Skipped => "skipped",
            };
            let known = before.iter().find(|step| step.name == *name).cloned();
            let started_at = (status == "started").then_some(at);
            let step = known.unwrap_or(ShownStep { started_at, ..blank(name) });
            self.steps.push(ShownStep { status, ..step });
        }
    }

    fn step(&mut self, record: &Record, change: impl FnOnce(&mut ShownStep)) {
        if let Some(name) = &record.step {
            self.named(name, change);
        }
    }

    fn named(&mut self, name: &str, change: impl FnOnce(&mut ShownStep)) {
        let at = self.steps.iter().position(|step| step.name == name).unwrap_or_else(|| {
            self.steps.push(blank(name));
            self.steps.len() - 1
        });
        change(&mut self.steps[at]);
    }
}

fn blank(name: &str) -> ShownStep {
    let name = name.to_owned();
    let (started_at, completed_at, failed_at, undone_at) = (None, None, None, None);
    ShownStep { name, status: "started", started_at, completed_at, failed_at, undone_at, error: None, limit: None }
}
