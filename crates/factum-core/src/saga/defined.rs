//! Tables that are put together while the program runs, by what participants have declared ([`Replies`]): sagas in YAML.
//!
//! The facts are a JSON object: what the start said, and of the replies what a later command needs and the start did not say. A
//! command's data is made of the facts by the names of its fields.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Failure, Saga, Step,
    request::Request,
    step::{Make, Match, Meaning, Reply},
    uses::{Role, Use},
};
use crate::{
    envelope::{Draft, Stored},
    error::HandlerError,
    id::Name,
    payload::TypeInfo,
    replies::{Answer, Replies},
};

/// What a defined saga knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts(pub Map<String, Value>);

/// The fact and field by which commands say why something is undone.
const REASON: &str = "reason";
/// What it is if nobody has said it.
const UNDONE: &str = "undone";

/// What begins an instance.
#[derive(Clone, Copy, Debug)]
pub enum Begins {
    /// The command `saga.start`, by an event of this type.
    OnRequest(TypeInfo),
    /// An event of this type.
    On(TypeInfo),
}

/// One step of a table.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its name.
    pub name: &'static str,
    /// The command, and what answers it.
    pub sends: Replies,
    /// The command that undoes it, and what confirms that.
    pub undo: Option<Replies>,
    /// Fields of its commands whose fact has another name: by field.
    pub with: BTreeMap<String, String>,
    /// See [`Step::within`].
    pub within: Option<Duration>,
    /// See [`Step::undo_attempts`].
    pub undo_attempts: Option<u32>,
    /// It stands beside the one before it.
    pub beside: bool,
    /// There is no way back behind it.
    pub pivot: bool,
    /// See [`Step::best_effort`].
    pub best_effort: bool,
    /// What the caller is told if it fails.
    pub error: Name,
}

/// A fact that no reply brings before a command needs it: the start has to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The fact.
    pub fact: String,
    /// Which step.
    pub step: usize,
    /// Whose command.
    pub command: &'static str,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name: a stream category.
    pub name: &'static str,
    /// Raise it when steps change.
    pub version: u32,
    /// The field that all its events carry.
    pub key: &'static str,
    /// What begins an instance.
    pub begins: Begins,
    /// In order.
    pub steps: Vec<Planned>,
}

impl Table {
    /// The facts that the start has to bring.
    pub fn needs(&self) -> Vec<Needed> {
        let mut brought: BTreeSet<String> = [self.key.to_owned()].into();
        let (mut answered, mut needed) = (BTreeSet::new(), Vec::<Needed>::new());
        for (step, planned) in self.steps.iter().enumerate() {
            if !planned.beside {
                // What stood before it is answered.
                brought.append(&mut answered);
            }
            let own: Vec<String> = planned.sends.when_done().filter_map(|info| properties(&info)).flatten().collect();
            let sends = required(&planned.sends.command()).into_iter().map(|field| (field, &planned.sends, false));
            let undo = planned
                .undo
                .iter()
                .flat_map(|undo| required(&undo.command()).into_iter().map(move |it| (it, undo, true)));
            for (field, replies, undoes) in sends.chain(undo) {
                let fact = planned.fact(&field);
                // An undo may name what the step's own answer brings.
                let told = undoes && (field == REASON || own.iter().any(|field| field == fact));
                if !told && !brought.contains(fact) && !needed.iter().any(|known| known.fact == fact) {
                    needed.push(Needed { fact: fact.to_owned(), step, command: replies.command().name });
                }
            }
            answered.extend(own);
        }
        needed
    }

    /// Whether data can start it: it has what is needed, and commands can be made of it.
    fn fits(&self, data: &Map<String, Value>) -> Result<(), String> {
        let missing: Vec<Needed> = self.needs().into_iter().filter(|needed| !data.contains_key(&needed.fact)).collect();
        if !missing.is_empty() {
            let told = |needed: &Needed| format!("`{}` (for {})", needed.fact, needed.command);
            let told: Vec<String> = missing.iter().map(told).collect();
            return Err(format!("its data lacks {}", told.join(", ")));
        }
        let facts = Facts(data.clone());
        for planned in &self.steps {
            // What replies bring is not there yet.
            let there = |field: &String| data.contains_key(planned.fact(field));
            if required(&planned.sends.command()).iter().all(there) {
                planned.command(&planned.sends, &facts, false).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// The saga.
    pub fn saga(self) -> Saga<Facts> {
        let table = Arc::new(self);
        let mut saga = Saga::new(table.name, table.version).key(table.key);
        saga.alone = true;
        let info = match table.begins {
            Begins::On(info) => info,
            Begins::OnRequest(info) => {
                let asked = table.clone();
                saga.request = Some(Request::checked(info, move |data| asked.fits(data)));
                info
            }
        };
        saga.start = Some((vec![info], Arc::new(|stored| Ok(Facts(object(stored)?)))));
        saga.uses.push(Use { step: None, role: Role::Read, info });
        saga.noting = Some(Arc::new(|facts: &mut Facts, failure: &Failure| {
            let reason = failure.error.as_ref().map_or_else(|| failure.reason.clone(), ToString::to_string);
            if !reason.is_empty() {
                facts.0.insert(REASON.to_owned(), Value::String(reason));
            }
        }));
        let wanted: Arc<BTreeSet<String>> = Arc::new(table.wanted());
        for (at, planned) in table.steps.iter().enumerate() {
            let step = planned.step(&table, at, &wanted, &mut saga.uses);
            saga.steps.push(step);
        }
        saga
    }

    /// The facts that any command takes.
    fn wanted(&self) -> BTreeSet<String> {
        let of = |planned: &Planned| {
            let commands = std::iter::once(&planned.sends).chain(&planned.undo);
            let fields = commands.flat_map(|replies| properties(&replies.command()).unwrap_or_default());
            fields.map(|field| planned.fact(&field).to_owned()).collect::<Vec<_>>()
        };
        self.steps.iter().flat_map(of).filter(|fact| fact != REASON).collect()
    }
}

impl Planned {
    /// The fact that a field of its commands is made of.
    fn fact<'a>(&'a self, field: &'a str) -> &'a str {
        self.with.get(field).map_or(field, String::as_str)
    }

    fn command(&self, to: &Replies, facts: &Facts, undoes: bool) -> Result<Draft, HandlerError> {
        let info = to.command();
        let mut data = match properties(&info) {
            Some(fields) => {
                let value = |field: String| Some((facts.0.get(self.fact(&field))?.clone(), field));
                fields.into_iter().filter_map(value).map(|(value, field)| (field, value)).collect()
            }
            None => facts.0.clone(),
        };
        if undoes {
            data.entry(REASON).or_insert_with(|| Value::String(UNDONE.to_owned()));
        }
        let data = serde_json::to_vec(&data).map_err(HandlerError::failed)?;
        to.draft(&data)
            .map_err(|error| HandlerError::Failed(format!("step `{}` cannot send {}: {error}", self.name, info.name)))
    }

    fn step(&self, table: &Arc<Table>, at: usize, wanted: &Arc<BTreeSet<String>>, uses: &mut Vec<Use>) -> Step<Facts> {
        let mut step = Step::new(self.name);
        let make = |undoes: bool| -> Make<Facts> {
            let table = table.clone();
            Arc::new(move |facts| {
                let planned = &table.steps[at];
                let to = if undoes { planned.undo.as_ref() } else { Some(&planned.sends) };
                let to = to.ok_or_else(|| HandlerError::failed("the step has no undo"))?;
                planned.command(to, facts, undoes)
            })
        };
        let mut sent = |info: TypeInfo, role: Role| uses.push(Use { step: Some(self.name), role, info });
        let command = self.sends.command();
        step.send = Some((command.name, make(false)));
        sent(command, Role::Sent);
        for answer in &self.sends.answers {
            sent(answer.info, Role::Read);
            step.replies.push(reply(answer, wanted));
        }
        step.nothing_to_undo = self.undo.is_none();
        if let Some(undo) = &self.undo {
            step.undo = Some((undo.command().name, make(true)));
            sent(undo.command(), Role::Sent);
            for answer in undo.answers.iter().filter(|answer| answer.done) {
                sent(answer.info, Role::Read);
                let (type_name, matches) = (answer.info.name, says(answer.clone()));
                step.replies.push(Reply { type_name, meaning: Meaning::Undone, keeps: false, matches });
            }
        }
        (step.beside, step.pivot, step.best_effort) = (self.beside, self.pivot, self.best_effort);
        (step.within, step.error) = (self.within, Some(self.error.clone()));
        match self.undo_attempts {
            Some(attempts) => step.undo_attempts(attempts),
            None => step,
        }
    }
}

/// An answer as a step knows it. What a later command needs of one that says done is kept.
fn reply(answer: &Answer, wanted: &Arc<BTreeSet<String>>) -> Reply<Facts> {
    let (type_name, wanted) = (answer.info.name, wanted.clone());
    if !answer.done {
        return Reply { type_name, meaning: Meaning::Refused, keeps: false, matches: says(answer.clone()) };
    }
    let keeps = properties(&answer.info).is_none_or(|fields| fields.iter().any(|field| wanted.contains(field)));
    let answer = answer.clone();
    let matches: Match<Facts> = Arc::new(move |facts, stored| {
        let Some(said) = (answer.says)(stored)? else { return Ok(None) };
        for (field, value) in
            object(stored)?.into_iter().filter(|(field, value)| wanted.contains(field) && !value.is_null())
        {
            facts.0.entry(field).or_insert(value);
        }
        Ok(Some(said))
    });
    Reply { type_name, meaning: Meaning::Done, keeps, matches }
}

fn says(answer: Answer) -> Match<Facts> {
    Arc::new(move |_, stored| (answer.says)(stored))
}

fn object(stored: &Stored) -> Result<Map<String, Value>, HandlerError> {
    serde_json::from_slice(&stored.message.data)
        .map_err(|error| HandlerError::Payload(format!("{} is no JSON object: {error}", stored.type_name())))
}

/// The fields of a type's data, if its schema names them.
fn properties(info: &TypeInfo) -> Option<Vec<String>> {
    let schema = (info.schema)();
    Some(schema.get("properties")?.as_object()?.keys().cloned().collect())
}

/// Those that it must have.
fn required(info: &TypeInfo) -> Vec<String> {
    let schema = (info.schema)();
    let fields = schema.get("required").and_then(Value::as_array);
    fields.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
