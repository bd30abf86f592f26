//! Three books side by side: the provider's, the carrier's and ours.

use serde_json::Value;
use shop::{
    payment::views::{PaymentRow, PaymentStatus},
    shipping::views::{RecallStatus, ShipmentRow, ShipmentStatus},
};

use super::{
    Run,
    carrier::{Parcel, Way},
    provider::Account,
};

/// What differs between the books.
pub async fn differences(run: &Run) -> Vec<String> {
    let (mut found, mut sums) = (Vec::new(), (0, 0));
    for order in &run.placed {
        let view = run.shop.get(&format!("/orders/{order}")).await.body;
        let after = run.shop.app.position();
        let (payment, shipment) = (format!("pay-{order}"), format!("ship-{order}"));
        let paid = run.shop.app.rows::<PaymentRow>().after(after).get(&payment).await.unwrap();
        let sent = run.shop.app.rows::<ShipmentRow>().after(after).get(&shipment).await.unwrap();
        let ours = Ours::of(paid.as_ref());
        sums = (sums.0 + ours.taken, sums.1 + ours.given_back);
        found.extend(of_money(&view, &ours, run.provider.open().book.0.get(&payment)));
        found.extend(of_parcel(&view, sent.as_ref(), run.carrier.open().book.parcels.get(&shipment)));
    }
    let (provider, carrier) = (run.provider.open(), run.carrier.open());
    let sum = |of: fn(&Account) -> i64| provider.book.0.values().map(of).sum::<i64>();
    let theirs = (sum(|account| account.captured), sum(Account::given_back));
    let findings = shop::check::check(&factum::Archive::of(run.shop.app.reader())).unwrap();
    if theirs != sums || theirs != (findings.captured, findings.refunded) {
        found.push(format!("the provider's sums are {theirs:?}, our rows' {sums:?}, our log's {findings:?}"));
    }
    found.extend(findings.problems);
    found.extend(provider.problems.iter().chain(&carrier.problems).cloned());
    found
}

/// A payment as we have it.
#[derive(Debug)]
struct Ours<'a> {
    row: Option<&'a PaymentRow>,
    taken: i64,
    given_back: i64,
}

impl<'a> Ours<'a> {
    fn of(row: Option<&'a PaymentRow>) -> Self {
        let taken = row.filter(|row| row.status == PaymentStatus::Captured).map_or(0, |row| row.amount.amount);
        Self { row, taken, given_back: row.map_or(0, |row| row.refunded.amount) }
    }

    fn is_open(&self) -> bool {
        self.row.is_some_and(|row| row.open.is_some() || row.status == PaymentStatus::Authorized)
    }
}

/// To the penny: nothing is held, nothing was taken twice or given back twice, and the order was paid as it ended.
fn of_money(view: &Value, ours: &Ours<'_>, theirs: Option<&Account>) -> Option<String> {
    let blank = Account::default();
    let theirs = theirs.unwrap_or(&blank);
    let pence = |of: &str| view[of]["amount"].as_i64().unwrap_or_default();
    let wanted = match view["status"].as_str() {
        Some("delivered" | "returned") => Some((pence("totalAmount"), pence("returnedAmount"))),
        Some("cancelled") => Some((0, 0)),
        _ => None,
    };
    let once = theirs.holds <= 1 && theirs.captures <= 1 && theirs.refunds.values().all(|(times, _)| *times == 1);
    let sums = Some((ours.taken, ours.given_back));
    let agree = wanted == sums && sums == Some((theirs.captured, theirs.given_back())) && theirs.held == 0;
    let is_well = agree && once && !ours.is_open();
    (!is_well).then(|| format!("the provider has {theirs:?}, we {ours:?}, and the order is {view}"))
}

/// To the parcel.
fn of_parcel(view: &Value, ours: Option<&ShipmentRow>, theirs: Option<&Parcel>) -> Option<String> {
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
