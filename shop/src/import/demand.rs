//! First sights: which products and customers a file brings, and what must be in stock before it is played.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::invoice::{Class, Invoice, Kind};
use crate::inventory::decider::MOST_UNITS;

/// Units received of every product beyond what the file takes: nothing runs short, whatever is returned or cancelled.
pub const MARGIN: i64 = 100;
/// What is paid for what nobody has paid for.
const FREE: &str = "0";

/// What a file will take from one product.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Units sold and written off; units found and returned are not set against them, since they may come later.
    pub units: i64,
    /// What to call it: the first description of a line of goods, else the code. A stock adjustment's description is a
    /// reason and no name.
    pub name: String,
    /// What one piece costs, in pounds: the price of the first line of goods that has one, else zero.
    pub price: String,
    /// Number of the first invoice that names it.
    pub invoice: String,
    /// Time of that invoice.
    pub at: Timestamp,
}

impl Demand {
    /// What to receive at first sight.
    pub fn receipt(&self) -> i64 {
        self.units.saturating_add(MARGIN)
    }
}

/// A receipt in movements of stock that the shop takes.
pub fn movements(units: i64) -> impl Iterator<Item = i64> {
    let mut left = units;
    std::iter::from_fn(move || {
        let movement = left.min(MOST_UNITS);
        left -= movement;
        (movement > 0).then_some(movement)
    })
}

/// A customer at first sight.
#[derive(Debug, Clone, PartialEq)]
pub struct Customer {
    /// Of the first invoice; later ones may say another, which is theirs alone.
    pub country: String,
    /// Number of the first invoice that is not skipped.
    pub invoice: String,
    /// Time of that invoice.
    pub at: Timestamp,
}

/// Every product by its code: all that appear as goods (of an order or a credit note) or in a stock adjustment.
pub fn demand<'a>(invoices: impl IntoIterator<Item = &'a Invoice>) -> BTreeMap<String, Demand> {
    let mut all: BTreeMap<String, Demand> = BTreeMap::new();
    for invoice in invoices {
        for line in invoice.lines().iter().filter(|line| line.class == Class::Goods) {
            let demand = seen(&mut all, invoice, &line.code);
            if demand.name.is_empty() {
                demand.name.clone_from(&line.name);
            }
            if demand.price == FREE && line.unit_price_micros > 0 {
                demand.price.clone_from(&line.unit_price);
            }
        }
        if let Kind::Stock { lines } = &invoice.kind {
            for line in lines {
                seen(&mut all, invoice, &line.sku);
            }
        }
        for (code, units) in invoice.takes() {
            let demand = seen(&mut all, invoice, code);
            demand.units = demand.units.saturating_add(units);
        }
    }
    for (code, demand) in &mut all {
        if demand.name.is_empty() {
            demand.name.clone_from(code);
        }
    }
    all
}

/// Every customer by id.
pub fn customers<'a>(invoices: impl IntoIterator<Item = &'a Invoice>) -> BTreeMap<String, Customer> {
    let mut all = BTreeMap::new();
    for invoice in invoices.into_iter().filter(|invoice| invoice.kind != Kind::Skipped) {
        if let Some(id) = &invoice.customer {
            all.entry(id.clone()).or_insert_with(|| Customer {
                country: invoice.country.clone(),
                invoice: invoice.number.clone(),
                at: invoice.at,
            });
        }
    }
    all
}

fn seen<'a>(all: &'a mut BTreeMap<String, Demand>, invoice: &Invoice, code: &str) -> &'a mut Demand {
    all.entry(code.to_owned()).or_insert_with(|| Demand {
        units: 0,
        name: String::new(),
        price: FREE.to_owned(),
        invoice: invoice.number.clone(),
        at: invoice.at,
    })
}

#[cfg(test)]
mod tests {
    use super::super::file::from_rows;
    use super::*;

    #[test]
    fn sales_and_write_offs_take_and_nothing_gives_back() {
        let file = from_rows(&[
            "1,a,check,-3,2010-12-01 08:00:00,0,,EIRE",
            "2,A,Lamp,5,2010-12-01 08:01:00,1,7,EIRE",
            "2,A,Red lamp,2,2010-12-01 08:01:00,0,7,EIRE",
            "3,A,found,50,2010-12-01 08:02:00,0,,EIRE",
            "C4,A,Lamp,-5,2010-12-01 08:03:00,1,7,EIRE",
        ]);
        let all = demand(&file.invoices);
        let lamp = &all["A"];
        assert_eq!((lamp.units, lamp.receipt(), lamp.name.as_str(), lamp.invoice.as_str()), (10, 110, "Lamp", "1"));
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn a_product_costs_what_its_first_priced_line_says_and_never_less_than_nothing() {
        let file = from_rows(&[
            "1,A,Lamp,1,2010-12-01 08:00:00,-0.5,7,EIRE",
            "1,A,Lamp,1,2010-12-01 08:00:00,0,7,EIRE",
            "1,A,Lamp,2,2010-12-01 08:00:00,1.25,7,EIRE",
            "C2,B1,Cup,-1,2010-12-01 08:01:00,-3,7,EIRE",
        ]);
        let all = demand(&file.invoices);
        assert_eq!((all["A"].price.as_str(), all["A"].units), ("1.25", 3));
        assert!(!all.contains_key("B1"), "a credit note that charges is no credit note");
    }

    #[test]
    fn a_receipt_comes_in_movements_that_the_shop_takes() {
        assert_eq!(movements(2 * MOST_UNITS + 7).collect::<Vec<_>>(), [MOST_UNITS, MOST_UNITS, 7]);
        assert_eq!(movements(0).count(), 0);
    }

    #[test]
    fn only_goods_and_adjusted_codes_are_products() {
        let file = from_rows(&[
            "1,POST,Postage,1,2010-12-01 08:00:00,18,,EIRE",
            "1,M,Manual,1,2010-12-01 08:00:00,18,,EIRE",
            "1,BANK CHARGES,,1,2010-12-01 08:00:00,15,,EIRE",
            "2,DOT,,1000,2010-12-01 08:01:00,0,,EIRE",
            "C3,G,,-1,2010-12-01 08:02:00,2,7,EIRE",
        ]);
        let all = demand(&file.invoices);
        let seen: Vec<_> =
            all.iter().map(|(code, demand)| (code.as_str(), demand.units, demand.name.as_str())).collect();
        assert_eq!(seen, [("DOT", 0, "DOT"), ("G", 0, "G")]);
    }

    #[test]
    fn a_customer_is_seen_once_with_the_first_country_and_a_guest_never() {
        let file = from_rows(&[
            "C1,AMAZONFEE,,-1,2010-12-01 07:00:00,5,7,Nowhere",
            "2,A,,1,2010-12-01 08:00:00,1,7,Cyprus",
            "3,A,,1,2010-12-01 08:01:00,1,7,Austria",
            "4,A,,1,2010-12-01 08:02:00,1,,Austria",
        ]);
        let all = customers(&file.invoices);
        assert_eq!((all.len(), all["7"].country.as_str(), all["7"].invoice.as_str()), (1, "Cyprus", "2"));
    }
}
