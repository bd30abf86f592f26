//! `factum sagas list` and `show`: processes under way, what they are stuck by, and what can be done about it.

use std::{fmt::Write, process::ExitCode};

use factum::{letters::ActError, operate, prelude::Timestamp, sagas::Query};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Problem,
    letters::since,
    saga_args::Which,
    screen::{self, count, lasting, line, quoted},
    target::Target,
};

/// Instances asked for at once.
const PAGE: u64 = 1_000;
/// Instances of a list if nobody says.
const LIST: u64 = 100;

/// An instance, as the list and the route of one have it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    saga_id: String,
    #[serde(rename = "type")]
    saga: String,
    version: u32,
    status: String,
    steps: Vec<Step>,
    started_at: Timestamp,
    changed_at: Timestamp,
    ended_at: Option<Timestamp>,
    correlation_id: String,
    stuck: Option<String>,
    facts: Option<Value>,
    #[serde(default)]
    acts: Vec<Act>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    name: String,
    status: String,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    undone_at: Option<Timestamp>,
    error: Option<String>,
    limit: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct Act {
    act: String,
    at: Timestamp,
    step: Option<String>,
    by: String,
    why: Option<String>,
}

impl Instance {
    /// The steps whose answers it waits for.
    fn under_way(&self) -> Vec<&str> {
        let waits = |step: &&Step| matches!(step.status.as_str(), "started" | "undoing");
        let open = self.steps.iter().filter(waits).filter(|_| self.ended_at.is_none());
        open.map(|step| step.name.as_str()).collect()
    }
}

/// Finds open instances, a page after the other, up to so many; says whether there are more.
fn find(target: &Target, mut query: Query, most: u64) -> Result<(Vec<Value>, bool), Problem> {
    let app = if let Target::Address(_) = target { Some(target.app()?) } else { None };
    let mut found: Vec<Value> = Vec::new();
    loop {
        let left = most.saturating_sub(found.len() as u64).min(PAGE);
        query.limit = Some(usize::try_from(left).unwrap_or(usize::MAX));
        let mut page = match (target, &app) {
            (Target::Data(data), _) => serde_json::to_value(operate::sagas(data, &query)?)?,
            (Target::Address(_), Some(app)) => app.sagas(&query)?,
            (Target::Address(_), None) => return Ok((found, false)),
        };
        if let Value::Array(sagas) = page["sagas"].take() {
            found.extend(sagas);
        }
        match page["next"].as_str() {
            Some(_) if found.len() as u64 >= most => return Ok((found, true)),
            Some(next) => query.after = Some(next.to_owned()),
            None => return Ok((found, false)),
        }
    }
}

/// The names of open instances that a version runs, up to so many.
pub fn names(target: &Target, saga: &str, version: u32, most: u64) -> Result<Vec<String>, Problem> {
    let query = Query { saga: Some(saga.to_owned()), version: Some(version), ..Query::default() };
    let (found, _) = find(target, query, most)?;
    Ok(found.iter().filter_map(|saga| saga["sagaId"].as_str()).map(ToOwned::to_owned).collect())
}

/// Lists open instances.
pub fn list(target: &Target, which: &Which, json: bool) -> Result<ExitCode, Problem> {
    let (found, more) = find(target, which.query(), which.limit.unwrap_or(LIST))?;
    if json {
        screen::json(&json!({ "sagas": found, "more": more }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let instances: Vec<Instance> = found.iter().map(Instance::deserialize).collect::<Result<_, _>>()?;
    let mut text = String::new();
    match (instances.is_empty(), which.is_any()) {
        (true, true) => text += "no processes fit that\n",
        (true, false) => text += "no processes: none is under way\n",
        (false, _) => {
            let _ = writeln!(text, "{}", table(&instances));
            if more {
                let shown = count(instances.len() as u64);
                let _ = writeln!(text, "the first {shown}: narrow them down, or see more with --limit");
            }
            let _ = writeln!(text, "Its steps, and what to do: factum sagas show {} PROCESS", target.quoted());
        }
    }
    screen::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn table(instances: &[Instance]) -> String {
    let now = Timestamp::now();
    let mut table = screen::listing(&["process", "version", "state", "waits for", "age", "stuck"], &[1]);
    for instance in instances {
        table.add_row([
            line(&instance.saga_id, usize::MAX),
            instance.version.to_string(),
            state(&instance.status).to_owned(),
            line(&instance.under_way().join(", "), 32),
            since(instance.started_at, now),
            line(instance.stuck.as_deref().unwrap_or_default(), screen::width() / 3),
        ]);
    }
    table.to_string()
}

/// A state for people.
fn state(word: &str) -> &str {
    match word {
        "started" => "runs",
        "undoing" => "is being undone",
        "needs_attention" => "needs a person",
        "completed" => "is completed",
        "compensated" => "is undone",
        other => other,
    }
}

/// Shows one instance.
pub fn show(target: &Target, id: &str, json: bool) -> Result<ExitCode, Problem> {
    let found = match target {
        Target::Address(_) => target.app()?.saga(id)?,
        Target::Data(data) => match operate::saga(data, id)? {
            Some(shown) => serde_json::to_value(shown)?,
            None => return Err(ActError::NoInstance(id.to_owned()).into()),
        },
    };
    if json {
        screen::json(&found)?;
    } else {
        screen::print(&described(target, &Instance::deserialize(&found)?)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn described(target: &Target, instance: &Instance) -> Result<String, Problem> {
    let now = Timestamp::now();
    let all = usize::MAX;
    let mut text = String::new();
    let mut row = |name: &str, value: &str| _ = writeln!(text, "  {name:<13}{}", line(value, all));
    row("process", &instance.saga_id);
    row("definition", &format!("{}, version {}", instance.saga, instance.version));
    row("state", state(&instance.status));
    if let Some(reason) = &instance.stuck {
        row("stuck", reason);
    }
    row("transaction", &instance.correlation_id);
    row("began", &format!("{} ago", since(instance.started_at, now)));
    match instance.ended_at {
        Some(at) => row("ended", &format!("{} ago", since(at, now))),
        None => row("last change", &format!("{} ago", since(instance.changed_at, now))),
    }
    let _ = writeln!(text, "\n{}", steps(&instance.steps, now));
    if !instance.acts.is_empty() {
        let _ = writeln!(text, "\nWhat people did");
    }
    for Act { act, at, step, by, why } in &instance.acts {
        let step = step.as_ref().map_or(String::new(), |step| format!(" {step}"));
        let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        let _ = writeln!(text, "  {at}  {}", line(&format!("{}{step}, by {by}{why}", act.replace('_', " ")), all));
    }
    if let Some(facts) = &instance.facts {
        let _ = writeln!(text, "\nWhat it knows");
        for part in serde_json::to_string_pretty(facts)?.lines() {
            let part = part.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter });
            let _ = writeln!(text, "  {}", part.collect::<String>());
        }
    }
    text += &advice(target, instance);
    Ok(text)
}

fn steps(steps: &[Step], now: Timestamp) -> String {
    let mut table = screen::listing(&["step", "state", "started", "ended", "time left", "error"], &[]);
    let ago = |at: Timestamp| format!("{} ago", since(at, now));
    for step in steps {
        let ends = [("completed", step.completed_at), ("failed", step.failed_at), ("undone", step.undone_at)];
        let ended = ends.into_iter().filter_map(|(word, at)| Some((at?, word))).max();
        table.add_row([
            line(&step.name, usize::MAX),
            step.status.clone(),
            step.started_at.map(ago).unwrap_or_default(),
            ended.map(|(at, word)| format!("{word} {}", ago(at))).unwrap_or_default(),
            match step.limit {
                None => String::new(),
                Some(limit) if limit < now => "none".to_owned(),
                Some(limit) => lasting(limit.duration_since(now).as_secs_f64()),
            },
            line(step.error.as_deref().unwrap_or_default(), usize::MAX),
        ]);
    }
    table.to_string()
}

/// What can be done about an instance.
fn advice(target: &Target, instance: &Instance) -> String {
    if instance.ended_at.is_some() {
        return "\nIt has ended: there is nothing to do.\n".to_owned();
    }
    if let Target::Data(_) = target {
        return "\nWhat to do\n  Start the app, and name its address instead of the data: then it can be helped on.\n"
            .to_owned();
    }
    if let Some(why) = instance.stuck.as_deref().filter(|why| why.starts_with("this program has no version")) {
        return format!(
            "\nWhat to do\n  {}.\n  Or move it from a program that has both versions: factum sagas move\n",
            line(why, usize::MAX)
        );
    }
    let head = match instance.stuck.is_some() {
        true => "What to do",
        false => "It goes on by itself. If that is not wanted",
    };
    let (it, id) = (target.quoted(), quoted(&instance.saga_id));
    let names = instance.under_way();
    let step = match names.as_slice() {
        [first, _, ..] => format!(" --step {}", quoted(first)),
        _ => String::new(),
    };
    format!(
        "\n{head}
  factum sagas retry {it} {id}{step}
      sends the step's command again, with all its time
  factum sagas resolve {it} {id}{step} --why REASON
      treats the step as done, because somebody has seen to it
  factum sagas undo {it} {id} --why REASON
      has everything undone that was sent; refused behind the pivot
  Each with --dry-run shows what would follow, and stores nothing.
"
    )
}
