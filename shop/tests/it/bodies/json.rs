//! JSON as text, so that it can be written wrongly as well: doubled keys, numbers beyond any type, half a surrogate.

use std::iter;

use fastrand::Rng;
use serde_json::Value;

/// A value as it will be written.
#[derive(Clone)]
pub enum Json {
    /// Already text.
    Raw(String),
    /// Its keys are text already, quotes included.
    Object(Vec<(String, Json)>),
    List(Vec<Json>),
}

/// Numbers at the edges of what anything could hold, and what only looks like one.
const NUMBERS: [&str; 36] = [
    "0",
    "-0",
    "-1",
    "1.0",
    "1e0",
    "2e2",
    "0.5",
    "1.0000000000000001",
    "1000000000",
    "1000000001",
    "-1000000000",
    "-1000000001",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "1e308",
    "1e309",
    "-1e309",
    "5e-324",
    "1e-400",
    "1e1000000000000000000000",
    "0.00000000000000000000000000000000000001",
    "NaN",
    "Infinity",
    "01",
    "+1",
    ".5",
    "1.",
    "0x10",
];

/// Texts between their quotes: what somebody's terminal would obey, what nobody can see, what is no text at all.
const TEXTS: [&str; 50] = [
    "",
    " ",
    r"\u0000",
    "\0",
    r"\u001b[2J",
    r"\r\nall is well",
    r"\u202eTEA",
    "\u{202e}",
    r"TEA\u200b",
    "\u{feff}TEA",
    r"\ud800",
    r"\udc00\ud800",
    r"\ud83d\ude00",
    r"\u12",
    r"\x",
    "cafe\u{301}",
    "caf\u{e9}",
    " tea ",
    "TEA",
    "CUP",
    "\u{df}",
    "a/b",
    "..",
    "%00",
    "$(reboot)",
    "'; drop table orders; --",
    "<script>",
    "GBP",
    "gbp",
    "USD",
    "2.55",
    "-2.55",
    "-0",
    "1e3",
    "2,55",
    "0.0000000001",
    "999999999999999999",
    "9223372036854775807",
    "99999999999999999999999999999999999999",
    "0.00000000000000000000000000000000000000000000001",
    "\u{663}",
    "cleared",
    "flagged",
    "delivered",
    "failed",
    "dispatched",
    "true",
    "null",
    "[]",
    "name",
];

/// Times that are there, that were never, and that no calendar has.
const TIMES: [&str; 17] = [
    "2025-01-01T00:00:00Z",
    "2025-01-01T00:59:59.999999999Z",
    "2025-01-01T02:00:00+02:00",
    "2016-12-31T23:59:60Z",
    "2025-01-01T00:00:61Z",
    "2025-02-30T00:00:00Z",
    "2025-01-01T24:00:00Z",
    "2025-01-01T00:00:00+99:99",
    "2025-01-01",
    "2025-01-01T00:00:00",
    "1969-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "-000001-01-01T00:00:00Z",
    "-009999-01-02T01:59:59Z",
    "9999-12-30T22:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "+292277026596-12-04T15:30:07Z",
];

/// Names of fields that somebody reads, or might.
const FIELDS: [&str; 22] = [
    "items",
    "sku",
    "productId",
    "quantity",
    "name",
    "price",
    "active",
    "reason",
    "customerId",
    "currency",
    r"\u0063urrency",
    "Currency",
    "by",
    "why",
    "step",
    "at",
    "total",
    "amount",
    "__proto__",
    "",
    r"\u001b[31m",
    "\u{202e}",
];

pub fn one_of<'a, T: ?Sized>(random: &mut Rng, of: &[&'a T]) -> &'a T {
    of[random.usize(..of.len())]
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// A text of so many bytes, or characters of more bytes.
fn long(random: &mut Rng) -> String {
    let piece = one_of(random, &["x", "x", "\u{fc}", "\u{1f600}", r"\u001b", "\u{202e}"]);
    let times = [119, 120, 121, 127, 128, 129, 255, 1_023, 1_024, 1_025, 5_000, 60_000];
    piece.repeat(times[random.usize(..times.len())])
}

/// What stands where something else is expected.
pub fn odd(random: &mut Rng) -> Json {
    let deep = |open: &str, close: &str, depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
    let depth = [1, 2, 60, 63, 64, 65, 127, 128, 1_000, 50_000][random.usize(..10)];
    Json::Raw(match random.u8(..20) {
        0..=5 => one_of(random, &NUMBERS).to_owned(),
        6..=10 => quoted(one_of(random, &TEXTS)),
        11 | 12 => quoted(one_of(random, &TIMES)),
        13 => quoted(&long(random)),
        14 => {
            one_of(random, &["null", "true", "false", "[]", "{}", "[[]]", "{\"\":null}", "nul", "'x'", ""]).to_owned()
        }
        15 => deep("[", "]", depth),
        16 => deep("{\"a\":", "}", depth.min(10_000)),
        17 => format!("[{}0]", "0,".repeat(10_000)),
        18 => {
            let fields = (0..2_000).map(|number| format!("\"f{number}\":{number}"));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        _ => format!("{}{}", random.i64(..), one_of(random, &["", "e9", ".5", "e-9", "e999"])),
    })
}

impl Json {
    /// As it is usually written.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Object(fields) => {
                Self::Object(fields.iter().map(|(name, value)| (quoted(name), Self::of(value))).collect())
            }
            Value::Array(items) => Self::List(items.iter().map(Self::of).collect()),
            scalar => Self::Raw(scalar.to_string()),
        }
    }

    /// Its text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match self {
            Self::Raw(raw) => text.push_str(raw),
            Self::Object(fields) => {
                text.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    text.push_str(name);
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
            Self::List(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    item.write(text);
                }
                text.push(']');
            }
        }
    }

    fn nodes(&self) -> usize {
        1 + match self {
            Self::Raw(_) => 0,
            Self::Object(fields) => fields.iter().map(|(_, value)| value.nodes()).sum(),
            Self::List(items) => items.iter().map(Self::nodes).sum(),
        }
    }

    /// The node of a number, counted from the root on.
    fn node(&mut self, mut number: usize) -> &mut Self {
        if number == 0 {
            return self;
        }
        number -= 1;
        let below: Vec<usize> = match self {
            Self::Raw(_) => Vec::new(),
            Self::Object(fields) => fields.iter().map(|(_, value)| value.nodes()).collect(),
            Self::List(items) => items.iter().map(Self::nodes).collect(),
        };
        let mut at = 0;
        while number >= below[at] {
            number -= below[at];
            at += 1;
        }
        match self {
            Self::Object(fields) => fields[at].1.node(number),
            Self::List(items) => items[at].node(number),
            Self::Raw(_) => unreachable!("it has nothing below it"),
        }
    }

    /// Changes one of its nodes.
    pub fn change(&mut self, random: &mut Rng) {
        let nodes = self.nodes();
        match self.node(random.usize(..nodes)) {
            node @ Self::Raw(_) => *node = odd(random),
            Self::Object(fields) => change_fields(fields, random),
            Self::List(items) => change_items(items, random),
        }
    }
}

fn change_fields(fields: &mut Vec<(String, Json)>, random: &mut Rng) {
    let at = random.usize(..fields.len().max(1));
    match random.u8(..6) {
        _ if fields.is_empty() => fields.push((quoted(one_of(random, &FIELDS)), odd(random))),
        0 => drop(fields.remove(at)),
        1 => {
            let (name, value) = fields[at].clone();
            let value = if random.bool() { value } else { odd(random) };
            fields.insert(random.usize(..=fields.len()), (name, value));
        }
        2 => fields[at].0 = quoted(one_of(random, &FIELDS)),
        3 => fields[at].0 = fields[at].0.to_uppercase(),
        4 => fields[at].1 = odd(random),
        _ => fields.push((quoted(one_of(random, &FIELDS)), odd(random))),
    }
}

fn change_items(items: &mut Vec<Json>, random: &mut Rng) {
    let at = random.usize(..items.len().max(1));
    match random.u8(..6) {
        _ if items.is_empty() => items.push(odd(random)),
        0 => items.clear(),
        1 => drop(items.remove(at)),
        2 => items.push(odd(random)),
        3 => items[at] = odd(random),
        4 => items.extend(items.clone()),
        _ => {
            let times = [1_113, 1_114, 1_115, 10_000][random.usize(..4)];
            *items = iter::repeat_n(items[at].clone(), times).collect();
        }
    }
}
