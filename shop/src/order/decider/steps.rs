//! The order of an order's steps: which lie behind, and what a status is called.

use super::OrderRejection;
use crate::contracts::order::*;

/// A step that lies behind is a repetition; one that does not fit is refused.
pub(super) fn repeated(command: &OrderCommand, status: OrderStatus) -> Result<Vec<OrderEvent>, OrderRejection> {
    use OrderCommand as C;
    use OrderStatus as S;
    let ended = matches!(status, S::Cancelled | S::Rejected);
    let (wanted, reached) = match command {
        C::MarkValidated(_) => ("validation", S::Validated),
        C::MarkReserved(_) => ("a reservation", S::Reserved),
        C::Confirm(_) => ("a confirmation", S::Confirmed),
        C::MarkPaid(_) => ("a payment", S::Paid),
        C::ReleaseForShipping(_) => ("a release for shipping", S::ReadyForShipping),
        C::MarkShipped(_) => ("a shipment", S::Shipped),
        C::MarkDelivered(_) => ("a delivery", S::Delivered),
        C::ReleaseHold(_) => return Err(OrderRejection::NotNow { status: word(status), wanted: "releasing a hold" }),
        C::Hold(_) => return Err(OrderRejection::NotNow { status: word(status), wanted: "a hold" }),
        C::Reject(_) if status == S::Rejected => return Ok(vec![]),
        _ => return Err(OrderRejection::NotNow { status: word(status), wanted: "a rejection" }),
    };
    if !ended && rank(status) >= rank(reached) {
        return Ok(vec![]);
    }
    Err(OrderRejection::NotNow { status: word(status), wanted })
}

fn rank(status: OrderStatus) -> u8 {
    use OrderStatus as S;
    match status {
        S::PendingValidation | S::Held | S::Rejected | S::Cancelled => 0,
        S::Validated => 1,
        S::Reserved => 2,
        S::Confirmed => 3,
        S::Paid => 4,
        S::ReadyForShipping => 5,
        S::Shipped => 6,
        S::Delivered => 7,
        S::Returned => 8,
    }
}

/// A status as people and programs read it.
pub fn word(status: OrderStatus) -> &'static str {
    use OrderStatus as S;
    match status {
        S::PendingValidation => "pending_validation",
        S::Validated => "validated",
        S::Rejected => "rejected",
        S::Held => "held",
        S::Cancelled => "cancelled",
        S::Reserved => "reserved",
        S::Confirmed => "confirmed",
        S::Paid => "paid",
        S::ReadyForShipping => "ready_for_shipping",
        S::Shipped => "shipped",
        S::Delivered => "delivered",
        S::Returned => "returned",
    }
}
