//! Which earlier order a credit note gives back: the note does not say, so its lines are matched by what was bought.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::invoice::{Class, Invoice, Kind, Line};

/// The orders of each customer with the units not given back yet.
///
/// Feed it a file's invoices in their order. Its answers follow from those calls alone: an order that the shop cancels
/// later still matches, and the caller turns that return into credit.
///
/// A line of goods matches an order when the order's lines of the same code and unit price (equal in value, however
/// written) *together* have enough units left; the newest such order wins. One line never spreads over two orders.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    customers: BTreeMap<String, BTreeMap<Good, Vec<Bought>>>,
}

/// What a credit note comes to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Credit {
    /// One for each order matched, in the order of the note's first line for it.
    pub returns: Vec<Return>,
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
    /// Pence to give back: the note's amounts, positive.
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
    /// Pence to give back, positive; zero or less only if the note has lines that charge.
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
}

impl Ledger {
    /// Remembers an order. Guests' orders cannot be told from each other and are not remembered; other kinds of invoice
    /// are no orders and change nothing.
    pub fn order(&mut self, invoice: &Invoice) {
        let (Kind::Order { lines }, Some(customer)) = (&invoice.kind, &invoice.customer) else { return };
        let goods = self.customers.entry(customer.clone()).or_default();
        for line in lines.iter().filter(|line| line.class == Class::Goods) {
            let orders = goods.entry((line.code.clone(), line.unit_price_micros)).or_default();
            let portion = Portion { line: line.line, quantity: line.quantity };
            match orders.last_mut().filter(|bought| bought.order == invoice.number) {
                Some(bought) => bought.left.push(portion),
                None => {
                    orders.push(Bought { order: invoice.number.clone(), order_at: invoice.at, left: vec![portion] })
                }
            }
        }
    }

    /// Matches a credit note and takes what it gives back out of the orders. Other kinds of invoice come to nothing.
    pub fn credit(&mut self, invoice: &Invoice) -> Credit {
        let Kind::CreditNote { lines } = &invoice.kind else { return Credit::default() };
        let mut returns: Vec<Return> = Vec::new();
        let mut rest = Vec::new();
        for line in lines {
            let Some((order, order_at, of)) = self.take(invoice, line) else {
                rest.push(line.clone());
                continue;
            };
            let code = line.code.clone();
            let given = ReturnLine { line: line.line, code, quantity: -line.quantity, amount: -line.amount, of };
            match returns.iter_mut().find(|known| known.order == order) {
                Some(known) => {
                    known.amount += given.amount;
                    known.lines.push(given);
                }
                None => returns.push(Return { order, order_at, amount: given.amount, lines: vec![given] }),
            }
        }
        let amount = -rest.iter().map(|line| line.amount).sum::<i64>();
        Credit { returns, credit: (!rest.is_empty()).then_some(Balance { lines: rest, amount }) }
    }

    /// Takes the units of one credit line out of the newest order that has them all.
    fn take(&mut self, note: &Invoice, line: &Line) -> Option<(String, Timestamp, Vec<Portion>)> {
        let customer = note.customer.as_ref()?;
        if line.class != Class::Goods || line.quantity >= 0 {
            return None;
        }
        let units = -line.quantity;
        let good = (line.code.clone(), line.unit_price_micros);
        let orders = self.customers.get_mut(customer)?.get_mut(&good)?;
        let enough = |bought: &Bought| bought.left.iter().map(|portion| portion.quantity).sum::<i64>() >= units;
        let bought = orders.iter_mut().rev().find(|bought| bought.order_at <= note.at && enough(bought))?;
        let mut open = units;
        let mut taken = Vec::new();
        for portion in &mut bought.left {
            let quantity = portion.quantity.min(open);
            if quantity > 0 {
                portion.quantity -= quantity;
                open -= quantity;
                taken.push(Portion { line: portion.line, quantity });
            }
        }
        Some((bought.order.clone(), bought.order_at, taken))
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::from_rows;
    use super::*;

    /// Plays rows `number,code,quantity,minute,price,customer` and answers what each credit note comes to.
    fn play(rows: &[&str]) -> Vec<Credit> {
        let rows: Vec<String> = rows.iter().map(|row| expand(row)).collect();
        let file = from_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
        let mut ledger = Ledger::default();
        let mut credits = Vec::new();
        for invoice in &file.invoices {
            match invoice.kind {
                Kind::Order { .. } => ledger.order(invoice),
                Kind::CreditNote { .. } => credits.push(ledger.credit(invoice)),
                Kind::Stock { .. } | Kind::Skipped => {}
            }
        }
        credits
    }

    fn expand(row: &str) -> String {
        let [number, code, quantity, minute, price, customer] = row.split(',').collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        format!("{number},{code},N,{quantity},2010-12-01 08:{minute:0>2}:00,{price},{customer},EIRE")
    }

    /// `order:units:pence` of each return, then the credit's pence.
    fn brief(credit: &Credit) -> (Vec<String>, i64) {
        let returns = credit.returns.iter().map(|back| {
            let units: i64 = back.lines.iter().map(|line| line.quantity).sum();
            format!("{}:{units}:{}", back.order, back.amount)
        });
        (returns.collect(), credit.credit.as_ref().map_or(0, |balance| balance.amount))
    }

    fn one(rows: &[&str]) -> (Vec<String>, i64) {
        let credits = play(rows);
        assert_eq!(credits.len(), 1);
        brief(&credits[0])
    }

    #[test]
    fn matches_the_newest_order_that_has_enough_left() {
        let rows = ["1,A,5,1,2,7", "2,A,5,2,2,7", "3,A,1,3,2,7", "C4,a,-3,4,2.00,7"];
        assert_eq!(one(&rows), (vec!["2:3:600".to_owned()], 0));
    }

    #[test]
    fn units_given_back_are_gone() {
        let credits = play(&["1,A,5,1,2,7", "2,A,5,2,2,7", "C3,A,-3,3,2,7", "C4,A,-3,4,2,7", "C5,A,-3,5,2,7"]);
        let briefs: Vec<_> = credits.iter().map(brief).collect();
        assert_eq!(briefs[0], (vec!["2:3:600".to_owned()], 0));
        assert_eq!(briefs[1], (vec!["1:3:600".to_owned()], 0));
        assert_eq!(briefs[2], (vec![], 600), "2 + 2 are left, but no order has 3");
    }

    #[test]
    fn repeated_lines_of_an_order_are_one_sum_and_are_taken_line_by_line() {
        let credits = play(&["1,A,2,1,2,7", "1,B1,9,1,1,7", "1,A,3,1,2.0,7", "C2,A,-4,2,2,7", "C3,A,-1,3,2,7"]);
        assert_eq!(brief(&credits[0]), (vec!["1:4:800".to_owned()], 0));
        assert_eq!(
            credits[0].returns[0].lines[0].of,
            [Portion { line: 1, quantity: 2 }, Portion { line: 3, quantity: 2 }]
        );
        assert_eq!(credits[1].returns[0].lines[0].of, [Portion { line: 3, quantity: 1 }]);
    }

    #[test]
    fn other_price_other_customer_guest_or_later_order_do_not_match() {
        assert_eq!(one(&["1,A,5,1,2,7", "C2,A,-1,2,1.99,7"]), (vec![], 199));
        assert_eq!(one(&["1,A,5,1,2,7", "C2,A,-1,2,2,8"]), (vec![], 200));
        assert_eq!(one(&["1,A,5,1,2,", "C2,A,-1,2,2,"]), (vec![], 200));
        assert_eq!(one(&["C2,A,-1,2,2,7", "1,A,5,3,2,7"]), (vec![], 200));
    }

    #[test]
    fn an_order_of_the_same_minute_matches_if_it_comes_first() {
        assert_eq!(one(&["1,A,5,1,2,7", "C2,A,-1,1,2,7"]), (vec!["1:1:200".to_owned()], 0));
        assert_eq!(one(&["C2,A,-1,1,2,7", "1,A,5,1,2,7"]), (vec![], 200));
    }

    #[test]
    fn a_note_spreads_over_orders_with_one_return_each_and_the_rest_is_one_credit() {
        let credits = play(&[
            "1,A,5,1,2,7",
            "1,X,1,1,9,7",
            "2,B1,5,2,1,7",
            "C3,B1,-1,3,1,7",
            "C3,POST,-1,3,18,7",
            "C3,A,-2,3,2,7",
            "C3,D,-1,3,27.5,7",
            "C3,X,-1,3,9,7",
            "C3,Y,-1,3,0.5,7",
        ]);
        assert_eq!(brief(&credits[0]), (vec!["2:1:100".to_owned(), "1:3:1300".to_owned()], 4600));
        let lines: Vec<u32> = credits[0].returns[1].lines.iter().map(|line| line.line).collect();
        assert_eq!(lines, [3, 5]);
        let balance = credits[0].credit.as_ref().unwrap();
        assert_eq!(balance.lines.iter().map(|line| line.line).collect::<Vec<_>>(), [2, 4, 6]);
        assert_eq!(balance.amount, 1800 + 2750 + 50);
    }

    #[test]
    fn one_line_never_spreads_over_two_orders() {
        assert_eq!(one(&["1,A,5,1,2,7", "2,A,5,2,2,7", "C3,A,-6,3,2,7"]), (vec![], 1200));
    }

    #[test]
    fn a_note_never_counts_the_same_units_twice() {
        let rows = ["1,A,3,1,2,7", "C2,A,-2,2,2,7", "C2,A,-2,2,2,7"];
        assert_eq!(one(&rows), (vec!["1:2:400".to_owned()], 400));
    }

    #[test]
    fn free_goods_come_back_for_nothing() {
        assert_eq!(one(&["1,A,3,1,0,7", "1,B1,1,1,1,7", "C2,A,-2,2,0,7"]), (vec!["1:2:0".to_owned()], 0));
    }

    #[test]
    fn a_line_of_a_note_that_charges_is_set_against_the_credit() {
        assert_eq!(one(&["1,A,3,1,2,7", "C2,A,1,2,2,7", "C2,Y,-1,2,5,7"]), (vec![], 300));
    }

    #[test]
    fn money_lines_of_an_order_give_nothing_back() {
        assert_eq!(one(&["1,A,-3,1,2,7", "1,B1,9,1,1,7", "C2,A,-3,2,2,7"]), (vec![], 600));
    }

    #[test]
    fn only_orders_are_remembered_and_only_notes_are_answered() {
        let file = from_rows(&[&expand("1,A,5,1,0,7"), &expand("C2,A,-1,2,0,7"), &expand("3,A,5,3,1,7")]);
        let mut ledger = Ledger::default();
        ledger.order(&file.invoices[0]);
        assert_eq!(brief(&ledger.credit(&file.invoices[1])), (vec![], 0));
        assert_eq!(ledger.credit(&file.invoices[2]), Credit::default());
    }
}
