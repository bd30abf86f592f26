//! What a defined pipeline keeps of a group: counts, exact sums, the least, the greatest, the first and the last.

use std::cmp::Ordering;

use factum_core::{error::HandlerError, money::Money};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// What is made of a group's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Count,
    Sum,
    Min,
    Max,
    Avg,
    First,
    Last,
}

impl Function {
    pub const ALL: [&str; 7] = ["count", "sum", "min", "max", "avg", "first", "last"];

    /// As people write it.
    pub fn read(word: &str) -> Option<Self> {
        Some(match word {
            "count" | "number" => Self::Count,
            "sum" | "total" | "sumof" => Self::Sum,
            "min" | "minimum" | "least" => Self::Min,
            "max" | "maximum" | "greatest" => Self::Max,
            "avg" | "average" | "mean" => Self::Avg,
            "first" => Self::First,
            "last" | "latest" => Self::Last,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

/// The aggregate of a group.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// The values that the group is named by.
    pub by: Vec<Json>,
    /// Items in the group.
    pub count: u64,
    /// One for each function, in their order.
    values: Vec<Kept>,
}

/// What a function keeps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    value: Json,
    /// Values that were not null.
    count: u64,
}

impl Totals {
    /// Takes the values of an item in, one for each function. Null counts in nothing but the number of items.
    pub fn add(&mut self, functions: &[Function], values: &[Json]) -> Result<(), HandlerError> {
        self.count = self.count.checked_add(1).ok_or_else(too_large)?;
        self.values.resize(functions.len(), Kept::default());
        for ((function, value), kept) in functions.iter().zip(values).zip(&mut self.values) {
            if !value.is_null() {
                kept.take(*function, value)?;
            }
        }
        Ok(())
    }

    /// What the functions come to, in their order.
    pub fn results(&self, functions: &[Function]) -> Result<Vec<Json>, HandlerError> {
        functions.iter().zip(&self.values).map(|(function, kept)| kept.result(*function)).collect()
    }
}

impl Kept {
    fn take(&mut self, function: Function, value: &Json) -> Result<(), HandlerError> {
        let first = self.count == 0;
        self.count = self.count.checked_add(1).ok_or_else(too_large)?;
        let takes = match function {
            Function::Count => false,
            Function::Last => true,
            Function::First => first,
            Function::Sum | Function::Avg => {
                let before = if first { None } else { Some(Amount::read(&self.value)?) };
                self.value = Amount::sum(before, Amount::read(value)?)?.json();
                false
            }
            Function::Min | Function::Max => {
                let wanted = if function == Function::Min { Ordering::Less } else { Ordering::Greater };
                // What compares with nothing would spoil the group for all that come; and of a number and a text before it,
                // such as `n/a`, the text is the odd one.
                let anew = first || is_only_text(&self.value, value);
                compare(value, if anew { value } else { &self.value })? == wanted || anew
            }
        };
        if takes {
            self.value = value.clone();
        }
        Ok(())
    }

    fn result(&self, function: Function) -> Result<Json, HandlerError> {
        match function {
            Function::Count => Ok(Json::from(self.count)),
            Function::Avg if self.count > 0 => Amount::read(&self.value)?.average(self.count),
            _ => Ok(self.value.clone()),
        }
    }
}

/// A number that can be added: whole, or money.
#[derive(Clone, Copy)]
enum Amount {
    Whole(i64),
    Money(Money),
}

impl Amount {
    fn read(value: &Json) -> Result<Self, HandlerError> {
        let wrong = || {
            HandlerError::Failed(format!(
                "{value} cannot be added: only whole numbers and amounts of money can, which are exact"
            ))
        };
        match value {
            Json::Number(number) => number.as_i64().map(Self::Whole).ok_or_else(wrong),
            Json::Object(_) => serde_json::from_value(value.clone()).map(Self::Money).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    fn sum(before: Option<Self>, value: Self) -> Result<Self, HandlerError> {
        match (before, value) {
            (None, value) => Ok(value),
            (Some(Self::Whole(one)), Self::Whole(other)) => {
                one.checked_add(other).map(Self::Whole).ok_or_else(too_large)
            }
            (Some(Self::Money(one)), Self::Money(other)) => match one.checked_add(other) {
                Ok(sum) => Ok(Self::Money(sum)),
                Err(error) => {
                    Err(HandlerError::Failed(format!("{error}; group by the currency too, as in `total.currency`")))
                }
            },
            _ => Err(HandlerError::failed("a number and an amount of money cannot be added")),
        }
    }

    /// Money rounded half to even to its minor unit; of whole numbers a decimal text with at most six digits behind the point.
    fn average(self, count: u64) -> Result<Json, HandlerError> {
        let count = i128::from(count);
        match self {
            Self::Money(Money { amount, currency }) => {
                let amount = i64::try_from(half_even(i128::from(amount), count)).map_err(|_| too_large())?;
                Ok(Self::Money(Money { amount, currency }).json())
            }
            Self::Whole(sum) => {
                let millionths = half_even(i128::from(sum) * 1_000_000, count);
                let sign = if millionths < 0 { "-" } else { "" };
                let (whole, part) = (millionths.abs() / 1_000_000, millionths.abs() % 1_000_000);
                let text = format!("{sign}{whole}.{part:06}");
                Ok(Json::from(text.trim_end_matches('0').trim_end_matches('.')))
            }
        }
    }

    fn json(self) -> Json {
        match self {
            Self::Whole(number) => Json::from(number),
            Self::Money(Money { amount, currency }) => {
                let fields =
                    [("amount".to_owned(), Json::from(amount)), ("currency".to_owned(), currency.to_string().into())];
                Json::Object(Map::from_iter(fields))
            }
        }
    }
}

/// Whether a text is to make way for what counts.
fn is_only_text(before: &Json, value: &Json) -> bool {
    before.is_string() && !value.is_string() && Amount::read(value).is_ok()
}

fn compare(one: &Json, other: &Json) -> Result<Ordering, HandlerError> {
    if let (Json::String(one), Json::String(other)) = (one, other) {
        return Ok(one.cmp(other));
    }
    match (Amount::read(one)?, Amount::read(other)?) {
        (Amount::Whole(one), Amount::Whole(other)) => Ok(one.cmp(&other)),
        (Amount::Money(one), Amount::Money(other)) if one.currency == other.currency => {
            Ok(one.amount.cmp(&other.amount))
        }
        _ => Err(HandlerError::Failed(format!("{one} and {other} cannot be compared: group by what tells them apart"))),
    }
}

/// `of` divided by a positive number, a half to the even neighbour.
fn half_even(of: i128, by: i128) -> i128 {
    let (quotient, rest) = (of.div_euclid(by), of.rem_euclid(by));
    match (rest * 2).cmp(&by) {
        Ordering::Less => quotient,
        Ordering::Greater => quotient + 1,
        Ordering::Equal => quotient + (quotient & 1),
    }
}

fn too_large() -> HandlerError {
    HandlerError::failed("the result is larger than 64 bits can hold")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn results(functions: &[Function], items: &[Json]) -> Result<Vec<Json>, HandlerError> {
        let mut totals = Totals::default();
        for item in items {
            totals.add(functions, &vec![item.clone(); functions.len()])?;
        }
        totals.results(functions)
    }

    const ALL: [Function; 7] =
        [Function::Count, Function::Sum, Function::Min, Function::Max, Function::Avg, Function::First, Function::Last];

    #[test]
    fn each_function_gives_what_its_name_says_and_leaves_out_null() {
        let items = [json!(3), json!(null), json!(-2), json!(9)];
        assert_eq!(
            results(&ALL, &items).unwrap(),
            [json!(3), json!(10), json!(-2), json!(9), json!("3.333333"), json!(3), json!(9)]
        );
        let pence = |amount: i64| json!({ "amount": amount, "currency": "GBP" });
        let items = [pence(5), pence(2), pence(2), pence(1)];
        let wanted = [json!(4), pence(10), pence(1), pence(5), pence(2), pence(5), pence(1)];
        assert_eq!(results(&ALL, &items).unwrap(), wanted, "2.5 is rounded to the even neighbour");
        let texts = [json!("b"), json!("a")];
        assert_eq!(results(&[Function::Min, Function::Max], &texts).unwrap(), [json!("a"), json!("b")]);
    }

    #[test]
    fn what_is_not_exact_or_does_not_fit_fails() {
        let pounds = json!({ "amount": 5, "currency": "GBP" });
        let euros = json!({ "amount": 5, "currency": "EUR" });
        for (items, wanted) in [
            (vec![json!(1.5)], "cannot be added"),
            (vec![json!("12")], "cannot be added"),
            (vec![json!(i64::MAX), json!(1)], "64 bits"),
            (vec![pounds.clone(), euros], "group by the currency"),
            (vec![pounds, json!(1)], "a number and an amount"),
        ] {
            let error = results(&[Function::Sum], &items).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        assert!(results(&[Function::Max], &[json!(1), json!("1")]).is_err());
    }

    #[test]
    fn a_first_value_that_compares_with_nothing_does_not_spoil_the_least_and_the_greatest() {
        for function in [Function::Min, Function::Max] {
            for first in [json!(1.5), json!(true), json!([1]), json!({ "amount": 1 })] {
                assert!(results(&[function], std::slice::from_ref(&first)).is_err(), "{first}");
            }
            assert_eq!(results(&[function], &[json!("n/a"), json!(3)]).unwrap(), [json!(3)]);
            assert!(results(&[function], &[json!(3), json!("n/a")]).is_err());
        }
    }
}
