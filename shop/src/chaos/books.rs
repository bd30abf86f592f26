//! Books side by side: the provider's, the carrier's and ours.

use serde_json::Value;

use super::{
    carrier::{Parcel, Way},
    provider::Account,
};
use crate::{
    payment::views::{PaymentRow, PaymentStatus},
    shipping::views::{RecallStatus, ShipmentRow, ShipmentStatus},
};

/// What we have taken and given back for a payment.
pub fn sums(row: Option<&PaymentRow>) -> (i64, i64) {
    let taken = row.filter(|row| row.status == PaymentStatus::Captured).map_or(0, |row| row.amount.amount);
    (taken, row.map_or(0, |row| row.refunded.amount))
}

/// To the penny: nothing is held, nothing was taken twice or given back twice, and the order was paid as it ended. A sentence,
/// if it is not so.
pub fn of_money(view: &Value, ours: Option<&PaymentRow>, theirs: Option<&Account>) -> Option<String> {
    let blank = Account::default();
    let theirs = theirs.unwrap_or(&blank);
    let pence = |of: &str| view[of]["amount"].as_i64().unwrap_or_default();
    let wanted = match view["status"].as_str() {
        Some("delivered" | "returned") => Some((pence("totalAmount"), pence("returnedAmount"))),
        Some("cancelled") => Some((0, 0)),
        _ => None,
    };
    let once = theirs.holds <= 1 && theirs.captures <= 1 && theirs.refunds.values().all(|(times, _)| *times == 1);
    let sums = Some(sums(ours));
    let agree = wanted == sums && sums == Some((theirs.captured, theirs.given_back())) && theirs.held == 0;
    let is_open = ours.is_some_and(|row| row.open.is_some() || row.status == PaymentStatus::Authorized);
    let is_well = agree && once && !is_open;
    (!is_well).then(|| format!("the provider has {theirs:?}, we {ours:?}, and the order is {view}"))
}

/// To the parcel; a sentence, if it is not so.
pub fn of_parcel(view: &Value, ours: Option<&ShipmentRow>, theirs: Option<&Parcel>) -> Option<String> {
    use ShipmentStatus as S;
    let status = view["status"].as_str();
    let recall = ours.and_then(|row| row.recall);
    let agree = match (ours.map(|row| row.status), theirs.map(|parcel| parcel.way)) {
        (None | Some(S::Failed | S::Cancelled), None) => recall.is_none(),
        (Some(S::Failed | S::Cancelled), Some(Way::Unwanted | Way::Cancelled)) => recall == Some(RecallStatus::Done),
        (Some(S::Failed | S::Cancelled), Some(Way::Lost)) => status == Some("cancelled"),
        // It was brought before it could be dropped.
        (Some(S::Failed | S::Cancelled), Some(Way::Delivered(at))) => {
            recall == Some(RecallStatus::TooLate) && ours.and_then(|row| row.delivered_at) == Some(at)
        }
        (Some(S::Delivered), Some(Way::Delivered(at))) => {
            ours.and_then(|row| row.delivered_at) == Some(at) && status != Some("cancelled")
        }
        (Some(S::Lost), Some(Way::Lost)) => status == Some("returned"),
        _ => false,
    };
    let is_whole = |parcel: &Parcel| match parcel.labels {
        0 => true,
        1 => Some(parcel.pieces) == view["itemCount"].as_i64(),
        _ => false,
    };
    let is_well = agree && theirs.is_none_or(is_whole);
    (!is_well).then(|| format!("the carrier has {theirs:?}, we {ours:?}, and the order is {view}"))
}
