//! The report: what a shop did, counted from its events alone, so that anyone can recompute it.

use std::collections::{BTreeMap, BTreeSet};

use factum::{Archive, prelude::*};
use serde::Serialize;

use crate::{
    contracts::{
        ids::{OrderId, Sku},
        inventory::{StockAdjusted, StockShipped},
        order::*,
        payment::{PaymentCaptured, PaymentRefunded},
        shapes::Quantity,
    },
    import::journal::{ImportFinished, InvoiceImported, InvoiceKind, RowsNoted},
    order::decider::word,
};

/// Articles that the report names.
const TOP: usize = 10;

/// The report. Money in pence.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct Report {
    pub input: InputTotals,
    pub orders: OrderTotals,
    pub credit_notes: CreditNoteTotals,
    pub payments: PaymentTotals,
    pub stock: StockTotals,
    pub top_products: Vec<ProductUnits>,
    pub skipped: SkippedTotals,
    pub unreadable: UnreadableTotals,
}

/// What was imported.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct InputTotals {
    pub rows: u64,
    pub invoices: u64,
}

/// Orders accepted, whatever became of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct OrderTotals {
    pub placed: u64,
    pub total: i64,
    pub by_status: BTreeMap<&'static str, u64>,
    pub by_country: Vec<CountryTotals>,
}

/// Orders of a country.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct CountryTotals {
    pub country: String,
    pub orders: u64,
    pub total: i64,
}

/// Credit notes of files.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct CreditNoteTotals {
    pub count: u64,
    pub total: i64,
    /// What of it was not given back, since it had not come in or was given back before; absent if there is none.
    #[serde(skip_serializing_if = "NotDue::is_none")]
    pub not_due: NotDue,
}

/// Credits of which nothing, or not all, was due.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct NotDue {
    pub count: u64,
    pub amount: i64,
}

impl NotDue {
    fn add(&mut self, amount: Option<Money>) {
        if let Some(amount) = amount {
            self.count += 1;
            self.amount += amount.amount;
        }
    }

    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Money that moved.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct PaymentTotals {
    pub captured: i64,
    pub refunded: i64,
}

/// Units that moved.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct StockTotals {
    pub found: i64,
    pub written_off: i64,
    pub sold: i64,
}

/// Units of an article.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct ProductUnits {
    pub sku: String,
    pub units: i64,
}

/// Rows that are no business of the shop.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct SkippedTotals {
    pub ledger_rows: u64,
    pub ledger_invoices: u64,
}

/// Rows that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct UnreadableTotals {
    pub rows: u64,
    /// Invoices that are in without such a row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

/// Everything that the report counts.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
enum Counted {
    Created(OrderCreated),
    Validated(OrderValidated),
    Rejected(OrderRejected),
    Held(OrderHeld),
    HoldReleased(OrderHoldReleased),
    StockReserved(OrderStockReserved),
    Confirmed(OrderConfirmed),
    Paid(OrderPaid),
    ReleasedForShipping(OrderReleasedForShipping),
    Shipped(OrderShipped),
    Delivered(OrderDelivered),
    Cancelled(OrderCancelled),
    Returned(OrderReturned),
    Credited(OrderCredited),
    Captured(PaymentCaptured),
    Refunded(PaymentRefunded),
    Adjusted(StockAdjusted),
    StockShipped(StockShipped),
    Noted(RowsNoted),
    Imported(InvoiceImported),
    Finished(ImportFinished),
}

#[derive(Default)]
struct Fold {
    report: Report,
    orders: BTreeMap<OrderId, (OrderStatus, OrderStatus)>,
    countries: BTreeMap<String, (u64, i64)>,
    units: BTreeMap<Sku, i64>,
    imports: BTreeMap<String, Import>,
}

/// What an import has noted of its rows.
#[derive(Default)]
struct Import {
    /// Unreadable ones by their invoices.
    unread: BTreeMap<String, u64>,
    invoices: BTreeSet<String>,
    finished: bool,
}

/// Counts a log.
///
/// # Errors
/// [`HandlerError`] if the log cannot be read.
pub fn report(archive: &Archive) -> Result<Report, HandlerError> {
    let fold = archive.fold::<Counted, Fold>(Fold::default(), count)?;
    let mut report = fold.report;
    for (status, _) in fold.orders.values() {
        *report.orders.by_status.entry(word(*status)).or_default() += 1;
    }
    let mut countries: Vec<CountryTotals> =
        fold.countries.into_iter().map(|(country, (orders, total))| CountryTotals { country, orders, total }).collect();
    countries.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.country.cmp(&b.country)));
    report.orders.by_country = countries;
    let mut units: Vec<ProductUnits> =
        fold.units.into_iter().map(|(sku, units)| ProductUnits { sku: sku.to_string(), units }).collect();
    units.sort_by(|a, b| b.units.cmp(&a.units).then_with(|| a.sku.cmp(&b.sku)));
    units.truncate(TOP);
    report.top_products = units;
    let unread =
        |import: &Import| import.unread.keys().filter(|number| import.invoices.contains(*number)).cloned().collect();
    report.unreadable.incomplete = fold.imports.values().flat_map(|import| -> Vec<String> { unread(import) }).collect();
    Ok(report)
}

fn count(fold: &mut Fold, event: &Recorded<Counted>) {
    use OrderStatus as S;
    let report = &mut fold.report;
    let mut to = |order: &OrderId, status: OrderStatus| {
        fold.orders.entry(order.clone()).or_default().0 = status;
    };
    match &event.data {
        Counted::Created(e) => {
            to(&e.order_id, S::PendingValidation);
            report.orders.placed += 1;
            report.orders.total += e.total.amount;
            let country = e.shipping_address.as_ref().map_or("Unspecified", |address| address.country.as_str());
            let (orders, total) = fold.countries.entry(country.to_owned()).or_default();
            *orders += 1;
            *total += e.total.amount;
        }
        Counted::Held(e) => {
            let (status, before) = fold.orders.entry(e.order_id.clone()).or_default();
            *before = std::mem::replace(status, S::Held);
        }
        Counted::HoldReleased(e) => {
            let (status, before) = fold.orders.entry(e.order_id.clone()).or_default();
            *status = *before;
        }
        Counted::Validated(e) => to(&e.order_id, S::Validated),
        Counted::Rejected(e) => to(&e.order_id, S::Rejected),
        Counted::StockReserved(e) => to(&e.order_id, S::Reserved),
        Counted::Confirmed(e) => to(&e.order_id, S::Confirmed),
        Counted::Paid(e) => to(&e.order_id, S::Paid),
        Counted::ReleasedForShipping(e) => to(&e.order_id, S::ReadyForShipping),
        Counted::Shipped(e) => to(&e.order_id, S::Shipped),
        Counted::Delivered(e) => to(&e.order_id, S::Delivered),
        Counted::Cancelled(e) => to(&e.order_id, S::Cancelled),
        Counted::Returned(e) => {
            to(&e.order_id, S::Returned);
            if e.credit_id.is_some() {
                report.credit_notes.not_due.add(e.not_due);
            }
        }
        Counted::Credited(e) => report.credit_notes.not_due.add(e.not_due),
        Counted::Captured(e) => report.payments.captured += e.amount.amount,
        Counted::Refunded(e) => report.payments.refunded += e.amount.amount,
        Counted::Adjusted(e) if e.quantity > 0 => report.stock.found += e.quantity,
        Counted::Adjusted(e) => report.stock.written_off -= e.quantity,
        Counted::StockShipped(e) => {
            for Quantity { sku, quantity } in &e.items {
                report.stock.sold += quantity;
                *fold.units.entry(sku.clone()).or_default() += quantity;
            }
        }
        Counted::Noted(e) => {
            report.skipped.ledger_rows += e.skipped.len() as u64;
            report.unreadable.rows += e.unreadable.len() as u64;
            let unread = &mut fold.imports.entry(e.digest.clone()).or_default().unread;
            for number in e.unreadable.iter().filter_map(|row| row.invoice.clone()) {
                *unread.entry(number).or_default() += 1;
            }
        }
        Counted::Imported(e) => {
            corrected(report, &mut fold.imports, e);
            report.input.rows += e.rows;
            report.input.invoices += 1;
            report.skipped.ledger_rows += e.skipped.len() as u64;
            report.unreadable.rows += e.unreadable.len() as u64;
            match e.kind {
                InvoiceKind::Skipped => report.skipped.ledger_invoices += 1,
                InvoiceKind::CreditNote => {
                    report.credit_notes.count += 1;
                    report.credit_notes.total -= e.amount;
                }
                InvoiceKind::Refused => report.unreadable.rows += e.rows,
                InvoiceKind::Order | InvoiceKind::Stock => {}
            }
        }
        Counted::Finished(e) => {
            fold.imports.entry(e.digest.clone()).or_default().finished = true;
            report.input.rows += e.rows;
            report.input.invoices += e.invoices;
            report.unreadable.rows += e.unreadable.len() as u64;
        }
    }
}

/// An invoice that comes in: an earlier edition of its file may have counted it as one of which no row could be read.
fn corrected(report: &mut Report, imports: &mut BTreeMap<String, Import>, event: &InvoiceImported) {
    let number = &event.invoice;
    let others =
        imports.iter_mut().filter(|(digest, import)| **digest != event.digest && !import.invoices.contains(number));
    for (_, import) in others {
        let Some(rows) = import.unread.remove(number) else { continue };
        report.unreadable.rows -= rows;
        if import.finished {
            report.input.rows -= rows;
            report.input.invoices -= 1;
        }
    }
    if event.kind != InvoiceKind::Refused {
        imports.entry(event.digest.clone()).or_default().invoices.insert(number.clone());
    }
}
