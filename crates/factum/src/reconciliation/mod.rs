//! Reconciliation: two sources that should say the same are compared on a schedule, and every difference is an event.
//!
//! ```text
//!  schedule or person ──► reconciliation.compare ──► reconciliation.begun ──► a call reads both sources
//!                                                                                │ what differs twice in a row
//!  reconciliation.mismatch_found (once each), mismatch_gone, finished or failed ◄┘
//!         └──► the declared command
//! ```
//!
//! ```no_run
//! # use factum::{prelude::*, reconciliation::{Mismatch, Reconciled, Reconciliation}, schedule::Schedule};
//! # use std::collections::BTreeMap;
//! # fn declare<Rebuild: factum::payload::Command>(bank: fn() -> BTreeMap<String, i64>, books: fn(App) -> BTreeMap<String, i64>, rebuild: fn(&Mismatch) -> Rebuild) -> Service {
//! Service::new("ledger").reconcile(
//!     Reconciliation::new(Schedule::cron("bank", "30 3 * * *"))
//!         .expected("what the bank has", move |_| async move { Ok(bank()) })
//!         .found("what the books say", move |app| async move { Ok(books(app)) })
//!         .tolerance(|bank, books| (bank - books).abs() <= 1)
//!         .sends(move |mismatch| rebuild(mismatch)),
//! )
//! # }
//! ```
//!
//! Both sources are read while everything goes on, so a difference may only be that one of them is further than the other.
//! What differs is therefore read again after a while, and only what differs in the same way both times is a mismatch; what
//! has moved meanwhile is counted as unsettled, and compared again at the next time. A mismatch is told once, and again only
//! when its values have changed; when it is gone that is told too. As long as there is one, health is degraded and names it.

mod declared;
mod job;
mod ledger;
mod messages;
#[cfg(feature = "http")]
mod routes;
mod rows;
#[cfg(test)]
mod tests;

pub use declared::{Found, Half, Reconciled, Reconciliation};
pub(crate) use job::Slot;
pub use ledger::No;
pub use messages::*;
pub use rows::{MismatchRow, ReconciliationRow};

use factum_core::{
    call::{Breaker, CallSpec, exp},
    envelope::Recorded,
    reaction::{Effects, Reaction},
    service::{Durations, Service},
};

use job::Job;

/// The service that keeps the account of all reconciliations of a program; no other may have its name.
pub const SERVICE: &str = "reconciliation";
/// Mismatches that are open at most, and that one comparison finds, and takes out, at most: so both are bounded, the account and
/// what one comparison writes.
const MOST: usize = 1_000;
/// The longest time for reading both sources, twice.
const LONGEST_MINUTES: u64 = 30;

/// Adds what runs the reconciliations that services declare; answers where the app is put once it runs.
pub(crate) fn added(services: &mut Vec<Service>) -> Slot {
    let slot = Slot::default();
    let jobs: Vec<Job> = services.iter_mut().flat_map(Service::take_parts::<Job>).collect();
    if !jobs.is_empty() {
        services.push(service(jobs, slot.clone()));
    }
    slot
}

fn service(jobs: Vec<Job>, slot: Slot) -> Service {
    let ask = |event: &Recorded<'_, ComparisonBegun>, fx: &mut Effects| {
        let ComparisonBegun { reconciliation, run } = event.data.clone();
        fx.call(COMPARE, Ask { reconciliation, run });
    };
    #[cfg(feature = "http")]
    let names = jobs.iter().map(|job| job.name.clone()).collect();
    let compare = CallSpec::new(COMPARE, job::comparing(jobs, slot), |asked: Ask, reason| {
        let Ask { reconciliation, run } = asked;
        FailComparison { reconciliation, run, reason: reason.to_owned() }.into()
    });
    let compare = compare
        .retry(exp(1.secs(), 4.0).max(5))
        .timeout(LONGEST_MINUTES.minutes())
        .only_reads()
        .window(4)
        // A source that cannot be read says nothing of the others.
        .breaker(Breaker::never());
    let service = Service::new(SERVICE)
        .decider::<ledger::Ledger>()
        .reaction(Reaction::new("ask", ask).calls(COMPARE).by("reconciliation"))
        .call(compare)
        .view(2, rows::reconciliations)
        .view(1, rows::mismatches)
        .needs_person::<ReconciliationRow>("needsPerson", "`GET /factum/v1/reconciliations/{name}` lists them");
    #[cfg(feature = "http")]
    let service = crate::Routed::routes(service, routes::routes(names));
    service
}
