//! What an invoice is: an order, a credit note, a stock adjustment, or ledger entries that are no business of a shop.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use super::row::Row;

/// All rows of one invoice number, read as one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Invoice {
    /// In upper case, with its prefix.
    pub number: String,
    /// The time of its first readable row, taken as UTC.
    pub at: Timestamp,
    /// The first customer its rows name; `None` is a guest.
    pub customer: Option<String>,
    /// Of its first row; the words of the file, not an ISO name.
    pub country: String,
    /// Lines of the file that its readable rows stand in, the header being 1.
    pub places: Vec<u64>,
    /// XXH3-128 of what each of them says, however the file is packed or writes its dates.
    pub contents: Vec<u128>,
    /// Rows of the file that carry the number: kept, skipped and unreadable ones.
    pub rows: u64,
    /// The ledger entries among them.
    pub skipped: Vec<Skipped>,
    /// What the kept rows make of it.
    pub kind: Kind,
}

/// What becomes of an invoice.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A sale. Without a line of goods it is an order of services only: nothing to reserve or ship.
    Order {
        /// Numbered in the order of the file.
        lines: Vec<Line>,
    },
    /// Money given back (prefix `C`); it does not say for which order.
    CreditNote {
        /// Quantities and amounts as in the file: negative.
        lines: Vec<Line>,
    },
    /// Every price is zero: nobody bought anything, units were found or written off.
    Stock {
        /// One for each kept row.
        lines: Vec<Adjustment>,
    },
    /// Nothing but ledger entries.
    Skipped,
}

/// One kept row of an order or a credit note.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// From 1, within the invoice: codes repeat and whole rows too.
    pub line: u32,
    /// Whether units move, or only money.
    pub class: Class,
    /// In upper case.
    pub code: String,
    /// The row's description; may be empty.
    pub name: String,
    /// Signed as in the file; never zero.
    pub quantity: i64,
    /// Pounds, the decimal text of the file.
    pub unit_price: String,
    /// The same price in millionths of a pound, for comparing.
    pub unit_price_micros: i64,
    /// Pence, signed: quantity × price, a half going to the even penny.
    pub amount: i64,
}

/// What a line stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Units of a product.
    Goods,
    /// A shipping charge (`POST`, `DOT`, `C2`).
    Carriage,
    /// Money with a name: manual line (`M`), sample (`S`), discount (`D`), and in an order a line of goods whose
    /// quantity or price is negative, since an order can sell no such units.
    Manual,
}

/// One row of stock found or written off.
#[derive(Debug, Clone, PartialEq)]
pub struct Adjustment {
    /// In upper case. Adjustments of carriage codes occur in the data and count like any other.
    pub sku: String,
    /// Found if positive, written off if negative; never zero.
    pub quantity: i64,
    /// The row's description (`check`, `damages`, a product's name); may be empty.
    pub reason: String,
}

/// A row that is recorded and otherwise left alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Skipped {
    /// Line of the file, the header being 1.
    pub line: u64,
    /// In upper case.
    pub code: String,
    /// Why it was left alone.
    pub reason: &'static str,
}

impl Invoice {
    /// Pence, signed: the sum of the kept lines of an order or a credit note, else zero.
    pub fn amount(&self) -> i64 {
        // Exact: a row is bounded, and so are an invoice's lines.
        self.lines().iter().fold(0, |sum: i64, line| sum.saturating_add(line.amount))
    }

    /// A digest of what its rows say, in hex, but for those in these lines: the same invoice in another edition of the file
    /// has the same.
    pub fn content(&self, but: &BTreeSet<u64>) -> String {
        let mut digest = Xxh3::new();
        for (_, content) in self.places.iter().zip(&self.contents).filter(|(line, _)| !but.contains(line)) {
            digest.update(&content.to_le_bytes());
        }
        format!("{:032x}", digest.digest128())
    }

    /// Units that it takes out of stock, sold and written off, by code.
    pub fn takes(&self) -> BTreeMap<&str, i64> {
        let mut units: BTreeMap<&str, i64> = BTreeMap::new();
        let mut take = |code, quantity: i64| {
            let sum: &mut i64 = units.entry(code).or_default();
            *sum = sum.saturating_add(quantity);
        };
        match &self.kind {
            Kind::Order { lines } => lines
                .iter()
                .filter(|line| line.class == Class::Goods)
                .for_each(|line| take(line.code.as_str(), line.quantity)),
            Kind::Stock { lines } => lines.iter().for_each(|line| take(line.sku.as_str(), -line.quantity.min(0))),
            Kind::CreditNote { .. } | Kind::Skipped => {}
        }
        units
    }

    /// The lines of an order or a credit note, else none.
    pub fn lines(&self) -> &[Line] {
        match &self.kind {
            Kind::Order { lines } | Kind::CreditNote { lines } => lines,
            Kind::Stock { .. } | Kind::Skipped => &[],
        }
    }
}

/// Makes an invoice of its readable rows (each with its line in the file) and the number of unreadable ones; `None` if
/// no row can be read.
pub(super) fn classify(rows: Vec<(u64, Row)>, unreadable: u64) -> Option<Invoice> {
    let (_, first) = rows.first()?;
    let (number, at, country) = (first.number.clone(), first.at, first.country.clone());
    let customer = rows.iter().find_map(|(_, row)| row.customer.clone());
    let count = rows.len() as u64 + unreadable;
    let (places, contents) = rows.iter().map(|(line, row)| (*line, content(row))).unzip();
    let mut kept = Vec::with_capacity(rows.len());
    let mut skipped = Vec::new();
    for (line, row) in rows {
        match ledger(&number, &row.code) {
            Some(reason) => skipped.push(Skipped { line, code: row.code, reason }),
            None => kept.push(row),
        }
    }
    let kind = if kept.is_empty() {
        Kind::Skipped
    } else if number.starts_with('C') {
        Kind::CreditNote { lines: lines(kept, |row| class(&row.code)) }
    } else if kept.iter().all(|row| row.price_micros == 0) {
        Kind::Stock { lines: kept.into_iter().map(adjustment).collect() }
    } else {
        Kind::Order { lines: lines(kept, class_in_order) }
    };
    Some(Invoice { number, at, customer, country, places, contents, rows: count, skipped, kind })
}

fn content(row: &Row) -> u128 {
    let mut digest = Xxh3::new();
    for number in [row.quantity, row.at.as_second(), row.price_micros] {
        digest.update(&number.to_le_bytes());
    }
    for text in [row.code.as_str(), &row.description, row.customer.as_deref().unwrap_or_default(), &row.country] {
        digest.update(&(text.len() as u64).to_le_bytes());
        digest.update(text.as_bytes());
    }
    digest.digest128()
}

/// Why a row is a ledger entry, if it is one.
fn ledger(number: &str, code: &str) -> Option<&'static str> {
    match code {
        "BANK CHARGES" => Some("ledger entry: bank charges"),
        "AMAZONFEE" => Some("ledger entry: marketplace fee"),
        "CRUK" => Some("ledger entry: charity commission"),
        "B" => Some("ledger entry: bad debt"),
        _ if number.starts_with('A') => Some("ledger entry: adjustment invoice (prefix A)"),
        _ => None,
    }
}

fn lines(rows: Vec<Row>, class: impl Fn(&Row) -> Class) -> Vec<Line> {
    let line = |(line, row): (u32, Row)| Line {
        line,
        class: class(&row),
        code: row.code,
        name: row.description,
        quantity: row.quantity,
        unit_price: row.price,
        unit_price_micros: row.price_micros,
        amount: row.amount,
    };
    (1..).zip(rows).map(line).collect()
}

/// What a code stands for, wherever it appears.
fn class(code: &str) -> Class {
    match code {
        "POST" | "DOT" | "C2" => Class::Carriage,
        "M" | "S" | "D" => Class::Manual,
        _ => Class::Goods,
    }
}

/// Free goods in an order are goods; what an order cannot sell counts as money, so that its total still holds.
fn class_in_order(row: &Row) -> Class {
    match class(&row.code) {
        Class::Goods if row.quantity < 0 || row.price_micros < 0 => Class::Manual,
        class => class,
    }
}

fn adjustment(row: Row) -> Adjustment {
    Adjustment { sku: row.code, quantity: row.quantity, reason: row.description }
}

#[cfg(test)]
mod tests {
    use super::super::row::parse;
    use super::*;

    /// Rows as `code,quantity,price`.
    fn invoice(number: &str, rows: &[&str]) -> Invoice {
        let rows = (2..).zip(rows).map(|(line, row)| {
            let (code, numbers) = row.split_once(',').unwrap();
            let (quantity, price) = numbers.split_once(',').unwrap();
            let text = format!("{number},{code},{code} name,{quantity},2010-12-01 08:26:00,{price},17850,EIRE");
            (line, parse(text.as_bytes()).unwrap())
        });
        classify(rows.collect(), 0).unwrap()
    }

    fn order(rows: &[&str]) -> Vec<Line> {
        match invoice("1", rows).kind {
            Kind::Order { lines } => lines,
            other => panic!("{other:?}"),
        }
    }

    fn classes(lines: &[Line]) -> Vec<Class> {
        lines.iter().map(|line| line.class).collect()
    }

    #[test]
    fn a_priced_invoice_is_an_order_with_numbered_lines() {
        let lines = order(&["85123a,6,2.55", "85123A,6,2.55", "22752,2,7.65"]);
        assert_eq!(lines.iter().map(|line| line.line).collect::<Vec<_>>(), [1, 2, 3], "exact duplicates are lines");
        assert_eq!((lines[0].code.as_str(), lines[0].amount, lines[0].unit_price.as_str()), ("85123A", 1530, "2.55"));
        assert_eq!(invoice("1", &["A,6,2.55", "B1,-1,2.55"]).amount(), 1275);
    }

    #[test]
    fn carriage_and_manual_lines_are_money_not_goods() {
        let lines = order(&["1,1,1", "POST,1,18", "dot,1,9", "C2,1,50", "m,1,5", "S,1,3", "D,-1,2"]);
        use Class::{Carriage, Goods, Manual};
        assert_eq!(classes(&lines), [Goods, Carriage, Carriage, Carriage, Manual, Manual, Manual]);
        assert_eq!(lines.iter().map(|line| line.amount).sum::<i64>(), 8400);
    }

    #[test]
    fn an_invoice_of_carriage_or_manual_lines_only_is_an_order_without_goods() {
        assert_eq!(classes(&order(&["M,1,5", "POST,1,18"])), [Class::Manual, Class::Carriage]);
    }

    #[test]
    fn free_goods_in_a_priced_order_are_goods() {
        let lines = order(&["1,1,1", "2,5,0"]);
        assert_eq!((lines[1].class, lines[1].quantity, lines[1].amount), (Class::Goods, 5, 0));
    }

    #[test]
    fn an_order_sells_no_negative_units_but_keeps_their_money() {
        let lines = order(&["1,5,1", "1,-2,1", "2,1,-0.5", "3,-4,0"]);
        use Class::{Goods, Manual};
        assert_eq!(classes(&lines), [Goods, Manual, Manual, Manual]);
        assert_eq!(lines.iter().map(|line| line.amount).sum::<i64>(), 250);
    }

    #[test]
    fn prices_all_zero_are_stock_found_or_written_off_whoever_is_named() {
        let found = invoice("1", &["1,56,0", "DOT,1,0.00"]);
        assert_eq!(found.customer.as_deref(), Some("17850"));
        let Kind::Stock { lines } = &found.kind else { panic!("{found:?}") };
        let adjusted: Vec<_> = lines.iter().map(|line| (line.sku.as_str(), line.quantity)).collect();
        assert_eq!(adjusted, [("1", 56), ("DOT", 1)]);
        assert_eq!((lines[0].reason.as_str(), found.amount()), ("1 name", 0));
        let Kind::Stock { lines } = invoice("1", &["1,-10,0"]).kind else { panic!("no stock") };
        assert_eq!(lines[0].quantity, -10);
    }

    #[test]
    fn prefix_c_is_a_credit_note_even_at_price_zero() {
        let note = invoice("c1", &["1,-2,2.55", "D,-1,27.50", "2,-1,0"]);
        assert!(matches!(&note.kind, Kind::CreditNote { lines } if lines.len() == 3));
        assert_eq!((note.number.as_str(), note.amount()), ("C1", -3260));
        assert!(matches!(invoice("C2", &["1,-1,0"]).kind, Kind::CreditNote { .. }));
    }

    #[test]
    fn ledger_rows_are_skipped_with_their_reason_and_the_rest_is_kept() {
        let mixed = invoice("1", &["bank charges,1,15", "1,1,1", "AMAZONFEE,1,5", "cruk,-1,2", "b,1,9"]);
        let skipped: Vec<_> = mixed.skipped.iter().map(|row| (row.line, row.code.as_str())).collect();
        assert_eq!(skipped, [(2, "BANK CHARGES"), (4, "AMAZONFEE"), (5, "CRUK"), (6, "B")]);
        assert_eq!((mixed.rows, mixed.lines().len(), mixed.lines()[0].line, mixed.amount()), (5, 1, 1, 100));
    }

    #[test]
    fn an_invoice_of_ledger_rows_only_is_skipped_under_any_prefix() {
        assert_eq!(invoice("C1", &["AMAZONFEE,-1,5"]).kind, Kind::Skipped);
        let adjustment = invoice("a1", &["B,1,-11062.06", "22423,1,5"]);
        assert_eq!((adjustment.kind, adjustment.skipped.len()), (Kind::Skipped, 2));
    }

    #[test]
    fn free_goods_beside_a_ledger_row_are_stock_since_no_kept_price_is_left() {
        assert!(matches!(invoice("1", &["1,5,0", "AMAZONFEE,1,5"]).kind, Kind::Stock { .. }));
    }
}
