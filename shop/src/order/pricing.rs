//! Where an order is priced: what the customer asked for becomes lines with names, prices and amounts.

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
