//! A saga's definition as it is written: its steps, each with who is asked for what, and what undoes it.

use std::time::Duration;

use crate::{
    Problem,
    words::{duration, folded, hint},
    yaml::{Is, Node, Place, Word, entries, words},
};

const KEYS: [&str; 6] = ["saga", "version", "key", "start", "steps", "description"];
const STEP_KEYS: [&str; 14] = [
    "name",
    "service",
    "action",
    "compensation",
    "with",
    "reply",
    "refused",
    "timeout",
    "retry",
    "pivot",
    "beside",
    "bestEffort",
    "error",
    "description",
];
/// Steps that a saga may have.
const MOST_STEPS: usize = 64;

/// As it is written.
pub struct Saga {
    pub name: Word,
    pub version: u32,
    pub key: Option<Word>,
    pub start: Option<Word>,
    pub steps: Vec<Step>,
}

/// One step.
pub struct Step {
    pub at: Place,
    pub name: Option<Word>,
    pub service: Option<Word>,
    pub action: Word,
    pub undo: Undo,
    /// Fields of its commands, and the facts that they are made of.
    pub with: Vec<(Word, Word)>,
    pub done: Vec<Word>,
    pub refused: Vec<Word>,
    pub within: Option<Duration>,
    pub attempts: Option<u32>,
    pub pivot: bool,
    pub beside: bool,
    pub best_effort: bool,
    pub error: Option<Word>,
}

/// What undoes a step.
pub enum Undo {
    /// What the participant has declared.
    Declared,
    /// It is written that there is nothing to undo.
    Nothing,
    By(Word),
}

impl Saga {
    /// Reads a definition; `name` is what stands above it.
    pub fn read(node: &Node, name: Option<Word>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let (mut name, mut version, mut key, mut start, mut steps) = (name, 1, None, None, None);
        for (word, value) in entries(node, "saga") {
            let place = match &*folded(&word.text) {
                "saga" | "name" | "id" | "type" => &mut name,
                "key" | "correlationkey" | "instancekey" => &mut key,
                "start" | "startedby" | "startson" | "trigger" | "on" => &mut start,
                "version" => {
                    match value.text().and_then(whole) {
                        Some(number) => version = number,
                        None => problems.push(Problem::at(
                            value.at,
                            "the `version` of a saga is a whole number from 1: raise it when its steps change"
                                .to_owned(),
                        )),
                    }
                    continue;
                }
                "steps" => {
                    steps = Some(all(value, &mut problems));
                    continue;
                }
                "description" | "comment" | "owner" => continue,
                _ => {
                    let sentence = format!("a saga has no `{}`: {}", word.text, hint(&word.text, KEYS));
                    problems.push(Problem::at(word.at, sentence));
                    continue;
                }
            };
            take(place, word, value, &mut problems);
        }
        if steps.as_ref().is_none_or(Vec::is_empty) && problems.is_empty() {
            let remedy = "add `steps:` with `- { service: inventory, action: reserve, compensation: release }`";
            problems.push(Problem::at(node.at, format!("the saga has no steps: {remedy}")));
        }
        match (name, steps) {
            (Some(name), Some(steps)) if problems.is_empty() => Ok(Self { name, version, key, start, steps }),
            (None, _) => {
                problems.push(Problem::at(node.at, "the saga has no name: add `saga: checkout`".to_owned()));
                Err(problems)
            }
            _ => Err(problems),
        }
    }
}

fn take(place: &mut Option<Word>, word: &Word, value: &Node, problems: &mut Vec<Problem>) {
    match value.word() {
        Some(text) if !text.text.trim().is_empty() => *place = Some(text),
        _ => problems.push(Problem::at(value.at, format!("`{}` is a name, and this is {}", word.text, value.kind()))),
    }
}

/// A number from 1, also as `1.0`.
fn whole(text: &str) -> Option<u32> {
    let text = text.trim().trim_start_matches('v');
    text.strip_suffix(".0").unwrap_or(text).parse().ok().filter(|number| *number > 0)
}

/// All steps: a list, in which a list is steps that run beside each other, or a map of them by name.
fn all(node: &Node, problems: &mut Vec<Problem>) -> Vec<Step> {
    let mut steps = Vec::new();
    match &node.is {
        Is::List(items) => {
            for item in items {
                let (group, beside) = match &item.is {
                    Is::List(group) => (group.as_slice(), true),
                    _ => (std::slice::from_ref(item), false),
                };
                for (at, item) in group.iter().enumerate() {
                    let step = one(item, None, problems);
                    steps.extend(step.map(|step| Step { beside: step.beside || beside && at > 0, ..step }));
                }
            }
        }
        Is::Map(named) => {
            steps.extend(named.iter().filter_map(|(word, value)| one(value, Some(word.clone()), problems)));
        }
        _ => {
            let sentence = format!("`steps` is a list, and this is {}: begin each with `- service: …`", node.kind());
            problems.push(Problem::at(node.at, sentence));
        }
    }
    if let Some(step) = steps.get(MOST_STEPS) {
        let sentence =
            format!("this is more than {MOST_STEPS} steps: divide the saga, and start the second by the first's end");
        problems.push(Problem::at(step.at, sentence));
    }
    steps
}

fn one(node: &Node, name: Option<Word>, problems: &mut Vec<Problem>) -> Option<Step> {
    let fields = match &node.is {
        // A bare command.
        Is::Text(_) => {
            let mut step = empty(node.at);
            (step.name, step.action) = (name, node.word()?);
            return Some(step);
        }
        // The name above what it names.
        Is::Map(fields) => match fields.as_slice() {
            [(word, Node { is: Is::Map(inner), .. })] if name.is_none() => {
                return step(node.at, inner, Some(word.clone()), problems);
            }
            fields => fields,
        },
        _ => {
            let sentence =
                format!("a step is a map of `service`, `action` and `compensation`, and this is {}", node.kind());
            problems.push(Problem::at(node.at, sentence));
            return None;
        }
    };
    step(node.at, fields, name, problems)
}

fn empty(at: Place) -> Step {
    Step {
        at,
        name: None,
        service: None,
        action: Word { at, text: String::new() },
        undo: Undo::Declared,
        with: Vec::new(),
        done: Vec::new(),
        refused: Vec::new(),
        within: None,
        attempts: None,
        pivot: false,
        beside: false,
        best_effort: false,
        error: None,
    }
}

fn step(at: Place, fields: &[(Word, Node)], name: Option<Word>, problems: &mut Vec<Problem>) -> Option<Step> {
    let mut step = Step { name, ..empty(at) };
    let mut action = None;
    for (word, value) in fields {
        let flag = |place: &mut bool, problems: &mut Vec<Problem>| match value.text().map(folded).as_deref() {
            Some("true" | "yes") => *place = true,
            Some("false" | "no") => *place = false,
            _ => problems.push(Problem::at(value.at, format!("`{}` is `true` or `false`", word.text))),
        };
        match &*folded(&word.text) {
            "name" | "step" | "id" => take(&mut step.name, word, value, problems),
            "service" | "participant" => take(&mut step.service, word, value, problems),
            "action" | "command" | "send" | "operation" => take(&mut action, word, value, problems),
            "error" | "failsas" => take(&mut step.error, word, value, problems),
            "compensation" | "undo" | "compensate" | "rollback" => step.undo = undo(word, value, problems),
            "with" | "data" | "input" | "inputs" => step.with = with(word, value, problems),
            "reply" | "replies" | "done" | "onsuccess" | "success" => step.done = words(word, value, problems),
            "refused" | "failure" | "onfailure" => step.refused = words(word, value, problems),
            "timeout" | "within" | "limit" => match value.text().and_then(duration) {
                Some(limit) if !limit.is_zero() => step.within = Some(limit),
                _ => problems.push(Problem::at(
                    value.at,
                    format!("`{}` is a span of time such as `30s` or `5 minutes`", word.text),
                )),
            },
            "retry" | "retries" | "attempts" | "undoattempts" => match attempts(value) {
                Some(number) => step.attempts = Some(number),
                None => problems.push(Problem::at(
                    value.at,
                    format!("`{}` is how often the compensation is sent at most: a number from 1", word.text),
                )),
            },
            "pivot" => flag(&mut step.pivot, problems),
            "beside" | "parallel" => flag(&mut step.beside, problems),
            "besteffort" | "optional" => flag(&mut step.best_effort, problems),
            "description" | "comment" => {}
            _ => {
                let sentence = format!("a step has no `{}`: {}", word.text, hint(&word.text, STEP_KEYS));
                problems.push(Problem::at(word.at, sentence));
            }
        }
    }
    match action {
        Some(action) => step.action = action,
        None => {
            let remedy = "add `action:` with the command that it sends, such as `reserve`";
            problems.push(Problem::at(at, format!("the step has no action: {remedy}")));
            return None;
        }
    }
    if step.pivot && step.best_effort {
        let sentence = "the step is the pivot and `bestEffort`: nothing can hang on it then, so choose one".to_owned();
        problems.push(Problem::at(at, sentence));
    }
    Some(step)
}

fn undo(word: &Word, value: &Node, problems: &mut Vec<Problem>) -> Undo {
    match (&value.is, value.text().map(folded).as_deref()) {
        (Is::Nothing, _) | (_, Some("" | "none" | "nothing")) => Undo::Nothing,
        // `{ service: …, action: … }` names one too.
        (Is::Map(fields), _) => {
            let action = fields.iter().find(|(word, _)| matches!(&*folded(&word.text), "action" | "command"));
            match action.and_then(|(_, value)| value.word()) {
                Some(word) => Undo::By(word),
                None => {
                    let sentence =
                        format!("`{}` names a command: write `{}: release`, or `none`", word.text, word.text);
                    problems.push(Problem::at(value.at, sentence));
                    Undo::Nothing
                }
            }
        }
        _ => {
            let mut found = None;
            take(&mut found, word, value, problems);
            found.map_or(Undo::Nothing, Undo::By)
        }
    }
}

fn with(word: &Word, value: &Node, problems: &mut Vec<Problem>) -> Vec<(Word, Word)> {
    let Is::Map(fields) = &value.is else {
        let sentence = format!(
            "`{}` says which fact a field of the command is made of, as `{{ amount: total }}`, and this is {}",
            word.text,
            value.kind()
        );
        problems.push(Problem::at(value.at, sentence));
        return Vec::new();
    };
    let mut found = Vec::new();
    for (field, fact) in fields {
        let mut named = None;
        take(&mut named, field, fact, problems);
        found.extend(named.map(|fact| (field.clone(), fact)));
    }
    found
}

/// `3`, or `{ attempts: 3 }`.
fn attempts(node: &Node) -> Option<u32> {
    let text = match &node.is {
        Is::Map(fields) => fields
            .iter()
            .find(|(word, _)| matches!(&*folded(&word.text), "attempts" | "maxattempts" | "max" | "count"))?
            .1
            .text(),
        _ => node.text(),
    };
    text?.trim().parse().ok().filter(|number| (1..=1_000).contains(number))
}
