//! `factum plans`: acts on many letters, messages or processes, which the app itself carries out; also `letters redrive --all`
//! and `sagas move --saga`.

use std::{fmt::Write, process::ExitCode, thread, time::Duration};

use factum::{
    By, plans,
    plans::{Backfill, LeftOut, Making, Redeliver, Selection},
    prelude::Timestamp,
};
use serde::Deserialize;

use crate::{
    Problem,
    acts::{self, NAMED},
    args::{MakeCommand, Paced},
    letters::since,
    proposals::{self, Planned},
    remote::Remote,
    screen::{self, Unit, count, counted, line, quoted},
    target::Target,
};

/// How long to wait before looking again how far a plan is.
const PAUSE: Duration = Duration::from_millis(100);

/// A plan, as the list and the route of one have it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub id: String,
    pub making: Making,
    stage: plans::Stage,
    pub by: By,
    made_at: Timestamp,
    pub total: u64,
    pub hash: String,
    approved: Option<By>,
    ended_at: Option<Timestamp>,
    reason: Option<String>,
    #[serde(flatten)]
    tally: plans::Tally,
}

#[derive(Debug, Deserialize)]
struct Plans {
    plans: Vec<Plan>,
}

/// What is done to the items, in words.
pub struct Words {
    pub act: &'static str,
    /// It was done.
    pub done: String,
    /// One item, and several.
    items: [&'static str; 2],
    unit: Unit,
}

impl Plan {
    pub fn words(&self) -> Words {
        let (items, unit) = (["letter", "letters"], Unit::Letters);
        match self.making.selection {
            Selection::Redrive { .. } => Words { act: "redrive", done: "redriven".to_owned(), items, unit },
            Selection::Discard { .. } => Words { act: "discard", done: "discarded".to_owned(), items, unit },
            Selection::Redeliver(_) => Words {
                act: "redeliver",
                done: "delivered again".to_owned(),
                items: ["message", "messages"],
                unit: Unit::Messages,
            },
            Selection::Move { to, .. } => Words {
                act: "move",
                done: format!("moved to version {to}"),
                items: ["process", "processes"],
                unit: Unit::Processes,
            },
            Selection::Backfill(_) => Words {
                act: "backfill",
                done: "run".to_owned(),
                items: ["occurrence", "occurrences"],
                unit: Unit::Occurrences,
            },
        }
    }

    pub fn items(&self, number: u64) -> String {
        let [one, many] = self.words().items;
        counted(number, one, many)
    }

    /// Which letters, messages or processes, by what the selection says.
    fn of_what(&self) -> String {
        let mut said = Vec::new();
        let mut part = |name: &str, value: Option<String>| said.extend(value.map(|value| format!("{name} {value}")));
        match &self.making.selection {
            Selection::Redrive { query } | Selection::Discard { query } => {
                part("consumer", query.consumer.clone());
                part("type", query.type_name.clone());
                part("key", query.key.clone());
                part("transaction", query.correlation.clone());
                part("reason", query.reason.clone());
                part("behind", query.after.as_ref().map(ToString::to_string));
                part("at most", query.limit.map(|limit| limit.to_string()));
            }
            Selection::Redeliver(which) => {
                part("to", Some(which.consumer.clone()));
                part("after", (which.after.0 > 0).then(|| which.after.to_string()));
                part("until", which.until.map(|until| until.to_string()));
                part("from", which.from_time.map(|from| from.to_string()));
                part("type", which.type_name.clone());
                part("key", which.key.clone());
                part("transaction", which.correlation.clone());
            }
            Selection::Move { saga, from, to } => {
                part("of", Some(saga.clone()));
                part("from version", Some(from.to_string()));
                part("to version", Some(to.to_string()));
            }
            Selection::Backfill(fill) => {
                part("of", Some(fill.schedule.clone()));
                part("from", Some(fill.from.to_string()));
                part("to", Some(fill.to.to_string()));
            }
        }
        match said.is_empty() {
            true => "all letters".to_owned(),
            false => line(&said.join(", "), usize::MAX),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.stage, plans::Stage::Made | plans::Stage::Running)
    }

    /// That all of it was done, but for what had ended before.
    fn went_well(&self) -> bool {
        let plans::Tally { failed, left_out, gone, .. } = self.tally;
        self.stage == plans::Stage::Finished && failed == 0 && left_out == gone
    }

    pub fn approval(&self, target: &Target) -> String {
        let other = if self.making.second_person { " --by SOMEBODY-ELSE" } else { "" };
        format!("factum plans approve {} {} --hash {}{other}", target.quoted(), quoted(&self.id), quoted(&self.hash))
    }
}

fn stage(stage: plans::Stage) -> &'static str {
    match stage {
        plans::Stage::Made => "waits to be approved",
        plans::Stage::Running => "is carried out",
        plans::Stage::Finished => "is finished",
        plans::Stage::Cancelled => "was taken back",
        plans::Stage::Stopped => "has stopped",
    }
}

/// Lists the plans that have not ended.
pub fn list(target: &Target, json: bool) -> Result<ExitCode, Problem> {
    let found = target.app()?.plans()?;
    if json {
        screen::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Plans { plans } = serde_json::from_value(found)?;
    if plans.is_empty() {
        screen::print("no plans: none waits to be approved, and none is carried out\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = ["plan", "act", "of what", "items", "done", "state", "rate", "by", "made"];
    let mut table = screen::listing(&head, &[3, 4, 6]);
    for plan in &plans {
        table.add_row([
            line(&plan.id, usize::MAX),
            plan.words().act.to_owned(),
            plan.of_what(),
            count(plan.total),
            count(plan.tally.done),
            stage(plan.stage).to_owned(),
            plan.making.rate.map_or(String::new(), |rate| format!("{}/s", count(rate.into()))),
            line(&plan.by.who, usize::MAX),
            format!("{} ago", since(plan.made_at, Timestamp::now())),
        ]);
    }
    let target = target.quoted();
    screen::print(&format!("{table}\nMore about one, and how to approve it: factum plans show {target} PLAN\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Shows one as it stands, and with `watch` until it has ended.
pub fn show(target: &Target, id: &str, watch: bool, json: bool) -> Result<ExitCode, Problem> {
    let app = target.app()?;
    if watch {
        return follow(target, &app, id, json);
    }
    let found = app.plan(id)?;
    if json {
        screen::json(&found)?;
    } else {
        screen::print(&described(target, &app, &serde_json::from_value(found)?))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn described(target: &Target, app: &Remote, plan: &Plan) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| _ = writeln!(text, "  {name:<13}{}", line(value, usize::MAX));
    let now = Timestamp::now();
    let signed = |by: &By| if by.why.is_empty() { by.who.clone() } else { format!("{}: {}", by.who, by.why) };
    row("plan", &plan.id);
    row("state", stage(plan.stage));
    row("act", plan.words().act);
    row("of what", &plan.of_what());
    row("items", &plan.items(plan.total));
    row(
        "rate",
        &plan.making.rate.map_or("as fast as it goes".to_owned(), |rate| format!("{} a second", count(rate.into()))),
    );
    row("made", &format!("{} ago, by {}", since(plan.made_at, now), signed(&plan.by)));
    if let Some(by) = &plan.approved {
        row("approved", &format!("by {}", signed(by)));
    }
    if let Some(at) = plan.ended_at {
        row("ended", &format!("{} ago", since(at, now)));
    }
    let (it, id) = (target.quoted(), quoted(&plan.id));
    match plan.stage {
        plans::Stage::Made => {
            let second = if plan.making.second_person { " (somebody else than its maker)" } else { "" };
            let _ = writeln!(text, "\nApprove it{second}: {}", plan.approval(target));
            let _ = writeln!(text, "Take it back: factum plans cancel {it} {id}");
        }
        plans::Stage::Running => {
            let _ = writeln!(text, "\nUntil now: {}", told(target, app, plan));
            let _ = writeln!(text, "Follow it: factum plans show {it} {id} --watch");
            let _ = writeln!(text, "Take the rest back: factum plans cancel {it} {id}");
        }
        _ => {
            let _ = write!(text, "\n{}", told(target, app, plan));
        }
    }
    text
}

/// Makes a plan, and shows what it would do.
pub fn make(target: &Target, act: &MakeCommand, json: bool) -> Result<ExitCode, Problem> {
    let (selection, Paced { rate, second_person }, signed) = match act {
        MakeCommand::Redrive { filter, paced, signed } => (Selection::Redrive { query: filter.query() }, paced, signed),
        MakeCommand::Discard { filter, paced, signed } => (Selection::Discard { query: filter.query() }, paced, signed),
        MakeCommand::Redeliver { consumer, which, paced, signed } => {
            let which = Redeliver {
                consumer: consumer.clone(),
                after: which.after.unwrap_or_default(),
                until: which.until,
                from_time: which.from_time,
                type_name: which.type_name.clone(),
                key: which.key.clone(),
                correlation: which.correlation.clone(),
            };
            (Selection::Redeliver(which), paced, signed)
        }
        MakeCommand::Move { saga, from, to, paced, signed } => {
            (Selection::Move { saga: saga.clone(), from: *from, to: *to }, paced, signed)
        }
        MakeCommand::Backfill { schedule, from, to, paced, signed } => {
            let fill = Backfill { schedule: schedule.clone(), from: *from, to: *to };
            (Selection::Backfill(fill), paced, signed)
        }
    };
    let making = Making { selection, rate: *rate, second_person: *second_person };
    let made = target.app()?.make_plan(&making, &signed.by())?;
    if json {
        screen::json(&made)?;
        return Ok(ExitCode::SUCCESS);
    }
    screen::print(&proposals::proposed(target, &serde_json::from_value(made)?))?;
    Ok(ExitCode::SUCCESS)
}

/// Approves a plan, and with `watch` shows how far it is until it has ended.
pub fn approve(target: &Target, id: &str, hash: &str, watch: bool, by: &By, json: bool) -> Result<ExitCode, Problem> {
    let app = target.app()?;
    let outcome = app.approve(id, hash, by)?;
    if json && !watch {
        screen::json(&outcome)?;
    } else if !json {
        screen::print(&approved(target, id, watch))?;
    }
    if watch { follow(target, &app, id, json) } else { Ok(ExitCode::SUCCESS) }
}

fn approved(target: &Target, id: &str, watch: bool) -> String {
    let leave = if watch { " Ctrl-C leaves it running." } else { "" };
    let (it, shown, id) = (target.quoted(), line(id, usize::MAX), quoted(id));
    format!("Plan {shown} is approved, and the app carries it out.{leave} How far it is: factum plans show {it} {id}\n")
}

/// Takes a plan back.
pub fn cancel(target: &Target, id: &str, by: &By, json: bool) -> Result<ExitCode, Problem> {
    let outcome = target.app()?.cancel(id, by)?;
    if json {
        screen::json(&outcome)?;
    } else {
        screen::print(&format!("Plan {} is taken back. What it has done stays done.\n", line(id, usize::MAX)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Does something to all that fit: a plan that is made, approved at once, and followed to its end.
pub fn all(target: &Target, app: &Remote, making: &Making, by: &By, json: bool) -> Result<ExitCode, Problem> {
    let planned: Planned = serde_json::from_value(app.make_plan(making, by)?)?;
    let id = &planned.plan.id;
    app.approve(id, &planned.plan.hash, by)?;
    if !json {
        screen::print(&format!("{}{}", proposals::summary(&planned), approved(target, id, true)))?;
    }
    follow(target, app, id, json)
}

/// Shows how far a plan is until it has ended, and then what became of it.
fn follow(target: &Target, app: &Remote, id: &str, json: bool) -> Result<ExitCode, Problem> {
    let goes_on = |problem: Problem| {
        let (it, id) = (target.quoted(), quoted(id));
        Problem::Refused(format!("{problem}. An approved plan goes on by itself: factum plans show {it} {id}"))
    };
    let mut found = app.plan(id)?;
    let mut plan = Plan::deserialize(&found)?;
    if plan.stage == plans::Stage::Made {
        let approval = plan.approval(target);
        return Err(Problem::Refused(format!(
            "the plan waits to be approved, so there is nothing to watch: {approval}"
        )));
    }
    let Words { act, unit, .. } = plan.words();
    screen::watched(act, unit, |progress| {
        while plan.is_open() {
            let plans::Tally { done, failed, left_out, .. } = plan.tally;
            progress(done + failed + left_out, plan.total);
            thread::sleep(PAUSE);
            found = app.plan(id).map_err(goes_on)?;
            plan = Plan::deserialize(&found)?;
        }
        Ok::<(), Problem>(())
    })?;
    if json {
        screen::json(&found)?;
    } else {
        screen::print(&told(target, app, &plan))?;
    }
    Ok(acts::code(plan.went_well()))
}

/// What became of a plan's items.
fn told(target: &Target, app: &Remote, plan: &Plan) -> String {
    let plans::Tally { done, failed, left_out, gone, reasons, failures } = &plan.tally;
    let words = plan.words();
    let mut text = match (plan.stage, &plan.reason) {
        (plans::Stage::Cancelled, _) => "The plan was taken back. Until then: ".to_owned(),
        (plans::Stage::Stopped, Some(reason)) => {
            format!("The plan has stopped: {}. Until then: ", line(reason, usize::MAX))
        }
        _ => String::new(),
    };
    let failed_too = match plan.making.selection {
        Selection::Redrive { .. } => format!(", {} failed again", count(*failed)),
        Selection::Discard { .. } | Selection::Move { .. } | Selection::Backfill(_) => String::new(),
        Selection::Redeliver(_) => format!(", {} failed", count(*failed)),
    };
    let _ = write!(text, "{} {}{failed_too}, {} left out", plan.items(*done), words.done, count(*left_out));
    if *gone > 0 {
        let or = if matches!(plan.making.selection, Selection::Move { .. }) { " or been moved" } else { "" };
        let _ = write!(text, ", of which {} had ended{or} before", count(*gone));
    }
    text += ".\n";
    for id in failures.iter().take(NAMED) {
        let letter = letter_of(plan, id);
        let _ = writeln!(text, "  {}: {}", line(&letter, usize::MAX), reason(app, &letter));
    }
    let not_named = failed.saturating_sub(failures.len().min(NAMED) as u64);
    if not_named > 0 {
        let _ = writeln!(text, "  and {} more: factum letters list {}", count(not_named), target.quoted());
    }
    text += &left_out_by(reasons);
    let first = reasons.first().and_then(|group| group.who.first());
    let (about, id) = match (&plan.making.selection, failures.first(), first) {
        (Selection::Move { .. }, _, Some(id)) => ("sagas", id.clone()),
        (_, Some(id), _) => ("letters", letter_of(plan, id)),
        (Selection::Redrive { .. } | Selection::Discard { .. }, _, Some(id)) => ("letters", id.clone()),
        _ => return text,
    };
    let _ = writeln!(text, "More about one: factum {about} show {} {}", target.quoted(), quoted(&id));
    text
}

/// What was left out, or would be, by the reasons.
pub fn left_out_by(reasons: &[LeftOut]) -> String {
    let mut text = String::new();
    for LeftOut { reason, count: number, who } in reasons {
        let _ = writeln!(text, "  {} × {}", count(*number), line(reason, usize::MAX));
        let names: Vec<String> = who.iter().take(NAMED).map(|id| line(id, usize::MAX)).collect();
        let more = number.saturating_sub(names.len() as u64);
        let more = if more > 0 { format!(" and {} more", count(more)) } else { String::new() };
        let _ = writeln!(text, "    {}{more}", names.join(", "));
    }
    text
}

/// The letter of an item that failed.
fn letter_of(plan: &Plan, item: &str) -> String {
    match &plan.making.selection {
        Selection::Redeliver(which) => format!("{}@{item}", which.consumer),
        _ => item.to_owned(),
    }
}

/// Why a letter failed last.
fn reason(app: &Remote, id: &str) -> String {
    let reason = app.letter(id).ok().and_then(|letter| letter["failureReason"].as_str().map(ToOwned::to_owned));
    reason.map_or("failed, and has ended since".to_owned(), |reason| format!("failed: {}", line(&reason, usize::MAX)))
}
