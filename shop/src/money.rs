//! The shop's currency.

use factum::money::{Currency, Money, MoneyError, UnitPrice};

/// What the shop counts in.
pub const CURRENCY: Currency = Currency::GBP;

/// An amount in pence.
pub fn pence(amount: i64) -> Money {
    Money::new(amount, CURRENCY)
}

/// A price as decimal text, such as `2.55`.
///
/// # Errors
/// [`MoneyError`] if it is no decimal number.
pub fn price(text: &str) -> Result<UnitPrice, MoneyError> {
    UnitPrice::new(text, CURRENCY)
}
