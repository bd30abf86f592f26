//! `factum letters list` and `show`: what has failed, and what can be done about it.

use std::{fmt::Write, process::ExitCode};

use factum::{letter::LetterId, operate, prelude::Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Problem,
    args::Filter,
    screen::{self, count, counted, lasting, line, quoted},
    target::Target,
};

/// Letters asked for at once.
const PAGE: usize = 1_000;
/// Letters of a list if nobody says.
const LIST: u64 = 100;
/// Characters of a key or a type in the table.
const SHORT: usize = 32;

/// A letter, as the list has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    pub id: String,
    consumer: String,
    position: Option<u64>,
    #[serde(rename = "type")]
    type_name: String,
    message_id: String,
    correlation_id: String,
    key: String,
    pub waiting: u64,
    failure_reason: String,
    failure_count: u32,
    failed_at: Option<Timestamp>,
    first_failed_at: Option<Timestamp>,
    next_retry: Option<Retry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Retry {
    At(Timestamp),
    OtherThan(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    #[serde(flatten)]
    letter: Letter,
    failures: Vec<Failed>,
    original_event: Value,
    #[serde(default)]
    hidden: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Failed {
    at: Timestamp,
    reason: String,
    program: String,
}

/// Letters that fit, as they came, and how many fit in all.
pub struct Found {
    letters: Vec<Value>,
    pub total: u64,
}

impl Found {
    /// Reads them.
    pub fn read(&self) -> Result<Vec<Letter>, Problem> {
        Ok(self.letters.iter().map(Letter::deserialize).collect::<Result<_, _>>()?)
    }
}

/// Finds letters, a page after the other, up to so many.
pub fn find(target: &Target, filter: &Filter, most: u64) -> Result<Found, Problem> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut found = Found { letters: Vec::new(), total: 0 };
    let mut query = filter.query();
    let app = if let Target::Address(_) = target { Some(target.app()?) } else { None };
    loop {
        query.limit = Some(PAGE.min(most - found.letters.len()));
        let mut page = match (target, &app) {
            (Target::Data(data), _) => serde_json::to_value(operate::letters(data, &query)?)?,
            (Target::Address(_), Some(app)) => app.letters(&query)?,
            (Target::Address(_), None) => break,
        };
        if query.after.is_none() {
            found.total = page["total"].as_u64().unwrap_or_default();
        }
        if let Value::Array(letters) = page["letters"].take() {
            found.letters.extend(letters);
        }
        match page["next"].as_str() {
            Some(next) if found.letters.len() < most => query.after = Some(LetterId::parse(next)?),
            _ => break,
        }
    }
    Ok(found)
}

/// Lists letters.
pub fn list(target: &Target, filter: &Filter, json: bool) -> Result<ExitCode, Problem> {
    let found = find(target, filter, filter.limit.unwrap_or(LIST))?;
    if json {
        screen::json(&json!({ "letters": found.letters, "total": found.total }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let letters = found.read()?;
    let mut text = String::new();
    if letters.is_empty() {
        text.push_str(none(filter));
    } else {
        let _ = writeln!(text, "{}", table(&letters));
        let shown = letters.len() as u64;
        if shown < found.total {
            let (shown, total) = (count(shown), count(found.total));
            let _ = writeln!(text, "{shown} of {total}: narrow them down, or see more with --limit {}", found.total);
        }
        let _ = writeln!(text, "What failed, and what to do: factum letters show {} LETTER", target.quoted());
    }
    screen::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// That there are none.
pub fn none(filter: &Filter) -> &'static str {
    match filter.is_any() {
        true => "no letters fit that\n",
        false => "no letters: nothing has failed\n",
    }
}

/// As a table, its last column as wide as the terminal has room for.
pub fn table(letters: &[Letter]) -> String {
    let head = ["letter", "type", "key", "failed", "times", "waiting", "reason"];
    let now = Timestamp::now();
    let mut rows: Vec<Vec<String>> = Vec::with_capacity(letters.len());
    for letter in letters {
        rows.push(vec![
            line(&letter.id, usize::MAX),
            line(&letter.type_name, SHORT),
            line(letter.key.strip_prefix("key/").unwrap_or(&letter.key), SHORT),
            letter.failed_at.map_or(String::new(), |at| format!("{} ago", since(at, now))),
            count(letter.failure_count.into()),
            count(letter.waiting),
        ]);
    }
    let widest = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or_default()
    };
    // Beside each column stand two spaces and a line.
    let taken: usize = (0..head.len() - 1).map(|column| widest(column) + 3).sum::<usize>() + 4;
    let left = screen::width().saturating_sub(taken).max(20);
    let mut table = screen::listing(&head, &[4, 5]);
    for (row, letter) in rows.iter().zip(letters) {
        table.add_row(row.iter().cloned().chain([line(&letter.failure_reason, left)]));
    }
    table.to_string()
}

/// Shows one letter.
pub fn show(target: &Target, id: &str, json: bool) -> Result<ExitCode, Problem> {
    let found = match target {
        Target::Address(_) => target.app()?.letter(id)?,
        Target::Data(data) => {
            let id = LetterId::parse(id)?;
            match operate::letter(data, &id)? {
                Some(shown) => serde_json::to_value(shown)?,
                None => return Err(factum::letters::ActError::NoLetter(id).into()),
            }
        }
    };
    if json {
        screen::json(&found)?;
    } else {
        screen::print(&described(target, &serde_json::from_value(found)?)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn described(target: &Target, whole: &Whole) -> Result<String, Problem> {
    let Whole { letter, failures, original_event, hidden } = whole;
    let now = Timestamp::now();
    let mut text = String::new();
    let all = usize::MAX;
    let mut row = |name: &str, value: &str| _ = writeln!(text, "  {name:<13}{}", line(value, all));
    row("letter", &letter.id);
    row("consumer", &letter.consumer);
    let place = letter.position.map_or("in no stream".to_owned(), |position| format!("at position {position}"));
    row("message", &format!("{}, {place}, id {}", letter.type_name, letter.message_id));
    row("transaction", &letter.correlation_id);
    row(
        "key",
        &match letter.key.split_once('/') {
            Some(("key", key)) => key.to_owned(),
            Some(("stream", stream)) => format!("the stream {stream}, whose state cannot be made of its events"),
            _ => letter.key.clone(),
        },
    );
    row(
        "behind it",
        &match letter.waiting {
            0 => "nothing waits".to_owned(),
            waiting => format!(
                "{} of this key",
                counted(waiting, "message waits, because it is", "messages wait, because they are")
            ),
        },
    );
    let times = counted(letter.failure_count.into(), "time", "times");
    let first = letter.first_failed_at.map_or(String::new(), |at| format!(", first {} ago", since(at, now)));
    row("failed", &format!("{times}{first}"));
    row(
        "next attempt",
        &match &letter.next_retry {
            None => "none by itself".to_owned(),
            Some(Retry::At(at)) => format!("by itself, at {at}"),
            Some(Retry::OtherThan(program)) => format!("by itself, when another program than `{program}` runs"),
        },
    );
    let dropped = u64::from(letter.failure_count).saturating_sub(failures.len() as u64);
    let _ = writeln!(text, "\nWhat the handler said");
    for (index, failed) in failures.iter().enumerate() {
        let (at, program) = (failed.at, line(&failed.program, 64));
        let _ = writeln!(text, "  {at}  {}  (program: {program})", line(&failed.reason, all));
        if index == 0 && dropped > 0 {
            let _ = writeln!(text, "  … {} are not kept", counted(dropped, "failure", "failures"));
        }
    }
    let _ = writeln!(text, "\nThe message");
    for part in serde_json::to_string_pretty(original_event)?.lines() {
        let part: String = part.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect();
        let _ = writeln!(text, "  {part}");
    }
    if !hidden.is_empty() {
        let _ = writeln!(text, "  not shown: {}", line(&hidden.join(", "), all));
    }
    text += &advice(target, &letter.id);
    Ok(text)
}

/// What can be done about a letter.
fn advice(target: &Target, id: &str) -> String {
    let (it, id) = (target.quoted(), quoted(id));
    match target {
        Target::Address(_) => format!(
            "\nWhat to do
  factum letters try {it} {id}
      runs today's handler and shows what would follow; stores nothing
  factum letters redrive {it} {id}
      when its cause is mended: runs it for good, then what waits behind it
  factum letters release {it} {id}
      leaves the letter for later, and runs what waits behind it now
  factum letters discard {it} {id} --why REASON
      ends it without running it, then runs what waits behind it
"
        ),
        Target::Data(_) => format!(
            "\nWhat to do
  Start the app, and name its address instead of the data: then it can be tried, redriven and released.
  factum letters discard {it} {id} --why REASON
      ends it without running it, while the app is stopped; what waits behind it follows at the start
"
        ),
    }
}

/// How long ago it is.
pub fn since(at: Timestamp, now: Timestamp) -> String {
    lasting(now.duration_since(at).as_secs_f64())
}
