//! I7 and I8: every saga ends once, and one that is undone is undone whole, backwards, and never behind the pivot.

use std::collections::{BTreeMap, BTreeSet};

use factum_core::{
    envelope::{Kind, Stored},
    saga::StepState,
};
use factum_runtime::registry::Registry;
use serde::Deserialize;

use super::{aftermath::lines, invariants::Evidence, world::Violation};

/// A saga's table, as it prints itself.
#[derive(Default)]
struct Table {
    start: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Default)]
struct Step {
    name: String,
    pivot: bool,
    send: Option<String>,
    undo: Option<String>,
    call: Option<String>,
    undo_call: Option<String>,
}

/// The event by which a version begins to run an instance: its start, or a move to that version.
#[derive(Deserialize)]
struct Begun {
    version: u32,
    /// How each step stands, if it was moved.
    #[serde(default)]
    steps: BTreeMap<String, StepState>,
}

impl Begun {
    fn read(saga: &str, stored: &Stored) -> Option<Self> {
        let event = stored.type_name().strip_prefix(saga)?;
        matches!(event, ".started" | ".moved").then(|| serde_json::from_slice(&stored.message.data).ok())?
    }
}

/// What is read of an instance's own events.
#[derive(Deserialize)]
struct Record {
    step: Option<String>,
    #[serde(default)]
    sent: Vec<String>,
    kind: Option<String>,
}

pub(super) fn check(Evidence { log, registry, .. }: &Evidence<'_>) -> Result<(), Violation> {
    for saga in registry.services.iter().flat_map(|service| &service.sagas) {
        let tables: BTreeMap<u32, Table> =
            saga.all().iter().map(|table| (table.version(), Table::read(&table.yaml()))).collect();
        let Some(table) = tables.get(&saga.newest().version()) else { continue };
        let mut instances: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
        for stored in log.iter().filter(|stored| stored.stream.category() == saga.name()) {
            instances.entry(stored.stream.as_str()).or_default().push(stored);
        }
        for event in log.iter().filter(|stored| table.start.iter().any(|start| start == stored.type_name())) {
            let instance = saga.instance_of(event).map(|stream| stream.to_string()).unwrap_or_default();
            if !instances.contains_key(instance.as_str()) {
                return Violation::found("I7", format!("nothing was started by {}", super::seen::line(event)));
            }
        }
        for (instance, messages) in instances {
            // Who starts an instance runs it, until it is moved.
            let begun = messages.iter().rev().find_map(|stored| Begun::read(saga.name(), stored));
            let Some((table, begun)) = begun.and_then(|begun| Some((tables.get(&begun.version)?, begun))) else {
                return Violation::found("I7", format!("{instance} has no version of its own: {}", lines(&messages)));
            };
            if let Some((invariant, problem)) = table.judge(saga.name(), &begun, &messages) {
                return Violation::found(invariant, format!("{instance} {problem}: {}", lines(&messages)));
            }
        }
    }
    Ok(())
}

/// How many instances were moved to another version.
pub(super) fn moved(log: &[Stored], registry: &Registry) -> u64 {
    let is = |stored: &&Stored| {
        let saga = stored.stream.category();
        registry.saga(saga).is_some() && stored.type_name().strip_prefix(saga) == Some(".moved")
    };
    log.iter().filter(is).count() as u64
}

impl Table {
    fn read(yaml: &str) -> Self {
        let mut table = Self::default();
        for line in yaml.lines() {
            let (word, value) = line.trim_start_matches([' ', '-']).split_once(": ").unwrap_or((line, ""));
            match (word, table.steps.last_mut()) {
                ("start", None) => table.start = value.split(", ").map(str::to_owned).collect(),
                ("name", _) => table.steps.push(Step { name: value.to_owned(), ..Step::default() }),
                ("pivot", Some(step)) => step.pivot = true,
                ("send", Some(step)) => step.send = Some(value.to_owned()),
                ("undo", Some(step)) => step.undo = Some(value.to_owned()),
                ("call", Some(step)) => step.call = Some(value.to_owned()),
                ("undoCall", Some(step)) => step.undo_call = Some(value.to_owned()),
                _ => {}
            }
        }
        table
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.name == name)
    }

    /// What is wrong with an instance that it has run since then.
    fn judge(&self, saga: &str, begun: &Begun, messages: &[&Stored]) -> Option<(&'static str, String)> {
        let mut ends = 0;
        let (mut sent, mut refused) = (BTreeSet::new(), BTreeSet::new());
        let (mut undone, mut sends, mut undos) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut compensated = false;
        for stored in messages {
            if stored.envelope().kind == Kind::Call {
                let name = stored.type_name().rsplit('.').next();
                sends.extend(self.steps.iter().position(|step| step.call.is_some() && step.call.as_deref() == name));
                undos.extend(
                    self.steps.iter().position(|step| step.undo_call.is_some() && step.undo_call.as_deref() == name),
                );
                continue;
            }
            if stored.envelope().kind == Kind::Command {
                let is = |name: &Option<String>| name.as_deref() == Some(stored.type_name());
                sends.extend(self.steps.iter().position(|step| is(&step.send)));
                undos.extend(self.steps.iter().position(|step| is(&step.undo)));
                continue;
            }
            let event = stored.type_name().strip_prefix(saga).unwrap_or_default().trim_start_matches('.');
            let Ok(record) = serde_json::from_slice::<Record>(&stored.message.data) else { continue };
            sent.extend(record.sent.iter().filter_map(|name| self.index(name)));
            let step = record.step.as_deref().and_then(|name| self.index(name));
            match (event, step) {
                ("completed", _) => ends += 1,
                ("compensated", _) => {
                    ends += 1;
                    compensated = true;
                }
                ("step_failed", Some(step)) if record.kind.as_deref().is_some_and(|kind| kind.ends_with("refused")) => {
                    refused.insert(step);
                }
                ("step_undone", Some(step)) => undone.push(step),
                _ => {}
            }
        }
        if ends != 1 {
            return Some(("I7", format!("has {ends} ends")));
        }
        let sent_twice = sends.iter().any(|step| sends.iter().filter(|other| *other == step).count() > 1);
        if sent_twice {
            return Some(("I8", "sent a step twice".to_owned()));
        }
        if !compensated {
            let undoing = !undone.is_empty() || !undos.is_empty();
            let is_skipped = |step: &Step| begun.steps.get(&step.name) == Some(&StepState::Skipped);
            let missing = (0..self.steps.len()).any(|at| !sent.contains(&at) && !is_skipped(&self.steps[at]));
            return (undoing || missing).then(|| ("I8", "is completed, and was undone or skipped a step".to_owned()));
        }
        let wanted: Vec<usize> = (0..self.steps.len())
            .rev()
            .filter(|at| {
                sent.contains(at)
                    && !refused.contains(at)
                    && (self.steps[*at].undo.is_some() || self.steps[*at].undo_call.is_some())
            })
            .collect();
        if undone != wanted || !undos.iter().eq(wanted.iter().rev()) {
            return Some(("I8", format!("should have undone {wanted:?}, and has undone {undone:?}")));
        }
        let pivot = self.steps.iter().position(|step| step.pivot);
        if pivot.is_some_and(|pivot| sent.contains(&pivot) && !refused.contains(&pivot)) {
            return Some(("I8", "was undone behind its pivot".to_owned()));
        }
        None
    }
}
