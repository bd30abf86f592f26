//! The plan of a real file against the totals known of it: what a run without declines must report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Class, File, Kind, Ledger, Sale, customers, demand, read};

/// What a report says of a file, in pence and units; `by_country` and `top_products` are the first five.
#[derive(Debug, PartialEq)]
struct Totals {
    rows: u64,
    invoices: u64,
    placed: u64,
    total: i64,
    by_country: Vec<(String, u64, i64)>,
    credit_notes: u64,
    credit_total: i64,
    refunded: i64,
    found: i64,
    written_off: i64,
    sold: i64,
    top_products: Vec<(String, i64)>,
    ledger_rows: u64,
    ledger_invoices: u64,
}

fn totals(file: &File) -> Totals {
    let mut ledger = Ledger::default();
    let mut countries: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    let mut units: BTreeMap<String, i64> = BTreeMap::new();
    let mut sum = Totals {
        rows: file.rows,
        invoices: file.numbers,
        placed: 0,
        total: 0,
        by_country: Vec::new(),
        credit_notes: 0,
        credit_total: 0,
        refunded: 0,
        found: 0,
        written_off: 0,
        sold: 0,
        top_products: Vec::new(),
        ledger_rows: 0,
        ledger_invoices: 0,
    };
    for invoice in &file.invoices {
        sum.ledger_rows += invoice.skipped.len() as u64;
        match &invoice.kind {
            Kind::Order { lines } => {
                Sale::of(invoice).iter().for_each(|sale| ledger.order(sale));
                sum.placed += 1;
                sum.total += invoice.amount();
                let country = countries.entry(invoice.country.clone()).or_default();
                *country = (country.0 + 1, country.1 + invoice.amount());
                for line in lines.iter().filter(|line| line.class == Class::Goods) {
                    sum.sold += line.quantity;
                    *units.entry(line.code.clone()).or_default() += line.quantity;
                }
            }
            Kind::CreditNote { .. } => {
                sum.credit_notes += 1;
                sum.credit_total -= invoice.amount();
                let credit = ledger.credit(invoice);
                sum.refunded += credit.returns.iter().map(|back| back.amount).sum::<i64>();
                sum.refunded += credit.credit.map_or(0, |balance| balance.amount);
            }
            Kind::Stock { lines } => {
                sum.found += lines.iter().map(|line| line.quantity.max(0)).sum::<i64>();
                sum.written_off -= lines.iter().map(|line| line.quantity.min(0)).sum::<i64>();
            }
            Kind::Skipped => sum.ledger_invoices += 1,
        }
    }
    sum.by_country = countries.into_iter().map(|(country, (orders, total))| (country, orders, total)).collect();
    sum.by_country.sort_by_key(|(_, _, total)| -total);
    sum.by_country.truncate(5);
    sum.top_products = units.into_iter().collect();
    sum.top_products.sort_by_key(|(_, units)| -units);
    sum.top_products.truncate(5);
    sum
}

fn countries(known: [(&str, u64, i64); 5]) -> Vec<(String, u64, i64)> {
    known.map(|(country, orders, total)| (country.to_owned(), orders, total)).to_vec()
}

fn products(known: [(&str, i64); 5]) -> Vec<(String, i64)> {
    known.map(|(sku, units)| (sku.to_owned(), units)).to_vec()
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/online_retail_first_2000_invoices.csv.zst")
}

#[test]
fn the_first_2000_invoices_come_to_the_known_totals() {
    let file = read(&committed()).unwrap();
    assert_eq!(file.unreadable, []);
    assert_eq!(
        totals(&file),
        Totals {
            rows: 41_621,
            invoices: 2_000,
            placed: 1_537,
            total: 79_983_492,
            by_country: countries([
                ("United Kingdom", 1_427, 72_591_046),
                ("Germany", 29, 1_397_829),
                ("EIRE", 16, 974_341),
                ("France", 21, 961_631),
                ("Netherlands", 3, 878_448),
            ]),
            credit_notes: 314,
            credit_total: 2_079_391,
            refunded: 2_079_391,
            found: 2_805,
            written_off: 4_010,
            sold: 354_101,
            top_products: products([
                ("84077", 5195),
                ("21212", 4082),
                ("85123A", 3834),
                ("22834", 3478),
                ("22197", 2730)
            ]),
            ledger_rows: 10,
            ledger_invoices: 10,
        }
    );
}

#[test]
#[ignore = "needs the cut 2010-12 to 2011-06 of the same data, its path in SHOP_LARGE_FILE"]
fn the_first_seven_months_come_to_the_known_totals() {
    let path = std::env::var_os("SHOP_LARGE_FILE").expect("SHOP_LARGE_FILE names the file");
    let file = read(Path::new(&path)).unwrap();
    assert_eq!(file.unreadable, []);
    assert_eq!(
        totals(&file),
        Totals {
            rows: 245_903,
            invoices: 12_795,
            placed: 9_653,
            total: 481_264_540,
            by_country: countries([
                ("United Kingdom", 8_774, 404_733_889),
                ("Netherlands", 46, 13_984_457),
                ("EIRE", 121, 11_682_657),
                ("Germany", 201, 10_746_656),
                ("France", 180, 8_995_484),
            ]),
            credit_notes: 1_974,
            credit_total: 29_211_984,
            refunded: 29_211_984,
            found: 34_825,
            written_off: 114_420,
            sold: 2_500_201,
            top_products: products([
                ("23166", 75_413),
                ("84077", 31_403),
                ("85099B", 23_020),
                ("85123A", 22_847),
                ("21212", 22_008),
            ]),
            ledger_rows: 38,
            ledger_invoices: 38,
        }
    );
    conserves(&file);
}

#[test]
fn nothing_of_the_file_is_lost_and_nothing_runs_short() {
    conserves(&read(&committed()).unwrap());
}

/// Every row is in an invoice, every line of a note in exactly one place, every unit given back was bought, and stock
/// received at first sight lasts to the end whatever comes back.
fn conserves(file: &File) {
    assert_eq!(file.invoices.iter().map(|invoice| invoice.rows).sum::<u64>(), file.rows);
    let demand = demand(&file.invoices);
    let customers = customers(&file.invoices);
    let mut stock: BTreeMap<&str, i64> = demand.iter().map(|(sku, demand)| (sku.as_str(), demand.receipt())).collect();
    let mut bought: BTreeMap<(String, u32), i64> = BTreeMap::new();
    let mut ledger = Ledger::default();
    for invoice in &file.invoices {
        assert_eq!(invoice.skipped.len() + kept(&invoice.kind), invoice.rows as usize);
        if let Some(customer) = invoice.customer.as_ref().filter(|_| invoice.kind != Kind::Skipped) {
            assert!(customers[customer].at <= invoice.at);
        }
        match &invoice.kind {
            Kind::Order { lines } => {
                Sale::of(invoice).iter().for_each(|sale| ledger.order(sale));
                for line in lines.iter().filter(|line| line.class == Class::Goods) {
                    assert!(demand[&line.code].at <= invoice.at);
                    bought.insert((invoice.number.clone(), line.line), line.quantity);
                    *stock.get_mut(line.code.as_str()).unwrap() -= line.quantity;
                }
            }
            Kind::CreditNote { lines } => {
                let credit = ledger.credit(invoice);
                let back = credit.returns.iter().flat_map(|back| back.lines.iter().map(|line| line.line));
                let rest = credit.credit.iter().flat_map(|balance| balance.lines.iter().map(|line| line.line));
                let mut seen: Vec<u32> = back.chain(rest).collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(lines.iter().map(|line| line.line)));
                for back in &credit.returns {
                    assert_eq!(back.amount, back.lines.iter().map(|line| line.amount).sum::<i64>());
                    for portion in back.lines.iter().flat_map(|line| &line.of) {
                        let left = bought.get_mut(&(back.order.clone(), portion.line)).unwrap();
                        *left -= portion.quantity;
                        assert!(*left >= 0);
                    }
                }
            }
            Kind::Stock { lines } => {
                for line in lines {
                    *stock.get_mut(line.sku.as_str()).unwrap() += line.quantity.min(0);
                }
            }
            Kind::Skipped => {}
        }
    }
    assert!(stock.values().all(|left| *left == super::demand::MARGIN));
}

fn kept(kind: &Kind) -> usize {
    match kind {
        Kind::Order { lines } | Kind::CreditNote { lines } => lines.len(),
        Kind::Stock { lines } => lines.len(),
        Kind::Skipped => 0,
    }
}
