//! What a reconciliation is told, and what happened.

use factum_core::call::CallTo;
use factum_macros::{Command, Event};
use serde_json::Value;

/// Asks for a comparison now. Rejected while one is under way.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("reconciliation.compare", own)]
pub struct Compare {
    /// `<service>.<name>`.
    pub reconciliation: String,
}

/// What a comparison came to.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("reconciliation.report", own)]
pub struct ReportComparison {
    /// `<service>.<name>`.
    pub reconciliation: String,
    /// Which comparison of it.
    pub run: u64,
    /// Keys that one of the sources has.
    pub compared: u64,
    /// Keys on which they differ.
    pub mismatches: u64,
    /// Those of them that are not open yet, or differ otherwise than what is: as many as are named at once.
    pub found: Vec<Mismatch>,
    /// Those that are open, and on which the sources agree now: as many as are named at once.
    pub gone: Vec<String>,
    /// What differed and has moved meanwhile.
    pub unsettled: u64,
}

/// A comparison could not be made.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("reconciliation.fail", own)]
pub struct FailComparison {
    /// `<service>.<name>`.
    pub reconciliation: String,
    /// Which comparison of it.
    pub run: u64,
    /// What stood in the way.
    pub reason: String,
}

/// A person ends the comparison under way: nothing is waited for any more. Rejected while none is.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("reconciliation.end", own)]
pub struct EndComparison {
    /// `<service>.<name>`.
    pub reconciliation: String,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

/// What a reconciliation is told.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ReconciliationCommand {
    Compare(Compare),
    Report(ReportComparison),
    Fail(FailComparison),
    End(EndComparison),
}

/// How a comparison ends.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum Ended {
    Report(ReportComparison),
    Fail(FailComparison),
}

/// A key on which the sources differ.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mismatch {
    /// The key; of one above 512 bytes the beginning, its length and a digest.
    pub key: String,
    /// What it should be; absent if it should not be there. A value above 1 KiB is cut, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// What it is; absent if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Value>,
}

/// A comparison was begun.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("reconciliation.begun")]
pub struct ComparisonBegun {
    /// `<service>.<name>`.
    pub reconciliation: String,
    /// Which comparison of it, counted from 1.
    pub run: u64,
}

/// The sources differ on a key. Published once, and again when the values have changed.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("reconciliation.mismatch_found")]
pub struct MismatchFound {
    /// `<service>.<name>`.
    pub reconciliation: String,
    /// On what they differ, and how.
    pub mismatch: Mismatch,
}

/// The sources agree on a key on which they differed.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("reconciliation.mismatch_gone")]
pub struct MismatchGone {
    /// `<service>.<name>`.
    pub reconciliation: String,
    /// On what they differed.
    pub key: String,
}

/// A comparison was made.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("reconciliation.finished")]
pub struct ComparisonFinished {
    /// `<service>.<name>`.
    pub reconciliation: String,
    /// Which comparison of it.
    pub run: u64,
    /// Keys that one of the sources has.
    pub compared: u64,
    /// Keys on which they differ, the further ones included.
    pub mismatches: u64,
    /// What differed and has moved meanwhile.
    pub unsettled: u64,
}

/// A comparison could not be made: a source cannot be read, or a person has ended it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("reconciliation.failed")]
pub struct ComparisonFailed {
    /// `<service>.<name>`.
    pub reconciliation: String,
    /// Which comparison of it.
    pub run: u64,
    /// What stood in the way.
    pub reason: String,
}

/// What can happen to a reconciliation.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ReconciliationEvent {
    Begun(ComparisonBegun),
    MismatchFound(MismatchFound),
    MismatchGone(MismatchGone),
    Finished(ComparisonFinished),
    Failed(ComparisonFailed),
}

/// The call that reads both sources.
pub(super) const COMPARE: CallTo<Ask, Ended> = CallTo::new("compare");

/// What it is asked.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ask {
    pub(super) reconciliation: String,
    pub(super) run: u64,
}
