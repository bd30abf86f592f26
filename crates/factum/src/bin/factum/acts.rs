//! `factum letters try`, `redrive`, `discard` and `release`: what is done about letters, one by one. What is done to all of
//! a running app's that fit is a plan.

use std::{
    fmt::Write,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use factum::{
    By, Location,
    letter::LetterId,
    letters::ActError,
    operate,
    plans::{Making, Selection},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    NOT_DONE, Problem,
    args::Many,
    letters::{self, Letter},
    plans,
    remote::{Refused, Remote},
    screen::{self, Unit, counted, line, quoted},
    target::Target,
};

/// Letters that did not go well are named, up to so many.
pub const NAMED: usize = 20;
/// The longest reason for an act, in bytes.
const MAX_WHY_BYTES: usize = 1 << 10;

/// An act's outcome, as JSON; the inner error is a no to this letter, the outer one ends the command.
type Acted = Result<Result<Value, Refused>, Problem>;

/// What became of an act.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum Outcome {
    Tried {
        effects: Vec<Effect>,
        #[serde(default)]
        failure: Option<String>,
    },
    Done {
        followed: Vec<Effect>,
    },
    FailedAgain {
        reason: String,
    },
}

/// One thing that follows, or would.
#[derive(Debug, Deserialize)]
pub struct Effect {
    kind: String,
    #[serde(rename = "type", default)]
    type_name: String,
    place: String,
    #[serde(default)]
    due: Option<String>,
    #[serde(default)]
    data: Option<Value>,
}

/// Runs a letter's handler without storing anything.
pub fn try_dry(target: &Target, id: &str, by: &By, json: bool) -> Result<ExitCode, Problem> {
    let outcome = done(target.app()?.act(id, "try", by)?)?;
    if json {
        screen::json(&outcome)?;
    } else {
        screen::print(&format!("{}Nothing was stored.\n", tried(id, &outcome)?))?;
    }
    Ok(code(goes_well(&outcome)))
}

/// Runs letters for good.
pub fn redrive(target: &Target, many: &Many, by: &By, json: bool) -> Result<ExitCode, Problem> {
    check_filter(many)?;
    let app = target.app()?;
    if many.dry_run {
        return preview(target, &app, many, by, json);
    }
    let Some(id) = &many.id else {
        return all(target, &app, Selection::Redrive { query: many.filter.query() }, many, by, json);
    };
    let outcome = done(app.act(id, "redrive", by)?)?;
    if json {
        screen::json(&outcome)?;
    } else {
        screen::print(&redriven(id, &outcome)?)?;
    }
    Ok(code(goes_well(&outcome)))
}

/// Ends letters without running them.
pub fn discard(target: &Target, many: &Many, by: &By, json: bool) -> Result<ExitCode, Problem> {
    check_filter(many)?;
    if many.dry_run {
        return would_discard(target, many, json);
    }
    check_why(by)?;
    let (outcome, follows) = match (target, &many.id) {
        (Target::Address(_), None) => {
            let selection = Selection::Discard { query: many.filter.query() };
            return all(target, &target.app()?, selection, many, by, json);
        }
        (Target::Address(_), Some(id)) => (done(target.app()?.act(id, "discard", by)?)?, "follows"),
        (Target::Data(data), id) => {
            check_stopped(data)?;
            let Some(id) = id else { return discard_each(target, data, many, by, json) };
            (done(discard_in(data, id, by)?)?, "follows when the app starts")
        }
    };
    if json {
        screen::json(&outcome)?;
    } else {
        let id = line(many.id.as_deref().unwrap_or_default(), usize::MAX);
        screen::print(&format!("{id} is discarded; what waited behind it {follows}. The log says who and why.\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets follow what waits behind a letter.
pub fn release(target: &Target, id: &str, by: &By, json: bool) -> Result<ExitCode, Problem> {
    let outcome = done(target.app()?.act(id, "release", by)?)?;
    if json {
        screen::json(&outcome)?;
    } else {
        let id = line(id, usize::MAX);
        screen::print(&format!("What waited behind {id} follows; the letter itself waits on, and holds nothing.\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Does something to all that fit.
fn all(
    target: &Target,
    app: &Remote,
    selection: Selection,
    many: &Many,
    by: &By,
    json: bool,
) -> Result<ExitCode, Problem> {
    if letters::find(target, &many.filter, 1)?.total == 0 && !json {
        screen::print(letters::none(&many.filter))?;
        return Ok(ExitCode::SUCCESS);
    }
    plans::all(target, app, &Making { selection, rate: many.rate, second_person: false }, by, json)
}

fn check_filter(many: &Many) -> Result<(), Problem> {
    match many.id.is_some() && (many.filter.is_any() || many.filter.limit.is_some()) {
        true => Err(Problem::Refused("name one letter, or say --all and which; not both".to_owned())),
        false => Ok(()),
    }
}

fn check_why(by: &By) -> Result<(), Problem> {
    if by.why.trim().is_empty() {
        let sentence = "a letter is not discarded without a reason: say --why, for those who ask later";
        return Err(Problem::Refused(sentence.to_owned()));
    }
    match by.why.len() {
        bytes if bytes > MAX_WHY_BYTES => {
            Err(Problem::Refused(format!("--why has {bytes} bytes; {MAX_WHY_BYTES} are allowed")))
        }
        _ => Ok(()),
    }
}

fn check_stopped(data: &Location) -> Result<(), Problem> {
    match operate::is_open(data)? {
        true => Err(Problem::Refused(format!(
            "an app runs on {data}: name its address instead, such as http://127.0.0.1:8080, or stop it first"
        ))),
        false => Ok(()),
    }
}

fn discard_in(data: &Location, id: &str, by: &By) -> Acted {
    match operate::discard(data, &LetterId::parse(id)?, by) {
        Ok(()) => Ok(Ok(json!({ "outcome": "done", "followed": [] }))),
        Err(error @ ActError::NoLetter(_)) => {
            Ok(Err(Refused { code: "no_letter".to_owned(), detail: error.to_string() }))
        }
        Err(error) => Err(error.into()),
    }
}

/// The app's no ends the command.
pub fn done(outcome: Result<Value, Refused>) -> Result<Value, Problem> {
    outcome.map_err(|refused| Problem::Refused(refused.detail))
}

/// Whether it was done, or would be.
pub fn goes_well(outcome: &Value) -> bool {
    outcome["outcome"] != "failedAgain" && outcome["failure"].is_null()
}

/// Of whether all went well.
pub fn code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::from(NOT_DONE) }
}

/// What would become of a letter.
fn tried(id: &str, outcome: &Value) -> Result<String, Problem> {
    Ok(match Outcome::deserialize(outcome)? {
        Outcome::Tried { effects, failure } => would(id, &effects, failure.as_deref()),
        Outcome::Done { followed } => would(id, &followed, None),
        Outcome::FailedAgain { reason } => would(id, &[], Some(&reason)),
    })
}

/// What would become of a letter or a message.
pub fn would(id: &str, effects: &[Effect], failure: Option<&str>) -> String {
    let id = line(id, usize::MAX);
    match failure {
        Some(reason) => format!("{id} would fail again: {}\n", line(reason, usize::MAX)),
        None if effects.is_empty() => format!("{id} would go well, and nothing would follow from it.\n"),
        None => format!("{id} would go well. This would follow:\n{}", listed(effects)),
    }
}

/// What became of a letter.
fn redriven(id: &str, outcome: &Value) -> Result<String, Problem> {
    let id = line(id, usize::MAX);
    Ok(match Outcome::deserialize(outcome)? {
        Outcome::FailedAgain { reason } => format!(
            "{id} failed again: {}\nThe letter waits on, and has this failure in it too. Mend its cause, and redrive \
             it again.\n",
            line(&reason, usize::MAX)
        ),
        Outcome::Done { followed: effects } | Outcome::Tried { effects, .. } => {
            let followed = if effects.is_empty() { "nothing followed from it" } else { "this followed" };
            let colon = if effects.is_empty() { "" } else { ":\n" };
            let list = listed(&effects);
            format!("{id} is done, and {followed}{colon}{list}\nWhat waited behind it follows in order.\n")
        }
    })
}

/// What follows, a line each.
pub fn listed(effects: &[Effect]) -> String {
    let mut text = String::new();
    for Effect { kind, type_name, place, due, data } in effects {
        let due = due.as_ref().map_or(String::new(), |due| format!(" due {due}"));
        let data = data.as_ref().map_or(String::new(), |data| format!(" {data}"));
        let _ = writeln!(text, "  {}", line(&format!("{kind} {type_name} in {place}{due}{data}"), usize::MAX));
    }
    text
}

/// What a redrive would do, letter by letter.
fn preview(target: &Target, app: &Remote, many: &Many, by: &By, json: bool) -> Result<ExitCode, Problem> {
    let ids = match &many.id {
        Some(id) => vec![id.clone()],
        None => selected(target, many)?.into_iter().map(|letter| letter.id).collect(),
    };
    let (mut all, mut text, mut bad) = (Vec::new(), String::new(), 0);
    for id in &ids {
        match app.act(id, "try", by)? {
            Ok(outcome) => {
                bad += u64::from(!goes_well(&outcome));
                text += &tried(id, &outcome)?;
                all.push(json!({ "letter": id, "outcome": outcome }));
            }
            Err(refused) => {
                bad += 1;
                let _ = writeln!(text, "{}: {}", line(id, usize::MAX), line(&refused.detail, usize::MAX));
                all.push(json!({ "letter": id, "refused": refused.code }));
            }
        }
        pause(many.rate);
    }
    if json {
        screen::json(&json!({ "letters": all }))?;
    } else if ids.is_empty() {
        screen::print(letters::none(&many.filter))?;
    } else {
        let (of, bad_text) = (counted(ids.len() as u64, "letter", "letters"), screen::count(bad));
        let _ = writeln!(
            text,
            "{of} tried, {bad_text} would not go well. Nothing was stored; leave out --dry-run to do it."
        );
        screen::print(&text)?;
    }
    Ok(code(bad == 0))
}

fn would_discard(target: &Target, many: &Many, json: bool) -> Result<ExitCode, Problem> {
    if let Some(id) = &many.id {
        return letters::show(target, id, json);
    }
    let letters = selected(target, many)?;
    let waiting: u64 = letters.iter().map(|letter| letter.waiting).sum();
    if json {
        let ids: Vec<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
        screen::json(&json!({ "letters": ids, "waiting": waiting }))?;
    } else if letters.is_empty() {
        screen::print(letters::none(&many.filter))?;
    } else {
        let (of, behind) =
            (counted(letters.len() as u64, "letter", "letters"), counted(waiting, "message", "messages"));
        screen::print(&format!(
            "{}\n{of} would be discarded, and {behind} behind would follow. Nothing was changed; leave out --dry-run \
             to do it.\n",
            letters::table(&letters)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Taken before the first is acted on: what fails meanwhile is not among them.
fn selected(target: &Target, many: &Many) -> Result<Vec<Letter>, Problem> {
    letters::find(target, &many.filter, many.filter.limit.unwrap_or(u64::MAX))?.read()
}

/// One letter after the other, of an app that is stopped.
fn discard_each(target: &Target, data: &Location, many: &Many, by: &By, json: bool) -> Result<ExitCode, Problem> {
    let letters = selected(target, many)?;
    if letters.is_empty() && !json {
        screen::print(letters::none(&many.filter))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut tally = Tally::default();
    let broken: Result<(), Problem> = screen::watched("discarding", Unit::Letters, |progress| {
        for (index, letter) in letters.iter().enumerate() {
            progress(index as u64, letters.len() as u64);
            let begun = Instant::now();
            tally.count(&letter.id, discard_in(data, &letter.id, by)?);
            pause_from(begun, many.rate);
        }
        Ok(())
    });
    if let Err(problem) = broken {
        let so_far = counted(tally.done, "letter was", "letters were");
        return Err(Problem::Refused(format!(
            "{problem}. Until then {so_far} discarded, and {} failed; the same command goes on with the rest",
            tally.bad.len()
        )));
    }
    if json {
        let bad = tally.bad.iter().map(|(id, reason)| json!({ "letter": id, "reason": reason }));
        let bad: Vec<Value> = bad.collect();
        screen::json(&json!({ "done": tally.done, "endedBefore": tally.gone, "failed": bad }))?;
    } else {
        screen::print(&tally.told(target))?;
    }
    Ok(code(tally.bad.is_empty()))
}

/// What became of many.
#[derive(Default)]
struct Tally {
    done: u64,
    /// Somebody else was faster, or it ended with another.
    gone: u64,
    bad: Vec<(String, String)>,
}

impl Tally {
    fn count(&mut self, id: &str, outcome: Result<Value, Refused>) {
        match outcome {
            Ok(_) => self.done += 1,
            Err(refused) if refused.code == "no_letter" => self.gone += 1,
            Err(refused) => self.bad.push((id.to_owned(), refused.detail)),
        }
    }

    fn told(&self, target: &Target) -> String {
        let mut text = format!("{} discarded", counted(self.done, "letter", "letters"));
        if self.gone > 0 {
            let _ = write!(text, ", {} had ended before", screen::count(self.gone));
        }
        let _ = writeln!(text, ", {} could not be.", screen::count(self.bad.len() as u64));
        for (id, reason) in self.bad.iter().take(NAMED) {
            let _ = writeln!(text, "  {}: {}", line(id, usize::MAX), line(reason, usize::MAX));
        }
        if self.bad.len() > NAMED {
            let more = screen::count((self.bad.len() - NAMED) as u64);
            let _ = writeln!(text, "  and {more} more: factum letters list {}", target.quoted());
        } else if let Some((id, _)) = self.bad.first() {
            let _ = writeln!(text, "More about one: factum letters show {} {}", target.quoted(), quoted(id));
        }
        text
    }
}

fn pause(rate: Option<u32>) {
    pause_from(Instant::now(), rate);
}

/// Keeps to so many a second.
fn pause_from(begun: Instant, rate: Option<u32>) {
    if let Some(rate) = rate {
        let share = Duration::from_secs(1) / rate.max(1);
        thread::sleep(share.saturating_sub(begun.elapsed()));
    }
}
