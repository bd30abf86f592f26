//! `factum sagas retry`, `resolve`, `undo` and `move`: what is done about a running app's processes.

use std::{fmt::Write, process::ExitCode};

use factum::{By, sagas::Tally};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Problem,
    acts::{self, NAMED, Outcome, done, goes_well, listed},
    remote::{Remote, signed},
    saga_args::{How, One},
    sagas::{self, Instance},
    screen::{self, Unit, count, counted, line, quoted},
    target::Target,
};

/// Sends a step's command again, or treats it as done.
pub fn on_step(one: &One, act: &str, step: Option<&str>, json: bool) -> Result<ExitCode, Problem> {
    let body = |by: &By| {
        let mut body = signed(by);
        if let Some(step) = step {
            body["step"] = step.into();
        }
        body
    };
    help(&one.target, &one.id, act, body(&one.how.signed.by()), &one.how, json)
}

/// Has everything undone.
pub fn undo(one: &One, json: bool) -> Result<ExitCode, Problem> {
    help(&one.target, &one.id, "undo", signed(&one.how.signed.by()), &one.how, json)
}

/// Moves one to another version.
pub fn move_one(target: &Target, id: &str, to: u32, how: &How, json: bool) -> Result<ExitCode, Problem> {
    help(target, id, "move", moving(how, to), how, json)
}

fn moving(how: &How, to: u32) -> Value {
    let mut body = signed(&how.signed.by());
    body["version"] = to.into();
    body
}

fn help(target: &Target, id: &str, act: &str, body: Value, how: &How, json: bool) -> Result<ExitCode, Problem> {
    let outcome = done(target.app()?.help(id, act, how.dry_run, body)?)?;
    if json {
        screen::json(&outcome)?;
        return Ok(acts::code(goes_well(&outcome)));
    }
    let shown = line(id, usize::MAX);
    screen::print(&match Outcome::deserialize(&outcome)? {
        Outcome::Tried { failure: Some(reason), .. } | Outcome::FailedAgain { reason } => {
            format!("{shown}: it would be refused: {}\nNothing was stored.\n", line(&reason, usize::MAX))
        }
        Outcome::Tried { effects, .. } => {
            format!("{shown}: this would follow:\n{}Nothing was stored.\n", listed(&effects))
        }
        Outcome::Done { followed } => {
            let (it, id) = (target.quoted(), quoted(id));
            let list = listed(&followed);
            format!("{shown}: it is done, and this followed:\n{list}How it goes on: factum sagas show {it} {id}\n")
        }
    })?;
    Ok(acts::code(goes_well(&outcome)))
}

/// Moves all that a version runs, one after the other.
pub fn move_all(target: &Target, saga: &str, [from, to]: [u32; 2], how: &How, json: bool) -> Result<ExitCode, Problem> {
    let app = target.app()?;
    let names = sagas::names(target, saga, from)?;
    let mut tally = Tally::default();
    let broken: Result<(), Problem> = screen::watched("moving", Unit::Processes, |progress| {
        for (index, id) in names.iter().enumerate() {
            progress(index as u64, names.len() as u64);
            match refusal(&app, id, how, to)? {
                None => tally.moved += 1,
                Some(reason) => {
                    let stands = Instance::deserialize(app.saga(id)?)?;
                    tally.refused(id, reason, stands.ended_at.is_none() && stands.version == from);
                }
            }
        }
        Ok(())
    });
    if let Err(problem) = broken {
        let so_far = counted(tally.moved, "process was", "processes were");
        let sentence = match how.dry_run {
            true => format!("{problem}. Nothing was stored"),
            false => format!("{problem}. Until then {so_far} moved; the same command goes on with the rest"),
        };
        return Err(Problem::Refused(sentence));
    }
    if json {
        let mut told = serde_json::to_value(&tally)?;
        told["dryRun"] = json!(how.dry_run);
        screen::json(&told)?;
    } else if names.is_empty() {
        screen::print(&format!("no open process of {} is run by version {from}\n", line(saga, usize::MAX)))?;
    } else {
        screen::print(&told(target, &tally, to, how.dry_run))?;
    }
    Ok(acts::code(tally.left() == 0))
}

/// What stands against moving one; nothing if it was moved, or would be.
fn refusal(app: &Remote, id: &str, how: &How, to: u32) -> Result<Option<String>, Problem> {
    match app.help(id, "move", how.dry_run, moving(how, to))? {
        Ok(outcome) => Ok(outcome["failure"].as_str().map(ToOwned::to_owned)),
        Err(refused) if refused.code == "not_now" => Ok(Some(refused.detail)),
        Err(refused) => Err(Problem::Refused(refused.detail)),
    }
}

fn told(target: &Target, tally: &Tally, to: u32, dry: bool) -> String {
    let number = counted(tally.moved, "process", "processes");
    let (verb, left) = if dry { ("would be moved", "would be left out") } else { ("moved", "left out") };
    let mut text = format!("{number} {verb} to version {to}, {} {left}", count(tally.left()));
    if tally.gone > 0 {
        let _ = write!(text, ", {} had ended or been moved before", count(tally.gone));
    }
    text += ".\n";
    for group in &tally.left_out {
        let _ = writeln!(text, "  {} × {}", count(group.count), line(&group.reason, usize::MAX));
        let names: Vec<String> = group.who.iter().take(NAMED).map(|id| line(id, usize::MAX)).collect();
        let more = group.count - names.len() as u64;
        let more = if more > 0 { format!(" and {} more", count(more)) } else { String::new() };
        let _ = writeln!(text, "    {}{more}", names.join(", "));
    }
    if let Some(id) = tally.left_out.first().and_then(|group| group.who.first()) {
        let _ = writeln!(text, "More about one: factum sagas show {} {}", target.quoted(), quoted(id));
    }
    if dry {
        text += "Nothing was stored; leave out --dry-run to do it.\n";
    }
    text
}
