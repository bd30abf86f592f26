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
use serde_json::{Map, Value as Json};

use crate::{
    Problem, SERVICE,
    aggregate::{Aggregate, Part, checked, last, result_name},
    expression::{Expression, Names, Over},
    kept,
    known::{EventType, Known},
    operations::{self, Operation},
    totals::{Function, Totals},
    words::{folded, hint},
    yaml::{Is, Node, Word},
};

const KEYS: [&str; 7] =
    ["pipeline", "input_stream", "operations", "output_stream", "output_type", "offset_strategy", "description"];

/// As it is written.
pub struct Pipeline {
    name: Option<Word>,
    input: Word,
    output: Word,
    output_type: Option<Word>,
    offset: Option<Word>,
    operations: Vec<Operation>,
    /// Of all that it says, so that another meaning is another version.
    version: u32,
}

/// A step before the aggregate.
enum Step {
    Filter(Expression),
    Map(Vec<(String, Expression)>),
}

/// What goes into an aggregate.
struct Item {
    key: String,
    by: Vec<Json>,
    values: Vec<Json>,
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
        let mut operations = None;
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
        let version = (digest("pipeline", format!("{:?}", node.is).as_bytes()) & 0x7fff_ffff) as u32;
        let read = input.zip(output).zip(operations).map(|((input, output), operations)| Self {
            name: named,
            input,
            output,
            output_type,
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

    fn type_name(&self) -> String {
        self.output_type.as_ref().map_or_else(|| format!("{}.updated", self.category()), |word| word.text.clone())
    }

    /// Tells the others what it makes, so that they may read it.
    pub fn declare(&self, known: &mut Known) -> Vec<Problem> {
        let (category, type_name) = (self.category(), self.type_name());
        let mut problems = Vec::new();
        if let Err(error) = check_category(&category) {
            problems.push(Problem::at(self.output.at, format!("{error}")));
        }
        let name = self.name.as_ref().unwrap_or(&self.output);
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
        if !problems.is_empty() {
            return problems;
        }
        known.categories.insert(category, SERVICE.to_owned());
        let info = TypeInfo::new(kept(type_name), "1.0.0", || true.into());
        let event = EventType {
            info,
            makers: [SERVICE.to_owned()].into(),
            readers: Default::default(),
            fields: self.outputs(),
            output: Some(self.output.text.clone()),
        };
        known.events.insert(info.name, event);
        problems
    }

    /// The fields of what it tells, as far as names tell.
    fn outputs(&self) -> Option<BTreeMap<String, bool>> {
        let Some(Operation::Aggregate(settings)) = self.operations.last() else { return None };
        let mut fields: BTreeMap<String, bool> = settings.by.iter().map(|word| (last(&word.text), false)).collect();
        for wanted in &settings.functions {
            let function = Function::read(&folded(&wanted.function.text))?;
            fields.insert(wanted.name.clone().unwrap_or_else(|| result_name(function, wanted.of.as_ref())), false);
        }
        fields.extend(["count", "window", "group"].map(|name| (name.to_owned(), false)));
        Some(fields)
    }

    /// Checks it against all that is known, and makes what runs.
    pub fn build(self, known: &Known) -> Result<Running<Totals>, Vec<Problem>> {
        let mut problems = Vec::new();
        let category = self.category();
        let name = self.name.as_ref().unwrap_or(&self.output);
        if let Err(error) = check_name("pipeline", name.text.trim()) {
            problems.push(Problem::at(name.at, format!("{error}")));
        }
        let own = self.type_name();
        let inputs: Vec<&EventType> = match known.stream(self.input.text.trim()) {
            Ok(found) => found.into_iter().filter(|event| event.info.name != own).collect(),
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
        let running =
            run(kept(name.text.trim().to_owned()), self.version, types, steps, aggregate, (kept(category), event.info));
        Ok(if from_start { running.from_start() } else { running })
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
    let take = move |stored: &Stored| taken(stored, &steps, &by, &parts);
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

/// An event as what goes into the aggregate. One whose group has no name is left out.
fn taken(stored: &Stored, steps: &[Step], by: &[Part], parts: &[Part]) -> Result<Option<Item>, HandlerError> {
    let data: Map<String, Json> = serde_json::from_slice(&stored.message.data)
        .map_err(|error| HandlerError::Payload(format!("the data of {} is no object: {error}", stored.type_name())))?;
    let mut item: Option<BTreeMap<String, Json>> = None;
    for step in steps {
        let over = item.as_ref().map_or(Over::Event(stored, &data), Over::Item);
        match step {
            Step::Filter(expression) => {
                if !expression.holds(&over)? {
                    return Ok(None);
                }
            }
            Step::Map(fields) => {
                let field = |(name, expression): &(String, Expression)| Ok((name.clone(), expression.value(&over)?));
                item = Some(fields.iter().map(field).collect::<Result<_, HandlerError>>()?);
            }
        }
    }
    let over = item.as_ref().map_or(Over::Event(stored, &data), Over::Item);
    let value =
        |part: &Part| part.expression.as_ref().map_or(Ok(Json::Bool(true)), |expression| expression.value(&over));
    let by: Vec<Json> = by.iter().map(value).collect::<Result<_, _>>()?;
    if by.iter().any(Json::is_null) {
        return Ok(None);
    }
    Ok(Some(Item { key: key(&by)?, by, values: parts.iter().map(value).collect::<Result<_, _>>()? }))
}

/// The key of a group: of one field its text, of several with `/` between them, of none `all`.
fn key(by: &[Json]) -> Result<String, HandlerError> {
    let text = |value: &Json| match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(_) | Json::Bool(_) => Ok(value.to_string()),
        _ => Err(HandlerError::Failed(format!(
            "{value} cannot name a group: group by a text, a number or a truth value"
        ))),
    };
    match by {
        [] => Ok("all".to_owned()),
        [one] => text(one),
        several => {
            // What separates is written otherwise within a part, so that two groups never share a key.
            let part = |value: &Json| Ok(text(value)?.replace('%', "%25").replace('/', "%2F"));
            Ok(several.iter().map(part).collect::<Result<Vec<_>, HandlerError>>()?.join("/"))
        }
    }
}
