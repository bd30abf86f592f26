//! One line of the file: its eight fields, its numbers, and what is wrong with it. No floats touch the money.

use std::borrow::Cow;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// The columns, in order; the first line of a file must name exactly these.
pub(super) const COLUMNS: [&str; 8] =
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];

/// The largest amount of one row, in pence either way: far beyond any order, and sums of whole files stay in an `i64`.
const MAX_AMOUNT: i64 = 10_000_000_000;
/// The largest quantity of one row, either way.
const MAX_QUANTITY: u64 = 1_000_000_000;
/// The longest stock code, in characters.
const MAX_CODE: usize = 64;
/// The longest invoice number, in characters.
const MAX_NUMBER: usize = 20;
/// Decimals a price may have: micro-pounds are the unit in which two prices are compared.
const MAX_DECIMALS: usize = 6;

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
    let code = text(1)?.to_uppercase();
    if code.is_empty() {
        return Err("the stock code is empty".to_owned());
    }
    if code.chars().count() > MAX_CODE {
        return Err(format!("the stock code is longer than {MAX_CODE} characters"));
    }
    let description = text(2)?.to_owned();
    let quantity = quantity(text(3)?)?;
    let at = time(text(4)?)?;
    let price = text(5)?.to_owned();
    let price_micros = micros(&price).ok_or_else(|| format!("`{}` is no price", shown(&price)))?;
    let amount = pence(quantity, price_micros).ok_or("the amount is beyond 100,000,000 pounds")?;
    let customer = Some(text(6)?.to_owned()).filter(|customer| !customer.is_empty());
    // The data's own word for a country nobody wrote down.
    let country = Some(text(7)?).filter(|country| !country.is_empty()).unwrap_or("Unspecified").to_owned();
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

/// The file names no zone; the shop reads its clock as UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    let bad = || format!("`{}` is no date of the form YYYY-MM-DD HH:MM:SS", shown(text));
    if text.len() != "YYYY-MM-DD HH:MM:SS".len() {
        return Err(bad());
    }
    let civil = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).map_err(|_| bad())?;
    TimeZone::UTC.to_timestamp(civil).map_err(|_| bad())
}

/// A plain decimal in millionths; `None` for anything else (exponents, separators, more than six decimals).
fn micros(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
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
        assert_eq!(micros("0.0010000000"), Some(1_000));
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
        for date in ["", "2010-12-01", "01/12/2010 08:26:00", "2010-13-01 08:26:00", "2010-12-01T08:26:00"] {
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
