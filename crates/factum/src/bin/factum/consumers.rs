//! `factum consumers`: every reader of the log, and where it stands.

use std::{fmt::Write, process::ExitCode};

use factum::By;
use serde::Deserialize;

use crate::{
    Problem,
    screen::{self, count, lasting, line, quoted},
    target::Target,
};

#[derive(Debug, Deserialize)]
struct Consumers {
    consumers: Vec<Consumer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consumer {
    name: String,
    kind: String,
    standing: String,
    cursor: u64,
    lag: u64,
    lag_seconds: f64,
    held: u64,
    letters: u64,
    reason: Option<String>,
}

/// Lists consumers.
pub fn list(target: &Target, json: bool) -> Result<ExitCode, Problem> {
    let found = target.app()?.consumers()?;
    if json {
        screen::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Consumers { consumers } = serde_json::from_value(found)?;
    let mut table =
        screen::listing(&["consumer", "kind", "state", "position", "behind", "letters", "waiting"], &[3, 4, 5, 6]);
    for consumer in &consumers {
        let behind = match consumer.lag {
            0 => "0".to_owned(),
            lag => format!("{} ({})", count(lag), lasting(consumer.lag_seconds)),
        };
        table.add_row([
            line(&consumer.name, usize::MAX),
            consumer.kind.clone(),
            standing(&consumer.standing).to_owned(),
            count(consumer.cursor),
            behind,
            count(consumer.letters),
            count(consumer.held),
        ]);
    }
    let mut text = format!("{table}\n");
    for consumer in consumers.iter().filter(|consumer| consumer.standing == "stopped") {
        let (name, reason) = (&consumer.name, consumer.reason.as_deref().unwrap_or("it did not say why"));
        let _ = writeln!(text, "{} has stopped: {}", line(name, usize::MAX), line(reason, usize::MAX));
        let _ =
            writeln!(text, "  when that is mended: factum consumers try-again {} {}", target.quoted(), quoted(name));
    }
    screen::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A standing for people.
fn standing(word: &str) -> &str {
    match word {
        "joined" => "runs",
        "behind" => "catches up",
        "renewed" => "is made anew",
        "stopped" => "has stopped",
        other => other,
    }
}

/// Lets one that has stopped try again.
pub fn try_again(target: &Target, name: &str, by: &By, json: bool) -> Result<ExitCode, Problem> {
    let outcome = target.app()?.try_again(name, by)?;
    if json {
        screen::json(&outcome)?;
    } else {
        screen::print(&format!(
            "{} tries again from where it stands. Whether it goes well: factum consumers {}\n",
            line(name, usize::MAX),
            target.quoted()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
