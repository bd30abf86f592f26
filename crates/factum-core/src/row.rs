//! Typed rows of read models: one key, indexed fields, a JSON body.

use serde::{Serialize, de::DeserializeOwned};

/// A row of a view. Derive it: `#[derive(Row)] #[row("orders")]` with `#[key]` on one field and `#[index]` on those
/// that queries filter or sort by.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no row of a view",
    label = "a row is expected here",
    note = "derive it: `#[derive(Clone, Row)] #[row(\"orders\")]` above the struct, `#[key]` above the field that identifies it"
)]
pub trait Row: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The table, lower snake case.
    const TABLE: &'static str;
    /// Names of the indexed fields, as they stand in the JSON body (camel case).
    const INDEXES: &'static [&'static str];
    /// The type of the key field.
    type Key: std::fmt::Display;

    /// The key's text.
    fn key(&self) -> String;
    /// Values of [`Row::INDEXES`], in that order.
    fn indexed(&self) -> Vec<IndexValue>;
}

/// What an index can compare.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum IndexValue {
    /// Absent.
    Null,
    /// Numbers and booleans.
    Integer(i64),
    /// Everything that prints as a string.
    Text(String),
}

impl IndexValue {
    /// The index value of a field: strings (and unit variants of enums) as text, integers and booleans as integers,
    /// anything else as its JSON text. Times (RFC 3339 in UTC) get all nine digits of their fraction, so that they sort
    /// as times.
    pub fn of<T: Serialize + ?Sized>(field: &T) -> Self {
        match serde_json::to_value(field) {
            Ok(serde_json::Value::Null) | Err(_) => Self::Null,
            Ok(serde_json::Value::String(text)) => Self::Text(sortable(text)),
            Ok(serde_json::Value::Bool(flag)) => Self::Integer(i64::from(flag)),
            Ok(serde_json::Value::Number(number)) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Text(number.to_string()),
            },
            Ok(other) => Self::Text(other.to_string()),
        }
    }
}

/// As texts, times sort only if their fractions are equally long: `00.1Z` would stand behind `00.12Z`.
fn sortable(text: String) -> String {
    const SECONDS: &[u8] = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    let (Some((head, rest)), true) = (bytes.split_at_checked(SECONDS.len()), text.ends_with('Z')) else { return text };
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    if !head.iter().zip(SECONDS).all(fits) {
        return text;
    }
    match &rest[..rest.len().saturating_sub(1)] {
        [] => format!("{}.000000000Z", &text[..SECONDS.len()]),
        [b'.', digits @ ..] if (1..9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            format!("{}{}Z", &text[..text.len() - 1], &"000000000"[digits.len()..])
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_compare_as_times_whatever_their_fraction() {
        let times = ["2011-01-01T00:00:00Z", "2011-01-01T00:00:00.1Z", "2011-01-01T00:00:00.123456Z"];
        let indexed = times.map(|time| IndexValue::of(&time.parse::<jiff::Timestamp>().unwrap()));
        assert!(indexed.is_sorted(), "{indexed:?}");
        assert_eq!(IndexValue::of("2011-01-01T00:00:00.1Z"), indexed[1]);
    }

    #[test]
    fn texts_that_only_look_like_times_stay_as_they_are() {
        for text in
            ["", "Z", "2011-01-01T00:00:00.Z", "2011-01-01T00:00:00+00Z", "1234-12345T123456789Z", "🦀🦀🦀🦀🦀Z"]
        {
            assert_eq!(IndexValue::of(text), IndexValue::Text(text.to_owned()));
        }
    }
}
