//! loyalty-service: points for what customers have paid for goods and kept. Stream `loyalty-<customerId>`.

use super::ids::{CustomerId, OrderId};
use factum::prelude::*;

/// Published once per order, when it is delivered (or paid, where the shop's policy says so) and its customer is known: a
/// point for each whole pound paid for goods. Guests get none. A notification may tell the customer; analytics may count.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("loyalty.points_awarded")]
pub struct PointsAwarded {
    /// Whose points they are.
    pub customer_id: CustomerId,
    /// For which order.
    pub order_id: OrderId,
    /// How many, at least 1.
    pub points: i64,
    /// What the customer has with them.
    pub balance: i64,
}

/// Published when goods of an order come back, or it is cancelled, after its points were awarded. All that came back of an
/// order takes away all of its points, in whatever parts it came.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("loyalty.points_revoked")]
pub struct PointsRevoked {
    /// Whose points they were.
    pub customer_id: CustomerId,
    /// Of which order.
    pub order_id: OrderId,
    /// How many, at least 1; never more than the order brought.
    pub points: i64,
    /// What the customer has without them.
    pub balance: i64,
}

/// Own. Gives a customer the points of an order, once; answered by `loyalty.points_awarded`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("loyalty.award", own)]
pub struct AwardPoints {
    /// Whose points they are.
    pub customer_id: CustomerId,
    /// For which order.
    pub order_id: OrderId,
    /// How many, at least 1.
    pub points: i64,
}

/// Own. Says how many of an order's points are to be gone by now, in all: asked again, nothing changes. Answered by
/// `loyalty.points_revoked` for those that were still there.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("loyalty.revoke", own)]
pub struct RevokePoints {
    /// Whose points they were.
    pub customer_id: CustomerId,
    /// Of which order.
    pub order_id: OrderId,
    /// How many of the order's points are to be gone, those that are gone already among them.
    pub gone: i64,
}

/// What can happen to a customer's points.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum LoyaltyEvent {
    Awarded(PointsAwarded),
    Revoked(PointsRevoked),
}

/// What can be asked about a customer's points.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum LoyaltyCommand {
    Award(AwardPoints),
    Revoke(RevokePoints),
}
