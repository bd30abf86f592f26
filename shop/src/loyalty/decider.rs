//! What may happen to a customer's points.
//!
//! Each order brings points once, and loses at most what it brought. As long as nothing can be bought with points, a balance is
//! therefore never negative; where they can be spent, one may go below nothing by what was spent and then came back.

use std::collections::BTreeMap;

use factum::prelude::*;

use crate::contracts::{
    ids::{CustomerId, OrderId},
    loyalty::*,
};

/// The points of a customer.
#[derive(Default)]
pub struct Account {
    balance: i64,
    orders: BTreeMap<OrderId, OfOrder>,
}

/// The points of an order.
#[derive(Default)]
struct OfOrder {
    awarded: i64,
    gone: i64,
}

/// Why the loyalty service says no.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum LoyaltyRejection {
    #[rejection("bad_points", "{points} are no points: use at least 1", invalid)]
    BadPoints { points: i64 },
    #[rejection("nothing_awarded", "order {order} has brought no points: award them first")]
    NothingAwarded { order: OrderId },
}

impl Decider for Account {
    const CATEGORY: &'static str = "loyalty";
    type Id = CustomerId;
    type Command = LoyaltyCommand;
    type Event = LoyaltyEvent;
    type Rejection = LoyaltyRejection;

    fn address(command: &LoyaltyCommand, _: &Envelope) -> CustomerId {
        match command {
            LoyaltyCommand::Award(award) => award.customer_id.clone(),
            LoyaltyCommand::Revoke(revoke) => revoke.customer_id.clone(),
        }
    }

    fn decide(
        &self,
        _: &CustomerId,
        command: LoyaltyCommand,
        _: &Context,
    ) -> Result<Vec<LoyaltyEvent>, LoyaltyRejection> {
        match command {
            LoyaltyCommand::Award(award) => self.award(award),
            LoyaltyCommand::Revoke(revoke) => self.revoke(revoke),
        }
    }

    fn evolve(&mut self, event: &LoyaltyEvent) {
        match event {
            LoyaltyEvent::Awarded(e) => {
                self.balance = e.balance;
                self.orders.entry(e.order_id.clone()).or_default().awarded += e.points;
            }
            LoyaltyEvent::Revoked(e) => {
                self.balance = e.balance;
                self.orders.entry(e.order_id.clone()).or_default().gone += e.points;
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + 128 * self.orders.len()
    }
}

impl Account {
    fn award(&self, award: AwardPoints) -> Result<Vec<LoyaltyEvent>, LoyaltyRejection> {
        let AwardPoints { customer_id, order_id, points } = award;
        if points < 1 {
            return Err(LoyaltyRejection::BadPoints { points });
        }
        if self.orders.contains_key(&order_id) {
            return Ok(vec![]);
        }
        let balance = self.balance.saturating_add(points);
        Ok(vec![LoyaltyEvent::Awarded(PointsAwarded { customer_id, order_id, points, balance })])
    }

    fn revoke(&self, revoke: RevokePoints) -> Result<Vec<LoyaltyEvent>, LoyaltyRejection> {
        let RevokePoints { customer_id, order_id, gone } = revoke;
        if gone < 1 {
            return Err(LoyaltyRejection::BadPoints { points: gone });
        }
        let Some(of) = self.orders.get(&order_id) else {
            return Err(LoyaltyRejection::NothingAwarded { order: order_id });
        };
        let points = gone.min(of.awarded) - of.gone;
        if points < 1 {
            return Ok(vec![]);
        }
        let balance = self.balance.saturating_sub(points);
        Ok(vec![LoyaltyEvent::Revoked(PointsRevoked { customer_id, order_id, points, balance })])
    }
}

#[cfg(test)]
mod tests;
