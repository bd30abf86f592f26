//! Which earlier order a credit note gives back: the note does not say, so its lines are matched by what was bought.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::invoice::{Class, Invoice, Kind, Line};

/// The orders of each customer with the units not given back yet.
///
/// Feed it the orders that are known and then a file's invoices in their order. Its answers follow from those calls alone:
/// an order that the shop cancels later still matches, and the caller turns that return into credit.
///
/// A line of goods matches an order when the order's lines of the same code and unit price (equal in value, however
/// written) *together* have enough units left; the newest such order wins. If there is none, units that came back without
/// a credit note match in the same way, each once: their money is given back already. One line never spreads over two
/// orders.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    customers: BTreeMap<String, BTreeMap<Good, Vec<Bought>>>,
}

/// An order, as far as it can come back.
#[derive(Debug, Clone)]
pub struct Sale {
    /// Its number.
    pub order: String,
    /// When it was placed.
    pub at: Timestamp,
    /// Whose it is. Guests' orders cannot be told from each other.
    pub customer: String,
    /// Its lines of goods.
    pub lines: Vec<SoldLine>,
}

/// A line of goods of an order.
#[derive(Debug, Clone)]
pub struct SoldLine {
    /// Its number in the order.
    pub line: u32,
    /// In upper case.
    pub code: String,
    /// The unit price in millionths of a pound.
    pub unit_price_micros: i64,
    /// Units not given back.
    pub left: i64,
    /// Units that came back without a credit note.
    pub back: i64,
}

/// What a credit note comes to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Credit {
    /// One for each order matched, in the order of the note's first line for it.
    pub returns: Vec<Return>,
    /// The same for what came back before without a credit note: nothing is due for it.
    pub settled: Vec<Return>,
    /// All other lines: money back without an order.
    pub credit: Option<Balance>,
}

/// Goods given back out of one order.
#[derive(Debug, Clone, PartialEq)]
pub struct Return {
    /// The order's invoice number.
    pub order: String,
    /// When it was placed, by the file.
    pub order_at: Timestamp,
    /// In the order of the note.
    pub lines: Vec<ReturnLine>,
    /// Pence to give back: the note's amounts, positive, less what the note charges beyond its other lines.
    pub amount: i64,
}

/// One line of a credit note that found its order.
#[derive(Debug, Clone, PartialEq)]
pub struct ReturnLine {
    /// Number of the line in the credit note.
    pub line: u32,
    /// In upper case.
    pub code: String,
    /// Units given back, positive.
    pub quantity: i64,
    /// Pence, positive.
    pub amount: i64,
    /// The same units by lines of the order.
    pub of: Vec<Portion>,
}

/// Units of one line of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    /// Number of the line in the order.
    pub line: u32,
    /// Units, positive.
    pub quantity: i64,
}

/// What a credit note gives back without an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Balance {
    /// As in the note: quantities and amounts negative.
    pub lines: Vec<Line>,
    /// Pence to give back; zero if the note's lines that charge come to more.
    pub amount: i64,
}

/// Code, and unit price in millionths of a pound.
type Good = (String, i64);

/// What one order sold of one good and still has to give; orders stand in the order they were placed.
#[derive(Debug, Clone)]
struct Bought {
    order: String,
    order_at: Timestamp,
    left: Vec<Portion>,
    back: Vec<Portion>,
}

impl Bought {
    fn has(portions: &[Portion], units: i64) -> bool {
        portions.iter().fold(0, |sum: i64, portion| sum.saturating_add(portion.quantity)) >= units
    }
}

impl Sale {
    /// What an invoice sells; `None` if it is no order, or a guest's.
    pub fn of(invoice: &Invoice) -> Option<Self> {
        let (Kind::Order { lines }, Some(customer)) = (&invoice.kind, &invoice.customer) else { return None };
        let goods = lines.iter().filter(|line| line.class == Class::Goods).map(|line| SoldLine {
            line: line.line,
            code: line.code.clone(),
            unit_price_micros: line.unit_price_micros,
            left: line.quantity,
            back: 0,
        });
        let (order, customer) = (invoice.number.clone(), customer.clone());
        Some(Self { order, at: invoice.at, customer, lines: goods.collect() })
    }
}

impl Ledger {
    /// Remembers an order.
    pub fn order(&mut self, sale: &Sale) {
        let goods = self.customers.entry(sale.customer.clone()).or_default();
        for line in &sale.lines {
            let orders = goods.entry((line.code.clone(), line.unit_price_micros)).or_default();
            let left = Portion { line: line.line, quantity: line.left };
            let back = Portion { line: line.line, quantity: line.back };
            // They stand in the order they were placed, however they come.
            let end = orders.partition_point(|bought| bought.order_at <= sale.at);
            match orders[..end].iter_mut().rev().find(|bought| bought.order == sale.order) {
                Some(bought) => {
                    bought.left.push(left);
                    bought.back.push(back);
                }
                None => {
                    let (order, order_at) = (sale.order.clone(), sale.at);
                    orders.insert(end, Bought { order, order_at, left: vec![left], back: vec![back] });
                }
            }
        }
    }

    /// Matches a credit note and takes what it gives back out of the orders. Other kinds of invoice come to nothing.
    pub fn credit(&mut self, invoice: &Invoice) -> Credit {
        let Kind::CreditNote { lines } = &invoice.kind else { return Credit::default() };
        let mut credit = Credit::default();
        let mut rest = Vec::new();
        for line in lines {
            let Some(Taken { order, order_at, of, due }) = self.take(invoice, line) else {
                rest.push(line.clone());
                continue;
            };
            let code = line.code.clone();
            let given = ReturnLine { line: line.line, code, quantity: -line.quantity, amount: -line.amount, of };
            let returns = if due { &mut credit.returns } else { &mut credit.settled };
            match returns.iter_mut().find(|known| known.order == order) {
                Some(known) => {
                    known.amount += given.amount;
                    known.lines.push(given);
                }
                None => returns.push(Return { order, order_at, amount: given.amount, lines: vec![given] }),
            }
        }
        // Lines that charge are set against the rest first, and then against what is returned.
        let mut amount = -rest.iter().map(|line| line.amount).sum::<i64>();
        for back in credit.returns.iter_mut().chain(&mut credit.settled) {
            let charged = (-amount).clamp(0, back.amount.max(0));
            back.amount -= charged;
            amount += charged;
        }
        credit.credit = (!rest.is_empty()).then_some(Balance { lines: rest, amount: amount.max(0) });
        credit
    }

    /// Takes the units of one credit line out of the newest order that has them all.
    fn take(&mut self, note: &Invoice, line: &Line) -> Option<Taken> {
        let customer = note.customer.as_ref()?;
        if line.class != Class::Goods || line.quantity >= 0 || line.amount > 0 {
            return None;
        }
        let units = -line.quantity;
        let good = (line.code.clone(), line.unit_price_micros);
        let orders = self.customers.get_mut(customer)?.get_mut(&good)?;
        let known = orders.partition_point(|bought| bought.order_at <= note.at);
        let newest = |portions: fn(&Bought) -> &[Portion]| {
            orders[..known].iter().rposition(|bought| Bought::has(portions(bought), units))
        };
        let (at, due) = match newest(|bought| &bought.left) {
            Some(at) => (at, true),
            None => (newest(|bought| &bought.back)?, false),
        };
        let bought = &mut orders[at];
        let (mut open, mut of) = (units, Vec::new());
        for portion in if due { &mut bought.left } else { &mut bought.back } {
            let quantity = portion.quantity.min(open);
            if quantity > 0 {
                portion.quantity -= quantity;
                open -= quantity;
                of.push(Portion { line: portion.line, quantity });
            }
        }
        Some(Taken { order: bought.order.clone(), order_at: bought.order_at, of, due })
    }
}

/// Where the units of a credit line come from.
struct Taken {
    order: String,
    order_at: Timestamp,
    of: Vec<Portion>,
    due: bool,
}

#[cfg(test)]
mod tests;
