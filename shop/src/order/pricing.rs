//! Where an order is priced: what the customer asked for becomes lines with names, prices and amounts.

use std::collections::BTreeMap;

use factum::{money::MoneyError, prelude::*};

use super::views::PriceRow;
use crate::{
    contracts::{
        ids::Sku,
        shapes::{Line, LineKind, Quantity},
    },
    money::pence,
};

/// Prices items by the prices known now. An article that is not known has no price and amount 0: the catalogue's check
/// will reject the order and name the line; and if the catalogue has come to know it meanwhile, the order itself will.
///
/// # Errors
/// [`MoneyError`] if an amount is beyond what money can count.
pub fn lines(
    items: &[Quantity],
    price_of: impl Fn(&Sku) -> Option<PriceRow>,
) -> Result<(Vec<Line>, Money), MoneyError> {
    let mut total = pence(0);
    let mut lines = Vec::with_capacity(items.len());
    for (line, item) in (1..).zip(items) {
        let priced = match price_of(&item.sku) {
            Some(row) => Line::goods(line, item.sku.clone(), &row.name, item.quantity, row.price)?,
            None => Line {
                line,
                kind: LineKind::Goods,
                sku: item.sku.clone(),
                name: String::new(),
                quantity: item.quantity,
                unit_price: None,
                amount: pence(0),
            },
        };
        total = total.checked_add(priced.amount)?;
        lines.push(priced);
    }
    Ok((lines, total))
}

/// What returned items are worth: what the order's lines cost by the piece, from the first line with the article on.
/// Pieces that came back before are passed over. Amounts are differences of rounded sums, so that an order that comes
/// back piece by piece is worth exactly what it cost.
///
/// Pieces beyond what the lines hold are worth nothing: the order will refuse them.
///
/// # Errors
/// [`MoneyError`] if an amount is beyond what money can count.
pub fn worth(lines: &[Line], returned: &[Quantity], items: &[Quantity]) -> Result<Money, MoneyError> {
    let mut back: BTreeMap<&Sku, (i64, i64)> = BTreeMap::new();
    for item in returned {
        let (before, _) = back.entry(&item.sku).or_default();
        *before = before.saturating_add(item.quantity);
    }
    for item in items {
        let (_, now) = back.entry(&item.sku).or_default();
        *now = now.saturating_add(item.quantity);
    }
    let mut total = pence(0);
    for line in lines.iter().filter(|line| line.kind == LineKind::Goods) {
        let (Some((before, now)), Some(price)) = (back.get_mut(&line.sku), &line.unit_price) else { continue };
        let from = (*before).clamp(0, line.quantity);
        let to = from + (*now).clamp(0, line.quantity - from);
        *before -= from;
        *now -= to - from;
        total = total.checked_add(price.times(to)?.checked_sub(price.times(from)?)?)?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::price;

    fn line(number: u32, sku: &str, quantity: i64, unit: &str) -> Line {
        Line::goods(number, Sku::from(sku), "", quantity, price(unit).unwrap()).unwrap()
    }

    fn of(sku: &str, quantity: i64) -> Quantity {
        Quantity { sku: Sku::from(sku), quantity }
    }

    #[test]
    fn what_comes_back_is_worth_what_its_lines_cost_in_their_order() {
        let lines = [line(1, "A", 2, "5.00"), line(2, "B", 1, "9.99"), line(3, "A", 3, "3.00")];
        let worth = |returned: &[Quantity], items: &[Quantity]| worth(&lines, returned, items).unwrap().amount;
        assert_eq!(worth(&[], &[of("A", 3)]), 1300);
        assert_eq!(worth(&[of("A", 3)], &[of("A", 2)]), 600);
        assert_eq!(worth(&[of("A", 1)], &[of("A", 1), of("B", 1), of("A", 1)]), 500 + 999 + 300);
        assert_eq!(worth(&[], &[of("A", 9)]), 1900, "no more than the lines hold");
        assert_eq!(worth(&[], &[of("C", 1), of("B", -1)]), 0);
    }

    #[test]
    fn an_order_that_comes_back_piece_by_piece_is_worth_what_it_cost() {
        let lines = [line(1, "A", 7, "0.135")];
        let pieces = (0..7).map(|before| worth(&lines, &[of("A", before)], &[of("A", 1)]).unwrap().amount);
        assert_eq!(pieces.sum::<i64>(), lines[0].amount.amount);
    }
}
