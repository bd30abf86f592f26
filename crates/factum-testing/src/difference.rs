//! What differs between the events that were expected and those that came, for a person to read.
#![allow(clippy::panic, reason = "an assertion library: a panic is how a test says what it found")]

use std::fmt::Write;

use factum_core::envelope::Draft;
use serde_json::Value;

pub(crate) fn value(draft: &Draft) -> Value {
    serde_json::from_slice(&draft.data).unwrap_or_else(|error| panic!("{} is no JSON: {error}", draft.type_name))
}

pub(crate) fn line(draft: &Draft) -> String {
    format!("{} {}", draft.type_name, value(draft))
}

/// Both lists side by side, with what differs; nothing if they are the same.
pub(crate) fn difference(expected: &[Draft], actual: &[Draft]) -> Option<String> {
    let mut text = String::new();
    let mut same = expected.len() == actual.len();
    for place in 0..expected.len().max(actual.len()) {
        // Writing into a string does not fail.
        _ = match (expected.get(place), actual.get(place)) {
            (Some(expected), Some(actual)) if expected.type_name == actual.type_name => {
                let mut fields = String::new();
                compare("", &value(expected), &value(actual), &mut fields);
                same &= fields.is_empty();
                let mark = if fields.is_empty() { ' ' } else { '~' };
                writeln!(text, "{mark} {}\n{fields}", line(actual).trim_end()).map(|()| trim(&mut text))
            }
            (expected, actual) => {
                same = false;
                let expected = expected.map(|draft| format!("- expected {}\n", line(draft))).unwrap_or_default();
                let actual = actual.map(|draft| format!("+ actual   {}\n", line(draft))).unwrap_or_default();
                write!(text, "{expected}{actual}")
            }
        };
    }
    (!same).then_some(text)
}

fn trim(text: &mut String) {
    while text.ends_with("\n\n") {
        text.pop();
    }
}

fn compare(path: &str, expected: &Value, actual: &Value, out: &mut String) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            let more = actual.keys().filter(|key| !expected.contains_key(*key));
            for key in expected.keys().chain(more) {
                let of = |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or(Value::Null);
                compare(&format!("{path}.{key}"), &of(expected), &of(actual), out);
            }
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (place, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                compare(&format!("{path}[{place}]"), expected, actual, out);
            }
        }
        _ if expected == actual => {}
        _ => _ = writeln!(out, "    {path}: expected {expected}, actual {actual}"),
    }
}
