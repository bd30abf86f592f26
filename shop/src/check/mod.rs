//! Checking a shop's log from outside: is anything lost, doubled, or half done?
//!
//! - orders: every order has ended, or something is under way for it (a timer, an open call, an unread message; a parcel, where
//!   no saga runs it);
//! - sagas: every process has exactly one end, or is under way;
//! - money: captured = totals of orders behind the pivot; given back = returns + credits, and never more than was captured;
//!   held at the provider = what open orders may hold; no refund without a capture or a credit; no sum that wraps;
//! - pieces: none comes back twice, and no order is shipped, delivered or paid out of its turn;
//! - parcels: of a cancelled order none is left with the carrier, but one that was brought before; no order is shipped without
//!   one;
//! - stock: per article received + found − written off = on hand + reserved + shipped − returned, and nothing negative.

use std::collections::{BTreeMap, BTreeSet};

use factum::{Archive, UnderWay, prelude::*};
use serde::Serialize;

use crate::contracts::ids::OrderId;

mod money;
mod parcels;
mod stock;
#[cfg(test)]
mod tests;

/// Findings that are named one by one; the rest is only counted.
const NAMED: usize = 20;

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct Findings {
    pub orders: u64,
    pub orders_under_way: u64,
    pub sagas: u64,
    pub sagas_under_way: u64,
    pub articles: u64,
    pub captured: i64,
    pub refunded: i64,
    /// What is decided with the provider and waits: it is away, or it has refused.
    pub open_payments: u64,
    /// Sentences; empty if all is well.
    pub problems: Vec<String>,
    /// How many problems there are.
    pub problem_count: u64,
}

impl Findings {
    /// Whether all is well.
    pub fn is_well(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, problem: String) {
        self.problem_count += 1;
        if self.problems.len() < NAMED {
            self.problems.push(problem);
        }
    }
}

/// Checks a log.
///
/// # Errors
/// [`HandlerError`] if the log cannot be read.
pub fn check(archive: &Archive) -> Result<Findings, HandlerError> {
    let mut findings = Findings::default();
    let under_way = archive.under_way().map_err(HandlerError::failed)?;
    let of_sagas = check_sagas(archive, &mut findings, &under_way)?;
    let ended = money::check(archive, &mut findings, &under_way, &of_sagas)?;
    parcels::check(archive, &mut findings, &under_way)?;
    stock::check(archive, &mut findings, &ended)?;
    Ok(findings)
}

/// Answers which orders a saga runs; the others are choreographed.
fn check_sagas(
    archive: &Archive,
    findings: &mut Findings,
    under_way: &UnderWay,
) -> Result<BTreeSet<OrderId>, HandlerError> {
    let mut orders = BTreeSet::new();
    let mut ends: BTreeMap<String, (u32, BTreeSet<String>)> = BTreeMap::new();
    let wanted = |name: &str| matches!(name, "fulfilment.started" | "fulfilment.completed" | "fulfilment.compensated");
    archive
        .each::<factum::error::StoreError>(Some(&wanted), |stored| {
            orders.insert(OrderId::from(stored.stream.key()));
            let (count, kinds) = ends.entry(stored.stream.as_str().to_owned()).or_default();
            if stored.type_name() != "fulfilment.started" {
                *count += 1;
                kinds.insert(stored.type_name().to_owned());
            }
            Ok(())
        })
        .map_err(HandlerError::failed)?;
    for (stream, (count, kinds)) in ends {
        findings.sagas += 1;
        match count {
            1 => {}
            0 => {
                findings.sagas_under_way += 1;
                if !under_way.touches(&stream) {
                    findings.problem(format!("saga {stream} has no end and nothing is under way for it"));
                }
            }
            _ => findings.problem(format!("saga {stream} ended {count} times: {kinds:?}")),
        }
    }
    Ok(orders)
}
