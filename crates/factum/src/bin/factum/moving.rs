//! `factum move`: an app's data to another place.

use std::{path::absolute, process::ExitCode, thread, time::Duration};

use factum::{
    Location,
    error::StoreError,
    operate::{self, Relocated, Step},
};
use serde_json::{Value, json};

use crate::{
    NOT_DONE, Problem,
    remote::Remote,
    screen::{self, Unit, count},
    target::Target,
};

/// How often a running app is asked how far it is.
const ASK: Duration = Duration::from_millis(200);

/// Who moves the data.
enum Mover<'a> {
    /// The app that runs on them.
    App(Remote),
    /// This command: nobody runs on them.
    Here(&'a Location),
}

impl<'a> Mover<'a> {
    fn of(from: &'a Target) -> Result<Self, Problem> {
        let data = match from {
            Target::Address(_) => return Ok(Self::App(from.app()?)),
            Target::Data(data) => data,
        };
        if !operate::is_open(data)? {
            return Ok(Self::Here(data));
        }
        let named = operate::leader(data)?.and_then(|name| name.parse::<Target>().ok());
        match named {
            Some(Target::Address(url)) => Ok(Self::App(Remote::open(&url)?)),
            _ => Err(Problem::Refused(format!(
                "an app runs on {data}, and does not say where: name its address, such as --from http://127.0.0.1:8080"
            ))),
        }
    }
}

/// Moves, or goes on.
pub fn relocate(from: &Target, to: &Location, json: bool) -> Result<ExitCode, Problem> {
    to.check()?;
    match Mover::of(from)? {
        Mover::Here(data) => here(data, to, json),
        Mover::App(app) => follow(&app, to, json),
    }
}

fn here(from: &Location, to: &Location, json: bool) -> Result<ExitCode, Problem> {
    let moved = screen::watched("moving", Unit::Messages, |progress| {
        operate::relocate(from, to, &mut |step| {
            if let Step::Comparing(done, of) | Step::Copying(done, of) = step {
                progress(done, of);
            }
            Ok::<(), StoreError>(())
        })
    })?;
    let Some(Relocated { places, lineage, messages, cells, digest }) = moved else {
        return match json {
            true => screen::json(&json!({ "already": true })),
            false => screen::print(&format!("{from} has moved to {to} already: nothing is left to do.\n")),
        }
        .map(|()| ExitCode::SUCCESS);
    };
    if json {
        let mut answer = serde_json::to_value(places)?;
        (answer["lineage"], answer["messages"]) = (lineage.to_string().into(), messages.into());
        (answer["cells"], answer["digest"]) = (cells.into(), digest.into());
        screen::json(&answer)?;
    } else {
        screen::print(&format!(
            "{} messages and {} cells of {} have moved to {}, and are equal (digest {digest}).\n{}",
            count(messages),
            count(cells),
            places.from,
            places.to,
            next(&places.to),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a person does next.
fn next(to: &str) -> String {
    format!(
        "The next start is there: store = \"{to}\" in factum.toml, or FACTUM_STORE, with the password if there is one. Rows and \
         snapshots are built anew then.\n"
    )
}

/// Asks the app, and waits until it has gone over.
fn follow(app: &Remote, to: &Location, json: bool) -> Result<ExitCode, Problem> {
    let words = words(to)?;
    app.begin_move(&words)?;
    let last = screen::watched("moving", Unit::Messages, |progress| {
        loop {
            let now = app.move_progress()?;
            let number = |name: &str| now[name].as_u64().unwrap_or_default();
            progress(number("verified"), number("of"));
            if !matches!(now["phase"].as_str(), Some("copying" | "due" | "switching")) {
                return Ok::<Value, Problem>(now);
            }
            thread::sleep(ASK);
        }
    })?;
    let moved = last["phase"] == "moved";
    if json {
        screen::json(&last)?;
    } else if moved {
        let (to, digest) = (last["to"].as_str().unwrap_or_default(), last["digest"].as_str().unwrap_or_default());
        screen::print(&format!(
            "{} messages of {} have moved to {to}, and are equal (digest {digest}). The app stood still for {} ms, and runs \
             there now; its rows and snapshots are still read where they were.\n{}",
            count(last["of"].as_u64().unwrap_or_default()),
            last["from"].as_str().unwrap_or_default(),
            count(last["longestPauseMs"].as_u64().unwrap_or_default()),
            next(to),
        ))?;
    } else {
        let why = last["error"].as_str().unwrap_or("it was given up");
        return Err(Problem::Refused(format!("the app has not moved, and goes on where it was: {why}")));
    }
    Ok(ExitCode::from(if moved { 0 } else { NOT_DONE }))
}

/// The place as the app is told, which stands in another directory.
fn words(to: &Location) -> Result<String, Problem> {
    match to.directory() {
        Some(dir) => Ok(absolute(dir)?.to_string_lossy().into_owned()),
        None => Ok(to.in_full()),
    }
}

/// Gives a move up.
pub fn give_up(from: &Target, to: &Location, json: bool) -> Result<ExitCode, Problem> {
    to.check()?;
    let (unsealed, removed) = match Mover::of(from)? {
        Mover::Here(data) => {
            let given = operate::give_up(data, to)?;
            (given.unsealed, given.removed)
        }
        Mover::App(app) => {
            app.give_up_move()?;
            (false, true)
        }
    };
    if json {
        screen::json(&json!({ "unsealed": unsealed, "removed": removed }))?;
    } else {
        let removed = if removed { "What had arrived is removed" } else { "Nothing had arrived" };
        let source = if unsealed { "the source is free again" } else { "the source was free all the time" };
        screen::print(&format!("{removed}; {source}.\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
