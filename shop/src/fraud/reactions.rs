//! Scoring orders by folded velocity: how many orders a customer placed within the last hour.

use std::collections::{BTreeMap, VecDeque};

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    fraud::{CheckTransaction, TransactionChecked},
    ids::CustomerId,
    order::OrderHead,
    process::Process,
    shapes::Verdict,
};

/// Orders of more than this, in minor units, are conspicuous.
const LARGE: i64 = 1_000_000;
/// More orders than this within an hour are conspicuous.
const MANY: usize = 5;
/// A score from which an order is held.
const FLAGGED: u32 = 80;
/// Orders that are remembered of each customer.
const REMEMBERED: usize = 32;

/// What a high score leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The order is held until a person looks at it.
    Hold,
    /// Nothing: the score is noted.
    NoteOnly,
}

/// When each customer ordered lately.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Velocity {
    recent: BTreeMap<CustomerId, VecDeque<Timestamp>>,
}

/// Answers `fraud.check` from the folded velocity; where no saga sends it, what is placed is checked unasked.
pub fn velocity(policy: Policy, process: Process) -> Folding<Velocity> {
    let folding = Folding::new("velocity", 1)
        .fold(ordered)
        .answer(move |velocity: &Velocity, check: &CheckTransaction, context: &Context, fx: &mut Effects| {
            score(policy, velocity, check, context.now, fx);
            Ok::<(), Never>(())
        })
        .emits::<TransactionChecked>("check");
    let placed = move |velocity: &Velocity, order: &Recorded<OrderHead>, fx: &mut Effects| {
        let (order_id, customer_id) = (order.order_id.clone(), order.customer_id.clone());
        let check = CheckTransaction { order_id, customer_id, amount: order.total };
        score(policy, velocity, &check, order.at(), fx);
    };
    let folding = if process.is_choreographed() { folding.react(placed) } else { folding };
    folding.snapshots()
}

fn ordered(velocity: &mut Velocity, event: &Recorded<OrderHead>) {
    let Some(customer) = &event.customer_id else { return };
    let recent = velocity.recent.entry(customer.clone()).or_default();
    if recent.len() == REMEMBERED {
        recent.pop_front();
    }
    recent.push_back(event.at());
}

fn score(policy: Policy, velocity: &Velocity, check: &CheckTransaction, now: Timestamp, fx: &mut Effects) {
    let mut score = 0;
    let mut reasons = Vec::new();
    if check.amount.amount > LARGE {
        score += 50;
        reasons.push("large_amount".to_owned());
    }
    match &check.customer_id {
        None => score += 10,
        Some(customer) => {
            if velocity.within_the_hour(customer, now) > MANY {
                score += 50;
                reasons.push("many_orders".to_owned());
            }
        }
    }
    let flagged = policy == Policy::Hold && score >= FLAGGED;
    let verdict = if flagged { Verdict::Flagged } else { Verdict::Cleared };
    let order_id = check.order_id.clone();
    let checked = TransactionChecked { order_id, verdict, score, reasons };
    fx.emit("check", &check.order_id, checked);
}

impl Velocity {
    fn within_the_hour(&self, customer: &CustomerId, now: Timestamp) -> usize {
        let recent = self.recent.get(customer).into_iter().flatten();
        recent.filter(|at| **at <= now && now.duration_since(**at).as_hours() < 1).count()
    }
}

#[cfg(test)]
mod tests;
