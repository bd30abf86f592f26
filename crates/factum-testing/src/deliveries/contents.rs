//! What a run has come to, without ids and times, and in what two runs differ.

use std::collections::BTreeMap;

use factum_core::envelope::{Kind, Stored};
use serde_json::Value;

/// What stands in the streams, and what each command was answered.
pub(super) struct Told {
    streams: BTreeMap<String, Vec<String>>,
    answers: BTreeMap<usize, String>,
}

impl Told {
    pub(super) fn new(log: &[Stored], answers: BTreeMap<usize, String>) -> Self {
        let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for stored in log {
            let data = match serde_json::from_slice::<Value>(&stored.message.data) {
                Ok(mut data) => {
                    without_ids(&mut data);
                    data.to_string()
                }
                Err(_) => String::from_utf8_lossy(&stored.message.data).into_owned(),
            };
            let kind = match stored.envelope().kind {
                Kind::Event => "event",
                Kind::Command => "command",
                Kind::Rejection => "rejection of",
                Kind::Receipt => "receipt of",
                Kind::Call => "call",
            };
            let line = format!("{kind} {} {data}", stored.type_name());
            streams.entry(masked(stored.stream.as_str())).or_default().push(line);
        }
        Self { streams, answers }
    }

    /// The first difference, if each stream must have the same order.
    pub(super) fn differs_in_order(&self, other: &Self) -> Option<String> {
        self.first(other, |lines| lines.to_vec())
    }

    /// The first difference, if the order within a stream does not count.
    pub(super) fn differs(&self, other: &Self) -> Option<String> {
        self.first(other, |lines| {
            let mut lines = lines.to_vec();
            lines.sort_unstable();
            lines
        })
    }

    fn first(&self, other: &Self, arranged: impl Fn(&[String]) -> Vec<String>) -> Option<String> {
        for (number, answer) in &self.answers {
            let now = other.answers.get(number).map_or("nothing", String::as_str);
            if answer != now {
                return Some(format!("item {} of the script was answered {now}, as usual {answer}", number + 1));
            }
        }
        let names = self.streams.keys().chain(other.streams.keys());
        let empty = Vec::new();
        for name in names {
            let of = |told: &Self| arranged(told.streams.get(name).unwrap_or(&empty));
            let (usual, now) = (of(self), of(other));
            if usual == now {
                continue;
            }
            let at = usual.iter().zip(&now).take_while(|(usual, now)| usual == now).count();
            let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "nothing more".to_owned());
            let (before, after) = (line(&usual), line(&now));
            let (one, two) = (usual.len(), now.len());
            return Some(format!(
                "stream `{name}` holds {two} messages, as usual {one}; message {} is\n    {after}\nas usual\n    {before}",
                at + 1
            ));
        }
        None
    }
}

/// Whatever looks like a generated id looks alike.
fn without_ids(data: &mut Value) {
    match data {
        Value::String(text) => *text = masked(text),
        Value::Array(values) => values.iter_mut().for_each(without_ids),
        Value::Object(fields) => fields.values_mut().for_each(without_ids),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Characters of a UUID.
const UUID: usize = 36;

fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if rest.get(..UUID).is_some_and(is_uuid) {
            out.push_str("(id)");
            rest = &rest[UUID..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

fn is_uuid(text: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.bytes().enumerate().all(fits)
}
