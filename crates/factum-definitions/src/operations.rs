//! The operations of a pipeline, in every shape in which people write them.

use crate::{
    Problem,
    words::{folded, hint, truth},
    yaml::{Is, Node, Place, Word},
};

/// One operation, before its names are known.
#[derive(Debug)]
pub enum Operation {
    /// Only items for which it holds go on.
    Filter(Word),
    /// Fields of the new item, with what they are.
    Map(Vec<(Word, Word)>),
    Aggregate(Box<Settings>),
}

/// What an aggregate says, each with its place.
#[derive(Debug, Default)]
pub struct Settings {
    pub at: Place,
    pub by: Vec<Word>,
    pub functions: Vec<Wanted>,
    pub window: Option<Word>,
    pub every: Option<Word>,
    pub lateness: Option<Word>,
    pub emit: Option<Word>,
    pub most: Option<Word>,
}

/// A function of an aggregate.
#[derive(Debug)]
pub struct Wanted {
    pub function: Word,
    /// What it is of; a count may be of nothing.
    pub of: Option<Word>,
    /// The name of the result, if said.
    pub name: Option<String>,
}

const OPERATIONS: [&str; 4] = ["filter", "map", "aggregate", "window"];

/// Reads the value of `operations`.
pub fn read(node: &Node, problems: &mut Vec<Problem>) -> Vec<Operation> {
    let mut reader = Reader { operations: Vec::new(), problems };
    match &node.is {
        Is::List(items) => items.iter().for_each(|item| reader.item(item)),
        Is::Map(entries) => entries.iter().for_each(|(word, value)| reader.operation(word, value)),
        _ => {
            reader.wrong(node.at, format!("`operations` is a list, such as `- filter: …`, and this is {}", node.kind()))
        }
    }
    reader.operations
}

struct Reader<'a> {
    operations: Vec<Operation>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, at: Place, sentence: String) {
        self.problems.push(Problem::at(at, sentence));
    }

    fn item(&mut self, node: &Node) {
        match &node.is {
            Is::Text(text) => {
                // `filter total > 5`, `aggregate(group by customer, sum total)`
                let text = text.trim();
                let end = text.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(text.len());
                let (name, rest) = text.split_at(end);
                let rest = rest.trim_start_matches(':').trim();
                let bracketed = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
                let rest = bracketed.filter(|inner| !inner.contains([')', '('])).unwrap_or(rest);
                let value = Node { at: node.at, is: Is::Text(rest.to_owned()) };
                self.operation(&Word { at: node.at, text: name.to_owned() }, &value);
            }
            Is::Map(entries) => {
                let named = entries.iter().find(|(word, value)| {
                    matches!(&*folded(&word.text), "type" | "operation" | "op" | "operator" | "kind")
                        && value.text().is_some_and(|text| operation(text).is_some() || entries.len() > 1)
                });
                match named {
                    Some((word, value)) => {
                        let rest = entries.iter().filter(|(other, _)| other.at != word.at).cloned().collect();
                        let Some(name) = value.word() else { return };
                        self.operation(&name, &Node { at: node.at, is: Is::Map(rest) });
                    }
                    None => entries.iter().for_each(|(word, value)| self.operation(word, value)),
                }
            }
            _ => self.wrong(node.at, format!("an operation is a map such as `filter: …`, and this is {}", node.kind())),
        }
    }

    fn operation(&mut self, name: &Word, value: &Node) {
        match operation(&name.text) {
            Some("filter") => self.filter(name.at, value),
            Some("map") => self.map(name.at, value),
            Some("aggregate") => {
                let settings = self.last(name.at);
                self.settings(settings, name.at, value);
            }
            Some("window") => {
                let settings = self.last(name.at);
                self.window(settings, value);
            }
            _ => {
                // `group_by: x` and `sum: y` stand as operations of their own in some.
                let settings = self.last(name.at);
                self.setting(settings, name, value);
            }
        }
    }

    /// The place of the aggregate that is under way, or of a new one.
    fn last(&mut self, at: Place) -> usize {
        if !matches!(self.operations.last(), Some(Operation::Aggregate(_))) {
            self.operations.push(Operation::Aggregate(Box::new(Settings { at, ..Settings::default() })));
        }
        self.operations.len() - 1
    }

    fn filter(&mut self, at: Place, value: &Node) {
        let found = match &value.is {
            Is::Text(_) => value.word(),
            Is::Map(entries) => {
                let is = |word: &Word| {
                    matches!(
                        &*folded(&word.text),
                        "condition" | "expression" | "where" | "predicate" | "if" | "when" | "expr" | "by"
                    )
                };
                let found = entries.iter().find(|(word, _)| is(word)).and_then(|(_, value)| value.word());
                // `filter: {type: order.created}` says what fields are.
                found.or_else(|| equalities(entries))
            }
            _ => None,
        };
        match found {
            Some(word) => self.operations.push(Operation::Filter(word)),
            None => self.wrong(at, "a filter has a condition, as in `filter: \"total.amount > 1000\"`".to_owned()),
        }
    }

    fn map(&mut self, at: Place, value: &Node) {
        let mut fields = Vec::new();
        self.fields(value, &mut fields);
        match fields.is_empty() {
            true => {
                self.wrong(at, "a map names fields, as in `map: { customer: customerId, amount: total }`".to_owned())
            }
            false => self.operations.push(Operation::Map(fields)),
        }
    }

    fn fields(&mut self, value: &Node, out: &mut Vec<(Word, Word)>) {
        let last = |word: &Word| {
            let text = word.text.rsplit('.').next().unwrap_or_default().to_owned();
            Word { at: word.at, text }
        };
        match &value.is {
            Is::Text(text) => {
                let text = text.trim().trim_start_matches("to ").trim_start_matches('{').trim_end_matches('}');
                for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                    let word = |text: &str| Word { at: value.at, text: text.trim().to_owned() };
                    match part.split_once(':').or_else(|| part.split_once(" as ").map(|(of, name)| (name, of))) {
                        Some((name, of)) => out.push((word(name), word(of))),
                        None => out.push((last(&word(part)), word(part))),
                    }
                }
            }
            Is::List(items) => items.iter().for_each(|item| self.fields(item, out)),
            Is::Map(entries) => {
                for (word, of) in entries {
                    let wraps = matches!(
                        &*folded(&word.text),
                        "fields" | "mapping" | "select" | "to" | "expression" | "transform" | "output" | "projection"
                    );
                    match &of.is {
                        Is::Map(_) | Is::List(_) if wraps => self.fields(of, out),
                        Is::Text(_) if wraps && entries.len() == 1 => self.fields(of, out),
                        Is::Text(text) => out.push((word.clone(), Word { at: of.at, text: text.clone() })),
                        Is::Nothing => out.push((last(word), word.clone())),
                        _ => self.wrong(
                            of.at,
                            format!("`{}` is an expression such as `customerId`, and this is {}", word.text, of.kind()),
                        ),
                    }
                }
            }
            Is::Nothing => {}
        }
    }

    fn with(&mut self, settings: usize, change: impl FnOnce(&mut Settings)) {
        if let Some(Operation::Aggregate(settings)) = self.operations.get_mut(settings) {
            change(settings);
        }
    }

    fn settings(&mut self, settings: usize, at: Place, value: &Node) {
        match &value.is {
            Is::Text(text) => self.spoken(settings, value.at, text),
            Is::Map(entries) => self.entries(settings, entries),
            Is::List(items) => items.iter().for_each(|item| self.settings(settings, at, item)),
            Is::Nothing => self.wrong(
                at,
                "an aggregate says what of, as in `aggregate: { group_by: customer, sum: amount }`".to_owned(),
            ),
        }
    }

    fn entries(&mut self, settings: usize, entries: &[(Word, Node)]) {
        let find = |words: &[&str]| entries.iter().find(|(word, _)| words.contains(&&*folded(&word.text)));
        let function = find(&["function", "func", "fn", "aggregation", "aggregator", "method"]);
        let field = find(&["field", "of", "value", "on", "column"]);
        let name = find(&["as", "name", "alias", "output", "into"]);
        let mut done: Vec<Place> = Vec::new();
        if let Some((word, value)) = function.filter(|(_, value)| value.text().is_some()) {
            done.push(word.at);
            done.extend([field, name].into_iter().flatten().map(|(word, _)| word.at));
            let named = name.and_then(|(_, value)| value.text()).map(str::to_owned);
            if let Some(called) = value.word() {
                match (call(&called), field.and_then(|(_, value)| value.word())) {
                    (Some(wanted), _) => self.want(settings, Wanted { name: named, ..wanted }),
                    (None, of) => self.want(settings, Wanted { function: called, of, name: named }),
                }
            }
        }
        for (word, value) in entries.iter().filter(|(word, _)| !done.contains(&word.at)) {
            self.setting(settings, word, value);
        }
    }

    fn want(&mut self, settings: usize, wanted: Wanted) {
        self.with(settings, |settings| settings.functions.push(wanted));
    }

    /// A setting that is one value.
    fn one(&mut self, settings: usize, word: &Word, value: &Node, change: impl FnOnce(&mut Settings, Word)) {
        match value.word() {
            Some(single) => self.with(settings, |settings| change(settings, single)),
            None => self.wrong(value.at, format!("`{}` is one value, and this is {}", word.text, value.kind())),
        }
    }

    fn setting(&mut self, settings: usize, word: &Word, value: &Node) {
        let key = folded(&word.text);
        match &*key {
            "groupby" | "by" | "key" | "keyby" | "group" | "partitionby" | "groupbyfields" => self.by(settings, value),
            "window" | "windows" | "windowing" => self.window(settings, value),
            "every" | "slide" | "hop" | "advance" => {
                self.one(settings, word, value, |settings, every| settings.every = Some(every));
            }
            "lateness" | "allowedlateness" | "late" | "lateby" | "grace" | "graceperiod" | "watermark" => {
                self.one(settings, word, value, |settings, lateness| settings.lateness = Some(lateness));
            }
            "emit" | "emits" | "tell" | "output" | "trigger" => {
                self.one(settings, word, value, |settings, emit| settings.emit = Some(emit));
            }
            "finalonly" | "final" => match value.text().and_then(truth) {
                Some(is) => {
                    let text = if is { "final" } else { "changes" }.to_owned();
                    self.with(settings, |settings| settings.emit = Some(Word { at: value.at, text }));
                }
                None => self.wrong(value.at, format!("`{}` is `true` or `false`", word.text)),
            },
            "most" | "maxkeys" | "limit" | "maxgroups" => {
                self.one(settings, word, value, |settings, most| settings.most = Some(most));
            }
            "aggregations" | "functions" | "aggregates" | "metrics" | "values" | "function" | "aggregation" => {
                self.settings(settings, word.at, value);
            }
            _ => self.function(settings, word, value, &key),
        }
    }

    /// `sum: amount`, `count: true`, `total: sum(amount)`, `total: { sum: amount }`.
    fn function(&mut self, settings: usize, word: &Word, value: &Node, key: &str) {
        let known = crate::totals::Function::read(key).is_some();
        let named = |wanted: Wanted| Wanted { name: Some(word.text.clone()), ..wanted };
        match &value.is {
            Is::Text(text) => match call(&Word { at: value.at, text: text.clone() }) {
                Some(wanted) => self.want(settings, named(wanted)),
                None if known => {
                    let bare = truth(text) == Some(true) || matches!(&**text, "*" | "");
                    let of = value.word().filter(|_| !(bare && key == "count"));
                    self.want(settings, Wanted { function: word.clone(), of, name: None });
                }
                None => self.unknown(word),
            },
            Is::List(items) if known => {
                for of in items.iter().filter_map(Node::word) {
                    self.want(settings, Wanted { function: word.clone(), of: Some(of), name: None });
                }
            }
            Is::Nothing if known => self.want(settings, Wanted { function: word.clone(), of: None, name: None }),
            Is::Map(entries) if known => {
                let find = |words: &[&str]| {
                    entries
                        .iter()
                        .find(|(word, _)| words.contains(&&*folded(&word.text)))
                        .and_then(|(_, value)| value.word())
                };
                let (of, name) = (find(&["field", "of", "value", "on"]), find(&["as", "name", "alias"]));
                self.want(settings, Wanted { function: word.clone(), of, name: name.map(|name| name.text) });
            }
            Is::Map(entries) => match &entries[..] {
                [(function, of)] if crate::totals::Function::read(&folded(&function.text)).is_some() => {
                    self.want(settings, named(Wanted { function: function.clone(), of: of.word(), name: None }));
                }
                _ => self.unknown(word),
            },
            _ => self.unknown(word),
        }
    }

    fn unknown(&mut self, word: &Word) {
        let settings = ["group_by", "window", "every", "lateness", "emit", "most"];
        let known = OPERATIONS.into_iter().chain(settings).chain(crate::totals::Function::ALL);
        let hint = hint(&word.text, known);
        self.wrong(word.at, format!("`{}` is neither an operation nor a setting of an aggregate: {hint}", word.text));
    }

    fn by(&mut self, settings: usize, value: &Node) {
        let words: Vec<Word> = match &value.is {
            Is::Text(text) => {
                let word = |part: &str| Word { at: value.at, text: part.trim().to_owned() };
                text.split(',').map(word).filter(|word| !word.text.is_empty()).collect()
            }
            Is::List(items) => items.iter().filter_map(Node::word).collect(),
            _ => Vec::new(),
        };
        if words.is_empty() {
            self.wrong(
                value.at,
                "`group_by` names one field or a list of them; leave it out for one group of all".to_owned(),
            );
        }
        self.with(settings, |settings| settings.by.extend(words));
    }

    fn window(&mut self, settings: usize, value: &Node) {
        match &value.is {
            Is::Text(text) => {
                // `tumbling 1h`, `tumbling(1h)`, `1h`
                let words: Vec<&str> = text.split(['(', ')', ',']).map(str::trim).collect();
                let bare = |word: &str| {
                    ["tumbling", "hopping", "sliding"]
                        .iter()
                        .find_map(|kind| word.strip_prefix(kind))
                        .unwrap_or(word)
                        .trim()
                        .to_owned()
                };
                let mut sizes = words.into_iter().map(bare).filter(|word| !word.is_empty());
                let word = |text: String| Word { at: value.at, text };
                let (size, every) = (sizes.next().map(word), sizes.next().map(word));
                self.with(settings, |settings| {
                    settings.window = size;
                    settings.every = every.or(settings.every.take());
                });
            }
            Is::Map(entries) => {
                for (word, of) in entries {
                    match &*folded(&word.text) {
                        "size" | "duration" | "length" | "tumbling" => {
                            self.one(settings, word, of, |settings, size| settings.window = Some(size));
                        }
                        "type" | "kind" => match of.text().map(folded).as_deref() {
                            Some("tumbling" | "hopping" | "sliding" | "fixed") => {}
                            _ => self
                                .wrong(of.at, "a window is `tumbling` or `hopping`; sessions are not read".to_owned()),
                        },
                        _ => self.setting(settings, word, of),
                    }
                }
            }
            _ => self.wrong(value.at, "a window has a size, as in `window: 1h`".to_owned()),
        }
    }

    /// `group by customerId, sum totalAmount`, in any order.
    fn spoken(&mut self, settings: usize, at: Place, text: &str) {
        let word = |text: &str| Word { at, text: text.trim().to_owned() };
        let mut grouping = false;
        for part in text.split([',', ';']).flat_map(|part| divided(part.trim())) {
            // Other letters change their lengths.
            let folded_part = part.to_ascii_lowercase();
            let by =
                ["group by ", "grouped by ", "by ", "per "].iter().find_map(|start| folded_part.strip_prefix(start));
            if let Some(by) = by {
                let by = word(&part[part.len() - by.len()..]);
                self.with(settings, |settings| settings.by.push(by));
                grouping = true;
                continue;
            }
            let called = word(part);
            let spoken = part.split_once(' ').map(|(function, of)| (function, of.trim().trim_start_matches("of ")));
            match (call(&called), spoken) {
                (Some(wanted), _) => {
                    self.want(settings, wanted);
                    grouping = false;
                }
                (None, Some(("window", of))) => self.with(settings, |settings| settings.window = Some(word(of))),
                (None, Some(("lateness", of))) => self.with(settings, |settings| settings.lateness = Some(word(of))),
                (None, Some((function, of)))
                    if !grouping || crate::totals::Function::read(&folded(function)).is_some() =>
                {
                    self.want(settings, Wanted { function: word(function), of: Some(word(of)), name: None });
                    grouping = false;
                }
                (None, None) if grouping => self.with(settings, |settings| settings.by.push(called)),
                (None, None) if folded(part) == "count" => {
                    self.want(settings, Wanted { function: called, of: None, name: None })
                }
                _ => self
                    .wrong(at, format!("`{part}` is not understood: write it as in `group by customerId, sum total`")),
            }
        }
    }
}

/// `sum(total) by customer` is two parts.
fn divided(part: &str) -> Vec<&str> {
    let starts = [" group by ", " grouped by ", " by ", " per "];
    let lower = part.to_ascii_lowercase();
    let is_grouping = starts.iter().any(|start| lower.starts_with(start.trim_start()));
    match starts.iter().filter_map(|start| lower.find(start)).min() {
        Some(at) if !is_grouping => vec![part[..at].trim(), part[at..].trim()],
        _ => vec![part],
    }
}

/// `sum(total)`.
fn call(word: &Word) -> Option<Wanted> {
    let (function, rest) = word.text.split_once('(')?;
    let of = rest.trim_end().strip_suffix(')')?.trim();
    let at = word.at;
    let of = Some(of).filter(|of| !matches!(*of, "" | "*")).map(|of| Word { at, text: of.to_owned() });
    Some(Wanted { function: Word { at, text: function.trim().to_owned() }, of, name: None })
}

/// `{type: order.created, status: paid}` as an expression.
fn equalities(entries: &[(Word, Node)]) -> Option<Word> {
    let part = |(word, value): &(Word, Node)| {
        let text = value.text()?;
        let literal = match text.parse::<i64>().is_ok() || matches!(text, "true" | "false") {
            true => text.to_owned(),
            false => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        };
        Some(format!("{} == {literal}", word.text))
    };
    let parts: Vec<String> = entries.iter().map(part).collect::<Option<_>>()?;
    let at = entries.first()?.0.at;
    Some(Word { at, text: parts.join(" && ") })
}

/// The operation that is meant.
fn operation(word: &str) -> Option<&'static str> {
    Some(match &*folded(word) {
        "filter" | "where" => "filter",
        "map" | "select" | "transform" | "project" => "map",
        "aggregate" | "reduce" | "aggregation" => "aggregate",
        "window" | "windowing" => "window",
        _ => return None,
    })
}
