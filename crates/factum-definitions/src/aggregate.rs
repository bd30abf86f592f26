//! An aggregate's settings: checked against what names there are.

use std::time::Duration;

use factum_core::pipeline::Windows;

use crate::{
    Problem,
    expression::{Expression, Names},
    known::Fields,
    operations::Settings,
    totals::Function,
    words::{duration, folded, hint},
    yaml::{Place, Word},
};

/// What is checked of an aggregate.
pub struct Aggregate {
    pub by: Vec<Part>,
    pub parts: Vec<Part>,
    pub functions: Vec<Function>,
    pub windows: Option<Windows>,
    pub most: Option<u64>,
}

/// A named value of an item.
#[derive(Clone)]
pub struct Part {
    pub name: String,
    pub expression: Option<Expression>,
}

impl Aggregate {
    /// The fields of its results, and whether each is an amount of money as far as names tell.
    pub fn fields(&self) -> Fields {
        let money = |part: &Part| part.expression.as_ref().is_some_and(|expression| expression.money);
        let results = self.parts.iter().zip(&self.functions);
        let results = results.map(|(part, function)| (part.name.clone(), *function != Function::Count && money(part)));
        let groups = self.by.iter().map(|part| (part.name.clone(), money(part)));
        let mut fields: Fields = groups.chain(results).collect();
        fields.insert("count".to_owned(), false);
        if self.windows.is_some() {
            fields.insert("window".to_owned(), false);
        }
        fields
    }
}

/// Checks an aggregate; all its problems are told.
pub fn checked(settings: &Settings, names: &Names, problems: &mut Vec<Problem>) -> Option<Aggregate> {
    let before = problems.len();
    let mut taken: Vec<String> = vec!["count".to_owned(), "window".to_owned()];
    let mut by = Vec::new();
    for word in &settings.by {
        match Expression::read(word, names) {
            Ok(expression) => {
                let name = expression.name.clone().unwrap_or_else(|| last(&word.text));
                claim(&mut taken, &name, word.at, problems);
                by.push(Part { name, expression: Some(expression) });
            }
            Err(wrong) => problems.extend(wrong),
        }
    }
    let (mut parts, mut functions) = (Vec::new(), Vec::new());
    for wanted in &settings.functions {
        let word = &wanted.function;
        let Some(function) = Function::read(&folded(&word.text)) else {
            problems.push(Problem::at(
                word.at,
                format!("`{}` is no function of an aggregate: {}", word.text, hint(&word.text, Function::ALL)),
            ));
            continue;
        };
        if wanted.of.is_none() && function != Function::Count {
            problems.push(Problem::at(
                word.at,
                format!("`{}` needs a field, as in `{}: amount`", word.text, function.name()),
            ));
            continue;
        }
        let expression = match wanted.of.as_ref().map(|of| Expression::read(of, names)) {
            None => None,
            Some(Ok(expression)) => Some(expression),
            Some(Err(wrong)) => {
                problems.extend(wrong);
                continue;
            }
        };
        let named = wanted.name.clone().unwrap_or_else(|| match &expression {
            Some(expression) => joined(function, &expression.name.clone().unwrap_or_default()),
            None => "count".to_owned(),
        });
        if expression.is_none() && named == "count" {
            // It is always told.
            continue;
        }
        claim(&mut taken, &named, word.at, problems);
        parts.push(Part { name: named, expression });
        functions.push(function);
    }
    let windows = windows(settings, problems);
    let most = settings.most.as_ref().and_then(|word| {
        let most = word.text.replace('_', "").parse().ok().filter(|most| *most > 0);
        if most.is_none() {
            problems.push(Problem::at(
                word.at,
                format!("`{}` is no number of groups: write a whole one such as 100000", word.text),
            ));
        }
        most
    });
    (problems.len() == before).then_some(Aggregate { by, parts, functions, windows, most })
}

fn claim(taken: &mut Vec<String>, name: &str, at: Place, problems: &mut Vec<Problem>) {
    if taken.iter().any(|known| known == name) {
        problems.push(Problem::at(at, format!("the result would have two fields `{name}`: name one with `as`")));
    }
    taken.push(name.to_owned());
}

fn windows(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Windows> {
    let before = problems.len();
    let mut read = |word: &Option<Word>, what: &str| -> Option<Duration> {
        let word = word.as_ref()?;
        let found = duration(&word.text);
        if found.is_none() {
            problems.push(Problem::at(
                word.at,
                format!("`{}` is no {what}: write it as in `10m`, `1h`, `1d` or `90 seconds`", word.text),
            ));
        }
        found
    };
    let (size, every) = (read(&settings.window, "length of a window"), read(&settings.every, "distance of windows"));
    let late_by = read(&settings.lateness, "lateness");
    let final_only = match settings.emit.as_ref().map(|word| (word, folded(&word.text))) {
        None => false,
        Some((_, text)) if matches!(&*text, "final" | "finalonly" | "onclose" | "close") => true,
        Some((_, text)) if matches!(&*text, "changes" | "change" | "everychange" | "updates" | "all") => false,
        Some((word, _)) => {
            problems.push(Problem::at(
                word.at,
                format!("`{}` is no way to tell results: write `changes` or `final`", word.text),
            ));
            false
        }
    };
    if problems.len() > before {
        return None;
    }
    let (Some(size), Some(place)) = (size, &settings.window) else {
        for word in [&settings.every, &settings.lateness].into_iter().flatten() {
            problems.push(Problem::at(word.at, "this belongs to a window: add `window: 1h`".to_owned()));
        }
        if let Some(word) = settings.emit.as_ref().filter(|_| final_only) {
            problems.push(Problem::at(
                word.at,
                "only a window has a final result: add `window: 1h`, or tell `changes`".to_owned(),
            ));
        }
        return None;
    };
    let windows = Windows::hopping(size, every.unwrap_or(size)).late_by(late_by.unwrap_or_default());
    if let Some(problem) = windows.problem() {
        problems.push(Problem::at(place.at, problem));
    }
    Some(if final_only { windows.final_only() } else { windows })
}

/// The last word of a path.
fn last(text: &str) -> String {
    text.rsplit('.').next().unwrap_or_default().trim().to_owned()
}

/// `sum` of `amount` is `sumAmount`.
fn joined(function: Function, of: &str) -> String {
    let mut chars = of.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{}{first}{}", function.name(), chars.as_str())
}
