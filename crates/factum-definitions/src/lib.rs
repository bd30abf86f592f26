//! Definitions in YAML: pipelines, sagas, consumer groups and services, read as people write them, checked against a
//! program, and made into what runs.
//!
//! Generous in shape: keys in any case and with any separator, operations as a list of one-key maps, of maps with a `type`, or
//! as texts. Strict in meaning: what is not understood is a [`Problem`] with line, column and remedy, and all problems of
//! all files are told at once. Nothing is read from a clock, the environment or the network; files are read by who calls.
//!
//! Names that a definition brings are kept as long as the process runs: types and categories are `&'static str`.

mod aggregate;
mod expression;
mod flow;
mod group;
mod item;
mod known;
mod operations;
mod participants;
mod parties;
mod pipeline;
mod saga;
mod table;
#[cfg(test)]
mod tests;
mod totals;
mod values;
mod words;
mod yaml;

use std::fmt;

use factum_core::{envelope::Spellings, service::Service};

use group::Group;
use known::Known;
use participants::Participants;
use parties::Party;
use pipeline::Pipeline;
use saga::Saga;
use words::folded;
use yaml::{Is, Node, Place, Word};

/// The service that runs the pipelines of definitions.
pub const SERVICE: &str = "pipelines";

/// The service that runs the sagas of definitions.
pub const SAGAS: &str = "sagas";

/// The service that has the consumer groups of definitions.
pub const GROUPS: &str = "groups";

/// What is wrong with a definition, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// The sentence.
    pub sentence: String,
}

impl Problem {
    fn at(Place { line, column }: Place, sentence: String) -> Self {
        Self { file: String::new(), line, column, sentence }
    }

    fn in_file(self, file: &str) -> Self {
        Self { file: file.to_owned(), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.sentence)
    }
}

/// Definitions as they are written, of any number of files.
#[derive(Default)]
pub struct Definitions {
    pipelines: Vec<(String, Pipeline)>,
    sagas: Vec<(String, Saga)>,
    groups: Vec<(String, Group)>,
    parties: Vec<(String, Party)>,
    problems: Vec<Problem>,
}

impl Definitions {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing was defined, well or not.
    pub fn is_empty(&self) -> bool {
        self.pipelines.is_empty()
            && self.sagas.is_empty()
            && self.groups.is_empty()
            && self.parties.is_empty()
            && self.problems.is_empty()
    }

    /// Adds what a file defines. What is wrong with it is told by [`Definitions::resolve`], together with all else.
    #[must_use]
    pub fn add(mut self, file: &str, text: &str) -> Self {
        let mut found = Found::default();
        match yaml::read(text) {
            Err(problem) => found.problems.push(problem),
            Ok(documents) => documents.iter().for_each(|document| found.document(document)),
        }
        let of_file = |problem: Problem| problem.in_file(file);
        self.pipelines.extend(found.pipelines.into_iter().map(|it| (file.to_owned(), it)));
        self.sagas.extend(found.sagas.into_iter().map(|it| (file.to_owned(), it)));
        self.groups.extend(found.groups.into_iter().map(|it| (file.to_owned(), it)));
        self.parties.extend(found.parties.into_iter().map(|it| (file.to_owned(), it)));
        self.problems.extend(found.problems.into_iter().map(of_file));
        self
    }

    /// Checks them against the services of a program, and makes the services that run their pipelines, their sagas and their
    /// consumer groups, if there are any. What sagas call commands may be a spelling.
    ///
    /// # Errors
    /// All problems, by file and place.
    pub fn resolve(self, services: &[Service], spellings: &Spellings) -> Result<Vec<Service>, Vec<Problem>> {
        let Self { pipelines, sagas, groups, parties, mut problems } = self;
        let mut known = Known::of(services);
        let (service, wrong) = flow::service(pipelines, &mut known);
        problems.extend(wrong);
        let sagas = match table::service(&sagas, &known, &Participants::of(services, spellings)) {
            Ok(sagas) => sagas,
            Err(wrong) => {
                problems.extend(wrong);
                None
            }
        };
        let groups = group::service(&groups, &known).unwrap_or_else(|wrong| {
            problems.extend(wrong);
            None
        });
        for (file, party) in &parties {
            problems.extend(party.check(&known).into_iter().map(|problem| problem.in_file(file)));
        }
        problems.sort();
        problems.dedup();
        match problems.is_empty() {
            true => {
                let pipelines = Some(service).filter(|service| !service.foldings.is_empty());
                Ok(pipelines.into_iter().chain(sagas).chain(groups).collect())
            }
            false => Err(problems),
        }
    }
}

/// What the services of a program publish and consume, as definitions that [`Definitions`] reads.
pub fn describe(services: &[Service]) -> String {
    parties::describe(&Known::of(services))
}

#[derive(Default)]
struct Found {
    pipelines: Vec<Pipeline>,
    sagas: Vec<Saga>,
    groups: Vec<Group>,
    parties: Vec<Party>,
    problems: Vec<Problem>,
}

impl Found {
    fn document(&mut self, node: &Node) {
        match &node.is {
            Is::Nothing => {}
            Is::List(items) => items.iter().for_each(|item| self.document(item)),
            Is::Map(entries) => self.definition(node, entries),
            Is::Text(_) => self.unknown(node.at, "a text"),
        }
    }

    fn unknown(&mut self, at: Place, what: &str) {
        self.problems.push(Problem::at(
            at,
            format!(
                "this is {what} and no definition: one has `input_stream`, `operations` and `output_stream`, or `saga` and \
                 `steps`, or `consumer_group`, or `service` with `publishes` and `consumes`"
            ),
        ));
    }

    fn definition(&mut self, node: &Node, entries: &[(Word, Node)]) {
        let has = |words: &[&str]| entries.iter().any(|(word, _)| words.contains(&&*folded(&word.text)));
        if has(&["inputstream", "input", "operations", "outputstream"]) {
            return self.pipeline(node, None);
        }
        if has(&["steps"]) {
            return self.saga(node, None);
        }
        if has(&["consumergroup"]) {
            return self.group(node, None);
        }
        if has(&["publishes", "consumes"]) {
            return self.party(node, None);
        }
        for (word, value) in entries {
            match (&*folded(&word.text), &value.is) {
                ("pipeline" | "streamprocessing" | "streamprocessor" | "stream", Is::Map(_)) => {
                    self.pipeline(value, None)
                }
                ("pipelines" | "pipeline" | "streamprocessing" | "streams", _) => self.each(value, Self::pipeline),
                ("services", _) => self.each(value, Self::party),
                ("consumergroups", _) => self.each(value, Self::group),
                ("sagas", _) => self.each(value, Self::saga),
                ("saga", Is::Map(_)) => self.saga(value, None),
                ("saga", _) => self.saga(node, None),
                // The name above what it names.
                (_, Is::Map(inner)) if is_party(inner) => self.party(value, Some(word.clone())),
                (_, Is::Map(inner)) if is_saga(inner) => self.saga(value, Some(word.clone())),
                (_, Is::Map(inner)) if is_pipeline(inner) => self.pipeline(value, Some(word.clone())),
                _ => {
                    let known = ["pipeline", "pipelines", "saga", "sagas", "consumer_group", "service", "services"];
                    let sentence = format!("`{}` is no definition: {}", word.text, words::hint(&word.text, known));
                    self.problems.push(Problem::at(word.at, sentence));
                }
            }
        }
    }

    /// A list of definitions, or a map of them by name.
    fn each(&mut self, node: &Node, one: fn(&mut Self, &Node, Option<Word>)) {
        match &node.is {
            Is::List(items) => items.iter().for_each(|item| one(self, item, None)),
            Is::Map(entries) => entries.iter().for_each(|(word, value)| one(self, value, Some(word.clone()))),
            _ => self.unknown(node.at, node.kind()),
        }
    }

    fn pipeline(&mut self, node: &Node, name: Option<Word>) {
        let (pipeline, problems) = Pipeline::read(node, name);
        self.pipelines.extend(pipeline);
        self.problems.extend(problems);
    }

    fn saga(&mut self, node: &Node, name: Option<Word>) {
        match Saga::read(node, name) {
            Ok(saga) => self.sagas.push(saga),
            Err(problems) => self.problems.extend(problems),
        }
    }

    fn group(&mut self, node: &Node, name: Option<Word>) {
        match Group::read(node, name) {
            Ok(group) => self.groups.push(group),
            Err(problems) => self.problems.extend(problems),
        }
    }

    fn party(&mut self, node: &Node, name: Option<Word>) {
        match Party::read(node, name) {
            Ok(party) => self.parties.push(party),
            Err(problems) => self.problems.extend(problems),
        }
    }
}

fn is_party(entries: &[(Word, Node)]) -> bool {
    entries.iter().any(|(word, _)| matches!(&*folded(&word.text), "publishes" | "consumes"))
}

fn is_saga(entries: &[(Word, Node)]) -> bool {
    entries.iter().any(|(word, _)| folded(&word.text) == "steps")
}

/// A name for as long as the process runs.
fn kept(name: String) -> &'static str {
    Box::leak(name.into_boxed_str())
}

fn is_pipeline(entries: &[(Word, Node)]) -> bool {
    entries.iter().any(|(word, _)| matches!(&*folded(&word.text), "inputstream" | "outputstream" | "operations"))
}
