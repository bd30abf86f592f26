//! The fraud room: whether an order looks like fraud, from how much and how often its customer orders.

pub mod http;
pub mod reactions;
pub mod views;

use factum::prelude::*;

use crate::contracts::{
    fraud::{CheckTransaction, TransactionChecked},
    process::Process,
    shapes::Verdict,
};

/// The fraud service.
pub fn service(policy: reactions::Policy, process: Process) -> Service {
    Service::new("fraud")
        .source("fraud-service")
        .owns("check")
        .folding(reactions::velocity(policy, process))
        .answers(
            Replies::to::<CheckTransaction>()
                .done_if::<TransactionChecked>(|e| e.verdict == Verdict::Cleared)
                .refused_if::<TransactionChecked>(|e| (e.verdict == Verdict::Flagged).then(|| e.reasons.join(", ")))
                .nothing_to_undo()
                .error("fraud"),
        )
        .view(1, views::checks)
        .routes(http::routes())
}
