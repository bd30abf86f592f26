//! Credit notes and the orders that they find.

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
            Kind::Order { .. } => Sale::of(invoice).iter().for_each(|sale| ledger.order(sale)),
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
    assert_eq!(credits[0].returns[0].lines[0].of, [Portion { line: 1, quantity: 2 }, Portion { line: 3, quantity: 2 }]);
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
    assert!(Sale::of(&file.invoices[0]).is_none());
    assert_eq!(brief(&ledger.credit(&file.invoices[1])), (vec![], 0));
    assert_eq!(ledger.credit(&file.invoices[2]), Credit::default());
}

#[test]
fn orders_stand_by_their_time_however_they_come() {
    let sale = |order: &str, minute: i64| Sale {
        order: order.to_owned(),
        at: Timestamp::from_second(1_291_190_400 + minute * 60).unwrap(),
        customer: "7".to_owned(),
        lines: vec![SoldLine { line: 1, code: "A".to_owned(), unit_price_micros: 2_000_000, left: 5, back: 2 }],
    };
    let mut ledger = Ledger::default();
    ledger.order(&sale("2", 2));
    ledger.order(&sale("1", 1));
    ledger.order(&sale("9", 30));
    let file = from_rows(&[&expand("C3,A,-5,3,2,7"), &expand("C4,A,-5,4,2,7"), &expand("C5,A,-2,5,2,7")]);
    let credits: Vec<Credit> = file.invoices.iter().map(|note| ledger.credit(note)).collect();
    assert_eq!(brief(&credits[0]).0, ["2:5:1000"]);
    assert_eq!(brief(&credits[1]).0, ["1:5:1000"]);
    let settled: Vec<_> = credits[2].settled.iter().map(|back| (back.order.as_str(), back.amount)).collect();
    assert_eq!((brief(&credits[2]), settled), ((vec![], 0), vec![("2", 400)]), "it came back over the counter");
}

#[test]
fn what_a_note_charges_beyond_its_credit_lowers_what_is_returned() {
    assert_eq!(one(&["1,A,3,1,2,7", "C2,A,-3,2,2,7", "C2,Y,1,2,5,7"]), (vec!["1:3:100".to_owned()], 0));
}
