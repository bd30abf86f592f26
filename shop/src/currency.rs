//! The currency that a request means: only the shop's. What is meant in another one must not silently become pence.

use std::fmt;

use factum::http::Problem;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, json};

use crate::money::CURRENCY;

/// Refuses a body in which a field, at any depth, has a name that speaks of a currency and a value that is not the shop's.
///
/// # Errors
/// [`Problem`] that names the field; or the body cannot be read, also where nobody else reads it.
pub fn check(raw: &[u8]) -> Result<(), Problem> {
    if !may_speak_of_it(raw) {
        return Ok(());
    }
    let sent: Sent = serde_json::from_slice(raw).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::bad("bad_json", format!("the body cannot be read: {error}")).with("line", line).with("column", column)
    })?;
    check_fields("", &sent)
}

/// Whether it is worth a second reading: most bodies name no currency. A name may be written with escapes.
fn may_speak_of_it(raw: &[u8]) -> bool {
    const WORD: &[u8] = b"currency";
    raw.contains(&b'\\') || raw.windows(WORD.len()).any(|word| word.eq_ignore_ascii_case(WORD))
}

fn check_fields(path: &str, sent: &Sent) -> Result<(), Problem> {
    match sent {
        Sent::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if name.to_ascii_lowercase().contains("currency") {
                check_value(&path, value)?;
            }
            check_fields(&path, value)
        }),
        Sent::List(items) => {
            items.iter().enumerate().try_for_each(|(at, item)| check_fields(&format!("{path}[{at}]"), item))
        }
        Sent::Other(_) => Ok(()),
    }
}

fn check_value(path: &str, sent: &Sent) -> Result<(), Problem> {
    let found = match sent {
        Sent::Other(Value::Null) => return Ok(()),
        Sent::Other(value) if *value == json!(CURRENCY) => return Ok(()),
        Sent::Other(value) => value.to_string(),
        Sent::Object(_) | Sent::List(_) => "no text".to_owned(),
    };
    let detail = format!("`{path}` is {found}, and this shop counts in {CURRENCY}: send amounts in {CURRENCY}");
    Err(Problem::invalid("foreign_currency", detail).with("field", path))
}

/// JSON as it was sent: with every field of a name that comes twice.
enum Sent {
    Object(Vec<(String, Sent)>),
    List(Vec<Sent>),
    Other(Value),
}

impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Sent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sent, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Sent::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Sent, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Sent::List(items))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Sent, E> {
        Ok(Sent::Other(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Sent, E> {
        Ok(Sent::Other(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Sent, E> {
        Ok(Sent::Other(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Sent, E> {
        Ok(Sent::Other(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Sent, E> {
        Ok(Sent::Other(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Sent, E> {
        Ok(Sent::Other(Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Option<String> {
        check(body.as_bytes()).err().map(|problem| problem.code().to_owned())
    }

    #[test]
    fn a_currency_hides_behind_nothing() {
        for body in [
            r#"{"currency":"USD","currency":"GBP"}"#,
            r#"{"currency":"GBP","currency":"USD"}"#,
            r#"{"currency":["USD"]}"#,
            r#"{"currency":{}}"#,
            r#"[[{"a":{"priceCurrency":false}}]]"#,
            r#"{"\u0063urrency":1}"#,
        ] {
            assert_eq!(refused(body).as_deref(), Some("foreign_currency"), "{body}");
        }
        // Half a character, or a number that nothing can hold, in a field that nobody else reads.
        for body in [r#"{"currency":"USD","note":"\ud800"}"#, r#"{"note":1e309,"currency":"USD"}"#, r#"{"\ud800":1}"#] {
            assert_eq!(refused(body).as_deref(), Some("bad_json"), "{body}");
        }
        for body in [r#"{"currency":"GBP","CURRENCY":null,"a":[1,-1,0.5,true,"\n"]}"#, r#"{"name":"currency"}"#, ""] {
            assert_eq!(refused(body), None, "{body}");
        }
    }
}
