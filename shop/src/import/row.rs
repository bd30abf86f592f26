//! One line of the file: its eight fields, its numbers, and what is wrong with it. No floats touch the money.

use std::{borrow::Cow, ops::RangeInclusive};

use factum::money::UnitPrice;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::{
    contracts::ids::{CustomerId, Sku},
    http::MAX_TEXT_BYTES,
    inventory::decider::MOST_UNITS,
};

/// The columns, in order; the first line of a file must name exactly these.
pub(super) const COLUMNS: [&str; 8] =
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];

/// The largest amount of one row, in pence either way: far beyond any order, and sums of whole files stay in an `i64`.
const MAX_AMOUNT: i64 = 10_000_000_000;
/// The largest quantity of one row, either way: what one movement of stock may have.
const MAX_QUANTITY: u64 = MOST_UNITS.unsigned_abs();
/// The longest invoice number, in characters.
const MAX_NUMBER: usize = 20;
/// Decimals a price may have: micro-pounds are the unit in which two prices are compared.
const MAX_DECIMALS: usize = 6;
/// The first year that a row may be of: before it the shop's clock does not count.
const FIRST_YEAR: i16 = 1970;

/// A row that can be read, with the number and the code in upper case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub number: String,
    pub code: String,
    pub description: String,
    pub quantity: i64,
    pub at: Timestamp,
    pub price: String,
    pub price_micros: i64,
    pub amount: i64,
    pub customer: Option<String>,
    pub country: String,
}

impl Row {
    /// The same, if it does not lie behind that time.
    pub(super) fn not_after(self, latest: Timestamp) -> Result<Self, Fault> {
        if self.at <= latest {
            return Ok(self);
        }
        let reason = format!("{} has not come yet: check the date, or this machine's clock", self.at);
        Err(Fault { number: Some(self.number), reason })
    }
}

/// Why a line is no row; `number` is its invoice, if that much can be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub number: Option<String>,
    pub reason: String,
}

/// Reads one line (without its line break).
pub(super) fn parse(line: &[u8]) -> Result<Row, Fault> {
    parts(line).map_err(|reason| Fault { number: number_of(line), reason })
}

/// The fields of one line by RFC 4180, except that a field holds no line break: a row is one line, so that a quote left
/// open costs its own row and not the rest of the file.
pub(super) fn fields(line: &[u8]) -> Result<Vec<Cow<'_, [u8]>>, &'static str> {
    let mut fields = Vec::with_capacity(COLUMNS.len());
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..end]), &rest[end..])
            }
        };
        fields.push(field);
        match after {
            [] => return Ok(fields),
            [b',', next @ ..] => rest = next,
            _ => return Err("there is text between a closing quote and the next comma"),
        }
    }
}

/// The field whose opening quote was just taken, and what follows its closing quote.
fn unquote(quoted: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), &'static str> {
    let mut at = 0;
    let mut doubled = false;
    loop {
        match (quoted.get(at), quoted.get(at + 1)) {
            (None, _) => return Err("a quote is opened and not closed on the line"),
            (Some(b'"'), Some(b'"')) => {
                doubled = true;
                at += 2;
            }
            (Some(b'"'), _) => break,
            _ => at += 1,
        }
    }
    let (field, after) = (&quoted[..at], &quoted[at + 1..]);
    if !doubled {
        return Ok((Cow::Borrowed(field), after));
    }
    let mut plain = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        plain.push(*byte);
        if *byte == b'"' {
            bytes.next();
        }
    }
    Ok((Cow::Owned(plain), after))
}

fn parts(line: &[u8]) -> Result<Row, String> {
    let fields = fields(line)?;
    if fields.len() != COLUMNS.len() {
        return Err(format!("the row has {} columns, not {}", fields.len(), COLUMNS.len()));
    }
    let text = |column: usize| match std::str::from_utf8(&fields[column]) {
        Ok(text) => Ok(text.trim()),
        Err(_) => Err(format!("{} is not UTF-8", COLUMNS[column])),
    };
    let raw = text(0)?;
    let number = match number(raw) {
        Some(number) => number,
        None if raw.is_empty() => return Err("the invoice number is empty".to_owned()),
        None => return Err(format!("`{}` is no invoice number", shown(raw))),
    };
    let code: Sku = match text(1)? {
        "" => return Err("the stock code is empty".to_owned()),
        code => code.parse().map_err(|error| format!("the stock code `{}` cannot be: {error}", shown(code)))?,
    };
    let code = code.as_str().to_owned();
    let short = |column: usize| match text(column)? {
        text if text.len() <= MAX_TEXT_BYTES => Ok(text),
        text => Err(format!("{} has {} bytes; {MAX_TEXT_BYTES} are allowed", COLUMNS[column], text.len())),
    };
    let description = short(2)?.to_owned();
    let quantity = quantity(text(3)?)?;
    let at = time(text(4)?)?;
    let price = text(5)?.to_owned();
    let price_micros = micros(&price).ok_or_else(|| format!("`{}` is no price", shown(&price)))?;
    let amount = pence(quantity, price_micros).ok_or("the amount is beyond 100,000,000 pounds")?;
    let customer = match text(6)? {
        "" => None,
        id => match id.parse::<CustomerId>() {
            Ok(_) => Some(id.to_owned()),
            Err(error) => return Err(format!("the customer `{}` cannot be: {error}", shown(id))),
        },
    };
    // The data's own word for a country nobody wrote down.
    let country = Some(short(7)?).filter(|country| !country.is_empty()).unwrap_or("Unspecified").to_owned();
    Ok(Row { number, code, description, quantity, at, price, price_micros, amount, customer, country })
}

/// The invoice of a line that cannot be read: its first field, if that looks like a number.
fn number_of(line: &[u8]) -> Option<String> {
    let first = line.split(|byte| *byte == b',').next()?;
    let commas = first.len() < line.len();
    let text = std::str::from_utf8(first).ok()?.trim().trim_matches('"');
    if commas { number(text) } else { None }
}

fn number(text: &str) -> Option<String> {
    let fits = (1..=MAX_NUMBER).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| text.to_ascii_uppercase())
}

fn quantity(text: &str) -> Result<i64, String> {
    let quantity: i64 = text.parse().map_err(|_| format!("`{}` is no quantity", shown(text)))?;
    match quantity.unsigned_abs() {
        0 => Err("the quantity is zero".to_owned()),
        1..=MAX_QUANTITY => Ok(quantity),
        _ => Err(format!("the quantity {quantity} is beyond {MAX_QUANTITY}")),
    }
}

/// Both forms in which this data goes round: `2010-12-01 08:26:00`, and month first `12/1/2010 8:26`. The file names no
/// zone; the shop reads its clock as UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    let bad = || format!("`{}` is no date of the form YYYY-MM-DD HH:MM:SS or month/day/year H:MM", shown(text));
    let (date, clock) = text.split_once(' ').ok_or_else(bad)?;
    let [year, month, day] = match (date.split_once('-'), date.split_once('/')) {
        (Some(_), None) => digits(date, '-', [4..=4, 2..=2, 2..=2]),
        (None, Some(_)) => digits(date, '/', [1..=2, 1..=2, 4..=4]).map(|[month, day, year]| [year, month, day]),
        _ => None,
    }
    .ok_or_else(bad)?;
    let to_minutes = || digits(clock, ':', [1..=2, 2..=2]).map(|[hour, minute]| [hour, minute, 0]);
    let [hour, minute, second] =
        digits(clock, ':', [1..=2, 2..=2, 2..=2]).or_else(to_minutes).ok_or_else(bad)?.map(|part| part as i8);
    let civil = DateTime::new(year, month as i8, day as i8, hour, minute, second, 0).map_err(|_| bad())?;
    if year < FIRST_YEAR {
        return Err(format!("`{}` is before {FIRST_YEAR}", shown(text)));
    }
    TimeZone::UTC.to_timestamp(civil).map_err(|_| bad())
}

/// The numbers between the separators, if there are just so many and each has as many digits as it may.
fn digits<const N: usize>(text: &str, separator: char, widths: [RangeInclusive<usize>; N]) -> Option<[i16; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| width.contains(&part.len()))?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

/// A plain decimal in millionths; `None` for anything else (exponents, separators, more than six decimals).
pub(super) fn micros(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some((_, fraction)) if fraction.len() > UnitPrice::MOST_DECIMALS => return None,
        Some((whole, fraction)) => (whole, fraction.trim_end_matches('0')),
        None => (digits, ""),
    };
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || fraction.len() > MAX_DECIMALS || !plain(whole) || !plain(fraction) {
        return None;
    }
    let value: i64 = format!("{whole}{fraction:0<MAX_DECIMALS$}").parse().ok()?;
    Some(if negative { -value } else { value })
}

/// Quantity × price in pence, a half going to the even neighbour; `None` beyond [`MAX_AMOUNT`].
fn pence(quantity: i64, price_micros: i64) -> Option<i64> {
    const MICROS_PER_PENNY: i128 = 10_000;
    let exact = i128::from(quantity) * i128::from(price_micros);
    let (floor, rest) = (exact.div_euclid(MICROS_PER_PENNY), exact.rem_euclid(MICROS_PER_PENNY));
    let up = match (rest * 2).cmp(&MICROS_PER_PENNY) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => floor % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    let pence = i64::try_from(floor + i128::from(up)).ok()?;
    (-MAX_AMOUNT..=MAX_AMOUNT).contains(&pence).then_some(pence)
}

/// What a reason quotes of a field: enough to find it, not a page of it.
fn shown(text: &str) -> String {
    text.chars().take(40).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "536365,85123a,HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom";

    fn with(column: usize, text: &str) -> String {
        let mut fields: Vec<&str> = GOOD.split(',').collect();
        fields[column] = text;
        fields.join(",")
    }

    fn fault(line: impl AsRef<[u8]>) -> (Option<String>, String) {
        let fault = parse(line.as_ref()).expect_err("must not be readable");
        (fault.number, fault.reason)
    }

    #[test]
    fn reads_a_row_with_code_and_number_in_upper_case() {
        let row = parse(with(0, "c536365").as_bytes()).unwrap();
        assert_eq!((row.number.as_str(), row.code.as_str()), ("C536365", "85123A"));
        assert_eq!((row.quantity, row.price.as_str(), row.amount), (6, "2.55", 1530));
        assert_eq!(row.at.to_string(), "2010-12-01T08:26:00Z");
        assert_eq!(row.customer.as_deref(), Some("17850"));
    }

    #[test]
    fn reads_both_forms_of_the_date() {
        let at = |text: &str| parse(with(4, text).as_bytes()).unwrap().at.to_string();
        for same in ["2010-12-01 08:26:00", "2010-12-01 8:26", "12/1/2010 8:26", "12/01/2010 08:26:00"] {
            assert_eq!(at(same), "2010-12-01T08:26:00Z", "{same}");
        }
        assert_eq!(at("12/9/2011 12:50"), "2011-12-09T12:50:00Z", "the month stands first");
        assert!(fault(with(4, "1/1/1969 0:00")).1.contains("is before 1970"));
    }

    #[test]
    fn a_code_is_read_as_people_read_it_and_what_nobody_sees_is_named() {
        let code = |text: &str| parse(with(1, text).as_bytes()).map(|row| row.code);
        assert_eq!(code(" caf\u{e9} "), Ok("CAF\u{c9}".to_owned()));
        assert_eq!(code("cafe\u{301}"), Ok("CAF\u{c9}".to_owned()));
        assert!(fault(with(1, "85123A\u{200b}")).1.contains("U+200B"));
        assert!(fault(with(1, "851\u{202e}23A")).1.contains("U+202E"));
        assert!(fault(with(1, &"\u{f1}".repeat(61))).1.contains("1 to 120 bytes"));
    }

    #[test]
    fn what_is_too_long_or_not_printable_costs_its_row() {
        assert!(fault(with(6, &"7".repeat(130))).1.contains("1 to 120 bytes"));
        for id in ["17\t850", "17\0850"] {
            assert!(fault(with(6, id)).1.starts_with("the customer `17"), "{id}");
        }
        let page = "x".repeat(2 << 20);
        for column in [1, 2, 3, 4, 5, 6, 7] {
            let (number, reason) = fault(with(column, &page));
            assert_eq!(number.as_deref(), Some("536365"));
            assert!(reason.len() < 1_000, "column {column}: {} bytes", reason.len());
        }
        assert!(fault(with(5, &format!("2.5{}", "0".repeat(2 << 20)))).1.contains("is no price"));
    }

    #[test]
    fn an_empty_customer_is_nobody_and_an_empty_country_is_unspecified() {
        assert_eq!(parse(with(6, "").as_bytes()).unwrap().customer, None);
        assert_eq!(parse(with(7, " ").as_bytes()).unwrap().country, "Unspecified");
    }

    #[test]
    fn reads_quotes_commas_and_signs_in_a_description() {
        let text = |raw: &str| parse(with(2, raw).as_bytes()).unwrap().description;
        assert_eq!(text("\"FRAME 7\"\" SIZE, £5\""), "FRAME 7\" SIZE, £5");
        assert_eq!(text("FRAME 7\" SIZE"), "FRAME 7\" SIZE", "a quote inside a plain field is a character");
        assert_eq!(text("\"\""), "");
    }

    #[test]
    fn rounds_a_half_to_the_even_penny_either_way() {
        let amount = |quantity: &str, price: &str| {
            parse(with(3, quantity).replace("2.55", price).as_bytes()).map(|row| row.amount).unwrap()
        };
        assert_eq!([amount("1", "0.005"), amount("3", "0.005"), amount("5", "0.005")], [0, 2, 2]);
        assert_eq!([amount("-1", "0.005"), amount("-3", "0.005"), amount("-1", "0.015")], [0, -2, -2]);
        assert_eq!([amount("1", "0.001"), amount("1", "0.009"), amount("-1", "0.006")], [0, 1, -1]);
        assert_eq!([amount("80995", "2.08"), amount("2", "-1.50")], [16_846_960, -300]);
    }

    #[test]
    fn prices_of_equal_value_are_equal_however_they_are_written() {
        assert_eq!(micros("2.5"), micros("2.500"));
        assert_eq!(micros("2"), Some(2_000_000));
        assert_eq!(micros("0.001000000"), Some(1_000));
    }

    #[test]
    fn says_what_is_wrong_and_whose_row_it_was() {
        let of = |column, text| fault(with(column, text));
        let mine = Some("536365".to_owned());
        assert_eq!(of(3, "six"), (mine.clone(), "`six` is no quantity".to_owned()));
        assert_eq!(of(3, "1.5"), (mine.clone(), "`1.5` is no quantity".to_owned()));
        assert_eq!(of(3, "0"), (mine.clone(), "the quantity is zero".to_owned()));
        assert_eq!(of(3, "-9223372036854775808").0, mine);
        for price in ["", "x", "1e3", "1.", ".5", "--1", "1.0000001", "1,5", "9999999999999"] {
            assert_eq!(of(5, price).0, mine, "{price}");
        }
        assert_eq!(of(5, "999999999").1, "the amount is beyond 100,000,000 pounds");
        for date in ["", "2010-12-01", "13/12/2010 8:26", "2010-13-01 08:26:00", "2010-12-01T08:26:00"] {
            assert!(of(4, date).1.contains("is no date"), "{date}");
        }
        assert_eq!(of(1, "").1, "the stock code is empty");
        assert_eq!(fault("536365,85123A,HEART"), (mine.clone(), "the row has 3 columns, not 8".to_owned()));
        assert_eq!(fault(format!("{GOOD},")).1, "the row has 9 columns, not 8");
        assert_eq!(
            fault(b"536365,1,\xff\xfe,6,2010-12-01 08:26:00,1,,X"),
            (mine, "Description is not UTF-8".to_owned())
        );
    }

    #[test]
    fn a_row_without_a_readable_number_belongs_to_no_invoice() {
        assert_eq!(fault(with(0, "")), (None, "the invoice number is empty".to_owned()));
        assert_eq!(fault(with(0, "53 6365")), (None, "`53 6365` is no invoice number".to_owned()));
        assert_eq!(fault(b"\xff\xfe,1,A,6,2010-12-01 08:26:00,1,,X").0, None);
        assert_eq!(fault("garbage"), (None, "the row has 1 columns, not 8".to_owned()));
    }

    #[test]
    fn a_quote_left_open_costs_its_own_row() {
        assert_eq!(fault(with(2, "\"HEART")).1, "a quote is opened and not closed on the line");
        assert_eq!(fault(with(2, "\"HEART\" RED")).1, "there is text between a closing quote and the next comma");
    }
}
