//! How foreign data becomes ours: renamed fields, amounts in minor units, prices in their decimal text, lines that are
//! worth quantity times price. Numbers are read as they are written and never as floats. What is ours already is not
//! touched, nor is what no rule names.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

use super::{EnvelopeError, read::Text};
use crate::money::{Currency, Money, MoneyError, UnitPrice};

/// Things that are told of one message at most.
const MOST_NOTES: usize = 32;

/// One rule of a table. The first name is ours, the others theirs; they count in their order, where ours is not there.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// A field of another name.
    Field(&'static str, &'static [&'static str]),
    /// Texts of a field that mean others of ours.
    Values(&'static str, &'static [(&'static str, &'static str)]),
    /// A field that is a text, and comes as a number.
    Text(&'static str),
    /// An amount of money: a number or a decimal text in whole units becomes minor units, rounded half to even, of the
    /// `currency` beside it or around it. An object with a whole number is ours already.
    Money(&'static str, &'static [&'static str]),
    /// An amount of money in minor units, as a bare number.
    Cents(&'static str, &'static [&'static str]),
    /// The price of one piece: keeps its digits.
    Price(&'static str, &'static [&'static str]),
    /// The place of an object in its list, from 1.
    Place(&'static str),
    /// A field that is missing, as JSON.
    Missing(&'static str, &'static str),
    /// A field that is missing, and is then the same as another.
    Same(&'static str, &'static str),
    /// An amount that is missing: a price times a quantity, rounded half to even.
    Times(&'static str, &'static str, &'static str),
    /// An amount that is missing: the sum of a list's amounts.
    Sum(&'static str, &'static str, &'static str),
    /// A list that is missing, and whose only item stands about as these fields.
    Gather(&'static str, &'static [&'static str]),
    /// An object that is missing, and whose fields stand about.
    Nest(&'static str, &'static [&'static str]),
    /// The objects of a list.
    Each(&'static str, &'static [Rule]),
    /// An object in a field.
    In(&'static str, &'static [Rule]),
}

/// What was read otherwise than it was sent, for people; bounded.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<String>);

impl Notes {
    pub(super) fn add(&mut self, note: impl FnOnce() -> String) {
        match self.0.len() {
            0..MOST_NOTES => self.0.push(note()),
            MOST_NOTES => self.0.push("and more".to_owned()),
            _ => {}
        }
    }

    pub(super) fn into_list(self) -> Vec<String> {
        self.0
    }
}

/// Makes data ours by rules; nothing if it is already.
pub(super) fn apply(
    json: &str,
    rules: &[Rule],
    currency: Option<Currency>,
    notes: &mut Notes,
) -> Result<Option<String>, EnvelopeError> {
    Place { currency, path: "data".to_owned(), number: 0, notes }.object(json, rules)
}

/// A field of an object as a text: a text, a number or a truth value without quotes.
pub(super) fn text_of(json: &str, field: &str) -> Option<String> {
    let object = Object::read(json).ok()?;
    object.get(field).and_then(plain).map(Cow::into_owned)
}

/// An object with one field more, if it has none of this name. What is no object stays what it is.
pub(super) fn with_field<'a>(json: &'a str, name: &'static str, value: &str) -> Cow<'a, str> {
    let Ok(mut object) = Object::read(json) else { return Cow::Borrowed(json) };
    if object.get(name).is_some() {
        return Cow::Borrowed(json);
    }
    object.put(name, value.to_owned());
    object.write().map_or(Cow::Borrowed(json), Cow::Owned)
}

/// A JSON text without its quotes; numbers and truth values as they are.
fn plain(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Text<'_>>(json).ok().map(|text| text.0),
        Some(b'{' | b'[') | None => None,
        Some(_) => Some(Cow::Borrowed(json)),
    }
}

/// An object's fields in their order, each as it stands in the text.
struct Object<'a> {
    fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    changed: bool,
}

impl<'a> Object<'a> {
    fn read(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// A field; `null` counts as missing.
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, value)| known == name && value != "null");
        found.map(|(_, value)| &**value)
    }

    fn put(&mut self, name: &'static str, json: String) {
        self.changed = true;
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = Cow::Owned(json),
            None => self.fields.push((Cow::Borrowed(name), Cow::Owned(json))),
        }
    }

    fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.fields.iter().position(|(known, value)| known == name && value != "null")?;
        self.changed = true;
        Some(self.fields.remove(at).1)
    }

    fn write(&self) -> Result<String, serde_json::Error> {
        let mut text =
            String::with_capacity(self.fields.iter().map(|(name, value)| name.len() + value.len() + 6).sum());
        for (index, (name, value)) in self.fields.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            text.push_str(&serde_json::to_string(name)?);
            text.push(':');
            text.push_str(value);
        }
        text.push_str(if text.is_empty() { "{}" } else { "}" });
        Ok(text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> de::Visitor<'de> for Fields {
            type Value = Vec<(Cow<'de, str>, Cow<'de, str>)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    fields.push((name.0, Cow::Borrowed(value.get())));
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Fields).map(|fields| Self { fields, changed: false })
    }
}

/// Where in the data a rule is applied.
struct Place<'n> {
    currency: Option<Currency>,
    path: String,
    /// In the list around it.
    number: usize,
    notes: &'n mut Notes,
}

impl Place<'_> {
    fn object(&mut self, json: &str, rules: &[Rule]) -> Result<Option<String>, EnvelopeError> {
        let mut object = Object::read(json).map_err(|error| self.wrong("", error))?;
        let around = self.currency;
        // Others write it in any case.
        let said = object.get("currency").and_then(plain).and_then(|text| text.to_ascii_uppercase().parse().ok());
        self.currency = said.or(around);
        let outcome = rules.iter().try_for_each(|rule| self.rule(&mut object, rule));
        self.currency = around;
        outcome?;
        match object.changed {
            true => object.write().map(Some).map_err(|error| self.wrong("", error)),
            false => Ok(None),
        }
    }

    fn rule(&mut self, object: &mut Object<'_>, rule: &Rule) -> Result<(), EnvelopeError> {
        match *rule {
            Rule::Field(ours, theirs) => self.rename(object, ours, theirs),
            Rule::Values(field, values) => {
                let text = object.get(field).and_then(plain);
                if let Some((from, to)) = text.and_then(|text| values.iter().find(|(from, _)| *from == text)) {
                    self.note(field, || format!("`{from}` is read as `{to}`"));
                    object.put(field, written(to));
                }
            }
            Rule::Text(field) => {
                let number = object.get(field).filter(|json| is_number(json)).map(written);
                number.into_iter().for_each(|text| object.put(field, text));
            }
            Rule::Money(ours, theirs) => {
                self.rename(object, ours, theirs);
                self.replace(object, ours, Self::money)?;
            }
            Rule::Cents(ours, theirs) => {
                if object.get(ours).is_none() {
                    self.rename(object, ours, theirs);
                    self.replace(object, ours, Self::cents)?;
                }
            }
            Rule::Price(ours, theirs) => {
                self.rename(object, ours, theirs);
                self.replace(object, ours, Self::price)?;
            }
            Rule::Place(field) => {
                if object.get(field).is_none() && self.number > 0 {
                    object.put(field, self.number.to_string());
                }
            }
            Rule::Missing(field, json) => {
                if object.get(field).is_none() {
                    object.put(field, json.to_owned());
                }
            }
            Rule::Same(field, other) => {
                if object.get(field).is_none()
                    && let Some(same) = object.get(other).map(str::to_owned)
                {
                    object.put(field, same);
                }
            }
            Rule::Times(amount, price, quantity) => self.times(object, amount, price, quantity)?,
            Rule::Sum(sum, list, field) => self.sum(object, sum, list, field)?,
            Rule::Gather(list, fields) => self.gather(object, list, fields, true)?,
            Rule::Nest(field, fields) => self.gather(object, field, fields, false)?,
            Rule::Each(list, rules) => self.each(object, list, rules)?,
            Rule::In(field, rules) => {
                if let Some(json) = object.get(field).filter(|json| json.starts_with('{')) {
                    let length = self.enter(format_args!(".{field}"));
                    let changed = self.object(json, rules)?;
                    self.path.truncate(length);
                    changed.into_iter().for_each(|json| object.put(field, json));
                }
            }
        }
        Ok(())
    }

    /// Puts fields that stand about into an object of their own, in a list of one or not.
    fn gather(
        &mut self,
        object: &mut Object<'_>,
        into: &'static str,
        fields: &[&'static str],
        in_list: bool,
    ) -> Result<(), EnvelopeError> {
        if object.get(into).is_some() {
            return Ok(());
        }
        let of = |name: &'static str| Some((Cow::Borrowed(name), object.take(name)?));
        let fields: Vec<_> = fields.iter().copied().filter_map(of).collect();
        if !fields.is_empty() {
            let item = Object { fields, changed: true }.write().map_err(|error| self.wrong(into, error))?;
            self.note(into, || "is made of what stood about".to_owned());
            object.put(into, if in_list { format!("[{item}]") } else { item });
        }
        Ok(())
    }

    fn each(&mut self, object: &mut Object<'_>, list: &'static str, rules: &[Rule]) -> Result<(), EnvelopeError> {
        let Some(json) = object.get(list).filter(|json| json.starts_with('[')) else { return Ok(()) };
        let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|error| self.wrong(list, error))?;
        let (mut changed, mut all) = (false, Vec::with_capacity(items.len()));
        let around = self.number;
        for (index, item) in items.into_iter().enumerate() {
            let length = self.enter(format_args!(".{list}[{index}]"));
            self.number = index + 1;
            let ours = if item.get().starts_with('{') { self.object(item.get(), rules)? } else { None };
            self.path.truncate(length);
            changed |= ours.is_some();
            all.push(ours.map_or(Cow::Borrowed(item.get()), Cow::Owned));
        }
        self.number = around;
        let text = changed.then(|| format!("[{}]", all.join(",")));
        text.into_iter().for_each(|text| object.put(list, text));
        Ok(())
    }

    fn rename(&mut self, object: &mut Object<'_>, ours: &'static str, theirs: &[&'static str]) {
        if object.get(ours).is_some() {
            return;
        }
        if let Some((from, value)) = theirs.iter().find_map(|name| Some((name, object.take(name)?))) {
            self.note(from, || format!("is read as `{ours}`"));
            object.put(ours, value.into_owned());
        }
    }

    /// Replaces a field that is there by what `make` makes of it, if that is another.
    fn replace(
        &mut self,
        object: &mut Object<'_>,
        field: &'static str,
        make: impl FnOnce(&Self, &str) -> Result<Option<String>, String>,
    ) -> Result<(), EnvelopeError> {
        let Some(json) = object.get(field) else { return Ok(()) };
        let made = make(self, json).map_err(|problem| self.wrong(field, problem))?;
        if let Some(ours) = made {
            self.note(field, || format!("{} is read as {ours}", json.chars().take(40).collect::<String>()));
            object.put(field, ours);
        }
        Ok(())
    }

    fn money(&self, json: &str) -> Result<Option<String>, String> {
        if !json.starts_with('{') {
            let decimal = plain(json).filter(|_| json.starts_with('"') || is_number(json));
            let decimal = decimal.ok_or("must be an amount: send a number, or a text such as \"12.30\"")?;
            return amount(&decimal, self.currency()?).map(Some);
        }
        let (value, currency) = self.parts(json)?;
        // A whole number in an object is of minor units, as ours are.
        if value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            return match Object::read(json)
                .is_ok_and(|object| object.get("amount").zip(object.get("currency")).is_some())
            {
                true => Ok(None),
                false => Ok(Some(format!(r#"{{"amount":{value},"currency":"{currency}"}}"#))),
            };
        }
        let decimal = plain(&value).ok_or("must hold an amount: send `{\"amount\": 1230, \"currency\": \"GBP\"}`")?;
        amount(&decimal, currency).map(Some)
    }

    fn cents(&self, json: &str) -> Result<Option<String>, String> {
        let whole = plain(json).and_then(|text| text.parse::<i64>().ok());
        let whole = whole.ok_or("must be a whole number of minor units")?;
        Ok(Some(written(&Money::new(whole, self.currency()?))))
    }

    fn price(&self, json: &str) -> Result<Option<String>, String> {
        let is_object = json.starts_with('{');
        let (value, currency) = if is_object { self.parts(json)? } else { (json.to_owned(), self.currency()?) };
        let written_so = is_object
            && value.starts_with('"')
            && Object::read(json).is_ok_and(|object| object.get("amount").zip(object.get("currency")).is_some());
        if written_so {
            return Ok(None);
        }
        let decimal = plain(&value).ok_or("must be a price: send a number, or a text such as \"2.55\"")?;
        let price = UnitPrice::of_decimal(&decimal, currency).map_err(|error| error.to_string())?;
        Ok(Some(written(&price)))
    }

    /// Amount and currency of an object.
    fn parts(&self, json: &str) -> Result<(String, Currency), String> {
        let object = Object::read(json).map_err(|error| error.to_string())?;
        let value = object.get("amount").or_else(|| object.get("value")).ok_or("has no `amount`")?.to_owned();
        let currency = match object.get("currency").and_then(plain) {
            Some(text) => text.to_ascii_uppercase().parse().map_err(|error: MoneyError| error.to_string())?,
            None => self.currency()?,
        };
        Ok((value, currency))
    }

    fn currency(&self) -> Result<Currency, String> {
        self.currency.ok_or_else(|| "has no currency: send `currency` beside it, three letters such as GBP".to_owned())
    }

    fn times(
        &mut self,
        object: &mut Object<'_>,
        amount: &'static str,
        price: &'static str,
        quantity: &'static str,
    ) -> Result<(), EnvelopeError> {
        let (None, Some(by), Some(pieces)) = (object.get(amount), object.get(price), object.get(quantity)) else {
            return Ok(());
        };
        let by: UnitPrice = serde_json::from_str(by).map_err(|error| self.wrong(price, error))?;
        let pieces: i64 = serde_json::from_str(pieces)
            .map_err(|_| self.wrong(quantity, "must be a whole number, for the line is worth so many prices"))?;
        let worth = by.times(pieces).map_err(|error| self.wrong(amount, error))?;
        self.note(amount, || format!("is {pieces} times {by}: {worth}"));
        object.put(amount, written(&worth));
        Ok(())
    }

    fn sum(
        &mut self,
        object: &mut Object<'_>,
        sum: &'static str,
        list: &'static str,
        field: &'static str,
    ) -> Result<(), EnvelopeError> {
        let (None, Some(json)) = (object.get(sum), object.get(list)) else { return Ok(()) };
        let items: Vec<Object<'_>> = match serde_json::from_str(json) {
            Ok(items) => items,
            // Whatever it is, it has no amounts.
            Err(_) => return Ok(()),
        };
        let amounts: Option<Vec<Money>> =
            items.iter().map(|item| serde_json::from_str(item.get(field)?).ok()).collect();
        let Some((first, rest)) = amounts.as_deref().and_then(<[Money]>::split_first) else { return Ok(()) };
        let total = rest.iter().try_fold(*first, |total, amount| total.checked_add(*amount));
        let total = total.map_err(|error| self.wrong(sum, error))?;
        self.note(sum, || format!("is the sum of `{list}`: {total}"));
        object.put(sum, written(&total));
        Ok(())
    }

    fn enter(&mut self, step: fmt::Arguments<'_>) -> usize {
        let length = self.path.len();
        self.path.push_str(&step.to_string());
        length
    }

    fn note(&mut self, field: &str, what: impl FnOnce() -> String) {
        let path = &self.path;
        self.notes.add(|| format!("`{path}.{field}` {}", what()));
    }

    fn wrong(&self, field: &str, problem: impl fmt::Display) -> EnvelopeError {
        let path = if field.is_empty() { self.path.clone() } else { format!("{}.{field}", self.path) };
        EnvelopeError::Data { path, problem: problem.to_string() }
    }
}

fn amount(decimal: &str, currency: Currency) -> Result<String, String> {
    let money = Money::of_decimal(decimal, currency).map_err(|error| error.to_string())?;
    Ok(written(&money))
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Texts, amounts and prices always have a JSON form.
fn written<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
