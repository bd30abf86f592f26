//! Expressions: filters and values in the Common Expression Language, over the fields of an event or of what it was mapped to.
//!
//! They have no loops, no floating numbers and no calls to anything but `size`, `contains`, `startsWith`, `endsWith` and
//! conversions, and at most 1,000 characters, and what they are computed of has at most 4 MiB, counted as often as it is
//! named: so each ends, soon, and with a value of no more than that.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, Program,
    common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue},
};
use factum_core::{envelope::Stored, error::HandlerError};
use serde_json::Value as Json;

use crate::{
    Problem,
    values::{json, measure, value},
    words::{folded, hint},
    yaml::Word,
};

/// The longest expression, in characters.
const MOST_CHARS: usize = 1_000;

/// Bytes of all values that an expression names, each as often as it does: its own value has no more, and its literals.
const MOST_BYTES: usize = 4 << 20;

/// What an event says about itself, by our names.
const ENVELOPE: [&str; 9] =
    ["type", "id", "source", "timestamp", "correlationId", "partitionKey", "subject", "tenant", "userId"];

const FUNCTIONS: [&str; 7] = ["size", "contains", "startsWith", "endsWith", "string", "int", "bool"];

static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Names that an expression may use.
#[derive(Clone)]
pub struct Names {
    /// Those that are known, and whether each is money; if `open`, there may be others.
    pub fields: BTreeMap<String, bool>,
    pub open: bool,
    /// The types of the events, while the names are those of events.
    pub types: Option<Vec<&'static str>>,
}

/// A checked expression.
#[derive(Clone)]
pub struct Expression {
    expression: IdedExpr,
    /// Variables to bind.
    uses: BTreeMap<String, Use>,
    text: String,
    /// The variable, if it is nothing but one.
    only: Option<String>,
    /// The name, if it is nothing but one.
    pub name: Option<String>,
    /// Whether it is an amount of money as far as names tell.
    pub money: bool,
}

/// A variable: a path whose value is null wherever a part of it is absent, and how often it is named.
#[derive(Clone)]
struct Use {
    path: Vec<String>,
    times: usize,
}

/// What an expression is evaluated over.
pub enum Over<'a> {
    Event(&'a Stored, &'a serde_json::Map<String, Json>),
    Item(&'a BTreeMap<String, Json>),
}

impl Expression {
    /// Reads an expression and checks its names.
    pub fn read(word: &Word, names: &Names) -> Result<Self, Vec<Problem>> {
        let problem = |sentence: String| Problem::at(word.at, sentence);
        if word.text.chars().count() > MOST_CHARS {
            return Err(vec![problem(format!("the expression is longer than {MOST_CHARS} characters: divide it"))]);
        }
        let text = as_written_elsewhere(&word.text);
        let program = Program::compile(&text).map_err(|errors| {
            let first = errors.errors.first().map_or(String::new(), |error| error.msg.replace('\n', " "));
            let what = "write it as in `type == 'order.created' && total.amount > 1000`";
            vec![problem(format!("`{}` is no expression: {first}; {what}", word.text))]
        })?;
        let mut reading = Reading { names, uses: BTreeMap::new(), sentences: Vec::new() };
        let mut expression = program.expression().clone();
        reading.walk(&mut expression);
        let Reading { uses, sentences, .. } = reading;
        if !sentences.is_empty() {
            let say = |sentence| problem(format!("in `{}`: {sentence}", word.text));
            return Err(sentences.into_iter().map(say).collect());
        }
        let only = match &expression.expr {
            Expr::Ident(name) => Some(name.clone()),
            _ => None,
        };
        let name = only.as_ref().and_then(|only| uses.get(only)?.path.last());
        let name = name.map(|word| word.trim_start_matches(MARK).to_owned());
        let money = matches!(&expression.expr, Expr::Ident(name) if names.fields.get(name) == Some(&true));
        Ok(Self { expression, uses, text: word.text.clone(), only, name, money })
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its value. What is absent is null.
    pub fn value(&self, over: &Over<'_>) -> Result<Json, HandlerError> {
        if let Some(only) = self.only.as_ref().and_then(|only| self.uses.get(only)) {
            return Ok(over.path(&only.path));
        }
        let fails = |problem: String| HandlerError::Failed(format!("`{}` has no value: {problem}", self.text));
        let mut context = Context::with_env(STANDARD.clone());
        let mut bytes = 0_usize;
        for (name, used) in &self.uses {
            let found = over.path(&used.path);
            bytes = bytes.saturating_add(measure(&found).map_err(fails)?.saturating_mul(used.times));
            if bytes > MOST_BYTES {
                return Err(fails(format!("what it is computed of has more than {MOST_BYTES} bytes")));
            }
            context.add_variable_from_value(name.clone(), value(&found));
        }
        let value = context.resolve(&self.expression).map_err(|error| fails(error.to_string()))?;
        json(&value).map_err(fails)
    }

    /// Whether it holds.
    pub fn holds(&self, over: &Over<'_>) -> Result<bool, HandlerError> {
        match self.value(over)? {
            Json::Bool(holds) => Ok(holds),
            other => Err(HandlerError::Failed(format!("`{}` is {other} and not true or false", self.text))),
        }
    }
}

/// Marks variables of the envelope, so that no field is one.
const MARK: char = '@';

/// `===`, `and`, `or` and `not` are what others write for the operators, outside of texts.
fn as_written_elsewhere(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quote: Option<char> = None;
    let mut word = String::new();
    let end = |word: &mut String, out: &mut String| {
        match word.as_str() {
            "and" | "AND" => out.push_str("&&"),
            "or" | "OR" => out.push_str("||"),
            "not" | "NOT" => out.push('!'),
            other => out.push_str(other),
        }
        word.clear();
    };
    let mut escaped = false;
    for char in text.chars() {
        if quote.is_none() && (char.is_alphanumeric() || matches!(char, '_' | '.')) {
            word.push(char);
            continue;
        }
        end(&mut word, &mut out);
        match quote {
            Some(open) if open == char && !escaped => quote = None,
            None if matches!(char, '\'' | '"') => quote = Some(char),
            // `===` and `!==`
            None if char == '=' && (out.ends_with("==") || out.ends_with("!=")) => continue,
            _ => {}
        }
        escaped = quote.is_some() && char == '\\' && !escaped;
        out.push(char);
    }
    end(&mut word, &mut out);
    out
}

struct Reading<'a> {
    names: &'a Names,
    uses: BTreeMap<String, Use>,
    sentences: Vec<String>,
}

impl Reading<'_> {
    fn walk(&mut self, node: &mut IdedExpr) {
        if let Some(path) = path(&node.expr) {
            node.expr = self.named(&path);
            return;
        }
        match &mut node.expr {
            Expr::Call(call) => {
                self.function(&call.func_name);
                self.types(&mut call.args, &call.func_name);
                call.target.iter_mut().for_each(|target| self.walk(target));
                call.args.iter_mut().for_each(|argument| self.walk(argument));
                self.money(&call.args, &call.func_name);
            }
            // `has(a.b)`
            Expr::Select(select) if select.test => {
                let mut words = path(&select.operand.expr).unwrap_or_default();
                words.push(&select.field);
                let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
                let named = self.named(&words.iter().map(String::as_str).collect::<Vec<_>>());
                let node_of = |expr: Expr| IdedExpr { id: 0, expr };
                let args = vec![node_of(named), node_of(Expr::Literal(LiteralValue::Null))];
                node.expr = Expr::Call(CallExpr { func_name: "_!=_".to_owned(), target: None, args });
            }
            Expr::Select(select) => self.walk(&mut select.operand),
            Expr::List(list) => list.elements.iter_mut().for_each(|element| self.walk(element)),
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.walk(&mut entry.key);
                        self.walk(&mut entry.value);
                    }
                }
            }
            Expr::Comprehension(_) => self.sentences.push(
                "loops such as `all`, `exists`, `map` and `filter` are not read: aggregate over events instead"
                    .to_owned(),
            ),
            Expr::Literal(LiteralValue::Double(_)) => self.sentences.push(
                "a number with a point is not exact: write whole numbers, of money its minor units (1050 for 10.50)"
                    .to_owned(),
            ),
            Expr::Struct(_) => self.sentences.push("a message of a type cannot be made here: write a map".to_owned()),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    /// A function that there is.
    fn function(&mut self, name: &str) {
        let is_operator = !name.starts_with(|char: char| char.is_alphabetic());
        if !is_operator && !FUNCTIONS.contains(&name) {
            self.sentences.push(format!("there is no function `{name}`: {}", hint(name, FUNCTIONS)));
        }
    }

    /// A name, as the variable that it is.
    fn named(&mut self, path: &[&str]) -> Expr {
        let names = self.names;
        let field = |word: &str| match names.fields.contains_key(word) {
            true => Some(word.to_owned()),
            false => names.fields.keys().find(|known| folded(known) == folded(word)).cloned(),
        };
        let mut rest = path;
        let mut said = false;
        if names.types.is_some() {
            // `event.data.total`, `data.total` and `total` are one, unless there is a field of that name.
            for prefix in ["event", "payload", "data"] {
                if rest.len() > 1 && folded(rest[0]) == prefix && field(rest[0]).is_none() {
                    said |= prefix != "event";
                    rest = &rest[1..];
                }
            }
        }
        let first = match field(rest[0]) {
            Some(name) => name,
            None if !said && names.types.is_some() && envelope(rest[0]).is_some() => {
                format!("{MARK}{}", envelope(rest[0]).unwrap_or_default())
            }
            None if names.open => rest[0].to_owned(),
            None => {
                let known = names.fields.keys().map(String::as_str);
                let envelope = ENVELOPE.iter().copied().filter(|_| names.types.is_some());
                let sentence = format!("there is no `{}`: {}", rest[0], hint(rest[0], known.chain(envelope)));
                self.sentences.push(sentence);
                rest[0].to_owned()
            }
        };
        let words: Vec<String> =
            std::iter::once(first).chain(rest[1..].iter().map(|word| (*word).to_owned())).collect();
        let variable = words.join("/");
        self.uses.entry(variable.clone()).or_insert(Use { path: words, times: 0 }).times += 1;
        Expr::Ident(variable)
    }

    /// A comparison of the event's type with a text must name a type that comes.
    fn types(&mut self, arguments: &mut [IdedExpr], function: &str) {
        let (Some(types), [one, other]) = (&self.names.types, arguments) else { return };
        if types.is_empty() || !matches!(function, "_==_" | "_!=_") {
            return;
        }
        let is_type = |node: &IdedExpr| {
            path(&node.expr).is_some_and(|path| {
                path.last().is_some_and(|last| envelope(last) == Some("type"))
                    && path[..path.len() - 1].iter().all(|before| folded(before) == "event")
            })
        };
        let literal = if is_type(one) {
            other
        } else if is_type(other) {
            one
        } else {
            return;
        };
        let Expr::Literal(LiteralValue::String(text)) = &literal.expr else { return };
        let text = text.inner().to_owned();
        match types.iter().find(|known| folded(known) == folded(&text)) {
            Some(known) => {
                literal.expr = Expr::Literal(LiteralValue::String((*known).to_owned().into()));
            }
            None => self
                .sentences
                .push(format!("no event of the type `{text}` comes: {}", hint(&text, types.iter().copied()))),
        }
    }

    /// Money is a number and a currency.
    fn money(&mut self, arguments: &[IdedExpr], function: &str) {
        let operators = ["_<_", "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_", "_%_", "-_"];
        if !operators.contains(&function) {
            return;
        }
        for argument in arguments {
            if let Expr::Ident(name) = &argument.expr
                && self.names.fields.get(name) == Some(&true)
            {
                let sentence =
                    format!("`{name}` is an amount of money: write `{name}.amount`, which is in minor units");
                self.sentences.push(sentence);
            }
        }
    }
}

/// The words of `a.b.c`.
fn path(expr: &Expr) -> Option<Vec<&str>> {
    match expr {
        Expr::Ident(name) => Some(vec![name.trim_start_matches('.')]),
        Expr::Select(select) if !select.test => {
            let mut words = path(&select.operand.expr)?;
            words.push(&select.field);
            Some(words)
        }
        _ => None,
    }
}

/// What the envelope calls it.
fn envelope(word: &str) -> Option<&'static str> {
    let wanted = folded(word);
    let wanted = match &*wanted {
        "eventtype" => "type",
        "eventid" | "messageid" => "id",
        "occurredat" | "time" => "timestamp",
        "aggregateid" => "subject",
        other => other,
    };
    ENVELOPE.into_iter().find(|name| folded(name) == wanted)
}

impl Over<'_> {
    /// What stands at the end of a path; null if anything on it is absent.
    fn path(&self, words: &[String]) -> Json {
        let Some((first, rest)) = words.split_first() else { return Json::Null };
        let mut at = match self {
            Self::Item(item) => item.get(first),
            Self::Event(stored, data) => match first.strip_prefix(MARK) {
                Some(name) => return said(stored, name).map_or(Json::Null, Json::from),
                None => data.get(first),
            },
        };
        for word in rest {
            at = at.and_then(|value| value.get(word));
        }
        at.cloned().unwrap_or_default()
    }
}

/// What an event says about itself.
fn said(stored: &Stored, name: &str) -> Option<String> {
    let envelope = stored.envelope();
    Some(match name {
        "type" => stored.type_name().to_owned(),
        "id" => envelope.id.to_string(),
        "source" => envelope.source.to_string(),
        "timestamp" => envelope.timestamp.to_string(),
        "correlationId" => envelope.correlation_id.to_string(),
        "partitionKey" => envelope.partition_key.to_string(),
        "subject" => stored.stream.key().to_owned(),
        "tenant" => envelope.tenant.as_deref()?.to_owned(),
        "userId" => envelope.user_id.as_deref()?.to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Place;

    fn value_of(text: &str) -> Result<Json, HandlerError> {
        let names = Names { fields: BTreeMap::from([("n".to_owned(), false)]), open: false, types: None };
        let word = Word { at: Place::default(), text: text.to_owned() };
        let expression = Expression::read(&word, &names).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        expression.value(&Over::Item(&BTreeMap::from([("n".to_owned(), Json::from(i64::MIN))])))
    }

    #[test]
    fn what_others_write_for_operators_stays_as_it_is_within_texts() {
        for text in [
            "'a and b' === 'a and b'",
            r"'it\'s and === not' == 'it\'s and === not'",
            "\"x or 'y'\" !== 'x or y'",
            "not false and (false OR true)",
            "!(1 == 2)",
        ] {
            assert_eq!(value_of(text), Ok(Json::Bool(true)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_computed_fails_and_does_not_panic() {
        for text in [
            "1 / 0",
            "1 % 0",
            "n / -1",
            "-n",
            "n - 1",
            "n * 2",
            "int('9999999999999999999999')",
            "'a' + 1",
            "n.x.y + 1",
            "[1][5]",
            "{'a': 1}.b + 1",
            "size(1)",
            "1 < 'a'",
            "true ? 1 / 0 : 1",
            "1.size()",
            "string([1])",
        ] {
            assert!(value_of(text).is_err(), "{text}: {:?}", value_of(text));
        }
    }
}
