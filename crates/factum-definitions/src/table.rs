//! A saga's definition checked against the services of a program, and made into the table that runs.

use std::collections::{BTreeMap, BTreeSet};

use factum_core::{
    id::{Name, check_name},
    payload::{CarriesText, TypeInfo},
    replies::Replies,
    saga::{Begins, Facts, Planned, Saga as Running, Table},
    service::Service,
    stream::check_category,
};

use crate::{
    Problem, SAGAS, kept,
    known::{EventType, Known},
    participants::Participants,
    saga::{Saga, Step, Undo},
    words::{folded, hint},
    yaml::Word,
};

/// Checks all sagas, and makes the service that runs them; nothing if there are none.
pub fn service(
    sagas: &[(String, Saga)],
    known: &Known,
    participants: &Participants,
) -> Result<Option<Service>, Vec<Problem>> {
    let (mut service, mut problems, mut defined) = (Service::new(SAGAS), Vec::new(), BTreeSet::new());
    for (file, saga) in sagas {
        if !defined.insert((name_of(&saga.name.text), saga.version)) {
            let (name, version) = (&saga.name.text, saga.version);
            let sentence =
                format!("there are two sagas `{name}` of version {version}: raise the `version` of the newer one");
            problems.push(Problem::at(saga.name.at, sentence).in_file(file));
            continue;
        }
        match build(saga, known, participants) {
            Ok(built) => service = service.saga(built),
            Err(wrong) => problems.extend(wrong.into_iter().map(|problem| problem.in_file(file))),
        }
    }
    match problems.is_empty() {
        true => Ok(Some(service).filter(|service| !service.sagas.is_empty())),
        false => Err(problems),
    }
}

/// Checks a saga, and makes what runs.
fn build(saga: &Saga, known: &Known, participants: &Participants) -> Result<Running<Facts>, Vec<Problem>> {
    let mut problems = Vec::new();
    let name = name_of(&saga.name.text);
    if let Err(error) = check_name("saga", &name).and_then(|()| check_category(&name)) {
        problems.push(Problem::at(saga.name.at, error.to_string()));
    }
    if let Some(owner) = known.categories.get(&name) {
        let sentence = format!("the streams `{name}` belong to the service {owner}: give the saga another name");
        problems.push(Problem::at(saga.name.at, sentence));
    }
    let start = saga.start.as_ref().and_then(|word| event(word, known, &mut problems));
    let mut steps = Vec::new();
    for (at, step) in saga.steps.iter().enumerate() {
        let behind_pivot = saga.steps[..=at].iter().any(|step| step.pivot);
        steps.extend(planned(step, behind_pivot, known, participants, &mut problems));
    }
    twice(saga, &steps, &mut problems);
    if saga.steps.iter().filter(|step| step.pivot).count() > 1 {
        let at = saga.steps.iter().filter(|step| step.pivot).nth(1).map_or(saga.name.at, |step| step.at);
        problems.push(Problem::at(
            at,
            "there is a pivot before it already: behind the first there is no way back".to_owned(),
        ));
    }
    if let Some(first) = saga.steps.first().filter(|step| step.beside) {
        problems.push(Problem::at(first.at, "the first step stands beside nothing: take `beside` out".to_owned()));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let Some(key) = key(saga, start, &steps, &mut problems) else { return Err(problems) };
    let begins = match start {
        Some(event) => Begins::On(event.info),
        None => Begins::OnRequest(TypeInfo::new(kept(format!("{name}.received")), "1.0.0", || true.into())),
    };
    let table = Table { name: kept(name), version: saga.version, key: kept(key), begins, steps };
    if let Some(event) = start {
        brought(saga, &table, event, &mut problems);
    }
    let running = table.saga();
    if let Err(error) = running.check() {
        problems.push(Problem::at(saga.name.at, error.problem));
    }
    if problems.is_empty() { Ok(running) } else { Err(problems) }
}

/// The name of a saga as that of streams.
fn name_of(text: &str) -> String {
    text.trim().to_lowercase().replace(['-', ' ', '.'], "_")
}

fn planned(
    step: &Step,
    behind_pivot: bool,
    known: &Known,
    participants: &Participants,
    problems: &mut Vec<Problem>,
) -> Option<Planned> {
    let mut told = |word: &Word, sentence: String| problems.push(Problem::at(word.at, sentence));
    let service = match &step.service {
        None => None,
        Some(word) => match participants.service(known, &word.text) {
            Ok(service) => Some(service),
            Err(sentence) => {
                told(word, sentence);
                return None;
            }
        },
    };
    let declared = match participants.find(&step.action.text, service) {
        Ok(declared) => declared,
        Err(sentence) => {
            told(&step.action, sentence);
            return None;
        }
    };
    let undo = undo_of(step, declared, behind_pivot, service, participants, problems);
    let (done, refused) = (events(&step.done, known, problems), events(&step.refused, known, problems));
    let sends = declared.clone().answered_by(&done, &refused);
    if sends.when_done().next().is_none() {
        let command = sends.command().name;
        let sentence = format!("nothing says when `{command}` is done: add `reply:` with an event");
        problems.push(Problem::at(step.action.at, sentence));
    }
    let with = with(step, &sends, undo.as_ref(), problems);
    let error = step.error.as_ref().map_or_else(|| sends.failure(), |word| word.text.clone());
    Some(Planned {
        name: kept(step_name(step)),
        undo: undo.filter(|_| !behind_pivot),
        sends,
        with,
        within: step.within,
        undo_attempts: step.attempts,
        beside: step.beside,
        pivot: step.pivot,
        best_effort: step.best_effort,
        error: Name::Shared(error.into()),
    })
}

fn step_name(step: &Step) -> String {
    step.name.as_ref().unwrap_or(&step.action).text.trim().replace(['-', ' ', '.'], "_")
}

/// The replies of what undoes a step.
fn undo_of(
    step: &Step,
    declared: &Replies,
    behind_pivot: bool,
    service: Option<&str>,
    participants: &Participants,
    problems: &mut Vec<Problem>,
) -> Option<Replies> {
    let command = declared.command().name;
    match (&step.undo, declared.undo()) {
        (Undo::By(word), usual) => {
            // It may stand in another service, too.
            let found = participants
                .find(&word.text, service)
                .or_else(|why| participants.find(&word.text, None).map_err(|_| why));
            match found {
                Err(sentence) => problems.push(Problem::at(word.at, sentence)),
                Ok(found) => {
                    let undoes = found.command().name;
                    if let Some(usual) = usual.filter(|usual| *usual != undoes) {
                        let sentence = format!(
                            "`{command}` is undone by `{usual}` and not by `{undoes}`: write that, or leave it out"
                        );
                        problems.push(Problem::at(word.at, sentence));
                    }
                    return Some(found.clone());
                }
            }
            None
        }
        (Undo::Nothing, Some(usual)) if !behind_pivot => {
            let sentence =
                format!("`{command}` leaves something behind, which `{usual}` undoes: write that, or leave it out");
            problems.push(Problem::at(step.at, sentence));
            None
        }
        (Undo::Nothing, _) => None,
        (Undo::Declared, Some(usual)) => {
            let found = participants.replies(usual);
            if found.is_none() {
                let sentence = format!("nobody says what `{usual}` is answered by, which undoes `{command}`");
                problems.push(Problem::at(step.action.at, sentence));
            }
            found.cloned()
        }
        (Undo::Declared, None) => {
            if !behind_pivot && !declared.leaves_nothing() {
                let remedy = "add `compensation:`, or `compensation: none` if there is nothing to undo";
                problems.push(Problem::at(step.at, format!("nothing undoes `{command}`: {remedy}")));
            }
            None
        }
    }
}

fn with(step: &Step, sends: &Replies, undo: Option<&Replies>, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let fields: BTreeSet<String> =
        std::iter::once(sends).chain(undo).flat_map(|replies| fields(&replies.command())).collect();
    let mut with = BTreeMap::new();
    for (field, fact) in &step.with {
        if let Some(known) = fields.iter().find(|known| folded(known) == folded(&field.text)) {
            with.insert(known.clone(), fact.text.clone());
        } else {
            let command = sends.command().name;
            let hint = hint(&field.text, fields.iter().map(String::as_str));
            problems.push(Problem::at(field.at, format!("`{command}` has no field `{}`: {hint}", field.text)));
        }
    }
    with
}

/// Steps are told apart by their names, and their answers by what they send.
fn twice(saga: &Saga, steps: &[Planned], problems: &mut Vec<Problem>) {
    let mut names = BTreeSet::new();
    for step in &saga.steps {
        let name = step_name(step);
        if !names.insert(folded(&name)) {
            let at = step.name.as_ref().unwrap_or(&step.action).at;
            problems.push(Problem::at(at, format!("two steps are called `{name}`: give one another `name`")));
        }
    }
    let mut sent = BTreeMap::new();
    for planned in steps {
        for command in std::iter::once(&planned.sends).chain(&planned.undo).map(|replies| replies.command().name) {
            let Some(before) = sent.insert(command, planned.name) else { continue };
            let at =
                saga.steps.iter().find(|step| step_name(step) == planned.name).map_or(saga.name.at, |step| step.at);
            if before != planned.name {
                let sentence = format!("`{before}` sends `{command}` too: their answers could not be told apart");
                problems.push(Problem::at(at, sentence));
            }
        }
    }
}

/// The field that all events of the saga carry.
fn key(saga: &Saga, start: Option<&EventType>, steps: &[Planned], problems: &mut Vec<Problem>) -> Option<String> {
    let undos = steps.iter().filter_map(|planned| planned.undo.as_ref()).flat_map(Replies::when_done);
    let replies = steps.iter().flat_map(|planned| planned.sends.when_done().chain(planned.sends.when_refused()));
    let all: Vec<TypeInfo> = replies.chain(undos).chain(start.map(|event| event.info)).collect();
    let lacks = |key: &str| all.iter().find(|info| info.carries_text(key) != CarriesText::Perhaps);
    if let Some(word) = &saga.key {
        if let Some(info) = lacks(&word.text) {
            let sentence =
                format!("`{}` does not name the instance in `{}`, which has no such text", word.text, info.name);
            problems.push(Problem::at(word.at, sentence));
            return None;
        }
        return Some(word.text.clone());
    }
    let ids = all.iter().flat_map(fields).filter(|field| field.ends_with("Id"));
    let ids: BTreeSet<String> = ids.filter(|field| lacks(field).is_none()).collect();
    // A field that every command has too says more.
    let commands: Vec<TypeInfo> = steps.iter().map(|planned| planned.sends.command()).collect();
    let sent: BTreeSet<&String> =
        ids.iter().filter(|field| commands.iter().all(|info| fields(info).contains(field))).collect();
    let mut found = if sent.len() == 1 { sent } else { ids.iter().collect() }.into_iter();
    match (found.next(), found.len()) {
        (Some(key), 0) => Some(key.clone()),
        (None, _) => {
            let sentence =
                "no field `…Id` stands in all events of the saga: add `key:` with the one that names an instance";
            problems.push(Problem::at(saga.name.at, sentence.to_owned()));
            None
        }
        _ => {
            let all: Vec<&str> = ids.iter().map(String::as_str).collect();
            let sentence = format!("several fields could name an instance: add `key:` with one of {}", all.join(", "));
            problems.push(Problem::at(saga.name.at, sentence));
            None
        }
    }
}

/// Whether the event that starts it says what the commands need.
fn brought(saga: &Saga, table: &Table, start: &EventType, problems: &mut Vec<Problem>) {
    let Some(said) = &start.fields else { return };
    for needed in table.needs().into_iter().filter(|needed| !said.contains_key(&needed.fact)) {
        let (command, fact, event) = (needed.command, &needed.fact, start.info.name);
        let hint = hint(fact, said.keys().map(String::as_str));
        let at = saga.steps.get(needed.step).map_or(saga.name.at, |step| step.action.at);
        problems.push(Problem::at(
            at,
            format!("`{command}` needs `{fact}`, which neither {event} nor a step before says: add `with: {{ {fact}: … }}` ({hint})"),
        ));
    }
}

/// An event that others may read.
fn event<'a>(word: &Word, known: &'a Known, problems: &mut Vec<Problem>) -> Option<&'a EventType> {
    let wanted = folded(&word.text);
    let found = known.events.values().find(|event| folded(event.info.name) == wanted);
    let sentence = match found {
        Some(event) if !event.info.own => return Some(event),
        Some(event) => {
            let makers: Vec<&str> = event.makers.iter().map(String::as_str).collect();
            format!("`{}` is an own event of {}: read a public one", event.info.name, makers.join(", "))
        }
        None => format!("there is no event `{}`: {}", word.text, hint(&word.text, known.events.keys().copied())),
    };
    problems.push(Problem::at(word.at, sentence));
    None
}

fn events(words: &[Word], known: &Known, problems: &mut Vec<Problem>) -> Vec<TypeInfo> {
    words.iter().filter_map(|word| Some(event(word, known, problems)?.info)).collect()
}

/// The fields of a type's data, as far as its schema names them.
fn fields(info: &TypeInfo) -> Vec<String> {
    let schema = (info.schema)();
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect()
}
