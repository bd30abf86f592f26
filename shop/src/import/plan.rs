//! What a file's invoices come to, known before the first of them is handed in.

use std::collections::{BTreeMap, BTreeSet};

use factum::prelude::*;

use super::{
    demand::{Customer, Demand, customers, demand},
    history::{Edition, History},
    invoice::{Invoice, Kind},
    journal::{Owed, OwedLine, SkippedRow, UnreadableRow},
    returns::{Balance, Return, Sale},
};
use crate::{
    contracts::ids::{OrderId, Sku},
    shipping::gateway::LONGEST_DAYS,
};

/// Rows that one message notes.
const ROWS_A_PART: usize = 500;

/// What the invoices of an import come to; each map is by the invoice's number.
pub(super) struct Plan {
    pub products: BTreeMap<String, Vec<(String, Demand)>>,
    pub customers: BTreeMap<String, Vec<(String, Customer)>>,
    /// What credit notes give back of orders.
    pub owed: BTreeMap<String, Vec<Owed>>,
    /// What credit notes give back without an order.
    pub balances: BTreeMap<String, Balance>,
}

impl Plan {
    pub fn of(edition: &Edition, history: &History) -> Self {
        let invoices = || edition.invoices.iter().copied();
        let mut products: BTreeMap<String, Vec<(String, Demand)>> = BTreeMap::new();
        for (code, demand) in demand(invoices()) {
            products.entry(demand.invoice.clone()).or_default().push((code, demand));
        }
        let mut known: BTreeMap<String, Vec<(String, Customer)>> = BTreeMap::new();
        for (id, customer) in customers(invoices()).into_iter().filter(|(id, _)| !history.knows_customer(id)) {
            known.entry(customer.invoice.clone()).or_default().push((id, customer));
        }
        let mut plan = Self { products, customers: known, owed: BTreeMap::new(), balances: BTreeMap::new() };
        plan.match_credits(edition, history);
        plan
    }

    fn match_credits(&mut self, edition: &Edition, history: &History) {
        let numbers: BTreeSet<&str> = edition.invoices.iter().map(|invoice| invoice.number.as_str()).collect();
        let (gone, mut ledger) = (history.gone(), history.ledger(&numbers));
        for invoice in &edition.invoices {
            if let Some(sale) = Sale::of(invoice) {
                ledger.order(&history.what_is_left(sale, &gone));
            }
            let is_note = matches!(invoice.kind, Kind::CreditNote { .. });
            if !is_note || history.owed(&invoice.number).is_some() {
                continue;
            }
            let credit = ledger.credit(invoice);
            let due = credit.returns.into_iter().map(|back| owed(invoice, back, false));
            let settled = credit.settled.into_iter().map(|back| owed(invoice, back, true));
            self.owed.insert(invoice.number.clone(), due.chain(settled).collect());
            self.balances.extend(credit.credit.map(|balance| (invoice.number.clone(), balance)));
        }
    }
}

fn owed(note: &Invoice, back: Return, settled: bool) -> Owed {
    // A day more than the carrier ever takes.
    let arrived = back.order_at + (u64::from(LONGEST_DAYS) + 1).days();
    let lines = back.lines.into_iter().map(|line| OwedLine {
        line: line.line,
        sku: Sku::from(line.code),
        quantity: line.quantity,
        amount: line.amount,
        of: line.of.iter().map(|portion| (portion.line, portion.quantity)).collect(),
    });
    let (order, due) = (OrderId::from(back.order), note.at.max(arrived));
    Owed { order, due, lines: lines.collect(), amount: back.amount, settled }
}

/// The rows of an import that come to nothing, in parts that each fit into a message.
pub(super) fn parts(edition: &Edition) -> Vec<(Vec<SkippedRow>, Vec<UnreadableRow>)> {
    let skipped = edition.invoices.iter().flat_map(|invoice| &invoice.skipped).map(|row| SkippedRow {
        line: row.line,
        code: row.code.clone(),
        reason: row.reason.to_owned(),
    });
    let unreadable = edition.unreadable.iter().map(|row| UnreadableRow {
        line: row.line,
        invoice: row.invoice.clone(),
        reason: row.reason.clone(),
    });
    let (skipped, unreadable): (Vec<_>, Vec<_>) = (skipped.collect(), unreadable.collect());
    let skipped = skipped.chunks(ROWS_A_PART).map(|rows| (rows.to_vec(), Vec::new()));
    skipped.chain(unreadable.chunks(ROWS_A_PART).map(|rows| (Vec::new(), rows.to_vec()))).collect()
}
