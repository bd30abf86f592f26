//! Whether data fits the schema that a type declares, as far as the words of JSON Schema go that declarations use:
//! types, fields, texts to choose from, lists, references, alternatives, bounds of numbers, times. What else a schema says
//! is not looked at, so that nothing is refused that a reader would take.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::money::{CURRENCY_PATTERN, Currency, PRICE_PATTERN, UnitPrice};

/// How deep references may lead into each other.
const MOST_STEPS: usize = 128;

/// What does not fit, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The place in the data, such as `items[0].sku`; empty for the whole.
    pub path: String,
    /// What is wrong, as the rest of a sentence.
    pub problem: String,
}

/// Checks data against a schema.
///
/// # Errors
/// The first [`Misfit`].
pub fn check(schema: &Value, data: &Value) -> Result<(), Misfit> {
    Check { root: schema, path: String::new(), steps: 0 }.value(schema, data)
}

/// Reads data as readers do: a field that stands there twice is refused.
///
/// # Errors
/// What the JSON reader found.
pub fn parse(data: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Once>(data).map(|once| once.0)
}

/// A value none of whose objects has a field twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Once(Value::Null))
    }
}

impl<'de> de::Visitor<'de> for Once {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self, E> {
        Ok(Self(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self, E> {
        Ok(Self(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self, E> {
        Ok(Self(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self, E> {
        Ok(Self(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self, E> {
        Ok(Self(value.into()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        let mut list = Vec::new();
        while let Some(Self(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Self(list.into()))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut fields = Map::new();
        while let Some((name, Self(value))) = map.next_entry::<String, Self>()? {
            if fields.contains_key(&name) {
                return Err(de::Error::custom(format_args!("the field `{name}` stands there twice")));
            }
            fields.insert(name, value);
        }
        Ok(Self(Value::Object(fields)))
    }
}

struct Check<'s> {
    root: &'s Value,
    path: String,
    steps: usize,
}

impl<'s> Check<'s> {
    fn value(&mut self, schema: &'s Value, data: &Value) -> Result<(), Misfit> {
        let Value::Object(words) = schema else {
            return if *schema == Value::Bool(false) { self.wrong("is not allowed here") } else { Ok(()) };
        };
        if self.steps == MOST_STEPS {
            return self.wrong("is nested too deep");
        }
        self.steps += 1;
        let fits = self.words(words, data);
        self.steps -= 1;
        fits
    }

    fn words(&mut self, words: &'s Map<String, Value>, data: &Value) -> Result<(), Misfit> {
        if let Some(of) =
            words.get("$ref").and_then(Value::as_str).and_then(|name| self.root.pointer(name.strip_prefix('#')?))
        {
            self.value(of, data)?;
        }
        if let Some(known) = words.get("type")
            && !types(known).any(|name| is_of(name, data))
        {
            let known = types(known).map(told).collect::<Vec<_>>().join(" or ");
            return self.wrong(&format!("must be {known}"));
        }
        if let Some(Value::Array(known)) = words.get("enum")
            && !known.contains(data)
        {
            let known = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return self.wrong(&format!("must be one of {known}"));
        }
        if let Some(only) = words.get("const")
            && only != data
        {
            return self.wrong(&format!("must be {only}"));
        }
        for of in list(words, "allOf") {
            self.value(of, data)?;
        }
        self.alternatives(words, "anyOf", data)?;
        self.alternatives(words, "oneOf", data)?;
        match data {
            Value::Object(fields) => self.fields(words, fields),
            Value::Array(items) => self.items(words, items),
            Value::Number(_) => self.number(words, data),
            Value::String(text) => self.text(words, text),
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    /// Of several alternatives the one that fits best tells what is wrong: the one that is not `null`.
    fn alternatives(&mut self, words: &'s Map<String, Value>, word: &str, data: &Value) -> Result<(), Misfit> {
        let (mut first, length) = (None, self.path.len());
        for of in list(words, word) {
            match self.value(of, data) {
                Ok(()) => return Ok(()),
                Err(misfit) => _ = first.get_or_insert(misfit),
            }
            self.path.truncate(length);
        }
        first.map_or(Ok(()), Err)
    }

    fn fields(&mut self, words: &'s Map<String, Value>, fields: &Map<String, Value>) -> Result<(), Misfit> {
        for name in list(words, "required").filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                let length = self.path.len();
                self.enter(name);
                let missing = self.wrong("is missing: send it");
                self.path.truncate(length);
                return missing;
            }
        }
        let known = words.get("properties").and_then(Value::as_object);
        let others = words.get("additionalProperties");
        for (name, value) in fields {
            let Some(schema) = known.and_then(|known| known.get(name)).or(others) else { continue };
            let length = self.path.len();
            self.enter(name);
            self.value(schema, value)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn items(&mut self, words: &'s Map<String, Value>, items: &[Value]) -> Result<(), Misfit> {
        let Some(schema) = words.get("items") else { return Ok(()) };
        for (index, item) in items.iter().enumerate() {
            let length = self.path.len();
            // Writing to a text does not fail.
            _ = write!(self.path, "[{index}]");
            self.value(schema, item)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn number(&mut self, words: &Map<String, Value>, data: &Value) -> Result<(), Misfit> {
        let whole = data.as_i64().map(i128::from).or_else(|| data.as_u64().map(i128::from));
        let (least, most) = match words.get("format").and_then(Value::as_str) {
            Some("int8") => (i128::from(i8::MIN), i128::from(i8::MAX)),
            Some("int16") => (i128::from(i16::MIN), i128::from(i16::MAX)),
            Some("int32") => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Some("int64" | "int") => (i128::from(i64::MIN), i128::from(i64::MAX)),
            Some("uint8") => (0, i128::from(u8::MAX)),
            Some("uint16") => (0, i128::from(u16::MAX)),
            Some("uint32") => (0, i128::from(u32::MAX)),
            Some("uint64" | "uint") => (0, i128::from(u64::MAX)),
            _ => return Ok(()),
        };
        match whole.is_some_and(|number| (least..=most).contains(&number)) {
            true => Ok(()),
            false => self.wrong(&format!("must be a whole number from {least} to {most}")),
        }
    }

    fn text(&mut self, words: &Map<String, Value>, text: &str) -> Result<(), Misfit> {
        let word = |word: &str| words.get(word).and_then(Value::as_str);
        if word("format") == Some("date-time") && text.parse::<jiff::Timestamp>().is_err() {
            return self.wrong("must be a time of RFC 3339 with offset, such as 2010-12-01T08:26:00Z");
        }
        // Of all patterns only those of money are known.
        let fits = match word("pattern") {
            Some(CURRENCY_PATTERN) => text.parse::<Currency>().map(|_| ()),
            Some(PRICE_PATTERN) => UnitPrice::new(text, Currency::GBP).map(|_| ()),
            _ => Ok(()),
        };
        fits.or_else(|error| self.wrong(&format!("does not fit: {error}")))
    }

    fn enter(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }

    fn wrong(&self, problem: &str) -> Result<(), Misfit> {
        Err(Misfit { path: self.path.clone(), problem: problem.to_owned() })
    }
}

fn list<'s>(words: &'s Map<String, Value>, word: &str) -> impl Iterator<Item = &'s Value> + use<'s> {
    words.get(word).and_then(Value::as_array).into_iter().flatten()
}

/// One name, or several.
fn types(known: &Value) -> impl Iterator<Item = &str> {
    let one = known.as_str().into_iter();
    one.chain(known.as_array().into_iter().flatten().filter_map(Value::as_str))
}

fn is_of(name: &str, data: &Value) -> bool {
    match name {
        "object" => data.is_object(),
        "array" => data.is_array(),
        "string" => data.is_string(),
        "boolean" => data.is_boolean(),
        "null" => data.is_null(),
        "number" => data.is_number(),
        "integer" => data.is_i64() || data.is_u64(),
        _ => true,
    }
}

fn told(name: &str) -> &str {
    match name {
        "object" => "an object",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "number" => "a number",
        "integer" => "a whole number",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::{JsonSchema, schema_for};
    use serde_json::json;

    use super::*;
    use crate::money::Money;

    #[derive(JsonSchema)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Order {
        order_id: String,
        customer_id: Option<String>,
        items: Vec<Item>,
        total: Option<Money>,
        price: Option<UnitPrice>,
        status: Status,
        #[serde(default)]
        labels: BTreeMap<String, String>,
        outcome: Option<Outcome>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Item {
        sku: String,
        pieces: u32,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Status {
        Open,
        /// Documented, so that its schema is a `const`.
        Paid,
    }

    #[derive(JsonSchema)]
    #[serde(tag = "result", rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Outcome {
        Done { at: u8 },
        Failed { reason: String },
    }

    fn told(change: impl FnOnce(&mut Value)) -> String {
        let mut data = json!({ "orderId": "1", "items": [{ "sku": "A", "pieces": 1 }], "status": "open" });
        change(&mut data);
        match check(&schema_for!(Order).to_value(), &data) {
            Ok(()) => "fits".to_owned(),
            Err(misfit) => format!("{} {}", misfit.path, misfit.problem),
        }
    }

    #[test]
    fn what_fits_is_taken() {
        assert_eq!(told(|_| ()), "fits");
        assert_eq!(told(|data| data["customerId"] = json!(null)), "fits");
        assert_eq!(told(|data| data["total"] = json!({ "amount": -1, "currency": "GBP" })), "fits");
        assert_eq!(told(|data| data["price"] = json!({ "amount": "2.50", "currency": "GBP" })), "fits");
        assert_eq!(told(|data| data["status"] = json!("paid")), "fits");
        assert_eq!(told(|data| data["labels"] = json!({ "a": "b" })), "fits");
        assert_eq!(told(|data| data["outcome"] = json!({ "result": "failed", "reason": "x" })), "fits");
        assert_eq!(told(|data| data["more"] = json!([1])), "fits", "nobody asked for it");
        assert_eq!(check(&json!(true), &json!(1)), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let told_of = |change: fn(&mut Value), expected: &str| {
            let found = told(change);
            assert!(found.contains(expected), "{found}");
        };
        told_of(|data| _ = data.as_object_mut().unwrap().remove("orderId"), "orderId is missing: send it");
        told_of(|data| data["orderId"] = json!(7), "orderId must be a text");
        told_of(|data| data["customerId"] = json!([]), "customerId must be a text or null");
        told_of(|data| data["items"][0]["sku"] = json!(null), "items[0].sku must be a text");
        told_of(
            |data| data["items"][0]["pieces"] = json!(-1),
            "items[0].pieces must be a whole number from 0 to 4294967295",
        );
        told_of(|data| data["items"][0]["pieces"] = json!(1.5), "items[0].pieces must be a whole number");
        told_of(|data| data["items"] = json!({}), "items must be a list");
        told_of(|data| data["total"] = json!({ "currency": "GBP" }), "total.amount is missing");
        told_of(
            |data| data["total"] = json!({ "amount": 1.5, "currency": "GBP" }),
            "total.amount must be a whole number",
        );
        told_of(|data| data["total"] = json!({ "amount": 1, "currency": "gbp" }), "total.currency does not fit: `gbp`");
        told_of(|data| data["price"] = json!({ "amount": "x", "currency": "GBP" }), "price.amount does not fit: `x`");
        told_of(|data| data["status"] = json!("gone"), "status must be");
        told_of(|data| data["labels"] = json!({ "a": 1 }), "labels.a must be a text");
        told_of(|data| data["outcome"] = json!({ "result": "done", "at": 300 }), "outcome");
        told_of(|data| *data = json!([]), " must be an object");
        assert!(check(&json!(false), &json!(1)).is_err());
    }

    #[test]
    fn a_field_that_stands_there_twice_is_refused() {
        assert_eq!(
            parse(br#"{"a":[1,{"b":-2.5,"c":null}],"d":true}"#).unwrap(),
            json!({"a":[1,{"b":-2.5,"c":null}],"d":true})
        );
        let error = parse(br#"{"a":[{"b":1,"b":1}]}"#).unwrap_err().to_string();
        assert!(error.contains("`b` stands there twice"), "{error}");
    }

    #[test]
    fn a_schema_that_refers_to_itself_comes_to_an_end() {
        let endless = json!({ "$ref": "#" });
        assert!(check(&endless, &json!({})).is_err());
        let tree = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
        let deep = (0..60).fold(json!({}), |inner, _| json!({ "next": inner }));
        assert_eq!(check(&tree, &deep), Ok(()));
    }
}
