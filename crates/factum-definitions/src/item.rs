//! What a defined pipeline makes of an event before it counts it: an item of a group.

use std::collections::BTreeMap;

use factum_core::{commit::MAX_MESSAGE_BYTES, envelope::Stored, error::HandlerError};
use serde_json::{Map, Value as Json};

use crate::{
    aggregate::Part,
    expression::{Expression, Over},
    values::measure,
};

/// A step before the aggregate.
pub enum Step {
    Filter(Expression),
    Map(Vec<(String, Expression)>),
}

/// What goes into an aggregate.
pub struct Item {
    pub key: String,
    pub by: Vec<Json>,
    pub values: Vec<Json>,
}

impl Item {
    /// The item that an event is made into, if no filter leaves it out. One whose group has no name is left out.
    ///
    /// # Errors
    /// [`HandlerError`] if something has no value, or a step makes more than a message may hold.
    pub fn of(stored: &Stored, steps: &[Step], by: &[Part], parts: &[Part]) -> Result<Option<Self>, HandlerError> {
        let data: Map<String, Json> = serde_json::from_slice(&stored.message.data).map_err(|error| {
            HandlerError::Payload(format!("the data of {} is no object: {error}", stored.type_name()))
        })?;
        let mut item: Option<BTreeMap<String, Json>> = None;
        for step in steps {
            let over = item.as_ref().map_or(Over::Event(stored, &data), Over::Item);
            match step {
                Step::Filter(expression) => {
                    if !expression.holds(&over)? {
                        return Ok(None);
                    }
                }
                Step::Map(fields) => {
                    let mut made = Made::default();
                    let mut field = |(name, expression): &(String, Expression)| {
                        Ok((name.clone(), made.value(Some(expression), &over)?))
                    };
                    item = Some(fields.iter().map(&mut field).collect::<Result<_, HandlerError>>()?);
                }
            }
        }
        let over = item.as_ref().map_or(Over::Event(stored, &data), Over::Item);
        let mut made = Made::default();
        let mut value = |part: &Part| made.value(part.expression.as_ref(), &over);
        let by: Vec<Json> = by.iter().map(&mut value).collect::<Result<_, _>>()?;
        if by.iter().any(Json::is_null) {
            return Ok(None);
        }
        Ok(Some(Self { key: key(&by)?, by, values: parts.iter().map(&mut value).collect::<Result<_, _>>()? }))
    }
}

/// What one step has made of an event so far. Each could double what the one before it made; so none makes more than a
/// message may hold.
#[derive(Default)]
struct Made {
    bytes: usize,
}

impl Made {
    fn value(&mut self, expression: Option<&Expression>, over: &Over<'_>) -> Result<Json, HandlerError> {
        let Some(expression) = expression else { return Ok(Json::Bool(true)) };
        let value = expression.value(over)?;
        self.bytes = self.bytes.saturating_add(measure(&value).map_err(HandlerError::Failed)?);
        if self.bytes > MAX_MESSAGE_BYTES {
            return Err(HandlerError::Failed(format!(
                "one step makes more than {MAX_MESSAGE_BYTES} bytes of this event, at `{}`: take less of it",
                expression.text()
            )));
        }
        Ok(value)
    }
}

/// The key of a group: of one field its text, of several with `/` between them, of none `all`. It names the streams of results,
/// where a number, a truth value and the text that is written like it are one; so they are one group.
fn key(by: &[Json]) -> Result<String, HandlerError> {
    let text = |value: &Json| match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(_) | Json::Bool(_) => Ok(value.to_string()),
        _ => Err(HandlerError::Failed(format!(
            "{value} cannot name a group: group by a text, a number or a truth value"
        ))),
    };
    match by {
        [] => Ok("all".to_owned()),
        [one] => text(one),
        several => {
            // What separates is written otherwise within a part, so that two groups never share a key.
            let part = |value: &Json| Ok(text(value)?.replace('%', "%25").replace('/', "%2F"));
            Ok(several.iter().map(part).collect::<Result<Vec<_>, HandlerError>>()?.join("/"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_is_named_so_that_one_name_is_one_group() {
        let key = |by: &[Json]| key(by).unwrap();
        assert_eq!((key(&[json!(1)]), key(&[json!(true)])), (key(&[json!("1")]), key(&[json!("true")])));
        assert_ne!(key(&[json!("a/b"), json!("c")]), key(&[json!("a"), json!("b/c")]));
        assert_ne!(key(&[json!("a%2Fb"), json!("c")]), key(&[json!("a/b"), json!("c")]));
    }
}
