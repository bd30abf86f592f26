//! `factum groups`: who fetches events at its own pace, how far each is, and what it holds up.

use std::{fmt::Write, process::ExitCode};

use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Problem,
    screen::{self, count, line, quoted},
    target::Target,
};

#[derive(Debug, Subcommand)]
pub enum GroupsCommand {
    /// List pull groups: how far each is, what its workers have, what waits for a person.
    List {
        /// The app's address.
        target: Target,
    },
    /// Show one whole.
    Show {
        /// The app's address.
        target: Target,
        /// As the list names it, such as order-processors.
        name: String,
    },
}

/// A group, as the routes have it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    types: Vec<String>,
    ordered: bool,
    lease_seconds: f64,
    attempts: u32,
    cursor: u64,
    lag: u64,
    lag_seconds: Option<f64>,
    leased: u64,
    failed: u64,
    full: bool,
    held_keys: u64,
    held: u64,
    letters: u64,
    polls: u64,
    stopped: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

impl Group {
    /// What a person must know first.
    fn trouble(&self) -> String {
        let full = || self.full.then(|| "waits for its oldest message: as much as may be is out".to_owned());
        let letters = || (self.letters > 0).then(|| format!("{} letters", count(self.letters)));
        self.stopped.clone().or_else(letters).or_else(full).unwrap_or_default()
    }

    fn age(&self) -> String {
        self.lag_seconds.map(|seconds| format!("{seconds:.0} s")).unwrap_or_default()
    }
}

pub fn carry_out(command: GroupsCommand, json: bool) -> Result<ExitCode, Problem> {
    let (found, text) = match command {
        GroupsCommand::List { target } => {
            let found = target.app()?.groups()?;
            let text = listed(&target, &Groups::deserialize(&found)?.groups);
            (found, text)
        }
        GroupsCommand::Show { target, name } => {
            let found = target.app()?.group(&name)?;
            let text = described(&target, &Group::deserialize(&found)?);
            (found, text)
        }
    };
    answer(&found, &text, json)
}

fn answer(found: &Value, text: &str, json: bool) -> Result<ExitCode, Problem> {
    match json {
        true => screen::json(found)?,
        false => screen::print(text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(target: &Target, groups: &[Group]) -> String {
    if groups.is_empty() {
        return "no pull groups: no service and no definition declares one\n".to_owned();
    }
    let mut table = screen::listing(&["group", "lag", "oldest", "leased", "held", "trouble"], &[1, 2, 3, 4]);
    for group in groups {
        table.add_row([
            line(&group.name, usize::MAX),
            count(group.lag),
            group.age(),
            count(group.leased),
            count(group.held),
            line(&group.trouble(), screen::width() / 3),
        ]);
    }
    format!("{table}\nOne whole: factum groups show {} GROUP\n", target.quoted())
}

fn described(target: &Target, group: &Group) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| _ = writeln!(text, "  {name:<11}{}", line(value, usize::MAX));
    row("group", &group.name);
    row("reads", &group.types.join(", "));
    let order = if group.ordered { "in the order of each key" } else { "in no order" };
    let Group { lease_seconds, attempts, .. } = group;
    row("gives out", &format!("{order}, for {lease_seconds} s, a letter after {attempts} attempts"));
    row("cursor", &count(group.cursor));
    row("lag", &format!("{} messages {}", count(group.lag), group.age()));
    row("leased", &count(group.leased));
    row("failed", &format!("{}, tried again", count(group.failed)));
    row("held", &format!("{} messages behind {} keys", count(group.held), count(group.held_keys)));
    row("workers", &format!("{} wait", count(group.polls)));
    let trouble = group.trouble();
    if !trouble.is_empty() {
        row("trouble", &trouble);
    }
    if group.letters > 0 {
        let (it, name) = (target.quoted(), quoted(&group.name));
        let _ = writeln!(text, "\nWhat waits for a person: factum letters list {it} --consumer {name}");
    }
    text
}
