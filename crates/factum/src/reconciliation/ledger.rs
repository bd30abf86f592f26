//! The account of a reconciliation: which comparison is under way, and on what the sources differ.

use std::collections::BTreeMap;

use factum_core::{
    decider::{Context, Decider},
    envelope::Envelope,
};
use factum_macros::Rejection;

use super::messages::{
    Compare, ComparisonBegun, ComparisonFailed, ComparisonFinished, FailComparison, Mismatch, MismatchFound,
    MismatchGone, ReconciliationCommand, ReconciliationEvent, ReportComparison,
};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    runs: u64,
    under_way: bool,
    open: BTreeMap<String, Mismatch>,
}

/// Why it does not do what it is told.
#[derive(Debug, PartialEq, Rejection)]
#[allow(missing_docs, reason = "the sentences say what they are")]
pub enum No {
    #[rejection("comparison_under_way", "comparison {run} of {reconciliation} is under way: wait until it has ended")]
    UnderWay { reconciliation: String, run: u64 },
}

impl Decider for Ledger {
    const CATEGORY: &'static str = super::SERVICE;
    type Id = String;
    type Command = ReconciliationCommand;
    type Event = ReconciliationEvent;
    type Rejection = No;

    fn address(command: &ReconciliationCommand, _: &Envelope) -> String {
        match command {
            ReconciliationCommand::Compare(Compare { reconciliation })
            | ReconciliationCommand::Report(ReportComparison { reconciliation, .. })
            | ReconciliationCommand::Fail(FailComparison { reconciliation, .. }) => reconciliation.clone(),
        }
    }

    fn decide(&self, id: &String, command: ReconciliationCommand, _: &Context) -> Result<Vec<ReconciliationEvent>, No> {
        let reconciliation = id.clone();
        let is_current = |run: u64| self.under_way && run == self.runs;
        Ok(match command {
            ReconciliationCommand::Compare(_) if self.under_way => {
                return Err(No::UnderWay { reconciliation, run: self.runs });
            }
            ReconciliationCommand::Compare(_) => {
                vec![ReconciliationEvent::Begun(ComparisonBegun { reconciliation, run: self.runs + 1 })]
            }
            ReconciliationCommand::Report(report) if is_current(report.run) => self.reported(report),
            ReconciliationCommand::Fail(FailComparison { run, reason, .. }) if is_current(run) => {
                vec![ReconciliationEvent::Failed(ComparisonFailed { reconciliation, run, reason })]
            }
            // Of a comparison that has ended.
            ReconciliationCommand::Report(_) | ReconciliationCommand::Fail(_) => vec![],
        })
    }

    fn evolve(&mut self, event: &ReconciliationEvent) {
        match event {
            ReconciliationEvent::Begun(e) => (self.runs, self.under_way) = (e.run, true),
            ReconciliationEvent::MismatchFound(e) => {
                self.open.insert(e.mismatch.key.clone(), e.mismatch.clone());
            }
            ReconciliationEvent::MismatchGone(e) => _ = self.open.remove(&e.key),
            ReconciliationEvent::Finished(_) | ReconciliationEvent::Failed(_) => self.under_way = false,
        }
    }
}

impl Ledger {
    fn reported(&self, report: ReportComparison) -> Vec<ReconciliationEvent> {
        let ReportComparison { reconciliation, run, compared, mismatches, more, unsettled } = report;
        let total = mismatches.len() as u64 + more;
        let differ: BTreeMap<String, Mismatch> = mismatches.into_iter().map(|it| (it.key.clone(), it)).collect();
        // Where not all that differ are named, one that is not named may still differ; so may one that has moved.
        let gone = self.open.keys().filter(|key| more == 0 && unsettled == 0 && !differ.contains_key(*key));
        let mut events: Vec<ReconciliationEvent> = gone
            .map(|key| MismatchGone { reconciliation: reconciliation.clone(), key: key.clone() })
            .map(ReconciliationEvent::MismatchGone)
            .collect();
        let new = differ.into_values().filter(|mismatch| self.open.get(&mismatch.key) != Some(mismatch));
        events.extend(new.map(|mismatch| {
            ReconciliationEvent::MismatchFound(MismatchFound { reconciliation: reconciliation.clone(), mismatch })
        }));
        let finished = ComparisonFinished { reconciliation, run, compared, mismatches: total, unsettled };
        events.push(ReconciliationEvent::Finished(finished));
        events
    }
}
