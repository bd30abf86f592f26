//! Whether the shop can take an invoice: what its services would refuse is told before anything is handed in.

use std::collections::BTreeMap;

use factum::rejection::Refused;

use super::{
    commands,
    file::Unreadable,
    invoice::{Invoice, Kind},
};
use crate::{
    inventory::decider::MOST_UNITS,
    order::decider::{MAX_LINES, Order},
};

/// The largest invoice as the shop keeps it, in bytes: with what follows from it, it must fit into a message.
const MAX_INVOICE_BYTES: usize = 512 * 1024;
/// The most units that a file may take of one article: received in this many movements at first sight.
const MAX_MOVEMENTS: i64 = 1_000;

/// Tells the invoices that the shop takes from the rows of those that it does not. They come by time.
pub(super) fn judge(invoices: Vec<Invoice>) -> (Vec<Invoice>, Vec<Unreadable>) {
    let mut taken = Vec::with_capacity(invoices.len());
    let mut refused = Vec::new();
    let mut units: BTreeMap<String, i64> = BTreeMap::new();
    for invoice in invoices {
        match fits(&invoice).and_then(|()| in_stock(&invoice, &mut units)) {
            Ok(()) => taken.push(invoice),
            Err(reason) => refused.extend(invoice.places.iter().map(|line| Unreadable {
                line: *line,
                invoice: Some(invoice.number.clone()),
                reason: format!("invoice {}: {reason}", invoice.number),
            })),
        }
    }
    (taken, refused)
}

fn fits(invoice: &Invoice) -> Result<(), String> {
    let lines = match &invoice.kind {
        Kind::Order { lines } | Kind::CreditNote { lines } => lines.len(),
        Kind::Stock { lines } => lines.len(),
        Kind::Skipped => return Ok(()),
    };
    if lines > MAX_LINES {
        return Err(format!("it has {lines} lines; {MAX_LINES} are allowed: split it"));
    }
    let amount = invoice.amount();
    let wrong = |error: anyhow::Error| error.to_string();
    let size = match &invoice.kind {
        Kind::Order { lines } => {
            let order = commands::order(invoice, lines).map_err(wrong)?;
            let size = json_bytes(&order.items);
            Order::create(order).map_err(|refused| Refused::from(refused).message)?;
            size
        }
        Kind::CreditNote { .. } if amount > 0 => {
            return Err(format!("it comes to {amount} pence to pay: a credit note gives money back"));
        }
        Kind::CreditNote { lines } => {
            json_bytes(&lines.iter().map(commands::line).collect::<anyhow::Result<Vec<_>>>().map_err(wrong)?)
        }
        Kind::Stock { .. } | Kind::Skipped => 0,
    };
    if size > MAX_INVOICE_BYTES {
        return Err(format!("its lines have {size} bytes; {MAX_INVOICE_BYTES} are allowed: shorten the descriptions"));
    }
    Ok(())
}

fn json_bytes<T: serde::Serialize>(value: &T) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}

/// What the file takes is received first, and that must stay countable.
fn in_stock(invoice: &Invoice, units: &mut BTreeMap<String, i64>) -> Result<(), String> {
    let wanted = invoice.takes();
    let most = MAX_MOVEMENTS * MOST_UNITS;
    for (code, quantity) in &wanted {
        if units.get(*code).copied().unwrap_or_default().saturating_add(*quantity) > most {
            return Err(format!("with it the file takes more than {most} of {code}"));
        }
    }
    for (code, quantity) in wanted {
        *units.entry(code.to_owned()).or_default() += quantity;
    }
    Ok(())
}
