//! Services: what a definition says of them, compared with the program. Nothing of them runs: who reads what is the program's own, and
//! a definition of it is a contract that is checked.

use std::{collections::BTreeSet, fmt::Write as _};

use crate::{
    Problem,
    known::{EventType, Known},
    words::{folded, hint},
    yaml::{Node, Word, entries, words},
};

/// `service`, `publishes`, `consumes`.
pub struct Party {
    name: Word,
    publishes: Vec<Word>,
    consumes: Vec<Word>,
}

impl Party {
    pub fn read(node: &Node, name: Option<Word>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let (mut name, mut publishes, mut consumes) = (name, Vec::new(), Vec::new());
        for (word, value) in entries(node, "service") {
            match &*folded(&word.text) {
                "service" | "name" | "id" => match value.word() {
                    Some(text) => name = Some(text),
                    None => problems.push(Problem::at(
                        value.at,
                        format!("`{}` is a name, and this is {}", word.text, value.kind()),
                    )),
                },
                "publishes" | "produces" | "emits" => publishes = words(word, value, &mut problems),
                "consumes" | "subscribes" | "subscribesto" | "reads" => consumes = words(word, value, &mut problems),
                "description" | "version" | "comment" | "owner" => {}
                _ => {
                    let hint = hint(&word.text, ["service", "publishes", "consumes", "description"]);
                    problems.push(Problem::at(word.at, format!("a service has no `{}`: {hint}", word.text)));
                }
            }
        }
        match name {
            Some(name) if problems.is_empty() => Ok(Self { name, publishes, consumes }),
            Some(_) => Err(problems),
            None => {
                problems.push(Problem::at(node.at, "the service has no name: add `service: order-service`".to_owned()));
                Err(problems)
            }
        }
    }

    /// What it says must be so in the program.
    pub fn check(&self, known: &Known) -> Vec<Problem> {
        let Some(service) = known.party(&self.name.text) else {
            let hint = hint(&self.name.text, known.services.keys().map(String::as_str));
            return vec![Problem::at(self.name.at, format!("there is no service `{}`: {hint}", self.name.text))];
        };
        let mut problems = Vec::new();
        for word in &self.publishes {
            let Some(event) = event(known, word, &mut problems) else { continue };
            if !event.makers.contains(service) {
                let owner = match event.makers.iter().next() {
                    Some(maker) => format!("{maker} does"),
                    None => "nobody here does".to_owned(),
                };
                let name = event.info.name;
                problems.push(Problem::at(
                    word.at,
                    format!("{service} does not publish `{name}`, {owner}: take it out of `publishes`"),
                ));
            }
        }
        for word in &self.consumes {
            let Some(event) = event(known, word, &mut problems) else { continue };
            if !event.readers.contains(service) {
                let reads =
                    known.events.values().filter(|event| event.readers.contains(service)).map(|event| event.info.name);
                let reads = list(reads);
                let name = event.info.name;
                problems.push(Problem::at(word.at, format!("{service} does not read `{name}`: it reads {reads}")));
            }
        }
        problems
    }
}

/// A type by exactly its name, in any spelling.
fn event<'a>(known: &'a Known, word: &Word, problems: &mut Vec<Problem>) -> Option<&'a EventType> {
    let found = known.events.values().find(|event| folded(event.info.name) == folded(&word.text));
    if found.is_none() {
        let hint = hint(&word.text, known.events.keys().copied());
        problems.push(Problem::at(word.at, format!("there is no event `{}`: {hint}", word.text)));
    }
    found
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.collect();
    if names.is_empty() { "nothing".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(", ") }
}

/// All services with what they publish and consume.
pub fn describe(known: &Known) -> String {
    let mut out = String::new();
    for service in known.services.keys() {
        let names = |is: fn(&EventType) -> &BTreeSet<String>| {
            let names = known.events.values().filter(|event| is(event).contains(service)).map(|event| event.info.name);
            names.collect::<Vec<_>>().join(", ")
        };
        let (publishes, consumes) = (names(|event| &event.makers), names(|event| &event.readers));
        let _ = writeln!(out, "---\nservice: {service}\npublishes: [{publishes}]\nconsumes: [{consumes}]");
    }
    out
}
