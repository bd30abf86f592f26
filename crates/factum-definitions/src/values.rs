//! JSON as values of expressions and back, and how large it is.

use std::{collections::HashMap, sync::Arc};

use cel::{
    Value,
    objects::{Key, Map},
};
use serde_json::Value as Json;

/// The deepest nesting of a value.
const MOST_DEEP: usize = 64;

/// About how many bytes a value has as JSON.
///
/// # Errors
/// If it is nested too deep for what walks through values.
pub fn measure(value: &Json) -> Result<usize, String> {
    fn walk(value: &Json, deep: usize) -> Option<usize> {
        let deep = deep.checked_sub(1)?;
        Some(match value {
            Json::Null | Json::Bool(_) => 4,
            Json::Number(_) => 8,
            Json::String(text) => text.len() + 2,
            Json::Array(items) => items.iter().try_fold(2, |sum, item| Some(sum + 1 + walk(item, deep)?))?,
            Json::Object(fields) => {
                fields.iter().try_fold(2, |sum, (name, of)| Some(sum + name.len() + 4 + walk(of, deep)?))?
            }
        })
    }
    walk(value, MOST_DEEP).ok_or_else(|| format!("it is nested more than {MOST_DEEP} deep"))
}

/// JSON as a value; a number that is not whole stays a text, which no operator counts with.
pub fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(is) => Value::Bool(*is),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::String(Arc::new(number.to_string())),
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(value).collect())),
        Json::Object(fields) => {
            let entry = |(name, of): (&String, &Json)| (Key::String(Arc::new(name.clone())), value(of));
            let map: HashMap<Key, Value> = fields.iter().map(entry).collect();
            Value::Map(Map { map: Arc::new(map) })
        }
    }
}

/// A value as JSON, in an order that does not depend on a hash.
pub fn json(value: &Value) -> Result<Json, String> {
    match value {
        Value::Null => Ok(Json::Null),
        Value::Bool(is) => Ok(Json::Bool(*is)),
        Value::Int(number) => Ok(Json::from(*number)),
        Value::UInt(number) => Ok(Json::from(*number)),
        Value::String(text) => Ok(Json::from(text.as_str())),
        Value::List(items) => items.iter().map(json).collect::<Result<_, _>>().map(Json::Array),
        Value::Map(map) => {
            let entry = |(name, of): (&Key, &Value)| match name {
                Key::String(name) => Ok((name.to_string(), json(of)?)),
                _ => Err("a key of its map is no text".to_owned()),
            };
            map.map.iter().map(entry).collect::<Result<_, _>>().map(Json::Object)
        }
        Value::Float(_) => Err("it is a number with a point, which is not exact".to_owned()),
        _ => Err("it is nothing that an event can hold".to_owned()),
    }
}
