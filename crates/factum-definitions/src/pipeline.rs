//! A pipeline's definition: read, declared to the others, and made into what runs.

use std::{collections::BTreeMap, sync::Arc};

use factum_core::{
    envelope::{Draft, Stored, digest},
    error::HandlerError,
    id::{Name, check_name, check_type_name},
    payload::TypeInfo,
    pipeline::{Items, Pipeline as Running, Window},
    stream::check_category,
};
use serde_json::Map;

use crate::{
    Problem, SERVICE,
    aggregate::{Aggregate, checked},
    expression::{Expression, Names},
    item::{Item, Step},
    kept,
    known::{EventType, Fields, Known},
    operations::{self, Operation},
    totals::{Function, Totals},
    words::{folded, hint},
    yaml::{Is, Node, Place, Word},
};

const KEYS: [&str; 8] =
    ["pipeline", "input_stream", "operations", "output_stream", "output_type", "was", "offset_strategy", "description"];

/// The most operations, fields of a map, and fields and functions of an aggregate.
const MOST_PARTS: usize = 64;

/// As it is written.
pub struct Pipeline {
    name: Option<Word>,
    input: Word,
    output: Word,
    output_type: Option<Word>,
    /// Types that its results had before.
    was: Vec<Word>,
    offset: Option<Word>,
    operations: Vec<Operation>,
    /// Of all that it says, so that another meaning is another version.
    version: u32,
}

impl Pipeline {
    /// Reads a definition, as far as it can be: what is wrong with the rest of it is told too.
    pub fn read(node: &Node, name: Option<Word>) -> (Option<Self>, Vec<Problem>) {
        let Is::Map(entries) = &node.is else {
            return (
                None,
                vec![Problem::at(
                    node.at,
                    format!(
                        "a pipeline is a map of `input_stream`, `operations` and `output_stream`, and this is {}",
                        node.kind()
                    ),
                )],
            );
        };
        let mut problems = Vec::new();
        let (mut input, mut output, mut output_type, mut offset, mut named) = (None, None, None, None, name);
        let (mut operations, mut was) = (None, Vec::new());
        for (word, value) in entries {
            let place = match &*folded(&word.text) {
                "inputstream" | "input" | "source" | "from" | "instream" => &mut input,
                "outputstream" | "output" | "sink" | "target" | "outstream" => &mut output,
                "outputtype" | "outputevent" | "eventtype" => &mut output_type,
                "offsetstrategy" | "offset" | "startfrom" | "fromstart" => &mut offset,
                "pipeline" | "name" | "id" | "streamprocessing" | "processor" => &mut named,
                "operations" | "operators" | "steps" | "transformations" | "processing" => {
                    operations = Some(operations::read(value, &mut problems));
                    continue;
                }
                "was" | "formerly" => {
                    was = names(word, value, &mut problems);
                    continue;
                }
                "description" | "version" | "comment" | "owner" => continue,
                _ => {
                    let sentence = format!("a pipeline has no `{}`: {}", word.text, hint(&word.text, KEYS));
                    problems.push(Problem::at(word.at, sentence));
                    continue;
                }
            };
            match value.word() {
                Some(text) if !text.text.trim().is_empty() => *place = Some(text),
                _ => problems
                    .push(Problem::at(value.at, format!("`{}` is a name, and this is {}", word.text, value.kind()))),
            }
        }
        let mut wanted = |found: Option<Word>, what: &str, example: &str| {
            if found.is_none() {
                problems.push(Problem::at(node.at, format!("the pipeline has no `{what}`: add `{what}: {example}`")));
            }
            found
        };
        let input = wanted(input, "input_stream", "order-events");
        let output = wanted(output, "output_stream", "customer-order-totals");
        let aggregates = |operations: &Vec<Operation>| matches!(operations.last(), Some(Operation::Aggregate(_)));
        match &operations {
            None => problems.push(Problem::at(node.at, "the pipeline has no `operations`: add them, with an `aggregate` at the end".to_owned())),
            Some(operations) if !aggregates(operations) && problems.is_empty() => problems.push(Problem::at(
                node.at,
                "the last of the `operations` is an `aggregate`: add `- aggregate: { group_by: …, sum: … }`, or `count`".to_owned(),
            )),
            Some(_) => {}
        }
        bounded(operations.as_deref().unwrap_or_default(), node.at, &mut problems);
        let mut says = String::new();
        node.says(&mut says);
        let version = (digest("pipeline", says.as_bytes()) & 0x7fff_ffff) as u32;
        let read = input.zip(output).zip(operations).map(|((input, output), operations)| Self {
            name: named,
            input,
            output,
            output_type,
            was,
            offset,
            operations,
            version,
        });
        (read, problems)
    }

    /// The category of its results.
    fn category(&self) -> String {
        self.output.text.trim().to_lowercase().replace(['-', ' ', '.'], "_")
    }

    /// Its name, for sentences.
    pub fn name(&self) -> &Word {
        self.name.as_ref().unwrap_or(&self.output)
    }

    /// Where it says what it reads.
    pub fn input(&self) -> &Word {
        &self.input
    }

    /// The types that it reads; its own results are not among them.
    ///
    /// # Errors
    /// What to write instead, if nothing is known of its input.
    pub fn reads<'a>(&self, known: &'a Known) -> Result<Vec<&'a EventType>, String> {
        let own = self.type_name();
        Ok(known.stream(self.input.text.trim())?.into_iter().filter(|event| event.info.name != own).collect())
    }

    /// The type of its results.
    pub fn type_name(&self) -> String {
        self.output_type.as_ref().map_or_else(|| format!("{}.updated", self.category()), |word| word.text.clone())
    }

    /// Tells the others what it makes, so that they may read it.
    pub fn declare(&self, known: &mut Known) -> Vec<Problem> {
        let (category, type_name) = (self.category(), self.type_name());
        let mut problems = Vec::new();
        if let Err(error) = check_category(&category) {
            problems.push(Problem::at(self.output.at, format!("{error}")));
        }
        let name = self.name();
        if !known.pipelines.insert(folded(&name.text)) {
            let sentence = format!("there are two pipelines `{}`: give each a name of its own", name.text);
            problems.push(Problem::at(name.at, sentence));
        }
        let type_word = self.output_type.as_ref().unwrap_or(&self.output);
        if let Err(error) = check_type_name(&type_name) {
            problems.push(Problem::at(type_word.at, format!("{error}")));
        }
        if let Some(owner) = known.categories.get(&category) {
            let by = if owner == SERVICE { "another definition".to_owned() } else { format!("the service {owner}") };
            let sentence = format!("the streams `{category}` belong to {by}: choose another `output_stream`");
            problems.push(Problem::at(self.output.at, sentence));
        } else if let Some(event) = known.events.get(&*type_name).filter(|event| !event.makers.is_empty()) {
            let makers: Vec<&str> = event.makers.iter().map(String::as_str).collect();
            let sentence = format!("`{type_name}` is published by {}: choose another `output_type`", makers.join(", "));
            problems.push(Problem::at(type_word.at, sentence));
        }
        for word in &self.was {
            let sentence = match check_type_name(&word.text) {
                Err(error) => format!("{error}"),
                Ok(())
                    if word.text == type_name
                        || known.events.get(&*word.text).is_some_and(|it| !it.makers.is_empty()) =>
                {
                    format!(
                        "`{}` is a type of today: `was` names what results of this pipeline were called before",
                        word.text
                    )
                }
                Ok(()) => continue,
            };
            problems.push(Problem::at(word.at, sentence));
        }
        if !problems.is_empty() {
            return problems;
        }
        known.categories.insert(category, SERVICE.to_owned());
        let was: Vec<&'static str> = self.was.iter().map(|word| kept(word.text.clone())).collect();
        let info = TypeInfo { was: was.leak(), ..TypeInfo::new(kept(type_name), "1.0.0", || true.into()) };
        let event = EventType {
            info,
            makers: [SERVICE.to_owned()].into(),
            readers: Default::default(),
            // Known when it is built, in front of whatever reads it.
            fields: None,
            output: Some(self.output.text.clone()),
        };
        known.events.insert(info.name, event);
        problems
    }

    /// Checks it against all that is known, and makes what runs; answers the fields of its results too.
    pub fn build(self, known: &Known) -> Result<(Running<Totals>, Fields), Vec<Problem>> {
        let mut problems = Vec::new();
        let category = self.category();
        let name = self.name();
        if let Err(error) = check_name("pipeline", name.text.trim()) {
            problems.push(Problem::at(name.at, format!("{error}")));
        }
        let own = self.type_name();
        let inputs: Vec<&EventType> = match self.reads(known) {
            Ok(found) => found,
            Err(hint) => {
                let sentence = format!("nothing is known of the stream `{}`: {hint}", self.input.text);
                problems.push(Problem::at(self.input.at, sentence));
                Vec::new()
            }
        };
        if inputs.is_empty() && problems.is_empty() {
            let sentence =
                format!("the pipeline would read only what it tells: choose another `input_stream` than `{own}`");
            problems.push(Problem::at(self.input.at, sentence));
        }
        let from_start = match self.offset.as_ref().map(|word| (word, folded(&word.text))) {
            None => true,
            Some((_, text)) if matches!(&*text, "earliest" | "start" | "beginning" | "true") => true,
            Some((_, text)) if matches!(&*text, "latest" | "now" | "end" | "false") => false,
            Some((word, _)) => {
                problems.push(Problem::at(
                    word.at,
                    format!("`{}` is no place to begin: write `earliest` or `latest`", word.text),
                ));
                true
            }
        };
        let mut names = names_of(&inputs);
        let mut steps = Vec::new();
        let mut aggregate = None;
        let count = self.operations.len();
        for (at, operation) in self.operations.iter().enumerate() {
            match operation {
                Operation::Filter(word) => match Expression::read(word, &names) {
                    Ok(expression) => steps.push(Step::Filter(expression)),
                    Err(wrong) => problems.extend(wrong),
                },
                Operation::Map(fields) => {
                    let (step, next) = mapped(fields, &names, &mut problems);
                    steps.push(step);
                    names = next;
                }
                Operation::Aggregate(settings) if at + 1 == count => {
                    aggregate = checked(settings, &names, &mut problems)
                }
                Operation::Aggregate(settings) => problems.push(Problem::at(
                    settings.at,
                    "nothing comes behind an aggregate here: read its `output_stream` in another pipeline".to_owned(),
                )),
            }
        }
        let (Some(aggregate), true) = (aggregate, problems.is_empty()) else { return Err(problems) };
        let types: Vec<TypeInfo> = inputs.iter().map(|event| event.info).collect();
        let Some(event) = known.events.get(&*own).filter(|event| event.output.is_some()) else { return Err(problems) };
        let fields = aggregate.fields();
        let running =
            run(kept(name.text.trim().to_owned()), self.version, types, steps, aggregate, (kept(category), event.info));
        Ok((if from_start { running.from_start() } else { running }, fields))
    }
}

/// One name, or a list of them.
fn names(word: &Word, value: &Node, problems: &mut Vec<Problem>) -> Vec<Word> {
    let items = if let Is::List(items) = &value.is { items.as_slice() } else { std::slice::from_ref(value) };
    let mut found = Vec::new();
    for item in items {
        match item.word() {
            Some(word) => found.push(word),
            None => {
                problems.push(Problem::at(item.at, format!("`{}` lists names, and this is {}", word.text, item.kind())))
            }
        }
    }
    found
}

/// What runs for each event has an end, and what is made of it a size.
fn bounded(operations: &[Operation], at: Place, problems: &mut Vec<Problem>) {
    let mut most = |at: Place, count: usize, what: &str| {
        if count > MOST_PARTS {
            problems.push(Problem::at(
                at,
                format!("there are {count} {what}, {MOST_PARTS} are allowed: make two pipelines"),
            ));
        }
    };
    most(at, operations.len(), "operations");
    for operation in operations {
        match operation {
            Operation::Filter(_) => {}
            Operation::Map(fields) => most(fields.first().map_or(at, |(word, _)| word.at), fields.len(), "fields"),
            Operation::Aggregate(settings) => {
                most(settings.at, settings.by.len() + settings.functions.len(), "fields and functions");
            }
        }
    }
}

/// What expressions over these events may name.
fn names_of(inputs: &[&EventType]) -> Names {
    let mut fields = BTreeMap::new();
    for event in inputs {
        for (name, money) in event.fields.iter().flatten() {
            *fields.entry(name.clone()).or_insert(true) &= *money;
        }
    }
    // Where nothing is known of the input, nothing more is said of its fields.
    let open = inputs.is_empty() || inputs.iter().any(|event| event.fields.is_none());
    Names { fields, open, types: Some(inputs.iter().map(|event| event.info.name).collect()) }
}

fn mapped(fields: &[(Word, Word)], names: &Names, problems: &mut Vec<Problem>) -> (Step, Names) {
    let mut next = Names { fields: BTreeMap::new(), open: false, types: None };
    let mut step = Vec::new();
    for (word, of) in fields {
        if next.fields.contains_key(&word.text) {
            problems
                .push(Problem::at(word.at, format!("the field `{}` is made twice: give one another name", word.text)));
            continue;
        }
        match Expression::read(of, names) {
            Ok(expression) => {
                next.fields.insert(word.text.clone(), expression.money);
                step.push((word.text.clone(), expression));
            }
            Err(wrong) => {
                next.fields.insert(word.text.clone(), false);
                problems.extend(wrong);
            }
        }
    }
    (Step::Map(step), next)
}

/// Puts the checked steps together.
fn run(
    name: &'static str,
    version: u32,
    types: Vec<TypeInfo>,
    steps: Vec<Step>,
    aggregate: Aggregate,
    (category, info): (&'static str, TypeInfo),
) -> Running<Totals> {
    let Aggregate { by, parts, functions, windows, most } = aggregate;
    let functions: Arc<[Function]> = functions.into();
    let results: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
    let groups: Vec<String> = by.iter().map(|part| part.name.clone()).collect();
    let take = move |stored: &Stored| Item::of(stored, &steps, &by, &parts);
    let keyed = Items::of(name, version, types, take).by(|item: &Item| item.key.clone());
    let keyed = match windows {
        Some(windows) => keyed.windows(windows),
        None => keyed,
    };
    let adds = functions.clone();
    let aggregated = keyed.aggregate(move |totals: &mut Totals, item: &Item| {
        if totals.by.is_empty() {
            totals.by.clone_from(&item.by);
        }
        totals.add(&adds, &item.values)
    });
    let aggregated = match most {
        Some(most) => aggregated.most(most),
        None => aggregated,
    };
    aggregated.emits_draft(category, info, move |_, window: Option<Window>, totals| {
        let mut data = Map::new();
        data.extend(groups.iter().cloned().zip(totals.by.iter().cloned()));
        data.extend(results.iter().cloned().zip(totals.results(&functions)?));
        data.insert("count".to_owned(), totals.count.into());
        if let Some(window) = window {
            data.insert("window".to_owned(), serde_json::to_value(window).map_err(HandlerError::failed)?);
        }
        Ok(Draft::named(Name::Static(info.name), &data)?)
    })
}
