//! The account of a reconciliation: which comparison is under way, and on what the sources differ.

use std::collections::BTreeMap;

use factum_core::{
    decider::{Context, Decider},
    envelope::Envelope,
};
use factum_macros::Rejection;

use super::{
    MOST,
    job::cut,
    messages::{
        Compare, ComparisonBegun, ComparisonFailed, ComparisonFinished, EndComparison, FailComparison, Mismatch,
        MismatchFound, MismatchGone, ReconciliationCommand, ReconciliationEvent, ReportComparison,
    },
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
    #[rejection("no_comparison_under_way", "no comparison of {reconciliation} is under way: there is nothing to end")]
    NotUnderWay { reconciliation: String },
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
            | ReconciliationCommand::Fail(FailComparison { reconciliation, .. })
            | ReconciliationCommand::End(EndComparison { reconciliation, .. }) => reconciliation.clone(),
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
            ReconciliationCommand::End(EndComparison { by, why, .. }) if self.under_way => {
                let reason = cut(format!("ended by {by}: {why}"));
                vec![ReconciliationEvent::Failed(ComparisonFailed { reconciliation, run: self.runs, reason })]
            }
            ReconciliationCommand::End(_) => return Err(No::NotUnderWay { reconciliation }),
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
    /// What is open stays bounded: what is found beyond that is counted, and told when there is room for it.
    fn reported(&self, report: ReportComparison) -> Vec<ReconciliationEvent> {
        let ReportComparison { reconciliation, run, compared, mismatches, found, gone, unsettled } = report;
        let name = || reconciliation.clone();
        let gone: Vec<String> = gone.into_iter().filter(|key| self.open.contains_key(key)).collect();
        let mut room = (MOST + gone.len()).saturating_sub(self.open.len());
        let is_told = |mismatch: &Mismatch| match self.open.get(&mismatch.key) {
            Some(known) => known != mismatch,
            None if room == 0 => false,
            None => {
                room -= 1;
                true
            }
        };
        let found: Vec<Mismatch> = found.into_iter().filter(is_told).collect();
        let gone = gone.into_iter().map(|key| MismatchGone { reconciliation: name(), key }.into());
        let found = found.into_iter().map(|mismatch| MismatchFound { reconciliation: name(), mismatch }.into());
        let finished = ComparisonFinished { reconciliation: name(), run, compared, mismatches, unsettled };
        gone.chain(found).chain([finished.into()]).collect()
    }
}
