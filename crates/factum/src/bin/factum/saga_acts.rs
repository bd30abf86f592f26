//! `factum sagas retry`, `resolve`, `undo` and `move`: what is done about a running app's processes.

use std::{fmt::Write, process::ExitCode};

use factum::{
    By,
    plans::{Making, Selection, Tally},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Problem,
    acts::{self, Outcome, done, goes_well, listed},
    plans::{self, left_out_by},
    remote::{Remote, signed},
    saga_args::{How, One},
    sagas,
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

/// Moves all that a version runs, by a plan.
pub fn move_all(
    target: &Target,
    saga: &str,
    [from, to]: [u32; 2],
    rate: Option<u32>,
    how: &How,
    json: bool,
) -> Result<ExitCode, Problem> {
    let app = target.app()?;
    let names = sagas::names(target, saga, from, if how.dry_run { u64::MAX } else { 1 })?;
    if names.is_empty() && !json {
        screen::print(&format!("no open process of {} is run by version {from}\n", line(saga, usize::MAX)))?;
        return Ok(ExitCode::SUCCESS);
    }
    if how.dry_run {
        return would_move(target, &app, &names, to, how, json);
    }
    let selection = Selection::Move { saga: saga.to_owned(), from, to };
    plans::all(target, &app, &Making { selection, rate, second_person: false }, &how.signed.by(), json)
}

/// What a move of these would do, one after the other.
fn would_move(
    target: &Target,
    app: &Remote,
    names: &[String],
    to: u32,
    how: &How,
    json: bool,
) -> Result<ExitCode, Problem> {
    let mut tally = Tally::default();
    screen::watched("trying", Unit::Processes, |progress| {
        for (index, id) in names.iter().enumerate() {
            progress(index as u64, names.len() as u64);
            match app.help(id, "move", true, moving(how, to))? {
                Ok(outcome) => match outcome["failure"].as_str() {
                    None => tally.done += 1,
                    Some(reason) => tally.leaves_out(id, reason),
                },
                Err(refused) if refused.code == "not_now" => tally.leaves_out(id, &refused.detail),
                Err(refused) => return Err(Problem::Refused(refused.detail)),
            }
        }
        Ok::<(), Problem>(())
    })?;
    if json {
        screen::json(
            &json!({ "dryRun": true, "wouldMove": tally.done, "leftOut": tally.left_out, "reasons": tally.reasons }),
        )?;
    } else {
        screen::print(&would(target, &tally, to))?;
    }
    Ok(acts::code(tally.left_out == 0))
}

fn would(target: &Target, tally: &Tally, to: u32) -> String {
    let number = counted(tally.done, "process", "processes");
    let mut text = format!("{number} would be moved to version {to}, {} would be left out.\n", count(tally.left_out));
    text += &left_out_by(&tally.reasons);
    if let Some(id) = tally.reasons.first().and_then(|group| group.who.first()) {
        let _ = writeln!(text, "More about one: factum sagas show {} {}", target.quoted(), quoted(id));
    }
    text + "Nothing was stored; leave out --dry-run to do it.\n"
}
