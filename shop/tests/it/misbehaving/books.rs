//! Three books side by side: the provider's, the carrier's and ours.

use shop::{
    chaos::{books, provider::Account},
    payment::views::PaymentRow,
    shipping::views::ShipmentRow,
};

use super::Run;

/// What differs between the books.
pub async fn differences(run: &Run) -> Vec<String> {
    let (mut found, mut sums) = (Vec::new(), (0, 0));
    for order in &run.placed {
        let view = run.shop.get(&format!("/orders/{order}")).await.body;
        let after = run.shop.app.position();
        let (payment, shipment) = (format!("pay-{order}"), format!("ship-{order}"));
        let paid = run.shop.app.rows::<PaymentRow>().after(after).get(&payment).await.unwrap();
        let sent = run.shop.app.rows::<ShipmentRow>().after(after).get(&shipment).await.unwrap();
        let (taken, given_back) = books::sums(paid.as_ref());
        sums = (sums.0 + taken, sums.1 + given_back);
        found.extend(books::of_money(&view, paid.as_ref(), run.provider.open().book.0.get(&payment)));
        found.extend(books::of_parcel(&view, sent.as_ref(), run.carrier.open().book.parcels.get(&shipment)));
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
