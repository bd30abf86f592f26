//! Decimal numbers: ours, and as other systems write them, with an exponent or with digits that their arithmetic left.

use super::{MoneyError, UnitPrice};

/// A decimal number of others: its digits without leading zeros, and how many of them stand behind the point.
pub(super) struct Digits {
    negative: bool,
    digits: String,
    pub(super) scale: i64,
}

impl Digits {
    const MOST: usize = 30;

    pub(super) fn read(text: &str) -> Result<Self, MoneyError> {
        let refused = || MoneyError::Price(text.chars().take(40).collect());
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i16>().map_err(|_| refused())?),
            None => (text, 0),
        };
        let unsigned = number.strip_prefix(['-', '+']).unwrap_or(number);
        let (whole, part) = match unsigned.split_once('.') {
            Some((_, "")) => return Err(refused()),
            Some(split) => split,
            None => (unsigned, ""),
        };
        let digits = format!("{whole}{part}");
        if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.len() > 2 * Self::MOST {
            return Err(refused());
        }
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.len() > Self::MOST {
            return Err(refused());
        }
        if digits.is_empty() {
            return Ok(Self { negative: false, digits, scale: 0 });
        }
        let scale = i64::try_from(part.len()).map_err(|_| refused())? - i64::from(exponent);
        Ok(Self { negative: number.starts_with('-'), digits, scale })
    }

    pub(super) fn mantissa(&self) -> i128 {
        // At most 30 digits, which 128 bits hold.
        let magnitude = self.digits.bytes().fold(0_i128, |number, byte| number * 10 + i128::from(byte - b'0'));
        if self.negative { -magnitude } else { magnitude }
    }

    /// Without an exponent.
    pub(super) fn plain(&self, text: &str) -> Result<String, MoneyError> {
        let most = (UnitPrice::MOST_WHOLE_DIGITS + UnitPrice::MOST_DECIMALS) as i64;
        if self.scale.abs() > most {
            return Err(MoneyError::Price(text.chars().take(40).collect()));
        }
        let zeros = "0".repeat(usize::try_from(-self.scale).unwrap_or_default());
        let part = usize::try_from(self.scale).unwrap_or_default();
        let digits = format!("{:0>width$}{zeros}", self.digits, width = part + 1);
        let (whole, part) = digits.split_at(digits.len() - part);
        let sign = if self.negative { "-" } else { "" };
        let part = part.trim_end_matches('0');
        Ok(if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") })
    }
}

/// `mantissa` divided by ten to the power of `scale`.
pub(super) struct Decimal {
    pub(super) mantissa: i128,
    pub(super) scale: u32,
}

pub(super) fn decimal(text: &str) -> Result<Decimal, MoneyError> {
    let refused = || MoneyError::Price(text.chars().take(40).collect());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = match unsigned.split_once('.') {
        Some((_, "")) => return Err(refused()),
        Some(split) => split,
        None => (unsigned, ""),
    };
    let fits = (1..=UnitPrice::MOST_WHOLE_DIGITS).contains(&whole.len()) && part.len() <= UnitPrice::MOST_DECIMALS;
    let digits = || whole.bytes().chain(part.bytes());
    if !fits || !digits().all(|b| b.is_ascii_digit()) {
        return Err(refused());
    }
    // At most 27 digits, which 128 bits hold.
    let magnitude = digits().fold(0_i128, |number, b| number * 10 + i128::from(b - b'0'));
    let scale = part.bytes().map(|_| 1).sum();
    Ok(Decimal { mantissa: if text.starts_with('-') { -magnitude } else { magnitude }, scale })
}

/// `number / divisor`, to the nearest whole; a tie goes to the even one.
pub(super) fn half_even(number: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (number / divisor, number % divisor);
    let twice = rest.abs() * 2;
    if twice > divisor || (twice == divisor && quotient % 2 != 0) { quotient + number.signum() } else { quotient }
}
