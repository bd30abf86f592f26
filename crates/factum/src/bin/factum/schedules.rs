//! `factum schedules`: what is sent at planned times, when next, and what can be done about it.

use std::{fmt::Write, process::ExitCode};

use clap::Subcommand;
use factum::{
    By,
    plans::{Backfill, Making, Selection},
    prelude::Timestamp,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Problem,
    args::{Paced, Signed},
    proposals,
    screen::{self, count, line, quoted},
    target::Target,
};

#[derive(Debug, Subcommand)]
pub enum SchedulesCommand {
    /// List schedules: their state, what became of their occurrences, the next time.
    List {
        /// The app's address.
        target: Target,
    },
    /// Show one whole: its next twenty times, the last endings, and what can be done about it.
    #[command(visible_alias = "next")]
    Show {
        /// The app's address.
        target: Target,
        /// As the list names it, such as stock.nightly-stock-take.
        name: String,
    },
    /// Pause one: what is due from now on is skipped.
    Pause {
        /// The app's address.
        target: Target,
        /// As the list names it.
        name: String,
        #[command(flatten)]
        signed: Signed,
    },
    /// Let one go on from now; what needed a person is seen to.
    Resume {
        /// The app's address.
        target: Target,
        /// As the list names it.
        name: String,
        #[command(flatten)]
        signed: Signed,
    },
    /// Run one now, beside its times.
    Run {
        /// The app's address.
        target: Target,
        /// As the list names it.
        name: String,
        #[command(flatten)]
        signed: Signed,
    },
    /// Plan to run what was skipped, or was before the schedule was declared; it is approved as any plan.
    Backfill {
        /// The app's address.
        target: Target,
        /// As the list names it.
        name: String,
        /// The first time that is meant, such as 2030-01-01T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        from: Timestamp,
        /// The last one.
        #[arg(long, value_name = "TIME")]
        to: Timestamp,
        #[command(flatten)]
        paced: Paced,
        #[command(flatten)]
        signed: Signed,
    },
}

/// A schedule, as the list and the route of one have it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schedule {
    name: String,
    status: String,
    needs_person: Option<String>,
    overdue: Option<Timestamp>,
    next: Vec<Next>,
    counts: Counts,
    last: Vec<Ending>,
    under_way: Vec<Value>,
    definition: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Next {
    local: String,
    due: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Counts {
    ran: u64,
    late: u64,
    skipped: u64,
}

#[derive(Debug, Deserialize)]
struct Ending {
    scheduled: Timestamp,
    ran: Option<String>,
    skipped: Option<String>,
    count: u64,
    end: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Schedules {
    schedules: Vec<Schedule>,
}

impl Schedule {
    /// What a person must know first.
    fn trouble(&self) -> String {
        let overdue = || self.overdue.map(|since| format!("what was due at {since} has not run"));
        self.needs_person.clone().or_else(overdue).unwrap_or_default()
    }
}

pub fn carry_out(command: SchedulesCommand, json: bool) -> Result<ExitCode, Problem> {
    match command {
        SchedulesCommand::List { target } => list(&target, json),
        SchedulesCommand::Show { target, name } => {
            let found = target.app()?.schedule(&name)?;
            answer(&target, &found, json)
        }
        SchedulesCommand::Pause { target, name, signed } => act(&target, &name, "pause", &signed.by(), json),
        SchedulesCommand::Resume { target, name, signed } => act(&target, &name, "resume", &signed.by(), json),
        SchedulesCommand::Run { target, name, signed } => act(&target, &name, "run", &signed.by(), json),
        SchedulesCommand::Backfill { target, name, from, to, paced, signed } => {
            let Paced { rate, second_person } = paced;
            let selection = Selection::Backfill(Backfill { schedule: name, from, to });
            let made = target.app()?.make_plan(&Making { selection, rate, second_person }, &signed.by())?;
            match json {
                true => screen::json(&made)?,
                false => screen::print(&proposals::proposed(&target, &serde_json::from_value(made)?))?,
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(target: &Target, json: bool) -> Result<ExitCode, Problem> {
    let found = target.app()?.schedules()?;
    if json {
        screen::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Schedules { schedules } = serde_json::from_value(found)?;
    let mut table = screen::listing(&["schedule", "state", "next", "ran", "late", "skipped", "trouble"], &[3, 4, 5]);
    for schedule in &schedules {
        let Counts { ran, late, skipped } = schedule.counts;
        table.add_row([
            line(&schedule.name, usize::MAX),
            line(&schedule.status, usize::MAX),
            schedule.next.first().map(|next| next.due.to_string()).unwrap_or_default(),
            count(ran),
            count(late),
            count(skipped),
            line(&schedule.trouble(), screen::width() / 3),
        ]);
    }
    let shown = format!("{table}\nOne with its next times: factum schedules show {} SCHEDULE\n", target.quoted());
    screen::print(if schedules.is_empty() { "no schedules: no service declares one\n" } else { &shown })?;
    Ok(ExitCode::SUCCESS)
}

fn act(target: &Target, name: &str, act: &str, by: &By, json: bool) -> Result<ExitCode, Problem> {
    let found = target.app()?.tell_schedule(name, act, by)?;
    answer(target, &found, json)
}

fn answer(target: &Target, found: &Value, json: bool) -> Result<ExitCode, Problem> {
    match json {
        true => screen::json(found)?,
        false => screen::print(&described(target, &Schedule::deserialize(found)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn described(target: &Target, schedule: &Schedule) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| _ = writeln!(text, "  {name:<11}{}", line(value, usize::MAX));
    row("schedule", &schedule.name);
    row("state", &schedule.status);
    if let Some(definition) = &schedule.definition {
        row("defined", &definition.to_string());
    }
    let trouble = schedule.trouble();
    if !trouble.is_empty() {
        row("trouble", &trouble);
    }
    row("under way", &count(schedule.under_way.len() as u64));
    let Counts { ran, late, skipped } = schedule.counts;
    row("until now", &format!("{} ran, {} late, {} skipped", count(ran), count(late), count(skipped)));
    let mut table = screen::listing(&["last", "occurrences", "what became of it", "and then"], &[1]);
    for ending in &schedule.last {
        let word = |text: &Option<String>| text.clone().unwrap_or_default();
        let became = ending
            .ran
            .as_ref()
            .map_or_else(|| format!("skipped: {}", word(&ending.skipped)), |how| format!("ran: {how}"));
        table.add_row([
            ending.scheduled.to_string(),
            count(ending.count),
            line(&became, 40),
            line(&word(&ending.end), 40),
        ]);
    }
    if !schedule.last.is_empty() {
        let _ = writeln!(text, "\n{table}");
    }
    let mut table = screen::listing(&["next", "due"], &[]);
    for next in &schedule.next {
        table.add_row([line(&next.local, usize::MAX), next.due.to_string()]);
    }
    if !schedule.next.is_empty() {
        let _ = writeln!(text, "\n{table}");
    }
    let (it, name) = (target.quoted(), quoted(&schedule.name));
    let other = if schedule.status == "paused" { "resume" } else { "pause" };
    let _ = writeln!(text, "\nWhat to do: factum schedules {other} {it} {name} --why REASON");
    text
}
