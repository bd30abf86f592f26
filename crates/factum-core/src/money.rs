//! Money: integer minor units with a currency. Unit prices keep their decimal text. No floats anywhere.
//!
//! A price may be finer than the smallest coin (0.125 GBP a piece), an amount may not. The only place where something
//! is rounded is [`UnitPrice::times`], half to even, so that many roundings do not drift to one side.

mod digits;

use digits::{Decimal, Digits, decimal, half_even};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

/// What a currency looks like in a schema.
pub(crate) const CURRENCY_PATTERN: &str = "^[A-Z]{3}$";
/// What a price looks like in one.
pub(crate) const PRICE_PATTERN: &str = r"^[+-]?[0-9]{1,18}(\.[0-9]{1,9})?$";

/// An ISO 4217 code: three upper-case letters. Which codes are in use is not checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Pound sterling.
    pub const GBP: Self = Self(*b"GBP");
    /// Euro.
    pub const EUR: Self = Self(*b"EUR");
    /// United States dollar.
    pub const USD: Self = Self(*b"USD");

    /// How many digits stand behind the point in this currency's amounts (ISO 4217's "minor unit"); 2 for nearly all.
    pub fn digits(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
            | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(MoneyError::Currency(text.to_owned())),
        }
    }
}

// By hand, because every amount of every message passes here: no text is put on the heap.
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Code;

        impl de::Visitor<'_> for Code {
            type Value = Currency;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a currency code of three upper-case letters")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Currency, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: [char; 3] = self.0.map(char::from);
        write!(f, "{}{}{}", text[0], text[1], text[2])
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": CURRENCY_PATTERN, "description": "An ISO 4217 code." })
    }
}

/// An amount in the currency's minor units: 1230 GBP minor units are 12.30 GBP. May be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    /// Minor units, such as pence.
    pub amount: i64,
    /// What they are units of.
    pub currency: Currency,
}

impl Money {
    /// So many minor units.
    pub fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Nothing.
    pub fn zero(currency: Currency) -> Self {
        Self { amount: 0, currency }
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::Mixed`] for two currencies, [`MoneyError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::Mixed`] for two currencies, [`MoneyError::Overflow`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    /// The same amount the other way.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] for the smallest number there is.
    pub fn checked_neg(self) -> Result<Self, MoneyError> {
        let amount = self.amount.checked_neg().ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }

    /// Reads an amount in whole units, such as `12.3`, `-0.125` or `1.23e1`, and rounds it half to even to minor units. For
    /// numbers of other systems: digits far behind the point are what their arithmetic left.
    ///
    /// # Errors
    /// [`MoneyError::Price`] for anything but a decimal number of at most 30 digits, [`MoneyError::Overflow`].
    pub fn of_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let number = Digits::read(text)?;
        let mantissa = number.mantissa();
        let minor = match number.scale - i64::from(currency.digits()) {
            surplus if surplus >= 0 => {
                let divisor = u32::try_from(surplus).ok().and_then(|zeros| 10_i128.checked_pow(zeros));
                // Behind so many digits it is less than half of the smallest coin.
                divisor.map_or(0, |divisor| half_even(mantissa, divisor))
            }
            lack => {
                let factor = u32::try_from(-lack).ok().and_then(|zeros| 10_i128.checked_pow(zeros));
                factor.and_then(|factor| mantissa.checked_mul(factor)).ok_or(MoneyError::Overflow)?
            }
        };
        let amount = i64::try_from(minor).map_err(|_| MoneyError::Overflow)?;
        Ok(Self { amount, currency })
    }

    fn combine(self, other: Self, operation: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed(self.currency, other.currency));
        }
        let amount = operation(self.amount, other.amount).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.amount < 0 { "-" } else { "" };
        let digits = self.currency.digits();
        let (unit, amount) = (10_u64.pow(digits), self.amount.unsigned_abs());
        match digits {
            0 => write!(f, "{sign}{amount} {}", self.currency),
            _ => {
                let (whole, part, width) = (amount / unit, amount % unit, digits as usize);
                write!(f, "{sign}{whole}.{part:0width$} {}", self.currency)
            }
        }
    }
}

/// The price of one piece: a decimal number, kept as it was written, in whole currency units.
///
/// Equality is of the text: `2.5` and `2.50` are the same price, but not the same value here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Unchecked")]
#[schemars(with = "Unchecked", rename = "UnitPrice")]
pub struct UnitPrice {
    amount: Arc<str>,
    currency: Currency,
}

/// The price of one piece.
#[derive(Deserialize, JsonSchema)]
struct Unchecked {
    /// A decimal number with at most 9 digits behind the point, in whole currency units.
    #[schemars(regex(pattern = PRICE_PATTERN))]
    amount: Arc<str>,
    /// What it is in.
    currency: Currency,
}

impl UnitPrice {
    /// Most digits behind the point.
    pub const MOST_DECIMALS: usize = 9;
    /// Most digits before the point.
    pub const MOST_WHOLE_DIGITS: usize = 18;

    /// Reads a decimal number such as `2.55`, `-0.125` or `7`.
    ///
    /// # Errors
    /// [`MoneyError::Price`] for anything else: exponents, separators, spaces, too many digits.
    pub fn new(amount: &str, currency: Currency) -> Result<Self, MoneyError> {
        decimal(amount)?;
        Ok(Self { amount: amount.into(), currency })
    }

    /// Reads a decimal number as other systems write it: also with an exponent, which is written out.
    ///
    /// # Errors
    /// [`MoneyError::Price`] for anything else, and for too many digits.
    pub fn of_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        match text.contains(['e', 'E']) {
            true => Self::new(&Digits::read(text)?.plain(text)?, currency),
            false => Self::new(text, currency),
        }
    }

    /// The text as it was written.
    pub fn amount(&self) -> &str {
        &self.amount
    }

    /// What it is in.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// What `quantity` pieces cost, rounded half to even to the currency's minor units.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] if that is more than a [`Money`] can hold.
    pub fn times(&self, quantity: i64) -> Result<Money, MoneyError> {
        let Decimal { mantissa, scale } = decimal(&self.amount)?;
        let product = mantissa.checked_mul(i128::from(quantity)).ok_or(MoneyError::Overflow)?;
        let digits = self.currency.digits();
        let minor = match scale.checked_sub(digits) {
            Some(surplus) => half_even(product, 10_i128.pow(surplus)),
            None => product.checked_mul(10_i128.pow(digits - scale)).ok_or(MoneyError::Overflow)?,
        };
        let amount = i64::try_from(minor).map_err(|_| MoneyError::Overflow)?;
        Ok(Money { amount, currency: self.currency })
    }
}

impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

impl TryFrom<Unchecked> for UnitPrice {
    type Error = MoneyError;

    fn try_from(read: Unchecked) -> Result<Self, MoneyError> {
        decimal(&read.amount)?;
        Ok(Self { amount: read.amount, currency: read.currency })
    }
}

/// What money cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// No currency code.
    #[error("`{0}` is not a currency: write its three upper-case letters, such as GBP")]
    Currency(String),
    /// No decimal number.
    #[error(
        "`{0}` is not a price: write a decimal number such as 2.55, at most 18 digits before and 9 behind the point"
    )]
    Price(String),
    /// Two currencies in one sum.
    #[error("{0} and {1} cannot be added: convert one of them first")]
    Mixed(Currency, Currency),
    /// A result that does not fit.
    #[error("the amount is larger than 64 bits of minor units can hold")]
    Overflow,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    fn times(price: &str, code: &str, quantity: i64) -> i64 {
        UnitPrice::new(price, currency(code)).unwrap().times(quantity).unwrap().amount
    }

    #[test]
    fn rounds_ties_to_the_even_minor_unit() {
        for (price, pence) in [
            ("0.125", 12),
            ("0.135", 14),
            ("0.145", 14),
            ("0.1250", 12),
            ("0.125000001", 13),
            ("0.124999999", 12),
            ("0.005", 0),
            ("0.015", 2),
            ("-0.125", -12),
            ("-0.135", -14),
            ("-0.005", 0),
            ("+0.135", 14),
        ] {
            assert_eq!(times(price, "GBP", 1), pence, "{price}");
        }
        assert_eq!(times("0.125", "GBP", -1), -12);
        assert_eq!(times("-0.135", "GBP", -1), 14);
    }

    #[test]
    fn rounds_the_line_and_not_the_piece() {
        assert_eq!(times("2.55", "GBP", 6), 1530);
        assert_eq!(times("0.125", "GBP", 8), 100);
        assert_eq!(times("0.001", "GBP", 4_300), 430);
        assert_eq!(times("7", "EUR", 3), 2100);
        assert_eq!(times("2.55", "GBP", 0), 0);
        assert_eq!(times("2.55", "GBP", -6), -1530);
    }

    #[test]
    fn knows_currencies_without_and_with_three_digits() {
        assert_eq!(times("1250", "JPY", 2), 2500);
        assert_eq!(times("2.5", "KRW", 1), 2);
        assert_eq!(times("3.5", "KRW", 1), 4);
        assert_eq!(times("1.2345", "KWD", 1), 1234);
        assert_eq!(times("1.2355", "BHD", 1), 1236);
        assert_eq!(times("1.5", "CLF", 1), 15_000);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let dear = UnitPrice::new("999999999999999999.999999999", Currency::GBP).unwrap();
        for quantity in [1, -1, i64::MAX, i64::MIN] {
            assert_eq!(dear.times(quantity), Err(MoneyError::Overflow));
        }
        let most = UnitPrice::new("0.01", Currency::GBP).unwrap();
        assert_eq!(most.times(i64::MAX).unwrap().amount, i64::MAX);
        assert_eq!(most.times(i64::MIN).unwrap().amount, i64::MIN);
        assert_eq!(UnitPrice::new("0.02", Currency::GBP).unwrap().times(i64::MAX), Err(MoneyError::Overflow));

        let (most, least) = (Money::new(i64::MAX, Currency::GBP), Money::new(i64::MIN, Currency::GBP));
        assert_eq!(most.checked_add(Money::new(1, Currency::GBP)), Err(MoneyError::Overflow));
        assert_eq!(least.checked_sub(Money::new(1, Currency::GBP)), Err(MoneyError::Overflow));
        assert_eq!(least.checked_neg(), Err(MoneyError::Overflow));
    }

    #[test]
    fn reads_amounts_and_prices_of_others() {
        let pence = |text: &str| Money::of_decimal(text, Currency::GBP).map(|money| money.amount);
        for (text, amount) in [
            ("12.3", 1230),
            ("-0.125", -12),
            ("0.135", 14),
            ("1.23e1", 1230),
            ("123E-2", 123),
            ("0e9999", 0),
            ("5e-40", 0),
            ("30.599999999999998", 3060),
            ("007", 700),
            ("92233720368547758.07", i64::MAX),
        ] {
            assert_eq!(pence(text), Ok(amount), "{text}");
        }
        for text in ["1e30", "92233720368547758.08", "1e400"] {
            assert_eq!(pence(text), Err(MoneyError::Overflow), "{text}");
        }
        for text in ["", "-", ".5", "5.", "1e", "1e99999", "1,5", "NaN", "1_0", &"9".repeat(31)] {
            assert!(matches!(pence(text), Err(MoneyError::Price(_))), "{text}");
        }
        let price = |text: &str| UnitPrice::of_decimal(text, Currency::GBP).map(|price| price.amount().to_owned());
        for (text, kept) in [("2.50", "2.50"), ("2.5e0", "2.5"), ("25e-1", "2.5"), ("2e3", "2000"), ("-1e-3", "-0.001")]
        {
            assert_eq!(price(text).as_deref(), Ok(kept), "{text}");
        }
        assert!(price("1e-99").is_err() && price("1e30").is_err() && price("0.12345678901").is_err());
    }

    #[test]
    fn adds_within_one_currency_only() {
        let (five, two) = (Money::new(500, Currency::GBP), Money::new(200, Currency::GBP));
        assert_eq!(five.checked_add(two).unwrap().amount, 700);
        assert_eq!(two.checked_sub(five).unwrap().amount, -300);
        assert_eq!(five.checked_neg().unwrap().amount, -500);
        let euro = Money::zero(Currency::EUR);
        assert_eq!(five.checked_add(euro), Err(MoneyError::Mixed(Currency::GBP, Currency::EUR)));
        assert_eq!(five.checked_sub(euro), Err(MoneyError::Mixed(Currency::GBP, Currency::EUR)));
    }

    #[test]
    fn reads_decimal_numbers_and_nothing_else() {
        for text in ["0", "2.55", "-2.55", "+7", "007.10", "0.123456789", "999999999999999999"] {
            assert_eq!(UnitPrice::new(text, Currency::GBP).unwrap().amount(), text);
        }
        for text in [
            "",
            "-",
            ".5",
            "5.",
            "1e3",
            "1,5",
            " 1",
            "1 ",
            "--1",
            "1.2.3",
            "0.1234567890",
            "1000000000000000000",
            "NaN",
            "٣",
        ] {
            assert!(matches!(UnitPrice::new(text, Currency::GBP), Err(MoneyError::Price(_))), "{text}");
        }
        for code in ["", "gbp", "GB", "GBPP", "G1P", "£££", "ÄB"] {
            assert!(matches!(code.parse::<Currency>(), Err(MoneyError::Currency(_))), "{code}");
        }
    }

    #[test]
    fn prints_as_a_person_reads_it() {
        for (amount, code, text) in [
            (1230, "GBP", "12.30 GBP"),
            (-5, "GBP", "-0.05 GBP"),
            (0, "EUR", "0.00 EUR"),
            (-1230, "JPY", "-1230 JPY"),
            (1230, "KWD", "1.230 KWD"),
            (i64::MIN, "USD", "-92233720368547758.08 USD"),
        ] {
            assert_eq!(Money::new(amount, currency(code)).to_string(), text);
        }
        assert_eq!(UnitPrice::new("0.125", Currency::GBP).unwrap().to_string(), "0.125 GBP");
    }

    #[test]
    fn keeps_its_shape_in_json() {
        let money = Money::new(1230, Currency::GBP);
        assert_eq!(serde_json::to_value(money).unwrap(), json!({ "amount": 1230, "currency": "GBP" }));
        assert_eq!(serde_json::from_value::<Money>(json!({ "amount": 1230, "currency": "GBP" })).unwrap(), money);
        let price = UnitPrice::new("2.50", Currency::GBP).unwrap();
        assert_eq!(serde_json::to_value(&price).unwrap(), json!({ "amount": "2.50", "currency": "GBP" }));
        let text = r#"{"amount":"2.50","currency":"GBP"}"#;
        assert_eq!(serde_json::from_str::<UnitPrice>(text).unwrap(), price);
    }

    #[test]
    fn refuses_floats_and_unknown_currencies_on_reading() {
        for json in [
            json!({ "amount": 12.3, "currency": "GBP" }),
            json!({ "amount": "1230", "currency": "GBP" }),
            json!({ "amount": 1230, "currency": "gbp" }),
            json!({ "amount": 1230 }),
        ] {
            assert!(serde_json::from_value::<Money>(json.clone()).is_err(), "{json}");
        }
        for json in [json!({ "amount": 2.5, "currency": "GBP" }), json!({ "amount": "x", "currency": "GBP" })] {
            assert!(serde_json::from_value::<UnitPrice>(json.clone()).is_err(), "{json}");
        }
    }

    #[test]
    fn has_a_schema() {
        let schema = schemars::schema_for!((Money, UnitPrice)).to_value();
        let names: Vec<_> = schema["$defs"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["Currency", "Money", "UnitPrice"]);
    }
}
